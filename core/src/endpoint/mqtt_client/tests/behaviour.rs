//! What the client does of its own.

use core::time::Duration;
use std::string::ToString;
use std::vec::Vec;

use super::super::*;
use super::world::World;
use crate::endpoint::server::ServerConfig;
use crate::mqtt::{Property, PropertyBlock, Qos, Subscription as Filter, Version};

const SECOND: Duration = Duration::from_secs(1);

#[test]
pub(super) fn what_is_published_offline_waits_in_order_within_limits() {
    let mut world = World::new();
    let (a, b) = (world.named("a"), world.named("b"));
    world.subscribe(b, "t", Qos::AtLeastOnce);
    world.settle();
    world.people[a].cut_off = true;
    world.cut(a);
    let ids: Vec<_> = [Qos::AtLeastOnce, Qos::AtMostOnce, Qos::ExactlyOnce]
        .into_iter()
        .enumerate()
        .map(|(n, qos)| world.publish(a, "t", &n.to_string(), qos))
        .collect();
    world.pass(SECOND);
    assert_eq!(world.people[a].client.outgoing().messages, 3);
    world.people[a].cut_off = false;
    world.pass(60 * SECOND);
    assert_eq!(world.payloads(b), ["0", "1", "2"]);
    assert!(ids.iter().all(|id| world.people[a].outcome(*id) == Some(ReasonCode::Success)));
    assert_eq!(world.people[a].connections(), [false, true], "clean start is for the first connection");
}

#[test]
pub(super) fn a_full_queue_refuses_or_drops_the_oldest() {
    for when_full in [WhenFull::Refuse, WhenFull::DropOldest] {
        let mut world = World::new();
        let outgoing = QueueLimits { max_messages: 2, max_bytes: 100 };
        let a = world.join(ClientConfig { outgoing, when_full, ..ClientConfig::default() });
        world.people[a].cut_off = true;
        let first = world.publish(a, "t", "0", Qos::AtLeastOnce);
        world.publish(a, "t", "1", Qos::AtLeastOnce);
        let third = world.people[a].client.publish(world.now, Publish::new("t", "2"));
        world.settle();
        let dropped: Vec<_> = world.people[a]
            .events
            .iter()
            .filter_map(|event| match event {
                ClientEvent::Dropped { publish, why: DropReason::Full } => Some(*publish),
                _ => None,
            })
            .collect();
        match when_full {
            WhenFull::Refuse => assert_eq!((third, dropped.len()), (Err(ClientError::Full), 0)),
            WhenFull::DropOldest => assert!(third.is_ok() && dropped == [first]),
        }
        assert_eq!(world.people[a].client.outgoing().messages, 2);
    }
}

#[test]
pub(super) fn a_lost_session_is_made_anew() {
    let mut world = World::new();
    let (a, b) = (world.named("a"), world.named("b"));
    let subscription = world.subscribe(b, "t", Qos::ExactlyOnce);
    world.settle();
    world.people[a].cut_off = true;
    world.cut(a);
    let id = world.publish(a, "t", "before", Qos::ExactlyOnce);
    world.replace_server();
    world.pass(60 * SECOND);
    world.people[a].cut_off = false;
    world.pass(60 * SECOND);
    assert_eq!(world.people[b].connections(), [false, false]);
    assert!(world.people[b].events.iter().any(|event| matches!(event, ClientEvent::Lost)));
    let answers = world.people[b].events.iter().filter(
        |event| matches!(event, ClientEvent::Subscribed { subscription: s, .. } if *s == subscription),
    );
    assert_eq!(answers.count(), 2, "each session's answer");
    assert_eq!(world.payloads(b), ["before"]);
    assert_eq!(world.people[a].outcome(id), Some(ReasonCode::Success));
}

#[test]
pub(super) fn filters_of_a_session_from_before_can_be_given_up() {
    let mut world = World::new();
    let before = world.named("me");
    world.subscribe(before, "t", Qos::AtLeastOnce);
    world.settle();
    world.people[before].cut_off = true;
    world.cut(before);
    let config = ClientConfig { client_id: "me".into(), clean_start: false, ..ClientConfig::default() };
    let now = world.join(config);
    let early = world.people[now].client.unsubscribe_filters(world.now, &["t"]);
    assert_eq!(early, Err(ClientError::NotConnected));
    world.settle();
    world.publish(now, "t", "of no subscription here", Qos::AtLeastOnce);
    world.settle();
    assert_eq!(world.people[now].raw[0].0, [], "it is told all the same");
    let id = world.people[now].client.unsubscribe_filters(world.now, &["t", "u"]).unwrap();
    world.settle();
    assert!(world.people[now].events.iter().any(|event| matches!(event,
        ClientEvent::Unsubscribed { subscription, reasons } if *subscription == id
            && reasons[..] == [ReasonCode::Success, ReasonCode::NoSubscriptionExisted])));
    world.publish(now, "t", "nobody", Qos::AtLeastOnce);
    world.settle();
    assert_eq!(world.people[now].messages.len(), 1);
}

