use core::time::Duration;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::world::{World, config};
use crate::session;
use crate::session::{Code, Properties};
use crate::status::Status;

fn asking(timeout: Option<Duration>) -> (World, RequestId) {
    let mut world = World::connected(config());
    let request = Request { timeout, ..Request::new("q", "?") };
    let id = world.client.request(world.now, request).unwrap();
    world.run();
    (world, id)
}

fn failures(world: &World) -> Vec<(RequestId, RequestFailure)> {
    let failed = |e: &ClientEvent| match e {
        ClientEvent::RequestFailed { request, why } => Some((*request, *why)),
        _ => None,
    };
    world.events.iter().filter_map(failed).collect()
}

/// Payloads of answers, and whether others follow.
fn answers(world: &World) -> Vec<(RequestId, Status, bool)> {
    let answer = |e: &ClientEvent| match e {
        ClientEvent::Response { request, status, more, .. } => Some((*request, *status, *more)),
        _ => None,
    };
    world.events.iter().filter_map(answer).collect()
}

#[test]
pub(super) fn a_request_is_answered_once() {
    let (mut world, id) = asking(None);
    assert_eq!(world.server.asked, [(1, Duration::from_secs(30), "q".into())]);
    world.answer(1, Status::Ok, false, b"42");
    world.answer(1, Status::Ok, false, b"43");
    assert_eq!(answers(&world), [(id, Status::Ok, false)]);
    assert!(!world.client.cancel(world.now, id), "it is over");
    world.advance(Duration::from_secs(60));
    assert_eq!(failures(&world), []);
}

#[test]
pub(super) fn many_answers_come_until_the_last() {
    let (mut world, id) = asking(None);
    for _ in 0..3 {
        world.answer(1, Status::Ok, true, b"1");
    }
    world.answer(1, Status::Timeout, false, b"");
    world.answer(1, Status::Ok, true, b"late");
    let (more, last) = ((id, Status::Ok, true), (id, Status::Timeout, false));
    assert_eq!(answers(&world), [more, more, more, last]);
}

#[test]
pub(super) fn a_request_ends_here_when_its_time_is_up() {
    let (mut world, id) = asking(Some(Duration::from_secs(3)));
    world.advance(Duration::from_millis(2999));
    assert_eq!(failures(&world), []);
    assert_eq!(world.client.poll_timeout().unwrap().why, crate::time::Why::Request);
    world.advance(Duration::from_millis(1));
    assert_eq!(failures(&world), [(id, RequestFailure::Timeout)]);
    assert!(world.server.log.contains(&"Cancel(1)".into()), "{:?}", world.server.log);
}

#[test]
pub(super) fn a_request_ends_with_its_connection_but_waits_for_one() {
    let (mut world, sent) = asking(None);
    world.cut_line();
    world.reachable = false;
    let waits = world.client.request(world.now, Request::new("q2", "?")).unwrap();
    let short = Request { timeout: Some(Duration::from_secs(1)), ..Request::new("q3", "?") };
    let late = world.client.request(world.now, short).unwrap();
    let gone = world.client.request(world.now, Request::new("q4", "?")).unwrap();
    assert!(world.client.cancel(world.now, gone));
    world.advance(Duration::from_secs(2));
    world.reachable = true;
    world.advance(Duration::from_secs(10));
    assert_eq!(failures(&world), [(sent, RequestFailure::Disconnected), (late, RequestFailure::Timeout)]);
    let (id, left, topic) = &world.server.asked[1];
    assert_eq!((*id, topic.as_str(), world.server.asked.len()), (waits.get(), "q2", 2));
    assert!(*left <= Duration::from_secs(28), "what is left of its time: {left:?}");
    assert_eq!(world.client.outgoing().messages, 0);
}

#[test]
pub(super) fn a_cancelled_request_is_told_and_its_answer_ignored() {
    let (mut world, id) = asking(None);
    assert!(world.client.cancel(world.now, id));
    world.run();
    world.answer(1, Status::Ok, false, b"42");
    assert_eq!(answers(&world), []);
    assert_eq!(world.server.log.last().unwrap(), "Cancel(1)");
}

#[test]
pub(super) fn requests_have_a_limit() {
    let mut world = World::connected(ClientConfig { requests: 2, ..config() });
    for _ in 0..2 {
        world.client.request(world.now, Request::new("q", "?")).unwrap();
    }
    let third = world.client.request(world.now, Request::new("q", "?"));
    assert_eq!(third, Err(ClientError::TooManyRequests));
    assert!(world.client.request(world.now, Request::new("q/#", "?")).is_err());
}

