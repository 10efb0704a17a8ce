//! The ordered, reliable stream: each direction's octets, by offset.

use alloc::collections::VecDeque;
use core::ops::Range;

use super::ranges::Ranges;

/// A peer may send pieces that leave so many gaps.
const MAX_GAPS: usize = 1_024;

/// What is sent: kept until it was acknowledged.
#[derive(Debug, Default)]
pub(super) struct SendStream {
    /// From `base` on.
    data: VecDeque<u8>,
    base: u64,
    /// What was sent at least once ends here.
    sent: u64,
    /// The peer takes octets below it.
    limit: u64,
    /// Acknowledged, above `base`.
    acked: Ranges,
    /// To be sent again.
    lost: Ranges,
    fin: Fin,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fin {
    #[default]
    Open,
    /// To be sent once all else was.
    Wanted,
    Sent,
    Acked,
}

impl SendStream {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// How many octets are kept.
    pub(super) fn kept(&self) -> usize {
        self.data.len()
    }

    fn end(&self) -> u64 {
        self.base + self.data.len() as u64
    }

    /// Takes `octets` to send, unless the stream is finished. Says whether.
    pub(super) fn push(&mut self, octets: &[u8]) -> bool {
        let open = self.fin == Fin::Open;
        if open {
            self.data.extend(octets);
        }
        open
    }

    pub(super) fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Wanted;
        }
    }

    pub(super) const fn is_finished(&self) -> bool {
        !matches!(self.fin, Fin::Open)
    }

    /// All, and the end where there is one, has arrived.
    pub(super) fn is_done(&self) -> bool {
        self.data.is_empty() && matches!(self.fin, Fin::Open | Fin::Acked)
    }

    /// The peer takes octets below `limit`. Says whether that is more than before.
    pub(super) fn set_limit(&mut self, limit: u64) -> bool {
        let more = limit > self.limit;
        self.limit = self.limit.max(limit);
        more
    }

    /// Whether [`next`](Self::next) has something.
    pub(super) fn has_work(&self) -> bool {
        !self.lost.is_empty() || self.sent < self.end().min(self.limit) || self.fin_is_due()
    }

    fn fin_is_due(&self) -> bool {
        self.fin == Fin::Wanted && self.sent == self.end()
    }

    /// The next piece to send, of at most `room` octets: where it begins, its length, whether it is the last.
    /// What was lost goes first.
    pub(super) fn next(&mut self, room: usize) -> Option<(u64, u32, bool)> {
        let room = room.min(1 << 16) as u64;
        let range = match self.lost.first().cloned() {
            Some(_) if room == 0 => return None,
            Some(lost) => {
                let range = lost.start..lost.end.min(lost.start + room);
                self.lost.remove(range.clone());
                range
            }
            None => {
                let to = self.end().min(self.limit).min(self.sent + room);
                let range = self.sent..to.max(self.sent);
                self.sent = range.end;
                range
            }
        };
        let fin = self.fin_is_due() && range.end == self.end();
        if fin {
            self.fin = Fin::Sent;
        }
        let len = (range.end - range.start) as u32;
        (len > 0 || fin).then_some((range.start, len, fin))
    }

    /// The octets of a piece.
    pub(super) fn slices(&self, offset: u64, len: u32) -> (&[u8], &[u8]) {
        let from = offset.saturating_sub(self.base) as usize;
        let to = (from + len as usize).min(self.data.len());
        let (first, second) = self.data.as_slices();
        let of = |slice: &'_ Range<usize>, start: usize| {
            slice.start.saturating_sub(start)..slice.end.saturating_sub(start)
        };
        let wanted = from.min(to)..to;
        let in_first = of(&wanted, 0);
        let in_second = of(&wanted, first.len());
        (
            &first[in_first.start.min(first.len())..in_first.end.min(first.len())],
            &second[in_second.start.min(second.len())..in_second.end.min(second.len())],
        )
    }

    pub(super) fn on_acked(&mut self, offset: u64, len: u32, fin: bool) {
        if fin {
            self.fin = Fin::Acked;
        }
        let range = offset.max(self.base)..offset + u64::from(len);
        if range.is_empty() {
            return;
        }
        self.lost.remove(range.clone());
        self.acked.insert(range);
        let Some(first) = self.acked.first().cloned().filter(|first| first.start <= self.base) else {
            return;
        };
        self.acked.pop_first();
        let n = ((first.end - self.base) as usize).min(self.data.len());
        self.data.drain(..n);
        self.base += n as u64;
        if self.data.is_empty() {
            // An idle stream keeps no memory.
            self.data = VecDeque::new();
        }
    }

    pub(super) fn on_lost(&mut self, offset: u64, len: u32, fin: bool) {
        if fin && self.fin == Fin::Sent {
            self.fin = Fin::Wanted;
        }
        let range = offset.max(self.base)..offset + u64::from(len);
        if range.is_empty() {
            return;
        }
        self.lost.insert(range.clone());
        for acked in self.acked.iter() {
            if acked.end > range.start && acked.start < range.end {
                self.lost.remove(acked.clone());
            }
        }
    }
}

