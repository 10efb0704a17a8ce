use core::time::Duration;
use std::boxed::Box;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::*;
use super::world::{World, config, numbers};
use crate::endpoint::carrier::tests::carrier;
use crate::entropy::{Entropy, Seeded};
use crate::session::{Properties, Property};

const MANY: usize = 30;

/// A long exchange both ways, with a reconnection soon after any loss.
fn exchange(config: ClientConfig) -> World {
    let mut world = World::new(config);
    world.server.feed = numbers(MANY);
    // Small windows, so that acknowledgements and credit go to and fro.
    world.server.config.limits.in_flight = 4;
    world.server.config.limits.credit = 40;
    let options = SubscribeOptions { reliable: true, credit: Some(25), ..SubscribeOptions::default() };
    world.client.subscribe(world.now, "feed", options).unwrap();
    for i in 0..MANY {
        world.publish(i);
    }
    world
}

fn small() -> ClientConfig {
    let mut config = config();
    config.session.limits.in_flight = 3;
    config.session.limits.credit = 50;
    config
}

fn check(world: &World, what: &str) {
    assert_eq!(world.server.received, numbers(MANY), "to the server, {what}");
    assert_eq!(world.messages(), numbers(MANY), "to the client, {what}");
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Accepted { .. })), MANY, "{what}");
    assert_eq!(world.client.outgoing(), Outgoing { messages: 0, bytes: 0 }, "{what}");
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Lost)), 0, "{what}");
}

#[test]
pub(super) fn a_cut_at_every_octet_loses_and_doubles_nothing() {
    let mut whole = exchange(small());
    whole.advance(Duration::from_secs(5));
    check(&whole, "uncut");
    for way in 0..2 {
        for at in 1..=whole.passed[way] {
            let mut world = exchange(small());
            world.cut[way] = Some(at);
            world.advance(Duration::from_secs(5));
            assert_eq!(world.dials.len(), 2, "way {way}, cut at {at}");
            check(&world, &std::format!("way {way}, cut at {at}"));
        }
    }
}

