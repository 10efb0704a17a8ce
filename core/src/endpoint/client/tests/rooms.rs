//! Clients in rooms of a real server, over lines that are cut: ROO-1 to ROO-8, PSC-1 to PSC-6 as a
//! client lives by them.

use core::time::Duration;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::*;
use crate::buf::{GrowingRecvBuf, RecvBuf, SharedSendBuf};
use crate::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig};
use crate::entropy::Seeded;
use crate::hub::RoomOptions;
use crate::session::Transport;
use crate::status::Status;
use crate::time::Deadline;

/// Both directions of a transport.
struct Line {
    key: ConnectionKey,
    up: SharedSendBuf,
    down: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
    /// So many octets pass until it is cut, each way.
    left: [usize; 2],
}

/// What an application sees of a room.
#[derive(Default)]
struct Seen {
    joined: Vec<(RoomPlace, bool)>,
    name: String,
    last: RoomPlace,
    /// In their order: place, payload, what was missed before.
    messages: Vec<(RoomPlace, String, u64)>,
    placed: BTreeMap<PublishId, RoomPlace>,
    members: BTreeMap<String, Vec<u8>>,
    count: u64,
    ended: Option<Status>,
    not_shown: usize,
}

struct Member {
    client: Client,
    line: Option<Line>,
    reachable: bool,
    takes: bool,
    room: Option<RoomId>,
    seen: Seen,
    lost: usize,
    refused: Vec<(PublishId, Status)>,
    accepted: BTreeSet<PublishId>,
    sent: BTreeMap<PublishId, String>,
}

struct World {
    now: Instant,
    server: Server,
    members: Vec<Member>,
}

fn server(rooms: Vec<RoomOptions>) -> ServerConfig {
    let mut config = ServerConfig { sys_interval: Duration::ZERO, ..ServerConfig::default() };
    config.hub.rooms = rooms;
    config
}

impl World {
    fn new(config: ServerConfig) -> World {
        let now = Instant::from_millis(1000);
        let mut server = Server::new(config, Box::new(Seeded::new(9)));
        server.set_calendar(now, 1_700_000_000_000);
        World { now, server, members: Vec::new() }
    }

    fn add(&mut self, config: ClientConfig) -> usize {
        let seed = 100 + self.members.len() as u64;
        self.members.push(Member {
            client: Client::new(self.now, config, Box::new(Seeded::new(seed))),
            line: None,
            reachable: true,
            takes: true,
            room: None,
            seen: Seen::default(),
            lost: 0,
            refused: Vec::new(),
            accepted: BTreeSet::new(),
            sent: BTreeMap::new(),
        });
        self.members.len() - 1
    }

    fn join(&mut self, i: usize, options: &JoinOptions<'_>) {
        let m = &mut self.members[i];
        m.seen = Seen { last: options.since.unwrap_or_default(), ..Seen::default() };
        m.room = Some(m.client.join(self.now, "r", options).unwrap());
    }

    fn send(&mut self, i: usize, text: &str) -> Option<PublishId> {
        let m = &mut self.members[i];
        let id = m.client.send(self.now, m.room?, RoomPublish::new(text.to_string())).ok()?;
        m.sent.insert(id, text.into());
        Some(id)
    }

