//! Publishing: from a message to the queues of all who want it.

use alloc::vec::Vec;

use super::Hub;
use super::delivery::{PublishOutcome, Refusal, SessionKey};
use super::message::Message;
use super::operation::Operation;
use super::options::Quality;
use super::outbox::{Offer, Sessions};
use super::queue;
use super::rooms;
use super::session::{Dedup, Entry};
use super::slab::NONE;
use super::subscribe::is_of_filter;
use super::subscriptions::{FilterEntry, Target};
use crate::plugin::Interest;
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
        mut message: Message,
        dedup: Option<&[u8]>,
    ) -> Result<PublishOutcome, Refusal> {
        let now = self.tick(now);
        let dedup = dedup.map(|id| self.hasher.hash_one(id));
        // What is known was judged, and goes no further.
        let is_new = dedup.is_none_or(|hash| !self.has_published(key, hash));
        let (index, goes) = self.check_publish(key, &mut message, false, is_new)?;
        if let Some(hash) = dedup {
            let remembered = &mut self.sessions.all[index].rare_mut().dedup;
            let remembered = remembered.get_or_insert_with(|| Dedup::new(self.hasher.clone()));
            if !remembered.is_new(hash, self.options.dedup_window) {
                return Ok(self.duplicate());
            }
        }
        Ok(self.accept(now, Way::of(index), message, goes))
    }

    /// Whether a session has published something with this de-duplication id; where nobody judges what it
    /// publishes, that need not be known yet.
    fn has_published(&self, key: SessionKey, hash: u64) -> bool {
        let Ok(index) = self.sessions.find(key) else { return false };
        self.plugins.wants(Interest::MESSAGE_IN)
            && self.sessions.all[index].rare().dedup.as_ref().is_some_and(|dedup| dedup.knows(hash))
    }

    /// Sends a message that its publisher names by `id`, exactly once: until
    /// [`forget_received`](Self::forget_received), a second one with this id is the same, whatever
    /// connection it comes over.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish); nothing is remembered then.
    pub fn publish_once(
        &mut self,
        now: Instant,
        key: SessionKey,
        id: u16,
        mut message: Message,
    ) -> Result<PublishOutcome, Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        let Err(at) = self.sessions.all[index].rare().received.binary_search(&id) else {
            return Ok(self.duplicate());
        };
        let (index, goes) = self.check_publish(key, &mut message, false, true)?;
        let issued = self.sessions.pool.log.issued();
        let mut outcome = self.accept(now, Way::of(index), message, goes);
        self.sessions.all[index].rare_mut().received.insert(at, id);
        if let Some(session) = self.stored(index) {
            self.sessions.pool.log.push(Operation::Received { session, id });
        }
        outcome.commit = self.commit_since(issued);
        Ok(outcome)
    }

    /// The publisher has settled its message exactly once with this id, which is free again. Says
    /// whether there was one.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn forget_received(&mut self, now: Instant, key: SessionKey, id: u16) -> Result<bool, Refusal> {
        self.tick(now);
        let index = self.sessions.find(key)?;
        let received = &mut self.sessions.all[index].rare_mut().received;
        let Ok(at) = received.binary_search(&id) else { return Ok(false) };
        received.remove(at);
        if received.is_empty() {
            *received = Vec::new();
        }
        if let Some(session) = self.stored(index) {
            self.sessions.pool.log.push(Operation::Forgotten { session, id });
        }
        Ok(true)
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
        Ok(self.accept(now, Way::OWN, message, true))
    }

    /// Whether a session may send a message, and what plugins make of it: who sends it, and whether it goes
    /// on. They are not asked unless `judge`.
    pub(super) fn check_publish(
        &mut self,
        key: SessionKey,
        message: &mut Message,
        event: bool,
        judge: bool,
    ) -> Result<(u32, bool), Refusal> {
        let index = self.attached(key)?;
        if message.topic_octets().is_empty() {
            return Err(Refusal::Topic(TopicError::Empty));
        }
        if queue::is_topic(message.topic_octets()) {
            let name = queue::name_of(message.topic()).unwrap_or_default();
            self.check_offer(index, message, name)?;
        } else {
            self.allow_publish(index, message, event)?;
        }
        let goes = !judge || self.judge(index, message)?;
        if goes && let Err(refusal) = self.check_room_for(index, message) {
            self.plugins.withdraw();
            return Err(refusal);
        }
        let counters = &mut self.sessions.counters;
        counters.messages_in += 1;
        counters.bytes_in += u64::from(message.size());
        self.sessions.sizes.record(message.size().into());
        Ok((index, goes))
    }

    /// Whether there is room for a message, wherever it is to be kept.
    fn check_room_for(&mut self, index: u32, message: &Message) -> Result<(), Refusal> {
        if !queue::is_topic(message.topic_octets()) {
            self.check_keep(self.now, message)?;
        }
        if self.sessions.pool.log.stalled && self.needs_store(message) {
            return Err(Refusal::Store);
        }
        if rooms::is_topic(message.topic_octets()) {
            self.check_rate(index, message.topic())?;
        }
        Ok(())
    }

    /// Whether the store would have to keep this message.
    fn needs_store(&mut self, message: &Message) -> bool {
        let Self { subs, sessions, .. } = self;
        let durable = |t: &Target| t.reliable() && sessions.all[t.session()].stored != 0;
        let found = subs.matcher.find(message.topic_octets());
        let mut filters = found.iter().map(|filter| &subs.filters[*filter]);
        let of_group = |number: &u32| subs.groups[*number].members.iter().any(durable);
        let kept = |f: &FilterEntry| f.targets().iter().any(durable) || f.groups().iter().any(of_group);
        message.is_retain()
            || queue::is_topic(message.topic_octets())
            || self.histories.stores(message.topic_octets())
            || (message.is_reliable() && filters.any(kept))
    }

    /// A message that is known. Its first may not be committed yet.
    pub(super) fn duplicate(&mut self) -> PublishOutcome {
        self.sessions.counters.duplicates += 1;
        let commit = self.commit_since(self.commits());
        PublishOutcome { duplicate: true, commit, ..PublishOutcome::default() }
    }

    /// What must be committed for what was done since so many operations were issued.
    #[inline]
    pub(crate) fn commit_since(&self, issued: u64) -> Option<u64> {
        let now = self.sessions.pool.log.issued();
        (now > issued).then_some(now)
    }

    /// Sends on a message that was checked, unless a plugin has dropped it.
    pub(super) fn accept(&mut self, now: Instant, way: Way, message: Message, goes: bool) -> PublishOutcome {
        if !goes {
            return PublishOutcome::default();
        }
        let issued = self.sessions.pool.log.issued();
        let asks = way.publisher.and_then(|p| Some((p, self.asks(p, &message)?, message.clone())));
        let mut outcome = self.route(now, way, message);
        if let Some((requester, reply, message)) = asks
            && self.ask_by_message(now, requester, message, reply)
        {
            (outcome.matched, outcome.queued) = (outcome.matched + 1, outcome.queued + 1);
        }
        // What plugins send beside it is accepted with it.
        self.settle_plugins();
        outcome.commit = self.commit_since(issued);
        if let Some(commit) = outcome.commit {
            self.sessions.pool.log.take(now, commit);
        }
        outcome
    }

    /// Keeps a message if it is to be retained or its topic has a history, and queues it for all
    /// who want it.
    pub(super) fn route(&mut self, now: Instant, way: Way, message: Message) -> PublishOutcome {
        if queue::is_topic(message.topic_octets()) {
            let message = self.sessions.pool.insert(message);
            let outcome = self.offer_task(now, message);
            self.sessions.pool.release(message);
            return outcome;
        }
        let retain = message.is_retain();
        let keeps = !way.ephemeral && self.histories.keeps(message.topic_octets());
        if !(retain || keeps) || message.expired(now) {
            return self.fan_out(now, way, Source::New(message));
        }
        let message = self.sessions.pool.insert(message);
        if retain {
            self.keep(message);
        }
        let at = self.calendar.micros(now);
        let place = self.histories.append(&mut self.sessions.pool, message, at);
        let outcome = PublishOutcome { place, ..self.fan_out(now, way, Source::Pooled(message)) };
        self.sessions.pool.release(message);
        outcome
    }

    /// Queues a message for all subscriptions that match.
    fn fan_out(&mut self, now: Instant, way: Way, source: Source) -> PublishOutcome {
        let mut outcome = PublishOutcome::default();
        let publisher = way.publisher;
        let own = publisher.unwrap_or(NONE);
        let Self { subs, sessions, overlap, .. } = self;
        let message = match &source {
            Source::New(message) => message,
            Source::Pooled(index) => sessions.pool.get(*index),
        };
        let found = subs.matcher.find(message.topic_octets());
        if found.is_empty() || message.expired(now) {
            return outcome;
        }
        let (size, quality, retain) = (message.size(), message.quality(), message.is_retain());
        let message = match source {
            Source::New(message) => sessions.pool.insert(message),
            Source::Pooled(index) => {
                sessions.pool.share(index);
                index
            }
        };
        // Only where several filters match can several subscriptions of a session.
        let several = found.len() > 1;
        let entry_for = |t: &Target| {
            Entry::new(t.sid, message, quality.min(t.quality())).with_retain(retain & t.retain_as_published())
        };
        for filter in found {
            let filter = &subs.filters[*filter];
            for t in filter.targets() {
                if t.session() == own && (t.no_local() || !way.echo) {
                    continue;
                }
                let mut lane = NONE;
                if t.is_special() {
                    if t.is_catching() {
                        // It reads this from the history; what is not there comes never, not late.
                        outcome.count(if way.ephemeral { Offer::Dropped } else { Offer::Queued });
                        continue;
                    }
                    lane = subs.subs[t.sub].lane;
                }
                if way.ephemeral && sessions.all[t.session()].is_half_full() {
                    sessions.counters.dropped.newest += 1;
                    sessions.lost_of(t.session(), 1);
                    outcome.count(Offer::Dropped);
                    continue;
                }
                // A member of a room gets its messages as such, whatever else matches: what waits for it is
                // dropped when it joins again, and read back.
                if several && t.by_id() && is_of_filter(t.sid) {
                    overlap.push(*t);
                    continue;
                }
                offer(sessions, &mut outcome, publisher, (t.session(), lane), entry_for(t), size);
            }
            for number in filter.groups() {
                let group = &mut subs.groups[*number];
                if group.serve {
                    continue;
                }
                let all = &sessions.all;
                let Some(t) = group.pick(|_| true, false, |s| all[s].has_room(size)) else { continue };
                let lane = subs.subs[t.sub].lane;
                let entry = entry_for(&t).of_group(*number);
                offer(sessions, &mut outcome, publisher, (t.session(), lane), entry, size);
            }
        }
        if !overlap.is_empty() {
            offer_once(sessions, &mut outcome, publisher, overlap, message);
        }
        sessions.pool.release(message);
        if !self.sessions.lost.is_empty() {
            self.settle_lost(Status::Busy);
        }
        outcome
    }
}

