//! The story that all adapters tell, on smol.

use bowline_smol::Smol;
use bowline_world::{LOG, story};

#[test]
fn as_everywhere() {
    assert_eq!(smol::block_on(story(Smol)), LOG);
}