    /// A member's messages, and how it joined.
    fn texts(&self, i: usize) -> Vec<&str> {
        self.members[i].seen.messages.iter().map(|(_, text, _)| &text[..]).collect()
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            let moved = (0..self.members.len()).fold(false, |moved, i| moved | self.turn(i));
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn turn(&mut self, i: usize) -> bool {
        let m = &mut self.members[i];
        let mut moved = m.take_events();
        if m.client.poll_connect(self.now).is_some() {
            moved = true;
            match self.server.accept(self.now, Peer::default()) {
                Ok(key) if m.reachable => {
                    m.client.handle_connected(self.now);
                    m.line = Some(Line {
                        key,
                        up: SharedSendBuf::new(16 << 10),
                        down: SharedSendBuf::new(16 << 10),
                        at_server: GrowingRecvBuf::new(2 << 20),
                        at_client: GrowingRecvBuf::new(2 << 20),
                        left: [usize::MAX; 2],
                    });
                }
                Ok(key) => {
                    self.server.disconnect(self.now, key);
                    m.client.handle_connect_failed(self.now);
                }
                Err(_) => m.client.handle_connect_failed(self.now),
            }
        }
        let Some(mut line) = m.line.take() else { return moved };
        let before = (line.at_client.filled().len(), line.at_server.filled().len());
        if m.client.wants_read() {
            m.client.recv(self.now, &mut line.at_client);
        }
        let mut over =
            m.client.poll_transmit(self.now, &mut line.up) != Transport::Open && line.up.is_empty();
        self.server.recv(self.now, line.key, &mut line.at_server, &mut line.down);
        over |= self.server.poll_transmit(self.now, line.key, &mut line.down) != Transport::Open
            && line.down.is_empty();
        moved |= before != (line.at_client.filled().len(), line.at_server.filled().len());
        for way in 0..2 {
            let (from, to) = match way {
                0 => (&mut line.up, &mut line.at_server),
                _ => (&mut line.down, &mut line.at_client),
            };
            let octets: Vec<u8> = from.slices().flatten().copied().take(line.left[way].min(1500)).collect();
            to.push(&octets);
            from.sent(octets.len());
            moved |= !octets.is_empty();
            line.left[way] -= octets.len();
            over |= line.left[way] == 0;
        }
        if over {
            // What arrived before the cut is read before it is noticed.
            m.client.recv(self.now, &mut line.at_client);
            self.server.recv(self.now, line.key, &mut line.at_server, &mut line.down);
            m.client.handle_transport_gone(self.now);
            self.server.disconnect(self.now, line.key);
            return true;
        }
        m.line = Some(line);
        moved
    }

    fn cut(&mut self, i: usize) {
        let m = &mut self.members[i];
        if let Some(line) = m.line.take() {
            m.client.handle_transport_gone(self.now);
            self.server.disconnect(self.now, line.key);
        }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        self.run();
        loop {
            let lines = self.members.iter().filter_map(|m| m.line.as_ref());
            let due = lines.filter_map(|line| self.server.poll_timeout(line.key));
            let due = due.chain(self.members.iter().filter_map(|m| m.client.poll_timeout()));
            let due = due.chain(self.server.poll_hub_timeout());
            let later = |d: &Deadline| d.at > self.now || d.why != crate::time::Why::Output;
            let Some(at) = due.filter(later).map(|d| d.at).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.server.handle_hub_timeout(self.now);
            for m in &mut self.members {
                m.client.handle_timeout(self.now);
                if let Some(line) = &m.line {
                    self.server.handle_timeout(self.now, line.key);
                }
            }
            self.run();
        }
        self.now = end;
        self.run();
    }
}

impl Member {
    fn take_events(&mut self) -> bool {
        let mut any = false;
        while self.takes {
            let Some(event) = self.client.poll_event() else { break };
            any = true;
            match event {
                ClientEvent::Room { room, event } => {
                    assert_eq!(Some(room), self.room, "a room that was left says nothing but its end");
                    self.seen.take(event);
                    if self.seen.ended.is_some() {
                        self.room = None;
                    }
                }
                ClientEvent::Lost => self.lost += 1,
                ClientEvent::Refused { publish, status, .. } => {
                    self.refused.extend(publish.map(|p| (p, status)));
                }
                ClientEvent::Accepted { publish } => assert!(self.accepted.insert(publish)),
                ClientEvent::Closed { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
        any
    }
}

impl Seen {
    fn take(&mut self, event: RoomEvent) {
        assert_eq!(self.ended, None, "the end is the last");
        match event {
            RoomEvent::Joined { place, recovered, members, member } => {
                self.last.epoch = place.epoch;
                // What was not recovered begins anew.
                if !recovered {
                    self.last.offset = u64::MAX;
                }
                (self.name, self.count) = (member, members);
                self.members.clear();
                self.joined.push((place, recovered));
            }
            RoomEvent::Message(m) => {
                self.follow(m.place, m.missed);
                let text = String::from_utf8_lossy(m.message.payload()).into_owned();
                assert_eq!(m.message.topic(), "$room/r");
                assert!(m.stamp >= 1_700_000_000_000);
                if let Some(publish) = m.publish {
                    assert_eq!(self.placed.insert(publish, m.place), None);
                }
                self.messages.push((m.place, text, m.missed));
            }
            RoomEvent::Sent { publish, place, missed, .. } => {
                self.follow(place, missed);
                assert_eq!(self.placed.insert(publish, place), None);
            }
            RoomEvent::Presence(Presence::Anew) => self.members.clear(),
            RoomEvent::Presence(Presence::Here { member, data, .. }) => {
                drop(self.members.insert(member, data.to_vec()));
            }
            RoomEvent::Presence(Presence::Gone { member }) => drop(self.members.remove(&member)),
            RoomEvent::Presence(Presence::Count(count)) => self.count = count,
            RoomEvent::NotShown { .. } => self.not_shown += 1,
            RoomEvent::Ended { status, .. } => self.ended = Some(status),
        }
    }

    /// Offsets follow one another, but for what is said to be missed.
    fn follow(&mut self, place: RoomPlace, missed: u64) {
        assert!(!self.joined.is_empty(), "JOINED comes before all else");
        assert_eq!(place.epoch, self.last.epoch);
        if self.last.offset != u64::MAX {
            assert_eq!(place.offset, self.last.offset + 1 + missed, "in order, each once");
        }
        self.last = place;
    }
}

/// Everything, kept.
fn large() -> Vec<RoomOptions> {
    vec![RoomOptions { max_messages: 100_000, max_bytes: 1 << 30, ..RoomOptions::new("#") }]
}

fn watching<'a>() -> JoinOptions<'a> {
    JoinOptions { presence: PresenceMode::Full, ..JoinOptions::default() }
}

/// ROO-1, ROO-3, ROO-4, ROO-5, PSC-2: a member learns where it is, what was said, who is there.
#[test]
fn a_room_is_joined() {
    let mut w = World::new(server(large()));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &JoinOptions { data: b"ann", ..watching() });
    w.run();
    let ids = ["1", "2", "3"].map(|text| w.send(a, text).unwrap());
    w.run();
    w.join(b, &JoinOptions { history: 2, data: b"bob", ..watching() });
    w.advance(Duration::from_secs(1));
    assert_eq!(w.texts(a), ["1", "2", "3"]);
    assert_eq!(w.texts(b), ["2", "3"], "the newest two");
    let (first, second) = (&w.members[a].seen, &w.members[b].seen);
    assert_eq!(second.joined, [(RoomPlace { offset: 3, ..first.last }, false)]);
    let there: BTreeMap<_, _> =
        [(first.name.clone(), b"ann".to_vec()), (second.name.clone(), b"bob".to_vec())].into();
    assert_eq!((&first.members, &second.members, second.count), (&there, &there, 2));
    let offsets = ids.map(|id| first.placed[&id].offset);
    assert_eq!((offsets, w.members[a].accepted.len()), ([1, 2, 3], 3), "each is accepted, and has its place");
}

/// ROO-1: who leaves hears nothing more of the room, and is gone for the others.
#[test]
fn a_room_is_left() {
    let mut w = World::new(server(large()));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &watching());
    w.join(b, &watching());
    w.run();
    let room = w.members[b].room.unwrap();
    w.members[b].client.leave(w.now, room).unwrap();
    assert_eq!(w.members[b].client.leave(w.now, room), Err(ClientError::UnknownRoom));
    assert!(w.members[b].client.send(w.now, room, RoomPublish::new("x")).is_err());
    w.send(a, "after");
    w.advance(Duration::from_secs(1));
    assert_eq!((w.members[b].seen.ended, w.texts(b).len()), (Some(Status::Ok), 0));
    assert_eq!(w.members[a].seen.members.len(), 1);
    // Again, as somebody new.
    w.join(b, &watching());
    w.advance(Duration::from_secs(1));
    assert_eq!(w.members[a].seen.members.len(), 2);
    assert_eq!(w.members[b].client.join(w.now, "r", &watching()), Err(ClientError::AlreadyJoined));
}

/// ROO-8, ROO-7, PSC-4, PSC-6: over another connection of the session the member is the same, was
/// never away, and gets what it missed: also what was on its way when the line was cut.
#[test]
fn what_was_missed_is_recovered() {
    let mut w = World::new(server(large()));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &watching());
    w.join(b, &watching());
    w.run();
    let name = w.members[b].seen.name.clone();
    w.send(a, "1");
    w.run();
    w.members[b].line.as_mut().unwrap().left[1] = 20;
    for text in ["2", "3", "4"] {
        w.send(a, text);
    }
    w.members[b].reachable = false;
    w.run();
    assert!(w.members[b].line.is_none(), "it is cut within a message");
    w.send(a, "5");
    w.run();
    w.members[b].reachable = true;
    w.advance(Duration::from_secs(5));
    assert_eq!(w.texts(b), ["1", "2", "3", "4", "5"]);
    let seen = &w.members[b].seen;
    assert_eq!((seen.joined.len(), seen.joined[1].1), (2, true));
    assert_eq!((&seen.name, seen.members.len(), w.members[b].lost), (&name, 2, 0));
    assert_eq!(w.members[a].seen.members.len(), 2);
}

/// ROO-3, ROO-4: where the room does not have all any more, the client says so, and gives the newest.
#[test]
fn what_is_lost_is_told() {
    let rooms = vec![RoomOptions { max_messages: 4, ..RoomOptions::new("#") }];
    let mut w = World::new(server(rooms));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &watching());
    w.join(b, &JoinOptions { history: 3, ..watching() });
    w.send(a, "0");
    w.run();
    w.members[b].reachable = false;
    w.cut(b);
    for n in 1..=9 {
        w.send(a, &n.to_string());
    }
    w.run();
    w.members[b].reachable = true;
    w.advance(Duration::from_secs(5));
    assert_eq!(w.texts(b), ["0", "7", "8", "9"]);
    assert!(!w.members[b].seen.joined[1].1);
    w.send(a, "10");
    w.run();
    assert_eq!(w.texts(b)[4..], ["10"]);
}

