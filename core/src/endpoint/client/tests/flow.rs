use core::time::Duration;
use std::vec::Vec;

use super::super::*;
use super::world::{World, config, numbers};
use crate::session::{Code, Message as Wire, SendError};

/// Sends messages of ten octets of body until the server may not any more; how many those were.
fn flood(world: &mut World, subscription: u64, most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        let message = Wire::new("t", b"1234567"); // 10 with id and topic
        let result = world.serve(|s, now, out| s.message(now, out, subscription, &message));
        match result {
            Ok(()) => sent += 1,
            Err(SendError::Credit) => break,
            Err(e) => panic!("{e}"),
        }
        world.run();
    }
    sent
}

#[test]
pub(super) fn a_stalled_application_gets_no_more_credit_and_bounds_memory() {
    let mut stalled = config();
    stalled.session.limits.credit = 1000;
    stalled.incoming = QueueLimits { max_messages: 10_000, max_bytes: 2000 };
    let mut world = World::connected(stalled);
    let id = world.client.subscribe(world.now, "t", SubscribeOptions::default()).unwrap();
    world.run();
    world.events.clear();
    world.takes = false;
    let sent = flood(&mut world, id.get(), 10_000);
    assert!((150..=210).contains(&sent), "{sent}");
    assert!(world.client.wants_read(), "it still hears");
    // Pings are answered below the application.
    world.server.log.clear();
    world.serve(|s, now, _| s.ping(now));
    world.run();
    assert!(world.server.log[0].starts_with("Pong"), "{:?}", world.server.log);
    world.advance(Duration::from_secs(600));
    assert_eq!(world.dials.len(), 1, "nobody took anybody for dead");
    world.takes = true;
    world.run();
    assert_eq!(world.messages().len(), sent);
    assert_eq!(flood(&mut world, id.get(), 1000), 1000, "it flows again");
}

#[test]
pub(super) fn at_the_limit_nothing_is_read_and_nobody_is_taken_for_dead() {
    let incoming = QueueLimits { max_messages: 20, max_bytes: 1 << 20 };
    let mut tight = ClientConfig { incoming, ..config() };
    tight.session.limits.keepalive = Some(Duration::from_secs(10));
    let mut world = World::connected(tight);
    let id = world.client.subscribe(world.now, "t", SubscribeOptions::default()).unwrap();
    world.run();
    world.events.clear();
    world.takes = false;
    assert_eq!(flood(&mut world, id.get(), 100), 100);
    assert!(!world.client.wants_read());
    let mut events = 0;
    assert_eq!(
        world.client.publish(world.now, Publish::new("t", "x")),
        Err(ClientError::EventsWaiting),
        "or they would pile up"
    );
    world.advance(Duration::from_secs(100));
    assert_eq!(world.dials.len(), 1);
    while let Some(event) = world.client.poll_event() {
        assert!(matches!(event, ClientEvent::Message { .. }));
        events += 1;
    }
    assert_eq!(events, 20);
    assert_eq!(world.client.poll_timeout().unwrap().why, crate::time::Why::Output, "read on");
    world.takes = true;
    world.run();
    assert_eq!(world.messages().len(), 80);
}

#[test]
pub(super) fn a_subscriptions_own_window_blocks_it_alone() {
    let mut world = World::connected(config());
    let auto = SubscribeOptions { credit: Some(100), ..SubscribeOptions::default() };
    let manual = SubscribeOptions { auto_grant: false, ..auto };
    let a = world.client.subscribe(world.now, "a", auto).unwrap();
    let b = world.client.subscribe(world.now, "b", manual).unwrap();
    world.run();
    world.server.log.clear();
    assert_eq!(flood(&mut world, a.get(), 25), 25);
    let grants: Vec<&str> = world.server.log.iter().map(std::string::String::as_str).collect();
    assert_eq!(
        grants,
        ["Credit(1, 150)", "Credit(1, 200)", "Credit(1, 250)", "Credit(1, 300)", "Credit(1, 350)"]
    );
    world.server.log.clear();
    assert_eq!(flood(&mut world, b.get(), 10), 10);
    assert_eq!(world.server.log.len(), 0, "nothing was granted");
    world.client.grant(world.now, b, 49).unwrap();
    world.client.grant(world.now, b, 1).unwrap();
    world.run();
    assert_eq!(world.server.log, ["Credit(2, 150)"]);
    assert_eq!(flood(&mut world, b.get(), 5), 5);
    assert_eq!(world.dials.len(), 1);
    flood(&mut world, b.get(), 1);
    let fault = |e: &ClientEvent| matches!(e, ClientEvent::Disconnected { reason, .. } if reason.code() == Some(Code::CreditExceeded));
    assert_eq!(world.count(fault), 1, "CRE-4");
}

