use core::time::Duration;
use std::string::ToString;

use super::super::*;
use super::world::{World, config};
use crate::session::{Code, Transport};
use crate::status::Status;

#[test]
pub(super) fn close_ends_the_session_and_is_the_last_event() {
    let mut world = World::connected(config());
    world.client.close(world.now);
    assert_eq!(world.client.publish(world.now, Publish::new("t", "x")), Err(ClientError::Closed));
    world.run();
    assert!(matches!(world.events[..], [ClientEvent::Closed { reason: Reason::Requested, undelivered: 0 }]));
    assert!(world.server.log.contains(&"closed Remote Some(Normal)".into()));
    assert!(world.line.is_none() && world.client.is_closed());
    world.client.close(world.now);
    world.advance(Duration::from_secs(60));
    assert_eq!((world.events.len(), world.dials.len()), (1, 1));
}

#[test]
pub(super) fn nothing_comes_after_the_last_event() {
    let mut world = World::connected(config());
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.reachable = false;
    world.cut_line();
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.client.close(world.now);
    world.advance(Duration::from_secs(60));
    assert_eq!(world.closed(), Some(&Reason::Requested));
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
pub(super) fn close_without_a_connection_is_at_once() {
    let mut world = World::new(config());
    world.publish("x");
    world.client.close(world.now);
    world.take_events();
    assert!(matches!(world.events[..], [ClientEvent::Closed { reason: Reason::Requested, undelivered: 1 }]));
    assert_eq!(world.client.poll_connect(world.now), None);

    let mut world = World::new(config());
    world.client.poll_connect(world.now).unwrap();
    world.client.close(world.now);
    world.client.handle_connected(world.now);
    let mut out = crate::buf::SharedSendBuf::new(1000);
    assert_eq!(world.client.poll_transmit(world.now, &mut out), Transport::Drop);
    assert!(out.is_empty());
}

#[test]
fn a_server_that_does_not_answer_close_is_left() {
    let mut world = World::connected(config());
    world.client.close(world.now);
    let mut out = crate::buf::SharedSendBuf::new(1000);
    assert_eq!(world.client.poll_transmit(world.now, &mut out), Transport::Shut);
    let due = world.client.poll_timeout().unwrap();
    assert_eq!((due.at, due.why), (world.now + Duration::from_secs(2), crate::time::Why::Close));
    world.client.handle_timeout(due.at);
    world.take_events();
    assert_eq!(world.closed(), Some(&Reason::Requested));
    assert_eq!(world.client.poll_transmit(due.at, &mut out), Transport::Abort);
}

#[test]
pub(super) fn a_drain_finishes_all_over_connections_if_it_must() {
    let mut world = World::connected(config());
    let request = world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.run();
    world.publish("0");
    world.cut_line();
    world.client.drain(world.now, Duration::from_secs(20));
    assert_eq!(world.client.publish(world.now, Publish::new("t", "x")), Err(ClientError::Closed));
    world.advance(Duration::from_secs(5));
    assert_eq!((world.server.received.len(), world.closed()), (1, Some(&Reason::Requested)));
    assert_eq!(
        world.count(|e| matches!(e, ClientEvent::RequestFailed { request: r, .. } if *r == request)),
        1
    );
    assert!(world.client.is_closed());
}

#[test]
pub(super) fn a_drain_waits_for_answers_until_its_deadline() {
    let mut world = World::connected(config());
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.client.drain(world.now, Duration::from_secs(20));
    world.advance(Duration::from_secs(10));
    assert!(world.client.is_connected());
    world.answer(1, Status::Ok, false, b"");
    assert_eq!(world.closed(), Some(&Reason::Requested));

    let mut world = World::connected(config());
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.client.drain(world.now, Duration::from_secs(20));
    world.advance(Duration::from_secs(20));
    assert_eq!(world.closed(), Some(&Reason::Requested));
}

#[test]
pub(super) fn an_idle_drain_is_done_at_once() {
    let mut world = World::connected(config());
    world.client.drain(world.now, Duration::from_secs(20));
    world.run();
    assert_eq!(world.closed(), Some(&Reason::Requested));
}

#[test]
pub(super) fn a_server_that_drains_is_left_for_where_it_says() {
    let mut world = World::connected(ClientConfig { endpoints: 2, ..config() });
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.run();
    world.drain(7, "other:1");
    assert!(matches!(&world.events[0], ClientEvent::Draining { endpoint, .. } if endpoint == "other:1"));
    let waits = world.publish("0");
    world.client.subscribe(world.now, "a", SubscribeOptions::default()).unwrap();
    world.advance(Duration::from_secs(1));
    assert!(world.client.is_connected(), "the answer is worth waiting for");
    assert_eq!(world.server.received.len(), 0, "END-7");
    world.answer(1, Status::Ok, false, b"");
    assert!(!world.client.is_connected());
    assert!(world.server.log.contains(&"closed Remote Some(GoingAway)".into()), "{:?}", world.server.log);
    let at = world.now;
    world.advance(Duration::from_millis(6999));
    assert_eq!(world.dials.len(), 1);
    world.advance(Duration::from_secs(5));
    assert_eq!(world.dials[1].address.as_deref(), Some("other:1"));
    assert!(world.now > at + Duration::from_secs(7));
    assert_eq!(world.server.received, ["0"]);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Accepted { publish } if *publish == waits)), 1);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Subscribed { .. })), 1);
    world.cut_line();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.dials[2].address, None, "only once");
}

