//! The stories that all adapters tell, on tokio.

use bowline_tokio::Tokio;
use bowline_world::{
    DISPATCH_LOG, EGRESS_LOG, LOG, Over, RELAY_LOG, STRANGERS_LOG, Told, dispatch_story, egress_story,
    relay_story, story, strangers_story,
};

#[tokio::test]
async fn on_one_thread() {
    assert_eq!(story(Tokio, Over::Tcp).await, LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads() {
    assert_eq!(story(Tokio, Over::Tcp).await, LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_everything() {
    let mut told = Told::new(env!("CARGO_TARGET_TMPDIR"), "stories", "tokio");
    for over in Over::with_udp(cfg!(feature = "udp")) {
        assert_eq!(story(Tokio, over).await, LOG, "over {}", over.name());
        told.well(over, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_by_type() {
    assert_eq!(dispatch_story(Tokio).await, DISPATCH_LOG);
}

#[tokio::test]
async fn a_relay() {
    assert_eq!(relay_story(Tokio).await, RELAY_LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_on_many_threads() {
    assert_eq!(relay_story(Tokio).await, RELAY_LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_over_everything() {
    for over in Over::with_udp(cfg!(feature = "udp")) {
        let told = egress_story(Tokio, over).await;
        assert_eq!(told.as_deref().unwrap_or(EGRESS_LOG), EGRESS_LOG, "over {}", over.name());
    }
}

#[tokio::test]
async fn a_relay_of_strangers() {
    assert_eq!(strangers_story(Tokio).await, STRANGERS_LOG);
}
