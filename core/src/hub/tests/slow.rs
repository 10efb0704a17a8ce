//! Consumers that take less than they get.

use super::*;

fn bounded(s: &mut Story, policy: Policy) -> SessionKey {
    let key = s.session_with(SessionOptions { max_messages: 4, policy, ..SessionOptions::default() });
    s.subscribe(key, 1, "t");
    key
}

fn publish_six(s: &mut Story, policy: Policy) -> (SessionKey, SessionKey) {
    let (slow, quick) = (bounded(s, policy), s.session());
    s.subscribe(quick, 1, "t");
    for i in 0..6 {
        s.publish_surely(quick, "t", &i.to_string());
    }
    assert_eq!(s.take(quick).len(), 6, "one stalled subscriber delays nobody");
    (slow, quick)
}

#[test]
fn drop_oldest() {
    let mut s = Story::new();
    let (slow, _) = publish_six(&mut s, Policy::DropOldest);
    assert_eq!(s.take(slow), ["1! t=2", "1! t=3", "1! t=4", "1! t=5"]);
    assert_eq!(s.hub.counters().dropped, Drops { oldest: 2, ..Drops::default() });
}

#[test]
fn what_is_not_acknowledged_counts_too() {
    let mut s = Story::new();
    let slow = bounded(&mut s, Policy::DropOldest);
    for i in 0..4 {
        s.publish_surely(slow, "t", &i.to_string());
    }
    assert_eq!(s.take(slow).len(), 4);
    assert_eq!(s.publish_surely(slow, "t", "4").queued, 0, "nothing is left to drop but the new one");
    s.hub.ack(s.now, slow, 1).unwrap();
    assert_eq!(s.publish_surely(slow, "t", "5").queued, 1);
}

#[test]
fn drop_newest() {
    let mut s = Story::new();
    let (slow, _) = publish_six(&mut s, Policy::DropNewest);
    assert_eq!(s.take(slow), ["1! t=0", "1! t=1", "1! t=2", "1! t=3"]);
    assert_eq!(s.hub.counters().dropped, Drops { newest: 2, ..Drops::default() });
}

#[test]
fn disconnect_says_so_once() {
    let mut s = Story::new();
    let (slow, _) = publish_six(&mut s, Policy::Disconnect);
    assert_eq!(s.notices(), [Notice::Disconnect(slow, DisconnectReason::SlowConsumer)]);
    s.hub.detach(s.now, slow).unwrap();
    s.hub.reattach(s.now, slow, 9, None).unwrap();
    assert_eq!(s.take(slow).len(), 4);
    assert_eq!(s.notices(), []);
}

#[test]
fn slow_publisher_is_held_and_let_go() {
    let mut s = Story::new();
    let (slow, quick) = publish_six(&mut s, Policy::SlowPublisher);
    assert_eq!(s.notices(), [Notice::Hold(quick)]);
    // The publisher's window may overshoot the bounds, but not more than twice.
    for i in 6..9 {
        s.publish_surely(quick, "t", &i.to_string());
    }
    assert_eq!(s.hub.counters().dropped, Drops { newest: 1, ..Drops::default() });
    assert_eq!(s.notices(), [Notice::Overflow(slow, None)]);
    assert_eq!(s.take(slow).len(), 8, "6 and 7 overshot");
    s.hub.ack(s.now, slow, 5).unwrap();
    assert_eq!(s.notices(), [], "three of four are not below half");
    s.hub.ack(s.now, slow, 6).unwrap();
    assert_eq!(s.notices(), [Notice::Release(quick)]);
    // A session that is detached holds nobody.
    for _ in 0..4 {
        s.publish_surely(quick, "t", "");
    }
    assert_eq!(s.notices(), [Notice::Hold(quick)]);
    s.hub.detach(s.now, slow).unwrap();
    assert_eq!(s.notices(), [Notice::Release(quick)]);
    s.hub.check_invariants().unwrap();
}

#[test]
fn bounds_in_octets() {
    let mut s = Story::new();
    let options = SessionOptions { max_bytes: 10, policy: Policy::DropNewest, ..SessionOptions::default() };
    let a = s.session_with(options);
    s.subscribe(a, 1, "t");
    // Each message has 2 octets of topic.
    assert_eq!(s.publish(a, "t", "a message above all bounds, alone").queued, 1);
    assert_eq!(s.publish(a, "t", "").queued, 0);
    s.take(a);
    assert_eq!(s.publish(a, "t", "1234").queued, 1);
    assert_eq!(s.publish(a, "t", "12").queued, 1);
    assert_eq!(s.publish(a, "t", "").queued, 0);
    assert_eq!(s.hub.counters().queued_bytes, 10);
}

