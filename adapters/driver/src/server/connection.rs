//! One connection of a server, as an engine drives it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use bowline_core::buf::RecvBuf;
use bowline_core::datagram::Delivery;
use bowline_core::endpoint::server::{ConnectionKey, Secured};
use bowline_core::session::Transport;
use bowline_core::time::{Deadline, Instant};

use super::shared::{Phase, Shared, Woken};
use crate::machine::{Machine, Next, Turn};

#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    key: ConnectionKey,
    woken: Woken,
    /// The machine left something unread: maybe within itself.
    blocked: bool,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, key: ConnectionKey, woken: Woken) -> Self {
        Self { shared, key, woken, blocked: false }
    }
}

impl Machine for Connection {
    fn register(&mut self, waker: &Waker) {
        self.shared.register(self.key, waker);
    }

    #[inline]
    fn is_woken(&self) -> bool {
        self.woken.of(self.key).load(Ordering::Acquire)
    }

    fn handle_secured(&mut self, now: Instant, secured: Secured) {
        self.shared.with(|core, _| core.machine.handle_secured(now, self.key, secured));
    }

    /// One critical section: what came, and what is owed for it.
    fn turn(&mut self, now: Instant, turn: Turn<'_>) -> Next {
        let key = self.key;
        let Turn { due, eof, input, output } = turn;
        let (next, again, verification, request, job) = self.shared.with(|core, wake| {
            self.woken.of(key).store(false, Ordering::Release);
            let verified = core.slot(key).and_then(|slot| slot.beside.as_mut()?.verified.take());
            let (mut blocked, mut verification) = (false, None);
            let machine = &mut core.machine;
            if due {
                machine.handle_timeout(now, key);
            }
            if let Some(verified) = verified {
                machine.verified(now, key, verified, output);
            }
            if due || self.blocked || !input.filled().is_empty() {
                blocked = machine.recv(now, key, input, output);
                verification = machine.poll_verification(key);
            }
            let request = machine.poll_request(key);
            if eof {
                machine.handle_eof(now, key);
            }
            // What this made ready for this connection itself goes out right below.
            core.collect(Some(key), wake);
            let mut transport = core.machine.poll_transmit(now, key, output);
            let again = core.collect(Some(key), wake);
            if core.phase == Phase::Stopped {
                transport = Transport::Abort;
            }
            let deadline = core.machine.poll_timeout(key);
            // A store that lags behind slows those down who give it work.
            let reads = !core.machine.hub().is_store_behind();
            if let Some(storing) = core.storing.as_mut().filter(|_| !reads) {
                storing.hold();
            }
            let next = Next { transport, deadline, blocked, reads, yields: !wake.is_empty() };
            let job = core.take_job(key, &self.woken).map(|job| (job, core.machine.awaited(key)));
            (next, again, verification, request, job)
        });
        self.blocked = next.blocked;
        if again {
            self.woken.of(key).store(true, Ordering::Release);
        }
        if let Some(work) = verification {
            self.shared.verify(key, work);
        }
        if let Some((job, awaited)) = job {
            self.shared.work(key, job, awaited);
        }
        if let Some(request) = request {
            self.shared.answer(key, &request);
        }
        next
    }

    fn set_max_datagram(&mut self, now: Instant, max: usize) {
        self.shared.with(|core, _| core.machine.set_max_datagram(now, self.key, max));
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.shared.with(|core, wake| {
            core.machine.handle_datagram(now, self.key, datagram);
            if core.collect(Some(self.key), wake) {
                self.woken.of(self.key).store(true, Ordering::Release);
            }
        });
    }

    fn poll_datagram(&mut self, now: Instant) -> Option<(Delivery, Vec<u8>)> {
        self.shared.with(|core, _| core.machine.poll_datagram(now, self.key))
    }

    fn handle_written(&mut self, now: Instant, written: usize, waiting: usize) -> Option<Deadline> {
        self.shared.with(|core, _| {
            core.machine.handle_written(now, self.key, written, waiting);
            core.machine.poll_timeout(self.key)
        })
    }

    fn gone(&mut self, _now: Instant) {
        self.shared.gone(self.key);
    }
}
