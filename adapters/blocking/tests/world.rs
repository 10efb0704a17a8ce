//! The story that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{LOG, story, story_over_tls, story_over_websocket, story_over_websocket_in_tls};

#[test]
fn as_everywhere() {
    assert_eq!(block_on(story(Threads)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(block_on(story_over_websocket(Threads)), LOG);
}

#[test]
fn over_tls() {
    assert_eq!(block_on(story_over_tls(Threads)), LOG);
}

#[test]
fn over_websocket_in_tls() {
    assert_eq!(block_on(story_over_websocket_in_tls(Threads)), LOG);
}
