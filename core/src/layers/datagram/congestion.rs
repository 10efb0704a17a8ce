//! How much may be on the way at once, and how fast it goes out.

use core::fmt::Debug;
use core::time::Duration;

use crate::time::Instant;

/// Decides how many octets may be on the way (RFC 9002 §7).
pub(super) trait Congestion: Debug {
    /// `size` octets that were sent at `sent_at` have arrived. `limited`: the window, or pacing by it, was what
    /// held the sender back; otherwise it says nothing of more (RFC 9002 §7.8).
    fn on_acked(&mut self, now: Instant, sent_at: Instant, size: u64, limited: bool);

    /// A packet that was sent at `sent_at` was lost; `persistent`: and all for a long time.
    fn on_lost(&mut self, now: Instant, sent_at: Instant, persistent: bool);

    /// A router has marked packets, of which the latest that is told was sent at `sent_at`: as if one were lost
    /// (RFC 9002 §7.1).
    fn on_marked(&mut self, now: Instant, sent_at: Instant) {
        self.on_lost(now, sent_at, false);
    }

    /// A round trip was measured.
    fn on_rtt(&mut self, latest: Duration, smoothed: Duration);

    /// Packets have another size from now on.
    fn set_packet_size(&mut self, size: u16);

    /// How many octets may be on the way.
    fn window(&self) -> u64;
}

/// So many packets at first (RFC 9002 §7.2), within these octets.
const INITIAL_PACKETS: u64 = 10;
const INITIAL_OCTETS: u64 = 14_720;
/// So many packets at least.
const MIN_PACKETS: u64 = 2;
/// And so many octets at most, which bounds what a peer who acknowledges too much is sent at once.
const MAX_WINDOW: u64 = 16 << 20;

/// Cubic (RFC 9438), whose windows below some hundred packets are those of New Reno with a milder decrease.
#[derive(Debug)]
pub(super) struct Cubic {
    packet: u64,
    window: u64,
    threshold: u64,
    /// Losses of what was sent before are of the same event.
    recovering_since: Option<Instant>,
    /// When the present climb began, and from what.
    epoch: Option<Instant>,
    /// The window before the last loss.
    max: u64,
    /// Milliseconds from the climb's start to `max`.
    k: u64,
    /// What New Reno would have (§4.3).
    reno: u64,
    /// Acknowledged octets that have not added up to an increase yet.
    counted: u64,
    rtt: Duration,
}

impl Cubic {
    pub(super) const fn new(packet: u16) -> Self {
        let packet = packet as u64;
        let initial = {
            let floor = if INITIAL_OCTETS > 2 * packet { INITIAL_OCTETS } else { 2 * packet };
            let ten = INITIAL_PACKETS * packet;
            if ten < floor { ten } else { floor }
        };
        Self {
            packet,
            window: initial,
            threshold: u64::MAX,
            recovering_since: None,
            epoch: None,
            max: 0,
            k: 0,
            reno: 0,
            counted: 0,
            rtt: Duration::from_millis(333),
        }
    }

    /// The window `t` milliseconds after the climb began, in octets (§4.2): C is 0.4 packets a second³.
    fn cubic_at(&self, t: u64) -> u64 {
        let distance = t.abs_diff(self.k).min(1 << 20);
        // 0.4 × (ms / 1000)³ packets
        let octets = u128::from(distance).pow(3) * 2 * u128::from(self.packet) / 5_000_000_000;
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        if t < self.k { self.max.saturating_sub(octets) } else { self.max.saturating_add(octets) }
    }

    fn avoid(&mut self, now: Instant, size: u64) {
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.reno = self.window;
            self.counted = 0;
            // (max - window) / C, its third root in seconds
            let missing = u128::from(self.max.saturating_sub(self.window));
            let cube = missing * 5_000_000_000 / 2 / u128::from(self.packet);
            self.k = cube_root(cube);
            self.max = self.max.max(self.window);
            now
        });
        let t = (now.saturating_since(epoch) + self.rtt).as_millis() as u64;
        let target = self.cubic_at(t).clamp(self.window, self.window + self.window / 2);
        // §4.3: as New Reno would with this decrease: 9/17 of a packet a round trip, then a whole one.
        let gain = if self.reno >= self.max { self.packet } else { self.packet * 9 / 17 };
        self.reno += (gain * size / self.window).max(1);
        self.counted += (target - self.window).saturating_mul(size);
        let grown = self.counted / self.window;
        self.counted %= self.window;
        self.window = (self.window + grown).max(self.reno).min(MAX_WINDOW);
    }
}

/// The largest number whose cube is not above `of`.
fn cube_root(of: u128) -> u64 {
    let (mut low, mut high) = (0u128, 1 << 42);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle.pow(3) <= of { low = middle } else { high = middle - 1 }
    }
    low as u64
}

impl Congestion for Cubic {
    fn on_acked(&mut self, now: Instant, sent_at: Instant, size: u64, limited: bool) {
        if self.recovering_since.is_some_and(|since| sent_at <= since) {
            return;
        }
        if !limited {
            return;
        }
        if self.window < self.threshold {
            self.window = (self.window + size).min(MAX_WINDOW);
        } else {
            self.avoid(now, size);
        }
    }

