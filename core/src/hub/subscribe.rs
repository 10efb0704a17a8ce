//! Subscribing, unsubscribing, and a subscription's credit.

use super::Hub;
use super::delivery::{Refusal, SessionKey};
use super::operation::Operation;
use super::options::{MAX_ID, SubscribeOptions};
use super::queue;
use super::session::{Entry, Kind};
use super::slab::NONE;
use super::subscriptions::Holder;
use crate::access::Action;
use crate::plugin::Ask;
use crate::status::Status;
use crate::time::Instant;
use crate::topic::Filter;

/// A subscription that is named by its filter has an id whose low bits are what its subscriber
/// calls it.
pub(super) const IDENTIFIER_BITS: u32 = 28;
const MAX_IDENTIFIER: u32 = (1 << IDENTIFIER_BITS) - 1;

/// What the subscriber calls the subscription with this id, if it was made by
/// [`Hub::subscribe_filter`]: MQTT's subscription identifier; 0: nothing.
#[must_use]
pub const fn identifier_of(sid: u64) -> u32 {
    sid as u32 & MAX_IDENTIFIER
}

/// Whether a subscription was made by [`Hub::subscribe_filter`].
pub(super) const fn is_of_filter(sid: u64) -> bool {
    sid >> IDENTIFIER_BITS > 0
}

