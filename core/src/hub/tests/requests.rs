//! Requests and their answers.

use super::*;

impl Story {
    fn ask(&mut self, key: SessionKey, id: u64, many: bool) -> Result<(), Refusal> {
        let message = Message::new("add", b"1+2").unwrap();
        self.hub.request(
            self.now,
            key,
            id,
            message,
            RequestOptions { many, timeout: Duration::from_millis(500) },
        )
    }

    /// Takes the ids of the requests that wait for a session.
    fn ids(&mut self, key: SessionKey) -> Vec<u64> {
        let mut ids = Vec::new();
        let take = |d: &Delivery<'_>| {
            if let Delivery::Request { id, .. } = d {
                ids.push(*id);
            }
            true
        };
        self.hub.drain(self.now, key, take).unwrap();
        ids
    }

    fn answer(&mut self, key: SessionKey, id: u64, payload: &'static str) -> Result<(), Refusal> {
        self.hub.respond(self.now, key, id, Status::Ok, false, Message::response(payload))
    }
}

#[test]
fn one_responder_answers() {
    let mut s = Story::new();
    let (asker, b, c) = (s.session(), s.session(), s.session());
    s.subscribe_with(b, 1, "add", SERVE);
    s.subscribe_with(c, 2, "+", SERVE);
    assert_eq!(s.publish(asker, "add", "a message").matched, 0, "responders get requests only");
    s.ask(asker, 5, false).unwrap();
    s.ask(asker, 6, false).unwrap();
    assert_eq!(s.ask(asker, 6, false), Err(Refusal::InUse));
    s.pass(100);
    assert_eq!(s.take_some(b, 0), Vec::<String>::new());
    let (ids_b, ids_c) = (s.ids(b), s.ids(c));
    assert_eq!((ids_b.len(), ids_c.len()), (1, 1), "by turns");
    assert_eq!(s.answer(c, ids_b[0], "x"), Err(Refusal::NotAuthorized));
    s.answer(b, ids_b[0], "3").unwrap();
    assert_eq!(s.answer(b, ids_b[0], "3"), Err(Refusal::NotFound));
    let more = |s: &mut Story, more| {
        s.hub.respond(s.now, c, ids_c[0], Status::Other(99), more, Message::response("part")).unwrap();
    };
    more(&mut s, true);
    more(&mut s, false);
    assert_eq!(s.ready(), [asker]);
    assert_eq!(s.take(asker), ["5: Ok 3", "6: Other(99)+ part", "6: Other(99) part"]);
    assert_eq!((s.hub.counters().requests_in_flight, s.hub.poll_timeout()), (0, None));
}

#[test]
fn nobody_serves() {
    let mut s = Story::new();
    let (asker, away) = (s.session(), s.session());
    s.subscribe_with(away, 1, "add", SERVE);
    s.hub.detach(s.now, away).unwrap();
    s.ask(asker, 1, false).unwrap();
    s.ask(asker, 2, true).unwrap();
    assert_eq!(s.take(asker), ["1: NoResponder", "2: NoResponder"]);
    for id in [0, 1 << 63] {
        assert_eq!(s.ask(asker, id, false).unwrap_err().status(), Status::Invalid);
    }
}

#[test]
fn time_passes() {
    let mut s = Story::new();
    let (asker, b) = (s.session(), s.session());
    s.subscribe_with(b, 1, "add", SERVE);
    s.ask(asker, 1, false).unwrap();
    s.pass(100);
    assert_eq!(s.take(b), ["1? add=1+2 400ms"]);
    s.ask(asker, 2, false).unwrap();
    s.pass(400);
    assert_eq!(s.take(asker), ["1: Timeout"]);
    assert_eq!(s.take(b), ["cancel", "1? add=1+2 100ms"]);
    s.ask(asker, 3, false).unwrap();
    s.pass(500);
    assert_eq!(s.take(asker), ["2: Timeout", "3: Timeout"]);
    assert_eq!(s.take(b), ["cancel"], "what was not handed out needs no cancel");
    assert_eq!(s.hub.counters().queued, 0);
}

#[test]
fn a_responder_goes() {
    let mut s = Story::new();
    let (asker, b, c) = (s.session(), s.session(), s.session());
    s.subscribe_with(b, 1, "add", SERVE);
    s.ask(asker, 1, false).unwrap();
    s.ids(b);
    s.ask(asker, 2, false).unwrap();
    s.hub.detach(s.now, b).unwrap();
    assert_eq!(s.take(asker), ["2: ResponderGone", "1: ResponderGone"]);
    s.subscribe_with(c, 1, "add", SERVE);
    s.ask(asker, 3, false).unwrap();
    s.hub.unsubscribe(s.now, c, 1).unwrap();
    assert_eq!(s.take(asker), ["3: ResponderGone"]);
}

