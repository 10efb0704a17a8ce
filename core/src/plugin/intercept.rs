//! Interception: messages dropped, refused, changed or copied, by their topic.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::client::Client;
use super::verdict::{Interest, Rejection, Verdict};
use super::{Context, Plugin};
use crate::hub::Message;
use crate::time::Instant;
use crate::topic::{self, TopicError};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From who publishes.
    #[default]
    In,
    /// To who receives, each by itself.
    Out,
}

/// What is changed about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A topic that begins with `from` begins with `to` instead.
    Prefix {
        /// What is taken away; empty: nothing.
        from: String,
        /// What comes in its place; empty: nothing.
        to: String,
    },
    /// One more user property.
    UserProperty(String, String),
    /// It is worth handing on for so long at most.
    Lifetime(Duration),
    /// This is its payload.
    Payload(Vec<u8>),
    /// It is not retained.
    NotRetained,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is dropped; who publishes it is not told.
    Drop,
    /// It is refused; who publishes it is told. On the way out it is dropped.
    Refuse(Rejection),
    /// It is changed.
    Change(Vec<Change>),
    /// It goes on, and the same with this in front of its topic goes out as well: on the way in only.
    Copy(String),
}

/// What is done about messages on these topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterceptRule {
    /// Which way they go.
    pub direction: Direction,
    /// Filters; without any, all topics.
    pub topics: Vec<String>,
    /// What becomes of them.
    pub then: Then,
}

/// Intercepts messages: rules in order, each about what those before it made of a message. Whom it is about is said
/// by the [`Placement`](super::Placement). A change that would make a topic of it that it cannot have is
/// refused, on the way out dropped.
#[derive(Clone, Debug, Default)]
pub struct Intercept(Vec<InterceptRule>);

impl Intercept {
    /// With these rules.
    ///
    /// # Errors
    ///
    /// One of the filters is none, or what is to stand in front of topics could not.
    pub fn new(rules: Vec<InterceptRule>) -> Result<Self, TopicError> {
        for rule in &rules {
            rule.topics.iter().try_for_each(|filter| topic::validate_filter(filter))?;
            let front = match &rule.then {
                Then::Copy(front) => core::slice::from_ref(front),
                _ => &[],
            };
            front.iter().try_for_each(|front| topic::validate_topic(front))?;
        }
        Ok(Self(rules))
    }

    fn has(&self, direction: Direction) -> bool {
        self.0.iter().any(|rule| rule.direction == direction)
    }

    fn judge(
        &self,
        now: Instant,
        direction: Direction,
        message: &Message,
        mut copy: impl FnMut(Message),
    ) -> Verdict {
        let mut changed: Option<Message> = None;
        for rule in self.0.iter().filter(|rule| rule.direction == direction) {
            let seen = changed.as_ref().unwrap_or(message);
            if !rule.topics.is_empty() && !rule.topics.iter().any(|f| topic::matches(f, seen.topic())) {
                continue;
            }
            match &rule.then {
                Then::Drop => return Verdict::Drop,
                Then::Refuse(why) => return Verdict::Refuse(*why),
                Then::Copy(front) => {
                    let topic = [front, seen.topic()].concat();
                    // One that gets too long goes nowhere.
                    if let Ok(message) = seen.clone().with_topic(&topic) {
                        copy(message);
                    }
                }
                Then::Change(changes) => {
                    match changes.iter().try_fold(seen.clone(), |message, one| one.apply(now, message)) {
                        Ok(message) => changed = Some(message),
                        Err(_) => {
                            return Verdict::Refuse(Rejection::invalid("its topic cannot be rewritten"));
                        }
                    }
                }
            }
        }
        changed.map_or(Verdict::Pass, Verdict::Change)
    }
}

impl Change {
    fn apply(&self, now: Instant, message: Message) -> Result<Message, TopicError> {
        Ok(match self {
            Self::Prefix { from, to } => match message.topic().strip_prefix(&**from) {
                Some(rest) => {
                    let topic = [to, rest].concat();
                    message.with_topic(&topic)?
                }
                None => message,
            },
            Self::UserProperty(name, value) => message.with_user_property(name, value),
            Self::Lifetime(lifetime) => message.with_lifetime(now, *lifetime),
            Self::Payload(payload) => message.with_payload(payload),
            Self::NotRetained => message.with_retain(false),
        })
    }
}

impl Plugin for Intercept {
    fn interest(&self) -> Interest {
        let wants = |direction, call| if self.has(direction) { call } else { Interest::NONE };
        wants(Direction::In, Interest::MESSAGE_IN) | wants(Direction::Out, Interest::MESSAGE_OUT)
    }

    fn message_in(&mut self, cx: &mut Context<'_>, _: &Client<'_>, message: &Message) -> Verdict {
        self.judge(cx.now(), Direction::In, message, |copy| cx.publish(copy))
    }

    fn message_out(&self, now: Instant, _: &Client<'_>, message: &Message) -> Verdict {
        self.judge(now, Direction::Out, message, |_| {})
    }
}
