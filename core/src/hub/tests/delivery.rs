//! Who gets what.

use super::*;
use crate::access::{Access, Action, Decision, Security, Who};

#[test]
fn matching_subscriptions_each_get_it() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    s.subscribe(a, 1, "home/+");
    s.subscribe(b, 1, "home/door");
    s.subscribe(b, 2, "#");
    assert_eq!(
        s.publish(a, "home/door", "open"),
        PublishOutcome { matched: 3, queued: 3, ..PublishOutcome::default() }
    );
    assert_eq!(s.ready(), [b, a]);
    assert_eq!(s.ready(), []);
    assert_eq!(s.take(a), ["1 home/door=open"]);
    assert_eq!(s.take(b), ["1 home/door=open", "2 home/door=open"]);
    s.publish(a, "$x", "hidden");
    s.publish(a, "other", "x");
    assert_eq!(s.take(b), ["2 other=x"]);
}

#[test]
fn the_lower_quality_counts() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe(a, 1, "t");
    s.subscribe_with(a, 2, "t", SubscribeOptions::default());
    s.publish_surely(a, "t", "sure");
    s.publish(a, "t", "maybe");
    assert_eq!(s.take(a), ["1! t=sure", "2 t=sure", "1 t=maybe", "2 t=maybe"]);
    assert_eq!(s.hub.reliable(a), Some((0, 1)));
}

#[test]
fn no_local_leaves_out_ones_own() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    s.subscribe_with(a, 1, "t", SubscribeOptions { no_local: true, ..RELIABLE });
    assert_eq!(s.publish(a, "t", "own").matched, 0);
    s.publish(b, "t", "other");
    assert_eq!(s.take(a), ["1 t=other"]);
}

#[test]
fn what_the_buffer_does_not_take_stays_first() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe(a, 1, "t");
    for i in 0..3 {
        s.publish_surely(a, "t", &i.to_string());
    }
    assert_eq!(s.take_some(a, 1), ["1! t=0"]);
    assert_eq!(s.hub.drain(s.now, a, |_| false).unwrap(), Drained { taken: 0, blocked: true });
    assert_eq!(s.take(a), ["1! t=1", "1! t=2"]);
    assert_eq!(s.ready(), []);
}

#[test]
fn expired_messages_are_not_handed_out() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe(a, 1, "t");
    let expires = s.now + Duration::from_millis(10);
    for at in [expires, expires + Duration::from_millis(1)] {
        let message = Message::new("t", b"x").unwrap().with_expiry(at);
        s.hub.publish(s.now, a, message, None).unwrap();
    }
    s.pass(10);
    assert_eq!(s.take(a), ["1 t=x"]);
    assert_eq!(s.hub.counters().dropped, Drops { expired: 1, ..Drops::default() });
}

#[test]
fn a_known_id_goes_no_further() {
    let mut s = Story::with(HubOptions { dedup_window: 2, ..HubOptions::default() });
    let a = s.session();
    s.subscribe(a, 1, "t");
    let mut publish = |id: &[u8]| {
        let message = Message::new("t", id).unwrap();
        s.hub.publish(s.now, a, message, Some(id)).unwrap().duplicate
    };
    assert_eq!(
        ["1", "2", "1", "3", "2", "1"].map(|id| publish(id.as_bytes())),
        [false, false, true, false, true, false]
    );
    assert_eq!(s.take(a), ["1 t=1", "1 t=2", "1 t=3", "1 t=1"]);
    assert_eq!(s.hub.counters().duplicates, 2);
}

#[test]
fn replacing_and_ending_a_subscription() {
    let mut s = Story::new();
    let a = s.session();
    s.subscribe(a, 1, "t");
    s.publish(a, "t", "waits");
    // The same filter: what waits still comes, also when it moves to a queue of its own and back.
    s.subscribe_with(a, 1, "t", SubscribeOptions { credit: Some(1), ..RELIABLE });
    s.publish(a, "t", "second");
    assert_eq!(s.take(a), ["1 t=waits"]);
    s.subscribe(a, 1, "t");
    assert_eq!(s.take(a), ["1 t=second"]);
    s.publish(a, "t", "lost");
    s.subscribe(a, 1, "u");
    assert_eq!(s.publish(a, "t", "x").matched, 0);
    s.publish(a, "u", "also lost");
    s.hub.unsubscribe(s.now, a, 1).unwrap();
    assert_eq!(s.hub.unsubscribe(s.now, a, 1), Err(Refusal::NotFound));
    assert!(s.take(a).is_empty());
    assert_eq!(s.hub.counters().dropped.unsubscribed, 2);
    assert_eq!(s.hub.counters().subscriptions, 0);
}

#[test]
fn refusals_change_nothing() {
    let options = HubOptions { max_subscriptions_per_session: 2, max_sessions: 2, ..HubOptions::default() };
    let mut s = Story::with(options);
    let (a, b) = (s.session(), s.session());
    let mut subscribe = |sid, filter: &str| s.hub.subscribe(s.now, a, sid, filter, RELIABLE);
    assert_eq!(subscribe(1, "a/#"), Ok(()));
    assert_eq!(subscribe(2, "b"), Ok(()));
    assert_eq!(subscribe(3, "c"), Err(Refusal::Quota("subscriptions of a session")));
    assert_eq!(subscribe(2, "b/#"), Ok(()), "replacing needs no room");
    for (sid, filter) in [(0, "x"), (1 << 63, "x"), (1, "x+"), (1, "")] {
        assert_eq!(subscribe(sid, filter).unwrap_err().status(), Status::Invalid);
    }
    assert_eq!(s.hub.attach(s.now, &SessionOptions::default()), Err(Refusal::Quota("sessions")));
    assert_eq!(s.publish(b, "a/b", "x").matched, 1);
    s.hub.remove(s.now, b).unwrap();
    let message = Message::new("a", b"").unwrap();
    assert_eq!(s.hub.publish(s.now, b, message, None), Err(Refusal::NoSession));
    assert_eq!(s.hub.publish(s.now, a, Message::response("x"), None).unwrap_err().status(), Status::Invalid);
}

