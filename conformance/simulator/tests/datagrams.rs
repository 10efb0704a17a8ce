//! Datagram sessions over bad paths: what must hold whatever the path does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bowline_core::datagram::{
    Config, ControllerKind, Delivery, DropReason, Ecn, Ended, Endpoint, Event, NoiseKeys, Refusal, Security,
    SendError, SessionKey, Stats,
};
use bowline_core::entropy::Seeded;
use bowline_core::secure::{SecretKey, SharedKey};
use bowline_core::time::Instant;
use bowline_simulator::datagrams::{CLIENT, Flying, Marks, Path, SERVER, Wire};
use proptest::prelude::*;

fn plain() -> Config {
    Config::new(Security::Insecure)
}

/// The client's and the server's configuration, secured by XX.
fn noise() -> [Config; 2] {
    let key = |n| SecretKey::generate(&mut Seeded::new(n));
    [1, 2].map(|n| Config::new(Security::Noise(Arc::new(NoiseKeys::new().own(key(n))))))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn dropped(wire: &Wire, side: usize, why: DropReason) -> u64 {
    wire.sides[side].endpoint.counters().dropped[why as usize]
}

fn open(config: [Config; 2], path: Path, seed: u64) -> (Wire, [SessionKey; 2]) {
    let [client, server] = config;
    let mut wire = Wire::new(seed, &client, path);
    wire.sides[SERVER].endpoint = Endpoint::new(server, Seeded::new(seed ^ 77), true);
    let keys = wire.connect(60_000).expect("it opens");
    (wire, keys)
}

fn both(config: &Config) -> [Config; 2] {
    [config.clone(), config.clone()]
}

/// All that can be read now.
fn read_all(wire: &mut Wire, side: usize, key: SessionKey, to: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Some(Ok(n)) = wire.sides[side].endpoint.read(key, &mut buffer) {
        if n == 0 {
            break;
        }
        to.extend_from_slice(&buffer[..n]);
    }
}

fn path() -> impl Strategy<Value = Path> {
    let marks = prop_oneof![Just(Marks::Kept), Just(Marks::Cleared), Just(Marks::Lost)];
    (0..80u64, 0..60u64, 0..1500u64, 0..1000u64, 0..500u64, any::<bool>(), marks, 1200..1600usize).prop_map(
        |(delay, jitter, loss, duplication, corruption, narrow, marks, mtu)| Path {
            delay: ms(delay),
            jitter: ms(jitter),
            loss,
            duplication,
            corruption,
            rate: if narrow { 200_000 } else { 0 },
            queue: 20_000,
            mark_above: 5_000,
            marks,
            mtu,
        },
    )
}

/// What a world's messages are: their number, in eight octets, and some more.
fn message(number: u64, size: usize) -> Vec<u8> {
    let mut message = vec![number as u8; size.max(8)];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

fn number(message: &[u8]) -> u64 {
    u64::from_be_bytes(*message.first_chunk().expect("a number"))
}

/// What a side has got of the other.
#[derive(Default)]
struct Got {
    stream: Vec<u8>,
    unreliable: Vec<u64>,
    sequenced: [Vec<u64>; 2],
}

impl Got {
    fn take(&mut self, wire: &mut Wire, side: usize, key: SessionKey) {
        read_all(wire, side, key, &mut self.stream);
        let mut message = Vec::new();
        while let Some(delivery) = wire.sides[side].endpoint.recv_message(key, &mut message) {
            assert!(message.iter().skip(8).all(|octet| *octet == message[7]), "a message is whole");
            match delivery {
                Delivery::Unreliable => self.unreliable.push(number(&message)),
                Delivery::Sequenced { key } => self.sequenced[key as usize].push(number(&message)),
            }
        }
    }
}

/// One world: both sides write, over a path that may move the client's address, until all has arrived.
fn world(config: [Config; 2], path: Path, seed: u64, moves: &[u64]) -> Result<(), TestCaseError> {
    let (mut wire, keys) = open(config, path, seed);
    let sent: [Vec<u8>; 2] = [30_000, 20_000].map(|n| (0..n).map(|i| (i ^ (i >> 8)) as u8).collect());
    let (mut wrote, mut got) = ([0; 2], [Got::default(), Got::default()]);
    let mut messages = [0u64; 2];
    let start = wire.now;
    let mut moves = moves.iter().map(|at| start + at * 1_000_000).peekable();
    let until = start + 600_000_000_000;
    let mut tick = 0;
    loop {
        for side in [CLIENT, SERVER] {
            let rest = &sent[side][wrote[side]..];
            wrote[side] +=
                wire.sides[side].endpoint.write(keys[side], &rest[..rest.len().min(700)]).expect("open");
            if tick % 3 == 0 && messages[side] < 200 {
                let n = messages[side];
                let delivery =
                    if n % 2 == 0 { Delivery::Unreliable } else { Delivery::Sequenced { key: n / 2 % 2 } };
                let message = message(n, (n as usize * 37) % 900);
                wire.sides[side].endpoint.send_message(keys[side], delivery, &message).expect("it fits");
                messages[side] += 1;
            }
            wire.sides[side].events.clear();
            got[side].take(&mut wire, side, keys[side]);
            let stats = wire.sides[side].endpoint.stats(keys[side]).expect("it is there");
            prop_assert!(stats.kept <= 2 << 20);
        }
        tick += 1;
        if got[SERVER].stream.len() == sent[CLIENT].len() && got[CLIENT].stream.len() == sent[SERVER].len() {
            break;
        }
        if let Some(at) = moves.next_if(|at| *at <= wire.now) {
            let port = 2000 + (at % 999) as u16;
            wire.sides[CLIENT].address.set_port(port);
        }
        prop_assert!(wire.step(until), "it comes to its end");
        let ended = wire.sides.iter().zip(keys).find_map(|(side, key)| side.endpoint.ended(key));
        prop_assert_eq!(ended, None);
    }
    wire.run(2_000);
    for side in [CLIENT, SERVER] {
        got[side].take(&mut wire, side, keys[side]);
        let got = &got[side];
        prop_assert_eq!(&got.stream, &sent[1 - side], "once, in order, whole");
        let mut once = got.unreliable.clone();
        once.sort_unstable();
        once.dedup();
        prop_assert_eq!(once.len(), got.unreliable.len(), "an unreliable message never comes twice");
        for channel in &got.sequenced {
            prop_assert!(
                channel.is_sorted_by(|a, b| a < b),
                "a sequenced message never goes back: {:?}",
                channel
            );
        }
        if path.loss == 0 && path.mtu >= 1200 && path.rate == 0 && path.corruption == 0 {
            prop_assert!(got.unreliable.len() as u64 >= messages[1 - side] / 2 - 1, "nothing was lost");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Loss, reordering, duplication, corruption, narrow queues, small packets, new addresses.
    #[test]
    fn what_is_reliable_arrives_once_in_order(
        path in path(),
        seed: u64,
        moves in prop::collection::vec(0..3000u64, 0..4),
        secured: bool,
    ) {
        let config = if secured { noise() } else { both(&plain()) };
        let config = config.map(|config| with(config, |c| c.handshake = ms(60_000)));
        let mut moves = moves;
        moves.sort_unstable();
        world(config, path, seed, &moves)?;
    }

    /// Nothing that comes can do harm: not to a session, and not to who has none.
    #[test]
    fn any_datagrams_are_dropped(
        seed: u64,
        datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..1400), 0..6u8, any::<bool>()), 0..60),
    ) {
        let (mut wire, keys) = open(noise(), Path::clean(ms(5)), seed);
        let now = wire.instant();
        let hostile: SocketAddr = "203.0.113.9:9".parse().expect("an address");
        let genuine = wire.sides[CLIENT].address;
        for (mut octets, kind, spoofed) in datagrams {
            if let Some(first) = octets.first_mut() {
                *first = [0x40, 0x43, 0xc0, 0xc1, 0xc2, 0xc3][usize::from(kind)];
            }
            let from = if spoofed { genuine } else { hostile };
            wire.sides[SERVER].endpoint.handle_datagram(now, from, Ecn::NotEct, &octets);
            wire.sides[CLIENT].endpoint.handle_datagram(now, from, Ecn::NotEct, &octets);
        }
        wire.sides[CLIENT].endpoint.write(keys[CLIENT], b"still here").expect("open");
        wire.run(1_000);
        let mut got = Vec::new();
        read_all(&mut wire, SERVER, keys[SERVER], &mut got);
        prop_assert_eq!(got, b"still here");
        prop_assert_eq!(wire.sides[SERVER].endpoint.sessions(), 1);
    }
}

/// Every genuine packet, replayed, reflected, changed in any bit and cut, is dropped; the session goes on.
#[test]
fn what_was_captured_is_of_no_use() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(5)), 1);
    wire.run(500);
    wire.sides[CLIENT].endpoint.write(keys[CLIENT], b"once").expect("open");
    wire.sides[CLIENT].endpoint.send_message(keys[CLIENT], Delivery::Unreliable, b"one").expect("open");
    let (now, mut buffer) = (wire.instant(), Vec::new());
    let transmit = wire.sides[CLIENT].endpoint.poll_transmit(now, &mut buffer, 1).expect("a packet");
    assert_eq!(transmit.segment, buffer.len());
    let from = wire.sides[CLIENT].address;
    for bit in 0..buffer.len() * 8 {
        let mut changed = buffer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        wire.sides[SERVER].endpoint.handle_datagram(now, from, Ecn::NotEct, &changed);
        wire.sides[SERVER].endpoint.handle_datagram(now, from, Ecn::NotEct, &buffer[..bit / 8]);
    }
    wire.sides[CLIENT].endpoint.handle_datagram(now, from, Ecn::NotEct, &buffer);
    wire.sides[CLIENT].endpoint.handle_datagram(now, transmit.to, Ecn::NotEct, &buffer);
    let mut got = Vec::new();
    read_all(&mut wire, SERVER, keys[SERVER], &mut got);
    assert!(got.is_empty(), "nothing of it was taken");
    let before = dropped(&wire, SERVER, DropReason::Replayed);
    for _ in 0..3 {
        wire.sides[SERVER].endpoint.handle_datagram(now, from, Ecn::NotEct, &buffer);
    }
    assert_eq!(dropped(&wire, SERVER, DropReason::Replayed) - before, 2);
    assert!(dropped(&wire, SERVER, DropReason::Forged) > 100);
    wire.run(500);
    read_all(&mut wire, SERVER, keys[SERVER], &mut got);
    assert_eq!(got, b"once");
    let mut message = Vec::new();
    assert!(wire.sides[SERVER].endpoint.recv_message(keys[SERVER], &mut message).is_some());
    assert!(wire.sides[SERVER].endpoint.recv_message(keys[SERVER], &mut message).is_none(), "never twice");
    assert_eq!(wire.sides[SERVER].endpoint.ended(keys[SERVER]), None);
}

