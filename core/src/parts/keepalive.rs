//! Keepalive: to speak as often as the peer wants to hear, to notice that it fell silent, and to
//! measure the round trip on the way.
//!
//! Each side may ask the other to be heard from at least every so often. So each side has two
//! duties that know nothing of each other: to speak as often as the *peer* asked for, and to watch
//! the peer as often as *it* asked for.

use core::time::Duration;

use crate::time::{Deadline, Instant, Why};

/// The shortest interval; what is below counts as this. Pinging more often measures the network's
/// jitter, not the peer, and would let a peer make us send without end.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The longest interval, some 49 days (32 bits of milliseconds); what is above counts as this.
pub const MAX_INTERVAL: Duration = Duration::from_millis(u32::MAX as u64);

/// The duty to watch the peer alone, in 16 bytes: for a side of a protocol that never has to speak.
///
/// ```
/// use bowline_core::keepalive::Watch;
/// use bowline_core::time::Instant;
/// use core::time::Duration;
/// let at = Instant::from_millis;
/// let mut watch = Watch::new(at(0), Some(Duration::from_secs(1)));
/// watch.on_received(at(700));
/// assert!(!watch.is_dead(at(2199)) && watch.is_dead(at(2200)));
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    last_received: Instant,
    /// Milliseconds; 0: nobody asked.
    every: u32,
}

impl Watch {
    /// Counted from `now`; `None` and zero mean that the peer may be silent for ever. See
    /// [`MIN_INTERVAL`] and [`MAX_INTERVAL`].
    #[must_use]
    pub fn new(now: Instant, every: Option<Duration>) -> Self {
        Self { last_received: now, every: interval(every) }
    }

    /// We ask to hear from the peer so often, counted from `now`.
    pub fn set_every(&mut self, now: Instant, every: Option<Duration>) {
        self.every = interval(every);
        self.on_received(now);
    }

    /// How often we want to hear from the peer.
    #[must_use]
    pub fn every(&self) -> Option<Duration> {
        (self.every > 0).then(|| Duration::from_millis(self.every.into()))
    }

    /// Something arrived: call it for each batch read, whatever it holds.
    #[inline]
    pub fn on_received(&mut self, now: Instant) {
        self.last_received = self.last_received.max(now);
    }

    /// Whether the peer has been silent for 1.5 times what we asked of it.
    #[inline]
    #[must_use]
    pub fn is_dead(&self, now: Instant) -> bool {
        self.dead_at().is_some_and(|at| now >= at)
    }

    /// When the peer will be dead ([`Why::PeerSilent`]).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.dead_at().map(|at| Deadline::new(at, Why::PeerSilent))
    }

    fn dead_at(&self) -> Option<Instant> {
        self.every().map(|every| self.last_received + every + every / 2)
    }
}

/// One side's keepalive, in 56 bytes.
///
/// It sends nothing itself. When [`poll_ping`](Self::poll_ping) says so, the owner writes a ping
/// with a token of its choice, and calls [`ping_sent`](Self::ping_sent) once the buffer took it.
///
/// ```
/// use bowline_core::keepalive::Keepalive;
/// use bowline_core::time::{Instant, Why};
/// use core::time::Duration;
/// let at = Instant::from_millis;
/// let second = Some(Duration::from_secs(1));
/// let mut k = Keepalive::new(at(0), second, second);
///
/// assert!(!k.poll_ping(at(999)));
/// assert!(k.poll_ping(at(1000)));
/// k.ping_sent(at(1000), 7); // the buffer took the frame
/// assert!(!k.poll_ping(at(1000)));
///
/// k.on_received(at(1040));
/// assert_eq!(k.on_pong(at(1040), 7), Some(Duration::from_millis(40)));
/// assert_eq!(k.smoothed_rtt(), Some(Duration::from_millis(40)));
///
/// let deadline = k.poll_timeout().unwrap();
/// assert_eq!((deadline.at, deadline.why), (at(2000), Why::Keepalive));
/// assert!(!k.is_dead(at(2539)) && k.is_dead(at(2540)));
/// ```
#[derive(Clone, Debug)]
pub struct Keepalive {
    watch: Watch,
    last_sent: Instant,
    /// When the ping that waits for its pong was sent.
    pinged_at: Option<Instant>,
    token: u64,
    /// Milliseconds; 0: nobody asked.
    speak_every: u32,
    /// Microseconds; meaningful once `measured`.
    srtt: u32,
    rttvar: u32,
    measured: bool,
    requested: bool,
}

