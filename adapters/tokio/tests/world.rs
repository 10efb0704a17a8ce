//! The story that all adapters tell, on tokio.

use bowline_tokio::Tokio;
use bowline_world::{DISPATCH_LOG, LOG, RELAY_LOG, dispatch_story, relay_story, story, story_over_websocket};

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
