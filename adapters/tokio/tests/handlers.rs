//! Handlers, in a server and in a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_driver::client::Error;
use bowline_driver::core::status::Status;
use bowline_driver::handler::{Deadline, Failure, Hub, Params, Payload, State, Text, Topic};
use bowline_tokio::{Client, Publish, Request, Server, SubscribeOptions};

async fn add(
    State(calls): State<Arc<AtomicU64>>,
    Text(text): Text,
    left: Deadline,
) -> Result<String, Failure> {
    calls.fetch_add(1, Ordering::Relaxed);
    assert!(left.left().unwrap() <= Duration::from_secs(30));
    let numbers = text.split('+').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    Ok(numbers.map_err(|e| Failure::new(Status::Invalid, e))?.iter().sum::<u64>().to_string())
}

async fn panics() -> String {
    panic!("on purpose")
}

/// Says what it heard on another topic.
async fn hear(hub: Hub, Params(params): Params, Topic(topic): Topic, Payload(payload): Payload) {
    hub.publish_reliable("heard", format!("{} {topic} {}", params["room"], payload.len())).unwrap();
}

async fn ask_on(hub: Hub, Text(text): Text) -> Result<bytes::Bytes, Failure> {
    hub.request("math/add", text, None).await
}

fn status(e: &Error) -> Status {
    match e {
        Error::Status { status, .. } => *status,
        e => panic!("{e}"),
    }
}

#[tokio::test]
async fn a_server_serves_and_listens() {
    let calls = Arc::new(AtomicU64::new(0));
    let server = Server::builder()
        .state(Arc::clone(&calls))
        .listen("127.0.0.1:0")
        .serve("math/add", add)
        .serve("panics", panics)
        .serve("ask", ask_on)
        .on("chat/{room}/#", hear)
        .start()
        .await
        .unwrap();
    let client = Client::builder(&server.addresses()[0].to_string()).connect().await.unwrap();
    assert_eq!(client.request(Request::new("math/add", "1+2")).await.unwrap(), "3");
    assert_eq!(client.request(Request::new("ask", "3+4")).await.unwrap(), "7");
    let wrong = client.request(Request::new("math/add", "x")).await.unwrap_err();
    assert_eq!(status(&wrong), Status::Invalid);
    let wrong = client.request(Request::new("math/add", vec![0xff])).await.unwrap_err();
    assert_eq!(status(&wrong), Status::Invalid);
    let wrong = client.request(Request::new("panics", "")).await.unwrap_err();
    assert_eq!(status(&wrong), Status::Rejected);
    assert_eq!(calls.load(Ordering::Relaxed), 3);

    let mut heard = client.subscribe("heard", SubscribeOptions::default()).await.unwrap();
    for n in 0..100 {
        client.publish(Publish::new(&format!("chat/r{n}/x"), vec![0; n])).await.unwrap();
        let message = heard.next().await.unwrap();
        assert_eq!(message.payload(), format!("r{n} chat/r{n}/x {n}").as_bytes());
    }
    assert_eq!(server.hub().request("math/add", "5+6", None).await.unwrap(), "11");
    client.close().await;
    server.drain(Duration::from_secs(5)).await;
    let failed = server.hub().request("math/add", "", None).await.unwrap_err();
    assert_eq!(failed.status, Status::Draining);
}

#[tokio::test]
async fn a_client_serves() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let a = Client::builder(&address).connect().await.unwrap();
    let b = Client::builder(&address).connect().await.unwrap();
    a.serve("up/{word}", |Params(p): Params| async move { p["word"].to_uppercase() }).await.unwrap();
    a.serve("never", std::future::pending::<()>).await.unwrap();
    assert_eq!(b.request(Request::new("up/word", "")).await.unwrap(), "WORD");
    let mut answers = b.request_many(Request::new("up/many", "")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().payload, "MANY");
    assert!(answers.next().await.unwrap().unwrap().payload.is_empty());
    assert_eq!(answers.next().await.map(|a| a.unwrap()), None);
    let timeout = Some(Duration::from_millis(1));
    let late = b.request(Request { timeout, ..Request::new("never", "") }).await.unwrap_err();
    assert!(matches!(late, Error::NoAnswer(_) | Error::Status { status: Status::Timeout, .. }), "{late}");
    assert!(a.serve("a/#/b", || async {}).await.is_err());
    server.stop();
    server.stopped().await;
}