/// A packet of another session is nothing to this one.
#[test]
fn sessions_do_not_mix() {
    let (mut wire, first) = open(noise(), Path::clean(ms(5)), 1);
    let second = wire.connect(1_000).expect("another");
    wire.run(500);
    wire.sides[CLIENT].endpoint.write(second[CLIENT], b"for the second").expect("open");
    let (now, mut buffer, mut other) = (wire.instant(), Vec::new(), Vec::new());
    wire.sides[CLIENT].endpoint.poll_transmit(now, &mut buffer, 1).expect("a packet");
    wire.sides[CLIENT].endpoint.write(first[CLIENT], b"for the first").expect("open");
    wire.sides[CLIENT].endpoint.poll_transmit(now, &mut other, 1).expect("a packet");
    // The second's content under the first's id.
    buffer[1..9].copy_from_slice(&other[1..9]);
    let from = wire.sides[CLIENT].address;
    let before = dropped(&wire, SERVER, DropReason::Forged);
    wire.sides[SERVER].endpoint.handle_datagram(now, from, Ecn::NotEct, &buffer);
    assert_eq!(dropped(&wire, SERVER, DropReason::Forged), before + 1);
}

/// Who cannot be reached where it says gets less than it sends, and nothing is kept for it.
#[test]
fn spoofed_sources_are_not_flooded_and_not_kept() {
    let mut server = Endpoint::new(plain(), Seeded::new(1), true);
    let (mut asked, mut answered, mut buffer, mut hello) = (0, 0, Vec::new(), Vec::new());
    let mut client = Endpoint::new(plain(), Seeded::new(2), false);
    client.connect(Instant::ZERO, "198.51.100.1:1".parse().expect("an address")).expect("room");
    client.poll_transmit(Instant::ZERO, &mut hello, 1).expect("a hello");
    for n in 0..2000u32 {
        let from = SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 53));
        let size = if n % 3 == 0 { 1200 } else { 600 };
        asked += size;
        server.handle_datagram(Instant::from_millis(n.into()), from, Ecn::NotEct, &hello[..size]);
        while server.poll_transmit(Instant::from_millis(n.into()), &mut buffer, 10).is_some() {
            answered += buffer.len();
        }
    }
    assert_eq!(server.sessions(), 0, "nothing is kept");
    assert!(answered * 3 <= asked, "{answered} octets for {asked}");
    assert!(server.counters().cookies > 600);
}