    fn on_lost(&mut self, now: Instant, sent_at: Instant, persistent: bool) {
        if self.recovering_since.is_none_or(|since| sent_at > since) {
            self.recovering_since = Some(now);
            // §4.7: who lost before reaching the former maximum leaves room for others.
            self.max = if self.window < self.max { self.window * 17 / 20 } else { self.window };
            self.window = (self.window * 7 / 10).max(MIN_PACKETS * self.packet);
            self.threshold = self.window;
            self.epoch = None;
        }
        if persistent {
            self.window = MIN_PACKETS * self.packet;
            self.recovering_since = None;
            self.epoch = None;
        }
    }

    fn on_rtt(&mut self, _: Duration, smoothed: Duration) {
        self.rtt = smoothed;
    }

    fn set_packet_size(&mut self, size: u16) {
        self.packet = u64::from(size);
        self.window = self.window.max(MIN_PACKETS * self.packet);
    }

    fn window(&self) -> u64 {
        self.window
    }
}

/// New Reno, as RFC 9002 §7 has it.
#[derive(Debug)]
pub(super) struct NewReno {
    packet: u64,
    window: u64,
    threshold: u64,
    recovering_since: Option<Instant>,
    counted: u64,
}

impl NewReno {
    pub(super) const fn new(packet: u16) -> Self {
        let start = Cubic::new(packet);
        Self {
            packet: start.packet,
            window: start.window,
            threshold: u64::MAX,
            recovering_since: None,
            counted: 0,
        }
    }
}

impl Congestion for NewReno {
    fn on_acked(&mut self, _: Instant, sent_at: Instant, size: u64, limited: bool) {
        if !limited || self.recovering_since.is_some_and(|since| sent_at <= since) {
            return;
        }
        if self.window < self.threshold {
            self.window = (self.window + size).min(MAX_WINDOW);
            return;
        }
        self.counted += size;
        if self.counted >= self.window {
            self.counted -= self.window;
            self.window = (self.window + self.packet).min(MAX_WINDOW);
        }
    }

    fn on_lost(&mut self, now: Instant, sent_at: Instant, persistent: bool) {
        if self.recovering_since.is_none_or(|since| sent_at > since) {
            self.recovering_since = Some(now);
            self.window = (self.window / 2).max(MIN_PACKETS * self.packet);
            self.threshold = self.window;
            self.counted = 0;
        }
        if persistent {
            self.window = MIN_PACKETS * self.packet;
            self.recovering_since = None;
        }
    }

    fn on_rtt(&mut self, _: Duration, _: Duration) {}

    fn set_packet_size(&mut self, size: u16) {
        self.packet = u64::from(size);
        self.window = self.window.max(MIN_PACKETS * self.packet);
    }

    fn window(&self) -> u64 {
        self.window
    }
}

/// The one that a connection's configuration names.
#[derive(Debug)]
pub(super) enum Controller {
    Cubic(Cubic),
    NewReno(NewReno),
}

macro_rules! either {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            Self::Cubic($inner) => $call,
            Self::NewReno($inner) => $call,
        }
    };
}

impl Congestion for Controller {
    fn on_acked(&mut self, now: Instant, sent_at: Instant, size: u64, limited: bool) {
        either!(self, inner => inner.on_acked(now, sent_at, size, limited));
    }
    fn on_lost(&mut self, now: Instant, sent_at: Instant, persistent: bool) {
        either!(self, inner => inner.on_lost(now, sent_at, persistent));
    }
    fn on_rtt(&mut self, latest: Duration, smoothed: Duration) {
        either!(self, inner => inner.on_rtt(latest, smoothed));
    }
    fn set_packet_size(&mut self, size: u16) {
        either!(self, inner => inner.set_packet_size(size));
    }
    fn window(&self) -> u64 {
        either!(self, inner => inner.window())
    }
}

/// Spreads a window over its round trip (RFC 9002 §7.7): what may go out at once fills up with time.
#[derive(Debug)]
pub(super) struct Pacer {
    tokens: u64,
    last: Instant,
}

/// As much as the window gives in this time goes out at once, so that one write has many packets.
const BURST: Duration = Duration::from_millis(2);
const MIN_BURST: u64 = 10;
const MAX_BURST: u64 = 256;

impl Pacer {
    pub(super) const fn new(now: Instant) -> Self {
        Self { tokens: u64::MAX, last: now }
    }

    /// Until when nothing may go, if `size` octets may not go now: then as much may at once as half of a burst, so
    /// that writes have many packets at high rates too. The rate is 5/4 of the window a round trip.
    pub(super) fn wait(
        &mut self,
        now: Instant,
        size: u64,
        window: u64,
        packet: u64,
        rtt: Duration,
    ) -> Option<Instant> {
        let rtt = (rtt.as_nanos() as u64).max(1);
        let rate = |nanos: u64| (u128::from(window) * 5 * u128::from(nanos) / (4 * u128::from(rtt))) as u64;
        let burst = rate(BURST.as_nanos() as u64).clamp(MIN_BURST * packet, MAX_BURST * packet);
        if self.tokens < burst {
            let gained = rate(now.saturating_since(self.last).as_nanos() as u64);
            if gained > 0 {
                self.tokens = self.tokens.saturating_add(gained);
                self.last = now;
            }
        } else {
            self.last = now;
        }
        self.tokens = self.tokens.min(burst);
        if self.tokens >= size.min(burst) {
            return None;
        }
        let missing = rate(BURST.as_nanos() as u64 / 2).clamp(size, burst / 2 + size) - self.tokens;
        let nanos = u128::from(missing) * u128::from(rtt) * 4 / (u128::from(window).max(1) * 5) + 1;
        Some(self.last + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    pub(super) fn on_sent(&mut self, size: u64) {
        self.tokens = self.tokens.saturating_sub(size);
    }
}
