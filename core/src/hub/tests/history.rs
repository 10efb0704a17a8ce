//! Histories in the hub: what is published is kept, read by who may, and there after a restart.

use std::boxed::Box;
use std::vec;

use super::*;
use crate::access::{Access, Action, Decision, Who};

/// An hour before the first message.
const CALENDAR: u64 = 1_700_000_000_000;

fn options() -> HubOptions {
    let chat = HistoryOptions { max_age: Duration::from_secs(60), ..HistoryOptions::new("chat/+") };
    let last = HistoryOptions { max_messages: 2, ..HistoryOptions::new("last") };
    HubOptions { history: vec![chat, last], durable: true, ..HubOptions::default() }
}

fn story() -> Story {
    let mut s = Story::with(options());
    s.hub.set_calendar(s.now, CALENDAR);
    s
}

fn read(hub: &Hub, key: SessionKey, topic: &str, query: &HistoryQuery) -> String {
    let page = hub.history(key, topic, query).unwrap();
    let line = |r: HistoryRecord<'_>| {
        format!("{}@{} {}", r.offset, r.at - CALENDAR, String::from_utf8_lossy(r.message.payload()))
    };
    page.map(line).collect::<Vec<_>>().join(", ")
}

const ALL: HistoryQuery = HistoryQuery { from: None, before: None, limit: None, newest: false };

#[test]
fn what_is_published_can_be_read_again() {
    let mut s = story();
    let a = s.session();
    for payload in ["1", "2", "3"] {
        s.publish(a, "chat/x", payload);
        s.publish_surely(a, "last", payload);
        s.publish(a, "other", payload);
        s.pass(1000);
    }
    s.hub.publish_own(s.now, Message::new("chat/x", b"own").unwrap()).unwrap();
    assert_eq!(read(&s.hub, a, "chat/x", &ALL), "1@0 1, 2@1000 2, 3@2000 3, 4@3000 own");
    assert_eq!(read(&s.hub, a, "last", &HistoryQuery::last(1)), "3@2000 3");
    let since = HistoryQuery::from(HistoryMark::Time(CALENDAR + 1500));
    assert_eq!(read(&s.hub, a, "chat/x", &since), "3@2000 3, 4@3000 own");
    let counters = s.hub.counters();
    assert_eq!((counters.history, counters.messages), (6, 6));
    assert_eq!(counters.history_bytes, counters.message_bytes);
    s.hub.check_invariants().unwrap();
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    struct NoChat;
    impl Access for NoChat {
        fn decide(&self, _: &Who<'_>, action: Action, subject: &str) -> Decision {
            (action != Action::Subscribe || !subject.starts_with("chat/")).into()
        }
    }
    let mut s = story();
    let a = s.session();
    s.publish(a, "chat/x", "1");
    let refusal = |hub: &Hub, key, topic| hub.history(key, topic, &ALL).err();
    assert_eq!(refusal(&s.hub, a, "other"), Some(Refusal::NotFound));
    assert_eq!(refusal(&s.hub, a, "chat/new"), Some(Refusal::NotFound));
    assert!(matches!(refusal(&s.hub, a, "chat/+"), Some(Refusal::Topic(_))));
    s.hub.set_access(Box::new(NoChat));
    assert_eq!(refusal(&s.hub, a, "chat/x"), Some(Refusal::NotAuthorized));
    s.hub.remove(s.now, a).unwrap();
    assert_eq!(refusal(&s.hub, a, "last"), Some(Refusal::NoSession));
}

/// A deadline of the hub takes away what is too old, whatever the calendar did meanwhile.
#[test]
fn what_is_too_old_goes_by_a_deadline() {
    let mut s = story();
    let a = s.session();
    s.publish(a, "chat/x", "1");
    s.pass(30_000);
    s.publish(a, "chat/x", "2");
    let due = s.hub.poll_timeout().unwrap();
    assert_eq!((due.at, due.why), (s.now + Duration::from_secs(30), Why::Expiry));
    s.pass(29_999);
    assert_eq!(s.hub.counters().history, 2);
    s.pass(1);
    assert_eq!(read(&s.hub, a, "chat/x", &ALL), "2@30000 2");
    // A clock that was wrong by an hour.
    s.hub.set_calendar(s.now, CALENDAR - 3_600_000);
    s.publish(a, "chat/x", "3");
    assert_eq!(read(&s.hub, a, "chat/x", &ALL), "2@30000 2, 3@30000 3", "time does not go back");
    s.hub.set_calendar(s.now, CALENDAR + 3_600_000);
    assert!(s.hub.poll_timeout().unwrap().at <= s.now);
    s.pass(0);
    assert_eq!((s.hub.counters().history, s.hub.counters().messages), (0, 0));
    assert_eq!(s.hub.history(a, "chat/x", &ALL).unwrap().kept(), 4..4);
}

#[test]
fn histories_outlive_a_restart() {
    let mut s = story();
    let a = s.session();
    for payload in ["1", "2", "3"] {
        let outcome = s.publish(a, "last", payload);
        assert_eq!(outcome.commit, Some(s.hub.issued()), "the publisher waits for the store");
        s.publish(a, "chat/x", payload);
        s.pass(50_000);
    }
    let mut hub = Hub::new(options(), 9);
    hub.set_calendar(s.now, CALENDAR + 150_000);
    while let Some(operation) = s.hub.poll_operation() {
        hub.restore(s.now, operation, &SessionOptions::default()).unwrap();
    }
    hub.restored(s.now);
    hub.check_invariants().unwrap();
    let b = hub.attach(s.now, &SessionOptions::default()).unwrap();
    assert_eq!(read(&hub, b, "last", &ALL), "2@50000 2, 3@100000 3");
    assert_eq!(read(&hub, b, "chat/x", &ALL), "3@100000 3");
    hub.publish(s.now, b, Message::new("chat/x", b"4").unwrap(), None).unwrap();
    assert_eq!(read(&hub, b, "chat/x", &ALL), "3@100000 3, 4@150000 4");
    assert_eq!(hub.counters().messages, 4);
}

/// Without its store a hub takes nothing for histories, and all else.
#[test]
fn without_a_store_nothing_is_recorded() {
    let mut s = story();
    let a = s.session();
    s.hub.set_store_available(false);
    let message = |topic| Message::new(topic, b"x").unwrap();
    assert_eq!(s.hub.publish(s.now, a, message("chat/x"), None), Err(Refusal::Store));
    assert!(s.hub.publish(s.now, a, message("other"), None).is_ok());
    s.hub.set_store_available(true);
    assert!(s.hub.publish(s.now, a, message("chat/x"), None).is_ok());
}

/// A message that is retained, queued and in a history is there once, and told to the store once.
#[test]
fn a_message_is_kept_once() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    s.subscribe(b, 1, "last");
    while s.hub.poll_operation().is_some() {}
    let message = Message::new("last", b"x").unwrap().with_reliable(true).with_retain(true);
    s.hub.publish(s.now, a, message, None).unwrap();
    assert_eq!(s.hub.counters().messages, 1);
    let told: Vec<_> = core::iter::from_fn(|| s.hub.poll_operation()).collect();
    let added = told.iter().filter(|o| matches!(o, Operation::MessageAdded { .. })).count();
    assert_eq!((added, told.len()), (1, 5), "{told:?}");
    s.hub.check_invariants().unwrap();
}
