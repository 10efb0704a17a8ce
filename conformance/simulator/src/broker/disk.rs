//! A disk with a write cache, and what an adapter's store thread does with it.

use std::time::Duration;

use bowline_core::endpoint::server::Server;
use bowline_core::hub::Operation;
use bowline_core::time::Instant;

use super::tables::Tables;
use crate::mutant::Mutant;
use crate::rng::Rng;

/// How long a store that failed is left alone: doubled each time.
const REST: (u64, u64) = (100_000_000, 5_000_000_000);

/// All operations that were given out until there was none.
type Transaction = Vec<Operation>;

/// What the store's thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits for operations.
    Idle,
    /// The disk writes and syncs the batch.
    Writing,
    /// It failed, and is left alone for a while.
    Resting,
    /// The batch is synced, and the server does not know it yet.
    Synced,
}

#[derive(Debug)]
pub(crate) struct Disk {
    /// What outlives the server.
    pub(crate) tables: Tables,
    state: State,
    /// Transactions that the thread took from the server and has not begun to write: it takes each
    /// by itself where it is eager.
    taken: Vec<Transaction>,
    /// What is being written, one transaction after the other.
    batch: Vec<Transaction>,
    /// The batch is there, though an error has hidden that: it is being written once more.
    again: bool,
    /// So many operations are committed with the batch.
    count: u64,
    /// So many were taken.
    issued: u64,
    rest: u64,
    failing: bool,
    full_until: u64,
    /// Nanoseconds that a commit takes at most.
    slow: u64,
    eager: bool,
    mutant: Option<Mutant>,
    pub(crate) commits: u64,
    pub(crate) failures: u64,
}

/// What came of looking after the disk.
pub(crate) struct Looked {
    /// When to look again.
    pub(crate) wake: Option<u64>,
    /// The server was told something.
    pub(crate) told: bool,
}

