//! How a command ends that did not do what was asked.

use std::fmt::Display;

/// The exit codes, said in `bowline --help`.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const TIMEOUT: u8 = 3;
const NO_RESPONDER: u8 = 4;
/// What mosquitto's clients end with then.
const MQTT_TIMEOUT: u8 = 27;

/// A message for the user, which says what to do next, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    message: Option<String>,
    code: u8,
}

impl Failure {
    /// It did not work: exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), code: FAILED }
    }

    /// It did not work, and what there is to say was said already: exit code 1.
    pub(crate) fn silent() -> Self {
        Self { message: None, code: FAILED }
    }

    /// The command line asks for something that cannot be: exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), code: USAGE }
    }

    /// The time given has passed: exit code 3.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), code: TIMEOUT }
    }

    /// The time given to an MQTT client has passed: exit code 27.
    pub(crate) fn mqtt_timeout(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), code: MQTT_TIMEOUT }
    }

    /// Nobody answers requests on the topic: exit code 4.
    pub(crate) fn no_responder(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), code: NO_RESPONDER }
    }

    /// What could not be read or written, and why.
    pub(crate) fn io(what: impl Display, error: &std::io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }

    /// What to tell the user.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}