#[test]
fn access_rules_are_asked_first() {
    struct Rules;
    impl Access for Rules {
        fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision {
            (who.user == "root" || (action == Action::Publish && subject.starts_with("open/"))).into()
        }
    }
    let mut s = Story::new();
    s.hub.set_access(Box::new(Rules));
    let root = s.session_with(SessionOptions { identity: "root", ..SessionOptions::default() });
    let a = s.session_with(SessionOptions { identity: "a", ..SessionOptions::default() });
    assert_eq!((s.hub.identity(root), s.hub.identity(a)), (Some("root"), Some("a")));
    s.subscribe(root, 1, "$share/g/#");
    assert_eq!(s.publish(a, "open/door", "x").queued, 1);
    let message = Message::new("closed", b"").unwrap();
    assert_eq!(s.hub.publish(s.now, a, message.clone(), None), Err(Refusal::NotAuthorized));
    assert_eq!(s.hub.subscribe(s.now, a, 1, "x", RELIABLE), Err(Refusal::NotAuthorized));
    assert_eq!(s.hub.subscribe(s.now, a, 1, "x", SERVE), Err(Refusal::NotAuthorized));
    let request = s.hub.request(s.now, a, 1, message, RequestOptions::default());
    assert_eq!(request, Err(Refusal::NotAuthorized));
    let own = s.session_with(SessionOptions { trusted: true, ..SessionOptions::default() });
    s.subscribe(own, 1, "closed");
    assert_eq!(s.publish(own, "closed", "x").queued, 2, "the program itself is asked nothing");
}

#[test]
fn rules_know_who_a_session_belongs_to() {
    let mut s = Story::new();
    let address = Some([192, 0, 2, 7].into());
    let phone = Who { user: "ann", client_id: "phone", address, listener: "devices", secured: None };
    let options = SessionOptions {
        identity: phone.user,
        client_id: phone.client_id,
        address,
        listener: phone.listener,
        ..SessionOptions::default()
    };
    let a = s.session_with(options);
    assert_eq!(s.hub.who(a), Some(phone));
    let b = s.session_with(SessionOptions { client_id: "é", ..SessionOptions::default() });
    assert_eq!(s.hub.who(b), Some(Who { client_id: "é", ..Who::default() }));
    let tablet = Who {
        user: "eve",
        client_id: "tablet",
        listener: "internal",
        secured: Some(Security::Tls),
        ..Who::default()
    };
    s.hub.set_client(a, &tablet).unwrap();
    assert_eq!(s.hub.who(a), Some(Who { user: "ann", ..tablet }), "nobody becomes another user");
    s.hub.set_client(b, &phone).unwrap();
    assert_eq!(s.hub.who(b), Some(Who { user: "", ..phone }), "a name that is known already");
    s.hub.set_client(b, &Who::default()).unwrap();
    assert_eq!(s.hub.who(b), Some(Who::default()));
    s.hub.remove(s.now, a).unwrap();
    assert_eq!(s.hub.who(a), None);
    assert_eq!(s.hub.set_client(a, &Who::default()), Err(Refusal::NoSession));
}

/// Who publishes to a topic again is not judged again, until the rules or its address change.
#[test]
fn what_was_allowed_is_remembered_while_it_holds() {
    use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::sync::Arc;
    struct Counted(Arc<AtomicU32>, bool);
    impl Access for Counted {
        fn decide(&self, who: &Who<'_>, _: Action, subject: &str) -> Decision {
            self.0.fetch_add(1, Relaxed);
            (self.1 && who.address.is_none() && subject != "no").into()
        }
    }
    let mut s = Story::new();
    let asked = Arc::new(AtomicU32::new(0));
    let (a, b) = (s.session(), s.session());
    s.hub.set_access(Box::new(Counted(Arc::clone(&asked), true)));
    let publish = |hub: &mut Hub, key, topic: &str| {
        let before = asked.load(Relaxed);
        let done = hub.publish(s.now, key, Message::new(topic, b"").unwrap(), None);
        (done.is_ok(), asked.load(Relaxed) - before)
    };
    let long = "x".repeat(300);
    for (key, topic, want) in [
        (a, "t", (true, 1)),
        (a, "t", (true, 0)),
        (b, "t", (true, 1)),
        (a, "no", (false, 1)),
        (a, "no", (false, 1)),
        (a, "t", (true, 0)),
        (a, "tt", (true, 1)),
        (a, "t", (true, 1)),
        (a, &long, (true, 1)),
        (a, &long, (true, 1)),
        (a, "t", (true, 0)),
    ] {
        assert_eq!(publish(&mut s.hub, key, topic), want, "{topic}");
    }
    s.hub.set_client(a, &Who { address: Some([192, 0, 2, 1].into()), ..Who::default() }).unwrap();
    assert_eq!(publish(&mut s.hub, a, "t"), (false, 1), "judged by where it is");
    s.hub.set_access(Box::new(Counted(Arc::clone(&asked), false)));
    assert_eq!(publish(&mut s.hub, b, "t"), (false, 1), "judged by the new rules");
}