/// A cookie is good for its own address and name, for a short time, and for one session.
#[test]
fn a_replayed_hello_opens_no_second_session() {
    let mut wire = Wire::new(3, &plain(), Path::clean(ms(5)));
    let (now, to) = (wire.instant(), wire.sides[SERVER].address);
    wire.sides[CLIENT].endpoint.connect(now, to).expect("room");
    let mut seen: Vec<Flying> = Vec::new();
    for _ in 0..20 {
        wire.step(u64::MAX);
        while let Some(flying) = wire.links[CLIENT].arrive(wire.now + 50_000_000) {
            seen.push(flying.clone());
            wire.links[CLIENT].send(wire.now, flying);
            if seen.len() >= 4 {
                break;
            }
        }
        if seen.len() >= 4 {
            break;
        }
    }
    wire.run(1000);
    assert_eq!(wire.sides[SERVER].endpoint.sessions(), 1);
    let hello =
        seen.iter().find(|f| f.octets[0] == 0xc0 && f.octets[10] > 0).expect("one with a cookie").clone();
    let now = wire.instant();
    let server = &mut wire.sides[SERVER].endpoint;
    for _ in 0..100 {
        server.handle_datagram(now, hello.from, Ecn::NotEct, &hello.octets);
    }
    assert_eq!(server.sessions(), 1, "the same client, the same session");
    let elsewhere = "203.0.113.9:9".parse().expect("an address");
    server.handle_datagram(now, elsewhere, Ecn::NotEct, &hello.octets);
    assert_eq!(server.sessions(), 1, "another address needs another cookie");
    server.handle_datagram(now + ms(60_000), elsewhere, Ecn::NotEct, &hello.octets);
    assert_eq!(server.sessions(), 1, "and it is good for a short time");
}

