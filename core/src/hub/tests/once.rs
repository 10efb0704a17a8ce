//! Sessions that acknowledge by ids: deliveries exactly once, overlaps, and what a restart keeps.

use core::time::Duration;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::super::*;
use super::Story;
use crate::time::Instant;

const BY_ID: SessionOptions<'_> = SessionOptions {
    identity: "",
    name: "mqtt:a",
    client_id: "a",
    address: None,
    listener: "",
    secured: None,
    trusted: false,
    expiry: Duration::from_secs(60),
    max_messages: 100,
    max_bytes: 10_000,
    policy: Policy::DropOldest,
    in_flight: 3,
    by_id: true,
};
const ONCE: SubscribeOptions = SubscribeOptions {
    quality: Quality::ExactlyOnce,
    credit: None,
    no_local: false,
    serve: false,
    retain_as_published: false,
    retained: RetainHandling::Send,
};

fn once(topic: &str, payload: &str) -> Message {
    Message::new(topic, payload.as_bytes()).unwrap().with_quality(Quality::ExactlyOnce)
}

/// Deliveries as `payload q ID[again]`.
fn take(hub: &mut Hub, now: Instant, key: SessionKey) -> Vec<String> {
    let mut lines = Vec::new();
    hub.drain(now, key, |d| {
        lines.push(match d {
            Delivery::Message { message, quality, id, again, others, .. } => {
                let payload = String::from_utf8_lossy(message.payload());
                let also: String = others.iter().map(|sid| format!("+{}", identifier_of(*sid))).collect();
                format!("{payload} q{} {id}{also}{}", quality.number(), if *again { " again" } else { "" })
            }
            Delivery::Release { id } => format!("release {id}"),
            other => format!("{other:?}"),
        });
        true
    })
    .unwrap();
    hub.check_invariants().unwrap();
    lines
}

fn operations(hub: &mut Hub) -> Vec<Operation> {
    core::iter::from_fn(|| hub.poll_operation()).collect()
}

fn durable() -> HubOptions {
    HubOptions { durable: true, ..HubOptions::default() }
}

#[test]
fn deliveries_are_settled_in_any_order_and_free_the_window() {
    let mut s = Story::new();
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "t", 0, ONCE).unwrap();
    for payload in ["1", "2", "3", "4", "5"] {
        s.hub.publish(s.now, b, once("t", payload), None).unwrap();
    }
    assert_eq!(take(&mut s.hub, s.now, a), ["1 q2 1", "2 q2 2", "3 q2 3"]);
    assert!(s.hub.settle(s.now, a, 2).unwrap());
    assert!(!s.hub.settle(s.now, a, 2).unwrap(), "it is settled");
    assert!(!s.hub.settle(s.now, a, 4).unwrap(), "it was not handed out");
    assert_eq!(take(&mut s.hub, s.now, a), ["4 q2 4"]);
    assert!(s.hub.received(s.now, a, 3).unwrap());
    assert!(take(&mut s.hub, s.now, a).is_empty(), "received is not settled");
    // Over a new connection: what was not received comes again, what was is only released.
    s.hub.detach(s.now, a).unwrap();
    s.hub.reattach(s.now, a, 10, None).unwrap();
    assert_eq!(take(&mut s.hub, s.now, a), ["1 q2 1 again", "release 3", "4 q2 4 again", "5 q2 5"]);
    for id in [1, 3, 4, 5] {
        assert!(s.hub.settle(s.now, a, id).unwrap());
    }
    assert_eq!(s.hub.counters().queued, 0);
    s.hub.check_invariants().unwrap();
}

#[test]
fn ids_follow_each_other_past_the_last() {
    let mut s = Story::new();
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "t", 0, ONCE).unwrap();
    for number in [65_533, u32::MAX - 2] {
        s.hub.sessions.all[a.index].next_number = number;
        for payload in ["1", "2", "3"] {
            s.hub.publish(s.now, b, once("t", payload), None).unwrap();
        }
        assert_eq!(take(&mut s.hub, s.now, a), ["1 q2 65534", "2 q2 65535", "3 q2 1"]);
        for id in [1, 65_534, 65_535] {
            assert!(s.hub.settle(s.now, a, id).unwrap());
        }
    }
}

