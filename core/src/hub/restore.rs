//! A hub after a restart: what the store kept, told with the same operations that it was asked.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;

use super::Hub;
use super::delivery::SessionKey;
use super::operation::{Operation, StoredMessage, StoredSession};
use super::options::{Quality, SessionOptions};
use super::queue;
use super::session::{self, Entry, is_up_to, next_number};
use super::slab::NONE;
use super::timers::Alarm;
use crate::time::Instant;

/// What the numbers of the store mean, while a hub is restored.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    sessions: HashMap<StoredSession, u32>,
    messages: HashMap<StoredMessage, u32>,
    /// Sessions that were attached when the server died.
    attached: Vec<u32>,
    /// The log was on before.
    on: bool,
}

/// An operation that does not fit those before it: the store is damaged, or told in another order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the store holds does not fit together: {what} {number} is referred to and was never told")]
pub struct BadOperation {
    /// What is missing.
    pub what: &'static str,
    /// Its number.
    pub number: u64,
}

impl Hub {
    /// Does again what the store has kept, before any session is attached. `options` are those
    /// that a session which it begins is to have.
    ///
    /// Call [`restored`](Self::restored) after the last one.
    ///
    /// # Errors
    ///
    /// It refers to something that was not told; nothing was changed.
    pub fn restore(
        &mut self,
        now: Instant,
        operation: Operation,
        options: &SessionOptions<'_>,
    ) -> Result<(), BadOperation> {
        self.tick(now);
        let mut r = self.restoring.take().unwrap_or_else(|| {
            let on = self.sessions.pool.log.pause();
            Box::new(Restoring { on, ..Restoring::default() })
        });
        let result = self.restore_one(&mut r, operation, options);
        self.restoring = Some(r);
        result
    }

    /// All was told: sessions that had connections wait for new ones from now on.
    pub fn restored(&mut self, now: Instant) {
        let now = self.tick(now);
        let Some(r) = self.restoring.take() else { return };
        self.sessions.pool.log.resume(r.on);
        self.histories.restored(&mut self.sessions.pool);
        self.enroll_all();
        for index in r.attached {
            self.wait(now, index);
        }
        for message in r.messages.into_values() {
            self.sessions.pool.release(message);
        }
    }

    /// The durable sessions there are, and what their dialects know them by.
    pub fn stored_sessions(&self) -> impl Iterator<Item = (SessionKey, &str)> {
        let stored = self.sessions.all.places().filter(|(_, s)| s.live && s.stored != 0);
        stored.map(|(index, s)| (self.sessions.key(index), s.rare().name.as_deref().unwrap_or_default()))
    }

    fn restore_one(
        &mut self,
        r: &mut Restoring,
        operation: Operation,
        options: &SessionOptions<'_>,
    ) -> Result<(), BadOperation> {
        match operation {
            Operation::MessageAdded { message, content } => {
                let log = &mut self.sessions.pool.log;
                log.messages = log.messages.max(message);
                r.messages.insert(message, self.sessions.pool.insert_stored(content, message));
                Ok(())
            }
            Operation::SessionCreated { session, name, identity, expiry } => {
                let options = SessionOptions { identity: &identity, name: &name, expiry, ..*options };
                self.restore_session(r, session, &options);
                Ok(())
            }
            other => self.restore_part(r, other),
        }
    }

    fn restore_session(&mut self, r: &mut Restoring, session: StoredSession, options: &SessionOptions<'_>) {
        let log = &mut self.sessions.pool.log;
        log.sessions = log.sessions.max(session);
        let expiry = self.limit_expiry(options.expiry);
        let all = &mut self.sessions.all;
        let index = all.insert_with(|old| session::Session::new(options, old.generation, expiry));
        let s = &mut all[index];
        (s.attached, s.stored) = (false, session);
        s.rare_mut().name = Some(options.name.into());
        self.sessions.counters.sessions += 1;
        r.sessions.insert(session, index);
        r.attached.push(index);
    }

