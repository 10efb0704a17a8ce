use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use ahash::RandomState;
use proptest::prelude::*;

use super::super::HubOptions;
use super::super::log::Log;
use super::super::names::Names;
use super::super::operation::Operation;
use super::*;

/// Histories with their pool, and what a store was told.
struct World {
    pool: Pool,
    all: Histories,
    at: u64,
}

impl World {
    fn new(options: &HubOptions) -> Self {
        let all = Histories::new(options, RandomState::with_seeds(1, 2, 3, 4), Names::new([1; 16]));
        Self { pool: Pool::new(Log::new(true)), all, at: 1000 }
    }

    fn of(rules: Vec<HistoryOptions>) -> Self {
        Self::new(&HubOptions { history: rules, ..HubOptions::default() })
    }

    fn publish(&mut self, topic: &str, payload: &str) -> Option<u64> {
        let value = self.pool.insert(Message::new(topic, payload.as_bytes()).unwrap());
        let place = self.all.append(&mut self.pool, value, self.at * 1000);
        self.pool.release(value);
        self.check();
        place.map(|place| place.offset)
    }

    fn check(&self) {
        self.all.check(&self.pool).unwrap();
        assert_eq!(self.pool.len() as u64, self.all.len());
    }

    fn pass(&mut self, millis: u64) {
        self.at += millis;
        while self.all.next_age().is_some_and(|due| due <= self.at) {
            self.all.drop_old(&mut self.pool, self.at, 2);
            self.check();
        }
    }

    fn page(&self, topic: &str, query: &HistoryQuery) -> HistoryPage<'_> {
        let topic = self.all.topic(topic.as_bytes()).unwrap();
        HistoryPage { range: topic.select(query), topic, pool: &self.pool, now: Instant::ZERO }
    }

    fn read(&self, topic: &str, query: &HistoryQuery) -> String {
        let lines = self
            .page(topic, query)
            .map(|r| format!("{}@{} {}", r.offset, r.at, String::from_utf8_lossy(r.message.payload())));
        lines.collect::<Vec<_>>().join(", ")
    }

    fn all(&self, topic: &str) -> String {
        self.read(topic, &HistoryQuery::default())
    }

    fn operations(&mut self) -> Vec<String> {
        let line = |operation| match operation {
            Operation::MessageAdded { message, .. } => format!("message {message}"),
            Operation::MessageRemoved { message } => format!("no message {message}"),
            Operation::Recorded { message, topic, offset, stamp } => {
                format!("{topic} {offset}@{stamp}: {message}")
            }
            Operation::HistoryBegan { topic, .. } => format!("{topic} begins"),
            Operation::HistoryTrimmed { topic, first } => format!("{topic} from {first}"),
            other => panic!("{other:?}"),
        };
        core::iter::from_fn(|| self.pool.log.pop()).map(line).collect()
    }
}

fn few(filter: &str, max_messages: u32) -> HistoryOptions {
    HistoryOptions { max_messages, ..HistoryOptions::new(filter) }
}

#[test]
fn the_first_rule_that_matches_counts() {
    let mut w = World::of(vec![few("chat/private", 0), few("chat/+", 2), few("#", 1)]);
    for payload in ["1", "2", "3"] {
        w.publish("chat/a", payload);
        w.publish("other", payload);
        assert_eq!(w.publish("chat/private", payload), None);
        assert_eq!(w.publish("$SYS/uptime", payload), None);
    }
    assert_eq!(w.all("chat/a"), "2@1000 2, 3@1000 3");
    assert_eq!(w.all("other"), "3@1000 3");
    assert!(w.all.topic(b"chat/private").is_none());
    assert!(w.all.keeps(b"chat/new") && !w.all.keeps(b"chat/private") && !w.all.keeps(b"$SYS/uptime"));
    assert_eq!(World::of(vec![]).publish("a", "1"), None);
}

