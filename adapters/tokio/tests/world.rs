//! The story that all adapters tell, on tokio.

use bowline_tokio::Tokio;
use bowline_world::{LOG, story, story_over_websocket};

#[tokio::test]
async fn on_one_thread() {
    assert_eq!(story(Tokio).await, LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads() {
    assert_eq!(story(Tokio).await, LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_websocket() {
    assert_eq!(story_over_websocket(Tokio).await, LOG);
}

#[cfg(all(feature = "noise", feature = "udp"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_udp() {
    assert_eq!(bowline_world::story_over_udp(Tokio, bowline_world::secured()).await, LOG);
}