/// What had been sent and not answered when the session was lost goes out again, before what is newer.
#[test]
pub(super) fn what_was_in_flight_is_published_anew() {
    let mut world = World::new();
    let (a, b) = (world.named("a"), world.named("b"));
    world.subscribe(b, "t", Qos::ExactlyOnce);
    world.settle();
    let first = world.publish(a, "t", "1", Qos::AtLeastOnce);
    let second = world.publish(a, "t", "2", Qos::ExactlyOnce);
    world.step(a, 0); // both are on their way, and get lost
    world.replace_server();
    let third = world.publish(a, "t", "3", Qos::AtLeastOnce);
    world.people[b].cut_off = false;
    world.pass(60 * SECOND);
    for id in [first, second, third] {
        assert!(world.people[a].outcome(id).is_some_and(|reason| !reason.is_error()));
    }
    assert_eq!(world.people[a].client.outgoing(), Outgoing { messages: 0, bytes: 0 });
}

#[test]
pub(super) fn the_will_is_published_when_the_line_breaks_and_not_after_a_close() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::new();
        let b = world.named("b");
        world.subscribe(b, "gone/+", Qos::AtLeastOnce);
        let will = |who: &str| {
            let topic = std::format!("gone/{who}");
            Some(Will { topic, payload: b"x".into(), qos: Qos::AtLeastOnce, ..Will::default() })
        };
        let config = |who: &str| ClientConfig {
            version,
            client_id: who.into(),
            will: will(who),
            session_expiry: 0,
            ..ClientConfig::default()
        };
        let (lost, left) = (world.join(config("lost")), world.join(config("left")));
        world.settle();
        world.people[left].client.close(world.now);
        world.people[lost].cut_off = true;
        world.settle();
        world.cut(lost);
        world.pass(SECOND);
        assert_eq!(world.people[b].messages, [("gone/lost".to_string(), "x".to_string())], "{version:?}");
        assert_eq!(world.people[left].closed(), Some(&Reason::Requested));
    }
}

#[test]
pub(super) fn messages_are_routed_by_identifier_or_by_filter() {
    for version in [Version::V311, Version::V5] {
        let mut world = World::new();
        let b = world.join(ClientConfig { version, client_id: "b".into(), ..ClientConfig::default() });
        world.settle();
        let wide = world.subscribe(b, "t/#", Qos::AtLeastOnce);
        let one = world.subscribe(b, "t/+/x", Qos::AtLeastOnce);
        let same = world.subscribe(b, "t/+/x", Qos::AtLeastOnce);
        world.settle();
        world.publish(b, "t/1/x", "", Qos::AtLeastOnce);
        world.publish(b, "t/1", "", Qos::AtLeastOnce);
        world.settle();
        let ids = |at: usize| {
            let mut ids = world.people[b].raw[at].0.clone();
            ids.sort();
            ids
        };
        let copies = world.people[b].messages.len() - 1;
        assert!((1..=2).contains(&copies));
        let mut heard: Vec<_> = (0..copies).flat_map(ids).collect();
        heard.sort();
        heard.dedup();
        assert_eq!(heard, [wide, one, same], "{version:?}");
        assert_eq!(ids(copies), [wide]);
        // A filter that two have is given up by the second of them.
        world.people[b].client.unsubscribe(world.now, one).unwrap();
        world.settle();
        world.publish(b, "t/2/x", "", Qos::AtLeastOnce);
        world.settle();
        let last: Vec<_> =
            world.people[b].raw[copies + 1..].iter().flat_map(|(ids, _)| ids.clone()).collect();
        assert!(last.contains(&same) && !last.contains(&one), "{version:?}: {last:?}");
    }
}

