//! The stories that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{DISPATCH_LOG, LOG, Over, RELAY_LOG, Told, dispatch_story, relay_story, story};

#[test]
fn over_everything() {
    let mut told = Told::new(env!("CARGO_TARGET_TMPDIR"), "stories", "blocking");
    for over in Over::with_udp(cfg!(feature = "udp")) {
        assert_eq!(block_on(story(Threads, over)), LOG, "over {}", over.name());
        told.well(over, "");
    }
}

#[test]
fn handlers_by_type() {
    assert_eq!(block_on(dispatch_story(Threads)), DISPATCH_LOG);
}

#[test]
fn a_relay() {
    assert_eq!(block_on(relay_story(Threads)), RELAY_LOG);
}
