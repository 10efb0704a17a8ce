//! Rooms against a plain model: whatever members do and however their connections fare, each gets
//! the messages of its rooms in order, once, with none missing but those that are not kept any more;
//! and what it was told of the others leads to who is there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Rooms that keep a few messages, none, many in a queue of their own.
const ROOMS: [&str; 3] = ["few", "none", "own/queue"];
const KEPT: [u32; 3] = [5, 0, 20];
const SESSIONS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    /// A session joins a room: from where it was, from such an offset, or with so much of the past.
    Join {
        session: usize,
        room: usize,
        from: From,
        presence: PresenceMode,
        credit: bool,
    },
    Leave(usize, usize),
    Data(usize, usize, u8),
    Publish {
        session: usize,
        room: usize,
        ephemeral: bool,
        echo: bool,
    },
    Take(usize, usize),
    Detach(usize),
    Reattach(usize),
    /// The session ends, and another begins.
    End(usize),
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum From {
    Seen,
    Offset(u64),
    Newest(u64),
}

/// What a client knows of a room that it is in.
#[derive(Clone, Debug)]
struct Room {
    sid: u64,
    epoch: u64,
    /// The offset that comes next.
    next: u64,
    /// The newest when it joined, until it was told that it has.
    joins: Option<Joined>,
    /// Of what it was to read back something was not kept any more; and something that others said.
    gaps: (bool, bool),
    /// A credit of its own, as far as it goes.
    limit: Option<u64>,
    used: u64,
    presence: PresenceMode,
    others: BTreeSet<u64>,
    count: u32,
}

#[derive(Clone, Debug)]
struct Client {
    key: SessionKey,
    attached: bool,
    rooms: BTreeMap<usize, Room>,
    /// The last place that it has seen of each room, in this session or before.
    seen: BTreeMap<usize, (u64, u64)>,
}

struct World {
    s: Story,
    clients: Vec<Client>,
    /// What was said, by room, epoch and offset.
    said: BTreeMap<(usize, u64, u64), (usize, u64)>,
    count: u64,
}

impl World {
    fn new() -> Self {
        let mut rooms: Vec<_> = (0..3)
            .map(|i| RoomOptions {
                max_messages: KEPT[i],
                max_age: Duration::MAX,
                ..RoomOptions::new(ROOMS[i])
            })
            .collect();
        // A bound that is never reached: nothing is dropped but for being old.
        (rooms[2].policy, rooms[2].max_waiting) = (RoomPolicy::SlowPublisher, 10_000);
        let mut s = Story::with(HubOptions { rooms, ..HubOptions::default() });
        let client = |key| Client { key, attached: true, rooms: BTreeMap::new(), seen: BTreeMap::new() };
        let clients = (0..SESSIONS).map(|_| client(s.session())).collect();
        Self { s, clients, said: BTreeMap::new(), count: 0 }
    }

