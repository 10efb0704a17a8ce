//! Retained messages: kept when published, sent to who subscribes.

use alloc::collections::VecDeque;

use super::Hub;
use super::delivery::Refusal;
use super::message::Message;
use super::operation::Operation;
use super::options::{RetainHandling, SubscribeOptions};
use super::outbox::Sessions;
use super::retained::{Retained, Walk, Walked};
use super::session::Entry;
use super::slab::NONE;
use crate::time::Instant;

/// A queue is filled up to this with retained messages once it is half as long. They are in the hub already, so that
/// what waits here costs a place in the queue and no more.
const FILL: usize = 64;
/// How many expired messages one call takes away.
const EXPIRED_PER_CALL: usize = 128;

/// The retained messages that a subscription begins with, as far as they are not queued.
#[derive(Debug)]
pub(super) struct Backlog {
    sid: u64,
    options: SubscribeOptions,
    walk: Walk,
}

impl Hub {
    /// Whether there is room to keep this message as the last value of its topic.
    pub(super) fn check_keep(&mut self, now: Instant, message: &Message) -> Result<(), Refusal> {
        if !message.is_retain() || message.payload().is_empty() {
            return Ok(());
        }
        let fits = |hub: &Hub| {
            let (pool, topic) = (&hub.sessions.pool, message.topic_octets());
            let old = hub.retained.get(pool, topic);
            let before = old.map_or(0, |old| u64::from(pool.get(old).size()));
            let bytes = hub.retained.bytes() + u64::from(message.size()) - before;
            let room = old.is_some() || hub.retained.len() < hub.options.max_retained;
            room && bytes <= hub.options.max_retained_bytes
        };
        if !fits(self) {
            self.expire_retained(now);
            if !fits(self) {
                return Err(Refusal::Quota("retained messages"));
            }
        }
        Ok(())
    }

    /// Keeps a message of the pool as the last value of its topic; an empty one takes it away.
    pub(super) fn keep(&mut self, message: u32) {
        let Self { sessions, retained, .. } = self;
        let pool = &mut sessions.pool;
        let m = pool.get(message);
        let topic = m.topic();
        // What the server says of itself is said anew after a restart.
        let stored = !topic.starts_with("$SYS/");
        if m.payload().is_empty() {
            let topic = topic.into();
            let old = retained.clear(pool, m.topic_octets());
            if let Some(old) = old {
                if stored {
                    pool.log.push(Operation::RetainedRemoved { topic });
                }
                pool.release(old);
            }
            return;
        }
        pool.share(message);
        let old = retained.set(pool, message);
        if stored && pool.log.is_on() {
            let topic = pool.get(message).topic().into();
            let number = pool.stored(message);
            pool.log.push(Operation::Retained { message: number, topic });
        }
        if let Some(old) = old {
            pool.release(old);
        }
    }

    /// Takes retained messages away that have expired, some at a time.
    pub(super) fn expire_retained(&mut self, now: Instant) {
        let Self { sessions, retained, .. } = self;
        for _ in 0..EXPIRED_PER_CALL {
            let pool = &mut sessions.pool;
            let Some(old) = retained.pop_expired(pool, now) else { break };
            let topic = pool.get(old).topic().into();
            pool.log.push(Operation::RetainedRemoved { topic });
            pool.release(old);
        }
    }

    /// Has a subscription begin with the retained messages that match, where it wants them.
    pub(super) fn begin_with_retained(
        &mut self,
        index: u32,
        sid: u64,
        filter: &str,
        options: SubscribeOptions,
        existed: bool,
    ) {
        self.sessions.forget_backlog(index, sid);
        let wanted = match options.retained {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => !existed,
            RetainHandling::Never => false,
        };
        // None for those who share, nor for those who answer ([MQTT-3.8.4-4] and its notes).
        if !wanted || options.serve || filter.starts_with("$share/") || self.retained.len() == 0 {
            return;
        }
        let backlog = Backlog { sid, options, walk: self.retained.walk(filter) };
        self.sessions.all[index].rare_mut().backlogs.push_back(backlog);
        self.sessions.wake(index);
    }
}

impl Sessions {
    /// Forgets the retained messages of a subscription that were not queued.
    pub(super) fn forget_backlog(&mut self, index: u32, sid: u64) {
        if let Some(rare) = self.all[index].rare_if_any() {
            rare.backlogs.retain(|b| b.sid != sid);
        }
    }

    /// Queues retained messages where there is room for them.
    pub(super) fn fill(&mut self, now: Instant, index: u32, retained: &Retained) {
        if self.all[index].rare().backlogs.is_empty() {
            return;
        }
        let mut backlogs = core::mem::take(&mut self.all[index].rare_mut().backlogs);
        let mut waiting = VecDeque::new();
        while let Some(mut backlog) = backlogs.pop_front() {
            if !self.fill_from(now, index, retained, &mut backlog) {
                waiting.push_back(backlog);
            }
        }
        self.all[index].rare_mut().backlogs = waiting;
    }

    /// Queues what a subscription begins with; whether that is all.
    fn fill_from(&mut self, now: Instant, index: u32, retained: &Retained, backlog: &mut Backlog) -> bool {
        let sid = backlog.sid;
        let lanes = self.all[index].lanes.as_ref().map_or(&[][..], |lanes| &lanes.all);
        let lane = lanes.iter().position(|lane| lane.live && lane.sid == sid);
        let lane = lane.map_or(NONE, |lane| lane as u32);
        while self.all[index].queue(lane).len() < FILL {
            let message = match backlog.walk.peek(retained, &self.pool) {
                Walked::Value(message) => message,
                Walked::Later => return false,
                Walked::Done => return true,
            };
            backlog.walk.advance();
            let m = self.pool.get(message);
            if !m.expired(now) {
                let (size, quality) = (m.size(), m.quality().min(backlog.options.quality));
                let entry = Entry::new(sid, message, quality).with_retain(true);
                self.put(index, lane, entry, size);
            }
        }
        false
    }
}

impl super::session::Session {
    /// Whether more retained messages can be queued.
    pub(super) fn wants_filling(&self) -> bool {
        self.main.len() < FILL / 2 && !self.rare().backlogs.is_empty()
    }
}