#[test]
pub(super) fn a_server_that_drains_is_left_at_its_deadline() {
    let mut world = World::connected(config());
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.run();
    world.drain(0, "");
    world.advance(Duration::from_secs(5));
    assert!(!world.client.is_connected() || world.dials.len() == 2);
    world.advance(Duration::from_secs(5));
    assert!(world.client.is_connected());
    assert_eq!(world.dials[1].address, None);
    let gone =
        |e: &ClientEvent| matches!(e, ClientEvent::RequestFailed { why: RequestFailure::Disconnected, .. });
    assert_eq!(world.count(gone), 1);
}

#[test]
fn the_drain_deadline_is_due_once() {
    let mut world = World::connected(config());
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.run();
    world.drain(0, "");
    let due = world.client.poll_timeout().unwrap();
    assert_eq!(due.why, crate::time::Why::Drain);
    world.client.handle_timeout(due.at);
    let mut out = crate::buf::SharedSendBuf::new(1000);
    assert_eq!(world.client.poll_transmit(due.at, &mut out), Transport::Shut);
    assert_eq!(world.client.poll_timeout().unwrap().why, crate::time::Why::Close);
}

#[test]
pub(super) fn a_faulty_server_is_told_and_left_for_a_while() {
    let mut world = World::connected(config());
    world.serve(|_, _, out| crate::buf::SendBuf::put(out, &[31 << 2, 0]));
    world.run();
    let ClientEvent::Disconnected { reason, retry_at } = &world.events[0] else { panic!() };
    assert_eq!(reason.code(), Some(Code::UnknownKind));
    assert!(*retry_at <= world.now + Duration::from_millis(100));
    assert!(world.server.log.contains(&"closed Remote Some(UnknownKind)".into()));
    world.advance(Duration::from_secs(1));
    assert!(matches!(world.events.last(), Some(ClientEvent::Connected { resumed: true, .. })));
}

#[test]
pub(super) fn a_reason_without_words_is_its_code() {
    let silent = Reason::Local { code: Code::GoingAway, text: "".into() };
    assert_eq!(silent.to_string(), "closed here with GOING_AWAY");
    let told = Reason::Remote { code: Code::Quota, text: "too many".into() };
    assert_eq!(told.to_string(), "closed by the server with QUOTA: too many");
}