    /// The offsets that are kept of a room, or twice the next; and its epoch.
    fn kept(&self, room: usize) -> Option<(core::ops::Range<u64>, u64)> {
        let topic = format!("$room/{}", ROOMS[room]);
        let any = self.clients[0].key;
        let page = self.s.hub.history(any, &topic, &HistoryQuery::default()).ok()?;
        Some((page.kept(), page.epoch()))
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Join { session, room, from, presence, credit } => {
                if self.clients[session].attached {
                    self.join(session, room, from, presence, credit);
                }
            }
            Step::Leave(session, room) => {
                let was = self.clients[session].rooms.remove(&room).is_some();
                assert_eq!(self.s.hub.leave(self.s.now, self.clients[session].key, ROOMS[room]), Ok(was));
            }
            Step::Data(session, room, data) => {
                let key = self.clients[session].key;
                let done = self.s.hub.set_member_data(self.s.now, key, ROOMS[room], &[data]);
                assert_eq!(done.is_ok(), self.clients[session].rooms.contains_key(&room));
            }
            Step::Publish { session, room, ephemeral, echo } => {
                if self.clients[session].attached {
                    self.publish(session, room, ephemeral, echo);
                }
            }
            Step::Take(session, most) => {
                if self.clients[session].attached {
                    self.take(session, most);
                }
            }
            Step::Detach(session) => {
                self.s.hub.detach(self.s.now, self.clients[session].key).unwrap();
                let client = &mut self.clients[session];
                client.attached = false;
                client.rooms.values_mut().for_each(|room| room.joins = None);
            }
            Step::Reattach(session) => self.reattach(session),
            Step::End(session) => {
                self.s.hub.remove(self.s.now, self.clients[session].key).unwrap();
                self.clients[session].rooms.clear();
                self.clients[session].key = self.s.session();
                self.clients[session].attached = true;
            }
            Step::Pass(millis) => {
                self.s.pass(millis);
                for client in &mut self.clients {
                    if self.s.hub.who(client.key).is_none() {
                        client.rooms.clear();
                        client.key = self.s.session();
                        client.attached = true;
                    }
                }
            }
        }
        self.s.hub.check_invariants().unwrap();
    }

    fn join(&mut self, session: usize, room: usize, from: From, presence: PresenceMode, credit: bool) {
        let client = &mut self.clients[session];
        let sid = room as u64 + 1;
        let since = match from {
            From::Seen => client.seen.get(&room).copied(),
            From::Offset(offset) => client.seen.get(&room).map(|seen| (seen.0, offset)),
            From::Newest(_) => None,
        };
        let history = if let From::Newest(n) = from { n } else { 3 };
        let limit = credit.then_some(40);
        let options = JoinOptions { since, history, presence, data: b"", credit: limit };
        let joined = self.s.join(self.clients[session].key, sid, ROOMS[room], options);
        let (kept, epoch) = self.kept(room).unwrap();
        assert_eq!((joined.epoch, joined.offset), (epoch, kept.end - 1));
        let has = since.filter(|(e, o)| *e == epoch && *o < kept.end && *o + 1 >= kept.start);
        assert_eq!(joined.recovered, has.is_some());
        let next = has.map_or(kept.end.saturating_sub(history).max(kept.start), |(_, offset)| offset + 1);
        let others = BTreeSet::new();
        let (joins, gaps) = (Some(joined), (false, false));
        let known = Room { sid, epoch, next, joins, gaps, limit, used: 0, presence, others, count: 0 };
        self.clients[session].rooms.insert(room, known);
    }

    fn reattach(&mut self, session: usize) {
        let client = &mut self.clients[session];
        self.s.hub.reattach(self.s.now, client.key, 9, None).unwrap();
        if client.attached {
            client.rooms.values_mut().for_each(|room| room.joins = None);
        }
        client.attached = true;
        client.rooms.values_mut().for_each(|room| room.used = 0);
        for room in client.rooms.values_mut().filter(|room| room.limit.is_some()) {
            room.limit = Some(40);
        }
    }

    fn publish(&mut self, session: usize, room: usize, ephemeral: bool, echo: bool) {
        self.count += 1;
        let text = self.count.to_string();
        let message = Message::new(&format!("$room/{}", ROOMS[room]), text.as_bytes()).unwrap();
        let options = PublishOptions { ephemeral, echo, ..PublishOptions::default() };
        let key = self.clients[session].key;
        let outcome = self.s.hub.publish_with(self.s.now, key, message, &options).unwrap();
        let nobody = self.clients.iter().all(|c| !c.rooms.contains_key(&room));
        assert_eq!(outcome.place.is_none(), ephemeral || (KEPT[room] == 0 && nobody));
        if let Some(place) = outcome.place {
            let who = if echo { usize::MAX } else { session };
            let before = self.said.insert((room, place.epoch, place.offset), (who, self.count));
            assert_eq!(before, None, "a place twice");
            assert!(place.offset == 1 || self.said.contains_key(&(room, place.epoch, place.offset - 1)));
        }
    }

    fn take(&mut self, session: usize, most: usize) -> usize {
        let kept: Vec<_> =
            (0..3).map(|room| self.kept(room).map_or(u64::MAX, |(kept, _)| kept.start)).collect();
        let key = self.clients[session].key;
        let Self { s, clients, said, .. } = self;
        let client = &mut clients[session];
        let mut taken = 0;
        s.hub
            .drain(s.now, key, |d| {
                if taken == most {
                    return false;
                }
                taken += 1;
                client.hear(session, d, said, &kept);
                true
            })
            .unwrap();
        taken
    }

    /// All connections are there and take all: all know all.
    fn settle(&mut self) {
        for _ in 0..2 {
            for session in 0..SESSIONS {
                if !self.clients[session].attached {
                    self.reattach(session);
                }
                let client = &mut self.clients[session];
                for room in client.rooms.values_mut().filter(|room| room.limit.is_some()) {
                    room.limit = Some(1 << 40);
                    self.s.hub.credit(self.s.now, client.key, room.sid, 1 << 40).unwrap();
                }
            }
            for session in 0..SESSIONS {
                while self.take(session, 7) > 0 {}
            }
            self.s.pass(1000);
        }
        assert!(self.s.ready().is_empty() && self.s.hub.poll_timeout().is_none(), "nothing is left to do");
        for (session, client) in self.clients.iter().enumerate() {
            for (number, room) in &client.rooms {
                let (kept, epoch) = self.kept(*number).unwrap();
                assert_eq!((room.epoch, room.joins), (epoch, None));
                // Nothing is left but its own that it did not want, and what is not kept any more.
                let own = |o: &u64| self.said[&(*number, epoch, *o)].0 == session;
                assert!((room.next.max(kept.start)..kept.end).all(|o| own(&o)), "{room:?} {kept:?}");
                let members = self.s.hub.members(client.key, ROOMS[*number]).unwrap();
                if room.presence != PresenceMode::None {
                    assert_eq!(room.count, members.count());
                }
                if room.presence == PresenceMode::Full {
                    let all: BTreeSet<u64> = members.iter().map(|m| m.member).collect();
                    assert_eq!(room.others, all);
                }
            }
        }
    }
}

