//! Two transports, each of which gets what the other brings.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::runtime::Transport;

/// Octets that are read at once.
const READ: usize = 64 << 10;

/// So many reads, then others get their turn.
const TURNS: u32 = 16;

thread_local! {
    /// What is read goes through here: an idle pair has no memory of its own.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Joins two transports until both directions have ended: what one brings, the other gets. An end is
/// handed on as an end, and the other direction goes on; where one breaks, the other is
/// [broken off](Transport::abort). What the slower one does not take is not read from the faster.
///
/// It gives how many octets went each way: from the first to the second, and back.
///
/// Cancel safety: all state is in it. Dropped before it is ready, both transports are dropped.
#[derive(Debug)]
#[must_use = "nothing is moved unless it is polled"]
pub struct Splice<A: Transport, B: Transport> {
    a: A,
    b: B,
    ways: [Way; 2],
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// What was read and not taken.
    left: Vec<u8>,
    at: usize,
    ended: bool,
    shut: bool,
    carried: u64,
}

impl<A: Transport, B: Transport> Splice<A, B> {
    /// Joins them.
    pub fn new(a: A, b: B) -> Self {
        Self { a, b, ways: <[Way; 2]>::default() }
    }
}

impl Way {
    /// Moves what can be moved; ready once this direction has ended on both sides.
    fn poll(
        &mut self,
        from: &mut impl Transport,
        to: &mut impl Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            while self.at < self.left.len() {
                self.at += ready!(write(to, cx, &self.left[self.at..]))?;
            }
            (self.left, self.at) = (Vec::new(), 0);
            if self.ended {
                ready!(to.poll_shutdown(cx))?;
                self.shut = true;
                return Poll::Ready(Ok(()));
            }
            let mut scratch = SCRATCH.take();
            scratch.resize(READ, 0);
            let moved = self.read(from, to, cx, &mut scratch);
            SCRATCH.set(scratch);
            ready!(moved)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once, and writes what is taken at once.
    fn read(
        &mut self,
        from: &mut impl Transport,
        to: &mut impl Transport,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let n = ready!(from.poll_read(cx, scratch))?;
        self.ended = n == 0;
        self.carried += n as u64;
        if n > 0 {
            let taken = match write(to, cx, &scratch[..n]) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            self.left.extend_from_slice(&scratch[taken..n]);
        }
        Poll::Ready(Ok(()))
    }
}

fn write(to: &mut impl Transport, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(to.poll_write_vectored(cx, &[IoSlice::new(octets)]))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        n => Poll::Ready(Ok(n)),
    }
}

impl<A: Transport, B: Transport> Future for Splice<A, B> {
    type Output = io::Result<(u64, u64)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { a, b, ways: [there, back] } = &mut *self;
        let both = [there.poll(a, b, cx), back.poll(b, a, cx)];
        let carried = (there.carried, back.carried);
        let mut done = true;
        for way in both {
            match way {
                Poll::Ready(Err(error)) => {
                    a.abort();
                    b.abort();
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(())) => {}
                Poll::Pending => done = false,
            }
        }
        if done { Poll::Ready(Ok(carried)) } else { Poll::Pending }
    }
}
