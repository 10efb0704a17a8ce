//! The packets, and what they hold.

use core::num::NonZeroU16;

use super::topic::Filter;

/// The protocol's name, as CONNECT says it.
pub const PROTOCOL: &str = "PRX1";

/// The longest string and the longest message, in octets: what a 16-bit length can say.
pub const STRING_MAX: usize = 65_535;

/// The most octets of a field with its length.
const FIELD_MAX: u32 = 2 + STRING_MAX as u32;

/// Sorts of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the protocol's own; `Packet` says what each holds
pub enum Kind {
    Connect = 1,
    ConnAck = 2,
    Queue = 4,
    QueueAck = 5,
    PubAck = 6,
    Subscribe = 7,
    SubAck = 8,
    Unsubscribe = 9,
    UnsubAck = 10,
    Publish = 11,
    Ping = 12,
    Pong = 13,
    Disconnect = 14,
}

impl Kind {
    /// The kind with this code, from the upper half of a first octet.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Kind> {
        Some(match code {
            1 => Kind::Connect,
            2 => Kind::ConnAck,
            4 => Kind::Queue,
            5 => Kind::QueueAck,
            6 => Kind::PubAck,
            7 => Kind::Subscribe,
            8 => Kind::SubAck,
            9 => Kind::Unsubscribe,
            10 => Kind::UnsubAck,
            11 => Kind::Publish,
            12 => Kind::Ping,
            13 => Kind::Pong,
            14 => Kind::Disconnect,
            _ => return None,
        })
    }

    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The name as the protocol writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Connect => "CONNECT",
            Kind::ConnAck => "CONNACK",
            Kind::Queue => "QUEUE",
            Kind::QueueAck => "QUEUEACK",
            Kind::PubAck => "PUBACK",
            Kind::Subscribe => "SUBSCRIBE",
            Kind::SubAck => "SUBACK",
            Kind::Unsubscribe => "UNSUBSCRIBE",
            Kind::UnsubAck => "UNSUBACK",
            Kind::Publish => "PUBLISH",
            Kind::Ping => "PING",
            Kind::Pong => "PONG",
            Kind::Disconnect => "DISCONNECT",
        }
    }

    /// The most octets that a body of this kind can have, with every field as long as it may be:
    /// whatever announces more is refused before a body is waited for.
    #[must_use]
    pub const fn max_body(self) -> u32 {
        match self {
            // Of a CONNECT for another protocol the rest may be anything.
            Kind::Connect => FIELD_MAX + 1 + 3 * FIELD_MAX + 2,
            Kind::ConnAck => 1 + FIELD_MAX,
            Kind::Queue => 2 + 2 + 4 * FIELD_MAX,
            Kind::PubAck | Kind::SubAck | Kind::UnsubAck => 2,
            Kind::Subscribe | Kind::Unsubscribe => 2 + FIELD_MAX,
            Kind::Publish => 2 + 2 * FIELD_MAX,
            Kind::QueueAck | Kind::Ping | Kind::Pong | Kind::Disconnect => 0,
        }
    }
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The id of a packet that is acknowledged: 1 to 65,534. An `Option` of it takes two octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The first.
    pub const FIRST: PacketId = PacketId(NonZeroU16::MIN);
    /// The last.
    pub const LAST: u16 = 65_534;

    /// The id with this number; nothing for 0, which means none, and 65,535, which is none.
    #[must_use]
    pub const fn new(id: u16) -> Option<PacketId> {
        match NonZeroU16::new(id) {
            Some(n) if id <= PacketId::LAST => Some(PacketId(n)),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The one behind it; the first behind the last.
    #[must_use]
    pub const fn next(self) -> PacketId {
        match PacketId::new(self.get() + 1) {
            Some(next) => next,
            None => PacketId::FIRST,
        }
    }
}

impl core::fmt::Display for PacketId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// CONNECT: a client says who it is. What is absent was not sent.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Connect<'b> {
    /// The user.
    pub user: Option<&'b str>,
    /// Its password.
    pub password: Option<&'b [u8]>,
    /// What the client calls itself.
    pub client_id: Option<&'b str>,
    /// A packet comes at least so often, in seconds; 0: no promise.
    pub keepalive: Option<u16>,
    /// The session begins anew.
    pub clean: bool,
}

impl core::fmt::Debug for Connect<'_> {
    /// Without the password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connect")
            .field("user", &self.user)
            .field("password", &self.password.map(|_| ".."))
            .field("client_id", &self.client_id)
            .field("keepalive", &self.keepalive)
            .field("clean", &self.clean)
            .finish()
    }
}

