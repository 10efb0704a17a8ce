//! Rate limits: token buckets by session, user, address or topic.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use ahash::RandomState;
use hashbrown::HashMap;

use super::client::Client;
use super::verdict::{Interest, Rejection, Verdict};
use super::{Context, Plugin};
use crate::flow::rate::Rate;
use crate::hub::{Message, SessionKey};
use crate::time::Instant;
use crate::topic;

/// What is counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Per {
    /// Each session by itself.
    #[default]
    Session,
    /// All sessions of a user; of who is no user, of the address.
    User,
    /// All sessions from an address; of IPv6, from a network of 64 bits. Where there is no address, the session.
    Address,
    /// All messages of a topic, whoever sends them.
    Topic,
    /// All messages.
    All,
}

/// So many a second in the long run, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A second.
    pub rate: u32,
    /// At once, after a time without any.
    pub burst: u32,
}

/// What happens to a message that is too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excess {
    /// It passes, and nothing more is taken from its session until the rate has made up for it: no message is
    /// lost, and a client that sends too fast is slowed down.
    #[default]
    Hold,
    /// It is dropped, and nobody is told.
    Drop,
    /// Its publisher is told no, and when to try again.
    Refuse,
    /// The same, and the connection is closed.
    Disconnect,
}

/// A limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateRule {
    /// On messages whose topic matches one of these filters; without any, on all.
    pub topics: Vec<String>,
    /// What is counted together.
    pub per: Per,
    /// How many messages.
    pub messages: Option<Limits>,
    /// How many octets: properties, topic and payload.
    pub octets: Option<Limits>,
    /// What happens beyond.
    pub excess: Excess,
}

/// Limits how fast messages come in. A message must be within all rules that are about it; those behind one that
/// is exceeded are not charged for it.
///
/// There is a bucket for each session, user, address or topic that a rule has seen, at most
/// [`MAX_BUCKETS`](Self::MAX_BUCKETS) of all rules (some 100 octets each); with more, one that was not used for the longest time makes
/// room: within its last turn in the queue no bucket is lost that is in use.
///
/// ```
/// use bowline_core::plugin::{Excess, Limits, Per, RateLimit, RateRule};
/// let chat = RateRule {
///     topics: vec!["chat/#".into()],
///     per: Per::User,
///     messages: Some(Limits { rate: 5, burst: 20 }),
///     excess: Excess::Refuse,
///     ..RateRule::default()
/// };
/// let limit = RateLimit::new(vec![chat], 42).unwrap();
/// ```
#[derive(Debug)]
pub struct RateLimit {
    rules: Vec<RateRule>,
    buckets: HashMap<u64, Bucket, RandomState>,
    /// In the order in which they are looked at to make room.
    order: VecDeque<u64>,
    hasher: RandomState,
    most: usize,
}

#[derive(Debug)]
struct Bucket {
    messages: Option<Rate>,
    octets: Option<Rate>,
    /// Since it was last looked at to make room.
    used: bool,
}

/// So many buckets are looked at to make room for one.
const LOOKS: usize = 8;

const TOO_MANY: Rejection = Rejection::busy("too many messages; send more slowly");

impl RateLimit {
    /// Buckets at most.
    pub const MAX_BUCKETS: usize = 65_536;

