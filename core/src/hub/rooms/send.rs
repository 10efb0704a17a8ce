//! Sending to rooms: what is not to be sent twice, how fast, and what nobody needs late.

use alloc::collections::VecDeque;
use core::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;

use super::super::Hub;
use super::super::delivery::{PublishOutcome, Refusal, SessionKey};
use super::super::message::{Message, Place};
use super::super::options::Quality;
use super::super::publish::Way;
use super::PREFIX;
use crate::flow::rate::Rate;
use crate::time::Instant;

/// So many of a session's keys are remembered.
const OF_SESSION: usize = 128;
/// So many of a user's are, and so many of all users.
const OF_USER: usize = 256;
const OF_ALL: usize = 65_536;
/// For so long a user's keys are remembered.
const REMEMBERED: Duration = Duration::from_secs(120);
/// What is ephemeral is not handed on when it is older.
const FRESH: Duration = Duration::from_secs(5);

/// What tells that a message is the same as an earlier one: any octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishKey<'a> {
    /// Among the last 128 of this session that had one.
    Session(&'a [u8]),
    /// Among those of this user in the last two minutes, 256 at most, whichever session sent them; of
    /// a client that is no user, among those of its session.
    User(&'a [u8]),
}

/// How a message is sent.
///
/// ```
/// use bowline_core::hub::{Hub, HubOptions, JoinOptions, Message, PublishKey, PublishOptions, SessionOptions};
/// use bowline_core::time::Instant;
/// let now = Instant::from_millis(1);
/// let mut hub = Hub::new(HubOptions::default(), 42);
/// let alice = hub.attach(now, &SessionOptions::default()).unwrap();
/// hub.join(now, alice, 1, "lobby", &JoinOptions::default()).unwrap();
///
/// let options = PublishOptions { key: Some(PublishKey::Session(b"first")), ..PublishOptions::default() };
/// let hello = Message::new("$room/lobby", b"hello").unwrap();
/// let sent = hub.publish_with(now, alice, hello.clone(), &options).unwrap();
/// let again = hub.publish_with(now, alice, hello, &options).unwrap();
/// assert_eq!(sent.place.unwrap().offset, 1);
/// assert!(again.duplicate && again.place == sent.place);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishOptions<'a> {
    /// A second message with the same key is taken and not sent: its answer is that of the first.
    pub key: Option<PublishKey<'a>>,
    /// Whether subscriptions of the sending session get it too.
    pub echo: bool,
    /// It is of use only at once: not kept in a history, at most once, first to be dropped where
    /// much waits, and never handed on when it is five seconds old.
    pub ephemeral: bool,
    /// It is the [event](crate::json::Event) of a member of a room, written by the server, which says
    /// who sent it. What begins like that is taken from nobody else.
    pub event: bool,
}

impl Default for PublishOptions<'_> {
    fn default() -> Self {
        Self { key: None, echo: true, ephemeral: false, event: false }
    }
}

/// What became of messages with keys: by keyed hashes of 64 bits.
#[derive(Debug, Default)]
pub(in crate::hub) struct Recent {
    list: VecDeque<(u64, Instant, Option<Place>)>,
}

impl Recent {
    fn find(&self, hash: u64) -> Option<Option<Place>> {
        self.list.iter().rev().find(|(known, ..)| *known == hash).map(|(.., place)| *place)
    }

    fn add(&mut self, hash: u64, now: Instant, place: Option<Place>, most: usize) {
        if self.list.len() >= most {
            self.list.pop_front();
        }
        self.list.push_back((hash, now, place));
    }

    fn forget_before(&mut self, now: Instant) {
        while self.list.front().is_some_and(|(_, at, _)| *at + REMEMBERED <= now) {
            self.list.pop_front();
        }
    }
}

/// The keys of all users.
#[derive(Debug)]
pub(in crate::hub) struct Keys {
    users: HashMap<u64, Recent, RandomState>,
    /// Whose, in the order in which they came.
    order: VecDeque<(Instant, u64)>,
}

impl Keys {
    pub(in crate::hub) fn new(hasher: RandomState) -> Self {
        Self { users: HashMap::with_hasher(hasher), order: VecDeque::new() }
    }

    fn find(&mut self, user: u64, hash: u64, now: Instant) -> Option<Option<Place>> {
        let recent = self.users.get_mut(&user)?;
        recent.forget_before(now);
        recent.find(hash)
    }

