//! What a vector's `call` may say in PRX1.

use serde::Deserialize;
use serde_json::{Map, Value};

/// `connect` of a client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connect {
    /// The user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// In seconds.
    pub keepalive: Option<u16>,
    /// The session begins anew.
    pub clean: bool,
}

/// `publish`, of either side.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// What it is about.
    pub topic: String,
    /// In hexadecimal digits.
    #[serde(default)]
    pub payload: String,
    /// Kept, or to be kept.
    #[serde(default)]
    pub retain: bool,
    /// Of a client: to be acknowledged, and known as this.
    pub key: Option<u64>,
    /// Of a server: to be acknowledged by this id.
    pub id: Option<u16>,
    /// Of a server: not for the first time.
    #[serde(default)]
    pub dup: bool,
}

/// `subscribe` and `unsubscribe` of a client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// What for.
    pub filter: String,
    /// To be acknowledged.
    #[serde(default)]
    pub reliable: bool,
}

/// `queue`, of either side. Where no action stands, there are no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// What is wanted.
    pub action: Option<Action>,
    /// An id.
    pub id: Option<u16>,
    /// The queue.
    pub address: Option<String>,
    /// Where to what it holds is handed out.
    pub return_path: Option<String>,
    /// In hexadecimal digits.
    pub mark: Option<String>,
    /// A message for it, in hexadecimal digits.
    pub payload: Option<String>,
    /// Not for the first time.
    pub dup: bool,
}

/// What is wanted of a queue.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // as the protocol names them
pub enum Action {
    Initialize,
    Destroy,
    Drain,
}

/// How CONNECT is answered.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // as the protocol names them
pub enum Result {
    Accepted,
    Failed,
    Refused,
    Error,
}

/// How QUEUE is answered.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // as the protocol names them
pub enum Status {
    None,
    Ok,
    Error,
}

/// A call of the application.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // each is a method of the machine, or a packet, of the same name
pub enum Call {
    Connect(Connect),
    Connack {
        result: Result,
        session: Option<String>,
    },
    Publish(Publish),
    /// The earliest message that the last connection left, again.
    Resend {},
    Puback {
        id: u16,
    },
    Subscribe(Subscribe),
    Suback {
        id: u16,
    },
    Unsubscribe(Subscribe),
    Unsuback {
        id: u16,
    },
    Queue(Queue),
    QueueAck {
        status: Status,
    },
    Ping {},
    Disconnect {},
    Close {},
}

impl Call {
    /// Reads a call as a vector writes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(name: &str, arguments: &Map<String, Value>) -> std::result::Result<Call, String> {
        super::read(name, arguments)
    }
}
