//! Wills: what a session has published when its connection is gone.

use core::time::Duration;

use super::Hub;
use super::delivery::{Refusal, SessionKey};
use super::message::Message;
use super::operation::Operation;
use super::publish::Way;
use super::session;
use super::timers::Alarm;
use crate::session::Properties;
use crate::time::Instant;

/// What is published when the session's connection is gone without taking it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The message. What its properties say of its expiry counts from when it is published.
    pub message: Message,
    /// How long after the connection it is published, unless the session goes on before; at the
    /// session's end at the latest.
    pub delay: Duration,
}

impl Hub {
    /// Sets a session's will, or takes it back.
    ///
    /// # Errors
    ///
    /// There is no such session or it is detached, or it may not publish to that topic: the will
    /// stays as it was then.
    pub fn set_will(&mut self, now: Instant, key: SessionKey, will: Option<Will>) -> Result<(), Refusal> {
        self.tick(now);
        let index = self.attached(key)?;
        if let Some(will) = &will {
            self.allow_publish(index, &will.message, false)?;
        }
        let had = self.sessions.all[index].rare().will.is_some();
        self.drop_will(index);
        let set = will.is_some();
        let will = will.map(|Will { message, delay }| session::Will {
            message: self.sessions.pool.insert(message),
            delay,
            timer: None,
        });
        let message = will.as_ref().map(|w| (w.message, w.delay));
        if set {
            self.sessions.all[index].rare_mut().will = will;
        }
        if let Some(session) = self.stored(index).filter(|_| set || had) {
            let will = message.map(|(message, delay)| (self.sessions.pool.stored(message), delay));
            self.sessions.pool.log.push(Operation::WillChanged { session, will });
        }
        Ok(())
    }

    /// The session's connection is gone: its will is published, now or later.
    pub(super) fn execute_will(&mut self, now: Instant, index: u32) {
        let s = &mut self.sessions.all[index];
        let expiry = s.aside.expiry;
        let Some(will) = s.rare_if_any().and_then(|rare| rare.will.as_mut()) else { return };
        let delay = will.delay.min(expiry);
        if delay.is_zero() {
            self.publish_will(now, index);
        } else if will.delay < expiry {
            will.timer = Some(self.timers.set(now + delay, Alarm::Will(index)));
        }
        // Otherwise the session's end comes first, and brings it.
    }

    /// Publishes a session's will, if it has one that was not published.
    pub(super) fn publish_will(&mut self, now: Instant, index: u32) {
        let Some(will) = self.take_will(index) else { return };
        let message = self.sessions.pool.get(will.message).clone();
        let message = match Properties::of_body(message.props()).expiry() {
            Some(expiry) => message.with_expiry(now + expiry),
            None => message,
        };
        self.sessions.counters.wills += 1;
        let mut message = message;
        if self.judge(index, &mut message) == Ok(true) {
            self.route(now, Way::OWN, message);
        }
        self.forget_will(index, &will);
    }

    /// Forgets a session's will.
    pub(super) fn drop_will(&mut self, index: u32) {
        let Some(will) = self.take_will(index) else { return };
        self.forget_will(index, &will);
    }

    /// Takes the will out of the session, and its timer with it.
    fn take_will(&mut self, index: u32) -> Option<session::Will> {
        let will = self.sessions.all[index].rare_if_any()?.will.take()?;
        if let Some(timer) = will.timer {
            self.timers.cancel(timer);
        }
        Some(will)
    }

    fn forget_will(&mut self, index: u32, will: &session::Will) {
        if let Some(session) = self.stored(index) {
            self.sessions.pool.log.push(Operation::WillChanged { session, will: None });
        }
        self.sessions.pool.release(will.message);
    }
}
