//! Answers that wait for a store, and a server that starts again with what the store has.

use core::time::Duration;
use std::string::String;
use std::vec::Vec;

use super::world::World;
use crate::endpoint::server::{Anonymous, ServerConfig, ServerEvent, Users};
use crate::hub::HubOptions;
use crate::lifecycle::Transport;
use crate::mqtt::{
    AckKind, Connect, Disconnect, Packet, Properties, Property, Qos, ReasonCode, Subscription, Version,
};
use crate::prx1::{self, Filter};
use crate::session::{Code, Connect as Hello, Counts, Message, Resume, Subscribe};

const NOTHING: Vec<String> = Vec::new();

fn world() -> World {
    let hub = HubOptions { durable: true, ..HubOptions::default() };
    World::new(ServerConfig { hub, ..ServerConfig::default() })
}

/// A client with a session that the store keeps, and that wants `t` exactly once.
fn durable_subscriber(w: &mut World) -> usize {
    let (b, _) = w.stay(Version::V5, "b");
    w.subscribe_as(b, Subscription::new("t", Qos::ExactlyOnce), Properties::NONE);
    assert_eq!(w.take(b), NOTHING, "the subscription is not kept yet");
    w.commit();
    assert_eq!(w.take(b), ["SUBACK 9: Granted QoS 2"]);
    b
}

#[test]
pub(super) fn what_is_acknowledged_is_stored_before() {
    let mut w = world();
    let b = durable_subscriber(&mut w);
    let (a, c) = (w.v5("a"), w.v5("c"));
    w.publish(a, "t", "x", Qos::AtLeastOnce, 1);
    w.publish(a, "other", "y", Qos::AtLeastOnce, 2);
    w.publish(a, "t", "z", Qos::ExactlyOnce, 3);
    w.send(a, &Packet::PingReq);
    assert_eq!(w.take(a), ["PINGRESP"], "acknowledgements keep their order");
    w.publish(c, "other", "y", Qos::AtLeastOnce, 1);
    assert_eq!(w.take(c), ["PUBACK 1 No matching subscribers"], "and nobody waits for others");
    assert_eq!(w.take(b), ["t=x q1#1"], "but QoS 2, whose identifier must not be another's");
    w.commit();
    assert_eq!(w.take(a), ["PUBACK 1", "PUBACK 2 No matching subscribers", "PUBREC 3"]);
    assert_eq!(w.take(b), ["t=z q2#2"]);
    // Its session ends with its connection: nothing of it is kept.
    w.ack(a, AckKind::PubRel, 3);
    assert_eq!(w.take(a), ["PUBCOMP 3"]);
    // PUBREL waits until it is known that the message was received.
    w.ack(b, AckKind::PubRec, 2);
    assert_eq!(w.take(b), NOTHING);
    w.commit();
    assert_eq!(w.take(b), ["PUBREL 2"]);
}

#[test]
pub(super) fn what_is_said_again_is_answered_no_sooner() {
    let mut w = world();
    let b = durable_subscriber(&mut w);
    let a = w.v5("a");
    w.publish(a, "t", "x", Qos::ExactlyOnce, 1);
    w.commit();
    assert_eq!(w.take(b), ["t=x q2#1"]);
    // PUBREC, and again over another connection.
    w.ack(b, AckKind::PubRec, 1);
    w.cut(b);
    let (b, _) = w.stay(Version::V5, "b");
    w.ack(b, AckKind::PubRec, 1);
    assert_eq!(w.take(b), NOTHING, "it is not committed that it was received");
    w.commit();
    assert_eq!(w.take(b)[0], "PUBREL 1");
    // PUBREL, and again: its identifier is free once that is committed.
    w.publish(b, "other", "y", Qos::ExactlyOnce, 5);
    w.commit();
    w.take(b);
    w.ack(b, AckKind::PubRel, 5);
    w.cut(b);
    let (b, _) = w.stay(Version::V5, "b");
    w.take(b);
    w.ack(b, AckKind::PubRel, 5);
    assert_eq!(w.take(b), NOTHING);
    w.commit();
    assert_eq!(w.take(b), ["PUBCOMP 5"]);
}

