//! `$SYS/` topics: what a broker says of itself, as the users of mosquitto know it.
//!
//! Every interval the topics whose values have changed are published, retained. They are of this
//! run: no store keeps them, and `#` does not match them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::hub::Message;
use crate::time::{Deadline, Instant, Why};

/// What all topics begin with.
const ROOT: &str = "$SYS/broker/";

/// What the values are made from: counts since the server began, and what is there now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) connected: u64,
    pub(super) disconnected: u64,
    pub(super) expired: u64,
    /// Packets or frames of any kind.
    pub(super) packets_received: u64,
    pub(super) packets_sent: u64,
    pub(super) publishes_received: u64,
    pub(super) publishes_sent: u64,
    pub(super) publishes_dropped: u64,
    pub(super) publish_bytes_received: u64,
    pub(super) publish_bytes_sent: u64,
    /// Octets on transports.
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// Transports accepted.
    pub(super) sockets: u64,
    /// Sessions opened over them.
    pub(super) connections: u64,
    pub(super) subscriptions: u64,
    pub(super) shared_subscriptions: u64,
    pub(super) retained: u64,
    /// Messages that are retained or wait for anyone, each once.
    pub(super) stored: u64,
    pub(super) stored_bytes: u64,
}

/// A topic below [`ROOT`], and its value.
type Figure = (&'static str, fn(&Figures) -> u64);

const FIGURES: [Figure; 21] = [
    ("clients/total", |f| f.connected + f.disconnected),
    ("clients/connected", |f| f.connected),
    ("clients/active", |f| f.connected),
    ("clients/disconnected", |f| f.disconnected),
    ("clients/inactive", |f| f.disconnected),
    ("clients/expired", |f| f.expired),
    ("messages/received", |f| f.packets_received),
    ("messages/sent", |f| f.packets_sent),
    ("messages/stored", |f| f.stored),
    ("store/messages/count", |f| f.stored),
    ("store/messages/bytes", |f| f.stored_bytes),
    ("publish/messages/received", |f| f.publishes_received),
    ("publish/messages/sent", |f| f.publishes_sent),
    ("publish/messages/dropped", |f| f.publishes_dropped),
    ("publish/bytes/received", |f| f.publish_bytes_received),
    ("publish/bytes/sent", |f| f.publish_bytes_sent),
    ("bytes/received", |f| f.bytes_received),
    ("bytes/sent", |f| f.bytes_sent),
    ("subscriptions/count", |f| f.subscriptions),
    ("shared_subscriptions/count", |f| f.shared_subscriptions),
    // With a space: so it is called there.
    ("retained messages/count", |f| f.retained),
];

/// Counts whose rates are averaged.
const LOADS: [Figure; 9] = [
    ("messages/received", |f| f.packets_received),
    ("messages/sent", |f| f.packets_sent),
    ("publish/received", |f| f.publishes_received),
    ("publish/sent", |f| f.publishes_sent),
    ("publish/dropped", |f| f.publishes_dropped),
    ("bytes/received", |f| f.bytes_received),
    ("bytes/sent", |f| f.bytes_sent),
    ("sockets", |f| f.sockets),
    ("connections", |f| f.connections),
];

/// Over which time, in minutes.
const WINDOWS: [u32; 3] = [1, 5, 15];

/// What is published every interval.
#[derive(Debug)]
pub(super) struct Sys {
    interval: Duration,
    /// When the server began; nothing until it was first called.
    began: Option<Instant>,
    /// When the values were published last.
    last: Instant,
    before: Figures,
    maximum: u64,
    /// What was said last, so that only what differs is said.
    uptime: Option<u64>,
    said: [Option<u64>; FIGURES.len()],
    said_maximum: Option<u64>,
    loads: [[Load; WINDOWS.len()]; LOADS.len()],
}

/// A rate per minute, averaged with weights that fall with age.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    rate: f64,
    /// In hundredths, as it was said last.
    said: Option<u64>,
}