#[test]
fn an_id_is_not_used_twice_while_the_first_is_not_settled() {
    let mut s = Story::new();
    let options = SessionOptions { in_flight: 65_535, max_messages: 70_000, max_bytes: 1 << 30, ..BY_ID };
    let (a, b) = (s.hub.attach(s.now, &options).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "t", 0, ONCE).unwrap();
    for n in 0..65_540 {
        s.hub.publish(s.now, b, once("t", &n.to_string()), None).unwrap();
        let mut id = 0;
        let got = |d: &Delivery<'_>| {
            id = if let Delivery::Message { id, .. } = d { *id } else { 0 };
            true
        };
        s.hub.drain(s.now, a, got).unwrap();
        assert_eq!(id == 0, n >= 65_535, "{n}");
        // All but the first are settled at once.
        if n > 0 && id > 0 {
            s.hub.settle(s.now, a, id).unwrap();
        }
    }
    s.hub.settle(s.now, a, 1).unwrap();
    assert_eq!(take(&mut s.hub, s.now, a).len(), 5);
}

#[test]
fn overlapping_subscriptions_get_one_delivery_at_the_best_quality() {
    let mut s = Story::new();
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    let most = SubscribeOptions { quality: Quality::AtMostOnce, ..ONCE };
    assert!(!s.hub.subscribe_filter(s.now, a, "t/+", 7, most).unwrap());
    assert!(!s.hub.subscribe_filter(s.now, a, "t/#", 8, ONCE).unwrap());
    assert!(!s.hub.subscribe_filter(s.now, a, "$share/g/t/1", 9, ONCE).unwrap());
    s.hub.publish(s.now, b, once("t/1", "x"), None).unwrap();
    let mut lines = take(&mut s.hub, s.now, a);
    lines.sort();
    assert_eq!(lines, ["x q2 1", "x q2 2+8"], "a shared one is apart");
    // One that is changed keeps its place, and takes its new name.
    assert!(s.hub.subscribe_filter(s.now, a, "t/+", 70, ONCE).unwrap());
    s.hub.publish(s.now, b, once("t/2", "y"), None).unwrap();
    // Unsubscribing from one leaves what is for the other too.
    assert!(s.hub.unsubscribe_filter(s.now, a, "t/+").unwrap());
    assert!(!s.hub.unsubscribe_filter(s.now, a, "t/+").unwrap());
    assert_eq!(take(&mut s.hub, s.now, a), ["y q2 3+8"]);
    s.hub.remove(s.now, a).unwrap();
    s.hub.check_invariants().unwrap();
}

#[test]
fn a_known_id_is_the_same_message() {
    let mut s = Story::new();
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.subscribe(b, 1, "t");
    assert!(!s.hub.publish_once(s.now, a, 5, once("t", "x")).unwrap().duplicate);
    s.hub.detach(s.now, a).unwrap();
    s.hub.reattach(s.now, a, 3, None).unwrap();
    assert!(s.hub.publish_once(s.now, a, 5, once("t", "x")).unwrap().duplicate);
    assert_eq!(s.take(b), ["1! t=x"]);
    assert!(s.hub.forget_received(s.now, a, 5).unwrap());
    assert!(!s.hub.forget_received(s.now, a, 5).unwrap());
    assert!(!s.hub.publish_once(s.now, a, 5, once("t", "y")).unwrap().duplicate);
    assert_eq!(s.take(b), ["1! t=y"]);
}