/// A message that a session gets whatever it has subscribed to is delivered with this id, which no
/// subscription has.
pub(crate) const NOTICE: u64 = 0;

/// What the topics of such messages begin with: nobody else publishes there.
pub(super) const NOTICES: &[u8] = b"$notice";

impl Hub {
    /// Hands a message to a session whatever it has subscribed to: at most once, through its queue and past
    /// its plugins as any other ([`Delivery::Message`](super::Delivery::Message) with id 0). Says whether the
    /// queue took it. Topics that begin with `$notice` are meant for that: no session may publish there.
    ///
    /// # Errors
    ///
    /// There is no such session, it is detached, or the message has no topic.
    pub fn notify(&mut self, now: Instant, key: SessionKey, message: Message) -> Result<bool, Refusal> {
        self.tick(now);
        let index = self.attached(key)?;
        if message.topic_octets().is_empty() {
            return Err(Refusal::Topic(TopicError::Empty));
        }
        let message = self.sessions.pool.insert(message);
        let taken = self.offer_notice(index, message);
        self.sessions.pool.release(message);
        self.settle_lost(Status::Busy);
        Ok(taken)
    }

    /// The same for all sessions with a tag that are attached: it is encoded once. Says how many there were,
    /// and how many queues took it. It goes through all sessions.
    ///
    /// # Errors
    ///
    /// The message has no topic.
    pub fn notify_tagged(
        &mut self,
        now: Instant,
        tag: &str,
        message: Message,
    ) -> Result<PublishOutcome, Refusal> {
        self.tick(now);
        if message.topic_octets().is_empty() {
            return Err(Refusal::Topic(TopicError::Empty));
        }
        let mut outcome = PublishOutcome::default();
        let message = self.sessions.pool.insert(message);
        for key in self.plugins.tagged(tag) {
            if let Ok(index) = self.attached(key) {
                outcome.matched += 1;
                outcome.queued += u32::from(self.offer_notice(index, message));
            }
        }
        self.sessions.pool.release(message);
        self.settle_lost(Status::Busy);
        Ok(outcome)
    }

