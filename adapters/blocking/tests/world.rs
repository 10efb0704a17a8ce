//! The stories that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{
    DISPATCH_LOG, EGRESS_LOG, LOG, Over, RELAY_LOG, STRANGERS_LOG, Told, dispatch_story, egress_story,
    relay_story, story, strangers_story,
};

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

#[test]
fn a_relay_over_everything() {
    for over in Over::with_udp(cfg!(feature = "udp")) {
        let told = block_on(egress_story(Threads, over));
        assert_eq!(told.as_deref().unwrap_or(EGRESS_LOG), EGRESS_LOG, "over {}", over.name());
    }
}

#[test]
fn a_relay_of_strangers() {
    assert_eq!(block_on(strangers_story(Threads)), STRANGERS_LOG);
}