    /// With these rules. `seed` keys its table: draw it from a secret source of randomness, so that nobody
    /// can choose names that share a bucket.
    ///
    /// # Errors
    ///
    /// One of the filters is none.
    pub fn new(rules: Vec<RateRule>, seed: u64) -> Result<Self, topic::TopicError> {
        rules.iter().flat_map(|rule| &rule.topics).try_for_each(|filter| topic::validate_filter(filter))?;
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(17), seed.rotate_left(41));
        let rules =
            rules.into_iter().filter(|rule| rule.messages.is_some() || rule.octets.is_some()).collect();
        Ok(Self {
            rules,
            buckets: HashMap::with_hasher(hasher.clone()),
            order: VecDeque::new(),
            hasher,
            most: Self::MAX_BUCKETS,
        })
    }

    /// The same with another number of buckets at most, at least one.
    #[must_use]
    pub fn with_buckets(mut self, most: usize) -> Self {
        self.most = most.max(1);
        self
    }

    /// How many buckets there are.
    #[must_use]
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    fn key(&self, rule: usize, client: &Client<'_>, message: &Message) -> u64 {
        let hash = |what: (u8, &[u8])| self.hasher.hash_one((rule, what));
        let by_session = || hash((0, &client.session.map_or(0, SessionKey::number).to_be_bytes()));
        let by_address = || match client.who.address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => hash((1, &address.octets())),
            Some(IpAddr::V6(address)) => hash((2, &address.octets()[..8])),
            None => by_session(),
        };
        match self.rules[rule].per {
            Per::Session => by_session(),
            Per::User if client.who.is_anonymous() => by_address(),
            Per::User => hash((3, client.who.user.as_bytes())),
            Per::Address => by_address(),
            Per::Topic => hash((4, message.topic().as_bytes())),
            Per::All => hash((5, &[])),
        }
    }

    /// Makes room for a bucket where there is none.
    fn make_room(&mut self) {
        for look in 0..=LOOKS {
            if self.buckets.len() < self.most {
                return;
            }
            let Some(key) = self.order.pop_front() else { return };
            let used = self.buckets.get_mut(&key).is_some_and(|bucket| core::mem::take(&mut bucket.used));
            if used && look < LOOKS {
                self.order.push_back(key);
            } else {
                self.buckets.remove(&key);
            }
        }
    }

    /// Whether a message is within a rule; else, from when on.
    fn take(&mut self, now: Instant, rule: usize, key: u64, size: u32) -> Result<(), Instant> {
        if !self.buckets.contains_key(&key) {
            self.make_room();
            self.order.push_back(key);
        }
        let RateRule { messages, octets, excess, .. } = &self.rules[rule];
        let full = |limits: &Limits| Rate::new(now, limits.rate, limits.burst);
        let bucket = self.buckets.entry(key).or_insert_with(|| Bucket {
            messages: messages.as_ref().map(full),
            octets: octets.as_ref().map(full),
            used: false,
        });
        bucket.used = true;
        if *excess == Excess::Hold {
            let messages = bucket.messages.as_mut().map_or(Ok(()), |rate| rate.overdraw(now, 1));
            let octets = bucket.octets.as_mut().map_or(Ok(()), |rate| rate.overdraw(now, size));
            return match (messages, octets) {
                (Err(a), Err(b)) => Err(a.max(b)),
                (a, b) => a.and(b),
            };
        }
        if let Some(rate) = &mut bucket.messages {
            rate.try_take(now, 1)?;
        }
        let Some(rate) = &mut bucket.octets else { return Ok(()) };
        rate.try_take(now, size).inspect_err(|_| {
            // It did not come through.
            bucket.messages.iter_mut().for_each(Rate::give_back);
        })
    }
}

impl Plugin for RateLimit {
    fn interest(&self) -> Interest {
        if self.rules.is_empty() { Interest::NONE } else { Interest::MESSAGE_IN }
    }

    fn message_in(&mut self, cx: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        let (now, size) = (cx.now(), message.body().len() as u32);
        for rule in 0..self.rules.len() {
            let topics = &self.rules[rule].topics;
            if !topics.is_empty() && !topics.iter().any(|filter| topic::matches(filter, message.topic())) {
                continue;
            }
            let key = self.key(rule, client, message);
            let Err(when) = self.take(now, rule, key, size) else { continue };
            let why = TOO_MANY.retry_after(when.saturating_since(now));
            match (self.rules[rule].excess, client.session) {
                (Excess::Hold, Some(session)) => cx.hold(session, when),
                (Excess::Hold, None) => {}
                (Excess::Drop, _) => return Verdict::Drop,
                (Excess::Refuse, _) | (_, None) => return Verdict::Refuse(why),
                (Excess::Disconnect, Some(session)) => {
                    cx.disconnect(session, why);
                    return Verdict::Refuse(why);
                }
            }
        }
        Verdict::Pass
    }
}