/// What comes before JOINED is held within limits: beyond, the oldest is lost, and that is said.
#[test]
fn more_than_can_be_held_is_not_recovered() {
    let mut w = World::new(server(large()));
    let small = QueueLimits { max_messages: 64, max_bytes: 4 << 20 };
    let a = w.add(ClientConfig::default());
    let b = w.add(ClientConfig { incoming: small, ..ClientConfig::default() });
    w.join(a, &watching());
    w.join(b, &JoinOptions { credit: Some(100), ..watching() });
    w.run();
    w.send(a, "0");
    w.run();
    w.members[b].reachable = false;
    w.cut(b);
    for n in 1..=100 {
        w.send(a, &n.to_string());
        w.run();
    }
    w.members[b].reachable = true;
    w.advance(Duration::from_secs(5));
    assert!(!w.members[b].seen.joined[1].1);
    let wanted: Vec<String> = core::iter::once(0).chain(37..=100).map(|n: u32| n.to_string()).collect();
    assert_eq!(w.texts(b), wanted);
}

/// ROO-2: from where an earlier program had come.
#[test]
fn a_place_of_an_earlier_time_is_gone_on_from() {
    let mut w = World::new(server(large()));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &watching());
    for text in ["1", "2", "3"] {
        w.send(a, text);
    }
    w.run();
    let (place, ..) = w.members[a].seen.messages[0];
    w.join(b, &JoinOptions { since: Some(place), ..JoinOptions::default() });
    w.run();
    assert_eq!((w.texts(b), w.members[b].seen.joined[0].1), (vec!["2", "3"], true));
}