#[test]
pub(super) fn a_subscription_tells_what_became_of_each_filter() {
    let mut world = World::new();
    let b = world.named("b");
    let filters = [Filter::new("a", Qos::AtMostOnce), Filter::new("b", Qos::ExactlyOnce)];
    let id = world.people[b].client.subscribe(world.now, Subscribe::new(&filters)).unwrap();
    world.settle();
    let answer = world.people[b].events.iter().find_map(|event| match event {
        ClientEvent::Subscribed { subscription, reasons, .. } if *subscription == id => Some(reasons.clone()),
        _ => None,
    });
    assert_eq!(answer, Some(std::vec![ReasonCode::Success, ReasonCode::GrantedQos2]));
    world.people[b].client.unsubscribe(world.now, id).unwrap();
    assert_eq!(world.people[b].client.unsubscribe(world.now, id), Err(ClientError::UnknownSubscription));
    world.settle();
    assert!(world.people[b].events.iter().any(|event| matches!(event,
        ClientEvent::Unsubscribed { reasons, .. } if reasons[..] == [ReasonCode::Success; 2])));
}

#[test]
pub(super) fn what_is_not_acknowledged_by_hand_comes_again() {
    let mut world = World::new();
    let a = world.named("a");
    let config = ClientConfig { client_id: "b".into(), manual_ack: true, ..ClientConfig::default() };
    let b = world.join(config);
    world.settle();
    world.subscribe(b, "t", Qos::ExactlyOnce);
    world.settle();
    for (payload, qos) in [("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce), ("3", Qos::AtLeastOnce)] {
        world.publish(a, "t", payload, qos);
    }
    world.settle();
    let handles: Vec<_> = world.people[b].raw.iter().map(|(_, message)| message.handle()).collect();
    world.people[b].client.ack(world.now, handles[0], ReasonCode::Success).unwrap();
    world.settle();
    world.cut(b);
    let stale = world.people[b].client.ack(world.now, handles[1], ReasonCode::Success);
    assert_eq!(stale, Err(ClientError::Gone));
    world.pass(60 * SECOND);
    assert_eq!(world.payloads(b), ["1", "2", "3", "2", "3"]);
    assert!(world.people[b].raw[3..].iter().all(|(_, message)| message.is_duplicate()));
    for (_, message) in world.people[b].raw.split_off(3) {
        world.people[b].client.ack(world.now, message.handle(), ReasonCode::Success).unwrap();
    }
    world.settle();
    world.cut(b);
    world.pass(60 * SECOND);
    assert_eq!(world.payloads(b).len(), 5);
}

#[test]
pub(super) fn nothing_is_read_while_nobody_takes_events() {
    let mut world = World::new();
    let a = world.named("a");
    let incoming = QueueLimits { max_messages: 4, max_bytes: 1 << 20 };
    let b = world.join(ClientConfig { client_id: "b".into(), incoming, ..ClientConfig::default() });
    world.settle();
    world.subscribe(b, "t", Qos::AtLeastOnce);
    world.settle();
    world.people[b].asleep = true;
    for n in 0..20 {
        world.publish(a, "t", &n.to_string(), Qos::AtLeastOnce);
    }
    world.pass(SECOND);
    assert!(!world.people[b].client.wants_read());
    // Its own silence is not the server's: the connection outlives many keep alives.
    world.pass(25 * SECOND);
    assert!(world.people[b].client.is_connected());
    world.people[b].asleep = false;
    world.pass(SECOND);
    assert_eq!(world.payloads(b).len(), 20);
}

#[test]
pub(super) fn an_expiry_goes_on_while_a_message_waits() {
    let mut world = World::new();
    let (a, b) = (world.named("a"), world.named("b"));
    world.subscribe(b, "t", Qos::AtLeastOnce);
    world.settle();
    world.people[a].cut_off = true;
    world.cut(a);
    for expiry in [2, 300] {
        let properties = PropertyBlock::of_message(&[Property::MessageExpiry(expiry)]).unwrap();
        let publish = Publish { properties, qos: Qos::AtLeastOnce, ..Publish::new("t", expiry.to_string()) };
        world.people[a].client.publish(world.now, publish).unwrap();
    }
    world.pass(5 * SECOND);
    world.people[a].cut_off = false;
    world.pass(60 * SECOND);
    assert_eq!(world.payloads(b), ["300"]);
    let left = world.people[b].raw[0].1.properties().iter().find_map(|property| match property {
        Property::MessageExpiry(left) => Some(left),
        _ => None,
    });
    assert!(left.is_some_and(|left| (230..=295).contains(&left)), "{left:?}");
    let expired =
        |event: &ClientEvent| matches!(event, ClientEvent::Dropped { why: DropReason::Expired, .. });
    assert!(world.people[a].events.iter().any(expired));
}

#[test]
pub(super) fn the_server_may_choose_the_client_identifier() {
    let mut world = World::new();
    let a = world.join(ClientConfig::default());
    world.settle();
    let chosen = world.people[a].client.client_id().to_string();
    assert!(!chosen.is_empty());
    world.cut(a);
    world.pass(60 * SECOND);
    assert_eq!(world.people[a].connections(), [false, true], "it goes on with the session of that name");
    assert_eq!(world.people[a].client.client_id(), chosen);
}

#[test]
pub(super) fn what_would_fail_again_is_not_tried_again() {
    let mut world = World::new();
    let first = world.named("same");
    world.named("same");
    world.pass(60 * SECOND);
    let taken = Reason::Remote { code: ReasonCode::SessionTakenOver, text: std::string::String::new() };
    assert_eq!(world.people[first].closed().map(Reason::code), Some(taken.code()));

    let mut world = World::with(ServerConfig {
        users: crate::endpoint::server::Users::new(crate::endpoint::server::Anonymous::Never),
        ..ServerConfig::default()
    });
    let a = world.named("a");
    assert!(matches!(world.people[a].closed(), Some(Reason::Refused { .. })), "{:?}", world.people[a].events);

    let will = Some(Will { topic: "a/#".into(), ..Will::default() });
    let b = world.join(ClientConfig { will, ..ClientConfig::default() });
    world.settle();
    assert!(matches!(world.people[b].closed(), Some(Reason::Settings(_))));
}

#[test]
pub(super) fn a_drain_finishes_what_waits_and_a_close_does_not() {
    let mut world = World::new();
    let a = world.named("a");
    let id = world.publish(a, "t", "1", Qos::ExactlyOnce);
    world.people[a].client.drain(world.now, 5 * SECOND);
    assert_eq!(world.people[a].client.publish(world.now, Publish::new("t", "2")), Err(ClientError::Closed));
    world.settle();
    assert_eq!(world.people[a].outcome(id), Some(ReasonCode::Success));
    assert_eq!(world.people[a].closed(), Some(&Reason::Requested));

    let b = world.join(ClientConfig::default());
    world.people[b].cut_off = true;
    world.publish(b, "t", "1", Qos::ExactlyOnce);
    world.people[b].client.drain(world.now, 5 * SECOND);
    world.pass(6 * SECOND);
    assert!(
        world.people[b]
            .events
            .iter()
            .any(|event| matches!(event, ClientEvent::Closed { reason: Reason::Requested, undelivered: 1 }))
    );
}

#[test]
pub(super) fn a_silent_server_is_given_up() {
    let mut world = World::new();
    let a = world.named("a");
    // The line stands, and nothing comes over it any more.
    let mut now = world.now;
    for _ in 0..200 {
        now = now + SECOND;
        world.people[a].client.handle_timeout(now);
        let mut out = crate::buf::SharedSendBuf::new(1 << 16);
        let _ = world.people[a].client.poll_transmit(now, &mut out);
        if !world.people[a].client.is_connected() {
            break;
        }
    }
    let gone = now.saturating_since(world.now);
    assert!((SECOND * 30..SECOND * 60).contains(&gone), "{gone:?}");
}

/// Enhanced authentication (§4.12), against the server's own machine: its application here is a script.
#[test]
pub(super) fn an_authentication_goes_step_by_step() {
    use crate::buf::{GrowingRecvBuf, SharedSendBuf};
    use crate::mqtt::server::{self, Event, Server, Welcome};
    use crate::mqtt::{Auth, Properties};
    let now = Instant::from_millis(1);
    let auth = AuthMethod { name: "count".into(), data: b"one".to_vec().into() };
    let config = ClientConfig { auth: Some(auth), ..ClientConfig::default() };
    let mut client = Client::new(now, config, std::boxed::Box::new(crate::entropy::Seeded::new(1)));
    let mut server = Server::accept(now, &server::Config::default());
    let (mut up, mut down) = (SharedSendBuf::new(4096), SharedSendBuf::new(4096));
    let (mut at_server, mut at_client) = (GrowingRecvBuf::new(4096), GrowingRecvBuf::new(4096));
    let mut heard: Vec<Vec<u8>> = Vec::new();
    let mut steps: Vec<(bool, Vec<u8>)> = Vec::new();
    client.poll_connect(now).unwrap();
    client.handle_connected(now);
    for round in 0..8 {
        let _ = client.poll_transmit(now, &mut up);
        let octets = up.slices().flatten().copied().collect::<Vec<_>>();
        up.sent(octets.len());
        at_server.push(&octets);
        while let Some(event) = server.recv(now, &mut at_server, &mut crate::mqtt::AliasTable::new()) {
            let data = |properties: Properties<'_>| match properties.get(crate::mqtt::PropertyId::AuthData) {
                Some(Property::AuthData(data)) => data.to_vec(),
                _ => Vec::new(),
            };
            let again = |data| [Property::AuthMethod("count"), Property::AuthData(data)];
            let (reason, list) = match event {
                Event::Connect(connect) => {
                    heard.push(data(connect.properties));
                    (ReasonCode::ContinueAuthentication, again(b"two"))
                }
                Event::Auth(auth) if auth.reason == ReasonCode::ReAuthenticate => {
                    heard.push(data(auth.properties));
                    (ReasonCode::Success, again(b"fine"))
                }
                Event::Auth(auth) => {
                    heard.push(data(auth.properties));
                    server.connack(now, &mut down, &Welcome::default()).unwrap();
                    continue;
                }
                other => panic!("{other:?}"),
            };
            server.auth(now, &mut down, &Auth { reason, properties: Properties::list(&list) }).unwrap();
        }
        let octets = down.slices().flatten().copied().collect::<Vec<_>>();
        down.sent(octets.len());
        at_client.push(&octets);
        client.recv(now, &mut at_client);
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Auth { done, data } = event {
                if !done {
                    client.authenticate(now, b"three").unwrap();
                }
                steps.push((done, data));
            }
        }
        if round == 4 {
            assert!(client.is_connected());
            client.authenticate(now, b"four").unwrap();
        }
    }
    assert_eq!(heard, [b"one".to_vec(), b"three".to_vec(), b"four".to_vec()]);
    assert_eq!(steps, [(false, b"two".to_vec()), (true, b"fine".to_vec())]);
}

