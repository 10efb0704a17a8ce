//! Compressed payloads on their way through the hub (SPEC §5.8): handed on as they came to those who agreed on
//! their codec, and inflated, once, for all others.

use alloc::boxed::Box;

use bytes::Bytes;

use crate::compression::Codecs;
use crate::hub::{Delivery, Message, Refusal, Take};
use crate::session::{Features, Session};
use crate::status::Status;

/// So many that were inflated are kept: more than what is handed out to one session after the other at once.
const SLOTS: usize = 16;

/// Octets of what is kept, at most.
const MAX_OCTETS: usize = 4 << 20;

/// How many compressed payloads had to do with the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionCounters {
    /// Deliveries whose payload was handed on compressed.
    pub passed: u64,
    /// Payloads that were inflated, each once for many.
    pub inflated: u64,
    /// Octets that they had compressed.
    pub octets_compressed: u64,
    /// Octets that they inflated to.
    pub octets_inflated: u64,
    /// Payloads that did not inflate to what they said: they went no further.
    pub malformed: u64,
    /// Payloads that were not taken, because they would inflate to more than is taken, or to more than a hundred
    /// times their octets (CMP-4, CMP-5): each ended its connection.
    pub refused: u64,
}

/// What a session may be handed compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    features: Features,
    /// A message as it was may be so large.
    largest: u64,
}

impl Accepted {
    /// Nothing: it speaks what has no word for it.
    pub(super) const NOTHING: Self = Self { features: Features::NONE, largest: 0 };

    pub(super) const fn by(session: &Session) -> Self {
        Self { features: session.features(), largest: session.max_send_frame() as u64 }
    }

    pub(super) fn takes(self, message: &Message) -> bool {
        message.encoding().is_none_or(|encoding| {
            encoding.length <= self.largest && self.features.contains(Features::of_codec(encoding.codec))
        })
    }
}

/// A payload that was inflated lately, or could not be.
#[derive(Debug)]
struct Entry {
    /// Keeps the message's place in memory from being used again, so that the place is its name.
    body: Bytes,
    plain: Option<Message>,
}

impl Entry {
    fn octets(&self) -> usize {
        self.body.len() + self.plain.as_ref().map_or(0, |plain| plain.body().len())
    }
}

/// Inflates what is not to be handed on as it came. It takes no memory before it is used.
#[derive(Debug, Default)]
pub(super) struct Inflating {
    work: Option<Box<Work>>,
    pub(super) counters: CompressionCounters,
}

#[derive(Debug, Default)]
struct Work {
    codecs: Codecs,
    slots: [Option<Entry>; SLOTS],
    next: usize,
    octets: usize,
}

impl Inflating {
    /// The message with its payload as it was; nothing where that does not inflate to what it says.
    pub(super) fn plain(&mut self, message: &Message) -> Option<Message> {
        let work = self.work.get_or_insert_default();
        let body = message.body();
        let known = |entry: &&Entry| (entry.body.as_ptr(), entry.body.len()) == (body.as_ptr(), body.len());
        if let Some(entry) = work.slots.iter().flatten().find(known) {
            return entry.plain.clone();
        }
        let encoding = message.encoding()?;
        // What came was checked against the limit of who sent it.
        let inflated = work.codecs.inflate(encoding, message.payload(), encoding.length);
        let plain = inflated.ok().and_then(|payload| message.with_inflated(&payload));
        match &plain {
            Some(plain) => {
                self.counters.inflated += 1;
                self.counters.octets_compressed += message.payload().len() as u64;
                self.counters.octets_inflated += plain.payload().len() as u64;
            }
            None => self.counters.malformed += 1,
        }
        work.keep(Entry { body: body.clone(), plain: plain.clone() });
        plain
    }

    /// What is published on a topic of the server's own, rooms and queues among them: as it was, because it is
    /// looked at here.
    pub(super) fn taken_in(&mut self, message: Message) -> Result<Message, Refusal> {
        if !message.is_encoded() || !message.topic().starts_with('$') {
            return Ok(message);
        }
        self.plain(&message).ok_or(Refusal::Invalid("the payload does not inflate to what it says"))
    }

    /// Hands out a delivery as its session takes it.
    #[inline]
    pub(super) fn hand_out(
        &mut self,
        delivery: &Delivery<'_>,
        accepted: Accepted,
        take: impl FnOnce(&Delivery<'_>) -> Take,
    ) -> Take {
        match delivery {
            Delivery::Message { message, .. }
            | Delivery::Request { message, .. }
            | Delivery::Response { message, .. }
                if message.is_encoded() =>
            {
                self.hand_out_encoded(delivery, message, accepted, take)
            }
            _ => take(delivery),
        }
    }

    #[cold]
    fn hand_out_encoded(
        &mut self,
        delivery: &Delivery<'_>,
        message: &Message,
        accepted: Accepted,
        take: impl FnOnce(&Delivery<'_>) -> Take,
    ) -> Take {
        if accepted.takes(message) {
            let taken = take(delivery);
            self.counters.passed += u64::from(taken.is_taken());
            return taken;
        }
        let Some(plain) = self.plain(message) else { return give_up(delivery, take) };
        let size = plain.body().len() as u32;
        let mut delivery = *delivery;
        match &mut delivery {
            Delivery::Message { message, .. }
            | Delivery::Request { message, .. }
            | Delivery::Response { message, .. } => *message = &plain,
            _ => {}
        }
        match take(&delivery) {
            Take::Taken => Take::Sized(size),
            other => other,
        }
    }
}

/// What cannot be inflated is dropped; who waits for an answer is told.
fn give_up(delivery: &Delivery<'_>, take: impl FnOnce(&Delivery<'_>) -> Take) -> Take {
    match *delivery {
        Delivery::Response { id, .. } => {
            let message = Message::response(Bytes::new());
            take(&Delivery::Response { id, status: Status::Rejected, more: false, message: &message })
        }
        _ => Take::Never,
    }
}

impl Work {
    fn keep(&mut self, entry: Entry) {
        let octets = entry.octets();
        if self.octets + octets > MAX_OCTETS {
            (self.slots, self.octets) = ([const { None }; SLOTS], 0);
        }
        if octets <= MAX_OCTETS {
            let old = self.slots[self.next].replace(entry);
            self.octets += octets;
            self.octets -= old.map_or(0, |old| old.octets());
            self.next = (self.next + 1) % SLOTS;
        }
    }
}
