//! Rooms in our own protocol: what members get, and how it waits.

use super::*;
use crate::session::Join;

fn member(w: &mut World) -> usize {
    let config = Config { features: Features::ROOMS | Features::PRESENCE, ..Config::default() };
    let connect = Connect { expiry: Duration::from_secs(60), ..Connect::default() };
    let i = w.connect_with(&config, &connect);
    assert_eq!(w.take(i), ["welcome"]);
    i
}

fn join(w: &mut World, i: usize, join: &Join<'_>) -> Vec<String> {
    w.call(i, |s, now, out| s.join(now, out, join));
    w.take(i)
}

fn world() -> World {
    let mut w = World::new(ServerConfig { sys_interval: Duration::ZERO, ..ServerConfig::default() });
    w.server.set_calendar(w.now, 1_700_000_000_000);
    w
}

/// ROO-1 to ROO-5, PSC-1, PSC-2: members hear each other, and who did not choose the feature sees a
/// topic.
#[test]
fn members_and_subscribers() {
    let mut w = world();
    let (a, b, plain) = (member(&mut w), member(&mut w), w.connect());
    w.subscribe(plain, 1, "$room/#", false, false);
    w.take(plain);
    let quiet = Join { id: 7, room: "r", ..Join::default() };
    assert_eq!(join(&mut w, a, &quiet), ["JOIN 7 OK", "7 joined at 0, 1"]);
    w.publish(plain, "$room/r", "1", false);
    assert_eq!(w.take(a), ["7 $room/r=1 #1@1700000000000"]);
    assert_eq!(w.take(plain), ["1 $room/r=1"]);
    let watching = Join { id: 3, presence: true, history: 5, data: b"hi", ..quiet };
    let told = join(&mut w, b, &watching);
    assert_eq!(told[..3], ["JOIN 3 OK", "3 $room/r=1 #1@1700000000000", "3 joined at 1, 2"]);
    assert_eq!(told.len(), 5);
    assert!(told[3..].iter().all(|line| line.starts_with("3 there ")), "{told:?}");
    assert_eq!(told[3..].iter().filter(|line| line.ends_with(" hi")).count(), 1);
    w.call(a, |s, now, out| s.leave(now, out, 7));
    assert_eq!(w.take(a), ["LEAVE 7 OK"]);
    w.advance(Duration::from_secs(1));
    assert!(w.take(b)[0].starts_with("3 gone "));
    w.call(a, |s, now, out| s.leave(now, out, 7));
    w.call(a, |s, now, out| s.presence(now, out, 7, "", b"x", false));
    assert_eq!(w.take(a), ["LEAVE 7 NotFound", "PRESENCE 7 NotFound"]);
}

/// Who is there may be more than fits a connection's buffer: it comes bit by bit, before what follows.
#[test]
fn a_large_room_is_listed_bit_by_bit() {
    let mut w = world();
    let data = [b'x'; 4000];
    let all: Vec<usize> = (0..40).map(|_| member(&mut w)).collect();
    for i in &all {
        w.call(*i, |s, now, out| {
            s.join(now, out, &Join { id: 1, room: "r", data: &data, ..Join::default() })
        });
    }
    let last = member(&mut w);
    w.clients[last].stalled = true;
    let watching = Join { id: 1, room: "r", presence: true, ..Join::default() };
    w.call(last, |s, now, out| s.join(now, out, &watching));
    w.publish(all[0], "$room/r", "after", false);
    w.clients[last].stalled = false;
    w.run();
    let told = w.take(last);
    assert_eq!((&told[0][..], &told[1][..]), ("JOIN 1 OK", "1 joined at 0, 41"));
    assert_eq!(told[2..43].iter().filter(|line| line.starts_with("1 there ")).count(), 41);
    assert_eq!(told[43..], ["1 $room/r=after #1@1700000000000"]);
}

/// ROO-6: what is refused, and with what reason.
#[test]
fn refusals_say_why() {
    let mut w = world();
    let a = member(&mut w);
    let long = "x".repeat(129);
    assert_eq!(join(&mut w, a, &Join { id: 1, room: &long, ..Join::default() }), ["JOIN 1 Invalid"]);
    let much = [0; 4097];
    assert_eq!(join(&mut w, a, &Join { id: 1, room: "r", data: &much, ..Join::default() }), ["JOIN 1 Quota"]);
    w.server.drain(w.now, Duration::from_secs(9), Duration::ZERO, "");
    let told = join(&mut w, a, &Join { id: 1, room: "r", ..Join::default() });
    assert!(told.iter().any(|line| line == "JOIN 1 Draining"), "it crossed DRAIN: {told:?}");
}

/// A restart is no stampede: each client is told another time, within the bounds.
#[test]
fn a_drain_tells_each_client_when_to_come_back() {
    let mut w = World::new(ServerConfig { retry_spread: Duration::from_secs(8), ..ServerConfig::default() });
    let all: Vec<usize> = (0..20).map(|_| w.connect()).collect();
    w.server.drain(w.now, Duration::from_secs(9), Duration::from_secs(2), "");
    w.run();
    let times = all.iter().map(|i| w.take(*i).concat());
    let times: std::collections::BTreeSet<Duration> = times
        .map(|line| {
            let (_, after) = line.split_once("retry_after: ").unwrap();
            let (seconds, _) = after.split_once("s,").unwrap();
            Duration::from_secs_f64(seconds.parse().unwrap())
        })
        .collect();
    assert!(times.len() > 15, "{times:?}");
    let (first, last) = (*times.first().unwrap(), *times.last().unwrap());
    assert!(first >= Duration::from_secs(2) && last <= Duration::from_secs(10));
    assert!(last > first + Duration::from_secs(4), "they are spread");
}
