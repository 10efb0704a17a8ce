//! The story that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{LOG, story, story_over_tls, story_over_websocket, story_over_websocket_in_tls};

#[test]
fn as_everywhere() {
    assert_eq!(async_std::task::block_on(story(AsyncStd)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(async_std::task::block_on(story_over_websocket(AsyncStd)), LOG);
}

#[test]
fn over_tls() {
    assert_eq!(async_std::task::block_on(story_over_tls(AsyncStd)), LOG);
}

#[test]
fn over_websocket_in_tls() {
    assert_eq!(async_std::task::block_on(story_over_websocket_in_tls(AsyncStd)), LOG);
}
