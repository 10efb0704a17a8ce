//! One direction of a transport: octets on their way, late, in pieces, within a bound.

use std::collections::VecDeque;

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};

use crate::rng::Rng;

/// How a transport behaves, in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// Nanoseconds from one end to the other, at least.
    pub(crate) latency: u64,
    /// And so many more at most.
    pub(crate) jitter: u64,
    /// Nanoseconds that each octet takes.
    pub(crate) per_octet: u64,
    /// Octets on their way or unread, at most.
    pub(crate) capacity: usize,
    /// How often, in thousandths, a write arrives in several pieces.
    pub(crate) pieces: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    data: VecDeque<u8>,
    /// When each piece arrives, and how long it is.
    pieces: VecDeque<(u64, usize)>,
    /// When the last piece arrives; order is kept.
    last: u64,
    busy_until: u64,
    /// Nothing arrives before.
    stalled_until: u64,
    /// When the end of the stream arrives.
    fin: Option<u64>,
    /// What is written vanishes.
    dead: bool,
    /// There was no room for all that was written.
    full: bool,
}

impl Pipe {
    /// Takes what fits from `out`.
    pub(crate) fn write(&mut self, now: u64, q: &Quality, rng: &mut Rng, out: &mut SharedSendBuf) -> usize {
        let n = out.len().min(q.capacity.saturating_sub(self.data.len()));
        self.full = n < out.len();
        if self.dead {
            // A dead line swallows as much as a buffer holds, and then nothing.
            if n > 0 {
                self.data.extend(std::iter::repeat_n(0, n));
                out.sent(n);
            }
            return n;
        }
        if n == 0 {
            return 0;
        }
        let mut left = n;
        for slice in out.slices() {
            let k = slice.len().min(left);
            self.data.extend(&slice[..k]);
            left -= k;
            if left == 0 {
                break;
            }
        }
        out.sent(n);
        let mut rest = n;
        while rest > 0 {
            let piece = if rest > 1 && rng.chance(q.pieces) {
                rng.range(1, (rest as u64 - 1).min(2000)) as usize
            } else {
                rest
            };
            self.busy_until = self.busy_until.max(now) + piece as u64 * q.per_octet;
            let jitter = if q.jitter > 0 { rng.below(q.jitter) } else { 0 };
            self.last = self.last.max(self.busy_until + q.latency + jitter);
            self.pieces.push_back((self.last, piece));
            rest -= piece;
        }
        n
    }

    /// Moves what has arrived into `into`, at most `most` octets.
    pub(crate) fn read(&mut self, now: u64, most: usize, into: &mut GrowingRecvBuf) -> usize {
        if now < self.stalled_until || self.dead {
            return 0;
        }
        let mut n = 0;
        while n < most {
            let Some((at, len)) = self.pieces.front_mut() else { break };
            if *at > now {
                break;
            }
            let k = (*len).min(most - n);
            n += k;
            *len -= k;
            if *len == 0 {
                self.pieces.pop_front();
            }
        }
        if n == 0 {
            return 0;
        }
        let (a, b) = self.data.as_slices();
        let first = a.len().min(n);
        let mut taken = into.push(&a[..first]);
        if taken == first && n > first {
            taken += into.push(&b[..n - first]);
        }
        self.data.drain(..taken);
        if taken < n {
            // The reader had less room than it said: the rest stays first.
            self.pieces.push_front((now, n - taken));
        }
        taken
    }

    /// Whether the writer waits for room, and there may be some now.
    pub(crate) fn take_full(&mut self) -> bool {
        std::mem::take(&mut self.full)
    }

    /// When there is something to read, or the end.
    pub(crate) fn next_arrival(&self) -> u64 {
        if self.dead {
            return u64::MAX;
        }
        let piece = self.pieces.front().map(|p| p.0);
        let at = piece.or(self.fin).unwrap_or(u64::MAX);
        if at == u64::MAX { at } else { at.max(self.stalled_until) }
    }

    /// Whether all was read and the writer has ended.
    pub(crate) fn is_ended(&self, now: u64) -> bool {
        !self.dead
            && now >= self.stalled_until
            && self.pieces.is_empty()
            && self.fin.is_some_and(|at| at <= now)
    }

    /// The writer ends.
    pub(crate) fn end(&mut self, now: u64, q: &Quality) {
        if self.fin.is_none() {
            self.last = self.last.max(now + q.latency);
            self.fin = Some(self.last);
        }
    }

    /// What is on its way is lost, and so is all that follows.
    pub(crate) fn kill(&mut self) {
        self.dead = true;
        self.data.clear();
        self.pieces.clear();
    }

    pub(crate) const fn is_dead(&self) -> bool {
        self.dead
    }

    pub(crate) const fn is_stalled(&self, now: u64) -> bool {
        self.stalled_until > now
    }

    pub(crate) fn stall(&mut self, until: u64) {
        self.stalled_until = self.stalled_until.max(until);
    }

    pub(crate) fn heal(&mut self) {
        self.stalled_until = 0;
    }

    /// Flips a bit of something on its way; false where there is nothing.
    pub(crate) fn corrupt(&mut self, rng: &mut Rng) -> bool {
        let n = self.data.len() as u64;
        if n == 0 || self.dead {
            return false;
        }
        self.data[rng.below(n) as usize] ^= 1 << rng.below(8);
        true
    }
}