/// [MQTT-3.1.2-4]
#[test]
pub(super) fn a_session_that_is_discarded_does_not_come_back() {
    let mut w = world();
    let b = durable_subscriber(&mut w);
    w.publish(b, "other", "x", Qos::ExactlyOnce, 5);
    w.commit();
    w.cut(b);
    let list = [Property::SessionExpiry(600)];
    let clean = Connect { properties: Properties::list(&list), ..Connect::new(Version::V5, "b") };
    let (b, said) = w.mqtt(&clean);
    assert_eq!(said, NOTHING, "a crash now would have it go on");
    w.publish(b, "other", "y", Qos::ExactlyOnce, 5);
    assert_eq!(w.take(b), NOTHING, "it is not heard before");
    w.advance(Duration::from_secs(60));
    assert_eq!(w.lines[b].transport, Transport::Open, "nor given up, as it is not to blame");
    w.commit();
    let said = w.take(b);
    assert!(said[0].starts_with("CONNACK"), "{said:?}");
    assert_eq!(said.len(), 1);
    w.commit();
    assert_eq!(w.take(b), ["PUBREC 5 No matching subscribers"]);
    let a = w.v5("a");
    w.publish(a, "t", "x", Qos::ExactlyOnce, 1);
    assert_eq!(w.take(a), ["PUBREC 1 No matching subscribers"], "its subscriptions are gone");
}

/// However a session has ended, its client is not told that it has a new one before the store knows.
#[test]
fn a_session_that_has_ended_does_not_come_back() {
    let mut w = world();
    let list = [Property::SessionExpiry(60)];
    let minute =
        Connect { clean_start: false, properties: Properties::list(&list), ..Connect::new(Version::V5, "b") };
    let ends: [fn(&mut World, usize); 3] = [
        // It expires.
        |w, b| {
            w.cut(b);
            w.commit();
            w.advance(Duration::from_secs(61));
        },
        // Its client ends it with its connection.
        |w, b| {
            let list = [Property::SessionExpiry(0)];
            let properties = Properties::list(&list);
            w.send(b, &Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties }));
        },
        // A clean connection takes its place, and goes with its own session.
        |w, b| {
            w.cut(b);
            let (clean, _) = w.mqtt(&Connect::new(Version::V5, "b"));
            w.cut(clean);
        },
    ];
    for end in ends {
        let (b, said) = w.mqtt(&minute);
        assert_eq!(said, ["CONNACK Success"]);
        w.publish(b, "other", "x", Qos::ExactlyOnce, 5);
        w.commit();
        end(&mut w, b);
        let (other, said) = w.mqtt(&Connect { client_id: "c", ..minute });
        assert_eq!(said, ["CONNACK Success"], "who has another name waits for nothing");
        w.cut(other);
        let (b, said) = w.mqtt(&minute);
        assert_eq!(said, NOTHING, "a crash now would have it go on");
        w.commit();
        assert_eq!(w.take(b), ["CONNACK Success"]);
        w.publish(b, "other", "y", Qos::ExactlyOnce, 5);
        w.commit();
        assert_eq!(w.take(b), ["PUBREC 5 No matching subscribers"]);
        let list = [Property::SessionExpiry(0)];
        let properties = Properties::list(&list);
        w.send(b, &Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties }));
        w.commit();
        let (c, _) = w.mqtt(&Connect { clean_start: true, client_id: "c", ..Connect::new(Version::V5, "c") });
        w.commit();
        w.cut(c);
    }
}

#[test]
pub(super) fn our_own_protocol_and_prx1_wait_as_well() {
    let mut w = world();
    durable_subscriber(&mut w);
    let (own, prx1) = (w.bowline(), w.prx1(None, true).0);
    let message = Message { reliable: true, ..Message::new("t", b"x") };
    w.call(own, |session, now, out| session.publish(now, out, &message).unwrap());
    let id = prx1::PacketId::new(7);
    w.say(prx1, &prx1::Packet::Publish(prx1::Publish { id, ..prx1::Publish::new("t", b"y") }));
    assert_eq!((w.take(own), w.take(prx1)), (NOTHING, NOTHING));
    w.commit();
    assert_eq!(w.take(own), ["acked 1"]);
    assert_eq!(w.take(prx1), ["PUBACK 7"]);
    let message = Message { topic: "other", ..message };
    w.call(own, |session, now, out| session.publish(now, out, &message).unwrap());
    assert_eq!(w.take(own), ["acked 2"]);
}