/// An attacker who sends a genuine packet from elsewhere draws at most three times its octets there, and the
/// session goes back to where it is.
#[test]
fn a_stolen_packet_is_no_amplifier() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(20)), 5);
    wire.run(500);
    wire.sides[CLIENT].endpoint.write(keys[CLIENT], b"hello").expect("open");
    let (now, mut buffer) = (wire.instant(), Vec::new());
    wire.sides[CLIENT].endpoint.poll_transmit(now, &mut buffer, 1).expect("a packet");
    let victim: SocketAddr = "203.0.113.9:9".parse().expect("an address");
    wire.sides[SERVER].endpoint.handle_datagram(now, victim, Ecn::NotEct, &buffer);
    wire.sides[SERVER].endpoint.write(keys[SERVER], &[1; 100_000]).expect("open");
    let (mut to_victim, mut out) = (0, Vec::new());
    let asked = buffer.len();
    for at in 0..1000 {
        let now = now + ms(at);
        if wire.sides[SERVER].endpoint.poll_timeout().is_some_and(|due| due.at <= now) {
            wire.sides[SERVER].endpoint.handle_timeout(now);
        }
        while let Some(transmit) = wire.sides[SERVER].endpoint.poll_transmit(now, &mut out, 10) {
            to_victim += if transmit.to == victim { out.len() } else { 0 };
        }
    }
    assert!(to_victim > 0 && to_victim <= 3 * asked, "{to_victim} octets for {asked}");
    wire.now += 1_000_000_000;
    assert_eq!(wire.sides[SERVER].endpoint.peer(keys[SERVER]), Some(wire.sides[CLIENT].address), "back");
    let mut got = Vec::new();
    for _ in 0..200 {
        wire.run(50);
        read_all(&mut wire, CLIENT, keys[CLIENT], &mut got);
    }
    assert_eq!(got.len(), 100_000);
}

/// A NAT gives the client another port, then another address: the session goes on, and is proved anew.
#[test]
fn a_session_survives_new_addresses() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(20)), 6);
    wire.run(500);
    let mut got = Vec::new();
    for (n, address) in ["192.0.2.1:4321", "192.0.2.77:99", "192.0.2.1:1000"].into_iter().enumerate() {
        wire.sides[CLIENT].address = address.parse().expect("an address");
        wire.sides[CLIENT].endpoint.write(keys[CLIENT], &[n as u8; 5000]).expect("open");
        wire.sides[SERVER].endpoint.write(keys[SERVER], &[n as u8; 5000]).expect("open");
        wire.run(3000);
        assert_eq!(wire.sides[SERVER].endpoint.peer(keys[SERVER]), Some(wire.sides[CLIENT].address));
        for (side, key) in keys.into_iter().enumerate() {
            got.clear();
            read_all(&mut wire, side, key, &mut got);
            assert_eq!(got, [n as u8; 5000]);
        }
    }
    assert_eq!(wire.sides[SERVER].endpoint.counters().moved, 3);
}