impl Disk {
    pub(crate) fn new(slow: Duration, eager: bool, mutant: Option<Mutant>) -> Self {
        Self {
            tables: Tables::default(),
            state: State::Idle,
            taken: Vec::new(),
            batch: Vec::new(),
            again: false,
            count: 0,
            issued: 0,
            rest: REST.0,
            failing: false,
            full_until: 0,
            slow: slow.as_nanos() as u64,
            eager,
            mutant,
            commits: 0,
            failures: 0,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle && self.taken.is_empty() && !self.failing
    }

    /// What it is at.
    pub(crate) fn words(&self) -> String {
        let (commits, failures) = (self.commits, self.failures);
        format!("{:?}, {commits} commits, {failures} failures, failing: {}", self.state, self.failing)
    }

    /// It takes nothing until then.
    pub(crate) fn fill(&mut self, until: u64) {
        self.full_until = self.full_until.max(until);
    }

    pub(crate) fn heal(&mut self) {
        self.full_until = 0;
    }

    /// The server did something: takes what it asks for, where the thread is free or eager. Gives
    /// when the disk is to be looked after.
    pub(crate) fn rouse(&mut self, server: &mut Server, now: u64, rng: &mut Rng) -> Option<u64> {
        if self.eager || self.state == State::Idle {
            self.take(server);
        }
        if self.state == State::Idle { self.begin(server, now, rng) } else { None }
    }

    fn take(&mut self, server: &mut Server) {
        let mut operations: Transaction = std::iter::from_fn(|| server.poll_operation()).collect();
        operations.retain(|operation| !is_forgotten(self.mutant, operation));
        self.issued = server.operations_issued();
        if !operations.is_empty() {
            self.taken.push(operations);
        }
    }

    /// Begins to write all that was taken.
    fn begin(&mut self, server: &mut Server, now: u64, rng: &mut Rng) -> Option<u64> {
        if self.taken.is_empty() {
            return None;
        }
        self.batch = std::mem::take(&mut self.taken);
        (self.count, self.rest) = (self.issued, REST.0);
        if self.mutant == Some(Mutant::CommitEarly) {
            server.committed(Instant::from_nanos(now), self.count);
        }
        Some(self.write(now, rng))
    }

    fn write(&mut self, now: u64, rng: &mut Rng) -> u64 {
        self.state = State::Writing;
        now + 10_000 + rng.below(self.slow)
    }

    /// It is time to look after the disk: in the order of the adapter's thread, which says that the
    /// store works again before it tells what was committed.
    pub(crate) fn look(&mut self, server: &mut Server, now: u64, rng: &mut Rng) -> Looked {
        match self.state {
            State::Idle => Looked { wake: self.rouse(server, now, rng), told: false },
            State::Writing if now < self.full_until => {
                self.failures += 1;
                // An error may hide that it was written: it is written again anyway.
                if rng.chance(200) {
                    self.keep(self.batch.len());
                    self.again = true;
                }
                server.set_store_available(false);
                (self.failing, self.state) = (true, State::Resting);
                let wake = now + self.rest;
                self.rest = (self.rest * 2).min(REST.1);
                Looked { wake: Some(wake), told: true }
            }
            State::Writing => {
                self.keep(self.batch.len());
                self.commits += 1;
                if std::mem::take(&mut self.failing) {
                    server.set_store_available(true);
                }
                self.state = State::Synced;
                Looked { wake: Some(now + rng.below(100_000)), told: true }
            }
            State::Resting => Looked { wake: Some(self.write(now, rng)), told: false },
            State::Synced => {
                self.batch.clear();
                (self.state, self.again) = (State::Idle, false);
                server.committed(Instant::from_nanos(now), self.count);
                Looked { wake: self.rouse(server, now, rng), told: true }
            }
        }
    }

    /// Transactions of the batch up to here reach the tables. What is written once more may be of a session that the
    /// same batch has ended.
    fn keep(&mut self, count: usize) {
        let stray = self.tables.stray.clone();
        for operation in self.batch[..count].iter().flatten() {
            self.tables.apply(operation);
        }
        if self.again {
            self.tables.stray = stray;
        }
    }

    /// The server dies: of what was being written any prefix of whole transactions is kept. What was being written
    /// once more is all there, and whoever keeps a batch keeps all of it or nothing.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        if self.state == State::Writing && !self.again {
            let count = rng.below(self.batch.len() as u64 + 1) as usize;
            self.keep(count);
            if self.mutant == Some(Mutant::TearTransaction)
                && let Some(torn) = self.batch.get(count)
            {
                torn[..torn.len() / 2].iter().for_each(|operation| self.tables.apply(operation));
            }
        }
        self.taken.clear();
        self.batch.clear();
        (self.state, self.failing, self.again) = (State::Idle, false, false);
    }

    /// What the server is told after it died: the tables, unless a fault on purpose changes them.
    pub(crate) fn load(&self) -> Vec<Operation> {
        let mut all = self.tables.load();
        if self.mutant == Some(Mutant::ReverseQueue) {
            let queued = |o: &Operation| matches!(o, Operation::Queued { .. });
            if let Some(first) = all.iter().position(queued) {
                let count = all[first..].iter().take_while(|o| queued(o)).count();
                all[first..first + count].reverse();
            }
        }
        all
    }
}

/// Whether a fault on purpose keeps an operation from the disk.
const fn is_forgotten(mutant: Option<Mutant>, operation: &Operation) -> bool {
    match mutant {
        Some(Mutant::ForgetReceived) => matches!(operation, Operation::Received { .. }),
        Some(Mutant::ForgetForgotten) => matches!(operation, Operation::Forgotten { .. }),
        Some(Mutant::ForgetSent) => matches!(operation, Operation::Sent { .. }),
        Some(Mutant::ForgetReleased) => matches!(operation, Operation::Released { .. }),
        Some(Mutant::ForgetTask) => matches!(operation, Operation::TaskAdded { .. }),
        Some(Mutant::ForgetRetained) => matches!(operation, Operation::Retained { .. }),
        Some(Mutant::ForgetSubscription) => matches!(operation, Operation::SubscriptionAdded { .. }),
        _ => false,
    }
}