#[test]
fn parts_of_a_history() {
    use HistoryMark::{Offset, Time};
    let mut w = World::of(vec![few("t", 5)]);
    for i in 1..=8 {
        w.publish("t", &i.to_string());
        w.pass(10);
    }
    let all = HistoryQuery::default();
    assert_eq!(w.all("t"), "4@1030 4, 5@1040 5, 6@1050 6, 7@1060 7, 8@1070 8");
    for (query, want) in [
        (HistoryQuery::last(2), 7..9),
        (HistoryQuery::last(99), 4..9),
        (HistoryQuery::last(0), 9..9),
        (HistoryQuery::from(Offset(6)), 6..9),
        (HistoryQuery::from(Offset(0)), 4..9),
        (HistoryQuery::from(Offset(9)), 9..9),
        (HistoryQuery::from(Offset(u64::MAX)), 9..9),
        (HistoryQuery { limit: Some(2), ..HistoryQuery::from(Offset(5)) }, 5..7),
        (HistoryQuery { before: Some(Offset(7)), ..HistoryQuery::last(2) }, 5..7),
        (HistoryQuery { before: Some(Offset(7)), ..HistoryQuery::from(Offset(6)) }, 6..7),
        (HistoryQuery { before: Some(Offset(5)), ..HistoryQuery::from(Offset(7)) }, 5..5),
        (HistoryQuery::from(Time(1050)), 6..9),
        (HistoryQuery::from(Time(1051)), 7..9),
        (HistoryQuery::from(Time(0)), 4..9),
        (HistoryQuery::from(Time(u64::MAX)), 9..9),
        (HistoryQuery { before: Some(Time(1060)), ..all }, 4..7),
        (HistoryQuery { limit: Some(3), ..all }, 4..7),
    ] {
        assert_eq!(w.page("t", &query).range(), want, "{query:?}");
    }
    let mut page = w.page("t", &all);
    assert_eq!(page.kept(), 4..9);
    assert_eq!((page.next().unwrap().offset, page.next_back().unwrap().offset), (4, 8));
    assert_eq!(page.range(), 5..8, "what is left");
    assert_eq!(page.rev().map(|r| r.offset).collect::<Vec<_>>(), [7, 6, 5]);
}

#[test]
fn a_store_is_told_in_an_order_that_loses_nothing() {
    let mut w = World::of(vec![few("t", 1)]);
    w.publish("t", "1");
    w.publish("t", "2");
    let want = [
        "t begins",
        "message 1",
        "t 1@1000000: 1",
        "t from 2",
        "no message 1",
        "message 2",
        "t 2@1000001: 2",
    ];
    assert_eq!(w.operations(), want);
}

#[test]
fn bounds_by_octets() {
    // `1t` and a length: each body is two octets and its payload.
    let mut w = World::of(vec![HistoryOptions { max_bytes: 10, ..HistoryOptions::new("t") }]);
    for payload in ["a", "bb", "c"] {
        w.publish("t", payload);
    }
    assert_eq!((w.all("t"), w.all.bytes()), ("1@1000 a, 2@1000 bb, 3@1000 c".into(), 10));
    w.publish("t", "dd");
    assert_eq!(w.all("t"), "3@1000 c, 4@1000 dd");
    w.publish("t", "larger than all");
    assert_eq!(w.all("t"), "5@1000 larger than all", "the newest is kept whatever its size");
}