/// ROO-6: what is refused, and why; nothing stays behind.
#[test]
fn what_is_refused_is_told() {
    let rooms = vec![RoomOptions {
        session_rate: Some(crate::hub::RoomRate { per_second: 1, burst: 1 }),
        ..RoomOptions::new("r")
    }];
    let mut w = World::new(server(rooms));
    let a = w.add(ClientConfig::default());
    let long = "x".repeat(129);
    assert!(matches!(w.members[a].client.join(w.now, &long, &watching()), Err(ClientError::Invalid(_))));
    assert!(matches!(w.members[a].client.join(w.now, "a/+", &watching()), Err(ClientError::Topic(_))));
    w.members[a].room = Some(w.members[a].client.join(w.now, "other", &watching()).unwrap());
    w.run();
    assert_eq!(w.members[a].seen.ended, Some(Status::Invalid), "there is no room of that name");
    w.join(a, &watching());
    w.run();
    let _ = w.send(a, "1");
    let second = w.send(a, "2").unwrap();
    w.run();
    assert_eq!(w.members[a].refused, [(second, Status::Busy)]);
    assert_eq!(w.texts(a), ["1"]);
    let room = w.members[a].room.unwrap();
    assert!(w.members[a].client.show(w.now, room, &[0; 4097]).is_err());
}