impl Sys {
    /// One that publishes every `interval`; never if that is zero.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            began: None,
            last: Instant::ZERO,
            before: Figures::default(),
            maximum: 0,
            uptime: None,
            said: [None; FIGURES.len()],
            said_maximum: None,
            loads: [[Load::default(); WINDOWS.len()]; LOADS.len()],
        }
    }

    /// When the next values are due: at once until it was first called.
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        if self.interval.is_zero() {
            return None;
        }
        let at = if self.began.is_some() { self.last + self.interval } else { Instant::ZERO };
        Some(Deadline::new(at, Why::Rate))
    }

    /// A client came: there are so many now, connected or not.
    pub(super) fn came(&mut self, clients: u64) {
        self.maximum = self.maximum.max(clients);
    }

    /// What is to be published where it is due: messages to be retained, one for each topic whose
    /// value has changed.
    pub(super) fn handle_timeout(&mut self, now: Instant, figures: impl FnOnce() -> Figures) -> Vec<Message> {
        if self.poll_timeout().is_none_or(|due| due.at > now) {
            return Vec::new();
        }
        let figures = figures();
        self.maximum = self.maximum.max(figures.connected + figures.disconnected);
        let mut out = Vec::new();
        if self.began.is_none() {
            self.began = Some(now);
            say(&mut out, "version", &format!("bowline version {}", env!("CARGO_PKG_VERSION")));
        } else {
            self.average(now, &figures);
        }
        let uptime = now.saturating_since(self.began.unwrap_or(now)).as_secs();
        if self.uptime.replace(uptime) != Some(uptime) {
            say(&mut out, "uptime", &format!("{uptime} seconds"));
        }
        for ((topic, value), said) in FIGURES.iter().zip(&mut self.said) {
            say_new(&mut out, topic, value(&figures), said);
        }
        say_new(&mut out, "clients/maximum", self.maximum, &mut self.said_maximum);
        for ((topic, _), loads) in LOADS.iter().zip(&mut self.loads) {
            for (minutes, load) in WINDOWS.iter().zip(loads) {
                let hundredths = (load.rate * 100.0 + 0.5) as u64;
                if load.said.replace(hundredths) != Some(hundredths) {
                    let value = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                    say(&mut out, &format!("load/{topic}/{minutes}min"), &value);
                }
            }
        }
        (self.last, self.before) = (now, figures);
        out
    }

    /// Takes what happened since the last time into the averages.
    fn average(&mut self, now: Instant, figures: &Figures) {
        let minutes = now.saturating_since(self.last).as_secs_f64() / 60.0;
        for ((_, count), loads) in LOADS.iter().zip(&mut self.loads) {
            let rate = count(figures).saturating_sub(count(&self.before)) as f64 / minutes;
            for (window, load) in WINDOWS.iter().zip(loads) {
                load.rate = rate + decay(minutes / f64::from(*window)) * (load.rate - rate);
            }
        }
    }
}

/// e to the power of −x, for x from 0 on.
fn decay(x: f64) -> f64 {
    // A part of x that is small enough for the series, then as often squared as x was halved.
    let mut halvings = 0;
    let mut part = x.min(64.0);
    while part > 1.0 / 64.0 {
        part /= 2.0;
        halvings += 1;
    }
    let small = 1.0 - part * (1.0 - part / 2.0 * (1.0 - part / 3.0 * (1.0 - part / 4.0)));
    (0..halvings).fold(small, |value, _| value * value)
}

fn say_new(out: &mut Vec<Message>, topic: &str, value: u64, said: &mut Option<u64>) {
    if said.replace(value) != Some(value) {
        say(out, topic, &format!("{value}"));
    }
}

