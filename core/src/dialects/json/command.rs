//! What a client asks for (JSON.md §3).

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::{Fault, What};
use super::object::Source;
use super::{Envelope, Kind, MAX_DEPTH};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// `$join`: to be a member of a room, and read back (JSN-19).
    Join {
        /// The room.
        room: &'a str,
        /// What the client has last.
        since: Option<Since>,
        /// How many of the newest messages come first otherwise.
        history: Option<u64>,
        /// What it wants to know of the other members.
        presence: Presence,
        /// What they see of it: JSON.
        data: Option<&'a str>,
    },
    /// `$leave`: a room.
    Leave {
        /// Which.
        room: &'a str,
    },
    /// `$leave_all`: all rooms.
    LeaveAll,
    /// `$history`: messages of a room (JSN-22).
    History {
        /// The room.
        room: &'a str,
        /// How many at most.
        limit: u64,
        /// From where; else the newest.
        mark: Option<Mark>,
    },
    /// `$members`: who is in a room.
    Members {
        /// Which.
        room: &'a str,
    },
    /// `$presence`: what others see of this member from now on.
    Presence {
        /// Where.
        room: &'a str,
        /// It: JSON; nothing any more.
        data: Option<&'a str>,
    },
    /// `$subscribe`: to a topic filter.
    Subscribe {
        /// The filter.
        topic: Cow<'a, str>,
    },
    /// `$unsubscribe`: from a topic filter.
    Unsubscribe {
        /// The filter.
        topic: Cow<'a, str>,
    },
    /// `$publish`: on a topic.
    Publish {
        /// The topic.
        topic: Cow<'a, str>,
        /// What.
        content: Content<'a>,
        /// As the topic's last value.
        retain: bool,
    },
    /// `$request`: on a topic.
    Request {
        /// The topic.
        topic: Cow<'a, str>,
        /// What.
        content: Content<'a>,
        /// How long the answer may take.
        timeout: Option<Duration>,
    },
    /// `$auth`: who the client is, and which session it goes on with (JSN-7).
    Auth(Auth<'a>),
    /// `$ping`.
    Ping,
    /// `$bye`: the session ends.
    Bye,
    /// A message for a room.
    Send(Send<'a>),
    /// A message of a type of the application's own, and for no room (JSN-5).
    Type(Send<'a>),
}

/// A message for a room, or of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send<'a> {
    /// The room; empty: none.
    pub room: Cow<'a, str>,
    /// Its type.
    pub name: &'a str,
    /// An object, as it came.
    pub payload: &'a str,
    /// Of no use later: not kept, dropped first (JSN-18).
    pub ephemeral: bool,
    /// Whether it comes back to who sent it.
    pub echo: bool,
    /// Names it for good.
    pub key: Option<&'a str>,
}

/// What a member learns about the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Nothing.
    #[default]
    None,
    /// How many there are.
    Count,
    /// Who they are.
    Full,
}

/// What a client has of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Since {
    /// The epoch; `None` of what no epoch is written like.
    pub epoch: Option<u64>,
    /// The last offset.
    pub offset: u64,
}

/// A place in a history: the id of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// What was before it, newest first.
    Before(u64),
    /// What was after it, oldest first.
    After(u64),
}

/// What is published or asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A value, as the text that it came as.
    Data(&'a str),
    /// Text.
    Text(Cow<'a, str>),
    /// Octets.
    Octets(Vec<u8>),
}

impl Content<'_> {
    /// The octets of the message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Data(text) => text.as_bytes(),
            Self::Text(text) => text.as_bytes(),
            Self::Octets(octets) => octets,
        }
    }
}

/// What an `$auth` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Who the client is.
    pub credentials: Option<Credentials<'a>>,
    /// The session that it goes on with.
    pub resume: Option<Resume<'a>>,
}

/// How a client proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// By a password.
    Password(Cow<'a, str>, Cow<'a, str>),
    /// By a token.
    Token(Cow<'a, str>),
}

/// A session to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume<'a> {
    /// Its id.
    pub session: Cow<'a, str>,
    /// Its secret.
    pub secret: Cow<'a, str>,
}

impl<'a> Auth<'a> {
    /// From the payload of an `$auth`, or the body of `POST /ws/session`.
    ///
    /// # Errors
    ///
    /// It is no object, or a member is not what it must be.
    pub fn parse(payload: &'a str) -> Result<Self, Fault> {
        let source = Source(payload);
        source.check_depth(MAX_DEPTH)?;
        source.object("", payload.trim_start())?;
        Self::of(source, payload)
    }