    fn offer_notice(&mut self, index: u32, message: u32) -> bool {
        let size = self.sessions.pool.get(message).size();
        let entry = Entry::new(NOTICE, message, Quality::AtMostOnce);
        self.sessions.offer(index, NONE, entry, size) != Offer::Dropped
    }
}

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The session that sends it, if one does.
    pub(super) publisher: Option<u32>,
    /// That session gets it too.
    pub(super) echo: bool,
    /// It is not kept, and is dropped first.
    pub(super) ephemeral: bool,
}

impl Way {
    /// From no session.
    pub(super) const OWN: Self = Self { publisher: None, echo: true, ephemeral: false };

    pub(super) const fn of(session: u32) -> Self {
        Self { publisher: Some(session), ..Self::OWN }
    }
}

/// A message to send on.
enum Source {
    New(Message),
    /// In the pool, with a reference that stays the caller's.
    Pooled(u32),
}

/// Offers a delivery to a session's queue, and holds the publisher where that says so.
#[inline]
fn offer(
    sessions: &mut Sessions,
    outcome: &mut PublishOutcome,
    publisher: Option<u32>,
    (session, lane): (u32, u32),
    entry: Entry,
    size: u32,
) -> bool {
    let offer = sessions.offer(session, lane, entry, size);
    outcome.count(offer);
    if offer == Offer::High {
        hold(sessions, session, publisher);
    }
    offer != Offer::Dropped
}

