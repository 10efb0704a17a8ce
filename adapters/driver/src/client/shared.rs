//! The client machine, and who waits for what from it, behind one lock that is never held across
//! I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::Duration;

use bowline_core::endpoint::client::{
    Client as Machine, ClientEvent, IncomingRequest, Message, PublishId, Reason, RequestFailure,
    RequestHandle, RequestId, SubscriptionId,
};
use bowline_core::status::Status;
use bowline_core::time::{Deadline, Instant, Why};
use parking_lot::Mutex;

use super::Error;
use crate::handler::Response;

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

/// Something that one task waits for.
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) queue: VecDeque<T>,
    /// Nothing more comes.
    pub(super) over: bool,
    pub(super) waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), over: false, waker: None }
    }
}

impl<T> Slot<T> {
    fn push(&mut self, value: T, wake: &mut Vec<Waker>) {
        self.queue.push_back(value);
        wake.extend(self.waker.take());
    }

    fn end(&mut self, wake: &mut Vec<Waker>) {
        self.over = true;
        wake.extend(self.waker.take());
    }

    /// What waits, or that nothing more comes; `waker` is woken at either.
    pub(super) fn poll(&mut self, waker: &Waker) -> Option<Option<T>> {
        if let Some(value) = self.queue.pop_front() {
            return Some(Some(value));
        }
        if self.over {
            return Some(None);
        }
        match &mut self.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        None
    }
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
    pub(super) link: Option<Waker>,
    /// When the link will look again by itself.
    pub(super) armed: Option<Instant>,
    pub(super) subscriptions: HashMap<SubscriptionId, Slot<Item>>,
    pub(super) publishes: HashMap<PublishId, Slot<Result<(), Error>>>,
    pub(super) requests: HashMap<RequestId, Answers>,
    /// Requests that are to be answered here, and who does.
    pub(super) open: HashMap<RequestHandle, Option<Waker>>,
    pub(super) listeners: HashMap<u64, Slot<ClientEvent>>,
    pub(super) next_listener: u64,
    pub(super) direct: Slot<Message>,
    pub(super) pings: Vec<Arc<Mutex<Slot<Duration>>>>,
    /// Who waits for room in the queue of outgoing messages.
    pub(super) crowd: Vec<Waker>,
    /// How it ended.
    pub(super) closed: Option<Reason>,
}

/// What a client's handles and its link share.
pub(super) struct Shared {
    core: Mutex<Core>,
    pub(super) woken: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(machine: Machine) -> Self {
        let core = Core {
            machine,
            link: None,
            armed: None,
            subscriptions: HashMap::new(),
            publishes: HashMap::new(),
            requests: HashMap::new(),
            open: HashMap::new(),
            listeners: HashMap::new(),
            next_listener: 0,
            direct: Slot::default(),
            pings: Vec::new(),
            crowd: Vec::new(),
            closed: None,
        };
        Self { core: Mutex::new(core), woken: AtomicBool::new(false) }
    }

    /// An application's call: afterwards the link is woken if it has something to do now.
    pub(super) fn call<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        let mut wake = Vec::new();
        let mut core = self.core.lock();
        let result = work(&mut core);
        core.route(&mut wake);
        let sooner = |d: Deadline| d.why == Why::Output || core.armed.is_none_or(|armed| d.at < armed);
        let over = core.closed.is_some();
        if (over || core.machine.poll_timeout().is_some_and(sooner))
            && !self.woken.swap(true, Ordering::AcqRel)
        {
            wake.extend(core.link.clone());
        }
        drop(core);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// The link's work: what came of it is handed out.
    pub(super) fn work<T>(&self, work: impl FnOnce(&mut Core, &mut Vec<Waker>) -> T) -> T {
        let mut wake = Vec::new();
        let mut core = self.core.lock();
        let result = work(&mut core, &mut wake);
        drop(core);
        wake.into_iter().for_each(Waker::wake);
        result
    }
}

impl Core {
    /// Hands out what the machine has for the application.
    pub(super) fn route(&mut self, wake: &mut Vec<Waker>) {
        while let Some(event) = self.machine.poll_event() {
            self.hand_out(event, wake);
        }
    }

    fn hand_out(&mut self, event: ClientEvent, wake: &mut Vec<Waker>) {
        match event {
            ClientEvent::Message { subscription, message } => {
                if let Some(slot) = self.subscriptions.get_mut(&subscription) {
                    slot.push(Item::Message(message), wake);
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