/// A client that changes its network is known there by another id, and by no packet of the old one.
#[test]
fn a_change_of_network_is_under_another_id() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(20)), 7);
    wire.run(500);
    let id = |wire: &mut Wire| {
        wire.sides[CLIENT].endpoint.send_message(keys[CLIENT], Delivery::Unreliable, b"x").expect("open");
        let (now, mut buffer) = (wire.instant(), Vec::new());
        wire.sides[CLIENT].endpoint.poll_transmit(now, &mut buffer, 1).expect("a packet");
        let to = wire.sides[SERVER].address;
        let from = wire.sides[CLIENT].address;
        wire.links[CLIENT].send(wire.now, Flying { from, to, ecn: Ecn::NotEct, octets: buffer.clone() });
        buffer[1..9].to_vec()
    };
    let mut ids = vec![id(&mut wire)];
    assert_eq!(ids[0], id(&mut wire), "as long as the network is the same");
    for n in 0..6 {
        wire.sides[CLIENT].address = format!("192.0.2.{}:5", 10 + n).parse().expect("an address");
        let now = wire.instant();
        wire.sides[CLIENT].endpoint.handle_local_change(now);
        let new = id(&mut wire);
        assert!(!ids.contains(&new), "another id");
        ids.push(new);
        wire.run(1000);
        assert_eq!(wire.sides[SERVER].endpoint.peer(keys[SERVER]), Some(wire.sides[CLIENT].address));
    }
}

/// Large packets are found out about, and given up where the path no longer carries them.
#[test]
fn packet_sizes_follow_the_path() {
    for (limit, mtu, least) in [
        (1452, 65_507, 1452),
        (1452, 1300, 1280),
        (9000, 65_507, 9000),
        (9000, 1452, 1430),
        (1452, 1200, 1200),
    ] {
        let config = with(plain(), |c| c.max_datagram = limit);
        let path = Path { mtu, ..Path::clean(ms(10)) };
        let (mut wire, keys) = open(both(&config), path, 8);
        for _ in 0..100 {
            wire.sides[CLIENT].endpoint.send_message(keys[CLIENT], Delivery::Unreliable, b"x").expect("open");
            wire.run(50);
        }
        let found = usize::from(wire.sides[CLIENT].endpoint.stats(keys[CLIENT]).expect("there").datagram);
        assert!(found >= least && found <= mtu.min(limit.into()), "{found} of {mtu}, at most {limit}");

        // A black hole.
        wire.links.iter_mut().for_each(|link| link.path.mtu = 1200);
        wire.sides[CLIENT].endpoint.write(keys[CLIENT], &[5; 50_000]).expect("open");
        let mut got = Vec::new();
        for _ in 0..100 {
            wire.run(100);
            read_all(&mut wire, SERVER, keys[SERVER], &mut got);
        }
        assert_eq!(got.len(), 50_000, "behind {found}");
    }
}

/// So many octets over a path; what the client knows of it then, and how long it took, in milliseconds.
fn bulk(config: &Config, path: Path, octets: usize) -> (Wire, Stats, u64) {
    let (mut wire, keys) = open(both(config), path, 5);
    let (start, mut wrote, mut got) = (wire.now, 0, Vec::new());
    while got.len() < octets {
        assert!(wire.now - start < 600_000_000_000, "{} octets have come", got.len());
        let rest = [3; 4096];
        let rest = &rest[..rest.len().min(octets - wrote)];
        wrote += wire.sides[CLIENT].endpoint.write(keys[CLIENT], rest).expect("open");
        if wrote == octets || wire.sides[CLIENT].endpoint.is_blocked(keys[CLIENT]) {
            wire.run(5);
        }
        read_all(&mut wire, SERVER, keys[SERVER], &mut got);
    }
    let stats = wire.sides[CLIENT].endpoint.stats(keys[CLIENT]).expect("there");
    let took = (wire.now - start) / 1_000_000;
    (wire, stats, took)
}