/// END-2: who leaves at once still learns what was accepted.
#[test]
pub(super) fn a_close_waits_for_what_came_before_it() {
    let mut w = world();
    durable_subscriber(&mut w);
    let own = w.bowline();
    w.call(own, |session, now, out| {
        session.publish(now, out, &Message { reliable: true, ..Message::new("t", b"x") }).unwrap();
        session.close(now, Code::Normal, "");
        let _ = session.poll_transmit(now, out);
    });
    let closed = |w: &mut World| w.events().iter().any(|e| matches!(e, ServerEvent::Closed { .. }));
    assert!(!closed(&mut w), "its CLOSE is not looked at before the message is stored");
    w.commit();
    assert!(closed(&mut w));
}

#[test]
pub(super) fn a_store_that_takes_nothing_is_told_where_there_are_words() {
    let mut w = world();
    let b = durable_subscriber(&mut w);
    let (a, old, prx1) = (w.v5("a"), w.v3("old"), w.prx1(None, true).0);
    w.server.set_store_available(false);
    w.publish(a, "t", "x", Qos::AtLeastOnce, 1);
    w.publish(a, "t", "x", Qos::ExactlyOnce, 2);
    assert_eq!(w.take(a), ["PUBACK 1 Quota exceeded", "PUBREC 2 Quota exceeded"]);
    w.publish(old, "t", "x", Qos::AtLeastOnce, 1);
    assert_eq!(w.take(old), NOTHING);
    assert_ne!(w.lines[old].transport, Transport::Open, "it keeps what it has, and comes again");
    let id = prx1::PacketId::new(7);
    w.say(prx1, &prx1::Packet::Publish(prx1::Publish { id, ..prx1::Publish::new("t", b"y") }));
    assert_eq!(w.take(prx1), NOTHING);
    w.publish(a, "t", "plain", Qos::AtMostOnce, 0);
    assert_eq!(w.take(b), ["t=plain"], "the rest goes on");
}

/// [MQTT-4.6.0-5]: the order is that of what was accepted. A refusal settles a message; where it is lost
/// with the connection, the client says the message again, which is then taken, behind those that were
/// taken meanwhile. Nothing is lost, and nothing comes twice.
#[test]
fn a_message_whose_refusal_was_lost_is_taken_when_it_is_said_again() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut w = world();
        let b = durable_subscriber(&mut w);
        let (a, _) = w.stay(Version::V5, "a");
        w.commit();
        w.server.set_store_available(false);
        w.publish(a, "t", "first", qos, 1);
        w.server.set_store_available(true);
        w.publish(a, "t", "second", qos, 2);
        w.commit();
        // Neither answer reaches it: it says both again, in their order.
        w.cut(a);
        let (a, resumed) = w.stay(Version::V5, "a");
        assert!(resumed);
        w.publish(a, "t", "first", qos, 1);
        w.publish(a, "t", "second", qos, 2);
        w.commit();
        let came = w.take(b);
        let told = w.take(a);
        if qos == Qos::ExactlyOnce {
            assert_eq!(came, ["t=second q2#1", "t=first q2#2"]);
            assert_eq!(told, ["PUBREC 1", "PUBREC 2"], "the second is known");
        } else {
            assert_eq!(
                came,
                ["t=second q1#1", "t=first q1#2", "t=second q1#3"],
                "in order from the repetition on"
            );
            assert_eq!(told, ["PUBACK 1", "PUBACK 2"]);
        }
    }
}

