//! Requests of ours that wait for answers, and others' that wait for ours.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::compressing::Tried;
use super::event::PropertyBlock;
use super::outbox::Budget;
use crate::status::Status;
use crate::time::Instant;

/// A request that was not sent yet.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) topic: Box<str>,
    pub(super) payload: Bytes,
    pub(super) properties: PropertyBlock,
    pub(super) many: bool,
    pub(super) tried: Tried,
    /// Octets as it was taken in, for the budget.
    pub(super) counted: usize,
}

impl Unsent {
    /// Counts its octets: they stay, whatever it is compressed to.
    pub(super) fn counted(self) -> Self {
        let counted = self.topic.len() + self.payload.len() + self.properties.get().as_bytes().len();
        Self { counted, ..self }
    }

    pub(super) const fn octets(&self) -> usize {
        self.counted
    }
}

#[derive(Debug)]
struct Pending {
    deadline: Instant,
    unsent: Option<Unsent>,
}

/// Our requests, by id.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pending: BTreeMap<u64, Pending>,
    deadlines: BTreeSet<(Instant, u64)>,
    unsent: BTreeSet<u64>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn insert(&mut self, id: u64, deadline: Instant, unsent: Unsent, budget: &mut Budget) {
        budget.add(unsent.octets());
        self.deadlines.insert((deadline, id));
        self.unsent.insert(id);
        self.pending.insert(id, Pending { deadline, unsent: Some(unsent) });
    }

    /// What the oldest that is to be sent says, to compress it.
    pub(super) fn next_mut(&mut self) -> Option<&mut Unsent> {
        self.pending.get_mut(self.unsent.first()?)?.unsent.as_mut()
    }

    /// The oldest that is to be sent: its id, its deadline, what it says.
    pub(super) fn next(&self) -> Option<(u64, Instant, &Unsent)> {
        let id = self.unsent.first()?;
        let pending = self.pending.get(id)?;
        Some((*id, pending.deadline, pending.unsent.as_ref()?))
    }

    pub(super) fn sent(&mut self, id: u64, budget: &mut Budget) {
        self.unsent.remove(&id);
        if let Some(unsent) = self.pending.get_mut(&id).and_then(|p| p.unsent.take()) {
            budget.remove(unsent.octets());
        }
    }

    pub(super) fn any_sent(&self) -> bool {
        self.pending.len() > self.unsent.len()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.pending.contains_key(&id)
    }

    /// Ends a request; says whether it had been sent, or nothing if there was none.
    pub(super) fn remove(&mut self, id: u64, budget: &mut Budget) -> Option<bool> {
        let pending = self.pending.remove(&id)?;
        self.deadlines.remove(&(pending.deadline, id));
        self.unsent.remove(&id);
        if let Some(unsent) = &pending.unsent {
            budget.remove(unsent.octets());
        }
        Some(pending.unsent.is_none())
    }

    /// When the first one must have been answered.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// One whose time is up.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        self.deadlines.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id)
    }

    /// Takes out one that was sent, after the connection was lost.
    pub(super) fn pop_sent(&mut self, budget: &mut Budget) -> Option<u64> {
        let id = self.pending.iter().find(|(_, p)| p.unsent.is_none()).map(|(id, _)| *id)?;
        self.remove(id, budget);
        Some(id)
    }
}

/// An answer that was not sent yet.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) id: u64,
    pub(super) status: Status,
    pub(super) more: bool,
    pub(super) payload: Bytes,
    pub(super) properties: PropertyBlock,
    pub(super) tried: Tried,
    /// So many octets count against the limits; what the machine itself answers does not.
    pub(super) counted: Option<usize>,
}

impl Unanswered {
    /// What the machine itself answers.
    pub(super) fn refusal(id: u64, status: Status) -> Self {
        let (payload, properties) = (Bytes::new(), PropertyBlock::default());
        Self { id, status, more: false, payload, properties, tried: Tried::default(), counted: None }
    }

    pub(super) fn octets(&self) -> usize {
        self.counted.unwrap_or_default()
    }
}

/// Others' requests to us, on this connection.
#[derive(Debug, Default)]
pub(super) struct Serving {
    /// Those that we may still answer, and until when that is of use.
    open: BTreeMap<u64, Instant>,
    pub(super) answers: VecDeque<Unanswered>,
}

impl Serving {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.answers.is_empty()
    }

    pub(super) fn contains(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// One more; false where there are `limit` already, not counting those whose time is up.
    pub(super) fn insert(&mut self, now: Instant, id: u64, until: Instant, limit: usize) -> bool {
        if self.open.len() >= limit {
            self.open.retain(|_, at| *at > now);
        }
        let fits = self.open.len() < limit;
        if fits {
            self.open.insert(id, until);
        }
        fits
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.open.remove(&id).is_some()
    }

    pub(super) fn answer(&mut self, answer: Unanswered, budget: &mut Budget) {
        if let Some(octets) = answer.counted {
            budget.add(octets);
        }
        self.answers.push_back(answer);
    }

    /// The oldest answer was sent, or never will be.
    pub(super) fn pop_answer(&mut self, budget: &mut Budget) {
        if let Some(octets) = self.answers.pop_front().and_then(|answer| answer.counted) {
            budget.remove(octets);
        }
    }

    /// Requests do not outlive their connection.
    pub(super) fn disconnected(&mut self, budget: &mut Budget) {
        self.open.clear();
        while !self.answers.is_empty() {
            self.pop_answer(budget);
        }
    }
}
