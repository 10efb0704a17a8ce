//! The stories that all adapters tell, on smol.

use bowline_smol::Smol;
use bowline_world::{
    DISPATCH_LOG, EGRESS_LOG, LOG, Over, RELAY_LOG, STRANGERS_LOG, Told, dispatch_story, egress_story,
    relay_story, story, strangers_story,
};

#[test]
fn over_everything() {
    let mut told = Told::new(env!("CARGO_TARGET_TMPDIR"), "stories", "smol");
    for over in Over::with_udp(cfg!(feature = "udp")) {
        assert_eq!(smol::block_on(story(Smol, over)), LOG, "over {}", over.name());
        told.well(over, "");
    }
}

#[test]
fn handlers_by_type() {
    assert_eq!(smol::block_on(dispatch_story(Smol)), DISPATCH_LOG);
}

#[test]
fn a_relay() {
    assert_eq!(smol::block_on(relay_story(Smol)), RELAY_LOG);
}

#[test]
fn a_relay_over_everything() {
    for over in Over::with_udp(cfg!(feature = "udp")) {
        let told = smol::block_on(egress_story(Smol, over));
        assert_eq!(told.as_deref().unwrap_or(EGRESS_LOG), EGRESS_LOG, "over {}", over.name());
    }
}

#[test]
fn a_relay_of_strangers() {
    assert_eq!(smol::block_on(strangers_story(Smol)), STRANGERS_LOG);
}
