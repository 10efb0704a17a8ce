//! A store as lines of JSON, to look at, to move, and to go from one version to another.
//!
//! The first line is `{"op":"bowline_store","version":1,"exported_at":…}`; each other one is an operation
//! as [`Line`] has it. All times are in milliseconds since 1970, UTC. A line refers only to what stands
//! above it.

use std::io::{BufRead, Write};
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bowline_core::hub::{Layout, Message, Operation, Quality, QueueOptions, SubscribeOptions};
use bowline_driver::store::Calendar;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::columns::{duration, millis, retain_handling};
use crate::error::StoreError;
use crate::store::Store;

/// The version of the format.
pub const VERSION: u32 = 1;

/// So many lines go into the store in one transaction.
const BATCH: usize = 10_000;

/// Why a store is not exported or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other side fails.
    #[error("cannot read or write the export: {0}")]
    Io(#[from] std::io::Error),
    /// A line makes no sense.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1 on.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The store holds something already.
    #[error("the store is not empty; import into a new directory")]
    NotEmpty,
}

/// A line of an export. `expiry` and the like are in milliseconds; left out, they never end.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // The fields are those of `Operation`.
pub enum Line {
    /// The first line.
    BowlineStore { version: u32, exported_at: u64 },
    /// A message that lines below refer to. A payload that is not UTF-8 is in base64, and so is `head`,
    /// what its body has in front of the topic, unless that is only the topic's length.
    Message {
        message: u64,
        topic: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload_base64: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head_base64: Option<String>,
        #[serde(default, skip_serializing_if = "is_false")]
        has_properties: bool,
        qos: u8,
        #[serde(default, skip_serializing_if = "is_false")]
        retain: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<u64>,
    },
    /// A session; `ends_at` where it is not connected.
    Session {
        session: u64,
        name: String,
        identity: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expiry: Option<i64>,
    },
    /// A session that is not connected.
    Detached {
        session: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expiry: Option<i64>,
        ends_at: u64,
    },
    /// A session's will.
    Will {
        session: u64,
        message: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delay: Option<i64>,
    },
    /// A subscription.
    Subscription {
        session: u64,
        sid: u64,
        filter: String,
        qos: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credit: Option<u64>,
        #[serde(default, skip_serializing_if = "is_false")]
        no_local: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        serves: bool,
        #[serde(default, skip_serializing_if = "is_false")]
        retain_as_published: bool,
        #[serde(default)]
        retain_handling: u8,
    },
    /// An id that a session's peer must not use for another message yet.
    Received { session: u64, id: u16 },
    /// A queue.
    Queue { queue: String, max_tasks: u32, max_bytes: u64, max_attempts: u32 },
    /// A task in a queue.
    Task { queue: String, task: u64, message: u64, attempts: u32 },
    /// On its way to a session, behind those above.
    Delivery {
        session: u64,
        number: u32,
        message: u64,
        sid: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<u64>,
        qos: u8,
        #[serde(default, skip_serializing_if = "is_false")]
        retain: bool,
    },
    /// Deliveries up to this one come again as repetitions.
    Sent { session: u64, number: u32 },
    /// A delivery of which only the settling is left.
    Released { session: u64, number: u32 },
    /// The last value of a topic.
    Retained { topic: String, message: u64 },
    /// A message in a topic's history, and the microseconds of when it was published.
    Recorded {
        topic: String,
        offset: u64,
        message: u64,
        published_at: u64,
        #[serde(default, skip_serializing_if = "is_zero")]
        micros: u64,
    },
    /// What tells a topic's offsets from those of an earlier history.
    HistoryEpoch { topic: String, epoch: u64 },
    /// Where an empty history goes on.
    HistoryBegins { topic: String, first: u64 },
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The shape that serde asks for.
fn is_false(value: &bool) -> bool {
    !value
}

impl Store {
    /// Writes all that is held as lines of JSON; gives how many operations that are.
    ///
    /// # Errors
    ///
    /// See [`PortError`].
    pub fn export(&mut self, calendar: Calendar, out: &mut dyn Write) -> Result<u64, PortError> {
        let mut count = 0;
        let mut outcome =
            write_line(out, &Line::BowlineStore { version: VERSION, exported_at: calendar.unix_ms });
        self.load(calendar, |operation| {
            if outcome.is_ok()
                && let Some(line) = Line::of(&operation, calendar)
            {
                count += 1;
                outcome = write_line(out, &line);
            }
        })?;
        outcome?;
        out.flush()?;
        Ok(count)
    }

