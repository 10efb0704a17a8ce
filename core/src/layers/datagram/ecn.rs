//! Explicit congestion notification (RFC 3168): routers mark packets where they would have dropped them.

use crate::time::Instant;

/// The ECN field of a datagram's IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Its sender does not take part, or the system does not say.
    #[default]
    NotEct,
    /// ECT(1): its sender takes part, in ways of its own (RFC 9331).
    Ect1,
    /// ECT(0): its sender takes part.
    Ect0,
    /// A router on the way was congested.
    Ce,
}

impl Ecn {
    /// From the two low bits of the IP header's octet; the others are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            0b11 => Self::Ce,
            _ => Self::NotEct,
        }
    }

    /// As the IP header has it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }
}

/// How many packets came with which mark (RFC 9000 §13.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ect0: u64,
    pub(super) ce: u64,
}

impl Counts {
    pub(super) const fn on_packet(&mut self, ecn: Ecn) {
        match ecn {
            Ecn::Ect0 => self.ect0 += 1,
            Ecn::Ce => self.ce += 1,
            Ecn::NotEct | Ecn::Ect1 => {}
        }
    }

    pub(super) const fn any(self) -> bool {
        self.ect0 > 0 || self.ce > 0
    }

    /// How many it is more than `before`, both marks together; nothing where a count went back.
    fn since(self, before: Self) -> Option<u64> {
        self.ect0.checked_sub(before.ect0)?.checked_add(self.ce.checked_sub(before.ce)?)
    }
}

/// So many marked packets try a path; and so many, lost with none arriving between, show that it drops them.
const TRIALS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many more marked packets may go before one has arrived.
    Testing(u32),
    /// They arrive, and with their marks.
    Capable,
    /// They do not, or it is not wanted.
    Off,
}

/// Whether packets go out marked: only where the path shows that it carries marks (RFC 9000 §13.4.2).
#[derive(Debug)]
pub(super) struct Marking {
    state: State,
    /// When this path was begun with: what became of earlier packets tells nothing of it.
    since: Instant,
    /// What the peer had said then.
    base: Counts,
    /// Marked packets of this path that arrived.
    arrived: u64,
    /// Lost ones since the last that arrived.
    lost: u32,
    /// Marked packets in all.
    sent: u64,
    /// What the peer has said of them.
    told: Counts,
}

/// What an ACK says of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    /// A router was congested.
    Congested,
    /// The path does not carry marks as they are: none is sent any more.
    Failed,
}

impl Marking {
    pub(super) const fn new(now: Instant, wanted: bool) -> Self {
        let state = if wanted { State::Testing(TRIALS) } else { State::Off };
        let none = Counts { ect0: 0, ce: 0 };
        Self { state, since: now, base: none, arrived: 0, lost: 0, sent: 0, told: none }
    }

    /// Another path is another question.
    pub(super) const fn restart(&mut self, now: Instant, wanted: bool) {
        *self = Self { base: self.told, sent: self.sent, told: self.told, ..Self::new(now, wanted) };
    }

    pub(super) const fn is_capable(&self) -> bool {
        matches!(self.state, State::Capable)
    }

    /// How the packets of the next write are to be marked.
    pub(super) const fn next(&self) -> Ecn {
        match self.state {
            State::Testing(1..) | State::Capable => Ecn::Ect0,
            State::Testing(0) | State::Off => Ecn::NotEct,
        }
    }

    pub(super) const fn on_sent(&mut self) {
        self.sent += 1;
        if let State::Testing(left) = self.state {
            self.state = State::Testing(left.saturating_sub(1));
        }
    }

    /// Nothing was heard of what was sent, maybe since it was marked: no more try it, unless one has arrived.
    pub(super) const fn on_probe(&mut self) {
        if let State::Testing(_) = self.state {
            self.state = State::Testing(0);
        }
    }

    /// What became of marked packets, each by when it was sent. Says whether the path does not let them through.
    pub(super) fn on_fates(
        &mut self,
        arrived: impl Iterator<Item = Instant>,
        lost: impl Iterator<Item = Instant>,
    ) -> bool {
        let since = self.since;
        let arrived = arrived.filter(|sent_at| *sent_at >= since).count() as u64;
        self.arrived += arrived;
        // Those that are lost together with some that arrive were not lost for their marks.
        let lost = lost.filter(|sent_at| *sent_at >= since).count() as u32;
        self.lost = if arrived > 0 { 0 } else { self.lost.saturating_add(lost) };
        self.lost >= TRIALS && self.state != State::Off && self.fail() == Said::Failed
    }

    /// An ACK that tells of larger numbers than any before says `counts`; what it says of packets has been told
    /// by [`on_fates`](Self::on_fates).
    pub(super) fn on_ack(&mut self, counts: Option<Counts>) -> Said {
        if self.state == State::Off {
            return Said::Nothing;
        }
        let counts = counts.unwrap_or_default();
        let [of_path, all] = [self.base, Counts::default()].map(|before| counts.since(before));
        // Fewer marks than packets: they were taken off, or changed. More: they were not all ours.
        let carried = of_path.is_some_and(|marks| marks >= self.arrived)
            && all.is_some_and(|marks| marks <= self.sent)
            && counts.since(self.told).is_some();
        if !carried {
            return self.fail();
        }
        let congested = counts.ce > self.told.ce;
        self.told = counts;
        if self.arrived > 0 {
            self.state = State::Capable;
        }
        if congested { Said::Congested } else { Said::Nothing }
    }

