//! Queues: one consumer at a time, until it is done.

use core::time::Duration;
use std::string::String;
use std::vec::Vec;

use super::super::*;
use super::{RELIABLE, Story};
use crate::access::{Decision, Who};

const JOBS: &str = "$queue/jobs";

fn by_id() -> SessionOptions<'static> {
    SessionOptions { by_id: true, in_flight: 2, ..SessionOptions::default() }
}

fn consumer(s: &mut Story) -> SessionKey {
    let key = s.session_with(by_id());
    assert!(!s.hub.subscribe_filter(s.now, key, JOBS, 0, RELIABLE).unwrap());
    key
}

/// Payloads and ids of what is handed out.
fn take(s: &mut Story, key: SessionKey) -> Vec<(String, u16)> {
    let mut out = Vec::new();
    s.hub
        .drain(s.now, key, |d| {
            if let Delivery::Message { message, id, quality, .. } = d {
                assert!(*quality < Quality::ExactlyOnce);
                out.push((String::from_utf8(message.payload().to_vec()).unwrap(), *id));
            }
            true
        })
        .unwrap();
    s.hub.check_invariants().unwrap();
    out
}

fn payloads(s: &mut Story, key: SessionKey) -> Vec<String> {
    take(s, key).into_iter().map(|(payload, _)| payload).collect()
}

#[test]
fn tasks_wait_for_consumers_and_each_goes_to_one() {
    let mut s = Story::new();
    let a = s.session();
    for payload in ["1", "2", "3", "4", "5"] {
        assert_eq!(s.publish(a, JOBS, payload).queued, 1);
    }
    assert_eq!(s.hub.queue_len("jobs"), Some((5, 0)));
    let (b, c) = (consumer(&mut s), consumer(&mut s));
    assert_eq!(payloads(&mut s, b), ["1", "2"], "no more than it may have in flight");
    assert_eq!(payloads(&mut s, c), ["3", "4"]);
    assert_eq!(s.hub.queue_len("jobs"), Some((1, 4)));
    assert!(s.hub.settle(s.now, c, 1).unwrap());
    assert_eq!(payloads(&mut s, c), ["5"]);
    for (key, id) in [(b, 1), (b, 2), (c, 2), (c, 3)] {
        assert!(s.hub.settle(s.now, key, id).unwrap());
    }
    assert_eq!((s.hub.queue_len("jobs"), s.hub.counters().tasks), (None, 0), "nothing is left of it");
    s.hub.check_invariants().unwrap();
}

#[test]
fn what_a_consumer_leaves_goes_to_another() {
    let mut s = Story::new();
    let a = s.session();
    let (b, c) = (consumer(&mut s), consumer(&mut s));
    for payload in ["1", "2", "3"] {
        s.publish(a, JOBS, payload);
    }
    assert_eq!(payloads(&mut s, b), ["1", "3"]);
    s.hub.detach(s.now, b).unwrap();
    assert_eq!(payloads(&mut s, c), ["2", "1"]);
    s.hub.unsubscribe_filter(s.now, c, JOBS).unwrap();
    s.hub.remove(s.now, c).unwrap();
    assert_eq!(s.hub.queue_len("jobs"), Some((3, 0)));
    // The first comes back, and gets them in their order.
    s.hub.reattach(s.now, b, 2, None).unwrap();
    assert_eq!(payloads(&mut s, b), ["1", "2"]);
}

#[test]
fn a_task_that_nobody_manages_goes_to_the_dead_letters() {
    let options = HubOptions {
        queue: QueueOptions { max_attempts: 3, ..QueueOptions::default() },
        ..HubOptions::default()
    };
    let mut s = Story::with(options);
    let a = s.session();
    let b = consumer(&mut s);
    s.publish(a, JOBS, "bad");
    for _ in 0..3 {
        let got = take(&mut s, b);
        assert_eq!(got.len(), 1);
        assert!(s.hub.reject(s.now, b, got[0].1).unwrap());
    }
    assert!(take(&mut s, b).is_empty());
    assert_eq!((s.hub.queue_len("jobs"), s.hub.queue_len("jobs/dead")), (None, Some((1, 0))));
    assert_eq!(s.hub.counters().dead_letters, 1);
    // Who can never take it is no other than who fails.
    s.publish(a, JOBS, "too large");
    while s.hub.poll_ready().is_some() {
        s.hub.drain(s.now, b, |_| Take::Never).unwrap();
    }
    assert_eq!(s.hub.queue_len("jobs/dead"), Some((2, 0)));
    s.hub.subscribe_filter(s.now, b, "$queue/jobs/dead", 0, RELIABLE).unwrap();
    for _ in 0..10 {
        let got = take(&mut s, b);
        assert_eq!(got.len(), 2, "nothing is given up there");
        got.iter().for_each(|(_, id)| assert!(s.hub.reject(s.now, b, *id).unwrap()));
    }
}