#[test]
fn bounds_of_all_topics() {
    let options = HubOptions {
        history: vec![HistoryOptions { max_age: Duration::from_secs(1), ..HistoryOptions::new("#") }],
        max_history_topics: 2,
        max_history_bytes: 12,
        ..HubOptions::default()
    };
    let mut w = World::new(&options);
    assert_eq!([w.publish("a", "1"), w.publish("a", "2"), w.publish("b", "1")], [Some(1), Some(2), Some(1)]);
    assert_eq!((w.publish("c", ""), w.all.refused()), (None, 1), "two topics have a history");
    assert_eq!(w.publish("b", "234"), Some(2), "with its own oldest it has room");
    assert_eq!((w.all("b"), w.all.bytes()), ("2@1000 234".into(), 11));
    assert_eq!((w.publish("b", "23456"), w.all.refused()), (None, 2), "a has the rest");
    assert_eq!(w.all("b"), "2@1000 234", "for nothing it loses nothing");
    // What is empty makes room, the longest empty first.
    w.pass(500);
    w.publish("b", "");
    w.pass(500);
    assert_eq!((w.all("a"), w.all("b")), (String::new(), "3@1500 ".into()));
    assert_eq!(w.page("a", &HistoryQuery::default()).kept(), 3..3);
    w.operations();
    assert_eq!(w.publish("c", ""), Some(1));
    assert_eq!(w.operations()[..2], ["a from 0", "c begins"]);
    assert!(w.all.topic(b"a").is_none());
}

#[test]
fn what_is_too_old_goes_and_offsets_go_on() {
    let old = HistoryOptions { max_age: Duration::from_millis(100), ..HistoryOptions::new("t/+") };
    let mut w = World::of(vec![old, few("kept", 9)]);
    for topic in ["t/a", "t/b", "kept"] {
        w.publish(topic, "1");
        w.pass(30);
        w.publish(topic, "2");
    }
    assert_eq!(w.all.next_age(), Some(1100));
    w.pass(15);
    assert_eq!((w.all("t/a"), w.all("t/b")), ("2@1030 2".into(), "1@1030 1, 2@1060 2".into()));
    w.pass(1000);
    assert_eq!((w.all("t/a"), w.all("kept").len()), (String::new(), "1@1060 1, 2@1090 2".len()));
    assert_eq!(w.all.next_age(), None);
    assert_eq!(w.publish("t/a", "3"), Some(3));
    assert_eq!(w.all.next_age(), Some(w.at + 100));
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut w = World::of(vec![few("t", 9)]);
    w.publish("t", "1");
    w.at = 500;
    w.publish("t", "2");
    w.at = 1001;
    w.publish("t", "3");
    assert_eq!(w.all("t"), "1@1000 1, 2@1000 2, 3@1001 3");
}

