//! The client machine, and who waits for what from it.

use std::collections::HashMap;
use std::task::Waker;

use bowline_core::endpoint::mqtt_client::{
    Client as Machine, ClientEvent, Message, PublishId, Reason, SubscriptionId,
};
use bowline_core::mqtt::ReasonCode;

use super::Error;
use crate::link::{self, Slot};

/// From so many octets of messages on that wait here untaken, nothing more is read. Each counts with
/// what it costs beside.
pub const WAITING: usize = 4 << 20;
/// What a message costs beside its octets.
const BESIDE: usize = 128;
/// So many events wait for a listener; beyond, the oldest is dropped. They are rare.
const EVENTS: usize = 256;
/// So many messages wait that nobody here has asked for; beyond, the oldest is dropped.
const UNASKED: usize = 1024;

/// What a subscription gets.
#[derive(Debug, Default)]
pub(super) struct Subscriber {
    /// The server's latest answer.
    pub(super) answer: Slot<(Vec<ReasonCode>, String)>,
    pub(super) messages: Slot<Message>,
}

impl Subscriber {
    fn end(&mut self, wake: &mut Vec<Waker>) {
        self.answer.end(wake);
        self.messages.end(wake);
    }
}

pub(super) type Shared = link::Shared<Core>;

/// All that is behind the lock.
pub(super) struct Core {
    pub(super) machine: Machine,
    pub(super) subscriptions: HashMap<SubscriptionId, Subscriber>,
    pub(super) publishes: HashMap<PublishId, Slot<Result<ReasonCode, Error>>>,
    pub(super) listeners: HashMap<u64, Slot<ClientEvent>>,
    pub(super) next_listener: u64,
    pub(super) unasked: Slot<Message>,
    /// What waits in the slots of subscriptions.
    waiting: usize,
    /// Who waits for room in the queue of outgoing messages, or for the end.
    pub(super) crowd: Vec<Waker>,
    /// How it ended.
    pub(super) closed: Option<Reason>,
}

impl Core {
    pub(super) fn new(machine: Machine) -> Self {
        Self {
            machine,
            subscriptions: HashMap::new(),
            publishes: HashMap::new(),
            listeners: HashMap::new(),
            next_listener: 0,
            unasked: Slot::default(),
            waiting: 0,
            crowd: Vec::new(),
            closed: None,
        }
    }

    fn hand_out(&mut self, event: ClientEvent, wake: &mut Vec<Waker>) {
        match event {
            ClientEvent::Message { subscriptions, message } => self.message(&subscriptions, message, wake),
            ClientEvent::Published { publish, reason } => {
                let failed = || Error::Reason { code: reason, text: String::new() };
                self.published(publish, if reason.is_error() { Err(failed()) } else { Ok(reason) }, wake);
            }
            ClientEvent::Dropped { publish, why } => self.published(publish, Err(Error::Dropped(why)), wake),
            other => self.rare(&other, wake),
        }
    }

    fn message(&mut self, to: &[SubscriptionId], message: Message, wake: &mut Vec<Waker>) {
        let mut taken = false;
        for id in to {
            if let Some(subscriber) = self.subscriptions.get_mut(id) {
                taken = true;
                self.waiting += message.size() + BESIDE;
                subscriber.messages.push(message.clone(), wake);
                if self.waiting >= WAITING {
                    // Who waits for an answer takes these first.
                    wake.extend(subscriber.answer.waker.take());
                }
            }
        }
        if !taken && to.is_empty() {
            if self.unasked.queue.len() >= UNASKED {
                self.unasked.queue.pop_front();
            }
            self.unasked.push(message, wake);
        }
    }

    /// Nothing more is taken in.
    pub(super) const fn is_full(&self) -> bool {
        self.waiting >= WAITING
    }

    /// A message was taken out of a subscription's slot.
    pub(super) fn taken(&mut self, message: &Message) {
        self.waiting -= message.size() + BESIDE;
    }

    /// Nobody takes these any more.
    pub(super) fn forget(&mut self, id: SubscriptionId) {
        for message in self.subscriptions.remove(&id).into_iter().flat_map(|gone| gone.messages.queue) {
            self.taken(&message);
        }
    }

    fn published(&mut self, id: PublishId, how: Result<ReasonCode, Error>, wake: &mut Vec<Waker>) {
        if let Some(slot) = self.publishes.get_mut(&id) {
            slot.push(how, wake);
        }
        wake.append(&mut self.crowd);
    }

    /// What is told to everybody who listens, too.
    fn rare(&mut self, event: &ClientEvent, wake: &mut Vec<Waker>) {
        match event {
            ClientEvent::Subscribed { subscription, reasons, text } => {
                if let Some(Subscriber { answer, messages }) = self.subscriptions.get_mut(subscription) {
                    answer.queue.clear();
                    answer.push((reasons.clone(), text.clone()), wake);
                    if reasons.iter().all(|reason| reason.is_error()) {
                        messages.end(wake);
                    }
                }
            }
            ClientEvent::Unsubscribed { subscription, .. } => {
                if let Some(subscriber) = self.subscriptions.get_mut(subscription) {
                    subscriber.end(wake);
                }
            }
            ClientEvent::Closed { reason, .. } => {
                self.closed = Some(reason.clone());
                self.subscriptions.values_mut().for_each(|subscriber| subscriber.end(wake));
                self.publishes.values_mut().for_each(|slot| slot.end(wake));
                self.unasked.end(wake);
                wake.append(&mut self.crowd);
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
}

impl link::Core for Core {
    type Machine = Machine;

    fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Not beyond what may wait here: then events wait in the machine, which stops to read.
    fn route(&mut self, wake: &mut Vec<Waker>) {
        while !self.is_full() || self.machine.is_closed() {
            let Some(event) = self.machine.poll_event() else { return };
            self.hand_out(event, wake);
        }
    }

    fn is_over(&self) -> bool {
        self.closed.is_some()
    }
}