    const fn fail(&mut self) -> Said {
        self.state = State::Off;
        Said::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(ect0: u64, ce: u64) -> Option<Counts> {
        Some(Counts { ect0, ce })
    }

    const AT: Instant = Instant::from_millis(5);

    /// One that has sent three marked packets.
    fn tried() -> Marking {
        let mut marking = Marking::new(AT, true);
        for _ in 0..3 {
            assert_eq!(marking.next(), Ecn::Ect0);
            marking.on_sent();
        }
        marking
    }

    /// Packets that were sent at a time.
    fn sent(at: Instant, n: usize) -> impl Iterator<Item = Instant> {
        core::iter::repeat_n(at, n)
    }

    /// An ACK that names so many for the first time.
    fn ack(marking: &mut Marking, arrived: usize, counts: Option<Counts>) -> Said {
        assert!(!marking.on_fates(sent(AT, arrived), sent(AT, 0)));
        marking.on_ack(counts)
    }

    #[test]
    fn the_ip_header_has_two_bits_for_it() {
        for bits in 0..=3 {
            assert_eq!(Ecn::from_bits(bits | 0xfc).bits(), bits);
        }
    }

    /// [DGM-28] Ten packets try it, and more go once one has come with its mark.
    #[test]
    fn a_path_is_tried_first() {
        let mut marking = Marking::new(AT, true);
        for _ in 0..TRIALS {
            assert_eq!(marking.next(), Ecn::Ect0);
            marking.on_sent();
        }
        assert_eq!(marking.next(), Ecn::NotEct);
        assert_eq!(ack(&mut marking, 1, counts(1, 0)), Said::Nothing);
        assert_eq!((marking.next(), marking.is_capable()), (Ecn::Ect0, true));
        assert_eq!(Marking::new(AT, false).next(), Ecn::NotEct, "unless it is not wanted");

        let mut marking = tried();
        marking.on_probe();
        assert_eq!(marking.next(), Ecn::NotEct, "nothing was heard of them");
        assert_eq!(ack(&mut marking, 1, counts(1, 0)), Said::Nothing);
        marking.on_probe();
        assert_eq!(marking.next(), Ecn::Ect0, "they do arrive");
    }

    /// [DGM-28] Marks that were taken off, changed, or made up on the way end it.
    #[test]
    fn marks_that_are_not_carried_are_not_sent() {
        for (arrived, said) in [
            (2, None),         // taken off
            (2, counts(1, 0)), // some of them
            (2, counts(4, 0)), // more than were sent
            (2, counts(2, 2)), // the same
            (1, counts(u64::MAX, 1)),
        ] {
            let mut marking = tried();
            assert_eq!(ack(&mut marking, arrived, said), Said::Failed, "{arrived} {said:?}");
            assert_eq!(marking.next(), Ecn::NotEct);
            assert_eq!(ack(&mut marking, 1, counts(3, 0)), Said::Nothing, "and it stays so");
        }
        for back in [counts(1, 1), None] {
            let mut marking = tried();
            assert_eq!(ack(&mut marking, 1, counts(2, 0)), Said::Nothing);
            assert_eq!(ack(&mut marking, 0, back), Said::Failed, "a count does not go back");
        }
    }

    /// [DGM-28] Marks are counted before the packets are named that had them, where an ACK had no room for all.
    #[test]
    fn what_is_named_late_was_counted_before() {
        let mut marking = tried();
        assert_eq!(ack(&mut marking, 1, counts(3, 0)), Said::Nothing);
        assert_eq!(ack(&mut marking, 2, counts(3, 0)), Said::Nothing);
        marking.on_sent();
        assert_eq!(ack(&mut marking, 1, counts(3, 0)), Said::Failed, "this one lost its mark");
    }

    /// [DGM-28] So does a path that lets no marked packet through; one that loses others as well does not.
    #[test]
    fn a_path_that_drops_marked_packets_is_found_out() {
        let mut marking = Marking::new(AT, true);
        let mut fates = |arrived, lost, at| marking.on_fates(sent(at, arrived), sent(at, lost));
        assert!(!fates(0, 20, Instant::ZERO), "those of the path before");
        assert!(!fates(0, 9, AT));
        assert!(!fates(1, 9, AT));
        assert!(!fates(0, 9, AT));
        assert!(fates(0, 1, AT));
        assert!(!fates(0, 20, AT), "told once");
        assert_eq!(marking.next(), Ecn::NotEct);
    }

    /// [DGM-28] Another path is tried anew, whatever became of what went over the one before.
    #[test]
    fn another_path_is_another_question() {
        let mut marking = tried();
        assert_eq!(ack(&mut marking, 2, counts(1, 0)), Said::Failed);
        let now = Instant::from_millis(9);
        marking.restart(now, true);
        assert_eq!(marking.next(), Ecn::Ect0);
        marking.on_sent();
        assert_eq!(ack(&mut marking, 1, counts(1, 0)), Said::Nothing, "one of before, without its mark");
        assert!(!marking.is_capable());
        assert!(!marking.on_fates(sent(now, 1), sent(now, 0)));
        assert_eq!(marking.on_ack(counts(2, 0)), Said::Nothing);
        assert!(marking.is_capable());
    }

    /// [DGM-29] Congestion is told once for each that is new.
    #[test]
    fn a_mark_of_congestion_is_told_once() {
        let mut marking = tried();
        assert_eq!(ack(&mut marking, 1, counts(0, 1)), Said::Congested);
        assert_eq!(ack(&mut marking, 1, counts(1, 1)), Said::Nothing);
        assert_eq!(ack(&mut marking, 1, counts(1, 2)), Said::Congested);
    }
}