    /// Takes up what [`export`](Self::export) wrote, into a store that is empty; gives how many
    /// operations that were. Where it fails, what stands above the line was taken up.
    ///
    /// # Errors
    ///
    /// See [`PortError`].
    pub fn import(&mut self, calendar: Calendar, from: &mut dyn BufRead) -> Result<u64, PortError> {
        if !self.is_empty()? {
            return Err(PortError::NotEmpty);
        }
        let (mut count, mut batch) = (0, Vec::new());
        for (index, text) in from.lines().enumerate() {
            let wrong = |what: String| PortError::Line { line: index + 1, what };
            let line: Line = serde_json::from_str(&text?).map_err(|error| wrong(error.to_string()))?;
            match (index, &line) {
                (0, Line::BowlineStore { version: VERSION, .. }) => continue,
                (0, Line::BowlineStore { version, .. }) => {
                    return Err(wrong(format!(
                        "the export's version is {version}, this program knows {VERSION}"
                    )));
                }
                (0, _) => return Err(wrong("this is no export of a store".to_owned())),
                _ => {}
            }
            batch.push(line.operation(calendar).map_err(|what| wrong(what.to_owned()))?);
            count += 1;
            if batch.len() == BATCH {
                self.apply(calendar, &batch)?;
                batch.clear();
            }
        }
        self.apply(calendar, &batch)?;
        Ok(count)
    }
}

fn write_line(out: &mut dyn Write, line: &Line) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Line {
    /// The line of an operation; nothing for one that [`Store::load`] never tells.
    #[must_use]
    pub fn of(operation: &Operation, calendar: Calendar) -> Option<Self> {
        Some(match operation {
            Operation::SessionCreated { session, name, identity, expiry } => Self::Session {
                session: *session,
                name: name.to_string(),
                identity: identity.to_string(),
                expiry: millis(*expiry),
            },
            Operation::SessionChanged { session, expiry, ends: Some(ends) } => Self::Detached {
                session: *session,
                expiry: millis(*expiry),
                ends_at: calendar.unix_ms(*ends),
            },
            Operation::WillChanged { session, will: Some((message, delay)) } => {
                Self::Will { session: *session, message: *message, delay: millis(*delay) }
            }
            Operation::SubscriptionAdded { session, sid, filter, options } => {
                subscription(*session, *sid, filter, options)
            }
            Operation::MessageAdded { message, content } => of_message(*message, content, calendar),
            Operation::Queued { session, number, message, sid, others, quality, retain } => Self::Delivery {
                session: *session,
                number: *number,
                message: *message,
                sid: *sid,
                others: others.to_vec(),
                qos: quality.number(),
                retain: *retain,
            },
            Operation::Sent { session, number } => Self::Sent { session: *session, number: *number },
            Operation::Released { session, number } => Self::Released { session: *session, number: *number },
            Operation::Received { session, id } => Self::Received { session: *session, id: *id },
            Operation::Retained { message, topic } => {
                Self::Retained { topic: topic.to_string(), message: *message }
            }
            Operation::QueueAdded { queue, options: QueueOptions { max_tasks, max_bytes, max_attempts } } => {
                Self::Queue {
                    queue: queue.to_string(),
                    max_tasks: *max_tasks,
                    max_bytes: *max_bytes,
                    max_attempts: *max_attempts,
                }
            }
            Operation::TaskAdded { queue, task, message, attempts } => {
                Self::Task { queue: queue.to_string(), task: *task, message: *message, attempts: *attempts }
            }
            Operation::Recorded { message, topic, offset, stamp } => Self::Recorded {
                topic: topic.to_string(),
                offset: *offset,
                message: *message,
                published_at: stamp / 1000,
                micros: stamp % 1000,
            },
            Operation::HistoryBegan { topic, epoch } => {
                Self::HistoryEpoch { topic: topic.to_string(), epoch: *epoch }
            }
            Operation::HistoryTrimmed { topic, first } => {
                Self::HistoryBegins { topic: topic.to_string(), first: *first }
            }
            _ => return None,
        })
    }

    /// The operation of a line.
    ///
    /// # Errors
    ///
    /// What makes no sense in it.
    pub fn operation(self, calendar: Calendar) -> Result<Operation, &'static str> {
        Ok(match self {
            Self::BowlineStore { .. } => return Err("a second beginning"),
            line @ Self::Message { .. } => return line.message(calendar),
            Self::Session { session, name, identity, expiry } => Operation::SessionCreated {
                session,
                name: name.into(),
                identity: identity.into(),
                expiry: duration(expiry),
            },
            Self::Detached { session, expiry, ends_at } => Operation::SessionChanged {
                session,
                expiry: duration(expiry),
                ends: Some(calendar.instant(ends_at)),
            },
            Self::Will { session, message, delay } => {
                Operation::WillChanged { session, will: Some((message, duration(delay))) }
            }
            Self::Subscription {
                session,
                sid,
                filter,
                qos,
                credit,
                no_local,
                serves,
                retain_as_published,
                retain_handling: handling,
            } => {
                let (quality, retained) = (quality(qos)?, retain_handling(handling));
                let options = SubscribeOptions {
                    quality,
                    credit,
                    no_local,
                    serve: serves,
                    retain_as_published,
                    retained,
                };
                Operation::SubscriptionAdded { session, sid, filter: filter.into(), options }
            }
            Self::Received { session, id } => Operation::Received { session, id },
            Self::Queue { queue, max_tasks, max_bytes, max_attempts } => Operation::QueueAdded {
                queue: queue.into(),
                options: QueueOptions { max_tasks, max_bytes, max_attempts },
            },
            Self::Task { queue, task, message, attempts } => {
                Operation::TaskAdded { queue: queue.into(), task, message, attempts }
            }
            Self::Delivery { session, number, message, sid, others, qos, retain } => Operation::Queued {
                session,
                number,
                message,
                sid,
                others: others.into(),
                quality: quality(qos)?,
                retain,
            },
            Self::Sent { session, number } => Operation::Sent { session, number },
            Self::Released { session, number } => Operation::Released { session, number },
            Self::Retained { topic, message } => Operation::Retained { message, topic: topic.into() },
            Self::Recorded { topic, offset, message, published_at, micros } => {
                let stamp = published_at.saturating_mul(1000).saturating_add(micros);
                Operation::Recorded { message, topic: topic.into(), offset, stamp }
            }
            Self::HistoryEpoch { topic, epoch } => Operation::HistoryBegan { topic: topic.into(), epoch },
            Self::HistoryBegins { topic, first } => Operation::HistoryTrimmed { topic: topic.into(), first },
        })
    }

