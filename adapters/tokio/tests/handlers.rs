//! Handlers, in a server and in a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_driver::client::Error;
use bowline_driver::core::status::Status;
use bowline_driver::handler::{
    Deadline, Failure, Hub, Messages, Params, Payload, Session, State, Text, Topic, Typed,
};
use bowline_driver::mqtt::{Property, PropertyBlock, SubscriptionOptions};
use bowline_tokio::{Client, Publish, Request, Server, SubscribeOptions, mqtt};

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

#[derive(Messages)]
enum Order {
    Place {
        item: String,
    },
    #[message(name = "who")]
    Who,
}

async fn order(who: Session, Typed(order): Typed<Order>) -> String {
    match order {
        Order::Place { item } => format!("{item} for {}", who.client_id),
        Order::Who => format!("{} of {:?} over {}", who.client_id, who.user, who.dialect.unwrap()),
    }
}

/// MQTT 5 asks by a message with a response topic; how it went is a user property of the answer.
#[tokio::test]
async fn mqtt_asks_by_type() {
    let server = Server::builder().listen("127.0.0.1:0").serve("orders", order).start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let client = mqtt::Client::builder(&address).client_id("ann").connect().await.unwrap();
    let mut answers = client.subscribe("answers", SubscriptionOptions::default()).await.unwrap();
    let mut ask = async |kind: &[Property<'_>], payload: &'static str| {
        let list = [&[Property::ResponseTopic("answers")], kind].concat();
        let properties = PropertyBlock::of_message(&list).unwrap();
        client.publish(mqtt::Publish { properties, ..mqtt::Publish::new("orders", payload) }).await.unwrap();
        let answer = answers.next().await.unwrap();
        let status = answer.properties().iter().find_map(|p| match p {
            Property::User("status", status) => Some(status.to_owned()),
            _ => None,
        });
        (status, String::from_utf8_lossy(answer.payload()).into_owned())
    };
    let placed = ask(&[], r#"{"type":"Place","item":"rope"}"#).await;
    assert_eq!(placed, (None, "rope for ann".into()));
    let by_property = [Property::User("type", "who")];
    assert_eq!(ask(&by_property, "").await, (None, "ann of \"\" over MQTT 5.0".into()));
    let (status, reason) = ask(&[], r#"{"type":"Eat"}"#).await;
    assert_eq!(status.as_deref(), Some("UNSUPPORTED"));
    assert_eq!(reason, "no type of message here is \"Eat\"; known are: Place, who");
    server.stop();
}

/// What a handler of messages does not take is counted, and told of; a panic as well.
#[tokio::test]
async fn failures_are_counted() {
    let (told, mut failed) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .on("orders", async |Typed(_): Typed<Order>| panics().await)
        .serve("never", std::future::pending::<()>)
        .on_failed(move |f| told.send(format!("{} {} {:?}", f.topic, f.is_request, f.status)).unwrap())
        .start()
        .await
        .unwrap();
    let client = Client::builder(&server.addresses()[0].to_string()).connect().await.unwrap();
    for payload in [r#"{"type":"Eat"}"#, r#"{"type":"who"}"#, "{"] {
        client.publish(Publish::new("orders", payload)).await.unwrap();
    }
    for status in ["Unsupported", "Rejected", "Invalid"] {
        assert_eq!(failed.recv().await.unwrap(), format!("orders false {status}"));
    }
    let timeout = Some(Duration::from_millis(1));
    client.request(Request { timeout, ..Request::new("never", "") }).await.unwrap_err();
    server.drain(Duration::from_secs(5)).await;
    let counters = server.handler_counters();
    assert_eq!((counters.calls, counters.messages_failed, counters.requests_failed), (4, 3, 0));
    assert_eq!((counters.unsupported, counters.invalid, counters.panicked, counters.cancelled), (1, 1, 1, 1));
}