/// A server without rooms, or without a session of this client any more.
#[test]
fn a_server_without_rooms_is_told() {
    let mut w = World::new(server(Vec::new()));
    let a = w.add(ClientConfig::default());
    w.join(a, &watching());
    w.run();
    assert_eq!(w.members[a].seen.ended, Some(Status::Unsupported));
}

/// PRP-6: of two with the same key the room gets one; what is one's own is known, or comes as its
/// place alone.
#[test]
fn a_key_makes_one_of_two() {
    let mut w = World::new(server(large()));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &JoinOptions { echo: false, ..watching() });
    w.join(b, &watching());
    w.run();
    let room = w.members[a].room.unwrap();
    let mut ids = Vec::new();
    for text in ["x", "again"] {
        let publish = RoomPublish { key: Some(b"one"), ..RoomPublish::new(text) };
        ids.push(w.members[a].client.send(w.now, room, publish).unwrap());
        w.run();
    }
    w.send(b, "y");
    w.run();
    assert_eq!((w.texts(a), w.texts(b)), (vec!["y"], vec!["x", "y"]));
    assert_eq!(w.members[a].accepted.len(), 2, "both are accepted");
    assert_eq!(w.members[a].seen.placed.keys().collect::<Vec<_>>(), [&ids[0]]);
    assert_eq!(w.members[a].client.room_place(room), Some(w.members[b].seen.last));
}

/// PSC-1, PSC-3, PSC-5: what others see of a client, and how many there are.
#[test]
fn presence_is_shown_and_counted() {
    let mut w = World::new(server(large()));
    let (a, b) = (w.add(ClientConfig::default()), w.add(ClientConfig::default()));
    w.join(a, &watching());
    w.join(b, &JoinOptions { presence: PresenceMode::Count, ..JoinOptions::default() });
    w.run();
    let room = w.members[b].room.unwrap();
    w.members[b].client.show(w.now, room, b"away").unwrap();
    w.advance(Duration::from_secs(2));
    let (name, count) = (w.members[b].seen.name.clone(), w.members[b].seen.count);
    assert_eq!((&w.members[a].seen.members[&name][..], count), (&b"away"[..], 2));
    let room = w.members[a].room.unwrap();
    w.members[a].client.leave(w.now, room).unwrap();
    w.advance(Duration::from_secs(2));
    assert_eq!((w.members[b].seen.count, w.members[b].seen.not_shown), (1, 0));
}

#[derive(Clone, Copy, Debug)]
enum Do {
    Join(usize),
    Leave(usize),
    Send(usize, usize),
    Show(usize, u8),
    Cut(usize),
    CutAt(usize, usize, usize),
    Reach(usize, bool),
    Take(usize, bool),
    Wait(u64),
}

const MEMBERS: usize = 3;

fn anything() -> impl Strategy<Value = Do> {
    let who = 0..MEMBERS;
    prop_oneof![
        2 => who.clone().prop_map(Do::Join),
        1 => who.clone().prop_map(Do::Leave),
        6 => (who.clone(), 1usize..12).prop_map(|(i, n)| Do::Send(i, n)),
        1 => (who.clone(), any::<u8>()).prop_map(|(i, data)| Do::Show(i, data)),
        1 => who.clone().prop_map(Do::Cut),
        3 => (who.clone(), 0usize..2, 1usize..600).prop_map(|(i, way, at)| Do::CutAt(i, way, at)),
        1 => (who.clone(), any::<bool>()).prop_map(|(i, is)| Do::Reach(i, is)),
        1 => (who, any::<bool>()).prop_map(|(i, is)| Do::Take(i, is)),
        4 => (0u64..4000).prop_map(Do::Wait),
    ]
}

