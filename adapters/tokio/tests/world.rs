//! The story that all adapters tell, on tokio.

use bowline_tokio::Tokio;
use bowline_world::{LOG, story, story_over_tls, story_over_websocket, story_over_websocket_in_tls};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls() {
    assert_eq!(story_over_tls(Tokio).await, LOG);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_websocket_in_tls() {
    assert_eq!(story_over_websocket_in_tls(Tokio).await, LOG);
}
