//! The story that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{LOG, story, story_over_noise, story_over_noise_in_websocket, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(block_on(story(Threads)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(block_on(story_over_websocket(Threads)), LOG);
}

#[test]
fn over_noise() {
    assert_eq!(block_on(story_over_noise(Threads)), LOG);
}

#[test]
fn over_noise_in_websocket() {
    assert_eq!(block_on(story_over_noise_in_websocket(Threads)), LOG);
}