/// How CONNECT is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConnectResult {
    /// 0, "none". It is what the protocol's document answers on success.
    #[default]
    None = 0,
    /// 1: unknown user, or wrong password.
    Fail = 1,
    /// 2. It is what the published source answers on success.
    Ok = 2,
    /// 3: not this protocol, or not here.
    Refused = 3,
    /// 4: something is wrong with the server.
    Error = 4,
}

impl ConnectResult {
    /// The result of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<ConnectResult> {
        Some(match number {
            0 => ConnectResult::None,
            1 => ConnectResult::Fail,
            2 => ConnectResult::Ok,
            3 => ConnectResult::Refused,
            4 => ConnectResult::Error,
            _ => return None,
        })
    }

    /// Whether the connection is open: 0 as documented, 2 as published.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, ConnectResult::None | ConnectResult::Ok)
    }
}

/// CONNACK: the answer to CONNECT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnAck<'b> {
    /// How it went.
    pub result: ConnectResult,
    /// The client has a session.
    pub has_session: bool,
    /// The session's name.
    pub session: Option<&'b str>,
    /// It began anew.
    pub clean: bool,
}

/// PUBLISH, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'b> {
    /// What it is about. From a server it may be any topic of the hub.
    pub topic: &'b str,
    /// The message, at most [`STRING_MAX`] octets.
    pub payload: &'b [u8],
    /// With an id it is acknowledged (QoS 1), without it is not (QoS 0).
    pub id: Option<PacketId>,
    /// To the server: keep it for those who subscribe later, or with an empty message keep none.
    /// To a client: it was kept.
    pub retain: bool,
    /// It may have come before.
    pub dup: bool,
}

impl<'b> Publish<'b> {
    /// A message that is not acknowledged.
    #[must_use]
    pub const fn new(topic: &'b str, payload: &'b [u8]) -> Self {
        Self { topic, payload, id: None, retain: false, dup: false }
    }
}

/// SUBSCRIBE, and UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'b> {
    /// What for.
    pub filter: Filter<'b>,
    /// With an id it is acknowledged, and so are its messages (QoS 1); without, neither (QoS 0).
    pub id: Option<PacketId>,
    /// It may have come before.
    pub dup: bool,
}

/// What QUEUE wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueAction {
    /// The queue is to be there.
    Initialize = 0,
    /// It is to go, with all in it.
    Destroy = 1,
    /// What is in it is to be handed out.
    Drain = 2,
}

/// What QUEUE says of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions<'b> {
    /// What is wanted.
    pub action: QueueAction,
    /// An id.
    pub id: Option<PacketId>,
    /// The queue's name.
    pub address: Option<&'b str>,
    /// The topic under which what is in the queue is handed out.
    pub return_path: Option<&'b str>,
    /// What the client wants to find again.
    pub mark: Option<&'b [u8]>,
}

impl<'b> QueueOptions<'b> {
    /// What is wanted of the queue `address`, and nothing else.
    #[must_use]
    pub const fn new(action: QueueAction, address: &'b str) -> Self {
        Self { action, id: None, address: Some(address), return_path: None, mark: None }
    }
}

/// QUEUE: an order to a queue, a message for it, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue<'b> {
    /// The order; without it, the message is for the queue that was named last.
    pub options: Option<QueueOptions<'b>>,
    /// The message, at most [`STRING_MAX`] octets.
    pub payload: Option<&'b [u8]>,
    /// It may have come before.
    pub dup: bool,
}

/// What QUEUEACK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueueStatus {
    /// Nothing.
    None = 0,
    /// Done.
    Ok = 1,
    /// Not done.
    Error = 2,
}

/// A packet. Its strings and messages are borrowed from where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the protocol's own
pub enum Packet<'b> {
    Connect(Connect<'b>),
    ConnAck(ConnAck<'b>),
    Queue(Queue<'b>),
    QueueAck(QueueStatus),
    PubAck(PacketId),
    Subscribe(Subscribe<'b>),
    SubAck(PacketId),
    Unsubscribe(Subscribe<'b>),
    UnsubAck(PacketId),
    Publish(Publish<'b>),
    Ping,
    Pong,
    Disconnect,
}

impl Packet<'_> {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Packet::Connect(_) => Kind::Connect,
            Packet::ConnAck(_) => Kind::ConnAck,
            Packet::Queue(_) => Kind::Queue,
            Packet::QueueAck(_) => Kind::QueueAck,
            Packet::PubAck(_) => Kind::PubAck,
            Packet::Subscribe(_) => Kind::Subscribe,
            Packet::SubAck(_) => Kind::SubAck,
            Packet::Unsubscribe(_) => Kind::Unsubscribe,
            Packet::UnsubAck(_) => Kind::UnsubAck,
            Packet::Publish(_) => Kind::Publish,
            Packet::Ping => Kind::Ping,
            Packet::Pong => Kind::Pong,
            Packet::Disconnect => Kind::Disconnect,
        }
    }
}