/// [DGM-27] [DGM-28] [DGM-29] Where routers mark before they drop, nothing is lost, and nothing comes later.
#[test]
fn marks_of_congestion_save_packets() {
    for controller in [ControllerKind::Cubic, ControllerKind::NewReno] {
        let config = with(plain(), |c| c.controller = controller);
        let narrow = Path { rate: 1 << 20, queue: 96 << 10, mark_above: 24 << 10, ..Path::clean(ms(20)) };
        let (wire, stats, took) = bulk(&config, narrow, 4 << 20);
        let [client, server] = wire.sides.each_ref().map(|side| *side.endpoint.counters());
        assert!(stats.ecn && client.lost == 0, "{} lost", client.lost);
        assert!(client.congested_sent > 0 && server.congested_received >= client.congested_sent);
        assert_eq!((client.ecn_failed, server.ecn_failed), (0, 0));

        let (wire, stats, without) = bulk(&with(config, |c| c.ecn = false), narrow, 4 << 20);
        let [client, server] = wire.sides.each_ref().map(|side| *side.endpoint.counters());
        assert!(!stats.ecn && client.lost > 0, "a queue that overflows");
        assert_eq!((client.congested_sent, server.congested_received, client.ecn_failed), (0, 0, 0));
        assert!(took <= without * 11 / 10, "{took} ms with marks, {without} without");
    }
}

/// [DGM-28] A path that takes marks off, or loses what is marked, is found out, and costs little.
#[test]
fn paths_that_do_not_carry_marks_are_found_out() {
    let (_, _, clean) = bulk(&plain(), Path::clean(ms(20)), 1 << 20);
    for marks in [Marks::Cleared, Marks::Lost] {
        let (wire, stats, took) = bulk(&plain(), Path { marks, ..Path::clean(ms(20)) }, 1 << 20);
        assert!(!stats.ecn, "{marks:?}");
        assert_eq!(wire.sides[CLIENT].endpoint.counters().ecn_failed, 1, "{marks:?}");
        assert!(took < clean + 3_000, "{marks:?}: {took} ms, {clean} where they are carried");
    }
}

/// [DGM-28] Another network is tried anew.
#[test]
fn marks_are_tried_on_each_path() {
    let (mut wire, keys) = open(noise(), Path { marks: Marks::Cleared, ..Path::clean(ms(20)) }, 6);
    let capable = |wire: &Wire| wire.sides[CLIENT].endpoint.stats(keys[CLIENT]).expect("there").ecn;
    let say = |wire: &mut Wire| {
        wire.sides[CLIENT].endpoint.write(keys[CLIENT], &[1; 5000]).expect("open");
        wire.run(1000);
    };
    say(&mut wire);
    assert!(!capable(&wire));
    wire.links.iter_mut().for_each(|link| link.path.marks = Marks::Kept);
    say(&mut wire);
    assert!(!capable(&wire), "not tried again on the same one");
    wire.sides[CLIENT].address = "192.0.2.9:5".parse().expect("an address");
    let now = wire.instant();
    wire.sides[CLIENT].endpoint.handle_local_change(now);
    say(&mut wire);
    assert!(capable(&wire));
}

fn with(mut config: Config, change: impl FnOnce(&mut Config)) -> Config {
    change(&mut config);
    config
}

/// Who is silent is forgotten; who is only idle is not, since it keeps itself alive.
#[test]
fn silence_ends_and_idleness_does_not() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(20)), 9);
    wire.run(120_000);
    assert_eq!(wire.sides[SERVER].endpoint.ended(keys[SERVER]), None);
    let packets = wire.sides[CLIENT].endpoint.counters().sent;
    assert!(packets < 60, "{packets} packets in two minutes");
    for link in &mut wire.links {
        link.path.loss = 10_000;
    }
    wire.run(31_000);
    for (side, key) in keys.into_iter().enumerate() {
        assert_eq!(wire.sides[side].endpoint.ended(key), Some(&Ended::Idle));
        let now = wire.instant();
        wire.sides[side].endpoint.release(now, key);
    }
    wire.run(10_000);
    assert_eq!([CLIENT, SERVER].map(|side| wire.sides[side].endpoint.sessions()), [0, 0], "nothing is left");
}

/// A session that its owner leaves brings away what was written, on a bad path too.
#[test]
fn what_was_written_arrives_behind_the_end() {
    for seed in 0..10 {
        let (mut wire, keys) = open(noise(), Path::lossy(ms(20), 1000), seed);
        wire.sides[CLIENT].endpoint.write(keys[CLIENT], &[3; 20_000]).expect("open");
        let now = wire.instant();
        wire.sides[CLIENT].endpoint.release(now, keys[CLIENT]);
        let mut got = Vec::new();
        for _ in 0..400 {
            wire.run(10);
            read_all(&mut wire, SERVER, keys[SERVER], &mut got);
        }
        assert_eq!(got.len(), 20_000, "seed {seed}");
        let mut end = [0; 1];
        let end = wire.sides[SERVER].endpoint.read(keys[SERVER], &mut end);
        assert_eq!(end, Some(Ok(0)), "and the end of it");
        wire.run(6_000);
        assert_eq!(wire.sides[CLIENT].endpoint.sessions(), 0);
    }
}