impl Keepalive {
    /// Both duties, counted from `now`.
    ///
    /// `speak_every` is what the peer asked of us, `hear_every` what we asked of it; `None` and
    /// zero mean that nobody asked. See [`MIN_INTERVAL`] and [`MAX_INTERVAL`].
    #[must_use]
    pub fn new(now: Instant, speak_every: Option<Duration>, hear_every: Option<Duration>) -> Self {
        Self {
            watch: Watch::new(now, hear_every),
            last_sent: now,
            pinged_at: None,
            token: 0,
            speak_every: interval(speak_every),
            srtt: 0,
            rttvar: 0,
            measured: false,
            requested: false,
        }
    }

    /// The peer asks to hear from us so often, counted from `now`.
    pub fn set_speak_every(&mut self, now: Instant, every: Option<Duration>) {
        self.speak_every = interval(every);
        self.on_sent(now);
    }

    /// We ask to hear from the peer so often, counted from `now`.
    pub fn set_hear_every(&mut self, now: Instant, every: Option<Duration>) {
        self.watch.set_every(now, every);
    }

    /// How often we have to speak, as the peer asked.
    #[must_use]
    pub fn speak_every(&self) -> Option<Duration> {
        (self.speak_every > 0).then(|| Duration::from_millis(self.speak_every.into()))
    }

    /// How often we want to hear from the peer.
    #[must_use]
    pub fn hear_every(&self) -> Option<Duration> {
        self.watch.every()
    }

    /// Something arrived: call it for each batch read, whatever it holds.
    #[inline]
    pub fn on_received(&mut self, now: Instant) {
        self.watch.on_received(now);
    }

    /// Something was written: call it for each batch, whatever it holds.
    #[inline]
    pub fn on_sent(&mut self, now: Instant) {
        self.last_sent = self.last_sent.max(now);
    }

    /// Asks for a ping at once, to measure the round trip or to see whether the peer is there.
    ///
    /// A ping that still waits for its pong serves this request too.
    pub fn request_ping(&mut self) {
        self.requested |= self.pinged_at.is_none();
    }

    /// Whether a ping is owed now: one was requested, or we have been silent for too long.
    #[inline]
    #[must_use]
    pub fn poll_ping(&self, now: Instant) -> bool {
        self.requested || self.speak_at().is_some_and(|at| now >= at)
    }

    /// The buffer took a ping with `token`. Choose tokens that the peer cannot guess, or it can
    /// make the round trip seem shorter than it is.
    ///
    /// At most one ping is measured, the latest: the pong of an earlier one is ignored from here
    /// on. It counts as [`on_sent`](Self::on_sent).
    pub fn ping_sent(&mut self, now: Instant, token: u64) {
        self.on_sent(now);
        self.requested = false;
        (self.pinged_at, self.token) = (Some(self.last_sent), token);
    }

    /// A pong with `token` arrived: the round trip that it measured, or `None` for one that
    /// nobody waits for, which changes nothing. Call [`on_received`](Self::on_received) as well.
    pub fn on_pong(&mut self, now: Instant, token: u64) -> Option<Duration> {
        let pinged_at = self.pinged_at.filter(|_| token == self.token)?;
        self.pinged_at = None;
        let rtt = now.saturating_since(pinged_at);
        self.measure(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        Some(rtt)
    }

    /// Whether a ping waits for its pong.
    #[must_use]
    pub fn is_waiting_for_pong(&self) -> bool {
        self.pinged_at.is_some()
    }

    /// The smoothed round trip (RFC 6298's SRTT), in whole microseconds, at most 71 minutes;
    /// `None` before the first pong.
    #[must_use]
    pub fn smoothed_rtt(&self) -> Option<Duration> {
        self.measured.then(|| Duration::from_micros(self.srtt.into()))
    }

    /// The mean deviation of the round trip (RFC 6298's RTTVAR), likewise.
    #[must_use]
    pub fn rtt_variation(&self) -> Option<Duration> {
        self.measured.then(|| Duration::from_micros(self.rttvar.into()))
    }

    /// Whether the peer has been silent for 1.5 times what we asked of it.
    #[inline]
    #[must_use]
    pub fn is_dead(&self, now: Instant) -> bool {
        self.watch.is_dead(now)
    }

    /// When a ping will be owed ([`Why::Keepalive`]; [`Why::Output`] if it already is because it
    /// was requested) or the peer be dead ([`Why::PeerSilent`]), whichever is first.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.requested {
            return Some(Deadline::new(self.last_sent, Why::Output)); // in the past: at once
        }
        Deadline::earliest(
            self.speak_at().map(|at| Deadline::new(at, Why::Keepalive)),
            self.watch.poll_timeout(),
        )
    }

    fn speak_at(&self) -> Option<Instant> {
        self.speak_every().map(|every| self.last_sent + every)
    }

    /// RFC 6298, section 2, with its gains of 1/8 and 1/4.
    fn measure(&mut self, rtt: u32) {
        if self.measured {
            let deviation = self.srtt.abs_diff(rtt);
            self.rttvar = weigh(self.rttvar, deviation, 4);
            self.srtt = weigh(self.srtt, rtt, 8);
        } else {
            (self.srtt, self.rttvar, self.measured) = (rtt, rtt / 2, true);
        }
    }
}

