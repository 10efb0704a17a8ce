//! Keepalive stand-in.
use crate::time::{Deadline, Instant, Why};
use core::time::Duration;
/// Keepalive.
#[derive(Debug)]
pub struct Keepalive {
    last_in: Instant,
    last_out: Instant,
    ping_at: Option<Instant>,
    token: u64,
    speak: u32,
    hear: u32,
    srtt: u32,
    want: bool,
}
impl Keepalive {
    /// New.
    pub fn new(now: Instant, s: Option<Duration>, h: Option<Duration>) -> Self {
        let mut k = Self {
            last_in: now,
            last_out: now,
            ping_at: None,
            token: 0,
            speak: 0,
            hear: 0,
            srtt: 0,
            want: false,
        };
        k.set(now, s, h);
        k
    }
    /// Set.
    pub fn set(&mut self, now: Instant, s: Option<Duration>, h: Option<Duration>) {
        let m = |d: Option<Duration>| d.map_or(0, |d| (d.as_millis() as u32).max(100));
        self.speak = m(s);
        self.hear = m(h);
        self.last_in = now;
        self.last_out = now;
    }
    /// In.
    pub fn on_received(&mut self, now: Instant) {
        self.last_in = now;
    }
    /// Out.
    pub fn on_sent(&mut self, now: Instant) {
        self.last_out = now;
    }
    /// Ask.
    pub fn request_ping(&mut self) {
        self.want = true;
    }
    /// Owed.
    pub fn ping_owed(&self, now: Instant) -> bool {
        self.want || self.speak > 0 && now >= self.last_out + Duration::from_millis(self.speak as u64)
    }
    /// Sent.
    pub fn ping_sent(&mut self, now: Instant, token: u64) {
        self.ping_at = Some(now);
        self.token = token;
        self.want = false;
        self.last_out = now;
    }
    /// Pong.
    pub fn on_pong(&mut self, now: Instant, token: u64) -> Option<Duration> {
        if token != self.token {
            return None;
        }
        let t = self.ping_at.take()?;
        let r = now.saturating_since(t);
        self.srtt = r.as_micros() as u32;
        Some(r)
    }
    /// Dead.
    pub fn is_dead(&self, now: Instant) -> bool {
        self.hear > 0 && now >= self.last_in + Duration::from_millis(self.hear as u64 * 3 / 2)
    }
    /// Deadline.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let a = (self.speak > 0)
            .then(|| Deadline::new(self.last_out + Duration::from_millis(self.speak as u64), Why::Keepalive));
        let b = (self.hear > 0).then(|| {
            Deadline::new(self.last_in + Duration::from_millis(self.hear as u64 * 3 / 2), Why::PeerSilent)
        });
        Deadline::earliest(a, b)
    }
    /// Rtt.
    pub fn srtt(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_micros(self.srtt as u64))
    }
}
