//! `$SYS/` topics: what a broker says of itself, as the users of mosquitto know it.
//!
//! Every interval the topics whose values have changed are published, retained. They are of this
//! run: no store keeps them, and `#` does not match them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::event::Dialect;
use crate::hub::{Counters, Hub, Message};
use crate::time::{Deadline, Instant, Why};

/// What all topics begin with.
const ROOT: &str = "$SYS/broker/";

/// What a server counts on its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Octets taken from and given to transports.
    pub(super) octets_received: u64,
    pub(super) octets_sent: u64,
    /// Packets or frames that the server had to do with: not what a session's machine does by itself
    /// (pings, acknowledgements, credit of our own protocol).
    pub(super) packets_received: u64,
    pub(super) packets_sent: u64,
    /// Transports accepted.
    pub(super) sockets: u64,
    /// Sessions opened or resumed over them.
    pub(super) connections: u64,
    /// Sessions that no client came back to.
    pub(super) expired: u64,
    /// The most clients that there were at a time, connected or not.
    pub(super) most_clients: u64,
    /// Messages in and out, by dialect.
    pub(super) messages: [(u64, u64); Dialect::ALL.len()],
}

impl Traffic {
    /// A client has published.
    #[inline]
    pub(super) fn published(&mut self, dialect: Dialect) {
        self.messages[dialect.index()].0 += 1;
    }

    /// So much was handed out to a client.
    #[inline]
    pub(super) fn delivered(&mut self, dialect: Dialect, count: u32) {
        self.messages[dialect.index()].1 += u64::from(count);
        self.packets_sent += u64::from(count);
    }

    /// A session was opened or resumed.
    pub(super) fn opened(&mut self, hub: &Hub, locals: usize) {
        self.connections += 1;
        self.most_clients = self.most_clients.max(self.figures(hub, locals).clients());
    }

    /// What the values are made from now; so many sessions are the program's own.
    pub(super) fn figures(&self, hub: &Hub, locals: usize) -> Figures {
        let (traffic, hub) = (*self, hub.counters());
        Figures { traffic, connected: hub.attached.saturating_sub(locals as u64), hub }
    }
}

/// What the values are made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    traffic: Traffic,
    hub: Counters,
    connected: u64,
}

impl Figures {
    const fn disconnected(&self) -> u64 {
        self.hub.sessions - self.hub.attached
    }

    const fn clients(&self) -> u64 {
        self.connected + self.disconnected()
    }
}