/// A close says why, once it arrives.
#[test]
fn a_close_says_why() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(20)), 10);
    let now = wire.instant();
    wire.sides[SERVER].endpoint.close(now, keys[SERVER], 7, "enough");
    wire.run(1000);
    let why = Ended::Peer { code: 7, reason: "enough".into() };
    assert_eq!(wire.sides[CLIENT].endpoint.ended(keys[CLIENT]), Some(&why));
    assert_eq!(wire.sides[SERVER].endpoint.ended(keys[SERVER]), Some(&Ended::Local));
    let refused = wire.sides[CLIENT].endpoint.send_message(keys[CLIENT], Delivery::Unreliable, b"x");
    assert_eq!(refused, Err(SendError::Closed));
}

/// [DGM-25] A client of a server that has begun anew learns so when it sends, long before silence tells.
#[test]
fn a_server_that_has_forgotten_says_so() {
    for secured in [false, true] {
        let config = if secured { noise() } else { both(&plain()) };
        let (mut wire, keys) = open(config.clone(), Path::clean(ms(20)), 9);
        wire.run(1000);
        let [_, server] = config;
        wire.sides[SERVER].endpoint = Endpoint::new(server, Seeded::new(4), true);
        wire.run(1000);
        assert_eq!(wire.sides[CLIENT].endpoint.ended(keys[CLIENT]), None, "nobody has asked");
        wire.sides[CLIENT].endpoint.write(keys[CLIENT], b"still there?").expect("open");
        wire.run(1000);
        assert_eq!(wire.sides[CLIENT].endpoint.ended(keys[CLIENT]), Some(&Ended::Forgotten));
        let counters = wire.sides[SERVER].endpoint.counters();
        let said = dropped(&wire, SERVER, DropReason::Unknown);
        assert!(counters.forgotten > 0 && said == counters.forgotten, "{counters:?}");
        let [sent, received] = [counters.sent_octets, counters.received_octets];
        assert!(sent == 9 * counters.forgotten && sent < received, "{sent} octets for {received}");
    }
}

/// [DGM-26] Who sees a session's packets and says that the server does not know it ends nothing, draws next to
/// nothing, and gets no answer.
#[test]
fn a_forged_unknown_ends_nothing() {
    let (mut wire, keys) = open(noise(), Path::clean(ms(20)), 10);
    wire.run(500);
    wire.sides[CLIENT].endpoint.write(keys[CLIENT], b"x").expect("open");
    let (now, mut packet) = (wire.instant(), Vec::new());
    wire.sides[CLIENT].endpoint.poll_transmit(now, &mut packet, 1).expect("a packet");
    let forged = [&[0xc4], &packet[1..9]].concat();
    let elsewhere: SocketAddr = "203.0.113.9:9".parse().expect("an address");
    let before = wire.sides[CLIENT].endpoint.counters().sent;
    for _ in 0..100 {
        let (now, server) = (wire.instant(), wire.sides[SERVER].address);
        for from in [server, server, elsewhere] {
            wire.sides[CLIENT].endpoint.handle_datagram(now, from, Ecn::NotEct, &forged);
            wire.sides[SERVER].endpoint.handle_datagram(now, from, Ecn::NotEct, &forged);
        }
        wire.run(100);
    }
    let sent = wire.sides[CLIENT].endpoint.counters().sent - before;
    assert!(sent <= 110, "{sent} packets: one for each that was new");
    assert!(dropped(&wire, CLIENT, DropReason::Unexpected) >= 200, "another address, or asked already");
    assert_eq!(dropped(&wire, SERVER, DropReason::Unknown), 300, "a server is told nothing by it");
    assert_eq!(wire.sides[SERVER].endpoint.counters().forgotten, 0, "and does not answer");
    assert_eq!(wire.sides.each_ref().map(|side| side.endpoint.sessions()), [1, 1]);
    assert_eq!(wire.sides[CLIENT].endpoint.ended(keys[CLIENT]), None);
    // One whose server is silent then is over, as it would have been.
    let (now, server) = (wire.instant(), wire.sides[SERVER].address);
    wire.sides[SERVER].address = elsewhere;
    wire.sides[CLIENT].endpoint.handle_datagram(now, server, Ecn::NotEct, &forged);
    wire.run(1000);
    assert_eq!(wire.sides[CLIENT].endpoint.ended(keys[CLIENT]), Some(&Ended::Forgotten));
}