impl World {
    fn act(&mut self, what: Do, sent: &mut usize) {
        match what {
            Do::Join(i) => {
                let is_free = self.members[i].room.is_none();
                let options = JoinOptions { credit: (i == 1).then_some(40), echo: i != 2, ..watching() };
                if is_free && !self.members[i].client.has_events() {
                    self.join(i, &options);
                }
            }
            Do::Leave(i) => {
                let m = &mut self.members[i];
                if let Some(room) = m.room {
                    let _ = m.client.leave(self.now, room);
                }
            }
            Do::Send(i, n) => {
                for _ in 0..n {
                    let text = format!("{i}.{sent}");
                    *sent += 1;
                    self.send(i, &text);
                }
            }
            Do::Show(i, data) => {
                let m = &mut self.members[i];
                if let Some(room) = m.room {
                    let _ = m.client.show(self.now, room, &[data]);
                }
            }
            Do::Cut(i) => self.cut(i),
            Do::CutAt(i, way, at) => {
                if let Some(line) = &mut self.members[i].line {
                    line.left[way] = at;
                }
            }
            Do::Reach(i, reachable) => self.members[i].reachable = reachable,
            Do::Take(i, takes) => self.members[i].takes = takes,
            Do::Wait(millis) => self.advance(Duration::from_millis(millis)),
        }
    }

    /// All is as it is to be when everything has come to rest.
    fn check(&self) {
        let mut places = BTreeMap::new();
        for (i, m) in self.members.iter().enumerate() {
            for (place, text, _) in &m.seen.messages {
                assert_eq!(places.entry(*place).or_insert(text), &text, "all see the same at {place:?}");
            }
            for (publish, place) in &m.seen.placed {
                let text = &m.sent[publish];
                assert_eq!(places.entry(*place).or_insert(text), &text, "what {i} sent is at its place");
            }
        }
        // A key keeps what is sent again from being two, unless the session was lost meanwhile.
        let texts: BTreeSet<&String> = places.values().copied().collect();
        if self.members.iter().all(|m| m.lost == 0) {
            assert_eq!(texts.len(), places.len(), "nothing is in the room twice");
        }
        let there = self.members.iter().filter(|m| m.room.is_some());
        let names: BTreeSet<&String> = there.clone().map(|m| &m.seen.name).collect();
        let newest = self
            .server
            .hub()
            .rooms()
            .find(|room| room.name == "r")
            .map(|room| RoomPlace { epoch: room.epoch, offset: room.offset });
        for m in there {
            assert!(
                m.client.is_connected(),
                "{:?} {:?} line {}",
                m.client,
                m.client.poll_timeout(),
                m.line.is_some()
            );
            assert_eq!(m.seen.members.keys().collect::<BTreeSet<_>>(), names, "who is there");
            let last = if m.seen.last.offset == u64::MAX {
                m.seen.joined.last().map(|j| j.0)
            } else {
                Some(m.seen.last)
            };
            assert_eq!(last.filter(|l| l.offset > 0), newest.filter(|l| l.offset > 0), "all has come");
        }
        self.server.hub().check_invariants().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// Whatever is cut, and whoever does not take his events: every member sees every message once, in
    /// order, without a gap but where it is said; and in the end all know who is there.
    #[test]
    fn members_agree(
        what in prop::collection::vec(anything(), 1..60),
        kept in prop_oneof![Just(100_000u32), Just(5), Just(0)],
        expiry in prop_oneof![Just(3600u64), Just(2)],
    ) {
        let rooms = vec![RoomOptions { max_messages: kept, max_bytes: 1 << 30, ..RoomOptions::new("#") }];
        let mut w = World::new(server(rooms));
        for _ in 0..MEMBERS {
            let expiry = Duration::from_secs(expiry);
            let incoming = QueueLimits { max_messages: 200, max_bytes: 4000 };
            let i = w.add(ClientConfig { expiry, incoming, ..ClientConfig::default() });
            w.join(i, &JoinOptions { credit: (i == 1).then_some(40), echo: i != 2, ..watching() });
        }
        let mut sent = 0;
        for what in what {
            w.act(what, &mut sent);
        }
        for m in &mut w.members {
            (m.reachable, m.takes) = (true, true);
            m.line.iter_mut().for_each(|line| line.left = [usize::MAX; 2]);
        }
        // Longer than a backoff takes at most.
        w.advance(Duration::from_secs(300));
        w.check();
        if kept == 100_000 && expiry == 3600 {
            for m in &w.members {
                // What is kept is recovered, unless more came than the client holds.
                let gaps = m.seen.messages.iter().map(|(_, _, missed)| *missed).sum::<u64>();
                prop_assert_eq!(gaps, 0);
            }
        }
    }
}
