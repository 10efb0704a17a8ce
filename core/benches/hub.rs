//! What the hub costs: `cargo bench -p bowline-core --bench hub`. Prints nanoseconds, and octets
//! per subscription as the process's resident memory shows them (Linux).

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use bowline_core::access::{Effect, Rule, Rules};
use bowline_core::hub::{Hub, HubOptions, Message, SessionKey, SessionOptions, SubscribeOptions};
use bowline_core::time::Instant;

const NOW: Instant = Instant::from_millis(1);

fn main() {
    fan_out(100, 0);
    fan_out(100, 1000);
    pairs(50, false, false);
    pairs(50, false, true);
    pairs(50, true, false);
    wildcards(100_000);
}

fn hub() -> Hub {
    let per_session = 200_000;
    Hub::new(HubOptions { max_subscriptions_per_session: per_session, ..HubOptions::default() }, 1)
}

fn session(hub: &mut Hub) -> SessionKey {
    hub.attach(NOW, &SessionOptions::default()).expect("there is room")
}

fn subscribe(hub: &mut Hub, key: SessionKey, sid: u64, filter: &str) {
    hub.subscribe(NOW, key, sid, filter, SubscribeOptions::default()).expect("valid");
}

/// Hands out all that waits, as a connection would.
fn drain(hub: &mut Hub) -> u64 {
    let mut octets = 0;
    while let Some(key) = hub.poll_ready() {
        let take = |d: &bowline_core::hub::Delivery<'_>| {
            if let bowline_core::hub::Delivery::Message { message, .. } = d {
                octets += message.body().len() as u64;
            }
            true
        };
        hub.drain(NOW, key, take).expect("attached");
    }
    octets
}

/// One publisher, `n` subscribers, 100 messages before each drain; `others` wildcard filters about.
fn fan_out(n: usize, others: usize) {
    let mut hub = hub();
    let publisher = session(&mut hub);
    for _ in 0..n {
        let key = session(&mut hub);
        subscribe(&mut hub, key, 1, "sensors/room1/temperature");
    }
    for i in 0..others {
        subscribe(&mut hub, publisher, i as u64 + 1, &format!("else/{i}/+/#"));
    }
    let message = Message::new("sensors/room1/temperature", &[7; 64]).expect("valid");
    let (mut publishing, mut draining) = (Duration::ZERO, Duration::ZERO);
    let (rounds, batch) = (300, 100);
    for _ in 0..rounds {
        let begin = Clock::now();
        for _ in 0..batch {
            let _ = black_box(hub.publish(NOW, publisher, message.clone(), None));
        }
        let published = Clock::now();
        black_box(drain(&mut hub));
        publishing += published - begin;
        draining += published.elapsed();
    }
    let deliveries = (rounds * batch * n) as f64;
    println!(
        "1 to {n}, {others} other filters: publish, match, enqueue {:.1} ns a delivery; hand out {:.1} ns",
        publishing.as_nanos() as f64 / deliveries,
        draining.as_nanos() as f64 / deliveries,
    );
}

fn few_rules() -> Rules {
    let rule = |topic: &str| {
        let topics = vec![topic.to_owned()];
        Rule { effect: Effect::Allow, topics, ..Rule::default() }
    };
    let rules = ["home/%u/#", "chat/+", "status/%c", "pairs/#"].map(rule);
    Rules::new(Effect::Deny, &[], rules.into()).expect("they make sense")
}

/// `n` publishers, each with one subscriber on a topic of its own.
fn pairs(n: usize, wildcards: bool, rules: bool) {
    let mut hub = hub();
    if rules {
        hub.set_access(Box::new(few_rules()));
    }
    let mut publishers = Vec::new();
    for i in 0..n {
        let (a, b) = (session(&mut hub), session(&mut hub));
        let filter = if wildcards { format!("pairs/{i}/+") } else { format!("pairs/{i}/x") };
        subscribe(&mut hub, b, 1, &filter);
        publishers.push((a, Message::new(&format!("pairs/{i}/x"), &[7; 64]).expect("valid")));
    }
    let (mut publishing, mut draining) = (Duration::ZERO, Duration::ZERO);
    let (rounds, batch) = (2000, 10);
    for _ in 0..rounds {
        let begin = Clock::now();
        for _ in 0..batch {
            for (key, message) in &publishers {
                let _ = black_box(hub.publish(NOW, *key, message.clone(), None));
            }
        }
        let published = Clock::now();
        black_box(drain(&mut hub));
        publishing += published - begin;
        draining += published.elapsed();
    }
    let messages = (rounds * batch * n) as f64;
    println!(
        "{n} pairs, {} filters{}: publish {:.1} ns a message; hand out {:.1} ns",
        if wildcards { "wildcard" } else { "exact" },
        if rules { ", access rules" } else { "" },
        publishing.as_nanos() as f64 / messages,
        draining.as_nanos() as f64 / messages,
    );
}

/// `n` distinct filters with wildcards: what one costs in memory, and what a match costs.
fn wildcards(n: usize) {
    for (what, exact) in [("wildcard", false), ("exact", true)] {
        let mut hub = hub();
        let publisher = session(&mut hub);
        let keys: Vec<_> = (0..n / 1000).map(|_| session(&mut hub)).collect();
        let before = resident();
        let begin = Clock::now();
        for i in 0..n {
            let filter =
                if exact { format!("fleet/{i}/x/position") } else { format!("fleet/{i}/+/position") };
            subscribe(&mut hub, keys[i / 1000], (i % 1000) as u64 + 1, &filter);
        }
        let subscribing = begin.elapsed().as_nanos() as f64 / n as f64;
        let octets = resident().saturating_sub(before) as f64 / n as f64;
        let topics: Vec<_> = (0..n)
            .map(|i| Message::new(&format!("fleet/{}/x/position", i * 7919 % n), b"").expect("valid"))
            .collect();
        let begin = Clock::now();
        for message in &topics {
            let _ = black_box(hub.publish(NOW, publisher, message.clone(), None));
        }
        let publishing = begin.elapsed().as_nanos() as f64 / n as f64;
        println!(
            "{n} {what} filters: {octets:.0} octets each; subscribe {subscribing:.0} ns; publish to a topic not seen before {publishing:.0} ns"
        );
    }
}

/// Octets of resident memory, or 0 where there is no `/proc`.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}
