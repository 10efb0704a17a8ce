//! The story that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{LOG, story, story_over_websocket};

#[test]
fn as_everywhere() {
    assert_eq!(async_std::task::block_on(story(AsyncStd)), LOG);
}

#[test]
fn over_websocket() {
    assert_eq!(async_std::task::block_on(story_over_websocket(AsyncStd)), LOG);
}

#[cfg(all(feature = "noise", feature = "udp"))]
#[test]
fn over_udp() {
    assert_eq!(
        async_std::task::block_on(bowline_world::story_over_udp(AsyncStd, bowline_world::secured())),
        LOG
    );
}