#[test]
fn room_is_used_for_whatever_queue_has_something() {
    let mut s = Story::new();
    let a = s.session();
    let b = consumer(&mut s);
    s.hub.subscribe_filter(s.now, b, "$queue/other", 0, RELIABLE).unwrap();
    for (queue, payload) in [(JOBS, "1"), (JOBS, "2"), ("$queue/other", "3")] {
        s.publish(a, queue, payload);
    }
    assert_eq!(payloads(&mut s, b), ["1", "2"]);
    s.hub.settle(s.now, b, 1).unwrap();
    assert_eq!(payloads(&mut s, b), ["3"]);
}

#[test]
fn consumers_by_count_and_at_most_once() {
    let mut s = Story::new();
    let a = s.session();
    let b = s.session_with(SessionOptions { in_flight: 2, ..SessionOptions::default() });
    s.subscribe(b, 7, JOBS);
    for payload in ["1", "2", "3"] {
        s.publish(a, JOBS, payload);
    }
    assert_eq!(s.take(b), ["7! $queue/jobs=1", "7! $queue/jobs=2"]);
    s.hub.ack(s.now, b, 1).unwrap();
    assert_eq!(s.take(b), ["7! $queue/jobs=3"]);
    // What is numbered stays with a session that may come back, until it ends.
    s.hub.detach(s.now, b).unwrap();
    assert_eq!(s.hub.queue_len("jobs"), Some((0, 2)));
    s.pass(60_000);
    assert_eq!(s.hub.queue_len("jobs"), Some((2, 0)));
    let c = s.session();
    s.subscribe_with(c, 1, JOBS, SubscribeOptions::default());
    assert_eq!(s.take(c), ["1 $queue/jobs=2", "1 $queue/jobs=3"]);
    assert_eq!(s.hub.counters().tasks, 0);
}

#[test]
fn declared_queues_have_limits_and_stay() {
    let mut s = Story::new();
    let a = s.session();
    let options = QueueOptions { max_tasks: 1, max_bytes: 100, max_attempts: 1 };
    s.hub.declare_queue(s.now, a, "jobs", options).unwrap();
    s.publish(a, JOBS, "1");
    let more = Message::new(JOBS, b"2").unwrap();
    assert_eq!(s.hub.publish(s.now, a, more, None), Err(Refusal::Quota("tasks of the queue")));
    assert_eq!(s.hub.delete_queue(s.now, a, "jobs"), Ok(Some(1)));
    assert_eq!(s.hub.delete_queue(s.now, a, "jobs"), Ok(None));
    s.hub.declare_queue(s.now, a, "jobs", options).unwrap();
    let big = Message::new(JOBS, &[0; 200]).unwrap();
    assert_eq!(s.hub.publish(s.now, a, big, None), Err(Refusal::Quota("tasks of the queue")));
    let b = consumer(&mut s);
    s.publish(a, JOBS, "3");
    assert_eq!(payloads(&mut s, b), ["3"]);
    // It ends while a consumer has something of it: that is dropped when it comes back.
    s.hub.delete_queue(s.now, a, "jobs").unwrap();
    s.hub.remove(s.now, b).unwrap();
    assert_eq!((s.hub.queue_len("jobs"), s.hub.counters().tasks), (None, 0));
    s.hub.check_invariants().unwrap();
    for filter in ["$queue/+", "$queue/#", "$share/g/$queue/jobs"] {
        assert!(matches!(s.hub.subscribe_filter(s.now, a, filter, 0, RELIABLE), Err(Refusal::Invalid(_))));
    }
}