    fn restore_part(&mut self, r: &mut Restoring, operation: Operation) -> Result<(), BadOperation> {
        match operation {
            Operation::SessionChanged { session, expiry, ends } => {
                let index = r.session(session)?;
                self.sessions.all[index].aside.expiry = self.limit_expiry(expiry);
                let waits = ends.is_some() || expiry == Duration::MAX;
                if waits {
                    r.attached.retain(|i| *i != index);
                }
                if let Some(at) = ends {
                    let timer = self.timers.set(at, Alarm::Expiry(index));
                    self.sessions.all[index].aside.timer = Some(timer);
                }
            }
            Operation::WillChanged { session, will } => {
                let index = r.session(session)?;
                if let Some((message, delay)) = will {
                    let message = r.message(message)?;
                    self.sessions.pool.share(message);
                    let will = session::Will { message, delay, timer: None };
                    self.sessions.all[index].rare_mut().will = Some(will);
                }
            }
            Operation::SubscriptionAdded { session, sid, filter, options } => {
                let index = r.session(session)?;
                // One that is not valid any more is left out.
                if let Ok(filter) = queue::parse(&filter) {
                    let credit = options.credit;
                    let lane = credit.map_or(NONE, |credit| self.sessions.all[index].add_lane(sid, credit));
                    self.link(index, sid, &filter, &options, lane);
                    let s = &mut self.sessions.all[index];
                    s.aside.next_sub =
                        s.aside.next_sub.max((sid >> super::subscribe::IDENTIFIER_BITS) as u32);
                }
            }
            Operation::Queued { session, number, message, sid, others, quality, retain } => {
                let (index, message) = (r.session(session)?, r.message(message)?);
                let mut entry = Entry::new(sid, message, quality).with_retain(retain);
                if !others.is_empty() {
                    entry = entry.of_overlap(self.sessions.list_overlap(others));
                } else if quality < Quality::ExactlyOnce
                    && let Some(sub) = self.sessions.all[index].sub(sid)
                    && let group = self.subs.get(sub).group
                    && group != NONE
                {
                    // Another member has it, should this one go; but not what may have been sent exactly
                    // once, whether the store knows that or not ([MQTT-4.8.2-5]).
                    entry = entry.of_group(group);
                }
                self.sessions.put_stored(index, entry, number);
            }
            Operation::Sent { session, number } => {
                let index = r.session(session)?;
                let s = &mut self.sessions.all[index];
                while s.main.front().is_some_and(|e| e.reliable() && is_up_to(e.number, number)) {
                    s.unacked.extend(s.main.pop_front());
                }
                if s.queued == 0 || !is_up_to(next_number(number), s.next_number) {
                    s.next_number = next_number(number);
                }
            }
            Operation::Released { session, number } => {
                let index = r.session(session)?;
                self.sessions.release_stored(index, number);
            }
            Operation::Received { session, id } => {
                let received = &mut self.sessions.all[r.session(session)?].rare_mut().received;
                if let Err(at) = received.binary_search(&id) {
                    received.insert(at, id);
                }
            }
            Operation::Retained { message, .. } => {
                let message = r.message(message)?;
                self.keep(message);
            }
            Operation::Recorded { message, offset, stamp, .. } => {
                let message = r.message(message)?;
                self.histories.restore(&mut self.sessions.pool, message, offset, stamp);
            }
            Operation::HistoryBegan { topic, epoch } => {
                self.histories.restore_epoch(&mut self.sessions.pool, &topic, epoch);
            }
            Operation::HistoryTrimmed { topic, first } => {
                self.histories.restore_first(&mut self.sessions.pool, &topic, first);
            }
            Operation::QueueAdded { queue, options } => self.restore_queue(&queue, options),
            Operation::TaskAdded { queue, task, message, attempts } => {
                let message = r.message(message)?;
                self.restore_task(&queue, task, message, attempts);
            }
            // The others only take away what a store that is told whole does not have.
            _ => {}
        }
        Ok(())
    }
}

impl Restoring {
    fn session(&self, number: StoredSession) -> Result<u32, BadOperation> {
        self.sessions.get(&number).copied().ok_or(BadOperation { what: "session", number })
    }

    fn message(&self, number: StoredMessage) -> Result<u32, BadOperation> {
        self.messages.get(&number).copied().ok_or(BadOperation { what: "message", number })
    }
}