#[test]
fn exactly_once_waits_for_the_commit_and_others_do_not() {
    let mut s = Story::with(durable());
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.hub.attach(s.now, &SessionOptions::default()));
    let b = b.unwrap();
    s.hub.subscribe_filter(s.now, a, "t", 0, ONCE).unwrap();
    s.ready();
    let sure = Message::new("t", b"1").unwrap().with_reliable(true);
    let first = s.hub.publish(s.now, b, sure, None).unwrap().commit.unwrap();
    assert_eq!(take(&mut s.hub, s.now, a), ["1 q1 1"]);
    let commit = s.hub.publish_once(s.now, b, 1, once("t", "2")).unwrap().commit.unwrap();
    assert!(commit > first);
    assert!(take(&mut s.hub, s.now, a).is_empty());
    s.ready();
    s.hub.committed(s.now, commit - 1);
    assert_eq!(s.ready(), []);
    s.hub.committed(s.now, commit);
    assert_eq!(s.ready(), [a]);
    assert_eq!(take(&mut s.hub, s.now, a), ["2 q2 2"]);
    // Nobody who has to be durable wants it: nothing waits.
    let other = s.hub.publish(s.now, b, once("other", "3"), None).unwrap();
    assert_eq!((other.commit, s.hub.commits()), (None, commit));
    assert_eq!(s.hub.publish(s.now, b, Message::new("t", b"4").unwrap(), None).unwrap().commit, None);
}

#[test]
fn a_delivery_is_released_over_a_new_connection_once_that_is_committed() {
    let mut s = Story::with(durable());
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "t", 0, ONCE).unwrap();
    for payload in ["1", "2"] {
        s.hub.publish(s.now, b, once("t", payload), None).unwrap();
    }
    let issued = s.hub.issued();
    s.hub.committed(s.now, issued);
    assert_eq!(take(&mut s.hub, s.now, a).len(), 2);
    assert!(s.hub.received(s.now, a, 1).unwrap());
    let issued = s.hub.issued();
    assert_eq!(s.hub.uncommitted(a), Some(issued));
    s.hub.detach(s.now, a).unwrap();
    s.hub.reattach(s.now, a, 10, None).unwrap();
    s.ready();
    assert!(take(&mut s.hub, s.now, a).is_empty(), "a crash would have it sent again, to one that forgot it");
    s.hub.committed(s.now, issued);
    assert_eq!(s.ready(), [a]);
    assert_eq!(take(&mut s.hub, s.now, a), ["release 1", "2 q2 2 again"]);
    // One that is settled meanwhile is waited for by nobody.
    assert!(s.hub.received(s.now, a, 2).unwrap());
    assert!(s.hub.settle(s.now, a, 2).unwrap());
    let issued = s.hub.issued();
    s.hub.committed(s.now, issued);
    assert_eq!((s.hub.uncommitted(a), s.hub.settle(s.now, a, 1)), (None, Ok(true)));
    assert_eq!(s.hub.counters().queued, 0);
    s.hub.check_invariants().unwrap();
}

#[test]
fn what_must_be_stored_is_refused_while_the_store_takes_nothing() {
    let mut s = Story::with(durable());
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "t/+", 0, ONCE).unwrap();
    s.hub.set_store_available(false);
    assert_eq!(s.hub.publish(s.now, b, once("t/1", "x"), None), Err(Refusal::Store));
    assert_eq!(s.hub.publish_once(s.now, b, 3, once("t/1", "x")), Err(Refusal::Store));
    let kept = Message::new("other", b"x").unwrap().with_retain(true);
    assert_eq!(s.hub.publish(s.now, b, kept, None), Err(Refusal::Store));
    assert_eq!(s.publish(b, "t/1", "at most once").queued, 1);
    assert_eq!(s.publish_surely(b, "other", "for nobody").queued, 0);
    s.hub.set_store_available(true);
    assert!(!s.hub.publish_once(s.now, b, 3, once("t/1", "x")).unwrap().duplicate);
}

