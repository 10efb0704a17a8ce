//! Retained messages: kept, sent to who subscribes, within limits, over a restart.

use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::super::*;
use super::{RELIABLE, Story};

fn retain(topic: &str, payload: &str) -> Message {
    Message::new(topic, payload.as_bytes()).unwrap().with_reliable(true).with_retain(true)
}

/// What waits for a session, as `payload retain`.
fn take(s: &mut Story, key: SessionKey) -> Vec<std::string::String> {
    let mut lines = Vec::new();
    while s.hub.poll_ready().is_some() {
        s.hub
            .drain(s.now, key, |d| {
                if let Delivery::Message { message, retain, .. } = d {
                    lines.push(format!(
                        "{}{}",
                        str::from_utf8(message.payload()).unwrap(),
                        if *retain { " r" } else { "" }
                    ));
                }
                true
            })
            .unwrap();
        let (_, sent) = s.hub.reliable(key).unwrap();
        s.hub.ack(s.now, key, sent).unwrap();
        s.hub.check_invariants().unwrap();
    }
    lines
}

#[test]
fn the_last_value_is_sent_to_who_subscribes() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    for payload in ["old", "new"] {
        s.hub.publish(s.now, a, retain("t/1", payload), None).unwrap();
    }
    s.subscribe(b, 1, "t/+");
    assert_eq!(take(&mut s, b), ["new r"]);
    // One who is there gets it as any other message; with retain as published it says so.
    s.subscribe_with(
        b,
        2,
        "t/1",
        SubscribeOptions { retain_as_published: true, retained: RetainHandling::Never, ..RELIABLE },
    );
    s.hub.publish(s.now, a, retain("t/1", "newer"), None).unwrap();
    let mut lines = take(&mut s, b);
    lines.sort();
    assert_eq!(lines, ["newer", "newer r"]);
    // An empty one takes it away, and is sent on.
    s.hub.publish(s.now, a, retain("t/1", ""), None).unwrap();
    assert_eq!(take(&mut s, b).len(), 2);
    let c = s.session();
    s.subscribe(c, 1, "#");
    assert!(take(&mut s, c).is_empty());
    assert_eq!((s.hub.counters().retained, s.hub.counters().retained_bytes), (0, 0));
}

#[test]
fn handling_says_when() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    s.hub.publish(s.now, a, retain("t", "x"), None).unwrap();
    let with = |retained| SubscribeOptions { retained, ..RELIABLE };
    s.subscribe_with(b, 1, "t", with(RetainHandling::SendIfNew));
    assert_eq!(take(&mut s, b), ["x r"]);
    s.subscribe_with(b, 1, "t", with(RetainHandling::SendIfNew));
    assert!(take(&mut s, b).is_empty());
    s.subscribe_with(b, 1, "t", with(RetainHandling::Send));
    assert_eq!(take(&mut s, b), ["x r"]);
    s.subscribe_with(b, 2, "+", with(RetainHandling::Never));
    s.subscribe(b, 3, "$share/g/t");
    assert!(take(&mut s, b).is_empty(), "none for those who share");
}

#[test]
fn many_come_bit_by_bit_and_what_is_new_comes_once() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    for n in 0..1000 {
        s.hub.publish(s.now, a, retain(&format!("t/{n}"), &n.to_string()), None).unwrap();
    }
    s.subscribe(b, 1, "t/#");
    assert!(s.hub.counters().queued < 100, "they wait where they are");
    assert_eq!(s.ready(), [b]);
    assert_eq!(s.take_some(b, 10).len(), 10);
    // One that was not sent is replaced: only the new one comes.
    s.hub.publish(s.now, a, retain("t/500", "new"), None).unwrap();
    s.hub.publish(s.now, a, retain("t/0", ""), None).unwrap();
    let (_, sent) = s.hub.reliable(b).unwrap();
    s.hub.ack(s.now, b, sent).unwrap();
    let mut lines = s.take(b);
    while let Some(key) = s.hub.poll_ready() {
        lines.extend(s.take(key));
        let (_, sent) = s.hub.reliable(b).unwrap();
        s.hub.ack(s.now, b, sent).unwrap();
    }
    assert_eq!(lines.iter().filter(|l| l.starts_with("1! t/500=")).count(), 1);
    assert!(lines.len() >= 989, "{}", lines.len());
    s.hub.remove(s.now, b).unwrap();
    s.hub.check_invariants().unwrap();
}

