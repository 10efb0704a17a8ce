//! What a server keeps and tells later: histories, and what it says of itself.

use super::*;
use crate::hub::HistoryOptions;
use crate::session::History;

struct Writers;

impl Access for Writers {
    fn decide(&self, _: &Who<'_>, action: Action, _: &str) -> Decision {
        matches!(action, Action::Connect | Action::Publish).into()
    }
}

/// A server that keeps the last 200 messages of topics below `kept/`.
fn historian() -> World {
    let rule = HistoryOptions { max_messages: 200, ..HistoryOptions::new("kept/#") };
    let hub = HubOptions { history: vec![rule], ..HubOptions::default() };
    let mut w = World::new(ServerConfig { hub, sys_interval: Duration::ZERO, ..ServerConfig::default() });
    w.server.set_calendar(w.now, 1_700_000_000_000);
    w
}

fn ask(w: &mut World, i: usize, room: &str, [from, before, limit]: [Option<u64>; 3]) -> Vec<String> {
    let asked = History { id: 7, room, from, before, limit };
    w.call(i, |s, now, out| s.history(now, out, &asked));
    w.take(i)
}

/// HIS-1 to HIS-4: parts of a history, each message with its place.
#[test]
fn history_is_handed_out_in_parts() {
    let mut w = historian();
    let config = Config { features: Features::HISTORY, ..Config::default() };
    let a = w.connect_with(&config, &Connect::default());
    for i in 1..=5 {
        w.publish(a, "kept/x", &i.to_string(), i % 2 == 0);
    }
    w.take(a);
    for (query, want) in [
        ([None, None, Some(2)], &["4", "5"][..]),
        ([None, Some(4), Some(2)], &["2", "3"]),
        ([Some(2), None, Some(2)], &["2", "3"]),
        ([Some(2), Some(4), None], &["2", "3"]),
        ([Some(6), None, None], &[]),
        ([None, None, None], &["1", "2", "3", "4", "5"]),
    ] {
        let mut lines: Vec<_> = want.iter().map(|n| format!("7 kept/x={n} #{n}@1700000000000")).collect();
        lines.push("HISTORY 7 OK".into());
        assert_eq!(ask(&mut w, a, "kept/x", query), lines, "{query:?}");
    }
    assert_eq!(ask(&mut w, a, "kept/new", [None; 3]), ["HISTORY 7 NotFound"]);
    assert_eq!(ask(&mut w, a, "else", [None; 3]), ["HISTORY 7 NotFound"]);
    w.server.set_access(Box::new(Writers));
    assert_eq!(ask(&mut w, a, "kept/x", [None; 3]), ["HISTORY 7 NotAuthorized"]);
}

/// What does not fit waits, nothing is lost of it or comes twice, and no more is asked for than is
/// allowed.
#[test]
fn history_waits_for_credit_and_room() {
    let mut w = historian();
    let config = Config { features: Features::HISTORY, ..Config::default() };
    let a = w.connect_with(&config, &Connect::default());
    for i in 0..230 {
        w.publish(a, "kept/x", &format!("{i:0>2000}"), false);
    }
    w.clients[a].stalled = true;
    let asked = History { id: 7, room: "kept/x", from: None, before: None, limit: None };
    for _ in 0..20 {
        w.call(a, |s, now, out| s.history(now, out, &asked));
    }
    w.clients[a].stalled = false;
    w.run();
    let lines = w.take(a);
    assert_eq!(lines.iter().filter(|line| *line == "HISTORY 7 OK").count(), 16);
    assert_eq!(lines.iter().filter(|line| *line == "HISTORY 7 Quota").count(), 4);
    let offsets: Vec<u64> = lines
        .iter()
        .filter_map(|line| line.split_once('#').and_then(|(_, place)| place.split('@').next()?.parse().ok()))
        .collect();
    let want: Vec<u64> = (0..16).flat_map(|_| 31..=230).collect();
    assert_eq!(offsets, want);
}

#[test]
fn history_is_not_offered_where_none_is_kept() {
    let mut w = World::new(ServerConfig::default());
    let config = Config { features: Features::HISTORY, ..Config::default() };
    let a = w.connect_with(&config, &Connect::default());
    assert_eq!(w.clients[a].session.features(), Features::NONE);
}

/// What the server says of itself reaches who asks for it by name, and nobody else says it.
/// \[MQTT-4.7.2-1\]
#[test]
fn sys_topics_are_told_and_kept() {
    let mut w = World::new(ServerConfig::default());
    assert_eq!(w.server.poll_hub_timeout().unwrap().at, Instant::ZERO, "the first are due at once");
    w.advance(Duration::ZERO);
    let retained = Config { features: Features::RETAINED, ..Config::default() };
    let (a, b) = (w.connect(), w.connect_with(&retained, &Connect::default()));
    w.subscribe(a, 1, "#", false, false);
    w.take(b);
    w.subscribe(b, 1, "$SYS/broker/uptime", false, false);
    w.subscribe(b, 2, "$SYS/broker/clients/connected", false, false);
    assert_eq!(w.take(b), ["1 $SYS/broker/uptime=0 seconds", "2 $SYS/broker/clients/connected=0"]);
    w.publish(a, "t", "x", false);
    w.publish(a, "$SYS/broker/uptime", "for ever", true);
    let told = w.take(a);
    assert_eq!(told[0], "1 t=x", "{told:?}");
    assert!(told[1].ends_with("NotAuthorized"), "{told:?}");
    w.advance(Duration::from_secs(10));
    assert_eq!(w.take(b), ["1 $SYS/broker/uptime=10 seconds", "2 $SYS/broker/clients/connected=2"]);
    w.subscribe(b, 3, "$SYS/broker/publish/+/+", false, false);
    let mut told = w.take(b);
    told.sort();
    let want = [
        "3 $SYS/broker/publish/bytes/received=3",
        "3 $SYS/broker/publish/bytes/sent=62",
        "3 $SYS/broker/publish/messages/dropped=0",
        "3 $SYS/broker/publish/messages/received=1",
        "3 $SYS/broker/publish/messages/sent=3",
    ];
    assert_eq!(told, want);
    assert!(w.take(a).iter().all(|line| !line.contains("$SYS")));
    w.subscribe(b, 4, "$SYS/broker/load/sockets/1min", false, false);
    // Two in 10 seconds are 12 a minute; 12 * (1 - e^(-1/6)).
    assert_eq!(w.take(b), ["4 $SYS/broker/load/sockets/1min=1.84"]);
}

#[test]
fn without_an_interval_there_are_no_sys_topics() {
    let mut w = World::new(ServerConfig { sys_interval: Duration::ZERO, ..ServerConfig::default() });
    w.advance(Duration::from_secs(100));
    let a = w.connect();
    w.subscribe(a, 1, "$SYS/#", false, false);
    assert!(w.take(a).is_empty() && w.server.poll_hub_timeout().is_none());
    assert_eq!(w.server.hub().counters().retained, 0);
}