    fn of(source: Source<'a>, payload: &'a str) -> Result<Self, Fault> {
        let [user, password, token, session, secret] =
            pick(source, payload, ["user", "password", "token", "session", "secret"])?;
        let text = |member, raw: Option<&'a str>| raw.map(|raw| source.text(member, raw)).transpose();
        let missing = |member, why| source.fault(What::Missing(why), member, payload);
        let credentials = match (text("user", user)?, text("password", password)?, text("token", token)?) {
            (None, None, None) => None,
            (None, None, Some(token)) => Some(Credentials::Token(token)),
            (Some(user), Some(password), None) => Some(Credentials::Password(user, password)),
            (Some(_), None, None) => return Err(missing("password", "'user' has one")),
            (None, Some(_), None) => return Err(missing("user", "'password' is somebody's")),
            _ => {
                let what = What::MustBe("alone: either 'user' and 'password', or 'token'");
                return Err(source.fault(what, "token", token.unwrap_or_default()));
            }
        };
        let resume = match (text("session", session)?, text("secret", secret)?) {
            (None, None) => None,
            (Some(session), Some(secret)) => Some(Resume { session, secret }),
            (Some(_), None) => return Err(missing("secret", "'session' has one")),
            (None, Some(_)) => return Err(missing("session", "'secret' is a session's")),
        };
        Ok(Self { credentials, resume })
    }
}

impl<'a> Command<'a> {
    /// What an envelope asks for.
    ///
    /// # Errors
    ///
    /// There is no such type (JSN-4), or its payload is not what it must be. Names of rooms and
    /// topics are not looked at.
    pub fn parse(envelope: &'a Envelope<'_>) -> Result<Self, Fault> {
        let command =
            if envelope.name.starts_with('$') { Self::own(envelope) } else { Self::of_application(envelope) };
        command.map_err(|fault| Fault { id: envelope.id.as_deref().map(Into::into), ..fault })
    }

    fn own(envelope: &'a Envelope<'_>) -> Result<Self, Fault> {
        let (source, payload) = (Source(envelope.source), envelope.payload);
        let room = || {
            let missing = Fault::new(What::Missing("which one?"), "room", 0);
            envelope.room.as_deref().ok_or(missing)
        };
        Ok(match &*envelope.name {
            "$join" => return join(source, payload, room()?),
            "$leave" => Self::Leave { room: room()? },
            "$leave_all" => Self::LeaveAll,
            "$history" => return history(source, payload, room()?),
            "$members" => Self::Members { room: room()? },
            "$presence" => {
                let [data] = pick(source, payload, ["data"])?;
                Self::Presence { room: room()?, data }
            }
            "$subscribe" => Self::Subscribe { topic: topic(source, payload)? },
            "$unsubscribe" => Self::Unsubscribe { topic: topic(source, payload)? },
            "$publish" => {
                let [retain] = pick(source, payload, ["retain"])?;
                Self::Publish {
                    topic: topic(source, payload)?,
                    content: content(source, payload)?,
                    retain: retain.map_or(Ok(false), |raw| source.boolean("retain", raw))?,
                }
            }
            "$request" => {
                let [timeout] = pick(source, payload, ["timeout_ms"])?;
                let timeout = timeout.map(|raw| source.number("timeout_ms", raw)).transpose()?;
                Self::Request {
                    topic: topic(source, payload)?,
                    content: content(source, payload)?,
                    timeout: timeout.map(Duration::from_millis),
                }
            }
            "$auth" => Self::Auth(Auth::of(source, payload)?),
            "$ping" => Self::Ping,
            "$bye" => Self::Bye,
            _ => return Err(Fault::new(What::UnknownType, "type", 0)),
        })
    }

    fn of_application(envelope: &'a Envelope<'_>) -> Result<Self, Fault> {
        let source = Source(envelope.source);
        let room = match &envelope.room {
            Some(room) => Some(Cow::Borrowed(&**room)),
            None => {
                let [raw] = pick(source, envelope.payload, ["room"])?;
                raw.and_then(|raw| source.text("room", raw).ok())
            }
        };
        let name = &*envelope.name;
        let is_of_room = room.is_some();
        let send = Send {
            room: room.unwrap_or_default(),
            name,
            payload: envelope.payload,
            ephemeral: envelope.kind == Kind::Ephemeral || name == "chat.typing",
            echo: envelope.echo,
            key: envelope.key.as_deref(),
        };
        Ok(if is_of_room { Self::Send(send) } else { Self::Type(send) })
    }
}

