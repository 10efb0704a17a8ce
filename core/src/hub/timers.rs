//! A queue of timers: set and cancel in O(log n), the next one in O(1).

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use super::slab::Slab;
use crate::time::{Deadline, Instant, Why};

/// What a timer is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Alarm {
    /// The request at this index must have been answered.
    Request(u32),
    /// The detached session at this index ends.
    Expiry(u32),
    /// The will of the detached session at this index is published.
    Will(u32),
    /// The members of the detached session at this index go away.
    Grace(u32),
    /// Members of the room at this index are told who is there.
    Presence(u32),
    /// Something is taken again from the session at this index.
    Hold(u32),
    /// A freed place.
    #[default]
    Free,
}

/// A timer that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer(u32);

#[derive(Debug, Default)]
struct Slot {
    alarm: Alarm,
    serial: u64,
}

/// Timers in a heap. A cancelled one stays in it until it comes up or until cancelled ones
/// outnumber the others, so memory is within twice of what is set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    slots: Slab<Slot>,
    serial: u64,
}

/// Below so many entries the heap is not worth tidying.
const TIDY_FROM: usize = 64;

impl Timers {
    /// Sets a timer for `alarm` at `at`.
    pub(super) fn set(&mut self, at: Instant, alarm: Alarm) -> Timer {
        self.serial += 1;
        let slot = self.slots.insert(Slot { alarm, serial: self.serial });
        self.heap.push(Reverse((at, self.serial, slot)));
        Timer(slot)
    }

    /// Cancels a timer that has not come up.
    pub(super) fn cancel(&mut self, timer: Timer) {
        self.slots.remove(timer.0);
        if self.heap.len() > TIDY_FROM && self.heap.len() > 2 * self.slots.len() {
            let slots = &self.slots;
            self.heap.retain(|Reverse((_, serial, slot))| slots[*slot].serial == *serial);
        }
        self.skip_cancelled();
    }

    /// The next alarm that is due at `now`; its timer is gone then.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Alarm> {
        let Reverse((at, _, slot)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        let alarm = self.slots.remove(slot).alarm;
        self.skip_cancelled();
        Some(alarm)
    }

    /// When the next alarm is due, and why.
    pub(super) fn next(&self) -> Option<Deadline> {
        let Reverse((at, _, slot)) = self.heap.peek()?;
        let why = match self.slots[*slot].alarm {
            Alarm::Request(_) => Why::Request,
            Alarm::Expiry(_) | Alarm::Will(_) | Alarm::Grace(_) | Alarm::Free => Why::Expiry,
            Alarm::Presence(_) => Why::Report,
            Alarm::Hold(_) => Why::Rate,
        };
        Some(Deadline::new(*at, why))
    }

    /// How many timers are set.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn skip_cancelled(&mut self) {
        while let Some(Reverse((_, serial, slot))) = self.heap.peek() {
            if self.slots[*slot].serial == *serial {
                break;
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Instant {
        Instant::from_millis(n)
    }

    #[test]
    fn they_come_up_in_order_and_cancelled_ones_never() {
        let mut timers = Timers::default();
        timers.set(ms(30), Alarm::Request(3));
        let first = timers.set(ms(10), Alarm::Request(1));
        timers.set(ms(20), Alarm::Expiry(2));
        timers.cancel(first);
        assert_eq!(timers.next(), Some(Deadline::new(ms(20), Why::Expiry)));
        assert_eq!(timers.pop_due(ms(19)), None);
        assert_eq!(timers.pop_due(ms(99)), Some(Alarm::Expiry(2)));
        assert_eq!(timers.pop_due(ms(99)), Some(Alarm::Request(3)));
        assert_eq!((timers.pop_due(ms(99)), timers.next(), timers.len()), (None, None, 0));
    }

    #[test]
    fn cancelling_gives_memory_back() {
        let mut timers = Timers::default();
        let kept = timers.set(ms(5), Alarm::Request(0));
        for i in 0..10_000 {
            let timer = timers.set(ms(1000 + i), Alarm::Request(1));
            timers.cancel(timer);
        }
        assert!(timers.heap.len() <= TIDY_FROM + 2, "{}", timers.heap.len());
        timers.cancel(kept);
        assert_eq!(timers.next(), None);
    }
}
