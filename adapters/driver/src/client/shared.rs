//! The client machine, and who waits for what from it, behind one lock that is never held across
//! I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bowline_core::endpoint::client::{
    Client as Machine, ClientEvent, IncomingRequest, Message, PublishId, Reason, RequestFailure,
    RequestHandle, RequestId, RoomEvent, RoomId, SubscriptionId, TunnelId,
};
use bowline_core::status::Status;
use parking_lot::Mutex;

use super::Error;
use crate::handler::Response;
use crate::link::{self, Slot};

/// So many events wait for a listener; beyond, the oldest is dropped. They are rare.
const EVENTS: usize = 256;
/// So many messages of the server itself wait; beyond, the oldest is dropped.
const DIRECT: usize = 1024;
/// So many answers to one request wait untaken; beyond, the request is taken back.
const ANSWERS: usize = 1024;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    Failed(RequestFailure),
    /// More answers came than were taken.
    Overrun,
    Closed,
}

/// What a subscription or service gets.
#[derive(Debug)]
pub(super) enum Item {
    Answered(Status, String),
    Message(Message),
    Request(IncomingRequest),
}

pub(super) type Answers = Slot<Result<(Response, bool), NoAnswer>>;

/// All that is behind the lock.
pub(super) struct Core {
    pub(super) machine: Machine,
    pub(super) subscriptions: HashMap<SubscriptionId, Slot<Item>>,
    pub(super) rooms: HashMap<RoomId, Slot<RoomEvent>>,
    pub(super) publishes: HashMap<PublishId, Slot<Result<(), Error>>>,
    pub(super) requests: HashMap<RequestId, Answers>,
    /// Requests that are to be answered here, and who does.
    pub(super) open: HashMap<RequestHandle, Option<Waker>>,
    pub(super) listeners: HashMap<u64, Slot<ClientEvent>>,
    pub(super) next_listener: u64,
    pub(super) direct: Slot<Message>,
    /// Who waits for something to happen in a tunnel: one to read, one to write.
    pub(super) tunnels: HashMap<TunnelId, Vec<Waker>>,
    pub(super) pings: Vec<Arc<Mutex<Slot<Duration>>>>,
    /// Who waits for room in the queue of outgoing messages.
    pub(super) crowd: Vec<Waker>,
    /// How it ended.
    pub(super) closed: Option<Reason>,
}

impl Core {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            subscriptions: HashMap::new(),
            rooms: HashMap::new(),
            publishes: HashMap::new(),
            requests: HashMap::new(),
            open: HashMap::new(),
            listeners: HashMap::new(),
            next_listener: 0,
            direct: Slot::default(),
            tunnels: HashMap::new(),
            pings: Vec::new(),
            crowd: Vec::new(),
            closed: None,
        }
    }
}

impl link::Core for Core {
    type Machine = Machine;

    fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    fn route(&mut self, wake: &mut Vec<Waker>) {
        while let Some(event) = self.machine.poll_event() {
            self.hand_out(event, wake);
        }
        while let Some(id) = self.machine.poll_tunnel() {
            if let Some(waiting) = self.tunnels.get_mut(&id) {
                wake.append(waiting);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.closed.is_some()
    }
}

/// What a client's handles and its link share.
pub(super) type Shared = link::Shared<Core>;

impl Core {
    /// Wakes `waker` when something happens in a tunnel.
    pub(super) fn await_tunnel(&mut self, id: TunnelId, waker: &Waker) {
        let waiting = self.tunnels.entry(id).or_default();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    fn hand_out(&mut self, event: ClientEvent, wake: &mut Vec<Waker>) {
        match event {
            ClientEvent::Message { subscription, message } => {
                if let Some(slot) = self.subscriptions.get_mut(&subscription) {
                    slot.push(Item::Message(message), wake);
                }
            }
            ClientEvent::Room { room, event } => {
                if let Some(slot) = self.rooms.get_mut(&room) {
                    let over = matches!(event, RoomEvent::Ended { .. });
                    slot.push(event, wake);
                    slot.over = over;
                }
            }
            ClientEvent::Request(request) => {
                if let Some(slot) = self.subscriptions.get_mut(&request.subscription) {
                    self.open.insert(request.handle, None);
                    slot.push(Item::Request(request), wake);
                }
            }
            ClientEvent::Accepted { publish } => self.published(publish, Ok(()), wake),
            ClientEvent::Dropped { publish, why } => self.published(publish, Err(Error::Dropped(why)), wake),
            ClientEvent::Response { request, status, more, payload, .. } => {
                self.answered(request, Ok((Response { status, payload }, more)), more, wake);
                wake.append(&mut self.crowd);
            }
            ClientEvent::RequestFailed { request, why } => {
                self.answered(request, Err(NoAnswer::Failed(why)), false, wake);
                wake.append(&mut self.crowd);
            }
            ClientEvent::RequestCancelled(handle) => wake.extend(self.open.remove(&handle).flatten()),
            ClientEvent::Direct(message) => {
                if self.direct.queue.len() >= DIRECT {
                    self.direct.queue.pop_front();
                }
                self.direct.push(message, wake);
            }
            ClientEvent::Pong(time) => {
                for ping in self.pings.drain(..) {
                    ping.lock().push(time, wake);
                }
            }
            other => self.rare(&other, wake),
        }
    }

    fn published(&mut self, id: PublishId, how: Result<(), Error>, wake: &mut Vec<Waker>) {
        if let Some(slot) = self.publishes.get_mut(&id) {
            slot.push(how, wake);
        }
        wake.append(&mut self.crowd);
    }

    fn answered(
        &mut self,
        id: RequestId,
        answer: Result<(Response, bool), NoAnswer>,
        more: bool,
        wake: &mut Vec<Waker>,
    ) {
        let Some(slot) = self.requests.get_mut(&id) else { return };
        if slot.queue.len() >= ANSWERS && more {
            let now = crate::clock::now();
            self.machine.cancel(now, id);
            slot.push(Err(NoAnswer::Overrun), wake);
            slot.over = true;
            return;
        }
        slot.over = !more;
        slot.push(answer, wake);
    }

    /// What is told to everybody who listens, too.
    fn rare(&mut self, event: &ClientEvent, wake: &mut Vec<Waker>) {
        match event {
            ClientEvent::Subscribed { subscription, status, reason } => {
                if let Some(slot) = self.subscriptions.get_mut(subscription) {
                    slot.push(Item::Answered(*status, reason.clone()), wake);
                    slot.over = !status.is_ok();
                }
            }
            ClientEvent::Refused { publish: Some(publish), status, reason } => {
                self.published(
                    *publish,
                    Err(Error::Status { status: *status, reason: reason.clone() }),
                    wake,
                );
            }
            ClientEvent::Disconnected { .. } => {
                wake.extend(self.open.drain().filter_map(|(_, waker)| waker));
                for ping in self.pings.drain(..) {
                    ping.lock().end(wake);
                }
            }
            ClientEvent::Closed { reason, .. } => {
                self.closed = Some(reason.clone());
                self.end_all(wake);
            }
            _ => {}
        }
        for slot in self.listeners.values_mut() {
            if slot.queue.len() >= EVENTS {
                slot.queue.pop_front();
            }
            slot.push(event.clone(), wake);
            slot.over = self.closed.is_some();
        }
    }

    fn end_all(&mut self, wake: &mut Vec<Waker>) {
        self.subscriptions.values_mut().for_each(|slot| slot.end(wake));
        self.rooms.values_mut().for_each(|slot| slot.end(wake));
        self.publishes.values_mut().for_each(|slot| slot.end(wake));
        for slot in self.requests.values_mut().filter(|slot| !slot.over) {
            slot.push(Err(NoAnswer::Closed), wake);
            slot.end(wake);
        }
        self.direct.end(wake);
        for ping in self.pings.drain(..) {
            ping.lock().end(wake);
        }
        wake.extend(self.open.drain().filter_map(|(_, waker)| waker));
        wake.append(&mut self.crowd);
    }
}
