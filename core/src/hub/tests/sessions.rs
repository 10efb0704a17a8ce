//! Sessions that outlive their connections.

use super::*;

#[test]
fn a_resumed_session_gets_exactly_the_gap() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    s.subscribe(a, 1, "t");
    for i in 0..4 {
        s.publish_surely(b, "t", &i.to_string());
    }
    assert_eq!(s.take_some(a, 3), ["1! t=0", "1! t=1", "1! t=2"]);
    s.hub.ack(s.now, a, 1).unwrap();
    s.hub.detach(s.now, a).unwrap();
    s.publish_surely(b, "t", "4");
    assert_eq!(s.publish(b, "t", "at most once").queued, 0);
    assert_eq!(s.hub.drain(s.now, a, |_| true), Err(Refusal::Detached));
    assert_eq!(s.ready(), []);

    // The acknowledgement of 2 was lost with the connection.
    s.hub.reattach(s.now, a, 1024, Some(2)).unwrap();
    assert_eq!(s.ready(), [a]);
    assert_eq!(s.take(a), ["1! t=2", "1! t=3", "1! t=4"]);
    assert_eq!(s.hub.reliable(a), Some((2, 5)));
    s.hub.ack(s.now, a, 5).unwrap();
    assert_eq!(s.hub.counters().queued, 0);
}

#[test]
fn acknowledgements_out_of_range_are_refused() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe(a, 1, "t");
    for _ in 0..2 {
        s.publish_surely(a, "t", "");
    }
    s.take(a);
    s.hub.ack(s.now, a, 1).unwrap();
    s.hub.ack(s.now, a, 1).unwrap();
    let bad = |count| Err(Refusal::BadAck { count, acknowledged: 1, sent: 2 });
    assert_eq!(s.hub.ack(s.now, a, 3), bad(3));
    assert_eq!(s.hub.ack(s.now, a, 0), bad(0));
    s.hub.detach(s.now, a).unwrap();
    assert_eq!(s.hub.reattach(s.now, a, 1, Some(3)), bad(3));
    assert_eq!(s.hub.is_attached(a), Some(false), "the session lives on untouched");
}

#[test]
fn the_window_bounds_what_is_in_flight() {
    let mut s = Story::new();
    let a = s.session_with(SessionOptions { in_flight: 2, ..SessionOptions::default() });
    s.subscribe(a, 1, "t");
    for i in 0..5 {
        s.publish_surely(a, "t", &i.to_string());
    }
    assert_eq!(s.ready(), [a]);
    assert_eq!(s.take(a), ["1! t=0", "1! t=1"]);
    s.publish_surely(a, "t", "5");
    assert_eq!(s.ready(), [], "nothing may go out");
    s.hub.ack(s.now, a, 1).unwrap();
    assert_eq!(s.ready(), [a]);
    assert_eq!(s.take(a), ["1! t=2"]);
    // A smaller window at the next connection also bounds what comes again.
    s.hub.reattach(s.now, a, 1, None).unwrap();
    assert_eq!(s.take(a), ["1! t=1"]);
    s.hub.ack(s.now, a, 2).unwrap();
    assert_eq!(s.take(a), ["1! t=2"]);
}

#[test]
fn expiry() {
    let mut s = Story::new();
    let a = s.session();
    let short = s.hub.attach(s.now, &SessionOptions::default()).unwrap();
    s.subscribe(a, 1, "t");
    s.subscribe(short, 1, "t");
    s.hub.detach(s.now, short).unwrap();
    assert_eq!(s.hub.detach(s.now, short), Err(Refusal::NoSession), "it had no expiry");
    s.hub.detach(s.now, a).unwrap();
    let begin = s.now;
    assert_eq!(
        s.hub.poll_timeout(),
        Some(Deadline::new(begin + Duration::from_secs(60), crate::time::Why::Expiry))
    );
    s.pass(59_999);
    s.hub.reattach(s.now, a, 1, None).unwrap();
    assert_eq!(s.hub.poll_timeout(), None);
    s.hub.detach(s.now, a).unwrap();
    s.pass(60_000);
    assert_eq!(s.notices(), [Notice::Expired(a)]);
    assert_eq!(s.hub.is_attached(a), None);
    assert_eq!((s.hub.counters().sessions, s.hub.counters().subscriptions), (0, 0));
    // Its place is used again, under another key.
    let b = s.session();
    assert_ne!(a, b);
    assert_eq!(s.hub.identity(a), None);
    s.hub.check_invariants().unwrap();
}