#[test]
fn a_subscription_without_credit_blocks_only_itself() {
    let mut s = Story::new();
    let a = s.session();
    let credit = |n| SubscribeOptions { credit: Some(n), ..RELIABLE };
    s.subscribe_with(a, 1, "slow", credit(5));
    s.subscribe_with(a, 2, "quick", credit(1000));
    s.subscribe(a, 3, "free");
    for i in 0..3 {
        for topic in ["slow", "quick", "free"] {
            s.publish(a, topic, &i.to_string());
        }
    }
    // Each delivery on `slow` is 1 + 1 + 4 + 1 octets: the first overshoots.
    assert_eq!(
        s.take(a),
        ["3 free=0", "1 slow=0", "3 free=1", "2 quick=0", "3 free=2", "2 quick=1", "2 quick=2"]
    );
    s.hub.credit(s.now, a, 1, 7).unwrap();
    s.hub.credit(s.now, a, 99, 7).unwrap();
    assert_eq!(s.ready(), [], "7 of 7 are used");
    s.hub.credit(s.now, a, 1, 8).unwrap();
    assert_eq!(s.ready(), [a]);
    assert_eq!(s.take(a), ["1 slow=1"]);
    s.hub.credit(s.now, a, 1, 6).unwrap();
    assert!(s.take(a).is_empty(), "credit does not shrink");
    s.hub.reattach(s.now, a, 9, None).unwrap();
    assert!(s.take(a).is_empty(), "what was at most once is gone");
}

#[test]
fn credit_starts_anew_with_a_connection() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe_with(a, 1, "t", SubscribeOptions { credit: Some(1), ..RELIABLE });
    for i in 0..3 {
        s.publish_surely(a, "t", &i.to_string());
    }
    assert_eq!(s.take(a), ["1! t=0"]);
    s.hub.credit(s.now, a, 1, 5).unwrap();
    assert_eq!(s.take(a), ["1! t=1"]);
    s.hub.reattach(s.now, a, 9, Some(0)).unwrap();
    // What comes again uses credit too, and nothing overtakes it.
    s.subscribe(a, 2, "other");
    s.publish(a, "other", "");
    assert_eq!(s.take(a), ["1! t=0"]);
    s.hub.credit(s.now, a, 1, 100).unwrap();
    assert_eq!(s.ready(), [a]);
    assert_eq!(s.take(a), ["1! t=1", "2 other=", "1! t=2"]);
}

#[test]
fn a_stalled_subscription_is_the_first_to_lose() {
    for (policy, left) in [(Policy::DropOldest, "1 s=3"), (Policy::DropNewest, "1 s=1")] {
        let mut s = Story::new();
        let a = s.session_with(SessionOptions { max_messages: 4, policy, ..SessionOptions::default() });
        s.subscribe_with(a, 1, "s", SubscribeOptions { credit: Some(1), ..RELIABLE });
        s.subscribe(a, 2, "t");
        s.publish(a, "s", "0");
        s.take(a);
        for i in 1..4 {
            s.publish(a, "s", &i.to_string());
        }
        for i in 0..3 {
            s.publish(a, "t", &i.to_string());
        }
        s.hub.credit(s.now, a, 1, 100).unwrap();
        assert_eq!(s.take(a), ["2 t=0", left, "2 t=1", "2 t=2"]);
    }
}

#[test]
fn lanes_wait_for_acknowledgements_by_turns() {
    let mut s = Story::new();
    let a = s.session_with(SessionOptions { in_flight: 1, ..SessionOptions::default() });
    let options = SubscribeOptions { credit: Some(1000), ..RELIABLE };
    s.subscribe_with(a, 1, "s", options);
    s.subscribe_with(a, 2, "t", options);
    for topic in ["s", "t", "s", "t"] {
        s.publish_surely(a, topic, "");
    }
    s.publish(a, "t", "maybe");
    let mut got = Vec::new();
    for count in 1..=4 {
        got.extend(s.take(a));
        s.hub.ack(s.now, a, count).unwrap();
    }
    got.extend(s.take(a));
    assert_eq!(got, ["1! s=", "2! t=", "1! s=", "2! t=", "2 t=maybe"]);
}

#[test]
fn what_comes_again_leaves_no_credit_to_what_waits() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe_with(a, 1, "t", SubscribeOptions { credit: Some(1), ..RELIABLE });
    s.publish_surely(a, "t", "0");
    s.publish_surely(a, "t", "1");
    assert_eq!(s.take(a), ["1! t=0"]);
    s.hub.reattach(s.now, a, 9, Some(0)).unwrap();
    assert_eq!(s.take(a), ["1! t=0"], "and nothing else");
    s.hub.credit(s.now, a, 1, 100).unwrap();
    assert_eq!(s.take(a), ["1! t=1"]);
}
