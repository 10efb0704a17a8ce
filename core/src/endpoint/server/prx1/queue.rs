//! QUEUE: the hub's queues, as PRX1 names them.
//!
//! A drain makes its client a consumer until all that waited was handed out; what comes later waits
//! for the next one.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::super::connection::Turn;
use super::{Acknowledgement, Connection};
use crate::buf::SendBuf;
use crate::endpoint::message;
use crate::hub::{self, Quality, Refusal, SessionKey, SubscribeOptions};
use crate::prx1::{Queue, QueueAction, QueueOptions, QueueStatus};
use crate::session::Properties;

/// What the hub's topics of queues begin with.
pub(super) const PREFIX: &str = "$queue/";

/// So many queues a connection remembers; it names others all the same, but their return paths are
/// forgotten.
const MAX_NAMED: usize = 64;

/// The queues that a connection has named, the last one last.
#[derive(Debug, Default)]
pub(super) struct Queues(Vec<Named>);

#[derive(Debug)]
struct Named {
    address: Box<str>,
    return_path: Option<Box<str>>,
    /// A drain is under way: the client is a consumer.
    drains: bool,
    /// Tasks that it has yet to hand out.
    left: usize,
}

impl Queues {
    fn position(&self, address: &str) -> Option<usize> {
        self.0.iter().position(|named| &*named.address == address)
    }

    /// Where a task of this queue is published to.
    pub(super) fn path<'a>(&'a self, address: &'a str) -> &'a str {
        let named = self.position(address).map(|at| &self.0[at]);
        named.and_then(|named| named.return_path.as_deref()).unwrap_or(address)
    }

    /// A task of this queue was handed out.
    pub(super) fn handed_out(&mut self, address: &str) {
        if let Some(at) = self.position(address) {
            self.0[at].left = self.0[at].left.saturating_sub(1);
        }
    }

    /// Names a queue: it is the last one then.
    fn name(&mut self, options: &QueueOptions<'_>, address: &str) -> &mut Named {
        let mut named = match self.position(address) {
            Some(at) => self.0.remove(at),
            None => Named { address: address.into(), return_path: None, drains: false, left: 0 },
        };
        if let Some(path) = options.return_path {
            named.return_path = Some(path.into());
        }
        if self.0.len() >= MAX_NAMED
            && let Some(at) = self.0.iter().position(|named| !named.drains)
        {
            self.0.remove(at);
        }
        let at = self.0.len();
        self.0.push(named);
        &mut self.0[at]
    }
}

impl Connection {
    pub(super) fn queue(&mut self, turn: &mut Turn<'_>, queue: &Queue<'_>, out: &mut impl SendBuf) {
        let Some(hub) = self.hub else { return };
        let issued = turn.server.hub.issued();
        let done = match &queue.options {
            Some(options) => self.order(turn, hub, options),
            None => Ok(()),
        };
        let done = match queue.payload {
            Some(payload) => done.and_then(|()| self.offer(turn, hub, payload)),
            None => done,
        };
        let status = if done.is_ok() { QueueStatus::Ok } else { QueueStatus::Error };
        let commit = turn.server.hub.commit_since(issued);
        self.answer(turn, commit, Acknowledgement::Queue(status), out);
    }

    fn order(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        options: &QueueOptions<'_>,
    ) -> Result<(), Refusal> {
        let last = || self.queues.as_ref()?.0.last().map(|named| named.address.clone());
        let address: Box<str> = match options.address {
            Some(address) => address.into(),
            None => last().ok_or(Refusal::NotFound)?,
        };
        let (server, now) = (&mut *turn.server, turn.now);
        match options.action {
            QueueAction::Initialize => {
                server.hub.declare_queue(now, hub, &address, hub::QueueOptions::default())?;
                self.queues.get_or_insert_default().name(options, &address);
                Ok(())
            }
            QueueAction::Destroy => {
                server.hub.delete_queue(now, hub, &address)?.ok_or(Refusal::NotFound)?;
                Ok(())
            }
            QueueAction::Drain => {
                let (waiting, _) = server.hub.queue_len(&address).ok_or(Refusal::NotFound)?;
                let named = self.queues.get_or_insert_default().name(options, &address);
                if waiting == 0 {
                    return Ok(());
                }
                let filter = format!("{PREFIX}{address}");
                let wish = SubscribeOptions { quality: Quality::AtLeastOnce, ..SubscribeOptions::default() };
                server.hub.subscribe_filter(now, hub, &filter, 0, wish)?;
                (named.drains, named.left) = (true, waiting);
                Ok(())
            }
        }
    }

    /// A task for the queue that was named last.
    fn offer(&self, turn: &mut Turn<'_>, hub: SessionKey, payload: &[u8]) -> Result<(), Refusal> {
        let last = self.queues.as_ref().and_then(|queues| queues.0.last()).ok_or(Refusal::NotFound)?;
        let topic = format!("{PREFIX}{}", last.address);
        let message = message::compose(turn.now, Properties::NONE, &topic, payload);
        let message = message.ok_or(Refusal::Invalid("the message is too large"))?.with_reliable(true);
        turn.server.hub.publish(turn.now, hub, message, None).map(drop)
    }

    /// Drains that have handed out what waited are over.
    pub(super) fn finish_drains(&mut self, turn: &mut Turn<'_>, hub: SessionKey) {
        let Some(queues) = &mut self.queues else { return };
        let (acked, sent) = turn.server.hub.reliable(hub).unwrap_or_default();
        for named in &mut queues.0 {
            // Others may have taken what was waited for; with nothing in flight nothing is held back.
            let empty = || turn.server.hub.queue_len(&named.address).is_none_or(|(waiting, _)| waiting == 0);
            if named.drains && (named.left == 0 || (acked == sent && empty())) {
                named.drains = false;
                end_drain(turn, hub, &named.address);
            }
        }
    }

    /// The connection is a consumer no longer.
    pub(super) fn end_drains(&mut self, turn: &mut Turn<'_>, hub: SessionKey) {
        let Some(queues) = self.queues.take() else { return };
        for named in queues.0.iter().filter(|named| named.drains) {
            end_drain(turn, hub, &named.address);
        }
    }
}

fn end_drain(turn: &mut Turn<'_>, hub: SessionKey, address: &str) {
    let _ = turn.server.hub.unsubscribe_filter(turn.now, hub, &format!("{PREFIX}{address}"));
}
