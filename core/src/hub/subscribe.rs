//! Subscribing, unsubscribing, and a subscription's credit.

use super::Hub;
use super::delivery::{Refusal, SessionKey};
use super::operation::Operation;
use super::options::{MAX_ID, SubscribeOptions};
use super::session::{Entry, Kind};
use super::slab::NONE;
use crate::access::Action;
use crate::status::Status;
use crate::time::Instant;
use crate::topic::{Filter, parse_filter};

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
        self.tick(now);
        let index = self.attached(key)?;
        let parsed = self.check_subscribe(index, sid, filter, &options)?;
        let old = self.sessions.all[index].sub(sid);
        let mut waiting = alloc::vec::Vec::new();
        if let Some(old) = old {
            if self.subs.is_same(old, &parsed, options.serve) {
                waiting = self.sessions.all[index].extract(|e| e.sid() == sid);
            }
            self.unlink(index, sid);
        }
        let s = &mut self.sessions.all[index];
        let lane = options.credit.map_or(NONE, |credit| s.add_lane(sid, credit));
        let sub = self.subs.add(index, sid, &parsed, &options, lane, s.attached);
        let at = s.subs.partition_point(|(id, _)| *id < sid);
        s.subs.insert(at, (sid, sub));
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
        if let Some(session) = self.stored(index) {
            let filter = filter.into();
            self.operations.push_back(Operation::SubscriptionAdded { session, sid, filter, options });
        }
        Ok(())
    }

    fn check_subscribe<'a>(
        &self,
        index: u32,
        sid: u64,
        filter: &'a str,
        options: &SubscribeOptions,
    ) -> Result<Filter<'a>, Refusal> {
        let parsed = parse_filter(filter)?;
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
        let s = &self.sessions.all[index];
        let old = s.sub(sid);
        let new = usize::from(old.is_none());
        if s.subs.len() + new > self.options.max_subscriptions_per_session {
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
        self.tick(now);
        let index = self.sessions.find(key)?;
        if self.sessions.all[index].sub(sid).is_none() {
            return Err(Refusal::NotFound);
        }
        self.unlink(index, sid);
        self.sessions.wake(index);
        if let Some(session) = self.stored(index) {
            self.operations.push_back(Operation::SubscriptionRemoved { session, sid });
        }
        Ok(())
    }

    /// Takes a subscription and what waits for it out of everything.
    fn unlink(&mut self, index: u32, sid: u64) {
        let s = &mut self.sessions.all[index];
        let Ok(at) = s.subs.binary_search_by_key(&sid, |s| s.0) else { return };
        let (_, number) = s.subs.remove(at);
        let waiting = s.extract(|e| e.sid() == sid);
        let sub = self.subs.get(number);
        let (lane, group) = (sub.lane, sub.group);
        if group != NONE {
            // What is not acknowledged stays this session's.
            for entry in s.unacked.iter_mut().filter(|e| e.sid() == sid && e.kind() == Kind::Group(group)) {
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
            self.sessions.counters.dropped.unsubscribed += 1;
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
        self.sessions.wake(index);
        Ok(())
    }
}