#[test]
pub(super) fn two_cuts_one_after_the_other_do_not_either() {
    for first in (1..900).step_by(37) {
        for second in (1..900).step_by(29) {
            let mut world = exchange(small());
            world.cut = [Some(first), Some(second)];
            world.advance(Duration::from_secs(5));
            check(&world, &std::format!("{first} and {second}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Random cuts, pieces, room and pauses: all arrives once and in order.
    #[test]
    fn random_cuts_and_delays(seed in any::<u64>()) {
        cuts_and_delays(seed);
    }
}

pub(super) fn cuts_and_delays(seed: u64) {
    let mut dice = Seeded::new(seed);
    let mut world = exchange(small());
    world.piece = 1 + dice.wire_up_to(200) as usize;
    world.room = 300 + dice.wire_up_to(400) as usize;
    for _ in 0..dice.wire_up_to(12) {
        world.cut[dice.wire_up_to(1) as usize] = Some(1 + dice.wire_up_to(400) as usize);
        world.reachable = dice.wire_up_to(4) > 0;
        world.takes = dice.wire_up_to(3) > 0;
        world.advance(Duration::from_millis(dice.wire_up_to(2000)));
    }
    (world.cut, world.reachable, world.takes) = ([None; 2], true, true);
    world.advance(Duration::from_secs(120));
    check(&world, &std::format!("seed {seed}"));
}

proptest! {
    /// Whatever a server sends, nothing panics, and the client finds its way back.
    #[test]
    fn garbage_does_no_harm(open in any::<bool>(), octets in prop::collection::vec(any::<u8>(), 1..200)) {
        let mut world = World::new(config());
        world.client.subscribe(world.now, "feed", SubscribeOptions::default()).unwrap();
        if open {
            world.run();
        }
        let mut buf = crate::buf::GrowingRecvBuf::new(1 << 16);
        buf.push(&octets);
        world.client.recv(world.now, &mut buf);
        world.run();
        world.cut_line();
        world.publish("0");
        world.advance(Duration::from_secs(600));
        prop_assert!(world.client.is_connected() || world.client.is_closed());
    }
}

#[test]
pub(super) fn a_large_message_drops_nothing_where_it_cannot_fit() {
    let outgoing = QueueLimits { max_messages: 10, max_bytes: 100 };
    let mut world = World::connected(ClientConfig { outgoing, when_full: WhenFull::DropOldest, ..config() });
    world.publish(0);
    let mut out = crate::buf::SharedSendBuf::new(1000);
    let _ = world.client.poll_transmit(world.now, &mut out);
    world.publish(1);
    let large = world.client.publish(world.now, Publish::new("t", std::vec![0; 200]));
    assert_eq!(large, Err(ClientError::Full));
    assert_eq!(world.client.outgoing(), Outgoing { messages: 2, bytes: 6 });
    let mut idle = World::new(ClientConfig { outgoing, ..config() });
    idle.client.publish(idle.now, Publish::new("t", std::vec![0; 200])).expect("alone it always fits");
}

#[test]
pub(super) fn at_most_once_is_accepted_when_written() {
    let mut world = World::connected(config());
    let id = world.client.publish(world.now, Publish::new("t", "x")).unwrap();
    world.run();
    assert!(matches!(world.events[..], [ClientEvent::Accepted { publish }] if publish == id));
    assert_eq!(world.server.received, ["x"]);
}

#[test]
pub(super) fn order_is_kept_between_both_kinds_also_from_offline() {
    let mut world = World::new(config());
    for i in 0..20 {
        let publish = Publish { reliable: i % 3 == 0, ..Publish::new("t", i.to_string()) };
        world.client.publish(world.now, publish).unwrap();
    }
    world.run();
    assert_eq!(world.server.received, numbers(20));
}

#[test]
pub(super) fn a_lost_session_sends_again_and_says_so() {
    let mut world = World::connected(config());
    world.server.mute = true;
    let options = SubscribeOptions::default();
    let gone = world.client.subscribe(world.now, "gone", options).unwrap();
    let kept = world.client.subscribe(world.now, "kept", options).unwrap();
    world.run();
    world.client.unsubscribe(world.now, gone).unwrap();
    world.publish("0");
    world.cut_line(); // neither went out
    world.server.kept = None;
    world.server.mute = false;
    world.server.log.clear();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Lost)), 1);
    let ended = |e: &ClientEvent| matches!(e, ClientEvent::Unsubscribed { subscription, .. } if *subscription == gone);
    assert_eq!(world.count(ended), 1);
    let made = |e: &ClientEvent| matches!(e, ClientEvent::Subscribed { subscription, status, .. } if *subscription == kept && status.is_ok());
    assert_eq!(world.count(made), 1);
    assert_eq!(world.server.log[1..], ["subscribe 2 kept"]);
    assert_eq!(world.server.received, ["0"]);
}

#[test]
pub(super) fn sessions_that_do_not_outlive_connections_are_lost_each_time() {
    let mut world = World::connected(ClientConfig { expiry: Duration::ZERO, ..config() });
    assert!(world.client.session_id().is_some(), "this server grants it all the same");
    world.server.expiry = Duration::ZERO;
    world.server.kept = None;
    for lost in 1..4 {
        world.publish(lost);
        world.cut_line();
        world.advance(Duration::from_secs(20));
        assert_eq!(world.count(|e| matches!(e, ClientEvent::Lost)), lost);
        assert_eq!(world.client.session_id(), None);
    }
    assert_eq!(world.server.received, ["1", "2", "3"]);
}

#[test]
pub(super) fn only_unanswered_subscriptions_are_sent_again_after_a_resume() {
    let mut world = World::connected(config());
    let options = SubscribeOptions::default();
    let first = world.client.subscribe(world.now, "a", options).unwrap();
    world.run();
    world.server.mute = true;
    world.client.subscribe(world.now, "b", options).unwrap();
    world.run();
    world.client.subscribe(world.now, "c", options).unwrap();
    world.client.unsubscribe(world.now, first).unwrap();
    world.cut_line();
    world.server.mute = false;
    world.server.log.clear();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.server.log[1..], ["unsubscribe 1", "subscribe 2 b", "subscribe 3 c"]);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Subscribed { .. })), 3);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Unsubscribed { .. })), 1);
    assert_eq!(world.client.unsubscribe(world.now, first), Err(ClientError::UnknownSubscription));
}