/// A topic below [`ROOT`], and its value.
type Figure = (&'static str, fn(&Figures) -> u64);

const FIGURES: [Figure; 21] = [
    ("clients/total", Figures::clients),
    ("clients/connected", |f| f.connected),
    ("clients/active", |f| f.connected),
    ("clients/disconnected", Figures::disconnected),
    ("clients/inactive", Figures::disconnected),
    ("clients/expired", |f| f.traffic.expired),
    ("clients/maximum", |f| f.traffic.most_clients),
    ("messages/received", |f| f.traffic.packets_received),
    ("messages/sent", |f| f.traffic.packets_sent),
    ("messages/stored", |f| f.hub.messages),
    ("store/messages/count", |f| f.hub.messages),
    ("store/messages/bytes", |f| f.hub.message_bytes),
    ("publish/messages/received", |f| f.hub.messages_in),
    ("publish/messages/sent", |f| f.hub.messages_out),
    ("publish/messages/dropped", |f| f.hub.dropped.total()),
    ("publish/bytes/received", |f| f.hub.bytes_in),
    ("publish/bytes/sent", |f| f.hub.bytes_out),
    ("bytes/received", |f| f.traffic.octets_received),
    ("bytes/sent", |f| f.traffic.octets_sent),
    ("subscriptions/count", |f| f.hub.subscriptions),
    // With a space: so it is called there.
    ("retained messages/count", |f| f.hub.retained),
];

/// Counts whose rates are averaged.
const LOADS: [Figure; 9] = [
    ("messages/received", |f| f.traffic.packets_received),
    ("messages/sent", |f| f.traffic.packets_sent),
    ("publish/received", |f| f.hub.messages_in),
    ("publish/sent", |f| f.hub.messages_out),
    ("publish/dropped", |f| f.hub.dropped.total()),
    ("bytes/received", |f| f.traffic.octets_received),
    ("bytes/sent", |f| f.traffic.octets_sent),
    ("sockets", |f| f.traffic.sockets),
    ("connections", |f| f.traffic.connections),
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
    /// What was said last, so that only what differs is said.
    uptime: Option<u64>,
    said: [Option<u64>; FIGURES.len()],
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
            uptime: None,
            said: [None; FIGURES.len()],
            loads: [[Load::default(); WINDOWS.len()]; LOADS.len()],
        }
    }

    /// When the next values are due: at once until it was first called.
    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        if self.interval.is_zero() {
            return None;
        }
        let at = if self.began.is_some() { self.last + self.interval } else { Instant::ZERO };
        Some(Deadline::new(at, Why::Report))
    }

    /// Whether there is something to say now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|due| due.at <= now)
    }

    /// What is to be published now that it is due: messages to be retained, one for each topic
    /// whose value has changed.
    pub(super) fn handle_timeout(&mut self, now: Instant, figures: &Figures) -> Vec<Message> {
        let mut out = Vec::new();
        if self.began.is_none() {
            self.began = Some(now);
            say(&mut out, "version", &format!("bowline version {}", env!("CARGO_PKG_VERSION")));
        } else {
            self.average(now, figures);
        }
        let uptime = now.saturating_since(self.began.unwrap_or(now)).as_secs();
        if self.uptime.replace(uptime) != Some(uptime) {
            say(&mut out, "uptime", &format!("{uptime} seconds"));
        }
        for ((topic, value), said) in FIGURES.iter().zip(&mut self.said) {
            say_new(&mut out, topic, value(figures), said);
        }
        for ((topic, _), loads) in LOADS.iter().zip(&mut self.loads) {
            for (minutes, load) in WINDOWS.iter().zip(loads) {
                let hundredths = (load.rate * 100.0 + 0.5) as u64;
                if load.said.replace(hundredths) != Some(hundredths) {
                    let value = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                    say(&mut out, &format!("load/{topic}/{minutes}min"), &value);
                }
            }
        }
        (self.last, self.before) = (now, *figures);
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
    fn says(sys: &mut Sys, seconds: u64, figures: &Figures) -> BTreeMap<String, String> {
        assert!(sys.is_due(at(seconds)));
        let messages = sys.handle_timeout(at(seconds), figures);
        assert!(messages.iter().all(Message::is_retain));
        let line = |m: &Message| {
            let topic = m.topic().strip_prefix(ROOT).unwrap().to_string();
            (topic, String::from_utf8_lossy(m.payload()).into_owned())
        };
        messages.iter().map(line).collect()
    }

    fn retained(n: u64) -> Figures {
        let mut figures = Figures::default();
        figures.hub.retained = n;
        figures
    }

    #[test]
    fn all_is_said_at_first_and_then_what_changes() {
        let mut sys = Sys::new(INTERVAL);
        assert_eq!(sys.poll_timeout().unwrap().at, Instant::ZERO, "at once");
        let first = says(&mut sys, 0, &retained(7));
        assert_eq!(first.len(), 2 + FIGURES.len() + LOADS.len() * WINDOWS.len());
        assert_eq!(first["version"], format!("bowline version {}", env!("CARGO_PKG_VERSION")));
        assert_eq!((&*first["uptime"], &*first["retained messages/count"]), ("0 seconds", "7"));
        assert_eq!((&*first["load/publish/received/15min"], &*first["bytes/sent"]), ("0.00", "0"));
        assert_eq!(sys.poll_timeout().unwrap().at, at(10));
        assert!(!sys.is_due(at(9)));
        let second = says(&mut sys, 11, &retained(8));
        let changed: Vec<_> = second.iter().map(|(topic, value)| (&**topic, &**value)).collect();
        assert_eq!(changed, [("retained messages/count", "8"), ("uptime", "11 seconds")]);
        assert_eq!(sys.poll_timeout().unwrap().at, at(21));
    }

    #[test]
    fn an_interval_of_zero_says_nothing() {
        let sys = Sys::new(Duration::ZERO);
        assert_eq!((sys.poll_timeout(), sys.is_due(at(100))), (None, false));
    }

    /// One message a second: the averages rise towards 60 a minute, the shorter ones sooner, and
    /// fall again when there are no more.
    #[test]
    fn loads_are_averages_of_a_minute_s_rate() {
        let mut sys = Sys::new(INTERVAL);
        let figures = |n| {
            let mut figures = Figures::default();
            figures.hub.messages_in = n;
            figures
        };
        says(&mut sys, 0, &figures(0));
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        let mut at_minute = vec![];
        for step in 1..=360 {
            values.extend(says(&mut sys, step * 10, &figures(step * 10)));
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
            let said = value(minute, window);
            assert!((said - want).abs() < 0.011, "{minute} {window}: {said}");
        }
        let fallen = says(&mut sys, 3660, &figures(3600));
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
