//! Rooms: who is in them, what comes to whom, what is read back.

use std::boxed::Box;
use std::vec;

use super::*;
use crate::access::{Access, Action, Decision, Who};

const CALENDAR: u64 = 1_700_000_000_000;

fn story() -> Story {
    let mut s = Story::new();
    s.hub.set_calendar(s.now, CALENDAR);
    s
}

fn user(s: &mut Story, identity: &'static str) -> SessionKey {
    s.session_with(SessionOptions { identity, ..SessionOptions::default() })
}

impl Story {
    pub(super) fn join(&mut self, key: SessionKey, sid: u64, room: &str, options: JoinOptions<'_>) -> Joined {
        self.hub.join(self.now, key, sid, room, &options).unwrap()
    }

    fn say(&mut self, key: SessionKey, payload: &str) -> Place {
        self.publish(key, "$room/r", payload).place.unwrap()
    }

    /// What a session is handed of messages: offset and payload, `~` where it is of the past.
    fn hear(&mut self, key: SessionKey, most: usize) -> String {
        let mut heard = Vec::new();
        let take = |d: &Delivery<'_>| {
            let room = heard.len() < most;
            if room {
                heard.push(match d {
                    Delivery::Message { message, place, historic, .. } => {
                        let offset = place.map_or("-".to_string(), |place| place.offset.to_string());
                        let payload = String::from_utf8_lossy(message.payload());
                        format!("{}{offset}:{payload}", if *historic { "~" } else { "" })
                    }
                    Delivery::Joined { joined, .. } => {
                        format!("joined@{}{}", joined.offset, if joined.recovered { "!" } else { "" })
                    }
                    other => line(other),
                });
            }
            room
        };
        self.hub.drain(self.now, key, take).unwrap();
        self.hub.check_invariants().unwrap();
        heard.join(" ")
    }

    fn hear_all(&mut self, key: SessionKey) -> String {
        let mut all = Vec::new();
        loop {
            match self.hear(key, usize::MAX) {
                heard if heard.is_empty() => return all.join(" "),
                heard => all.push(heard),
            }
        }
    }
}

const NOTHING: JoinOptions<'static> =
    JoinOptions { since: None, history: 0, presence: PresenceMode::None, data: b"", credit: None };

fn since(epoch: u64, offset: u64) -> JoinOptions<'static> {
    JoinOptions { since: Some((epoch, offset)), ..NOTHING }
}

#[test]
fn members_hear_each_other_and_those_who_left_do_not() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    let (first, second) = (s.join(a, 1, "r", NOTHING), s.join(b, 7, "r", NOTHING));
    assert_eq!((first.offset, first.count, second.count, first.epoch), (0, 1, 2, second.epoch));
    assert_ne!(first.member, second.member);
    assert!(s.hub.is_member(a, "r") && !s.hub.is_member(a, "other"));
    let place = s.say(a, "hello");
    assert_eq!((place.offset, place.stamp, place.epoch), (1, CALENDAR * 1000, first.epoch));
    assert_eq!(s.say(b, "hi").stamp, CALENDAR * 1000 + 1, "a stamp is nobody else's");
    assert_eq!(s.hear_all(a), "joined@0 1:hello 2:hi");
    assert_eq!(s.hear_all(b), "joined@0 1:hello 2:hi");
    assert_eq!(s.hub.joined(b).collect::<Vec<_>>(), [("r", 7)]);
    assert_eq!(s.hub.leave(s.now, b, "r"), Ok(true));
    assert_eq!(s.hub.leave(s.now, b, "r"), Ok(false));
    s.say(a, "alone");
    assert_eq!((s.hear_all(a), s.hear_all(b)), ("3:alone".into(), String::new()));
    assert_eq!(s.hub.leave_all(s.now, a), Ok(1));
    assert_eq!((s.hub.counters().rooms, s.hub.counters().members, s.hub.counters().subscriptions), (0, 0, 0));
    // What was said stays to be read, by the same numbers.
    let again = s.join(a, 1, "r", JoinOptions { history: 2, ..NOTHING });
    assert_eq!((again.epoch, again.offset), (first.epoch, 3));
    assert_eq!(s.hear_all(a), "~2:hi ~3:alone joined@3");
}