/// One delivery for each session, whichever and how many of its subscriptions match: at the best
/// quality among them, with all their ids ([MQTT-3.3.4-2], [MQTT-3.3.4-4]).
fn offer_once(
    sessions: &mut Sessions,
    outcome: &mut PublishOutcome,
    publisher: Option<u32>,
    targets: &mut Vec<Target>,
    message: u32,
) {
    targets.sort_unstable_by_key(|t| (t.session(), t.sid));
    let m = sessions.pool.get(message);
    let (size, quality, retain) = (m.size(), m.quality(), m.is_retain());
    for same in targets.chunk_by(|a, b| a.session() == b.session()) {
        let best = same.iter().map(|t| t.quality()).max().unwrap_or_default();
        let retain = retain && same.iter().any(|t| t.retain_as_published());
        let mut entry = Entry::new(same[0].sid, message, quality.min(best)).with_retain(retain);
        let list = (same.len() > 1).then(|| sessions.list_overlap(same[1..].iter().map(|t| t.sid).collect()));
        if let Some(list) = list {
            entry = entry.of_overlap(list);
        }
        let taken = offer(sessions, outcome, publisher, (same[0].session(), NONE), entry, size);
        if let Some(list) = list.filter(|_| !taken) {
            sessions.forget_overlap(list);
        }
    }
    targets.clear();
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