/// `old × (1 − 1/n) + new × 1/n`; 64 bits, so that nothing overflows.
fn weigh(old: u32, new: u32, n: u64) -> u32 {
    ((u64::from(old) * (n - 1) + u64::from(new)) / n) as u32 // a mean of two u32 fits
}

fn interval(every: Option<Duration>) -> u32 {
    match every {
        None | Some(Duration::ZERO) => 0,
        Some(d) => d.clamp(MIN_INTERVAL, MAX_INTERVAL).as_millis() as u32, // clamped to 32 bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Keepalive>() <= 56);
        assert_eq!(size_of::<Watch>(), 16);
    }

    #[test]
    fn nobody_asked_nothing_is_owed() {
        for none in [None, Some(Duration::ZERO)] {
            let k = Keepalive::new(at(0), none, none);
            assert_eq!(k.poll_timeout(), None);
            assert!(!k.poll_ping(Instant::FAR_FUTURE) && !k.is_dead(Instant::FAR_FUTURE));
            assert_eq!((k.speak_every(), k.hear_every(), k.smoothed_rtt()), (None, None, None));
        }
    }

    #[test]
    fn intervals_are_clamped() {
        let k = Keepalive::new(at(0), ms(1), Some(Duration::MAX));
        assert_eq!((k.speak_every(), k.hear_every()), (Some(MIN_INTERVAL), Some(MAX_INTERVAL)));
    }

    #[test]
    fn speaking_puts_the_ping_off_and_hearing_does_not() {
        let mut k = Keepalive::new(at(0), ms(1000), ms(1000));
        k.on_sent(at(900));
        k.on_received(at(950));
        assert_eq!(k.poll_timeout(), Some(Deadline::new(at(1900), Why::Keepalive)));
        assert!(!k.poll_ping(at(1899)) && k.poll_ping(at(1900)));
        assert!(!k.is_dead(at(2449)) && k.is_dead(at(2450)));
    }

    #[test]
    fn an_owed_ping_stays_owed_until_it_was_sent() {
        let mut k = Keepalive::new(at(0), ms(1000), None);
        assert!(k.poll_ping(at(5000)) && k.poll_ping(at(5001)));
        k.ping_sent(at(5001), 1);
        assert!(!k.poll_ping(at(5001)));
        assert_eq!(k.poll_timeout(), Some(Deadline::new(at(6001), Why::Keepalive)));
    }

    #[test]
    fn an_unanswered_ping_does_not_silence_us() {
        let mut k = Keepalive::new(at(0), ms(1000), None);
        k.ping_sent(at(1000), 1);
        assert!(k.poll_ping(at(2000)));
        k.ping_sent(at(2000), 2);
        assert_eq!(k.on_pong(at(2010), 1), None);
        assert!(k.is_waiting_for_pong());
        assert_eq!(k.on_pong(at(2010), 2), ms(10));
        assert_eq!(k.on_pong(at(2010), 2), None);
    }

    #[test]
    fn a_request_is_served_at_once_and_once() {
        let mut k = Keepalive::new(at(3), None, None);
        k.request_ping();
        assert_eq!(k.poll_timeout(), Some(Deadline::new(at(3), Why::Output)));
        assert!(k.poll_ping(at(3)));
        k.ping_sent(at(4), 9);
        k.request_ping(); // the one on its way will do
        assert!(!k.poll_ping(at(9)));
        assert_eq!(k.on_pong(at(9), 9), ms(5));
        k.request_ping();
        assert!(k.poll_ping(at(9)));
    }

    #[test]
    fn negotiated_intervals_count_from_their_beginning() {
        let mut k = Keepalive::new(at(0), None, None);
        k.set_speak_every(at(500), ms(1000));
        k.set_hear_every(at(700), ms(200));
        assert_eq!(k.poll_timeout(), Some(Deadline::new(at(1000), Why::PeerSilent)));
        k.set_hear_every(at(700), None);
        assert_eq!(k.poll_timeout(), Some(Deadline::new(at(1500), Why::Keepalive)));
    }

    #[test]
    fn time_going_backwards_changes_nothing() {
        let mut k = Keepalive::new(at(1000), ms(1000), ms(1000));
        k.on_sent(at(10));
        k.on_received(at(10));
        assert_eq!(k.poll_timeout(), Some(Deadline::new(at(2000), Why::Keepalive)));
        k.ping_sent(at(10), 1);
        assert_eq!(k.on_pong(at(5), 1), Some(Duration::ZERO));
    }

    #[test]
    fn round_trips_are_smoothed_as_rfc_6298_says() {
        let mut k = Keepalive::new(at(0), None, None);
        let mut round = |rtt: u64, token| {
            k.ping_sent(at(0), token);
            k.on_pong(at(rtt), token).unwrap();
            (k.smoothed_rtt().unwrap(), k.rtt_variation().unwrap())
        };
        assert_eq!(round(80, 1), (Duration::from_millis(80), Duration::from_millis(40)));
        assert_eq!(round(160, 2), (Duration::from_millis(90), Duration::from_millis(50)));
        let year = 365 * 86_400_000;
        assert!(round(year, 3).0 < Duration::from_secs(600));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Sent,
        Received,
        Request,
        Ping(u64),
        Pong(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            Just(Op::Sent),
            Just(Op::Received),
            Just(Op::Request),
            (0..4u64).prop_map(Op::Ping),
            (0..4u64).prop_map(Op::Pong),
        ]
    }

    proptest! {
        /// Against a plain model: duties follow from the last times alone, and a driver that
        /// obeys the deadline is never late.
        #[test]
        fn deadlines_tell_exactly_when_something_is_due(
            speak in proptest::option::of(0..5000u64),
            hear in proptest::option::of(0..5000u64),
            ops in proptest::collection::vec((0..3000u64, op()), 0..50),
        ) {
            let mut k = Keepalive::new(at(0), speak.and_then(ms), hear.and_then(ms));
            let effective = |v: Option<u64>| v.filter(|v| *v > 0).map(|v| v.max(100));
            let (speak, hear) = (effective(speak), effective(hear));
            let (mut now, mut sent, mut received, mut requested) = (0, 0, 0, false);
            let mut waiting = None;
            for (step, op) in ops {
                now += step;
                match op {
                    Op::Sent => { k.on_sent(at(now)); sent = now; }
                    Op::Received => { k.on_received(at(now)); received = now; }
                    Op::Request => { k.request_ping(); requested |= waiting.is_none(); }
                    Op::Ping(token) => {
                        k.ping_sent(at(now), token);
                        (sent, requested, waiting) = (now, false, Some((now, token)));
                    }
                    Op::Pong(token) => {
                        let want = waiting.filter(|w| w.1 == token).map(|w| Duration::from_millis(now - w.0));
                        prop_assert_eq!(k.on_pong(at(now), token), want);
                        if want.is_some() { waiting = None; }
                    }
                }
                prop_assert_eq!(k.poll_ping(at(now)), requested || speak.is_some_and(|s| now >= sent + s));
                prop_assert_eq!(k.is_dead(at(now)), hear.is_some_and(|h| 2 * (now - received) >= 3 * h));
                match k.poll_timeout() {
                    None => prop_assert!(speak.is_none() && hear.is_none() && !requested),
                    Some(d) => {
                        prop_assert!(k.poll_ping(d.at.max(at(now))) || k.is_dead(d.at.max(at(now))));
                        if d.at > at(now) {
                            let before = Instant::from_nanos(d.at.as_nanos() - 1);
                            prop_assert!(!k.poll_ping(before) && !k.is_dead(before));
                        }
                    }
                }
            }
        }
    }
}
