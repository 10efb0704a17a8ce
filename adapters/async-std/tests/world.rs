//! The story that all adapters tell, on async-std.

use bowline_async_std::AsyncStd;
use bowline_world::{LOG, story};

#[test]
fn as_everywhere() {
    assert_eq!(async_std::task::block_on(story(AsyncStd)), LOG);
}