#[test]
fn a_requester_goes_or_changes_its_mind() {
    let mut s = Story::new();
    let (asker, b) = (s.session(), s.session());
    s.subscribe_with(b, 1, "add", SERVE);
    s.ask(asker, 1, false).unwrap();
    let id = s.ids(b)[0];
    s.hub.cancel(s.now, asker, 1).unwrap();
    assert_eq!(s.hub.cancel(s.now, asker, 1), Err(Refusal::NotFound));
    assert_eq!(s.answer(b, id, "late"), Err(Refusal::NotFound));
    s.ask(asker, 1, false).unwrap();
    assert_eq!(s.take(b), ["cancel", "1? add=1+2 500ms"]);
    s.hub.detach(s.now, asker).unwrap();
    assert_eq!(s.take(b), ["cancel"]);
    s.hub.reattach(s.now, asker, 1, None).unwrap();
    assert!(s.take(asker).is_empty());
}

#[test]
fn many_answer() {
    let mut s = Story::new();
    let (asker, b, c, d) = (s.session(), s.session(), s.session(), s.session());
    s.subscribe_with(b, 1, "add", SERVE);
    s.subscribe_with(c, 1, "$share/g/add", SERVE);
    s.subscribe_with(d, 1, "$share/g/add", SERVE);
    s.ask(asker, 1, true).unwrap();
    let (ids_b, ids_c) = (s.ids(b), s.ids(c));
    assert!(s.ids(d).is_empty(), "one of a shared group");
    s.answer(b, ids_b[0], "3").unwrap();
    assert_eq!(s.take(asker), ["1: Ok+ 3"]);
    s.answer(c, ids_c[0], "three").unwrap();
    assert_eq!(s.take(asker), ["1: Ok+ three", "1: Ok"]);

    s.ask(asker, 2, true).unwrap();
    let (ids_b, ids_d) = (s.ids(b), s.ids(d));
    assert_eq!(ids_d.len(), 1, "the other's turn");
    s.hub.detach(s.now, d).unwrap();
    assert_eq!(s.take(asker), ["2: ResponderGone+"]);
    s.answer(b, ids_b[0], "3").unwrap();
    assert_eq!(s.take(asker), ["2: Ok+ 3", "2: Ok"]);

    s.ask(asker, 3, true).unwrap();
    s.ids(b);
    s.pass(500);
    assert_eq!(s.take(asker), ["3: Timeout"]);
}

#[test]
fn full_queues() {
    let mut s = Story::with(HubOptions { max_requests_per_session: 3, ..HubOptions::default() });
    let bounded = SessionOptions { max_messages: 2, ..SessionOptions::default() };
    let (asker, b) = (s.session_with(bounded), s.session_with(bounded));
    s.subscribe_with(b, 1, "add", SERVE);
    for id in 1..=3 {
        s.ask(asker, id, false).unwrap();
    }
    assert_eq!(s.ask(asker, 4, false).unwrap_err().status(), Status::Quota);
    assert_eq!(s.take(asker), ["3: Busy"]);
    // A message pushes the oldest request out: its requester learns it.
    s.subscribe(b, 2, "t");
    s.publish(asker, "t", "");
    assert_eq!(s.take(asker), ["1: Busy"]);
    let id = s.ids(b)[0];
    // A responder that says more than the requester takes ends the request.
    for _ in 0..3 {
        s.hub.respond(s.now, b, id, Status::Ok, true, Message::response("part")).unwrap();
    }
    assert_eq!(s.take(asker), ["2: Ok+ part", "2: Ok+ part", "2: Busy"]);
    assert_eq!(s.take(b), ["cancel"]);
}

#[test]
fn a_request_that_its_responder_can_never_take_is_rejected() {
    let mut s = Story::new();
    let (asker, b) = (s.session(), s.session());
    s.subscribe_with(b, 1, "add", SERVE);
    s.subscribe_with(asker, 2, "add", SERVE);
    s.ask(asker, 5, true).unwrap();
    s.hub.drain(s.now, b, |_| Take::Never).unwrap();
    s.hub
        .drain(
            s.now,
            asker,
            |d| if matches!(d, Delivery::Request { .. }) { Take::Never } else { Take::Taken },
        )
        .unwrap();
    s.hub.check_invariants().unwrap();
    assert_eq!(s.take(asker), ["5: Rejected+", "5: Ok"]);
    assert_eq!(s.hub.counters().requests_in_flight, 0);
}