impl Room {
    /// It is told something: what was to come before, and is not kept any more, does not.
    fn passes(&mut self, kept: u64, is_anothers: impl Fn(u64) -> bool) {
        let Some(joined) = self.joins else { return };
        for offset in self.next..kept.min(joined.offset + 1) {
            self.gaps = (true, self.gaps.1 || is_anothers(offset));
        }
    }
}

impl Client {
    fn hear(
        &mut self,
        session: usize,
        delivery: &Delivery<'_>,
        said: &BTreeMap<(usize, u64, u64), (usize, u64)>,
        kept: &[u64],
    ) {
        match *delivery {
            Delivery::Message { sid, message, place, historic, .. } => {
                let number = sid as usize - 1;
                let room = self.rooms.get_mut(&number).expect("a room that it is in");
                assert!(room.limit.is_none_or(|limit| room.used < limit), "its credit is used up");
                room.used += message.body().len() as u64 + 1;
                let text: u64 = std::str::from_utf8(message.payload()).unwrap().parse().unwrap();
                let Some(place) = place else {
                    assert_eq!((historic, room.joins), (false, None), "not before it was told");
                    return;
                };
                let (silent, what) = said[&(number, place.epoch, place.offset)];
                assert_eq!((place.epoch, text), (room.epoch, what));
                assert!(silent != session || historic || place.offset <= kept[number].max(room.next) + 20);
                assert!(place.offset >= room.next, "twice, or out of order");
                let missing = (room.next..place.offset).filter(|o| {
                    // Its own that it did not want, or one that is not kept any more.
                    said[&(number, place.epoch, *o)].0 != session && *o >= kept[number]
                });
                assert_eq!(
                    missing.count(),
                    0,
                    "missing before {place:?}, of which are kept from {}",
                    kept[number]
                );
                room.passes(kept[number], |o| said[&(number, place.epoch, o)].0 != session);
                assert_eq!(historic, room.joins.is_some_and(|joined| place.offset <= joined.offset));
                room.next = place.offset + 1;
                self.seen.insert(number, (place.epoch, place.offset));
            }
            Delivery::Joined { sid, room: name, joined, presence, members } => {
                let number = sid as usize - 1;
                let room = self.rooms.get_mut(&number).unwrap();
                assert_eq!((name, presence), (ROOMS[number], room.presence));
                room.passes(kept[number], |o| said[&(number, joined.epoch, o)].0 != session);
                let promised = room.joins.take().expect("told once");
                let Joined { count, recovered, .. } = promised;
                assert_eq!(Joined { count, recovered, ..joined }, promised);
                // It misses what was not kept long enough, and is told so.
                let (any, others) = room.gaps;
                assert!(joined.recovered == recovered || any, "{room:?}");
                assert!(!(joined.recovered && (others || !recovered)), "{room:?}");
                assert!(
                    room.next > joined.offset || room.next <= kept[sid as usize - 1],
                    "all of the past came before"
                );
                (room.count, room.others) = (members.count(), members.iter().map(|m| m.member).collect());
            }
            Delivery::Presence { sid, change } => {
                let room = self.rooms.get_mut(&(sid as usize - 1)).unwrap();
                assert_eq!(room.joins, None, "not before it was told");
                room.count = change.count();
                if change.is_snapshot() {
                    room.others.clear();
                }
                assert_eq!(change.is_listed(), room.presence == PresenceMode::Full);
                assert!(change.left().all(|member| room.others.remove(&member)), "who left was there");
                assert!(change.joined().all(|m| room.others.insert(m.member)), "who came was not");
                assert!(change.changed().all(|m| room.others.contains(&m.member)));
                assert!(!change.is_listed() || room.others.len() == room.count as usize);
            }
            _ => unreachable!("{delivery:?}"),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (session, room) = (0..SESSIONS, 0..ROOMS.len());
    let from = prop_oneof![
        4 => Just(From::Seen),
        1 => (0u64..12).prop_map(From::Offset),
        2 => (0u64..8).prop_map(From::Newest),
    ];
    let presence = prop_oneof![Just(PresenceMode::None), Just(PresenceMode::Count), Just(PresenceMode::Full)];
    let both = || (0..SESSIONS, 0..ROOMS.len());
    prop_oneof![
        5 => (session.clone(), room, from, presence, any::<bool>()).prop_map(|(session, room, from, presence, credit)| {
            Step::Join { session, room, from, presence, credit }
        }),
        1 => both().prop_map(|(s, r)| Step::Leave(s, r)),
        1 => (both(), any::<u8>()).prop_map(|((s, r), data)| Step::Data(s, r, data)),
        12 => (both(), 0u8..8).prop_map(|((session, room), how)| {
            Step::Publish { session, room, ephemeral: how == 0, echo: how != 1 }
        }),
        6 => (session.clone(), 0usize..12).prop_map(|(s, n)| Step::Take(s, n)),
        1 => session.clone().prop_map(Step::Detach),
        2 => session.clone().prop_map(Step::Reattach),
        1 => session.prop_map(Step::End),
        2 => prop_oneof![Just(100u64), Just(5_000), Just(40_000)].prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn members_miss_nothing_and_get_nothing_twice(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        let all: Vec<SessionKey> = world.clients.iter().map(|c| c.key).collect();
        for key in all {
            world.s.hub.remove(world.s.now, key).unwrap();
        }
        world.s.hub.check_invariants().unwrap();
        let counters = world.s.hub.counters();
        prop_assert_eq!((counters.rooms, counters.members, counters.subscriptions, counters.queued), (0, 0, 0, 0));
        prop_assert_eq!(counters.messages, counters.history);
    }
}
