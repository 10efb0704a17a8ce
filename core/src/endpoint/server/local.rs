//! Sessions of the server's own program: they subscribe, publish, request and serve like any
//! client, without a connection.

use alloc::collections::VecDeque;

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use super::Server;
use super::inflating::Accepted;
use crate::endpoint::message;
use crate::hub::{
    Delivery, Message, PublishOutcome, Refusal, RequestOptions, SessionKey, SessionOptions, SubscribeOptions,
    Take,
};
use crate::session::Properties;
use crate::status::Status;
use crate::time::Instant;

/// A session of the server's own program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LocalKey(SessionKey);

/// Something for the program.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LocalEvent {
    /// A message, because of a subscription.
    Message {
        /// The subscription.
        subscription: u64,
        /// The message.
        message: Message,
    },
    /// A request, because of a subscription that serves. Answer with
    /// [`Server::local_respond`].
    Request {
        /// Answer with this id.
        id: u64,
        /// The subscription.
        subscription: u64,
        /// The [number](SessionKey::number) of the session that asks: a client's
        /// ([`Server::inspect_client`]), or one of the program itself.
        from: u64,
        /// How long the answer may take.
        timeout: core::time::Duration,
        /// The request.
        message: Message,
    },
    /// The answer to a request of this session.
    Response {
        /// The id that this session gave it.
        id: u64,
        /// How it went.
        status: Status,
        /// Others follow.
        more: bool,
        /// The answer.
        message: Message,
    },
    /// A request needs no answer any more.
    Cancel {
        /// Its id.
        id: u64,
    },
}

/// Those that have something for the program.
#[derive(Debug, Default)]
pub(super) struct Locals {
    all: HashSet<SessionKey>,
    ready: VecDeque<LocalKey>,
    /// Deliveries at least once that were handed to the program.
    taken: HashMap<SessionKey, u64>,
}

impl Locals {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn wake(&mut self, hub: SessionKey) {
        if self.all.contains(&hub) {
            self.ready.push_back(LocalKey(hub));
        }
    }
}

impl Server {
    /// Begins a session of the program itself, which may do everything.
    ///
    /// # Errors
    ///
    /// [`Refusal::Quota`] when there are too many sessions.
    pub fn local(&mut self, now: Instant) -> Result<LocalKey, Refusal> {
        let queue = &self.config.queue;
        let options = SessionOptions {
            trusted: true,
            max_messages: queue.max_messages,
            max_bytes: queue.max_bytes,
            policy: queue.policy,
            ..SessionOptions::default()
        };
        let hub = self.hub.attach(now, &options)?;
        self.locals.all.insert(hub);
        Ok(LocalKey(hub))
    }

    /// Ends a session of the program.
    pub fn end_local(&mut self, now: Instant, key: LocalKey) {
        self.locals.all.remove(&key.0);
        self.locals.taken.remove(&key.0);
        let _ = self.hub.remove(now, key.0);
        self.after_commands();
    }

    /// Subscribes the program; with `serve`, to requests.
    ///
    /// # Errors
    ///
    /// See [`Hub::subscribe`](crate::hub::Hub::subscribe).
    pub fn local_subscribe(
        &mut self,
        now: Instant,
        key: LocalKey,
        id: u64,
        filter: &str,
        options: SubscribeOptions,
    ) -> Result<(), Refusal> {
        self.hub.subscribe(now, key.0, id, filter, options)
    }

    /// Publishes from the program.
    ///
    /// # Errors
    ///
    /// See [`Hub::publish`](crate::hub::Hub::publish).
    pub fn local_publish(
        &mut self,
        now: Instant,
        key: LocalKey,
        message: Message,
    ) -> Result<PublishOutcome, Refusal> {
        let outcome = self.hub.publish(now, key.0, message, None);
        self.after_commands();
        outcome
    }

    /// Requests from the program; the answer comes by [`poll_local`](Server::poll_local).
    ///
    /// # Errors
    ///
    /// See [`Hub::request`](crate::hub::Hub::request).
    pub fn local_request(
        &mut self,
        now: Instant,
        key: LocalKey,
        id: u64,
        message: Message,
        options: RequestOptions,
    ) -> Result<(), Refusal> {
        let done = self.hub.request(now, key.0, id, message, options);
        self.after_commands();
        done
    }

    /// Answers a request that the program serves.
    ///
    /// # Errors
    ///
    /// The request has ended meanwhile.
    pub fn local_respond(
        &mut self,
        now: Instant,
        key: LocalKey,
        id: u64,
        status: Status,
        more: bool,
        payload: &Bytes,
    ) -> Result<(), Refusal> {
        let message = message::response(Properties::NONE, payload);
        let done = self.hub.respond(now, key.0, id, status, more, message);
        self.after_commands();
        done
    }

    /// The next session of the program that has something for it.
    pub fn poll_local_ready(&mut self) -> Option<LocalKey> {
        self.locals.ready.pop_front()
    }

    /// Takes what waits for a session of the program, at most `max` events. Messages at least once
    /// count as acknowledged when they are taken.
    ///
    /// Returns whether more may wait.
    pub fn poll_local(
        &mut self,
        now: Instant,
        key: LocalKey,
        max: usize,
        mut take: impl FnMut(LocalEvent),
    ) -> bool {
        let (mut left, mut reliable) = (max, 0);
        let Self { hub, inflating, .. } = self;
        let mut each = |delivery: &Delivery<'_>| {
            if left == 0 {
                return Take::Blocked;
            }
            left -= 1;
            reliable +=
                u64::from(matches!(delivery, Delivery::Message { quality, .. } if quality.is_reliable()));
            owned(delivery).into_iter().for_each(&mut take);
            Take::Taken
        };
        let drained =
            hub.drain(now, key.0, |delivery| inflating.hand_out(delivery, Accepted::NOTHING, &mut each));
        if reliable > 0 {
            let taken = self.locals.taken.entry(key.0).or_default();
            *taken += reliable;
            let _ = self.hub.ack(now, key.0, *taken);
        }
        self.after_commands();
        drained.is_ok_and(|d| d.blocked)
    }
}

fn owned(delivery: &Delivery<'_>) -> Option<LocalEvent> {
    Some(match *delivery {
        Delivery::Message { sid, message, .. } => {
            LocalEvent::Message { subscription: sid, message: message.clone() }
        }
        Delivery::Request { id, sid, from, timeout, message } => {
            let (from, message) = (from.number(), message.clone());
            LocalEvent::Request { id, subscription: sid, from, timeout, message }
        }
        Delivery::Response { id, status, more, message } => {
            LocalEvent::Response { id, status, more, message: message.clone() }
        }
        Delivery::Cancel { id } => LocalEvent::Cancel { id },
        // Only of sessions that settle by ids, and of members of rooms.
        Delivery::Release { .. } | Delivery::Joined { .. } | Delivery::Presence { .. } => return None,
    })
}