/// Sent from any dialect, seen by any.
#[test]
fn others_see_the_room_as_a_topic() {
    let mut s = story();
    let (a, mqtt) = (s.session(), s.session());
    s.join(a, 1, "a/b", NOTHING);
    s.subscribe(mqtt, 5, "$room/a/+");
    s.publish(mqtt, "$room/a/b", "hello");
    assert_eq!(s.take(mqtt), ["5 $room/a/b=hello"]);
    assert_eq!(s.take(a), ["1 joined at 0, false, 1", "1 $room/a/b=hello"]);
}

#[test]
fn who_comes_back_gets_what_was_missed() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    let epoch = s.join(a, 1, "r", NOTHING).epoch;
    for payload in ["1", "2", "3", "4"] {
        s.say(a, payload);
    }
    assert!(s.join(b, 1, "r", since(epoch, 2)).recovered);
    s.say(a, "5");
    assert_eq!(s.hear_all(b), "~3:3 ~4:4 joined@4! 5:5");
    s.say(a, "6");
    assert_eq!(s.hear_all(b), "6:6");
    // The same member, and the same again.
    let member = s.hub.member(b, "r");
    assert!(s.join(b, 2, "r", since(epoch, 6)).recovered);
    assert_eq!((s.hear_all(b), s.hub.member(b, "r")), ("joined@6!".into(), member));
    for (place, history, want) in [
        ((epoch + 1, 3), 2, "~5:5 ~6:6 joined@6"),
        ((epoch, 7), 1, "~6:6 joined@6"),
        ((epoch, 0), 0, "~1:1 ~2:2 ~3:3 ~4:4 ~5:5 ~6:6 joined@6!"),
    ] {
        s.join(b, 2, "r", JoinOptions { history, ..since(place.0, place.1) });
        assert_eq!(s.hear_all(b), want);
    }
    for _ in 7..=101 {
        s.say(a, "x");
    }
    assert!(!s.join(b, 2, "r", since(epoch, 0)).recovered, "the first is not kept any more");
    assert!(s.join(b, 2, "r", since(epoch, 1)).recovered);
}

/// However little a connection takes at a time, and whatever is said meanwhile.
#[test]
fn what_does_not_fit_at_once_comes_in_order() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    for i in 1..=90 {
        s.say(a, &i.to_string());
    }
    s.join(b, 1, "r", JoinOptions { history: 100, ..NOTHING });
    let mut heard = Vec::new();
    for i in 91..=95 {
        heard.push(s.hear(b, 18));
        s.say(a, &i.to_string());
    }
    assert_eq!(s.hub.counters().queued, 0, "what is kept is not queued as well");
    heard.push(s.hear_all(b));
    let want: Vec<_> = (1..=90).map(|i| format!("~{i}:{i}")).collect();
    assert_eq!(heard.join(" "), format!("{} joined@90 91:91 92:92 93:93 94:94 95:95", want.join(" ")));
    s.say(a, "96");
    assert_eq!(s.hub.counters().queued, 1, "it has caught up");
    assert_eq!(s.hear_all(b), "96:96");
}