impl Hub {
    /// Subscribes a session to a filter, also to `$share/GROUP/FILTER`; the id is the
    /// subscriber's, and a subscription that has it is replaced.
    ///
    /// When the replaced one has the same filter, what waits for it still comes; otherwise that is
    /// dropped.
    ///
    /// # Errors
    ///
    /// There is no such session or it is detached, the filter is not valid, the id is 0 or too
    /// large, `credit` is 0, `no_local` is asked of a shared subscription, a limit is reached, or
    /// the rules refuse. A subscription with the same id stays as it was then.
    pub fn subscribe(
        &mut self,
        now: Instant,
        key: SessionKey,
        sid: u64,
        filter: &str,
        options: SubscribeOptions,
    ) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.attached(key)?;
        let parsed = self.check_subscribe(index, sid, filter, &options)?;
        if let Some(room) = self.room_of(index, sid) {
            self.leave_number(now, index, room);
        }
        let old = self.sessions.all[index].sub(sid);
        let mut waiting = alloc::vec::Vec::new();
        if let Some(old) = old {
            if self.subs.is_same(old, &parsed, options.serve) {
                waiting = self.sessions.all[index].extract(|e| e.sid == sid);
            }
            self.unlink(index, sid);
        }
        let lane = options.credit.map_or(NONE, |credit| self.sessions.all[index].add_lane(sid, credit));
        let sub = self.link(index, sid, &parsed, &options, lane);
        let s = &mut self.sessions.all[index];
        let group = self.subs.get(sub).group;
        for entry in waiting {
            // A replaced group may have a new number.
            let entry = match entry.kind() {
                Kind::Group(_) => entry.of_group(group),
                _ => entry,
            };
            s.queue(lane).push_back(entry);
        }
        if lane != NONE
            && let Some(lanes) = &mut s.lanes
        {
            lanes.enlist(lane);
        }
        self.sessions.wake(index);
        self.tell_subscription(index, sid, filter, options);
        self.begin_with_retained(index, sid, filter, options, old.is_some());
        self.pump_filter(now, filter, index);
        Ok(())
    }

    /// Subscribes a session to a filter, which is what names the subscription: one of this session
    /// that has the same (`$share/GROUP/` included) is changed, and loses nothing by that.
    ///
    /// `identifier` is what the subscriber calls it, 0 if nothing ([`identifier_of`]); `credit` and
    /// `serve` do not apply. Says whether there was one.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_filter(
        &mut self,
        now: Instant,
        key: SessionKey,
        filter: &str,
        identifier: u32,
        options: SubscribeOptions,
    ) -> Result<bool, Refusal> {
        let now = self.tick(now);
        let index = self.attached(key)?;
        let options = SubscribeOptions { credit: None, serve: false, ..options };
        let parsed = queue::parse(filter)?;
        let own = &self.sessions.all[index].aside.subs;
        let old = self.subs.of_session(index, own, &parsed).map(|sub| (sub, self.subs.get(sub).sid));
        let number = match old {
            Some((_, sid)) => sid >> IDENTIFIER_BITS,
            None => u64::from(self.sessions.all[index].aside.next_sub) + 1,
        };
        let sid = number << IDENTIFIER_BITS | u64::from(identifier.min(MAX_IDENTIFIER));
        self.check_subscribe(index, old.map_or(sid, |(_, sid)| sid), filter, &options)?;
        if let Some((sub, old)) = old {
            let holder = self.holder(index);
            self.subs.change(sub, holder, sid, &options);
            let s = &mut self.sessions.all[index];
            if let Ok(at) = s.aside.subs.binary_search_by_key(&old, |s| s.0) {
                // Its number is above the identifier, so the order stays.
                s.aside.subs[at].0 = sid;
            }
            if let Some(session) = self.stored(index).filter(|_| sid != old) {
                self.sessions.pool.log.push(Operation::SubscriptionRemoved { session, sid: old });
            }
        } else {
            self.sessions.all[index].aside.next_sub += 1;
            self.link(index, sid, &parsed, &options, NONE);
        }
        self.tell_subscription(index, sid, filter, options);
        self.begin_with_retained(index, sid, filter, options, old.is_some());
        self.pump_filter(now, filter, index);
        Ok(old.is_some())
    }

    /// Ends the subscription of this session to a filter, as [`unsubscribe`](Self::unsubscribe)
    /// does, and says whether there was one.
    ///
    /// # Errors
    ///
    /// There is no such session, or the filter is not valid.
    pub fn unsubscribe_filter(
        &mut self,
        now: Instant,
        key: SessionKey,
        filter: &str,
    ) -> Result<bool, Refusal> {
        let index = self.sessions.find(key)?;
        let parsed = queue::parse(filter)?;
        let own = &self.sessions.all[index].aside.subs;
        let Some(sub) = self.subs.of_session(index, own, &parsed) else { return Ok(false) };
        let sid = self.subs.get(sub).sid;
        self.unsubscribe(now, key, sid)?;
        Ok(true)
    }

    /// Makes a subscription, and says its number.
    pub(super) fn link(
        &mut self,
        index: u32,
        sid: u64,
        filter: &Filter<'_>,
        options: &SubscribeOptions,
        lane: u32,
    ) -> u32 {
        let holder = self.holder(index);
        let sub = self.subs.add(holder, sid, filter, options, lane);
        let s = &mut self.sessions.all[index];
        let at = s.aside.subs.partition_point(|(id, _)| *id < sid);
        s.aside.subs.insert(at, (sid, sub));
        s.aside.queues += u32::from(filter.group == Some(queue::CONSUMERS));
        sub
    }

    fn holder(&self, index: u32) -> Holder {
        let s = &self.sessions.all[index];
        Holder { session: index, attached: s.attached, by_id: s.by_id }
    }

    fn tell_subscription(&mut self, index: u32, sid: u64, filter: &str, options: SubscribeOptions) {
        if let Some(session) = self.stored(index) {
            let filter = filter.into();
            self.sessions.pool.log.push(Operation::SubscriptionAdded { session, sid, filter, options });
        }
    }

    fn check_subscribe<'a>(
        &mut self,
        index: u32,
        sid: u64,
        filter: &'a str,
        options: &SubscribeOptions,
    ) -> Result<Filter<'a>, Refusal> {
        let parsed = queue::parse(filter)?;
        if sid == 0 || sid > MAX_ID {
            return Err(Refusal::Invalid("a subscription's id is from 1 to 2^63 - 1"));
        }
        if options.credit == Some(0) {
            return Err(Refusal::Invalid(
                "a subscription's credit is at least 1; without one, leave it away",
            ));
        }
        if options.no_local && parsed.group.is_some() {
            return Err(Refusal::Invalid("a shared subscription cannot leave out its own messages"));
        }
        let action = if options.serve { Action::Serve } else { Action::Subscribe };
        self.allow(index, action, || parsed.filter)?;
        let ask = if options.serve { Ask::Serve(parsed.filter) } else { Ask::Subscribe(parsed.filter) };
        self.ask_plugins(index, &ask)?;
        let s = &self.sessions.all[index];
        let old = s.sub(sid);
        let new = usize::from(old.is_none());
        if s.aside.subs.len() + new > self.options.max_subscriptions_per_session {
            return Err(Refusal::Quota("subscriptions of a session"));
        }
        if self.subs.len() + new > self.options.max_subscriptions {
            return Err(Refusal::Quota("subscriptions"));
        }
        let had_lane = old.is_some_and(|sub| self.subs.get(sub).lane != NONE);
        if options.credit.is_some()
            && s.lanes_in_use() + usize::from(!had_lane) > self.options.max_lanes_per_session
        {
            return Err(Refusal::Quota("subscriptions with credit of a session"));
        }
        Ok(parsed)
    }

    /// Ends a subscription; what was not handed out for it is dropped, or in a shared group goes
    /// to another member where it is at least once.
    ///
    /// # Errors
    ///
    /// There is no such session or subscription.
    pub fn unsubscribe(&mut self, now: Instant, key: SessionKey, sid: u64) -> Result<(), Refusal> {
        let now = self.tick(now);
        let index = self.sessions.find(key)?;
        if self.sessions.all[index].sub(sid).is_none() {
            return Err(Refusal::NotFound);
        }
        if let Some(room) = self.room_of(index, sid) {
            self.leave_number(now, index, room);
            self.sessions.wake(index);
            return Ok(());
        }
        self.unlink(index, sid);
        self.settle_tasks(now);
        self.sessions.wake(index);
        if let Some(session) = self.stored(index) {
            self.sessions.pool.log.push(Operation::SubscriptionRemoved { session, sid });
        }
        Ok(())
    }

    /// Takes a subscription and what waits for it out of everything.
    pub(super) fn unlink(&mut self, index: u32, sid: u64) {
        let s = &mut self.sessions.all[index];
        let Ok(at) = s.aside.subs.binary_search_by_key(&sid, |s| s.0) else { return };
        self.sessions.forget_backlog(index, sid);
        let s = &mut self.sessions.all[index];
        let (_, number) = s.aside.subs.remove(at);
        // What is for other subscriptions too is still theirs.
        let waiting = s.extract(|e| e.sid == sid && !matches!(e.kind(), Kind::Overlap(_)));
        let sub = self.subs.get(number);
        let (lane, group) = (sub.lane, sub.group);
        if group != NONE {
            s.aside.queues -= u32::from(&*self.subs.groups[group].name == queue::CONSUMERS);
            // What is not acknowledged stays this session's.
            for entry in s.unacked.iter_mut().filter(|e| e.sid == sid && e.kind() == Kind::Group(group)) {
                *entry = entry.plain();
            }
        }
        if lane != NONE {
            s.remove_lane(lane);
            s.again_stalled = false;
        }
        let others = |e: &Entry| e.reliable() && matches!(e.kind(), Kind::Group(_));
        let (shared, dropped): (alloc::vec::Vec<_>, alloc::vec::Vec<_>) =
            waiting.into_iter().partition(others);
        for entry in dropped {
            self.sessions.counters.dropped.unsubscribed += u64::from(!entry.is_task());
            self.sessions.drop_unsent(index, entry);
        }
        self.settle_lost(Status::ResponderGone);
        self.sessions.counters.dropped.unsubscribed +=
            self.hand_over(index, shared, false, |t| t.sub != number);
        self.subs.remove(number);
        self.sessions.release_publishers(index, false);
    }

    /// Sets the credit of a subscription: octets that it may be sent in all since it began or its
    /// session was reattached. One that is not above the present is ignored, as is one for a
    /// subscription that does not exist or has no credit of its own (it may have just ended).
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn credit(&mut self, now: Instant, key: SessionKey, sid: u64, limit: u64) -> Result<(), Refusal> {
        self.tick(now);
        let index = self.sessions.find(key)?;
        let s = &mut self.sessions.all[index];
        let Some(lane) = s.sub(sid).map(|sub| self.subs.get(sub).lane).filter(|lane| *lane != NONE) else {
            return Ok(());
        };
        if let Some(lanes) = &mut s.lanes {
            let l = &mut lanes.all[lane as usize];
            l.limit = l.limit.max(limit);
            lanes.enlist(lane);
        }
        s.again_stalled = false;
        if let Some(rooms) = s.rare_if_any().and_then(|rare| rare.rooms.as_mut()) {
            rooms.go_on(sid);
        }
        self.sessions.wake(index);
        Ok(())
    }
}
