//! Looks at what there is, page by page.

use super::*;

/// All that a look shows, in pages of so many places, of which each shows at most two.
fn pages<T>(mut look: impl FnMut(u64, &mut dyn FnMut(T) -> bool) -> Option<u64>) -> Vec<T> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let before = all.len();
        from = look(at, &mut |one| {
            all.push(one);
            all.len() < before + 2
        });
        assert!(from.is_none_or(|next| next > at), "each look goes on");
    }
    all
}

fn topics(s: &Story) -> Vec<String> {
    let mut all = pages(|from, each| {
        s.hub.inspect_topics(from, 3, |t| {
            let TopicInfo { topic, is_filter, subscribers, retained, history, history_bytes } = t;
            let retained = retained.map_or("-".to_string(), |size| size.to_string());
            let wild = if *is_filter { "*" } else { "" };
            each(format!("{topic}{wild} {subscribers} {retained} {history}/{history_bytes}"))
        })
    });
    all.sort();
    all
}

#[test]
fn sessions_are_shown_once_and_bounded() {
    let mut s = Story::new();
    let keys: Vec<_> = (0..10).map(|_| s.session()).collect();
    s.hub.remove(s.now, keys[4]).unwrap();
    s.hub.detach(s.now, keys[7]).unwrap();
    let shown = pages(|from, each| s.hub.inspect_sessions(from, 3, |i| each((i.key, i.attached))));
    let there = keys.iter().filter(|key| **key != keys[4]);
    assert_eq!(shown, there.map(|key| (*key, *key != keys[7])).collect::<Vec<_>>());
    // One page is no more than it may be, also where nothing is found.
    let mut looked = 0;
    let next = s.hub.inspect_sessions(2, 4, |_| {
        looked += 1;
        true
    });
    assert_eq!((looked, next), (3, Some(6)), "one of the four places is free");
    assert_eq!(s.hub.inspect_sessions(u64::MAX, 4, |_| unreachable!()), None);
}

#[test]
fn a_number_means_one_session_for_ever() {
    let mut s = Story::new();
    let first = s.session();
    let number = first.number();
    assert_eq!(s.hub.inspect_session(number).unwrap().key, first);
    s.hub.remove(s.now, first).unwrap();
    assert!(s.hub.inspect_session(number).is_none());
    let second = s.session();
    assert_eq!(second.index(), first.index());
    assert_ne!(second.number(), number);
    assert!(s.hub.inspect_session(number).is_none() && s.hub.inspect_session(u64::MAX).is_none());
}

#[test]
fn a_session_is_shown_as_it_is() {
    let mut s = Story::new();
    let key =
        s.session_with(SessionOptions { identity: "ann", client_id: "phone", ..SessionOptions::default() });
    let other = s.session();
    s.subscribe(key, 1, "home/+/door/#");
    s.subscribe(key, 2, "$share/g/tasks");
    s.subscribe_with(key, 3, "sum", SERVE);
    s.hub.join(s.now, key, 4, "lobby", &JoinOptions::default()).unwrap();
    s.take(key);
    s.publish_surely(other, "home/a/door/b", "12345");
    s.publish_surely(other, "home/b/door", "678");
    s.take_some(key, 1);
    let info = s.hub.inspect_session(key.number()).unwrap();
    assert_eq!((info.who.user, info.who.client_id), ("ann", "phone"));
    assert_eq!((info.subscriptions, info.rooms, info.queued, info.in_flight), (3, 1, 2, 1));
    assert_eq!((info.queued_bytes, info.expiry, info.will), (34, Duration::from_secs(60), None));
    let shown: Vec<_> = s.hub.inspect_subscriptions(key).collect();
    let short: Vec<_> = shown.iter().map(|i| (i.sid, &*i.filter, i.group, i.quality, i.serve)).collect();
    assert_eq!(
        short,
        [
            (1, "home/+/door/#", None, Quality::AtLeastOnce, false),
            (2, "tasks", Some("g"), Quality::AtLeastOnce, false),
            (3, "sum", None, Quality::AtMostOnce, true),
        ]
    );
    let joined: Vec<_> = s.hub.joined(key).map(|(room, _)| room.to_string()).collect();
    assert_eq!(joined, ["lobby"]);
    let will = Will { message: Message::new("bye", b"x").unwrap(), delay: Duration::ZERO };
    s.hub.set_will(s.now, key, Some(will)).unwrap();
    assert_eq!(s.hub.inspect_session(key.number()).unwrap().will, Some("bye"));
}

