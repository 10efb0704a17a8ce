use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::log::Log;
use super::super::message::{Message, Pool};
use super::*;
use crate::topic;

/// The pool and what is retained, as the hub holds them.
struct World {
    pool: Pool,
    retained: Retained,
}

impl World {
    fn new() -> Self {
        let pool = Pool::new(Log::new(false));
        Self { pool, retained: Retained::new(RandomState::with_seeds(1, 2, 3, 4)) }
    }

    fn set(&mut self, message: Message) -> u32 {
        let value = self.pool.insert(message);
        if let Some(old) = self.retained.set(&self.pool, value) {
            self.pool.release(old);
        }
        value
    }

    fn publish(&mut self, topic: &str) -> u32 {
        self.set(Message::new(topic, b"value").unwrap())
    }

    fn clear(&mut self, topic: &str) -> bool {
        let old = self.retained.clear(&self.pool, topic.as_bytes());
        old.into_iter().for_each(|old| self.pool.release(old));
        old.is_some()
    }

    /// What a walk gives from now on, and how often it asked for time.
    fn rest(&self, walk: &mut Walk) -> (Vec<u32>, u32) {
        let (mut values, mut later) = (Vec::new(), 0);
        loop {
            match walk.peek(&self.retained, &self.pool) {
                Walked::Value(value) => values.push(value),
                Walked::Later => {
                    later += 1;
                    continue;
                }
                Walked::Done => break,
            }
            walk.advance();
        }
        values.sort_unstable();
        (values, later)
    }

    fn topics(&self, filter: &str) -> Vec<String> {
        let (values, _) = self.rest(&mut self.retained.walk(filter));
        let mut topics: Vec<_> = values.iter().map(|v| self.pool.get(*v).topic().to_string()).collect();
        topics.sort_unstable();
        topics
    }

    fn check(&self) {
        self.retained.check(&self.pool).unwrap();
        assert_eq!(self.pool.len(), self.retained.len());
    }
}

fn ms(n: u64) -> Instant {
    Instant::from_millis(n)
}

/// A filter finds what it matches: `a/#` also `a` itself, wildcards in front nothing that begins
/// with `$`. \[MQTT-4.7.1-2\] \[MQTT-4.7.2-1\]
#[test]
fn filters_find_topics() {
    let mut w = World::new();
    for topic in ["a", "a/b", "a/b/c", "a/b/d", "b/b", "/", "a//c", "$SYS/x", "$SYS/y/z", "$"] {
        w.publish(topic);
        w.check();
    }
    for (filter, want) in [
        ("a", vec!["a"]),
        ("a/b", vec!["a/b"]),
        ("a/x", vec![]),
        ("a/#", vec!["a", "a//c", "a/b", "a/b/c", "a/b/d"]),
        ("a/b/#", vec!["a/b", "a/b/c", "a/b/d"]),
        ("a/b/c/#", vec!["a/b/c"]),
        ("+/b", vec!["a/b", "b/b"]),
        ("+/b/+", vec!["a/b/c", "a/b/d"]),
        ("a/+/c", vec!["a//c", "a/b/c"]),
        ("+", vec!["a"]),
        ("+/+", vec!["/", "a/b", "b/b"]),
        ("/#", vec!["/"]),
        ("$SYS/#", vec!["$SYS/x", "$SYS/y/z"]),
        ("$SYS/+", vec!["$SYS/x"]),
        ("$SYS/y/z", vec!["$SYS/y/z"]),
        ("$/#", vec!["$"]),
    ] {
        assert_eq!(w.topics(filter), want, "{filter}");
    }
    assert_eq!(w.topics("#").len(), 7);
}

#[test]
fn a_value_replaces_the_one_before() {
    let mut w = World::new();
    let first = w.pool.insert(Message::new("a/b", b"1").unwrap());
    assert_eq!(w.retained.set(&w.pool, first), None);
    let second = w.pool.insert(Message::new("a/b", b"two").unwrap());
    assert_eq!(w.retained.set(&w.pool, second), Some(first));
    assert_eq!(w.retained.get(&w.pool, b"a/b"), Some(second));
    assert_eq!((w.retained.len(), w.retained.bytes()), (1, 7));
    assert_eq!(w.retained.clear(&w.pool, b"a"), None);
    assert_eq!(w.retained.clear(&w.pool, b"a/b"), Some(second));
    assert_eq!((w.retained.len(), w.retained.bytes()), (0, 0));
}

/// A walk gives what was there when it began and still is, whatever happens on the way: each once.
#[test]
fn a_walk_leaves_out_what_changed_since() {
    let mut w = World::new();
    let [a, b, c] = ["x/a", "x/b", "x/c"].map(|topic| w.publish(topic));
    let mut walk = w.retained.walk("x/+");
    w.publish("x/d");
    w.publish("x/a");
    assert_eq!(w.rest(&mut walk).0, [b, c], "before it began: {a} was replaced");

    let mut walk = w.retained.walk("x/#");
    let Walked::Value(first) = walk.peek(&w.retained, &w.pool) else { panic!("there are four") };
    assert_eq!(walk.peek(&w.retained, &w.pool), Walked::Value(first), "the same until it goes on");
    walk.advance();
    // The node is used again, by another topic.
    let gone = ["x/a", "x/b", "x/c", "x/d"].into_iter().filter(|t| w.clear(t)).count();
    w.publish("x/e");
    assert_eq!((gone, w.rest(&mut walk).0.len()), (4, 0));
}

