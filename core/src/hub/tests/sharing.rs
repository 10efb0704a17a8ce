//! Shared subscriptions.

use super::*;

#[test]
fn each_message_goes_to_one_member_by_turns() {
    let mut s = Story::new();
    let (a, b, c) = (s.session(), s.session(), s.session());
    s.subscribe(a, 1, "$share/g/t/#");
    s.subscribe(b, 2, "$share/g/t/#");
    s.subscribe(c, 3, "$share/other/t/#");
    for i in 0..4 {
        assert_eq!(s.publish(c, "t/x", &i.to_string()).matched, 2);
    }
    assert_eq!(s.take(a), ["1 t/x=0", "1 t/x=2"]);
    assert_eq!(s.take(b), ["2 t/x=1", "2 t/x=3"]);
    assert_eq!(s.take(c).len(), 4);
}

#[test]
fn attached_members_with_room_are_preferred() {
    let mut s = Story::new();
    let a = s.session_with(SessionOptions { max_messages: 1, ..SessionOptions::default() });
    let (b, c) = (s.session(), s.session());
    for key in [a, b, c] {
        s.subscribe(key, 1, "$share/g/t");
    }
    s.hub.detach(s.now, c).unwrap();
    for i in 0..4 {
        s.publish_surely(b, "t", &i.to_string());
    }
    assert_eq!(s.take(a), ["1! t=0"]);
    assert_eq!(s.take(b), ["1! t=1", "1! t=2", "1! t=3"]);
    // Nobody is attached: it waits for one.
    s.hub.detach(s.now, a).unwrap();
    s.hub.detach(s.now, b).unwrap();
    let d = s.session();
    assert_eq!(s.publish_surely(d, "t", "later").queued, 1);
}

#[test]
fn what_a_leaving_member_did_not_get_goes_to_others() {
    let mut s = Story::new();
    let (a, b, c) = (s.session(), s.session(), s.session());
    s.subscribe(a, 1, "$share/g/t");
    s.subscribe(b, 2, "$share/g/t");
    for i in 0..4 {
        s.publish_surely(c, "t", &i.to_string());
    }
    assert_eq!(s.take_some(a, 1), ["1! t=0"]);
    s.hub.detach(s.now, a).unwrap();
    assert_eq!(s.take(b), ["2! t=1", "2! t=3", "2! t=2"]);
    // What was handed out and not acknowledged waits for its session, until that ends.
    s.hub.remove(s.now, a).unwrap();
    assert_eq!(s.take(b), ["2! t=0"]);
    s.publish_surely(c, "t", "last");
    s.hub.unsubscribe(s.now, b, 2).unwrap();
    assert_eq!(s.publish_surely(c, "t", "nobody").matched, 0);
    assert_eq!(s.hub.counters().dropped, Drops { unsubscribed: 1, ..Drops::default() });
    s.hub.check_invariants().unwrap();
}

#[test]
fn a_group_of_many_keeps_its_lists() {
    let mut s = Story::new();
    let keys: Vec<_> = (0..10).map(|_| s.session()).collect();
    for (i, key) in keys.iter().enumerate() {
        s.subscribe(*key, 1, "$share/g/t");
        s.subscribe(*key, 2, if i % 2 == 0 { "$share/h/t" } else { "t" });
    }
    for i in [3, 0, 7, 9, 4] {
        s.hub.detach(s.now, keys[i]).unwrap();
        s.hub.check_invariants().unwrap();
    }
    s.hub.reattach(s.now, keys[7], 1, None).unwrap();
    s.hub.unsubscribe(s.now, keys[8], 1).unwrap();
    s.hub.check_invariants().unwrap();
    for key in keys {
        s.hub.remove(s.now, key).unwrap();
        s.hub.check_invariants().unwrap();
    }
    assert_eq!(s.hub.counters().subscriptions, 0);
}

#[test]
fn what_an_ended_group_left_goes_to_no_other() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    s.subscribe(a, 1, "$share/g/t");
    s.publish_surely(b, "t", "x");
    assert_eq!(s.take(a), ["1! t=x"]);
    s.hub.unsubscribe(s.now, a, 1).unwrap();
    s.subscribe(b, 1, "$share/other/u");
    s.hub.remove(s.now, a).unwrap();
    assert!(s.take(b).is_empty(), "it has subscribed to something else");
    assert_eq!(s.hub.counters().dropped, Drops { ended: 1, ..Drops::default() });
}

#[test]
fn a_leaving_member_keeps_what_others_have_no_room_for() {
    let mut s = Story::new();
    let bounded = SessionOptions { max_messages: 2, ..SessionOptions::default() };
    let (a, b) = (s.session(), s.session_with(bounded));
    s.subscribe(a, 1, "$share/g/t");
    for i in 0..4 {
        s.publish_surely(a, "t", &i.to_string());
    }
    s.subscribe(b, 2, "$share/g/t");
    s.hub.detach(s.now, a).unwrap();
    assert_eq!(s.take(b), ["2! t=0", "2! t=1"]);
    s.hub.reattach(s.now, a, 9, None).unwrap();
    assert_eq!(s.take(a), ["1! t=2", "1! t=3"]);
    assert_eq!(s.hub.counters().dropped.total(), 0);
}