/// Messages with an expiry of their own are not handed on when it is over.
#[test]
fn expired_messages_are_left_out() {
    let mut w = World::of(vec![few("t", 9)]);
    w.publish("t", "1");
    let message = Message::new("t", b"2").unwrap().with_expiry(Instant::from_millis(5));
    let value = w.pool.insert(message);
    assert_eq!(w.all.append(&mut w.pool, value, 1).map(|place| place.offset), Some(2));
    w.pool.release(value);
    w.publish("t", "3");
    let page = |now| HistoryPage { now, ..w.page("t", &HistoryQuery::default()) };
    assert_eq!(page(Instant::from_millis(4)).count(), 3);
    assert_eq!(page(Instant::from_millis(5)).map(|r| r.offset).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(page(Instant::from_millis(5)).rev().map(|r| r.offset).collect::<Vec<_>>(), [3, 1]);
}

/// What a store was told makes the same histories again, or as much of them as is configured now.
fn restored(operations: Vec<Operation>, options: &HubOptions, at: u64) -> World {
    let mut messages = BTreeMap::new();
    let mut rows: BTreeMap<(Box<str>, u64), (u64, u64)> = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    let mut epochs = BTreeMap::new();
    let mut last = 0;
    for operation in operations {
        match operation {
            Operation::MessageAdded { message, content } => {
                last = message;
                messages.insert(message, content);
            }
            Operation::MessageRemoved { message } => {
                assert!(rows.values().all(|row| row.0 != message), "still in a history");
                messages.remove(&message);
            }
            Operation::Recorded { message, topic, offset, stamp } => {
                assert!(messages.contains_key(&message), "told before");
                assert!(rows.insert((topic, offset), (message, stamp)).is_none(), "an offset twice");
            }
            Operation::HistoryBegan { topic, epoch } => {
                let known = epochs.insert(topic.clone(), epoch);
                let is_new = known.is_none() || firsts.get(&topic) == Some(&0);
                assert!(!is_new || !rows.keys().any(|(t, _)| *t == topic), "told before all else");
                firsts.entry(topic).and_modify(|first: &mut u64| *first = (*first).max(1));
            }
            Operation::HistoryTrimmed { topic, first } => {
                rows.retain(|(t, offset), _| *t != topic || *offset >= first);
                firsts.insert(topic, first);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(messages.len(), rows.len(), "no message is left over");
    let mut w = World::new(options);
    w.at = at;
    let on = w.pool.log.pause();
    w.pool.log.messages = last;
    for (topic, epoch) in epochs.iter().filter(|(topic, _)| firsts.get(*topic) != Some(&0)) {
        w.all.restore_epoch(&mut w.pool, topic, *epoch);
    }
    for ((topic, offset), (message, stamp)) in rows {
        let value = w.pool.insert_stored(messages.remove(&message).unwrap(), message);
        w.all.restore(&mut w.pool, value, offset, stamp);
        w.pool.release(value);
        firsts.remove(&topic);
    }
    for (topic, first) in firsts {
        w.all.restore_first(&mut w.pool, &topic, first);
    }
    w.pool.log.resume(on);
    w.all.restored(&mut w.pool);
    let epoch_of = |topic: &str| w.all.topic(topic.as_bytes()).map(kept::Topic::epoch);
    assert!(epochs.iter().all(|(topic, epoch)| epoch_of(topic).is_none_or(|now| now == *epoch)));
    w.check();
    w
}

#[test]
fn other_options_after_a_restart() {
    let mut w = World::of(vec![few("#", 9)]);
    for topic in ["a", "a", "a", "b", "b"] {
        w.publish(topic, "x");
    }
    let told = core::iter::from_fn(|| w.pool.log.pop()).collect();
    let options = HubOptions { history: vec![few("a", 2)], ..HubOptions::default() };
    let mut w = restored(told, &options, 1000);
    assert_eq!(w.operations(), ["b from 3", "a from 2", "no message 1"]);
    assert_eq!(w.all("a"), "2@1000 x, 3@1000 x");
    assert!(w.all.topic(b"b").is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize, usize),
    Pass(u64),
    Back(u64),
    Restart,
    Read(usize, HistoryQuery),
}

fn mark() -> impl Strategy<Value = Option<HistoryMark>> {
    prop::option::of(prop_oneof![
        (0u64..30).prop_map(HistoryMark::Offset),
        (900u64..1600).prop_map(HistoryMark::Time),
        (900_000u64..1_600_000).prop_map(HistoryMark::Stamp),
    ])
}

fn step() -> impl Strategy<Value = Step> {
    let query = (mark(), mark(), prop::option::of(0u64..6), any::<bool>());
    prop_oneof![
        12 => (0usize..5, 0usize..12).prop_map(|(t, size)| Step::Publish(t, size)),
        3 => (1u64..80).prop_map(Step::Pass),
        1 => (1u64..50).prop_map(Step::Back),
        1 => Just(Step::Restart),
        6 => (0usize..5, query).prop_map(|(t, (from, before, limit, newest))| {
            Step::Read(t, HistoryQuery { from, before, limit, newest })
        }),
    ]
}

const TOPICS: [&str; 5] = ["a", "b", "c/a", "c/b", "none"];

/// What the newest `limit` or the oldest `limit` of the rows in a query are.
fn plain(rows: &[(u64, u64)], query: &HistoryQuery) -> Vec<u64> {
    let before = |mark: HistoryMark, row: &(u64, u64)| match mark {
        HistoryMark::Offset(offset) => row.0 < offset,
        HistoryMark::Time(time) => row.1 / 1000 < time,
        HistoryMark::Stamp(stamp) => row.1 < stamp,
    };
    let after = |row: &&(u64, u64)| query.from.is_none_or(|mark| !before(mark, row));
    let until = |row: &&(u64, u64)| query.before.is_none_or(|mark| before(mark, row));
    let found: Vec<u64> = rows.iter().filter(after).filter(until).map(|row| row.0).collect();
    let limit = query.limit.map_or(found.len(), |n| found.len().min(n as usize));
    if query.newest { found[found.len() - limit..].to_vec() } else { found[..limit].to_vec() }
}

proptest! {
    /// Whatever is published and however time passes: the newest are kept within all bounds,
    /// queries find what the plain rule finds, and a restart changes nothing.
    #[test]
    fn histories_agree_with_plain_lists(steps in prop::collection::vec(step(), 1..80)) {
        let age = Duration::from_millis(120);
        let options = HubOptions {
            history: vec![
                few("none", 0),
                few("a", 4),
                HistoryOptions { max_age: age, ..HistoryOptions::new("c/+") },
                HistoryOptions { max_bytes: 30, ..HistoryOptions::new("+") },
            ],
            max_history_topics: 3,
            max_history_bytes: 120,
            ..HubOptions::default()
        };
        let mut w = World::new(&options);
        let mut told = Vec::new();
        let mut lists: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
        let mut last_stamp = 0;
        let mut sizes: BTreeMap<(usize, u64), u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Publish(t, size) => {
                    let offset = w.publish(TOPICS[t], &"x".repeat(size));
                    prop_assert!(t != 4 || offset.is_none());
                    if let Some(offset) = offset {
                        let list = lists.entry(t).or_default();
                        if offset == 1 {
                            // It was forgotten, with nothing left; or is new.
                            list.clear();
                        }
                        prop_assert_eq!(list.last().map_or(1, |last| last.0 + 1), offset);
                        let stamp = w.all.topic(TOPICS[t].as_bytes()).unwrap().get(offset).unwrap().0;
                        prop_assert!(stamp >= w.at * 1000);
                        prop_assert!(stamp > last_stamp, "unique in the hub");
                        last_stamp = stamp;
                        list.push((offset, stamp));
                        sizes.insert((t, offset), (1 + TOPICS[t].len() + size) as u64);
                    }
                }
                Step::Pass(millis) => w.pass(millis),
                Step::Back(millis) => w.at -= millis,
                Step::Restart => {
                    told.extend(core::iter::from_fn(|| w.pool.log.pop()));
                    let again = restored(told.clone(), &options, w.at);
                    for topic in TOPICS {
                        let kept = |w: &World| w.all.topic(topic.as_bytes()).map(super::kept::Topic::kept);
                        prop_assert_eq!(kept(&again), kept(&w), "{}", topic);
                        if kept(&w).is_some() {
                            prop_assert_eq!(again.all(topic), w.all(topic));
                        }
                    }
                    w = again;
                    // What is not kept any more is not known.
                    last_stamp = 0;
                }
                Step::Read(t, query) => {
                    let Some(topic) = w.all.topic(TOPICS[t].as_bytes()) else { continue };
                    let kept = topic.kept();
                    let rows: Vec<_> =
                        lists[&t].iter().filter(|row| kept.contains(&row.0)).copied().collect();
                    prop_assert_eq!(rows.len() as u64, kept.end - kept.start);
                    let found: Vec<u64> = w.page(TOPICS[t], &query).map(|r| r.offset).collect();
                    prop_assert_eq!(found, plain(&rows, &query), "{:?}", query);
                }
            }
            for (t, name) in TOPICS.iter().enumerate() {
                let Some(topic) = w.all.topic(name.as_bytes()) else { continue };
                let kept = topic.kept();
                let bytes: u64 = kept.clone().map(|offset| sizes[&(t, offset)]).sum();
                prop_assert!(t != 0 || kept.end - kept.start <= 4);
                prop_assert!(t != 1 || bytes <= 30);
                prop_assert!(w.all.bytes() <= 120);
            }
        }
    }
}
