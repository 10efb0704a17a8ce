//! The story that all adapters tell, on smol.

use bowline_smol::Smol;
use bowline_world::{DISPATCH_LOG, LOG, RELAY_LOG, dispatch_story, relay_story, story, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(smol::block_on(story(Smol)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(smol::block_on(story_over_websocket(Smol)), LOG);
}

#[test]
fn handlers_by_type() {
    assert_eq!(smol::block_on(dispatch_story(Smol)), DISPATCH_LOG);
}

#[test]
fn a_relay() {
    assert_eq!(smol::block_on(relay_story(Smol)), RELAY_LOG);
}
