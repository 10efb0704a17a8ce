//! A store that falls behind: by operations, and by what they carry.

use super::super::*;
use super::{RELIABLE, Story};

fn story(operations: u64, bytes: u64) -> Story {
    let (max_store_operations, max_store_bytes) = (operations, bytes);
    Story::with(HubOptions { durable: true, max_store_operations, max_store_bytes, ..HubOptions::default() })
}

/// A publisher whose session ends with its connection, and one of which all is stored that is published
/// to `t`; nothing waits for the store.
fn settled(s: &mut Story) -> SessionKey {
    let a = s.hub.attach(s.now, &SessionOptions::default()).unwrap();
    let b = s.session();
    s.subscribe_with(b, 1, "t", RELIABLE);
    take_all(s);
    a
}

fn take_all(s: &mut Story) -> usize {
    core::iter::from_fn(|| s.hub.poll_operation()).count()
}

#[test]
fn operations_count() {
    let mut s = story(10, u64::MAX);
    let a = settled(&mut s);
    let mut published = 0;
    while !s.hub.is_store_behind() {
        s.publish_surely(a, "t", "x");
        published += 1;
    }
    assert_eq!(published, 6, "two operations each, and ten may wait");
    s.hub.poll_operation().unwrap();
    assert!(s.hub.is_store_behind());
    s.hub.poll_operation().unwrap();
    assert!(!s.hub.is_store_behind(), "ten are left");
    assert_eq!(take_all(&mut s), 10);
}

#[test]
fn octets_count() {
    let mut s = story(u64::MAX, 100_000);
    let a = settled(&mut s);
    let large = "x".repeat(40_000);
    for behind in [false, false, true] {
        s.publish_surely(a, "t", &large);
        assert_eq!(s.hub.is_store_behind(), behind);
    }
    // What nobody has to store counts for nothing.
    s.publish_surely(a, "other", &large);
    s.pass(60_000);
    assert!(s.hub.is_store_behind(), "time alone does not help");
    let first = s.hub.poll_operation();
    assert!(matches!(first, Some(Operation::MessageAdded { .. })));
    assert!(!s.hub.is_store_behind(), "two of them are left");
    take_all(&mut s);
    // Nor is anything left over of what was taken.
    for behind in [false, false, true] {
        s.publish_surely(a, "t", &large);
        assert_eq!(s.hub.is_store_behind(), behind);
    }
}

/// Long topics and filters are octets as well.
#[test]
fn names_count() {
    let mut s = story(u64::MAX, 100_000);
    let b = s.session();
    take_all(&mut s);
    for (sid, behind) in [(1, false), (2, false), (3, true)] {
        let filter = std::format!("{sid}{}", "f".repeat(40_000));
        s.subscribe(b, sid, &filter);
        assert_eq!(s.hub.is_store_behind(), behind);
    }
}

/// While it takes nothing, what it would have to keep is refused: nobody has to wait.
#[test]
fn a_store_that_takes_nothing_is_not_behind() {
    let mut s = story(1, u64::MAX);
    let a = settled(&mut s);
    s.publish_surely(a, "t", "x");
    assert!(s.hub.is_store_behind());
    s.hub.set_store_available(false);
    assert!(!s.hub.is_store_behind());
    s.hub.set_store_available(true);
    assert!(s.hub.is_store_behind());
}

#[test]
fn a_hub_without_a_store_is_never_behind() {
    let mut s =
        Story::with(HubOptions { max_store_operations: 0, max_store_bytes: 0, ..HubOptions::default() });
    let (a, b) = (s.session(), s.session());
    s.subscribe(b, 1, "t");
    s.publish_surely(a, "t", "x");
    assert!(!s.hub.is_store_behind());
}
