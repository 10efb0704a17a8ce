//! What is wrong with a configuration.

use std::fmt;

use super::origin::Origin;
use crate::failure::Failure;

/// One thing that is wrong: where, which key, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) origin: Origin,
    /// Empty where there is none: a file that is no TOML.
    pub(crate) key: String,
    pub(crate) message: String,
}

impl Complaint {
    /// All of them, one a line, as what ends a command.
    pub(crate) fn all(complaints: &[Self]) -> Failure {
        let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        Failure::new(lines.join("\n       "))
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Puts what serde says into the words of an operator. `key` is the path of the value at fault.
pub(crate) fn explain(key: &str, message: &str) -> String {
    let message = message.trim();
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown_key(rest);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let names = quoted(rest);
        if let [given, allowed @ ..] = names.as_slice() {
            return format!("`{given}` is not allowed; use {}", listed(allowed, "or"));
        }
    }
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("{rest} is missing");
    }
    if message.starts_with("invalid socket address") {
        return format!("it must be {}", plain_type("socket address"));
    }
    if message.starts_with("invalid type: ") || message.starts_with("invalid value: ") {
        let expected = message.rsplit_once("expected ").map_or(message, |(_, expected)| expected);
        // The value itself is left out: it may be a secret that stands at the wrong place.
        return format!("it must be {}", plain_type(expected));
    }
    if is_secret(key)
        && !message.starts_with("it is ")
        && !message.starts_with("an ")
        && !message.starts_with("its ")
    {
        return "it is not a valid value".to_owned();
    }
    message.to_owned()
}

/// Whether the value of a key must never be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    matches!(last, "plain_password" | "plain_token" | "scram" | "sha256")
}

/// `` `a`, expected one of `b`, `c` `` becomes a sentence, with a guess of what was meant.
fn unknown_key(rest: &str) -> String {
    let names = quoted(rest);
    let [given, allowed @ ..] = names.as_slice() else { return "unknown key".to_owned() };
    let near = allowed
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min();
    let guess = near.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default();
    format!("unknown key{guess}; allowed here: {}", listed(allowed, "and"))
}

/// The words of a sentence that stand in back quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// `a, b or c`.
fn listed(names: &[&str], last_word: &str) -> String {
    match names {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [names @ .., last] => format!("{} {last_word} {last}", names.join(", ")),
    }
}

/// What serde calls a type, as an operator calls it.
fn plain_type(expected: &str) -> &str {
    match expected {
        "a string" | "string only" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list: [[...]] sections, or [ ... ]",
        "usize" | "u64" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "socket address" => "an address with a port, such as \"127.0.0.1:7790\" or \"[::]:7790\"",
        "path string" => "a path in quotes",
        other if other.starts_with("struct ") => "a section: [name] and keys below it",
        other => other,
    }
}