/// There are as many sessions as there may be; who is refused is told.
#[test]
fn sessions_are_capped() {
    let few = with(plain(), |c| c.sessions = 2);
    let mut wire = Wire::new(1, &plain(), Path::clean(ms(5)));
    wire.sides[SERVER].endpoint = Endpoint::new(few, Seeded::new(2), true);
    assert!(wire.connect(1000).is_some() && wire.connect(1000).is_some());
    let (now, to) = (wire.instant(), wire.sides[SERVER].address);
    let key = wire.sides[CLIENT].endpoint.connect(now, to).expect("room here");
    wire.run(1000);
    assert_eq!(wire.sides[CLIENT].endpoint.ended(key), Some(&Ended::Refused(Refusal::Full)));
    assert_eq!(
        (wire.sides[SERVER].endpoint.sessions(), wire.sides[SERVER].endpoint.counters().refused),
        (2, 1)
    );
}

/// Each pattern opens a session with the right keys, and none with wrong ones.
#[test]
fn keys_decide_who_speaks_to_whom() {
    let key = |n| SecretKey::generate(&mut Seeded::new(n));
    let shared = |n| SharedKey::generate(&mut Seeded::new(n));
    let server = || NoiseKeys::new().own(key(2)).shared(shared(8)).shared(shared(9));
    let opens = |client: NoiseKeys, server: NoiseKeys| {
        let config = |keys| Config::new(Security::Noise(Arc::new(keys)));
        let mut wire = Wire::new(1, &config(client), Path::clean(ms(5)));
        wire.sides[SERVER].endpoint = Endpoint::new(config(server), Seeded::new(2), true);
        let keys = wire.connect(20_000)?;
        let [client, server] =
            [CLIENT, SERVER].map(|side| wire.sides[side].endpoint.proved(keys[side]).cloned());
        assert_eq!(client.as_ref()?.binding, server.as_ref()?.binding);
        Some([client?.identity, server?.identity])
    };
    let public = |n| *key(n).public().as_octets();
    let xx = NoiseKeys::new().own(key(1));
    assert_eq!(opens(xx.clone(), server()), Some([public(2), public(1)]));
    assert_eq!(opens(xx.clone().server(key(2).public()), server()), Some([public(2), public(1)]));
    assert_eq!(opens(xx.clone().server(key(3).public()), server()), None, "another server");
    assert_eq!(opens(NoiseKeys::new().shared(shared(9)), server()), Some([shared(9).identity(); 2]));
    assert_eq!(opens(NoiseKeys::new().shared(shared(7)), server()), None, "an unknown shared key");
    assert_eq!(opens(xx.clone().trusted(vec![key(3).public()]), server()), None, "a server nobody trusts");
    assert_eq!(opens(xx.clone(), server().trusted(vec![key(3).public()])), None, "a client nobody trusts");
    assert_eq!(opens(xx.clone(), server().trusted(vec![key(1).public()])), Some([public(2), public(1)]));
    assert_eq!(opens(xx, NoiseKeys::new().shared(shared(9))), None, "a server without a key");
    let plain = Wire::new(1, &plain(), Path::clean(ms(5)));
    assert_eq!(plain.sides[CLIENT].endpoint.sessions(), 0);
}

/// A server that is secured has nothing for a client that is not.
#[test]
fn the_insecure_and_the_secure_do_not_meet() {
    let [_, server] = noise();
    let mut wire = Wire::new(1, &plain(), Path::clean(ms(5)));
    wire.sides[SERVER].endpoint = Endpoint::new(server, Seeded::new(2), true);
    assert!(wire.connect(10_000).is_none());
    assert_eq!(wire.sides[SERVER].endpoint.sessions(), 0);
    let [client, _] = noise();
    let mut wire = Wire::new(1, &client, Path::clean(ms(5)));
    wire.sides[SERVER].endpoint = Endpoint::new(plain(), Seeded::new(2), true);
    assert!(wire.connect(10_000).is_none());
    let ended = wire.sides[CLIENT].events.iter().any(|event| matches!(event, Event::Ended(_)));
    assert!(ended || wire.sides[CLIENT].endpoint.sessions() <= 1);
}
