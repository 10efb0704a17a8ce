//! Publishing: from a message to the queues of all who want it.

use super::Hub;
use super::delivery::{PublishOutcome, Refusal, SessionKey};
use super::message::Message;
use super::outbox::{Offer, Sessions};
use super::session::{Dedup, Entry};
use super::slab::NONE;
use crate::status::Status;
use crate::time::Instant;
use crate::topic::TopicError;

impl Hub {
    /// Sends a message to all who subscribed to its topic.
    ///
    /// With a de-duplication id, a second message of this session with the same id is taken and
    /// goes no further, while the first is remembered
    /// ([`dedup_window`](super::HubOptions::dedup_window)).
    ///
    /// # Errors
    ///
    /// There is no such session, it is detached, the message has no topic, or the rules refuse.
    pub fn publish(
        &mut self,
        now: Instant,
        key: SessionKey,
        message: Message,
        dedup: Option<&[u8]>,
    ) -> Result<PublishOutcome, Refusal> {
        let now = self.tick(now);
        let index = self.attached(key)?;
        if message.topic_octets().is_empty() {
            return Err(Refusal::Topic(TopicError::Empty));
        }
        self.allow_publish(index, &message)?;
        self.sessions.counters.messages_in += 1;
        self.sessions.counters.bytes_in += u64::from(message.size());
        if let Some(id) = dedup {
            let hash = self.hasher.hash_one(id);
            let remembered = &mut self.sessions.all[index].dedup;
            let remembered = remembered.get_or_insert_with(|| Dedup::new(self.hasher.clone()).into());
            if !remembered.is_new(hash, self.options.dedup_window) {
                self.sessions.counters.duplicates += 1;
                return Ok(PublishOutcome { duplicate: true, ..PublishOutcome::default() });
            }
        }
        Ok(self.route(now, Some(index), message))
    }

    /// Sends a message that comes from the server itself, and from no session.
    ///
    /// # Errors
    ///
    /// The message has no topic.
    pub fn publish_own(&mut self, now: Instant, message: Message) -> Result<PublishOutcome, Refusal> {
        let now = self.tick(now);
        if message.topic_octets().is_empty() {
            return Err(Refusal::Topic(TopicError::Empty));
        }
        Ok(self.route(now, None, message))
    }

    /// Queues a message for all subscriptions that match.
    fn route(&mut self, now: Instant, publisher: Option<u32>, message: Message) -> PublishOutcome {
        let mut outcome = PublishOutcome::default();
        let Self { subs, sessions, .. } = self;
        let found = subs.matcher.find(message.topic_octets());
        if found.is_empty() || message.expired(now) {
            return outcome;
        }
        let (size, reliable) = (message.size(), message.is_reliable());
        let message = sessions.pool.insert(message);
        for filter in found {
            let filter = &subs.filters[*filter];
            for t in filter.targets() {
                if t.no_local() && publisher == Some(t.session()) {
                    continue;
                }
                let lane = if t.has_lane() { subs.subs[t.sub].lane } else { NONE };
                let entry = Entry::new(t.sid, message, reliable & t.reliable());
                let offer = sessions.offer(t.session(), lane, entry, size);
                outcome.count(offer);
                if offer == Offer::High {
                    hold(sessions, t.session(), publisher);
                }
            }
            for number in filter.groups() {
                let group = &mut subs.groups[*number];
                if group.serve {
                    continue;
                }
                let all = &sessions.all;
                let Some(t) = group.pick(|_| true, false, |s| all[s].has_room(size)) else { continue };
                let lane = subs.subs[t.sub].lane;
                let entry = Entry::new(t.sid, message, reliable & t.reliable()).of_group(*number);
                let offer = sessions.offer(t.session(), lane, entry, size);
                outcome.count(offer);
                if offer == Offer::High {
                    hold(sessions, t.session(), publisher);
                }
            }
        }
        sessions.pool.release(message);
        if !self.sessions.lost.is_empty() {
            self.settle_lost(Status::Busy);
        }
        outcome
    }
}

impl PublishOutcome {
    #[inline]
    fn count(&mut self, offer: Offer) {
        self.matched += 1;
        self.queued += u32::from(offer != Offer::Dropped);
    }
}

#[cold]
fn hold(sessions: &mut Sessions, consumer: u32, publisher: Option<u32>) {
    if let Some(publisher) = publisher.filter(|p| *p != consumer) {
        sessions.hold(consumer, publisher);
    }
}