#[test]
pub(super) fn a_refused_subscription_is_no_more() {
    let mut world = World::connected(config());
    world.server.subscribe_status = crate::status::Status::NotAuthorized;
    let id = world.client.subscribe(world.now, "secret", SubscribeOptions::default()).unwrap();
    world.run();
    assert!(matches!(&world.events[..], [ClientEvent::Subscribed { subscription, reason, .. }]
        if *subscription == id && reason == "because"));
    assert_eq!(world.client.unsubscribe(world.now, id), Err(ClientError::UnknownSubscription));
    let bad = world.client.subscribe(world.now, "a/#/b", SubscribeOptions::default());
    assert!(matches!(bad, Err(ClientError::Topic(_))));
}

#[test]
pub(super) fn the_offline_queue_keeps_its_limits_and_its_policy() {
    let outgoing = QueueLimits { max_messages: 3, max_bytes: 100 };
    let mut world = World::new(ClientConfig { outgoing, ..config() });
    world.reachable = false;
    (0..3).for_each(|i| {
        world.publish(i);
    });
    let one_more = |world: &mut World, payload: Vec<u8>| {
        world.client.publish(world.now, Publish { reliable: true, ..Publish::new("t", payload) })
    };
    assert_eq!(one_more(&mut world, std::vec![1]), Err(ClientError::Full));
    world.advance(Duration::from_secs(1));
    world.reachable = true;
    world.advance(Duration::from_secs(60));
    assert_eq!(world.server.received, numbers(3));

    let when_full = WhenFull::DropOldest;
    let mut world = World::new(ClientConfig { outgoing, when_full, ..config() });
    (0..5).for_each(|i| {
        world.publish(i);
    });
    one_more(&mut world, std::vec![b'x'; 95]).unwrap();
    world.run();
    assert_eq!(world.server.received, ["4".to_string(), "x".repeat(95)]);
    let full = |e: &ClientEvent| matches!(e, ClientEvent::Dropped { why: DropReason::Full, .. });
    assert_eq!(world.count(full), 4);
}

#[test]
pub(super) fn what_is_in_flight_is_not_dropped_for_newer_ones() {
    let outgoing = QueueLimits { max_messages: 2, max_bytes: 100 };
    let mut world = World::connected(ClientConfig { outgoing, when_full: WhenFull::DropOldest, ..config() });
    world.publish(0);
    world.publish(1);
    let mut out = crate::buf::SharedSendBuf::new(1000);
    let _ = world.client.poll_transmit(world.now, &mut out); // lost on the way
    world.cut_line();
    let third = world.client.publish(world.now, Publish::new("t", "2"));
    assert_eq!(third, Err(ClientError::Full), "both have their numbers");
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Dropped { .. })), 0);
    world.advance(Duration::from_secs(5));
    assert_eq!(world.server.received, numbers(2));
}

#[test]
pub(super) fn at_most_once_waits_for_a_connection_only_if_wanted() {
    let mut world = World::new(ClientConfig { keep_unreliable: false, ..config() });
    assert_eq!(world.client.publish(world.now, Publish::new("t", "x")), Err(ClientError::NotConnected));
    world.run();
    world.client.publish(world.now, Publish::new("t", "x")).unwrap();
    world.publish("kept");
    world.cut_line();
    world.advance(Duration::from_secs(5));
    let cut = |e: &ClientEvent| matches!(e, ClientEvent::Dropped { why: DropReason::Disconnected, .. });
    assert_eq!((world.count(cut), &world.server.received[..]), (1, &["kept".to_string()][..]));
}

#[test]
pub(super) fn what_has_waited_too_long_or_is_too_large_is_dropped() {
    let mut world = World::new(config());
    world.reachable = false;
    let mut memory = [0; 16];
    let properties = Properties::write(&[Property::Expiry(Duration::from_secs(5))], &mut memory).unwrap();
    let old = Publish { reliable: true, properties, ..Publish::new("t", "old") };
    world.client.publish(world.now, old.clone()).unwrap();
    world.server.config.limits.max_frame = 256;
    world.publish("x".repeat(300));
    world.advance(Duration::from_secs(5));
    world.client.publish(world.now, old).unwrap();
    world.publish("last");
    world.reachable = true;
    world.advance(Duration::from_secs(4));
    let why: Vec<DropReason> = world
        .events
        .iter()
        .filter_map(|e| if let ClientEvent::Dropped { why, .. } = e { Some(*why) } else { None })
        .collect();
    assert_eq!(why, [DropReason::Expired, DropReason::TooLarge]);
    assert_eq!(world.server.received, ["old", "last"]);
    let large = world.client.publish(world.now, Publish::new("t", std::vec![0; 300]));
    assert_eq!(large, Err(ClientError::TooLarge { size: 302, limit: 256 }));
}