/// One who may have one message in flight at a time has no order to lose, whatever is lost.
#[test]
fn who_has_one_message_in_flight_keeps_the_order_over_lost_refusals() {
    let mut w = world();
    let b = durable_subscriber(&mut w);
    let (a, _) = w.stay(Version::V5, "a");
    w.commit();
    w.server.set_store_available(false);
    w.publish(a, "t", "first", Qos::ExactlyOnce, 1);
    w.cut(a);
    w.server.set_store_available(true);
    let (a, _) = w.stay(Version::V5, "a");
    w.publish(a, "t", "first", Qos::ExactlyOnce, 1);
    w.commit();
    assert_eq!(w.take(a), ["PUBREC 1"]);
    w.publish(a, "t", "second", Qos::ExactlyOnce, 2);
    w.commit();
    assert_eq!(w.take(b), ["t=first q2#1", "t=second q2#2"]);
}

#[test]
pub(super) fn sessions_of_mqtt_outlive_the_server() {
    let mut w = world();
    let b = durable_subscriber(&mut w);
    let (a, _) = w.stay(Version::V311, "a");
    for (n, payload) in [(1, "one"), (2, "two"), (3, "three")] {
        w.publish(a, "t", payload, Qos::ExactlyOnce, n);
    }
    w.commit();
    assert_eq!(w.take(b), ["t=one q2#1", "t=two q2#2", "t=three q2#3"]);
    w.ack(b, AckKind::PubRec, 1);
    w.ack(a, AckKind::PubRel, 1);
    w.commit();
    w.restart();
    let (b, resumed) = w.stay(Version::V5, "b");
    assert!(resumed);
    assert_eq!(w.take(b), ["PUBREL 1", "t=two q2#2 dup", "t=three q2#3 dup"]);
    let (a, resumed) = w.stay(Version::V311, "a");
    assert!(resumed);
    w.publish(a, "t", "two", Qos::ExactlyOnce, 2);
    w.ack(a, AckKind::PubRel, 2);
    w.commit();
    assert_eq!(w.take(a), ["PUBREC 2", "PUBCOMP 2"]);
    assert_eq!(w.take(b), NOTHING, "it is not another message");
    w.publish(a, "t", "one more", Qos::ExactlyOnce, 1);
    w.commit();
    assert_eq!(w.take(b), ["t=one more q2#4"]);
}

#[test]
pub(super) fn sessions_of_our_own_protocol_outlive_the_server() {
    let mut w = world();
    let hello = Hello { expiry: Duration::from_secs(600), ..Hello::default() };
    let b = w.bowline_as(&hello);
    let s = Subscribe { id: 4, filter: "t", reliable: true, ..Subscribe::default() };
    w.call(b, |session, now, out| session.subscribe(now, out, &s).unwrap());
    let a = w.v5("a");
    w.publish(a, "t", "one", Qos::AtLeastOnce, 1);
    w.commit();
    assert_eq!(w.take(b), ["result 4 Ok", "4 t=one"]);
    let (session, key) = w.lines[b].credentials.unwrap();
    w.cut(b);
    w.publish(a, "t", "two", Qos::AtLeastOnce, 2);
    w.commit();
    w.restart();
    // Its client has counted what the store has not: it begins with new counts, and what it was sent.
    let resume = Resume { session, key, counts: Counts { sent: 0, acked: 0, received: 1 } };
    let b = w.bowline_as(&Hello { resume: Some(resume), ..hello });
    assert_eq!(w.lines[b].credentials.map(|(id, _)| id), Some(session));
    assert_eq!(w.take(b), ["4 t=one", "4 t=two"]);
    let wrong = Resume { key: crate::session::ResumeKey([0; 16]), ..resume };
    let c = w.open_bowline(&Hello { resume: Some(wrong), ..hello });
    assert_eq!(w.take(c), ["closed Some(SessionRefused)"]);
}

