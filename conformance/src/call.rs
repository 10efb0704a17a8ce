//! The application's calls, typed: what a vector's `call` may say, here in our own protocol.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub mod prx1;

/// How a client says who it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Not at all.
    None,
    /// User and password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Token {
        /// In hexadecimal digits.
        token: String,
    },
    /// SCRAM-SHA-256: with `data` the application does the mathematics, without it the implementation.
    Scram {
        /// The client-first-message, in hexadecimal digits.
        data: Option<String>,
        /// The user.
        user: Option<String>,
        /// The password.
        password: Option<String>,
    },
}

/// Reliable frames as a session has counted them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Sent.
    #[serde(default)]
    pub sent: u64,
    /// Of those, acknowledged.
    #[serde(default)]
    pub acked: u64,
    /// Received and accepted.
    #[serde(default)]
    pub received: u64,
}

/// `connect`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connect {
    /// Who it is.
    pub auth: Option<Auth>,
    /// The session to resume, 16 octets.
    pub session: Option<String>,
    /// Its key, 16 octets.
    pub key: Option<String>,
    /// What went each way in it.
    pub counts: Option<Counts>,
    /// How long the session should outlive its connection.
    pub expiry_ms: u64,
    /// What the client calls itself.
    pub name: String,
}

/// `welcome`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Welcome {
    /// The session, 16 octets.
    pub session: Option<String>,
    /// Its key, 16 octets.
    pub key: Option<String>,
    /// For a resumed session: what went each way in it, as the server has kept it.
    pub counts: Option<Counts>,
    /// How long it outlives the connection.
    pub expiry_ms: u64,
    /// The last step of the authentication.
    pub auth: String,
    /// What the server calls itself.
    pub name: String,
}

/// Properties of a message.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Props {
    /// What the payload is.
    pub content_type: Option<String>,
    /// W3C trace context, 25 octets.
    pub trace: Option<String>,
    /// A hint for routing.
    pub route: Option<String>,
    /// For how long the message is worth handing on.
    pub expiry_ms: Option<u64>,
    /// The de-duplication id.
    pub dedup: Option<String>,
    /// User properties: name and value.
    pub user: Vec<(String, String)>,
    /// Where an answer is to be published.
    pub response_topic: Option<String>,
    /// What the answer is to carry again, in hexadecimal digits.
    pub correlation: Option<String>,
    /// Whether the payload is UTF-8: 0 or 1.
    pub payload_format: Option<u8>,
    /// Properties of later versions: id and value.
    pub unknown: Vec<(u64, String)>,
}

/// `publish`, and `message`, which names a subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The subscription; of `message` alone.
    #[serde(default)]
    pub id: u64,
    /// What it is about.
    pub topic: String,
    /// What it says, in hexadecimal digits.
    #[serde(default)]
    pub payload: String,
    /// At least once.
    #[serde(default)]
    pub reliable: bool,
    /// To be retained, or retained.
    #[serde(default)]
    pub retain: bool,
    /// What it says beside.
    #[serde(default)]
    pub props: Props,
}

/// `subscribe`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Chosen by the subscriber.
    pub id: u64,
    /// What for.
    pub filter: String,
    /// 0 or 1.
    #[serde(default)]
    pub quality: u64,
    /// The subscription's own window at first.
    pub credit: Option<u64>,
    /// Requests, not messages.
    #[serde(default)]
    pub serve: bool,
    /// Not what the session itself published.
    #[serde(default)]
    pub no_local: bool,
    /// With which retained values it begins: 0, 1 or 2.
    #[serde(default)]
    pub retained: u64,
    /// Whether messages say that they were published to be retained.
    #[serde(default)]
    pub retain_as_published: bool,
}

/// `request`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the requester.
    pub id: u64,
    /// The subscription of the responder; 0 from a requester.
    #[serde(default)]
    pub subscription: u64,
    /// 0: the default.
    #[serde(default)]
    pub timeout_ms: u64,
    /// To all who serve.
    #[serde(default)]
    pub many: bool,
    /// What it is about.
    pub topic: String,
    /// What is asked, in hexadecimal digits.
    #[serde(default)]
    pub payload: String,
    /// What it says beside.
    #[serde(default)]
    pub props: Props,
}