#[test]
fn expired_tasks_are_not_given_out() {
    let mut s = Story::new();
    let a = s.session();
    let soon = s.now + Duration::from_secs(1);
    s.hub.publish(s.now, a, Message::new(JOBS, b"old").unwrap().with_expiry(soon), None).unwrap();
    s.publish(a, JOBS, "new");
    s.pass(1000);
    let b = consumer(&mut s);
    assert_eq!(payloads(&mut s, b), ["new"]);
    assert_eq!(s.hub.counters().dropped.expired, 1);
}

#[test]
fn the_rules_are_asked_by_name() {
    struct OnlyMine;
    impl crate::access::Access for OnlyMine {
        fn decide(&self, _: &Who<'_>, action: Action, subject: &str) -> Decision {
            Decision { allowed: action == Action::Queue && subject == "mine", rule: None }
        }
    }
    let mut s = Story::new();
    let a = s.session();
    s.hub.set_access(std::boxed::Box::new(OnlyMine));
    s.publish(a, "$queue/mine", "x");
    let other = Message::new("$queue/other", b"x").unwrap();
    assert_eq!(s.hub.publish(s.now, a, other, None), Err(Refusal::NotAuthorized));
    let options = QueueOptions::default();
    assert_eq!(s.hub.declare_queue(s.now, a, "other", options), Err(Refusal::NotAuthorized));
}

#[test]
fn a_restart_has_all_tasks_wait_again() {
    let durable = || HubOptions { durable: true, ..HubOptions::default() };
    let mut s = Story::with(durable());
    let a = s.session();
    s.hub.declare_queue(s.now, a, "empty", QueueOptions::default()).unwrap();
    let b = consumer(&mut s);
    for payload in ["1", "2", "3"] {
        let message = Message::new(JOBS, payload.as_bytes()).unwrap();
        assert_eq!(s.hub.publish(s.now, a, message, None).unwrap().commit, Some(s.hub.issued()));
    }
    take(&mut s, b);
    s.hub.settle(s.now, b, 1).unwrap();
    let mut tasks = std::collections::BTreeMap::new();
    let mut kept = Vec::new();
    while let Some(operation) = s.hub.poll_operation() {
        match operation {
            Operation::TaskAdded { task, .. } => _ = tasks.insert(task, operation),
            Operation::TaskRemoved { task, .. } => _ = tasks.remove(&task),
            Operation::MessageAdded { .. } | Operation::QueueAdded { .. } => kept.push(operation),
            Operation::Queued { .. } => panic!("a task is not a session's in the store"),
            _ => {}
        }
    }
    let mut hub = Hub::new(durable(), 5);
    for operation in kept.into_iter().chain(tasks.into_values()) {
        hub.restore(s.now, operation, &SessionOptions::default()).unwrap();
    }
    hub.restored(s.now);
    hub.check_invariants().unwrap();
    s.hub = hub;
    assert_eq!((s.hub.queue_len("jobs"), s.hub.queue_len("empty")), (Some((2, 0)), Some((0, 0))));
    let b = consumer(&mut s);
    assert_eq!(payloads(&mut s, b), ["2", "3"]);
}

#[test]
fn a_restart_keeps_who_consumes_a_queue() {
    let durable = || HubOptions { durable: true, ..HubOptions::default() };
    let mut s = Story::with(durable());
    let kept = SessionOptions { name: "mqtt:b", expiry: Duration::from_secs(60), ..by_id() };
    let b = s.session_with(kept);
    s.hub.subscribe_filter(s.now, b, JOBS, 0, RELIABLE).unwrap();
    let mut hub = Hub::new(durable(), 2);
    while let Some(operation) = s.hub.poll_operation() {
        hub.restore(s.now, operation, &kept).unwrap();
    }
    hub.restored(s.now);
    s.hub = hub;
    let b = s.hub.stored_sessions().next().unwrap().0;
    s.hub.reattach(s.now, b, 2, None).unwrap();
    let (a, c) = (s.session(), consumer(&mut s));
    for payload in ["1", "2"] {
        s.publish(a, JOBS, payload);
    }
    let mut got = [payloads(&mut s, b), payloads(&mut s, c)];
    got.sort();
    assert_eq!(got, [["1"], ["2"]], "each goes to one of both");
}