/// A hub that is told all that another asked to be kept.
fn restart(now: Instant, operations: &[Operation], options: &SessionOptions<'_>) -> Hub {
    let mut hub = Hub::new(durable(), 9);
    for operation in operations {
        hub.restore(now, operation.clone(), options).unwrap();
    }
    hub.restored(now);
    hub.check_invariants().unwrap();
    hub
}

#[test]
fn a_restart_keeps_sessions_deliveries_and_ids() {
    let mut s = Story::with(durable());
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.hub.attach(s.now, &BY_ID).unwrap());
    s.hub.subscribe_filter(s.now, a, "t/+", 7, ONCE).unwrap();
    s.hub.subscribe_filter(s.now, a, "t/#", 8, ONCE).unwrap();
    for payload in ["1", "2", "3", "4"] {
        s.hub.publish(s.now, b, once("t/1", payload), None).unwrap();
    }
    s.hub.publish_once(s.now, b, 9, once("t/1", "5")).unwrap();
    let issued = s.hub.issued();
    s.hub.committed(s.now, issued);
    assert_eq!(take(&mut s.hub, s.now, a).len(), 3);
    s.hub.received(s.now, a, 2).unwrap();
    let log = operations(&mut s.hub);
    assert_eq!(log.len() as u64, s.hub.issued());

    let mut hub = restart(s.now, &log, &BY_ID);
    let names: Vec<_> = hub.stored_sessions().map(|(key, name)| (key, name.to_string())).collect();
    let [(a, ref name), (b, _)] = names[..] else { panic!("{names:?}") };
    assert_eq!(name, "mqtt:a");
    hub.reattach(s.now, a, 10, None).unwrap();
    hub.reattach(s.now, b, 10, None).unwrap();
    let again = ["1 q2 1+8 again", "release 2", "3 q2 3+8 again", "4 q2 4+8", "5 q2 5+8"];
    assert_eq!(take(&mut hub, s.now, a), again);
    assert!(hub.publish_once(s.now, b, 9, once("t/1", "5")).unwrap().duplicate);
    // A number that was given away is not given away again.
    hub.publish(s.now, b, once("t/1", "6"), None).unwrap();
    let issued = hub.issued();
    hub.committed(s.now, issued);
    assert_eq!(take(&mut hub, s.now, a), ["6 q2 6+8"]);
}

#[test]
fn after_a_restart_what_a_member_leaves_goes_to_others() {
    let mut s = Story::with(durable());
    let (a, c) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "$share/g/t", 0, ONCE).unwrap();
    s.hub.publish(s.now, c, once("t", "1"), None).unwrap();
    s.publish_surely(c, "t", "2");
    let b = s.hub.attach(s.now, &SessionOptions { name: "mqtt:b", ..BY_ID }).unwrap();
    s.hub.subscribe_filter(s.now, b, "$share/g/t", 0, ONCE).unwrap();
    let log = operations(&mut s.hub);
    let mut hub = restart(s.now, &log, &BY_ID);
    let find = |hub: &Hub, name| hub.stored_sessions().find(|(_, n)| *n == name).unwrap().0;
    let (a, b) = (find(&hub, "mqtt:a"), find(&hub, "mqtt:b"));
    hub.reattach(s.now, b, 3, None).unwrap();
    hub.remove(s.now, a).unwrap();
    // [MQTT-4.8.2-5]: it may have been sent before the crash.
    assert_eq!(take(&mut hub, s.now, b), ["2 q1 1"], "and not what is exactly once");
}

#[test]
fn a_session_without_deliveries_keeps_its_place_in_the_numbers() {
    let now = Instant::from_millis(1);
    for number in [7, u32::MAX / 2 + 9, u32::MAX - 2] {
        let expiry = Duration::from_secs(60);
        let created =
            Operation::SessionCreated { session: 3, name: "mqtt:a".into(), identity: "".into(), expiry };
        let mut hub = restart(now, &[created, Operation::Sent { session: 3, number }], &BY_ID);
        let a = hub.stored_sessions().next().unwrap().0;
        hub.reattach(now, a, 10, None).unwrap();
        hub.subscribe_filter(now, a, "t", 0, ONCE).unwrap();
        hub.publish_own(now, once("t", "x").with_quality(Quality::AtLeastOnce)).unwrap();
        let id = (u64::from(number) + 1) % 65_535 + 1;
        assert_eq!(take(&mut hub, now, a), [format!("x q1 {id}")]);
    }
}

