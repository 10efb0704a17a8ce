//! A client's machine, and who waits for what from it, behind one lock that is never held across I/O.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bowline_core::time::{Deadline, Instant, Why};
use parking_lot::Mutex;

use super::Dialing;

/// Something that one task waits for.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    pub(crate) queue: VecDeque<T>,
    /// Nothing more comes.
    pub(crate) over: bool,
    pub(crate) waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), over: false, waker: None }
    }
}

impl<T> Slot<T> {
    pub(crate) fn push(&mut self, value: T, wake: &mut Vec<Waker>) {
        self.queue.push_back(value);
        wake.extend(self.waker.take());
    }

    pub(crate) fn end(&mut self, wake: &mut Vec<Waker>) {
        self.over = true;
        wake.extend(self.waker.take());
    }

    /// What waits, or that nothing more comes; `waker` is woken at either.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Option<Option<T>> {
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

/// A client's machine, and who waits for what from it.
pub(crate) trait Core: Send + 'static {
    /// The machine.
    type Machine: Dialing;

    /// The machine.
    fn machine(&mut self) -> &mut Self::Machine;

    /// Hands out what the machine has for the application, and collects who is to be woken.
    fn route(&mut self, wake: &mut Vec<Waker>);

    /// Whether the machine's last event was handed out.
    fn is_over(&self) -> bool;
}

/// All that is behind the lock.
pub(super) struct Held<C> {
    pub(super) core: C,
    pub(super) link: Option<Waker>,
    /// When the link will look again by itself.
    pub(super) armed: Option<Instant>,
}

/// What a client's handles and its link share.
pub(crate) struct Shared<C> {
    held: Mutex<Held<C>>,
    pub(super) woken: AtomicBool,
}

impl<C> std::fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<C: Core> Shared<C> {
    pub(crate) const fn new(core: C) -> Self {
        Self { held: Mutex::new(Held { core, link: None, armed: None }), woken: AtomicBool::new(false) }
    }

    /// An application's call: afterwards the link is woken if it has something to do now.
    pub(crate) fn call<T>(&self, work: impl FnOnce(&mut C) -> T) -> T {
        let mut wake = Vec::new();
        let mut held = self.held.lock();
        let result = work(&mut held.core);
        held.core.route(&mut wake);
        let armed = held.armed;
        let sooner = |d: Deadline| d.why == Why::Output || armed.is_none_or(|armed| d.at < armed);
        let over = held.core.is_over();
        let beside = held.core.machine().has_datagrams();
        if (over || beside || held.core.machine().poll_timeout().is_some_and(sooner))
            && !self.woken.swap(true, Ordering::AcqRel)
        {
            wake.extend(held.link.clone());
        }
        drop(held);
        wake.into_iter().for_each(Waker::wake);
        result
    }

    /// The link's work: what came of it is handed out.
    pub(super) fn work<T>(&self, work: impl FnOnce(&mut Held<C>, &mut Vec<Waker>) -> T) -> T {
        let mut wake = Vec::new();
        let mut held = self.held.lock();
        let result = work(&mut held, &mut wake);
        drop(held);
        wake.into_iter().for_each(Waker::wake);
        result
    }
}