#[test]
fn time_does_not_go_back() {
    let mut s = Story::new();
    let a = s.session();
    s.hub.detach(s.now, a).unwrap();
    s.pass(60_000);
    let b = s.session();
    s.hub.detach(Instant::ZERO, b).unwrap();
    assert_eq!(s.hub.poll_timeout().unwrap().at, s.now + Duration::from_secs(60));
}

#[test]
fn the_store_learns_of_durable_sessions() {
    let mut s = Story::with(HubOptions { durable: true, ..HubOptions::default() });
    let a = s.session_with(SessionOptions { identity: "me", ..SessionOptions::default() });
    let passing = s.hub.attach(s.now, &SessionOptions::default()).unwrap();
    s.subscribe(a, 1, "$share/g/t");
    s.subscribe(passing, 1, "t");
    s.hub.unsubscribe(s.now, a, 1).unwrap();
    s.hub.remove(s.now, passing).unwrap();
    s.hub.remove(s.now, a).unwrap();
    let operations: Vec<_> = core::iter::from_fn(|| s.hub.poll_operation()).collect();
    let (filter, expiry) = ("$share/g/t".into(), Duration::from_secs(60));
    assert_eq!(
        operations,
        [
            Operation::SessionCreated { session: 1, name: "".into(), identity: "me".into(), expiry },
            Operation::SubscriptionAdded { session: 1, sid: 1, filter, options: RELIABLE },
            Operation::SubscriptionRemoved { session: 1, sid: 1 },
            Operation::SessionRemoved { session: 1 },
        ]
    );
}

#[test]
fn a_session_stays_with_the_store_from_its_beginning_to_its_end() {
    let mut s = Story::with(HubOptions { durable: true, ..HubOptions::default() });
    let passing = s.hub.attach(s.now, &SessionOptions::default()).unwrap();
    let a = s.session();
    let _ = core::iter::from_fn(|| s.hub.poll_operation()).count();
    s.hub.set_expiry(passing, Duration::from_secs(60)).unwrap();
    s.hub.set_expiry(a, Duration::ZERO).unwrap();
    s.hub.remove(s.now, passing).unwrap();
    s.hub.detach(s.now, a).unwrap();
    let operations: Vec<_> = core::iter::from_fn(|| s.hub.poll_operation()).collect();
    let changed = Operation::SessionChanged { session: 1, expiry: Duration::ZERO, ends: None };
    assert_eq!(operations, [changed, Operation::SessionRemoved { session: 1 }]);
}

#[test]
fn one_call_does_a_bounded_part_of_what_is_due() {
    let mut s = Story::new();
    let keys: Vec<_> = (0..TIMERS_PER_CALL + 2).map(|_| s.session()).collect();
    for key in &keys {
        s.hub.detach(s.now, *key).unwrap();
    }
    s.pass(60_000);
    assert_eq!(s.notices().len(), TIMERS_PER_CALL);
    assert_eq!(s.hub.poll_timeout().map(|d| d.at), Some(s.now), "the others stay due");
    s.pass(0);
    assert_eq!((s.notices().len(), s.hub.poll_timeout()), (2, None));
}

#[test]
fn sizes() {
    fn sendable<T: Send>(_: &T) {}
    sendable(&Story::new().hub);
    assert!(size_of::<Message>() <= 56);
    // There may be a hundred thousand of them; a block of 104 octets fills what the system's allocator
    // leaves between blocks that are aligned to two lines of the cache, as those of runtimes are.
    assert_eq!((size_of::<Session>(), size_of::<crate::hub::session::Standing>()), (168, 104));
    assert_eq!((size_of::<SessionKey>(), size_of::<Entry>()), (8, 24));
}