/// These members of an object; of one that is repeated, the last.
fn pick<'a, const N: usize>(
    source: Source<'a>,
    object: &'a str,
    wanted: [&str; N],
) -> Result<[Option<&'a str>; N], Fault> {
    let mut found = [None; N];
    source.members(object, |name, value| {
        if let Some(i) = wanted.iter().position(|wanted| *wanted == name) {
            found[i] = Some(value);
        }
    })?;
    Ok(found)
}

fn topic<'a>(source: Source<'a>, payload: &'a str) -> Result<Cow<'a, str>, Fault> {
    match pick(source, payload, ["topic"])? {
        [Some(raw)] => source.text("topic", raw),
        [None] => Err(source.fault(What::Missing("which one?"), "topic", payload)),
    }
}

fn content<'a>(source: Source<'a>, payload: &'a str) -> Result<Content<'a>, Fault> {
    match pick(source, payload, ["data", "text", "base64"])? {
        [Some(data), None, None] => Ok(Content::Data(data)),
        [None, Some(text), None] => source.text("text", text).map(Content::Text),
        [None, None, Some(raw)] => {
            let octets = STANDARD.decode(source.text("base64", raw)?.as_bytes());
            let fault = |_| source.fault(What::MustBe("base64 (RFC 4648 §4, padded)"), "base64", raw);
            octets.map(Content::Octets).map_err(fault)
        }
        [None, None, None] => {
            Err(source.fault(What::Missing("one of 'data', 'text' and 'base64'"), "data", payload))
        }
        _ => Err(source.fault(What::MustBe("alone: one of 'data', 'text' and 'base64'"), "data", payload)),
    }
}

fn join<'a>(source: Source<'a>, payload: &'a str, room: &'a str) -> Result<Command<'a>, Fault> {
    let [since, history, presence, data] = pick(source, payload, ["since", "history", "presence", "data"])?;
    let presence = match presence {
        None => Presence::None,
        Some(raw) => match &*source.text("presence", raw)? {
            "none" => Presence::None,
            "count" => Presence::Count,
            "full" => Presence::Full,
            _ => return Err(source.fault(What::MustBe("'full', 'count' or 'none'"), "presence", raw)),
        },
    };
    Ok(Command::Join {
        room,
        since: since.map(|raw| parse_since(source, raw)).transpose()?,
        history: history.map(|raw| source.number("history", raw)).transpose()?,
        presence,
        data,
    })
}

fn parse_since<'a>(source: Source<'a>, raw: &'a str) -> Result<Since, Fault> {
    let missing = |member| source.fault(What::Missing("'since' has 'epoch' and 'offset'"), member, raw);
    let [epoch, offset] = pick(source, source.object("since", raw)?, ["epoch", "offset"])?;
    let epoch = source.text("epoch", epoch.ok_or_else(|| missing("epoch"))?)?;
    let offset = source.number("offset", offset.ok_or_else(|| missing("offset"))?)?;
    Ok(Since { epoch: parse_epoch(&epoch), offset })
}

/// Exactly as [`server`](super::server) writes it, so that no two texts are the same epoch.
fn parse_epoch(text: &str) -> Option<u64> {
    let is_ours = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| is_ours)
}

fn history<'a>(source: Source<'a>, payload: &'a str, room: &'a str) -> Result<Command<'a>, Fault> {
    let [limit, before, after] = pick(source, payload, ["limit", "before", "after"])?;
    let id = |member, raw: &'a str| {
        let text = source.text(member, raw)?;
        let is_digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let id = text.parse().ok().filter(|_| is_digits);
        id.ok_or_else(|| source.fault(What::MustBe("the id of a message"), member, raw))
    };
    let mark = match (before, after) {
        (None, None) => None,
        (Some(raw), None) => Some(Mark::Before(id("before", raw)?)),
        (None, Some(raw)) => Some(Mark::After(id("after", raw)?)),
        (Some(raw), Some(_)) => {
            return Err(source.fault(What::MustBe("alone: 'before' or 'after'"), "before", raw));
        }
    };
    let limit = limit.map_or(Ok(50), |raw| source.number("limit", raw))?;
    Ok(Command::History { room, limit: limit.min(1000), mark })
}
