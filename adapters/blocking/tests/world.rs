//! The story that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{DISPATCH_LOG, LOG, RELAY_LOG, dispatch_story, relay_story, story, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(block_on(story(Threads)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(block_on(story_over_websocket(Threads)), LOG);
}

#[test]
fn handlers_by_type() {
    assert_eq!(block_on(dispatch_story(Threads)), DISPATCH_LOG);
}

#[test]
fn a_relay() {
    assert_eq!(block_on(relay_story(Threads)), RELAY_LOG);
}