/// `respond`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Of the request.
    pub id: u64,
    /// Its name, or its number.
    pub status: Value,
    /// Others follow.
    #[serde(default)]
    pub more: bool,
    /// In hexadecimal digits.
    #[serde(default)]
    pub payload: String,
    /// What it says beside.
    #[serde(default)]
    pub props: Props,
}

/// `offer`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// To be answered, or settled, with.
    pub id: u64,
    /// The queue.
    pub queue: String,
    /// The task, in hexadecimal digits.
    #[serde(default)]
    pub payload: String,
    /// What it says beside.
    #[serde(default)]
    pub props: Props,
}

/// A call of the application.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // each is a method of the session, or a frame, of the same name
pub enum Call {
    Connect(Connect),
    Welcome(Welcome),
    Challenge {
        data: String,
    },
    Authenticate {
        data: String,
    },
    Refuse {
        code: String,
        #[serde(default)]
        reason: String,
    },
    Publish(Message),
    Message(Message),
    Subscribe(Subscribe),
    Unsubscribe {
        id: u64,
    },
    Request(Request),
    Respond(Response),
    Cancel {
        id: u64,
    },
    Result {
        kind: String,
        id: u64,
        status: Value,
        #[serde(default)]
        reason: String,
    },
    Credit {
        id: u64,
        limit: u64,
    },
    Ping {},
    Drain {
        #[serde(default)]
        deadline_ms: u64,
        #[serde(default)]
        retry_after_ms: u64,
        #[serde(default)]
        endpoint: String,
    },
    Close {
        code: String,
        #[serde(default)]
        reason: String,
    },
    Accept {
        count: u32,
    },
    Hold {
        hold: bool,
    },
    Offer(Offer),
    Take {
        id: u64,
        queue: String,
        count: u64,
    },
    Settle {
        id: u64,
        #[serde(default)]
        reject: bool,
    },
    Join {
        id: u64,
        room: String,
        credit: Option<u64>,
        #[serde(default)]
        presence: bool,
        since: Option<(String, u64)>,
        #[serde(default)]
        history: u64,
        #[serde(default)]
        data: String,
        #[serde(default)]
        count_only: bool,
    },
    Joined {
        id: u64,
        epoch: String,
        offset: u64,
        count: u64,
        member: String,
        #[serde(default)]
        recovered: bool,
    },
    Leave {
        id: u64,
    },
    Presence {
        id: u64,
        #[serde(default)]
        member: String,
        #[serde(default)]
        data: String,
        #[serde(default)]
        gone: bool,
    },
    History {
        id: u64,
        room: String,
        from: Option<u64>,
        before: Option<u64>,
        limit: Option<u64>,
    },
    OpenTunnel {
        id: u64,
        target: String,
    },
    AcceptTunnel {
        id: u64,
    },
    RefuseTunnel {
        id: u64,
        status: Value,
        #[serde(default)]
        reason: String,
    },
    WriteTunnel {
        id: u64,
        payload: String,
    },
    EndTunnel {
        id: u64,
    },
    ConsumeTunnel {
        id: u64,
        octets: u64,
    },
    ResetTunnel {
        id: u64,
        code: u64,
    },
    ReleaseTunnel {
        id: u64,
    },
}

impl Call {
    /// Reads a call as a vector writes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(name: &str, arguments: &Map<String, Value>) -> Result<Call, String> {
        read(name, arguments)
    }
}

/// Reads a call of any dialect.
fn read<C: DeserializeOwned>(name: &str, arguments: &Map<String, Value>) -> Result<C, String> {
    let call = Map::from_iter([(name.to_owned(), Value::Object(arguments.clone()))]);
    serde_json::from_value(Value::Object(call)).map_err(|e| format!("call {name}: {e}"))
}
