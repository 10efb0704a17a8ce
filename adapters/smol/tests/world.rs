//! The story that all adapters tell, on smol.

use bowline_smol::Smol;
use bowline_world::{LOG, story, story_over_tls, story_over_websocket, story_over_websocket_in_tls};

#[test]
fn as_everywhere() {
    assert_eq!(smol::block_on(story(Smol)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(smol::block_on(story_over_websocket(Smol)), LOG);
}

#[test]
fn over_tls() {
    assert_eq!(smol::block_on(story_over_tls(Smol)), LOG);
}

#[test]
fn over_websocket_in_tls() {
    assert_eq!(smol::block_on(story_over_websocket_in_tls(Smol)), LOG);
}
