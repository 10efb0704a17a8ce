//! PRX1 on the hub: what a correct server answers, and what becomes of sessions and queues.

use core::time::Duration;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::world::{Tongue, World};
use crate::endpoint::server::{Anonymous, Peer, ServerConfig, ServerEvent, Users};
use crate::lifecycle::Transport;
use crate::prx1::{Filter, Packet, PacketId, Publish, Queue, QueueAction, QueueOptions, Subscribe};
use crate::scram::{Credential, MIN_ITERATIONS};
use crate::session::Code;

/// Users `test` and `other`, each with its name as password.
fn world() -> World {
    let mut users = Users::new(Anonymous::Always);
    for user in ["test", "other"] {
        users.add_password(user, Credential::derive(user, b"0123456789abcdef", MIN_ITERATIONS).unwrap());
    }
    World::new(ServerConfig { users, ..ServerConfig::default() })
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn message<'a>(topic: &'a str, payload: &'a str, number: u16) -> Packet<'a> {
    let id = PacketId::new(number);
    Packet::Publish(Publish { id, ..Publish::new(topic, payload.as_bytes()) })
}

fn subscribe(filter: &str, number: u16) -> Packet<'_> {
    let filter = Filter::parse(filter).unwrap();
    Packet::Subscribe(Subscribe { filter, id: PacketId::new(number), dup: false })
}

fn queue<'a>(
    action: QueueAction,
    address: &'a str,
    path: Option<&'a str>,
    task: Option<&'a str>,
) -> Packet<'a> {
    let options = QueueOptions { return_path: path, ..QueueOptions::new(action, address) };
    Packet::Queue(Queue { options: Some(options), payload: task.map(str::as_bytes), dup: false })
}