#[test]
pub(super) fn messages_keep_topic_properties_and_payload() {
    let mut world = World::connected(config());
    let id = world.client.subscribe(world.now, "a/#", SubscribeOptions::default()).unwrap();
    world.run();
    let mut memory = [0; 64];
    let list = [Property::ContentType("text/plain"), Property::User("k", "v")];
    let properties = Properties::write(&list, &mut memory).unwrap();
    let wire = crate::session::Message { properties, ..crate::session::Message::new("a/b", b"hello") };
    world.serve(|s, now, out| s.message(now, out, id.get(), &wire).unwrap());
    world.serve(|s, now, out| s.publish(now, out, &wire).unwrap());
    world.serve(|s, now, out| s.message(now, out, 77, &wire).unwrap()); // MSG-3
    world.events.clear();
    world.run();
    let [ClientEvent::Message { message, .. }, ClientEvent::Direct(direct)] = &world.events[..] else {
        panic!("{:?}", world.events)
    };
    for m in [message, direct] {
        assert_eq!((m.topic(), m.payload(), m.is_reliable()), ("a/b", &b"hello"[..], false));
        assert_eq!(m.properties().iter().collect::<Vec<_>>(), list);
        assert_eq!(m.clone().into_payload(), "hello");
    }
}

/// The same client against the real server.
#[test]
pub(super) fn it_speaks_with_the_server_of_this_crate() {
    use crate::buf::{GrowingRecvBuf, SharedSendBuf};
    use crate::endpoint::server::{Peer, Server, ServerConfig};
    let now = Instant::from_millis(1);
    let mut server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
    let mut client = Client::new(now, config(), Box::new(Seeded::new(2)));
    client.subscribe(now, "a/+", SubscribeOptions { reliable: true, ..SubscribeOptions::default() }).unwrap();
    client.serve(now, "echo", SubscribeOptions::default()).unwrap();
    client.publish(now, Publish { reliable: true, ..Publish::new("a/b", "hi") }).unwrap();
    let request = client.request(now, Request::new("echo", "who?")).unwrap();
    client.poll_connect(now).unwrap();
    client.handle_connected_over(now, &carrier());
    let key = server.accept(now, Peer::default()).unwrap();
    let (mut at_server, mut at_client) = (GrowingRecvBuf::new(1 << 21), GrowingRecvBuf::new(1 << 21));
    let (mut to_server, mut to_client) = (SharedSendBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    let mut seen = Vec::new();
    for _ in 0..20 {
        let _ = client.poll_transmit(now, &mut to_server);
        to_server.slices().for_each(|s| assert_eq!(at_server.push(s), s.len()));
        to_server.sent(usize::MAX);
        server.recv(now, key, &mut at_server, &mut to_client);
        let _ = server.poll_transmit(now, key, &mut to_client);
        to_client.slices().for_each(|s| assert_eq!(at_client.push(s), s.len()));
        to_client.sent(usize::MAX);
        client.recv(now, &mut at_client);
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::Request(asked) => {
                    let reply = Reply::ok(asked.message.into_payload());
                    client.respond(now, asked.handle, reply).unwrap();
                }
                ClientEvent::Message { message, .. } => seen.push(message.into_payload()),
                ClientEvent::Response { request: r, payload, .. } if r == request => seen.push(payload),
                _ => {}
            }
        }
    }
    seen.sort();
    assert_eq!(seen, ["hi", "who?"]);
    assert_eq!(client.outgoing().messages, 0);
}

#[test]
pub(super) fn an_acknowledgement_lets_the_next_ones_go() {
    let mut world = World::new(config());
    world.server.config.limits.in_flight = 1;
    for i in 0..5 {
        world.publish(i);
    }
    world.run();
    assert_eq!(world.server.received, numbers(5));
}
