//! The story that all adapters tell, on threads.

use bowline_blocking::{Threads, block_on};
use bowline_world::{LOG, story};

#[test]
fn as_everywhere() {
    assert_eq!(block_on(story(Threads)), LOG);
}