#[test]
fn what_is_trimmed_meanwhile_is_missing_by_its_number() {
    let few = RoomOptions { max_messages: 3, ..RoomOptions::new("#") };
    let mut s = Story::with(HubOptions { rooms: vec![few], ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    for i in 1..=3 {
        s.say(a, &i.to_string());
    }
    s.join(b, 1, "r", JoinOptions { history: 3, ..NOTHING });
    assert_eq!(s.hear(b, 1), "~1:1");
    for i in 4..=6 {
        s.say(a, &i.to_string());
    }
    assert_eq!(s.hear_all(b), "joined@3 4:4 5:5 6:6");
}

/// A member without a connection costs nothing, and reads on from where it was.
#[test]
fn a_detached_member_goes_on_where_it_was() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    s.join(a, 1, "r", NOTHING);
    s.join(b, 1, "r", NOTHING);
    s.say(a, "1");
    s.say(a, "2");
    assert_eq!(s.hear(b, 2), "joined@0 1:1");
    s.hub.detach(s.now, b).unwrap();
    assert_eq!(s.publish(a, "$room/r", "3").queued, 2);
    assert_eq!(s.hub.counters().queued, 3, "only the sender's own");
    s.pass(30_000);
    s.hub.reattach(s.now, b, 9, None).unwrap();
    s.say(a, "4");
    assert_eq!(s.ready(), [a, b]);
    assert_eq!(s.hear_all(b), "2:2 3:3 4:4");
    // Detached while it catches up.
    s.hub.detach(s.now, b).unwrap();
    s.say(a, "5");
    s.say(a, "6");
    s.hub.reattach(s.now, b, 9, None).unwrap();
    assert_eq!(s.hear(b, 1), "5:5");
    s.hub.detach(s.now, b).unwrap();
    s.hub.reattach(s.now, b, 9, None).unwrap();
    assert_eq!(s.hear_all(b), "6:6");
    // The end of the session is the end of the membership.
    s.hub.detach(s.now, b).unwrap();
    s.pass(60_000);
    s.hub.check_invariants().unwrap();
    assert_eq!((s.hub.counters().members, s.hub.counters().rooms), (1, 1));
}

#[test]
fn a_room_without_history_counts_while_somebody_is_in_it() {
    let none = RoomOptions { max_messages: 0, ..RoomOptions::new("#") };
    let mut s = Story::with(HubOptions { rooms: vec![none], ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    assert_eq!(s.publish(a, "$room/r", "nobody").place, None);
    let first = s.join(a, 1, "r", NOTHING);
    let place = s.say(a, "1");
    assert_eq!((place.offset, place.epoch), (1, first.epoch));
    assert!(!s.join(b, 1, "r", since(first.epoch, 0)).recovered);
    s.say(a, "2");
    assert_eq!((s.hear_all(a), s.hear_all(b)), ("joined@0 1:1 2:2".into(), "joined@1 2:2".into()));
    assert!(s.join(b, 1, "r", since(first.epoch, 2)).recovered, "nothing was missed");
    s.hub.leave_all(s.now, a).unwrap();
    s.hub.remove(s.now, b).unwrap();
    assert_eq!(s.publish(a, "$room/r", "nobody").place, None, "it is forgotten");
    assert_ne!(s.join(a, 1, "r", NOTHING).epoch, first.epoch);
    s.hub.check_invariants().unwrap();
}

#[test]
fn what_cannot_be_joined_is_refused_and_changes_nothing() {
    struct Rules;
    impl Access for Rules {
        fn decide(&self, _: &Who<'_>, action: Action, subject: &str) -> Decision {
            let allowed = action != Action::Subscribe || subject != "$room/secret";
            if allowed { Decision::ALLOW } else { Decision::DENY }
        }
    }
    let rooms = vec![RoomOptions { max_members: 1, ..RoomOptions::new("small") }, RoomOptions::new("r/#")];
    let rooms = [rooms, vec![RoomOptions::new("secret")]].concat();
    let mut s = Story::with(HubOptions { rooms, max_rooms_per_session: 2, ..HubOptions::default() });
    s.hub.set_access(Box::new(Rules));
    let (a, b) = (s.session(), s.session());
    let long = format!("r/{}", "x".repeat(127));
    let large = [0; MAX_MEMBER_DATA + 1];
    let refuse = |s: &mut Story, sid, room: &str, o: JoinOptions<'_>| s.hub.join(s.now, b, sid, room, &o);
    for (sid, room, options, status) in [
        (1, "secret", NOTHING, Status::NotAuthorized),
        (1, "other", NOTHING, Status::Invalid),
        (1, "r/+", NOTHING, Status::Invalid),
        (1, "", NOTHING, Status::Invalid),
        (1, &long, NOTHING, Status::Invalid),
        (0, "r/a", NOTHING, Status::Invalid),
        (1, "r/a", JoinOptions { credit: Some(0), ..NOTHING }, Status::Invalid),
        (1, "r/a", JoinOptions { data: &large, ..NOTHING }, Status::Quota),
    ] {
        assert_eq!(refuse(&mut s, sid, room, options).unwrap_err().status(), status, "{room}");
    }
    s.join(a, 1, "small", NOTHING);
    assert_eq!(refuse(&mut s, 1, "small", NOTHING), Err(Refusal::Quota("members of a room")));
    s.join(b, 1, "r/a", NOTHING);
    s.join(b, 2, "r/b", NOTHING);
    assert_eq!(refuse(&mut s, 3, "r/c", NOTHING), Err(Refusal::Quota("rooms of a session")));
    s.hub.detach(s.now, b).unwrap();
    assert_eq!(refuse(&mut s, 1, "r/a", NOTHING), Err(Refusal::Detached));
    s.hub.check_invariants().unwrap();
    assert_eq!((s.hub.counters().rooms, s.hub.counters().members), (3, 3));
    assert!(s.hub.members(a, "r/a").is_ok() && s.hub.members(b, "secret").is_err());
}

/// An id is one subscription's, whatever made it.
#[test]
fn ids_of_rooms_are_those_of_subscriptions() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    s.subscribe(b, 1, "t");
    s.join(b, 1, "r", NOTHING);
    s.publish(a, "t", "x");
    assert_eq!(s.take(b), ["1 joined at 0, false, 1"]);
    s.join(b, 1, "other", NOTHING);
    assert!(!s.hub.is_member(b, "r"), "another room with the same id");
    s.subscribe(b, 1, "t");
    assert_eq!(s.hub.counters().members, 0);
    s.join(b, 2, "r", NOTHING);
    s.hub.unsubscribe(s.now, b, 2).unwrap();
    s.hub.check_invariants().unwrap();
    assert_eq!((s.hub.counters().members, s.hub.counters().subscriptions), (0, 1));
}

#[test]
fn presence_is_a_snapshot_and_then_differences() {
    let mut s = story();
    let (a, b, c) = (user(&mut s, "a"), user(&mut s, "b"), user(&mut s, "c"));
    let full = JoinOptions { presence: PresenceMode::Full, ..NOTHING };
    let count = JoinOptions { presence: PresenceMode::Count, ..NOTHING };
    s.join(a, 1, "r", full);
    assert_eq!(s.take(a), ["1 joined at 0, false, 1"]);
    s.join(b, 1, "r", JoinOptions { data: b"away", ..count });
    // The first change is told at once, those that follow together.
    s.pass(0);
    assert_eq!(s.take(a), ["1 +[b:away] ~[] -0 2"]);
    assert_eq!(s.take(b), ["1 joined at 0, false, 2"]);
    s.pass(10);
    s.join(c, 1, "r", NOTHING);
    s.hub.set_member_data(s.now, b, "r", b"busy").unwrap();
    s.hub.set_member_data(s.now, c, "r", b"new").unwrap();
    assert_eq!(s.take(a), Vec::<String>::new());
    assert_eq!(s.hub.poll_timeout().unwrap(), Deadline::new(s.now + Duration::from_millis(190), Why::Report));
    s.pass(190);
    assert_eq!(s.take(a), ["1 +[c:new] ~[b:busy] -0 3"]);
    assert_eq!(s.take(b), Vec::<String>::new(), "once a second");
    // What comes and goes between is not told.
    s.hub.leave(s.now, c, "r").unwrap();
    s.join(c, 1, "r", NOTHING);
    s.hub.leave(s.now, c, "r").unwrap();
    s.pass(200);
    assert_eq!(s.take(a), ["1 +[] ~[] -1 2"]);
    s.pass(1000);
    assert_eq!(s.take(b), Vec::<String>::new(), "as many as it knows");
    s.hub.leave(s.now, a, "r").unwrap();
    s.pass(1000);
    assert_eq!(s.take(b), ["1 +[] ~[] -0 1"]);
    assert_eq!(s.hub.poll_timeout(), None, "nothing changes, nothing runs");
    let members = s.hub.members(b, "r").unwrap();
    assert_eq!(members.iter().map(|m| (m.user, m.data)).collect::<Vec<_>>(), [("b", &b"busy"[..])]);
}

/// A reconnect within the grace time is not seen; later it is, as a going and a coming.
#[test]
fn a_lost_connection_has_a_time_of_grace() {
    let mut s = story();
    let (a, b) = (user(&mut s, "a"), user(&mut s, "b"));
    let full = JoinOptions { presence: PresenceMode::Full, ..NOTHING };
    s.join(a, 1, "r", full);
    s.join(b, 1, "r", full);
    s.pass(1000);
    s.take(a);
    s.take(b);
    s.hub.detach(s.now, b).unwrap();
    s.pass(9_999);
    s.hub.reattach(s.now, b, 9, None).unwrap();
    s.pass(5_000);
    assert_eq!(s.take(a), Vec::<String>::new());
    assert_eq!(s.take(b), ["1 =[a: b:] ~[] -0 2"], "all anew: what was sent may be lost");
    s.hub.detach(s.now, b).unwrap();
    s.pass(10_000);
    assert_eq!(s.take(a), ["1 +[] ~[] -1 1"]);
    assert!(s.hub.is_member(b, "r"));
    s.pass(10_000);
    s.hub.reattach(s.now, b, 9, None).unwrap();
    s.pass(200);
    assert_eq!(s.take(a), ["1 +[b:] ~[] -0 2"]);
    // Who says goodbye is gone at once.
    s.hub.remove(s.now, b).unwrap();
    s.pass(200);
    assert_eq!(s.take(a), ["1 +[] ~[] -1 1"]);
    s.hub.check_invariants().unwrap();
}

/// Those who know the same are told the same, which can be written once for all.
#[test]
fn differences_are_shared() {
    let mut s = story();
    let full = JoinOptions { presence: PresenceMode::Full, ..NOTHING };
    let all: Vec<_> = (0..20).map(|_| s.session()).collect();
    for key in &all {
        s.join(*key, 1, "r", full);
        s.take(*key);
    }
    s.pass(1000);
    all.iter().for_each(|key| drop(s.take(*key)));
    s.hub.leave(s.now, all[0], "r").unwrap();
    s.pass(1000);
    let mut keys = Vec::new();
    for key in &all {
        s.hub
            .drain(s.now, *key, |d| {
                let Delivery::Presence { change, .. } = d else { panic!("{d:?}") };
                keys.push(change.key());
                true
            })
            .unwrap();
    }
    keys.dedup();
    assert_eq!(keys.len(), 1);
}

#[test]
fn large_rooms_tell_the_number_alone() {
    let mut s = story();
    let full = JoinOptions { presence: PresenceMode::Full, ..NOTHING };
    let a = s.session();
    s.join(a, 1, "r", full);
    s.pass(1000);
    s.take(a);
    let many: Vec<_> = (0..1000).map(|_| s.session()).collect();
    for key in &many {
        s.join(*key, 1, "r", NOTHING);
    }
    s.pass(1000);
    assert_eq!(s.take(a), ["1 +[] ~[] -0 1001"]);
    assert!(!s.hub.members(a, "r").unwrap().is_listed());
    s.hub.leave(s.now, many[0], "r").unwrap();
    s.pass(1000);
    let told = s.take(a);
    assert!(told[0].starts_with("1 =[") && told[0].ends_with("1000"), "a snapshot again");
}

/// However few they are: what is told of them at once stays small.
#[test]
fn members_that_show_much_are_counted_alone() {
    let mut s = story();
    let data = [b'x'; MAX_MEMBER_DATA];
    let full = JoinOptions { presence: PresenceMode::Full, data: &data, ..NOTHING };
    let all: Vec<_> = (0..65).map(|_| s.session()).collect();
    for key in &all {
        s.join(*key, 1, "r", full);
    }
    assert!(!s.hub.members(all[0], "r").unwrap().is_listed());
    s.hub.set_member_data(s.now, all[0], "r", b"").unwrap();
    assert!(s.hub.members(all[0], "r").unwrap().is_listed());
    s.hub.check_invariants().unwrap();
}

#[test]
fn what_is_ephemeral_is_not_kept_and_never_late() {
    let mut s = story();
    let small = SessionOptions { max_messages: 4, ..SessionOptions::default() };
    let (a, b) = (s.session(), s.session_with(small));
    s.join(a, 1, "r", NOTHING);
    s.join(b, 1, "r", NOTHING);
    s.take(a);
    s.take(b);
    let ephemeral = PublishOptions { ephemeral: true, echo: false, ..PublishOptions::default() };
    let typing = Message::new("$room/r", b"typing").unwrap().with_reliable(true);
    let send = |s: &mut Story| s.hub.publish_with(s.now, a, typing.clone(), &ephemeral).unwrap();
    let outcome = send(&mut s);
    assert_eq!((outcome.place, outcome.queued), (None, 1));
    assert_eq!((s.hear_all(a), s.hear_all(b)), (String::new(), "-:typing".into()));
    send(&mut s);
    s.pass(5_000);
    assert_eq!(s.hear_all(b), "");
    // The first to be dropped: where half of the queue is used.
    for payload in ["1", "2", "3"] {
        s.say(a, payload);
    }
    assert_eq!(send(&mut s).queued, 0);
    assert_eq!(s.hear_all(b), "1:1 2:2 3:3");
    // Not for who catches up.
    s.hub.detach(s.now, b).unwrap();
    send(&mut s);
    s.say(a, "4");
    s.hub.reattach(s.now, b, 9, None).unwrap();
    assert_eq!(send(&mut s).queued, 0);
    assert_eq!(s.hear_all(b), "4:4");
}

#[test]
fn a_second_message_with_the_same_key_has_the_place_of_the_first() {
    let mut s = story();
    let (a, b, c) = (user(&mut s, "a"), user(&mut s, "a"), user(&mut s, "c"));
    s.join(a, 1, "r", NOTHING);
    let send = |s: &mut Story, key, k: PublishKey<'_>| {
        let options = PublishOptions { key: Some(k), ..PublishOptions::default() };
        let message = Message::new("$room/r", b"x").unwrap();
        let outcome = s.hub.publish_with(s.now, key, message, &options).unwrap();
        (outcome.place.unwrap().offset, outcome.duplicate)
    };
    let (own, users) = (PublishKey::Session(b"1"), PublishKey::User(b"1"));
    assert_eq!(
        [send(&mut s, a, own), send(&mut s, a, own), send(&mut s, b, own)],
        [(1, false), (1, true), (2, false)]
    );
    assert_eq!([send(&mut s, a, users), send(&mut s, b, users)], [(3, false), (3, true)], "of one user");
    assert_eq!(send(&mut s, c, users), (4, false), "of another");
    s.pass(119_999);
    assert_eq!(send(&mut s, b, users), (3, true));
    s.pass(1);
    assert_eq!(send(&mut s, b, users), (5, false), "two minutes later");
    for i in 0..127_u8 {
        let other = [i, i];
        send(&mut s, a, PublishKey::Session(&other));
    }
    assert!(send(&mut s, a, own).1, "the 128th before");
    send(&mut s, a, PublishKey::Session(b"one more"));
    assert!(!send(&mut s, a, own).1);
    assert_eq!(s.hub.counters().duplicates, 4);
}

#[test]
fn rooms_limit_how_fast_is_sent() {
    let rate = |per_second, burst| Some(RoomRate { per_second, burst });
    let slow = RoomOptions { session_rate: rate(1, 2), room_rate: rate(1, 3), ..RoomOptions::new("r") };
    let mut s = Story::with(HubOptions { rooms: vec![slow], ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    s.join(a, 1, "r", NOTHING);
    s.join(b, 1, "r", NOTHING);
    let send = |s: &mut Story, key| {
        s.hub.publish(s.now, key, Message::new("$room/r", b"x").unwrap(), None).map(drop)
    };
    let wait = |millis| Err(Refusal::RateLimited { retry_after: Duration::from_millis(millis) });
    assert_eq!([send(&mut s, a), send(&mut s, a), send(&mut s, a)], [Ok(()), Ok(()), wait(1000)]);
    assert_eq!([send(&mut s, b), send(&mut s, b)], [Ok(()), wait(1000)], "of all");
    s.pass(1000);
    assert_eq!(
        [send(&mut s, b), send(&mut s, a)],
        [Ok(()), wait(1000)],
        "what the room refuses costs nothing"
    );
    // Joining again gives nobody more.
    s.join(a, 1, "r", NOTHING);
    assert_eq!(send(&mut s, a), wait(1000));
}

#[test]
fn a_rooms_policy_is_for_that_room_alone() {
    let of = |name, policy| RoomOptions { policy, max_waiting: 4, max_messages: 0, ..RoomOptions::new(name) };
    let rooms = vec![
        of("oldest", RoomPolicy::DropOldest),
        of("latest", RoomPolicy::KeepLatest),
        of("slow", RoomPolicy::SlowPublisher),
        of("strict", RoomPolicy::Disconnect),
        of("plain", RoomPolicy::Session),
    ];
    let mut s = Story::with(HubOptions { rooms, ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    let names = ["oldest", "latest", "slow", "plain"];
    for (sid, room) in (1..).zip(names) {
        s.join(b, sid, room, NOTHING);
    }
    s.take(b);
    for i in 0..10 {
        for room in names {
            s.publish(a, &format!("$room/{room}"), &i.to_string());
        }
        s.hub.check_invariants().unwrap();
    }
    assert_eq!(s.notices(), [Notice::Hold(a)]);
    let heard = s.take(b);
    let of = |sid: &str| {
        heard.iter().filter(|l| l.starts_with(sid)).filter_map(|l| l.split('=').nth(1)).collect::<String>()
    };
    assert_eq!([of("1"), of("2"), of("3"), of("4")], ["6789", "9", "01234567", "0123456789"]);
    assert_eq!(s.notices(), [Notice::Release(a)]);
    s.join(b, 9, "strict", NOTHING);
    s.take(b);
    for _ in 0..5 {
        s.publish(a, "$room/strict", "x");
    }
    assert_eq!(s.notices(), [Notice::Disconnect(b, DisconnectReason::SlowConsumer)]);
}

/// A member's own credit holds up the past like the present.
#[test]
fn a_members_credit_counts_for_all() {
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    for i in 1..=4 {
        s.say(a, &i.to_string());
    }
    // A body is ten octets here, and one for the id.
    s.join(b, 3, "r", JoinOptions { history: 9, credit: Some(20), ..NOTHING });
    assert_eq!(s.hear_all(b), "~1:1 ~2:2");
    s.say(a, "5");
    assert_eq!(s.hear_all(b), "");
    s.hub.credit(s.now, b, 3, 40).unwrap();
    assert_eq!(s.ready(), [b]);
    assert_eq!(s.hear_all(b), "~3:3 ~4:4 joined@4");
    s.hub.credit(s.now, b, 3, 1000).unwrap();
    assert_eq!(s.hear_all(b), "5:5");
    s.say(a, "6");
    assert_eq!(s.hear_all(b), "6:6");
}

/// A room that a store keeps.
fn durable() -> HubOptions {
    HubOptions { durable: true, history: vec![HistoryOptions::new("$room/r")], ..HubOptions::default() }
}

/// Another hub, of what was stored before a crash.
fn restarted(now: Instant, stored: Vec<Operation>) -> Story {
    let mut s = Story::with(durable());
    s.now = now;
    for operation in stored {
        s.hub.restore(now, operation, &SessionOptions::default()).unwrap();
    }
    s.hub.restored(now);
    s
}

/// Durable where the topic has a history by configuration: numbers go on, in an epoch of their own.
#[test]
fn a_durable_room_outlives_a_restart() {
    let mut s = Story::with(durable());
    let a = s.session();
    let epoch = s.join(a, 1, "r", NOTHING).epoch;
    assert!(s.publish(a, "$room/r", "1").commit.is_some());
    let last = s.say(a, "2");
    s.join(a, 2, "memory", NOTHING);
    assert_eq!(s.publish(a, "$room/memory", "x").commit, None, "kept in memory alone");
    let stored = std::iter::from_fn(|| s.hub.poll_operation()).collect();
    let mut s = restarted(s.now, stored);
    let b = s.session();
    let joined = s.join(b, 1, "r", since(epoch, 1));
    assert!(joined.recovered && joined.epoch != epoch);
    assert_eq!(s.hear_all(b), "~2:2 joined@2!");
    let next = s.say(b, "3");
    assert!(next.offset == 3 && next.stamp > last.stamp && next.epoch == joined.epoch);
    assert_eq!(s.hub.joined(b).count(), 1);
}

/// What was seen but not stored when the server died has numbers that others get later: who has seen it
/// is told that it missed something, and who has not is not.
#[test]
fn numbers_that_a_crash_took_back_are_not_taken_for_those_that_came_after() {
    let mut s = Story::with(durable());
    let a = s.session();
    let epoch = s.join(a, 1, "r", NOTHING).epoch;
    s.say(a, "1");
    let stored: Vec<Operation> = std::iter::from_fn(|| s.hub.poll_operation()).collect();
    assert_eq!(s.say(a, "lost").offset, 2);
    let mut s = restarted(s.now, stored);
    let b = s.session();
    assert!(s.join(b, 1, "r", since(epoch, 1)).recovered);
    assert_eq!(s.say(b, "other").offset, 2);
    let c = s.session();
    assert!(!s.join(c, 1, "r", since(epoch, 2)).recovered, "it has another message of this number");
    let d = s.session();
    let joined = s.join(d, 1, "r", since(epoch, 1));
    assert!(joined.recovered);
    assert_eq!(s.hear_all(d), "~2:other joined@2!");
}

/// Sessions that are in no room pay nothing for rooms, and messages without a history neither.
#[test]
fn what_rooms_cost() {
    assert_eq!((size_of::<Place>(), size_of::<Message>()), (24, 56));
    let mut s = story();
    let (a, b) = (s.session(), s.session());
    s.subscribe(b, 1, "t");
    s.publish(a, "t", "x");
    assert!(
        s.hub.sessions.all.places().all(|(_, s)| core::ptr::eq(s.rare(), session::Session::default().rare()))
    );
}
