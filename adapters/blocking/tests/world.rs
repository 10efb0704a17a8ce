//! The story that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{LOG, story, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(block_on(story(Threads)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(block_on(story_over_websocket(Threads)), LOG);
}

#[cfg(all(feature = "noise", feature = "udp"))]
#[test]
fn over_udp() {
    assert_eq!(block_on(bowline_world::story_over_udp(Threads, bowline_world::secured())), LOG);
}