/// A client that serves `q`, and the server's request for it.
fn serving(requests: usize) -> (World, SubscriptionId) {
    let mut world = World::connected(ClientConfig { requests, ..config() });
    let id = world.client.serve(world.now, "q", SubscribeOptions::default()).unwrap();
    world.run();
    world.events.clear();
    world.server.log.clear();
    (world, id)
}

fn ask(world: &mut World, id: u64, subscription: u64) {
    let timeout = Duration::from_secs(5);
    let (topic, payload, properties) = ("q", &b"what?"[..], Properties::NONE);
    let request = session::Request { id, subscription, timeout, many: false, topic, payload, properties };
    world.serve(|s, now, out| s.request(now, out, &request)).unwrap();
    world.run();
}

fn handles(world: &World) -> Vec<RequestHandle> {
    let handle = |e: &ClientEvent| match e {
        ClientEvent::Request(r) => Some(r.handle),
        _ => None,
    };
    world.events.iter().filter_map(handle).collect()
}

#[test]
pub(super) fn requests_to_us_are_answered() {
    let (mut world, subscription) = serving(10);
    ask(&mut world, 9, subscription.get());
    let ClientEvent::Request(request) = world.events.remove(0) else { panic!() };
    assert_eq!((request.message.topic(), request.message.payload()), ("q", &b"what?"[..]));
    assert_eq!((request.subscription, request.timeout), (subscription, Duration::from_secs(5)));
    let more = Reply { more: true, ..Reply::ok("part") };
    world.client.respond(world.now, request.handle, more).unwrap();
    world.client.respond(world.now, request.handle, Reply::new(Status::Other(99), "why")).unwrap();
    let third = world.client.respond(world.now, request.handle, Reply::ok("part"));
    assert_eq!(third, Err(ClientError::Gone));
    world.run();
    assert_eq!(world.server.log, ["response 9 Ok true part", "response 9 Other(99) false why"]);
}

#[test]
pub(super) fn requests_that_nobody_can_answer_are_answered_at_once() {
    let (mut world, subscription) = serving(2);
    ask(&mut world, 1, 99);
    for id in 2..5 {
        ask(&mut world, id, subscription.get());
    }
    assert_eq!(handles(&world).len(), 2);
    assert_eq!(world.server.log, ["response 1 NoResponder false ", "response 4 Quota false "]);
    world.advance(Duration::from_secs(5)); // nobody waits for the first ones any more
    ask(&mut world, 5, subscription.get());
    assert_eq!(handles(&world).len(), 3);
}

#[test]
pub(super) fn a_request_to_us_ends_by_cancel_and_with_its_connection() {
    let (mut world, subscription) = serving(10);
    ask(&mut world, 1, subscription.get());
    ask(&mut world, 2, subscription.get());
    world.serve(|s, now, out| s.cancel(now, out, 1)).unwrap();
    world.run();
    let [first, second] = handles(&world)[..] else { panic!() };
    assert_eq!(world.count(|e| matches!(e, ClientEvent::RequestCancelled(h) if *h == first)), 1);
    assert_eq!(world.client.respond(world.now, first, Reply::ok("x")), Err(ClientError::Gone));
    world.takes = false;
    ask(&mut world, 3, subscription.get());
    world.cut_line();
    assert_eq!(world.client.respond(world.now, second, Reply::ok("x")), Err(ClientError::Gone));
    world.takes = true;
    world.advance(Duration::from_secs(5));
    assert_eq!(handles(&world).len(), 2, "the third was cut off before it was taken");
}

#[test]
pub(super) fn an_id_in_use_breaks_the_rules() {
    let (mut world, subscription) = serving(10);
    ask(&mut world, 1, subscription.get());
    ask(&mut world, 1, subscription.get());
    let codes: Vec<_> = world
        .events
        .iter()
        .filter_map(|e| if let ClientEvent::Disconnected { reason, .. } = e { reason.code() } else { None })
        .collect();
    assert_eq!(codes, vec![Code::Malformed]);
}

#[test]
pub(super) fn a_request_that_is_not_taken_ends_with_the_reason() {
    let (mut world, id) = asking(None);
    let refused = session::Outcome {
        kind: Some(session::Kind::Request),
        id: 1,
        status: Status::NotAuthorized,
        reason: "not for you",
    };
    world.serve(|s, now, out| s.result(now, out, &refused)).unwrap();
    world.run();
    assert_eq!(answers(&world), [(id, Status::NotAuthorized, false)], "REQ-7");
}
