//! The story that all adapters tell, on smol.

use bowline_smol::Smol;
use bowline_world::{LOG, story, story_over_noise, story_over_noise_in_websocket, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(smol::block_on(story(Smol)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(smol::block_on(story_over_websocket(Smol)), LOG);
}

#[test]
fn over_noise() {
    assert_eq!(smol::block_on(story_over_noise(Smol)), LOG);
}

#[test]
fn over_noise_in_websocket() {
    assert_eq!(smol::block_on(story_over_noise_in_websocket(Smol)), LOG);
}