/// What is too much to list is found by looking at all there is, in steps.
#[test]
fn a_large_walk_takes_small_steps() {
    let mut w = World::new();
    for i in 0..40_000 {
        w.publish(&format!("many/{i}/x"));
    }
    let other = w.publish("other");
    let mut walk = w.retained.walk("many/+/x");
    w.publish("many/new/x");
    assert!(w.clear("many/7/x"));
    let (values, _) = w.rest(&mut walk);
    assert_eq!(values.len(), 39_999);
    assert!(!values.contains(&other));
    let (values, later) = w.rest(&mut w.retained.walk("many/+/y"));
    assert!(values.is_empty() && later >= 40_000 / 512, "{later} steps");
    w.check();
}

#[test]
fn values_expire() {
    let mut w = World::new();
    let message = |topic, at| Message::new(topic, b"").unwrap().with_expiry(ms(at));
    w.set(message("a", 30));
    let b = w.set(message("b", 20));
    w.set(message("c", 10));
    let c = w.set(message("c", 40));
    w.publish("never");
    assert_eq!(w.retained.next_expiry(), Some(ms(20)), "the first value of c was replaced");
    assert!(w.clear("a"));
    assert_eq!(w.retained.pop_expired(&w.pool, ms(19)), None);
    assert_eq!(w.retained.pop_expired(&w.pool, ms(99)), Some(b));
    assert_eq!(w.retained.pop_expired(&w.pool, ms(99)), Some(c));
    assert_eq!((w.retained.pop_expired(&w.pool, ms(99)), w.retained.next_expiry()), (None, None));
    assert_eq!(w.retained.len(), 1);
}

#[test]
fn one_topic_that_expires_again_and_again_takes_no_memory() {
    let mut w = World::new();
    for i in 0..10_000 {
        w.set(Message::new("a", b"").unwrap().with_expiry(ms(1_000_000 - i)));
        w.set(Message::new(&format!("kept/{}", i % 7), b"").unwrap().with_expiry(ms(1_000_000 + i)));
    }
    w.check();
}

/// However deep and alike topics are, each has few nodes, and gives them back.
#[test]
fn deep_topics_are_given_back() {
    let mut w = World::new();
    let deep = "d/".repeat(topic::MAX_LEVELS - 1);
    for end in ["x", "y"] {
        w.publish(&format!("{deep}{end}"));
    }
    w.publish("d/d");
    w.check();
    assert_eq!(w.topics("d/d"), ["d/d"]);
    assert_eq!(w.topics("d/d/#").len(), 3);
    assert!(w.clear(&format!("{deep}x")));
    w.check();
    assert_eq!(w.topics("+/#").len(), 2);
    assert!(w.clear("d/d") && w.clear(&format!("{deep}y")));
    w.check();
}

/// What 100,000 cost beyond their payloads, allocator's own included: the bound is 350.
/// With `--release -- --nocapture retained_in` it also says how long they take.
#[test]
fn memory_of_a_hundred_thousand_retained_in_bound() {
    const N: u32 = 100_000;
    const PAYLOAD: usize = 64;
    for (shape, most) in [("flat", 240), ("building/floor/room", 265), ("a/uuid", 330)] {
        let topics: Vec<String> = (0..N)
            .map(|i| match shape {
                "flat" => format!("retained/{i}"),
                "a/uuid" => format!("devices/{:036}/state/reported/{}", i / 4, i % 4),
                _ => format!("building-{}/floor-{}/room-{}/temperature", i % 10, i / 10 % 10, i / 100),
            })
            .collect();
        let mut world = None;
        let mut spent = std::time::Duration::ZERO;
        let used = allocation_counter::measure(|| {
            let mut w = World::new();
            let begin = std::time::Instant::now();
            for topic in &topics {
                let value = w.set(Message::new(topic, &[7; PAYLOAD]).unwrap());
                // It was also delivered, which makes its body a shared one for good.
                drop(w.pool.get(value).clone());
            }
            spent = begin.elapsed();
            world = Some(w);
        });
        let w = world.unwrap();
        // glibc's malloc adds a word to each block and rounds it up to 16 octets.
        let malloc = 16 * used.count_current as u64;
        let each = (used.bytes_current as u64 + malloc) / u64::from(N) - PAYLOAD as u64;
        let begin = std::time::Instant::now();
        let again = topics.iter().filter(|t| w.retained.get(&w.pool, t.as_bytes()).is_some()).count();
        let found = begin.elapsed() / N;
        let begin = std::time::Instant::now();
        let (values, _) = w.rest(&mut w.retained.walk("#"));
        std::println!(
            "{shape}: {each} octets each; stored in {:?}, found in {found:?}, walked in {:?} each",
            spent / N,
            begin.elapsed() / N
        );
        assert_eq!((again, values.len()), (N as usize, N as usize));
        assert!(each <= most, "{shape}: {each} octets each, more than {most}");
    }
}