    fn add(&mut self, user: u64, hash: u64, now: Instant, place: Option<Place>) {
        // Two go for each that comes, so that what is too old does not stay.
        for _ in 0..2 {
            let is_over = self.order.len() >= OF_ALL;
            let Some((_, user)) = self.order.pop_front_where(|(at, _)| is_over || *at + REMEMBERED <= now)
            else {
                break;
            };
            if let Some(recent) = self.users.get_mut(&user) {
                recent.forget_before(now);
                if is_over {
                    recent.list.pop_front();
                }
                if recent.list.is_empty() {
                    self.users.remove(&user);
                }
            }
        }
        self.order.push_back((now, user));
        self.users.entry(user).or_default().add(hash, now, place, OF_USER);
    }
}

/// Taking the first of a queue if it is so.
trait PopFrontWhere<T> {
    fn pop_front_where(&mut self, is: impl FnOnce(&T) -> bool) -> Option<T>;
}

impl<T> PopFrontWhere<T> for VecDeque<T> {
    fn pop_front_where(&mut self, is: impl FnOnce(&T) -> bool) -> Option<T> {
        if is(self.front()?) { self.pop_front() } else { None }
    }
}

impl Hub {
    /// Sends a message as [`publish`](Self::publish) does, and as the options say.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); [`Refusal::RateLimited`] where a room takes no more for now.
    /// Nothing is remembered then.
    pub fn publish_with(
        &mut self,
        now: Instant,
        key: SessionKey,
        message: Message,
        options: &PublishOptions<'_>,
    ) -> Result<PublishOutcome, Refusal> {
        let now = self.tick(now);
        let index = self.attached(key)?;
        let remembered = options.key.map(|key| self.remembered(index, key));
        if let Some((user, hash)) = remembered {
            let known = match user {
                Some(user) => self.keys.find(user, hash, now),
                None => self.sessions.all[index].rare().recent.as_ref().and_then(|recent| recent.find(hash)),
            };
            if let Some(place) = known {
                return Ok(PublishOutcome { place, ..self.duplicate() });
            }
        }
        let mut message = if options.ephemeral { ephemeral(now, message) } else { message };
        let (_, goes) = self.check_publish(key, &mut message, options.event, true)?;
        let way = Way { publisher: Some(index), echo: options.echo, ephemeral: options.ephemeral };
        let outcome = self.accept(now, way, message, goes);
        match remembered {
            Some((Some(user), hash)) => self.keys.add(user, hash, now, outcome.place),
            Some((None, hash)) => {
                let recent = self.sessions.all[index].rare_mut().recent.get_or_insert_default();
                recent.add(hash, now, outcome.place, OF_SESSION);
            }
            None => {}
        }
        Ok(outcome)
    }

    /// Where a key is remembered, and as what.
    fn remembered(&self, index: u32, key: PublishKey<'_>) -> (Option<u64>, u64) {
        let user = self.sessions.all[index].aside.owner.user();
        match key {
            PublishKey::Session(key) => (None, self.hasher.hash_one((0_u8, key))),
            PublishKey::User(key) if user.is_empty() => (None, self.hasher.hash_one((1_u8, key))),
            PublishKey::User(key) => (Some(self.hasher.hash_one(user)), self.hasher.hash_one((1_u8, key))),
        }
    }

    /// Whether a room takes another message of this session now.
    #[cold]
    pub(in crate::hub) fn check_rate(&mut self, index: u32, topic: &str) -> Result<(), Refusal> {
        let now = self.now;
        let Some(number) = topic.strip_prefix(PREFIX).and_then(|name| self.rooms.find(name)) else {
            return Ok(());
        };
        let refused = |at: Instant| Refusal::RateLimited { retry_after: at.saturating_since(now) };
        let rooms = self.sessions.all[index].rare_if_any().and_then(|rare| rare.rooms.as_mut());
        let mut own = rooms.and_then(|rooms| rooms.of(number)).and_then(|m| m.rate.as_mut());
        if let Some(rate) = &mut own {
            rate.try_take(now, 1).map_err(refused)?;
        }
        let Some(rate) = &mut self.rooms.all[number].rate else { return Ok(()) };
        rate.try_take(now, 1).map_err(|at| {
            // What the room does not take is not the sender's.
            own.into_iter().for_each(Rate::give_back);
            refused(at)
        })
    }
}

/// A message that is of use only at once.
fn ephemeral(now: Instant, message: Message) -> Message {
    let expires = message.expires().map_or(now + FRESH, |at| at.min(now + FRESH));
    message.with_quality(Quality::AtMostOnce).with_retain(false).with_expiry(expires)
}