fn say(out: &mut Vec<Message>, topic: &str, value: &str) {
    let mut name = String::from(ROOT);
    name.push_str(topic);
    if let Ok(message) = Message::new(&name, value.as_bytes()) {
        out.push(message.with_retain(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::string::ToString;
    use std::vec;

    const INTERVAL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(5000 + seconds * 1000)
    }

    /// What is said at a time, by topic below `$SYS/broker/`.
    fn says(sys: &mut Sys, seconds: u64, figures: Figures) -> BTreeMap<String, String> {
        let messages = sys.handle_timeout(at(seconds), || figures);
        assert!(messages.iter().all(Message::is_retain));
        let line = |m: &Message| {
            let topic = m.topic().strip_prefix(ROOT).unwrap().to_string();
            (topic, String::from_utf8_lossy(m.payload()).into_owned())
        };
        messages.iter().map(line).collect()
    }

    #[test]
    fn all_is_said_at_first_and_then_what_changes() {
        let mut sys = Sys::new(INTERVAL);
        assert_eq!(sys.poll_timeout().unwrap().at, Instant::ZERO, "at once");
        let first = says(&mut sys, 0, Figures { retained: 7, ..Figures::default() });
        assert_eq!(first.len(), 2 + FIGURES.len() + 1 + LOADS.len() * WINDOWS.len());
        assert_eq!(first["version"], format!("bowline version {}", env!("CARGO_PKG_VERSION")));
        assert_eq!((&*first["uptime"], &*first["retained messages/count"]), ("0 seconds", "7"));
        assert_eq!((&*first["load/publish/received/15min"], &*first["bytes/sent"]), ("0.00", "0"));
        assert_eq!(sys.poll_timeout().unwrap().at, at(10));
        assert!(says(&mut sys, 9, Figures::default()).is_empty(), "not due");
        let second = says(&mut sys, 11, Figures { retained: 8, ..Figures::default() });
        let changed: Vec<_> = second.iter().map(|(topic, value)| (&**topic, &**value)).collect();
        assert_eq!(changed, [("retained messages/count", "8"), ("uptime", "11 seconds")]);
        assert_eq!(sys.poll_timeout().unwrap().at, at(21));
    }

    #[test]
    fn an_interval_of_zero_says_nothing() {
        let mut sys = Sys::new(Duration::ZERO);
        assert_eq!(sys.poll_timeout(), None);
        assert!(says(&mut sys, 100, Figures::default()).is_empty());
    }

    #[test]
    fn clients_are_counted_between_intervals_too() {
        let mut sys = Sys::new(INTERVAL);
        says(&mut sys, 0, Figures::default());
        sys.came(12);
        let figures = Figures { connected: 3, disconnected: 2, expired: 1, ..Figures::default() };
        let said = says(&mut sys, 10, figures);
        for (topic, value) in
            [("total", "5"), ("connected", "3"), ("disconnected", "2"), ("expired", "1"), ("maximum", "12")]
        {
            assert_eq!(said[&format!("clients/{topic}")], value, "{topic}");
        }
    }

    /// One message a second: the averages rise towards 60 a minute, the shorter ones sooner, and
    /// fall again when there are no more.
    #[test]
    fn loads_are_averages_of_a_minute_s_rate() {
        let mut sys = Sys::new(INTERVAL);
        let figures = |n| Figures { publishes_received: n, ..Figures::default() };
        says(&mut sys, 0, figures(0));
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut at_minute = vec![];
        for step in 1..=360 {
            values.extend(says(&mut sys, step * 10, figures(step * 10)));
            if step % 6 == 0 {
                at_minute.push(values.clone());
            }
        }
        let value = |minute: usize, window: &str| at_minute[minute - 1][window].parse::<f64>().unwrap();
        // 60 × (1 − e^(−minutes / window))
        for (minute, window, want) in [
            (1, "load/publish/received/1min", 37.93),
            (2, "load/publish/received/1min", 51.88),
            (1, "load/publish/received/5min", 10.88),
            (5, "load/publish/received/5min", 37.93),
            (15, "load/publish/received/15min", 37.93),
            (60, "load/publish/received/1min", 60.0),
            (60, "load/publish/received/15min", 58.90),
        ] {
            assert!(
                (value(minute, window) - want).abs() < 0.011,
                "{minute} {window}: {}",
                value(minute, window)
            );
        }
        let fallen = says(&mut sys, 3660, figures(3600));
        assert_eq!(fallen["load/publish/received/1min"], "22.07");
        assert!(!fallen.contains_key("load/publish/sent/1min"));
    }

    #[test]
    fn decay_is_the_exponential_function() {
        for (x, want) in [(0.0, 1.0), (1.0 / 6.0, 0.846_481_724_890_614_1), (1.0, 0.367_879_441_171_442_33)] {
            assert!((decay(x) - want).abs() < 1e-9, "{x}: {}", decay(x));
        }
        for i in 0..200 {
            let x = f64::from(i) / 7.0;
            assert!((decay(x) - (-x).exp()).abs() < 1e-9, "{x}");
        }
        assert!(decay(1e9) < 1e-20);
    }
}