fn name() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "ab", "", "$s"]);
    prop::collection::vec(level, 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic is not empty", |topic| !topic.is_empty())
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "+", "+", "$s"]);
    (prop::collection::vec(level, 1..5), prop::bool::weighted(0.4))
        .prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter is not empty", |filter| !filter.is_empty())
}

#[derive(Clone, Debug)]
enum Step {
    Set(String, Option<u64>),
    Clear(String),
    Expire(u64),
    Begin(String),
    Find(String),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (name(), prop::option::weighted(0.3, 0u64..100)).prop_map(|(t, at)| Step::Set(t, at)),
        3 => name().prop_map(Step::Clear),
        1 => (0u64..40).prop_map(Step::Expire),
        1 => filter().prop_map(Step::Begin),
        2 => filter().prop_map(Step::Find),
    ]
}

type Plain = BTreeMap<String, (u32, Option<u64>)>;

fn matching(plain: &Plain, filter: &str) -> BTreeSet<u32> {
    plain.iter().filter(|(t, _)| topic::matches(filter, t)).map(|(_, v)| v.0).collect()
}

proptest! {
    /// It is a map of topics, filters find what the plain rule finds, and a walk that others
    /// disturb gives what was there from its beginning to its end.
    #[test]
    fn it_agrees_with_a_plain_map(steps in prop::collection::vec(step(), 1..80)) {
        let mut w = World::new();
        let mut plain = Plain::new();
        let mut walks: Vec<(Walk, BTreeSet<u32>, BTreeSet<u32>)> = Vec::new();
        // Every message ever, so that no number comes twice.
        let mut kept = Vec::new();
        for step in steps {
            match step {
                Step::Set(topic, expires) => {
                    let mut message = Message::new(&topic, topic.as_bytes()).unwrap();
                    if let Some(at) = expires {
                        message = message.with_expiry(ms(at));
                    }
                    let value = w.pool.insert(message);
                    kept.push(value);
                    let old = w.retained.set(&w.pool, value);
                    prop_assert_eq!(old, plain.insert(topic, (value, expires)).map(|old| old.0));
                }
                Step::Clear(topic) => {
                    let old = w.retained.clear(&w.pool, topic.as_bytes());
                    prop_assert_eq!(old, plain.remove(&topic).map(|old| old.0));
                }
                Step::Expire(now) => {
                    let gone: BTreeSet<u32> =
                        core::iter::from_fn(|| w.retained.pop_expired(&w.pool, ms(now))).collect();
                    let due = |v: &(u32, Option<u64>)| v.1.is_some_and(|at| at <= now);
                    let want: BTreeSet<u32> = plain.values().filter(|v| due(v)).map(|v| v.0).collect();
                    plain.retain(|_, v| !due(v));
                    prop_assert_eq!(gone, want);
                    let next = plain.values().filter_map(|v| v.1).min().map(ms);
                    prop_assert_eq!(w.retained.next_expiry(), next);
                }
                Step::Begin(filter) => {
                    let there = matching(&plain, &filter);
                    let mut walk = w.retained.walk(&filter);
                    // Some have come to their first value, others to nothing yet.
                    let mut given = BTreeSet::new();
                    if kept.len() % 2 == 0 && let Walked::Value(v) = walk.peek(&w.retained, &w.pool) {
                        given.insert(v);
                        walk.advance();
                    }
                    walks.push((walk, there, given));
                }
                Step::Find(filter) => {
                    let (found, _) = w.rest(&mut w.retained.walk(&filter));
                    prop_assert_eq!(found, matching(&plain, &filter).into_iter().collect::<Vec<_>>());
                    // With any budget it finds no less, or says so; looking at all finds the same.
                    for most in [1, 3, 9] {
                        let mut some = Vec::new();
                        let all = w.retained.list(&w.pool, &filter, most, &mut some);
                        let want = matching(&plain, &filter);
                        prop_assert!(some.len() == want.len() || !all && some.len() < want.len());
                    }
                    let (found, _) = w.rest(&mut w.retained.walk(&filter).scanning());
                    prop_assert_eq!(found, matching(&plain, &filter).into_iter().collect::<Vec<_>>());
                }
            }
            if let Err(error) = w.retained.check(&w.pool) {
                prop_assert!(false, "{error}");
            }
            prop_assert_eq!(w.retained.len(), plain.len());
        }
        let there: BTreeSet<u32> = plain.values().map(|v| v.0).collect();
        for (mut walk, began, mut given) in walks {
            let (rest, _) = w.rest(&mut walk);
            for value in rest {
                prop_assert!(given.insert(value), "twice");
            }
            prop_assert!(given.is_subset(&began));
            prop_assert!(given.is_superset(&began.intersection(&there).copied().collect()));
        }
        for topic in plain.into_keys() {
            prop_assert!(w.retained.clear(&w.pool, topic.as_bytes()).is_some());
        }
        prop_assert!(w.retained.check(&w.pool).is_ok());
        prop_assert_eq!((w.retained.len(), w.retained.bytes()), (0, 0));
    }
}