#[test]
fn a_restart_leaves_nothing_of_what_was_settled() {
    let mut s = Story::with(durable());
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.hub.subscribe_filter(s.now, a, "t", 0, ONCE).unwrap();
    s.hub.publish(s.now, b, once("t", "1"), None).unwrap();
    let issued = s.hub.issued();
    s.hub.committed(s.now, issued);
    take(&mut s.hub, s.now, a);
    s.hub.settle(s.now, a, 1).unwrap();
    let log = operations(&mut s.hub);
    let added = log.iter().filter(|o| matches!(o, Operation::MessageAdded { .. })).count();
    let removed = log.iter().filter(|o| matches!(o, Operation::MessageRemoved { .. })).count();
    let dequeued = log.iter().filter(|o| matches!(o, Operation::Dequeued { number: 0, .. })).count();
    assert_eq!((added, removed, dequeued), (1, 1, 1));
}

#[test]
fn a_will_is_published_after_its_delay_unless_the_session_goes_on() {
    let mut s = Story::new();
    let (a, b) = (s.hub.attach(s.now, &BY_ID).unwrap(), s.session());
    s.subscribe(b, 1, "will");
    let will = |secs| Some(Will { message: once("will", "gone"), delay: Duration::from_secs(secs) });
    // At once.
    s.hub.set_will(s.now, a, will(0)).unwrap();
    s.hub.detach(s.now, a).unwrap();
    assert_eq!(s.take(b), ["1! will=gone"]);
    // Later, and not if it goes on before.
    s.hub.reattach(s.now, a, 3, None).unwrap();
    s.hub.set_will(s.now, a, will(5)).unwrap();
    s.hub.detach(s.now, a).unwrap();
    s.pass(4_999);
    s.hub.reattach(s.now, a, 3, None).unwrap();
    s.pass(10_000);
    assert!(s.take(b).is_empty());
    s.hub.set_will(s.now, a, will(5)).unwrap();
    s.hub.detach(s.now, a).unwrap();
    s.pass(5_000);
    assert_eq!(s.take(b), ["1! will=gone"]);
    // With the session's end, where that comes first; never after it was taken back.
    s.hub.reattach(s.now, a, 3, None).unwrap();
    s.hub.set_will(s.now, a, will(3600)).unwrap();
    s.hub.detach(s.now, a).unwrap();
    s.pass(60_000);
    assert_eq!(s.take(b), ["1! will=gone"]);
    let c = s.hub.attach(s.now, &BY_ID).unwrap();
    s.hub.set_will(s.now, c, will(0)).unwrap();
    s.hub.set_will(s.now, c, None).unwrap();
    s.hub.remove(s.now, c).unwrap();
    assert!(s.take(b).is_empty());
    assert_eq!(s.hub.counters().wills, 3);
}

#[test]
fn a_will_outlives_the_server() {
    let mut s = Story::with(durable());
    let a = s.hub.attach(s.now, &BY_ID).unwrap();
    let will = Will { message: once("will", "gone"), delay: Duration::from_secs(5) };
    s.hub.set_will(s.now, a, Some(will)).unwrap();
    let log = operations(&mut s.hub);
    let mut hub = restart(s.now, &log, &BY_ID);
    let b = hub.attach(s.now, &BY_ID).unwrap();
    hub.subscribe_filter(s.now, b, "will", 0, SubscribeOptions::default()).unwrap();
    let later = s.now + Duration::from_secs(5);
    hub.handle_timeout(later);
    assert_eq!(take(&mut hub, later, b), ["gone q0 0"]);
}
