//! The stories that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{DISPATCH_LOG, LOG, Over, RELAY_LOG, Told, dispatch_story, relay_story, story};

#[test]
fn over_everything() {
    let mut told = Told::new(env!("CARGO_TARGET_TMPDIR"), "stories", "async-std");
    for over in Over::with_udp(cfg!(feature = "udp")) {
        assert_eq!(async_std::task::block_on(story(AsyncStd, over)), LOG, "over {}", over.name());
        told.well(over, "");
    }
}

#[test]
fn handlers_by_type() {
    assert_eq!(async_std::task::block_on(dispatch_story(AsyncStd)), DISPATCH_LOG);
}

#[test]
fn a_relay() {
    assert_eq!(async_std::task::block_on(relay_story(AsyncStd)), RELAY_LOG);
}