#[test]
pub(super) fn who_proves_who_it_is_comes_in() {
    let mut w = world();
    let (a, told) = w.prx1(Some("test"), false);
    assert_eq!(told, ["CONNACK None"]);
    assert_eq!(w.prx1(None, true).1, ["CONNACK None"]);
    // User `test`, password `pw`.
    let b = w.open(Peer::default(), Tongue::Prx1);
    w.octets(b, b"\x10\x15\x00\x04PRX1\x0f\x00\x02pw\x00\x00\x00\x01\x00\x04test");
    assert_eq!(w.take(b), ["CONNACK Fail"]);
    assert_ne!(w.lines[b].transport, Transport::Open);
    let c = w.open(Peer::default(), Tongue::Prx1);
    w.octets(c, b"\x18\x06\x00\x04PRX2");
    assert_eq!(w.take(c), ["CONNACK Refused"]);
    w.say(a, &Packet::Ping);
    assert_eq!(w.take(a), ["PONG"]);
    let closed = w.events().into_iter().filter_map(|event| match event {
        ServerEvent::Closed { code, .. } => code,
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [Code::AuthFailed, Code::Malformed]);
}

#[test]
pub(super) fn messages_and_their_acknowledgements() {
    let mut w = world();
    let (a, b) = (w.prx1(None, true).0, w.prx1(None, true).0);
    w.say(b, &subscribe("a/*", 2));
    w.say(b, &subscribe("z", 0));
    assert_eq!(w.take(b), ["SUBACK 2"]);
    w.say(a, &message("a/b", "hi", 7));
    w.say(a, &message("a/b/c", "ho", 0));
    w.say(a, &message("a", "no", 8));
    w.say(a, &message("z", "plain", 9));
    assert_eq!(w.take(a), ["PUBACK 7", "PUBACK 8", "PUBACK 9"]);
    assert_eq!(w.take(b), ["a/b=hi #1", "a/b/c=ho", "z=plain"]);
    w.say(b, &Packet::PubAck(id(1)));
    let filter = Filter::parse("a/*").unwrap();
    w.say(b, &Packet::Unsubscribe(Subscribe { filter, id: PacketId::new(3), dup: false }));
    w.say(a, &message("a/b", "again", 0));
    assert_eq!(w.take(b), ["UNSUBACK 3"]);
    assert_eq!(w.server.hub().counters().queued, 0);
}

#[test]
pub(super) fn the_last_value_is_kept() {
    let mut w = world();
    let (a, b) = (w.prx1(None, true).0, w.prx1(None, true).0);
    let keep = |payload| Packet::Publish(Publish { retain: true, ..Publish::new("t", payload) });
    w.say(a, &keep(b"kept"));
    w.say(b, &subscribe("t", 1));
    assert_eq!(w.take(b), ["SUBACK 1", "t=kept retain"]);
    w.say(a, &keep(b""));
    assert_eq!(w.take(b), ["t="]);
    w.say(b, &subscribe("t", 2));
    assert_eq!(w.take(b), ["SUBACK 2"]);
}

#[test]
pub(super) fn the_same_user_again_goes_on_with_its_session() {
    let mut w = world();
    let (a, _) = w.prx1(Some("test"), false);
    w.say(a, &subscribe("t", 1));
    w.take(a);
    let (b, told) = w.prx1(Some("test"), false);
    assert_eq!(told, ["CONNACK None test"]);
    assert_ne!(w.lines[a].transport, Transport::Open);
    w.cut(a);
    let (other, _) = w.prx1(Some("other"), false);
    w.say(other, &message("t", "x", 1));
    assert_eq!(w.take(b), ["t=x #1"]);
    w.cut(b);
    w.say(other, &message("t", "y", 1));
    let (b, told) = w.prx1(Some("test"), false);
    assert_eq!(told, ["CONNACK None test", "t=x #1 dup", "t=y #2"]);
    w.cut(b);
    assert_eq!(w.prx1(Some("test"), true).1, ["CONNACK None"], "a clean start");
    w.cut(other);
    w.advance(Duration::from_secs(3600));
    assert_eq!(w.prx1(Some("other"), false).1, ["CONNACK None"], "it has expired");
}

#[test]
pub(super) fn silence_and_nonsense_close() {
    let mut w = world();
    let a = w.open(Peer::default(), Tongue::Prx1);
    w.octets(a, b"\x18\x12\x00\x04PRX1\x0f\x00\x01");
    w.advance(Duration::from_secs(1));
    assert_ne!(w.lines[a].transport, Transport::Open, "the handshake's deadline");
    let (b, _) = w.prx1(None, true);
    w.octets(b, b"\xf0\x00");
    assert_ne!(w.lines[b].transport, Transport::Open);
    let c = w.open(Peer::default(), Tongue::Prx1);
    // Keepalive 2 s, no user.
    w.octets(c, b"\x18\x09\x00\x04PRX1\x04\x00\x02");
    assert_eq!(w.take(c), ["CONNACK None"]);
    w.advance(Duration::from_millis(2999));
    assert_eq!(w.lines[c].transport, Transport::Open);
    w.advance(Duration::from_millis(1));
    assert_ne!(w.lines[c].transport, Transport::Open);
}

#[test]
pub(super) fn queues_hand_out_what_waits_when_they_are_drained() {
    let mut w = world();
    let (a, b) = (w.prx1(None, true).0, w.prx1(None, true).0);
    w.say(a, &queue(QueueAction::Drain, "jobs", None, None));
    assert_eq!(w.take(a), ["QUEUEACK Error"], "there is no such queue");
    w.say(a, &queue(QueueAction::Initialize, "jobs", None, Some("one")));
    w.say(a, &Packet::Queue(Queue { options: None, payload: Some(b"two"), dup: false }));
    assert_eq!(w.take(a), ["QUEUEACK Ok", "QUEUEACK Ok"]);
    w.say(b, &queue(QueueAction::Drain, "jobs", Some("jobs/done"), None));
    assert_eq!(w.take(b), ["QUEUEACK Ok", "jobs/done=one #1", "jobs/done=two #2"]);
    w.say(b, &Packet::PubAck(id(1)));
    w.say(a, &Packet::Queue(Queue { options: None, payload: Some(b"three"), dup: false }));
    assert_eq!(w.take(b), Vec::<String>::new(), "what comes later waits");
    // What was not acknowledged goes back.
    w.cut(b);
    assert_eq!(w.server.hub().queue_len("jobs"), Some((2, 0)));
    w.take(a);
    w.say(a, &queue(QueueAction::Drain, "jobs", None, None));
    assert_eq!(w.take(a), ["QUEUEACK Ok", "jobs=two #1", "jobs=three #2"]);
    w.say(a, &Packet::PubAck(id(2)));
    w.say(a, &Packet::PubAck(id(1)));
    w.say(a, &queue(QueueAction::Destroy, "jobs", None, None));
    w.say(a, &queue(QueueAction::Destroy, "jobs", None, None));
    assert_eq!(w.take(a), ["QUEUEACK Ok", "QUEUEACK Error"]);
}

#[test]
pub(super) fn a_draining_server_lets_go_who_has_acknowledged() {
    let mut w = world();
    let (a, b) = (w.prx1(None, true).0, w.prx1(None, true).0);
    w.say(b, &subscribe("t", 1));
    w.say(a, &message("t", "x", 0));
    assert_eq!(w.take(b), vec!["SUBACK 1", "t=x"]);
    w.say(a, &message("t", "y", 1));
    w.server.drain(w.now, Duration::from_secs(10), Duration::ZERO, "");
    w.run();
    assert_ne!(w.lines[a].transport, Transport::Open);
    assert_eq!(w.lines[b].transport, Transport::Open);
    w.say(b, &Packet::PubAck(id(1)));
    assert_ne!(w.lines[b].transport, Transport::Open);
}