#[test]
pub(super) fn names_and_secrets_stay_out_of_debug() {
    let config = ClientConfig {
        user: Some("ann".into()),
        password: Some(zeroize::Zeroizing::new(b"pencil".to_vec())),
        ..ClientConfig::default()
    };
    let shown = std::format!("{config:?}");
    assert!(shown.contains("ann") && !shown.contains("pencil") && !shown.contains("112"), "{shown}");
}

/// §4.11: 0x9C and 0x9D, in CONNACK and in DISCONNECT, name other servers; the client tells its application, and
/// its next attempt goes to the first of them.
#[test]
pub(super) fn a_server_may_send_the_client_elsewhere() {
    use crate::buf::{GrowingRecvBuf, SharedSendBuf};
    use crate::entropy::Seeded;
    use crate::mqtt::{ConnAck, Disconnect, Packet, Properties, Property, Version};
    let list = [Property::ServerReference("mqtt.example:1884 other.example")];
    let properties = Properties::list(&list);
    let now = crate::time::Instant::from_millis(1);
    for reason in [ReasonCode::UseAnotherServer, ReasonCode::ServerMoved] {
        let welcome =
            ConnAck { reason: ReasonCode::Success, session_present: false, properties: Properties::NONE };
        let refused = [Packet::ConnAck(ConnAck { reason, session_present: false, properties })];
        let dismissed = [Packet::ConnAck(welcome), Packet::Disconnect(Disconnect { reason, properties })];
        for packets in [&refused[..], &dismissed[..]] {
            let entropy = std::boxed::Box::new(Seeded::new(1));
            let mut client = Client::new(now, ClientConfig::default(), entropy);
            assert_eq!(client.poll_connect(now).expect("at once").address, None);
            client.handle_connected(now);
            let mut out = SharedSendBuf::new(1 << 16);
            let _ = client.poll_transmit(now, &mut out);
            let (mut sent, mut received) = (SharedSendBuf::new(1 << 16), GrowingRecvBuf::new(1 << 16));
            packets.iter().for_each(|packet| packet.encode(Version::V5, &mut sent).unwrap());
            sent.slices().for_each(|octets| assert_eq!(received.push(octets), octets.len()));
            client.recv(now, &mut received);
            client.handle_transport_gone(now);
            let events: std::vec::Vec<ClientEvent> = core::iter::from_fn(|| client.poll_event()).collect();
            let told = events.iter().find_map(|event| match event {
                ClientEvent::Disconnected { reason, .. } => Some(reason.code()),
                _ => None,
            });
            assert_eq!(told, Some(Some(reason)), "{events:?}");
            let later = now + 120 * SECOND;
            client.handle_timeout(later);
            let dial = client.poll_connect(later).expect("it tries again");
            assert_eq!(dial.address.as_deref(), Some("mqtt.example:1884"));
        }
    }
}