#[test]
fn the_window_holds_up_without_spinning() {
    let mut s = Story::new();
    let a = s.session();
    let b = s.session_with(SessionOptions { in_flight: 2, ..SessionOptions::default() });
    for n in 0..200 {
        s.hub.publish(s.now, a, retain(&format!("t/{n}"), "x"), None).unwrap();
    }
    s.subscribe(b, 1, "t/#");
    assert_eq!(s.ready(), [b]);
    assert_eq!(s.take(b).len(), 2);
    assert_eq!(s.ready(), [], "the others wait for an acknowledgement");
    let mut got = 2;
    while got < 200 {
        let (_, sent) = s.hub.reliable(b).unwrap();
        s.hub.ack(s.now, b, sent).unwrap();
        assert_eq!(s.ready(), [b]);
        got += s.take(b).len();
    }
    s.hub.ack(s.now, b, 200).unwrap();
    assert_eq!(s.ready(), []);
}

#[test]
fn limits_and_expiry() {
    let options = HubOptions { max_retained: 2, max_retained_bytes: 20, ..HubOptions::default() };
    let mut s = Story::with(options);
    let a = s.session();
    let soon = s.now + core::time::Duration::from_secs(5);
    s.hub.publish(s.now, a, retain("1", "x").with_expiry(soon), None).unwrap();
    s.hub.publish(s.now, a, retain("2", "x"), None).unwrap();
    let refused = Err(Refusal::Quota("retained messages"));
    assert_eq!(s.hub.publish(s.now, a, retain("3", "x"), None), refused);
    assert_eq!(s.hub.publish(s.now, a, retain("2", "much too long for it"), None), refused);
    s.hub.publish(s.now, a, retain("2", "y"), None).unwrap();
    assert_eq!(s.hub.poll_timeout().map(|d| d.at), Some(soon));
    s.pass(5_000);
    assert_eq!((s.hub.counters().retained, s.hub.poll_timeout()), (1, None));
    s.hub.publish(s.now, a, retain("3", "x"), None).unwrap();
    s.hub.check_invariants().unwrap();
}

#[test]
fn a_restart_keeps_the_last_values() {
    let mut s = Story::with(HubOptions { durable: true, ..HubOptions::default() });
    let a = s.session();
    for (topic, payload) in [("t", "old"), ("t", "new"), ("gone", "x"), ("gone", "")] {
        let outcome = s.hub.publish(s.now, a, retain(topic, payload), None).unwrap();
        assert_eq!(outcome.commit, Some(s.hub.issued()));
    }
    s.hub.publish_own(s.now, retain("$SYS/broker/uptime", "1 second")).unwrap();
    let mut kept = std::collections::BTreeMap::new();
    let mut messages = std::collections::BTreeMap::new();
    while let Some(operation) = s.hub.poll_operation() {
        match operation {
            Operation::MessageAdded { message, content } => _ = messages.insert(message, content),
            Operation::MessageRemoved { message } => assert!(messages.remove(&message).is_some()),
            Operation::Retained { message, topic } => _ = kept.insert(topic, message),
            Operation::RetainedRemoved { topic } => assert!(kept.remove(&topic).is_some()),
            _ => {}
        }
    }
    let mut hub = Hub::new(HubOptions { durable: true, ..HubOptions::default() }, 3);
    let options = SessionOptions::default();
    for (message, content) in messages {
        hub.restore(s.now, Operation::MessageAdded { message, content }, &options).unwrap();
    }
    for (topic, message) in kept {
        hub.restore(s.now, Operation::Retained { topic, message }, &options).unwrap();
    }
    hub.restored(s.now);
    hub.check_invariants().unwrap();
    assert_eq!((hub.counters().retained, hub.issued()), (1, 0));
    let b = hub.attach(s.now, &SessionOptions::default()).unwrap();
    hub.subscribe(s.now, b, 1, "t", RELIABLE).unwrap();
    let mut got = Vec::new();
    hub.drain(s.now, b, |d| {
        got.push(super::line(d));
        true
    })
    .unwrap();
    assert_eq!(got, ["1! t=new"]);
}