#[test]
pub(super) fn reliable_messages_are_acknowledged_when_taken() {
    let mut world = World::connected(config());
    world.server.feed = numbers(5);
    world.client.subscribe(world.now, "feed", SubscribeOptions::default()).unwrap();
    world.takes = false;
    world.run();
    let acked = |world: &World| world.server.session.as_ref().unwrap().counts().acked;
    assert_eq!(acked(&world), 0);
    let mut taken = 0;
    while taken < 2 {
        if let Some(ClientEvent::Message { .. }) = world.client.poll_event() {
            taken += 1;
        }
    }
    world.run();
    assert_eq!(acked(&world), 2);
    // The connection is lost: the other three are here, and do not come again.
    world.cut_line();
    world.advance(Duration::from_secs(5));
    assert_eq!(acked(&world), 5);
    world.takes = true;
    world.run();
    assert_eq!(world.messages(), ["2", "3", "4"]);
    assert_eq!(world.client.untaken, 0);
}

#[test]
pub(super) fn messages_for_an_ended_subscription_are_taken_as_received() {
    let mut world = World::connected(config());
    world.server.feed = numbers(5);
    let id = world.client.subscribe(world.now, "feed", SubscribeOptions::default()).unwrap();
    world.takes = false;
    world.run();
    world.client.unsubscribe(world.now, id).unwrap();
    // One comes when the others wait, one when nothing does.
    let wire = Wire { reliable: true, ..Wire::new("feed", b"x") };
    world.serve(|s, now, out| s.message(now, out, id.get(), &wire).unwrap());
    world.run();
    world.takes = true;
    world.run();
    world.serve(|s, now, out| s.message(now, out, id.get(), &wire).unwrap());
    world.run();
    assert_eq!(world.messages(), Vec::<&str>::new());
    assert_eq!(world.server.session.as_ref().unwrap().counts().acked, 7);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Unsubscribed { .. })), 1);
}

#[test]
fn a_small_send_buffer_loses_nothing() {
    let mut world = World::new(config());
    world.room = 64;
    for i in 0..50 {
        world.publish(i);
    }
    for filter in ["a", "b", "c"] {
        world.client.subscribe(world.now, filter, SubscribeOptions::default()).unwrap();
    }
    world.client.request(world.now, Request::new("q", "?")).unwrap();
    world.run();
    assert_eq!(world.server.received, numbers(50));
    assert_eq!(world.server.asked.len(), 1);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Subscribed { .. })), 3);
}

#[test]
pub(super) fn connections_that_fail_do_not_pile_up_events() {
    let incoming = QueueLimits { max_messages: 10, max_bytes: 1000 };
    let mut world = World::new(ClientConfig { incoming, ..config() });
    (world.reachable, world.takes) = (false, false);
    world.advance(Duration::from_secs(3600));
    assert!(world.dials.len() <= 6, "{}", world.dials.len());
    (world.reachable, world.takes) = (true, true);
    world.advance(Duration::from_secs(60));
    assert!(world.client.is_connected());
}

#[test]
pub(super) fn pings_measure_the_round_trip() {
    let mut world = World::connected(config());
    world.client.ping(world.now).unwrap();
    world.run();
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Pong(_))), 1);
    assert!(world.client.round_trip().is_some());
    world.cut_line();
    assert_eq!(world.client.ping(world.now), Err(ClientError::NotConnected));
}

#[test]
pub(super) fn commands_of_the_servers_are_answered() {
    let mut world = World::connected(config());
    world.server.log.clear();
    let subscribe = crate::session::Subscribe { id: 3, filter: "a", ..crate::session::Subscribe::default() };
    world.serve(|s, now, out| s.subscribe(now, out, &subscribe).unwrap());
    world.serve(|s, now, out| s.unsubscribe(now, out, 3).unwrap());
    world.run();
    assert!(world.server.log[0].contains("Unsupported"), "{:?}", world.server.log);
    assert!(world.server.log[1].contains("NotFound"));
    assert_eq!(world.client.refusals, 0);
}

#[test]
pub(super) fn what_waits_to_be_sent_does_not_hide_that_the_transport_takes_nothing() {
    use crate::time::{Deadline, Why};
    let mut world = World::connected(config());
    let now = world.now;
    world.publish("x");
    world.client.handle_written(now, 0, 10);
    let write = Deadline::new(now + Duration::from_secs(10), Why::Write);
    assert_eq!(world.client.poll_timeout(), Some(write));
    world.client.handle_written(now, 10, 0);
    assert_eq!(world.client.poll_timeout().map(|d| d.why), Some(Why::Output));
}
