//! The story that all adapters tell, on smol.

use bowline_smol::Smol;
use bowline_world::{LOG, story, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(smol::block_on(story(Smol)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(smol::block_on(story_over_websocket(Smol)), LOG);
}

#[cfg(all(feature = "noise", feature = "udp"))]
#[test]
fn over_udp() {
    assert_eq!(smol::block_on(bowline_world::story_over_udp(Smol, bowline_world::secured())), LOG);
}