/// RES-12: what a client has received by counts that a restart has ended is no acknowledgement by the
/// new ones, which it knows once WELCOME brings their key.
#[test]
pub(super) fn counts_that_a_restart_has_ended_acknowledge_nothing() {
    let mut w = world();
    let hello = Hello { expiry: Duration::from_secs(600), ..Hello::default() };
    let b = w.bowline_as(&hello);
    let s = Subscribe { id: 4, filter: "t", reliable: true, ..Subscribe::default() };
    w.call(b, |session, now, out| session.subscribe(now, out, &s).unwrap());
    w.commit();
    let (session, first) = w.lines[b].credentials.unwrap();
    w.cut(b);
    let a = w.v5("a");
    w.publish(a, "t", "one", Qos::AtLeastOnce, 1);
    w.publish(a, "t", "two", Qos::AtLeastOnce, 2);
    w.commit();
    let with = |key, received| {
        let resume = Resume { session, key, counts: Counts { sent: 0, acked: 0, received } };
        Hello { resume: Some(resume), ..hello }
    };
    w.restart();
    // Its WELCOME is lost, or what came behind it: whatever the client has counted, it gets all.
    let mut key = first;
    for received in [0, 1, 2, 7] {
        let b = w.bowline_as(&with(first, received));
        let (id, new) = w.lines[b].credentials.unwrap();
        assert!(id == session && new != first, "after {received}");
        assert_eq!(w.take(b), ["4 t=one", "4 t=two"], "after {received}");
        w.cut(b);
        key = new;
    }
    // With the new key it goes on from what it has.
    let b = w.bowline_as(&with(key, 1));
    assert_eq!(w.lines[b].credentials, Some((session, key)));
    assert_eq!(w.take(b), ["4 t=two"]);
    w.cut(b);
    let b = w.open_bowline(&with(key, 7));
    assert_eq!(w.take(b), ["closed Some(BadResume)"]);
    // What was acknowledged stays so; who comes with a former key counts from 0 nevertheless.
    for key in [first, key] {
        let b = w.bowline_as(&with(key, 9));
        assert_ne!(w.lines[b].credentials, Some((session, key)));
        assert_eq!(w.take(b), ["4 t=two"]);
        w.cut(b);
    }
    w.restart();
    let b = w.bowline_as(&with(key, 1));
    assert_ne!(w.lines[b].credentials, Some((session, key)), "a key of counts that are gone");
    let mut other = first;
    other.0[0] ^= 1;
    let c = w.open_bowline(&with(other, 0));
    assert_eq!(w.take(c), ["closed Some(SessionRefused)"], "RES-4");
}

#[test]
pub(super) fn sessions_of_prx1_outlive_the_server() {
    let mut w = world();
    let mut users = Users::new(Anonymous::Always);
    let salt = b"0123456789abcdef";
    let password = crate::scram::Credential::derive("u", salt, crate::scram::MIN_ITERATIONS).unwrap();
    users.add_password("u", password);
    let config = ServerConfig { users, ..w.server.config().clone() };
    w = World::new(config);
    let (b, _) = w.prx1(Some("u"), false);
    let subscribe =
        prx1::Subscribe { filter: Filter::parse("t").unwrap(), id: prx1::PacketId::new(1), dup: false };
    w.say(b, &prx1::Packet::Subscribe(subscribe));
    w.commit();
    w.cut(b);
    let a = w.v5("a");
    w.publish(a, "t", "x", Qos::AtLeastOnce, 1);
    w.commit();
    w.restart();
    assert_eq!(w.prx1(Some("u"), false).1, ["CONNACK None u", "t=x #1"]);
}

/// Of a client that is owed too many answers nothing more is read until the store has caught up.
#[test]
pub(super) fn a_store_that_is_behind_slows_its_publishers() {
    let mut w = world();
    durable_subscriber(&mut w);
    let a = w.v3("a");
    for n in 1..=1030 {
        w.publish(a, "t", "x", Qos::AtLeastOnce, n);
    }
    assert_eq!(w.server.hub().counters().messages_in, 1024);
    assert_eq!(w.take(a), NOTHING);
    // It is not taken for silent meanwhile.
    w.advance(Duration::from_secs(3600));
    w.commit();
    w.commit();
    let told = w.take(a);
    assert_eq!((told.len(), &*told[1029]), (1030, "PUBACK 1030"));
}