/// What is received: put in order, within a window.
#[derive(Debug)]
pub(super) struct RecvStream {
    /// From `base` on, as far as something is there; with gaps.
    data: VecDeque<u8>,
    /// What was read ends here.
    base: u64,
    received: Ranges,
    window: u64,
    /// What the peer was told that it may send.
    granted: u64,
    end: Option<u64>,
}

/// What is wrong with a piece. The packet is as if it had not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Beyond the window.
    Window,
    /// It is not what was said of the end.
    End,
    /// Too many gaps.
    Gaps,
}

impl RecvStream {
    pub(super) const fn new(window: u32) -> Self {
        let window = window as u64;
        Self { data: VecDeque::new(), base: 0, received: Ranges::new(), window, granted: window, end: None }
    }

    /// How many octets are kept at most: those up to the last that came.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.data.len()
    }

    /// How many octets can be read.
    pub(super) fn readable(&self) -> usize {
        match self.received.first() {
            Some(first) if first.start <= self.base => (first.end - self.base) as usize,
            _ => 0,
        }
    }

    /// All was read, and the peer has said that it was all.
    pub(super) fn is_ended(&self) -> bool {
        self.end == Some(self.base)
    }

    /// Takes in a piece.
    pub(super) fn insert(&mut self, offset: u64, data: &[u8], fin: bool) -> Result<(), Unfit> {
        let end = offset + data.len() as u64;
        if end > self.granted {
            return Err(Unfit::Window);
        }
        let known = self.received.end().unwrap_or(self.base).max(self.base);
        if self.end.is_some_and(|at| end > at || (fin && end != at)) || (fin && end < known) {
            return Err(Unfit::End);
        }
        let from = offset.max(self.base);
        if from < end {
            if self.received.len_with(&(from..end)) > MAX_GAPS {
                return Err(Unfit::Gaps);
            }
            self.put(from, &data[(from - offset) as usize..]);
            self.received.insert(from..end);
        }
        if fin {
            self.end = Some(end);
        }
        Ok(())
    }

    fn put(&mut self, from: u64, data: &[u8]) {
        let at = (from - self.base) as usize;
        let len = self.data.len();
        if at == len {
            self.data.extend(data);
            return;
        }
        if at + data.len() > len {
            self.data.resize(at + data.len(), 0);
        }
        let (first, second) = self.data.as_mut_slices();
        let in_first = first.len().saturating_sub(at).min(data.len());
        if in_first > 0 {
            first[at..at + in_first].copy_from_slice(&data[..in_first]);
        }
        let rest = &data[in_first..];
        if !rest.is_empty() {
            let at = (at + in_first) - first.len();
            second[at..at + rest.len()].copy_from_slice(rest);
        }
    }

    /// Moves what is in order to the front of `to`, and says how much.
    pub(super) fn read(&mut self, to: &mut [u8]) -> usize {
        let n = self.readable().min(to.len());
        let (first, second) = self.data.as_slices();
        let in_first = n.min(first.len());
        to[..in_first].copy_from_slice(&first[..in_first]);
        to[in_first..n].copy_from_slice(&second[..n - in_first]);
        self.data.drain(..n);
        self.base += n as u64;
        self.received.remove_below(self.base);
        if self.data.is_empty() {
            self.data = VecDeque::new();
        }
        n
    }

    /// Whether the peer should be told of more room: half of the window was read.
    pub(super) fn grant_is_due(&self) -> bool {
        self.end.is_none() && self.base + self.window >= self.granted + self.window / 2
    }

    /// The limit to tell.
    pub(super) fn grant(&mut self) -> u64 {
        self.granted = self.granted.max(self.base + self.window);
        self.granted
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is lost, doubled and out of order: what is read is what was written, once and in order.
        #[test]
        fn what_is_written_is_read(
            writes in prop::collection::vec(1..200usize, 1..20),
            steps in prop::collection::vec((0..4u8, 1..120usize, any::<prop::sample::Index>()), 0..300),
        ) {
            let (mut send, mut recv) = (SendStream::new(300), RecvStream::new(300));
            let (mut wrote, mut read, mut way) = (Vec::new(), Vec::new(), Vec::new());
            let mut writes = writes.into_iter();
            for (what, size, which) in steps {
                match what {
                    0 => if let Some(n) = writes.next() {
                        let octets: Vec<u8> = (0..n).map(|i| (wrote.len() + i) as u8).collect();
                        prop_assert!(send.push(&octets));
                        wrote.extend(octets);
                    },
                    1 => way.extend(send.next(size)),
                    2 if !way.is_empty() => {
                        let (offset, len, fin) = way[which.index(way.len())];
                        let (a, b) = send.slices(offset, len);
                        let data = [a, b].concat();
                        // What was acknowledged is not kept; a copy on the way may come all the same.
                        if data.len() == len as usize && offset >= send.base {
                            prop_assert_eq!(recv.insert(offset, &data, fin), Ok(()));
                            if size % 2 == 0 {
                                send.on_acked(offset, len, fin);
                            }
                        }
                    }
                    3 if !way.is_empty() => {
                        let (offset, len, fin) = way.swap_remove(which.index(way.len()));
                        send.on_lost(offset, len, fin);
                    }
                    _ => {}
                }
                let mut to = [0; 64];
                let n = recv.read(&mut to[..size.min(64)]);
                read.extend_from_slice(&to[..n]);
                if recv.grant_is_due() {
                    send.set_limit(recv.grant());
                }
                prop_assert!(recv.kept() <= 300);
                prop_assert_eq!(&read[..], &wrote[..read.len()]);
            }
            // At last nothing is lost any more.
            send.finish();
            for (offset, len, fin) in way {
                send.on_lost(offset, len, fin);
            }
            while !recv.is_ended() {
                while let Some((offset, len, fin)) = send.next(50) {
                    let (a, b) = send.slices(offset, len);
                    recv.insert(offset, &[a, b].concat(), fin).unwrap();
                    send.on_acked(offset, len, fin);
                }
                let mut to = [0; 64];
                let n = recv.read(&mut to);
                read.extend_from_slice(&to[..n]);
                send.set_limit(recv.grant());
            }
            prop_assert_eq!(read, wrote);
            prop_assert!(send.is_done());
        }
    }

    #[test]
    fn a_window_is_kept_and_an_end_stays() {
        let mut recv = RecvStream::new(10);
        assert_eq!(recv.insert(5, &[0; 6], false), Err(Unfit::Window));
        assert_eq!(recv.insert(5, &[0; 5], false), Ok(()));
        assert_eq!(recv.insert(0, &[0; 4], true), Err(Unfit::End), "something came beyond that end");
        assert_eq!(recv.insert(10, &[], true), Ok(()));
        assert_eq!(recv.insert(9, &[], true), Err(Unfit::End));
        let mut recv = RecvStream::new(1 << 16);
        for n in 0..MAX_GAPS as u64 {
            assert_eq!(recv.insert(2 * n + 1, &[0], false), Ok(()));
        }
        assert_eq!(recv.insert(1 << 15, &[0], false), Err(Unfit::Gaps));
        assert_eq!(recv.insert(0, &[0], false), Ok(()), "what closes one is taken");
    }
}
