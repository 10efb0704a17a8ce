//! The story that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{DISPATCH_LOG, LOG, RELAY_LOG, dispatch_story, relay_story, story, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(async_std::task::block_on(story(AsyncStd)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(async_std::task::block_on(story_over_websocket(AsyncStd)), LOG);
}

#[test]
fn handlers_by_type() {
    assert_eq!(async_std::task::block_on(dispatch_story(AsyncStd)), DISPATCH_LOG);
}

#[test]
fn a_relay() {
    assert_eq!(async_std::task::block_on(relay_story(AsyncStd)), RELAY_LOG);
}