#[test]
fn a_topic_is_shown_once_whatever_it_has() {
    let history = std::vec![HistoryOptions::new("log/#")];
    let mut s = Story::with(HubOptions { history, ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    for (sid, filter) in
        ["log/kept", "plain", "+/kept", "#", "$share/g/plain", "$SYS/#"].into_iter().enumerate()
    {
        s.subscribe(a, sid as u64 + 1, filter);
    }
    s.subscribe(b, 1, "plain");
    s.hub.join(s.now, b, 2, "lobby", &JoinOptions::default()).unwrap();
    let retain = |topic: &str| Message::new(topic, b"value").unwrap().with_retain(true);
    for topic in ["log/kept", "alone", "$SYS/uptime"] {
        s.hub.publish_own(s.now, retain(topic)).unwrap();
    }
    s.publish(b, "log/past", "ab");
    let all = [
        "# * 1 - 0/0",
        "+/kept * 1 - 0/0",
        "alone 0 11 0/0",
        "log/kept 1 14 1/14",
        "log/past 0 - 1/11",
        "plain 3 - 0/0",
    ];
    assert_eq!(topics(&s), all.map(|line| line.replace(" *", "*")));
}

#[test]
fn a_room_is_shown_while_somebody_is_in_or_something_is_kept() {
    let history = std::vec![HistoryOptions::new("$room/kept")];
    let mut s = Story::with(HubOptions { history, ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    let shown = |s: &Story| {
        pages(|from, each| {
            s.hub.inspect_rooms(from, 1, |r| {
                assert_eq!(r.policy.is_some(), r.members > 0);
                each(format!("{} {} @{} {}/{}", r.name, r.members, r.offset, r.kept, r.kept_bytes))
            })
        })
    };
    assert_eq!(shown(&s), [""; 0]);
    for (key, room) in [(a, "kept"), (b, "kept"), (a, "other")] {
        s.hub.join(s.now, key, if room == "kept" { 1 } else { 2 }, room, &JoinOptions::default()).unwrap();
    }
    s.publish(a, "$room/kept", "hello");
    s.publish(a, "$room/kept", "all");
    assert_eq!(shown(&s), ["kept 2 @2 2/30", "other 1 @0 0/0"]);
    for key in [a, b] {
        s.hub.remove(s.now, key).unwrap();
    }
    assert_eq!(shown(&s), ["kept 0 @2 2/30"]);
}

#[test]
fn what_a_session_lost_is_counted_for_it() {
    let mut s = Story::new();
    let slow = s.session_with(SessionOptions { max_messages: 4, ..SessionOptions::default() });
    let quick = s.session();
    s.subscribe(slow, 1, "t");
    let lost = |s: &Story, key: SessionKey| s.hub.inspect_session(key.number()).unwrap().dropped;
    for i in 0..7 {
        s.publish_surely(quick, "t", &i.to_string());
    }
    assert_eq!((lost(&s, slow), lost(&s, quick)), (3, 0), "the oldest went");
    s.take(slow);
    s.hub.detach(s.now, slow).unwrap();
    s.publish(quick, "t", "at most once, while nobody is there");
    assert_eq!((lost(&s, slow), s.hub.counters().dropped.total()), (3, 4));
}

#[test]
fn what_waits_for_a_rooms_members_is_counted_with_bounded_work() {
    let mut s = Story::new();
    let (a, b) = (s.session(), s.session());
    for key in [a, b] {
        s.hub.join(s.now, key, 1, "lobby", &JoinOptions::default()).unwrap();
        s.subscribe(key, 2, "else");
        s.take(key);
    }
    assert_eq!(s.hub.inspect_room_queue("lobby", 100), 0);
    s.publish(a, "$room/lobby", "hello");
    s.publish(a, "else", "not of the room");
    let one = s.hub.inspect_room_queue("lobby", 100);
    assert!(one > 2 * 5, "{one}: the message, for each of both");
    s.publish(a, "$room/lobby", "hello");
    assert_eq!(s.hub.inspect_room_queue("lobby", 100), 2 * one);
    assert_eq!(s.hub.inspect_room_queue("lobby", 2), one / 2, "a look at one member and one delivery");
    s.take(a);
    assert_eq!(s.hub.inspect_room_queue("lobby", 100), one);
    assert_eq!(s.hub.inspect_room_queue("nobody there", 100), 0);
}