    fn message(self, calendar: Calendar) -> Result<Operation, &'static str> {
        let Self::Message {
            message,
            topic,
            payload,
            payload_base64,
            head_base64,
            has_properties,
            qos,
            retain,
            expires_at,
        } = self
        else {
            return Err("no message");
        };
        let decode = |text: String| STANDARD.decode(text).map_err(|_| "its base64 makes no sense");
        let payload = match (payload, payload_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => decode(text)?,
            _ => return Err("a message needs either payload or payload_base64"),
        };
        let content = match head_base64 {
            None => Message::new(&topic, &payload).map_err(|_| "its topic is not a topic name")?,
            Some(head) => {
                let mut body = decode(head)?;
                let start = body.len();
                body.extend_from_slice(topic.as_bytes());
                let end = body.len();
                body.extend_from_slice(&payload);
                let at = |length: usize| u32::try_from(length).map_err(|_| "it is too large");
                let (start, payload_at) = (at(start)?, at(end)?);
                let topic = Range { start, end: payload_at };
                let layout = Layout { topic, payload_at, has_props: has_properties };
                Message::from_body(Bytes::from(body), &layout).map_err(|_| "its head makes no sense")?
            }
        };
        let content = content.with_quality(quality(qos)?).with_retain(retain);
        let content = match expires_at {
            Some(at) => content.with_expiry(calendar.instant(at)),
            None => content,
        };
        Ok(Operation::MessageAdded { message, content })
    }
}

fn subscription(session: u64, sid: u64, filter: &str, options: &SubscribeOptions) -> Line {
    let SubscribeOptions { quality, credit, no_local, serve, retain_as_published, retained } = *options;
    Line::Subscription {
        session,
        sid,
        filter: filter.to_owned(),
        qos: quality.number(),
        credit,
        no_local,
        serves: serve,
        retain_as_published,
        retain_handling: retained.number(),
    }
}

fn of_message(message: u64, content: &Message, calendar: Calendar) -> Line {
    let plain = !content.has_props()
        && Message::new(content.topic(), content.payload()).is_ok_and(|made| made.body() == content.body());
    let (payload, payload_base64) = match std::str::from_utf8(content.payload()) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(content.payload()))),
    };
    let head = &content.body()[..content.layout().topic.start as usize];
    Line::Message {
        message,
        topic: content.topic().to_owned(),
        payload,
        payload_base64,
        head_base64: (!plain).then(|| STANDARD.encode(head)),
        has_properties: content.has_props(),
        qos: content.quality().number(),
        retain: content.is_retain(),
        expires_at: content.expires().map(|at| calendar.unix_ms(at)),
    }
}

fn quality(qos: u8) -> Result<Quality, &'static str> {
    if qos > 2 { Err("its qos is not 0, 1 or 2") } else { Ok(Quality::from_number(qos)) }
}
