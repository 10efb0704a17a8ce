//! The story that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{LOG, story, story_over_noise, story_over_noise_in_websocket, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(async_std::task::block_on(story(AsyncStd)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(async_std::task::block_on(story_over_websocket(AsyncStd)), LOG);
}

#[test]
fn over_noise() {
    assert_eq!(async_std::task::block_on(story_over_noise(AsyncStd)), LOG);
}

#[test]
fn over_noise_in_websocket() {
    assert_eq!(async_std::task::block_on(story_over_noise_in_websocket(AsyncStd)), LOG);
}
