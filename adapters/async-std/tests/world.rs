//! The stories that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{
    DISPATCH_LOG, EGRESS_LOG, LOG, Over, RELAY_LOG, STRANGERS_LOG, Told, dispatch_story, egress_story,
    relay_story, story, strangers_story,
};

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

#[test]
fn a_relay_over_everything() {
    for over in Over::with_udp(cfg!(feature = "udp")) {
        let told = async_std::task::block_on(egress_story(AsyncStd, over));
        assert_eq!(told.as_deref().unwrap_or(EGRESS_LOG), EGRESS_LOG, "over {}", over.name());
    }
}

#[test]
fn a_relay_of_strangers() {
    assert_eq!(async_std::task::block_on(strangers_story(AsyncStd)), STRANGERS_LOG);
}
