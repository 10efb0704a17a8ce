//! What a console sees of clients, and what it does to them.

use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::json;

use super::world::World;
use crate::endpoint::server::{Carrier, ClientInfo, Dialect, ServerConfig, SessionName};
use crate::mqtt::{Qos, Version};
use crate::session::Connect as Hello;

fn all(w: &World) -> Vec<ClientInfo<'_>> {
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        from = w.server.inspect_clients(at, 2, |client| {
            found.push(client.clone());
            true
        });
    }
    found
}

fn number(w: &World, dialect: Dialect) -> u64 {
    all(w).iter().find(|c| c.dialect == Some(dialect)).unwrap().session.key.number()
}

#[test]
fn clients_are_shown_with_what_they_speak_and_how_much() {
    let mut w = World::new(ServerConfig::default());
    // The program's own sessions are none of clients.
    w.server.local(w.now).unwrap();
    w.advance(Duration::from_secs(3));
    let (sensor, _) = w.stay(Version::V5, "sensor");
    w.v3("old");
    w.prx1(None, true);
    w.bowline();
    let (page, _) = w.page();
    w.ask(page, r#"{"type":"$join","id":"j","room":"lobby"}"#);
    w.subscribe(sensor, "a/#", Qos::AtMostOnce);
    w.publish(sensor, "a/b", "hello", Qos::AtMostOnce, 0);
    assert_eq!(all(&w).len(), 5);
    let shown = |w: &World, dialect| {
        let clients = all(w);
        let client = clients.iter().find(|c| c.dialect == Some(dialect)).unwrap();
        let connection =
            client.connection.map(|c| (c.carrier, c.since.as_nanos() / 1_000_000_000, c.messages));
        (client.session.attached, client.session.subscriptions, client.session.rooms, connection)
    };
    assert_eq!(shown(&w, Dialect::Mqtt5), (true, 1, 0, Some((Carrier::Transport, 3, (1, 1)))));
    assert_eq!(shown(&w, Dialect::Json), (true, 0, 1, Some((Carrier::WebSocket, 3, (0, 0)))));
    assert_eq!(shown(&w, Dialect::Bowline), (true, 0, 0, Some((Carrier::Transport, 3, (0, 0)))));
    let one = w.server.inspect_client(number(&w, Dialect::Mqtt5)).unwrap();
    let (received, sent) = one.connection.unwrap().octets;
    assert!(received > 20 && sent > 10, "received {received}, sent {sent}");
    assert_eq!(one.name, Some(SessionName::Mqtt(String::from("sensor"))));

    w.cut(sensor);
    let one = w.server.inspect_client(number(&w, Dialect::Mqtt5)).unwrap();
    assert_eq!((one.connection, one.session.attached), (None, false));
}

#[test]
fn an_administrator_disconnects_in_the_words_of_the_dialect() {
    let mut w = World::new(ServerConfig::default());
    let (sensor, _) = w.stay(Version::V5, "sensor");
    let (page, _) = w.page();
    let bowline = w.bowline_as(&Hello { expiry: Duration::from_secs(60), ..Hello::default() });
    for dialect in [Dialect::Mqtt5, Dialect::Json, Dialect::Bowline] {
        let number = number(&w, dialect);
        assert!(w.server.expel(w.now, number, false));
        w.run();
        let still = w.server.inspect_client(number).unwrap();
        assert_eq!((still.connection, still.session.attached), (None, false), "{dialect}: it may come back");
    }
    assert_eq!(w.take(sensor), ["DISCONNECT Administrative action"]);
    let told = w.told(page);
    assert_eq!(told[0]["type"], "$error");
    assert_eq!(told[0]["payload"]["code"], "denied");
    assert_eq!(told[0]["payload"]["message"], "disconnected by an administrator");
    assert_eq!(told[1], json!("close 1008 disconnected by an administrator"));
    assert_eq!(w.take(bowline), ["closed Some(GoingAway)"]);
    assert!(w.stay(Version::V5, "sensor").1, "it was not forgotten");
}

#[test]
fn who_is_forgotten_has_no_session_to_come_back_to() {
    let mut w = World::new(ServerConfig::default());
    let (sensor, _) = w.stay(Version::V5, "sensor");
    w.page();
    w.bowline();
    w.prx1(None, true);
    let (away, _) = w.stay(Version::V311, "away");
    w.cut(away);
    let numbers: Vec<_> = all(&w).iter().map(|client| client.session.key.number()).collect();
    assert_eq!(numbers.len(), 5);
    for number in numbers {
        assert!(w.server.expel(w.now, number, true));
        w.run();
        assert!(!w.server.expel(w.now, number, true), "there is none any more");
    }
    assert!(all(&w).is_empty());
    assert_eq!(
        w.take(sensor).last().map(ToString::to_string).as_deref(),
        Some("DISCONNECT Administrative action")
    );
    assert!(!w.stay(Version::V5, "sensor").1);
    w.server.hub().check_invariants().unwrap();
}
