//! A server and its storage: what waits for a commit, what happens while there is none, and the end.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_driver::client::Error;
use bowline_driver::core::hub::Operation;
use bowline_driver::core::status::Status;
use bowline_driver::server::StartError;
use bowline_driver::store::{Calendar, Storage, StorageError, StoreEvent};
use bowline_tokio::{Client, Publish, Server, SubscribeOptions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How the disk is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disk {
    Works,
    /// It takes a batch that retains a message, and does not say yet that it has it.
    Hangs,
    Fails,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    kept: Vec<Operation>,
    /// The topics that the batch retains that was begun last.
    in_hand: Vec<String>,
    /// The server's end of it is gone.
    closed: bool,
}

/// A storage in memory; what it is told outlives servers.
#[derive(Clone, Debug)]
struct Memory(Arc<(Mutex<State>, Condvar)>);

/// The end of it that a server has.
struct Held(Memory);

impl Memory {
    fn new() -> Self {
        let state = State { disk: Disk::Works, kept: Vec::new(), in_hand: Vec::new(), closed: false };
        Self(Arc::new((Mutex::new(state), Condvar::new())))
    }

    fn set(&self, disk: Disk) {
        self.0.0.lock().unwrap().disk = disk;
        self.0.1.notify_all();
    }

    /// Waits until it has a batch in hand that retains a message of this topic; what the server has of its own
    /// to keep may come in one before.
    fn wait_for(&self, topic: &str) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |state| !state.in_hand.iter().any(|t| t == topic)).unwrap());
    }

    fn retained(&self) -> Vec<String> {
        topics(&self.0.0.lock().unwrap().kept)
    }
}

/// Of the messages that are retained.
fn topics(operations: &[Operation]) -> Vec<String> {
    let retained = |operation: &Operation| match operation {
        Operation::Retained { topic, .. } => Some(topic.to_string()),
        _ => None,
    };
    operations.iter().filter_map(retained).collect()
}

impl Storage for Held {
    fn load(&mut self, _: Calendar, each: &mut dyn FnMut(Operation)) -> Result<(), StorageError> {
        let mut state = self.0.0.0.lock().unwrap();
        if state.disk == Disk::Fails {
            return Err("the disk is on fire; call somebody".into());
        }
        state.closed = false;
        state.kept.iter().cloned().for_each(each);
        Ok(())
    }

    fn apply(&mut self, _: Calendar, batch: &[Operation]) -> Result<(), StorageError> {
        let (state, changed) = &*self.0.0;
        let mut state = state.lock().unwrap();
        state.in_hand = topics(batch);
        changed.notify_all();
        let hangs = |state: &mut State| state.disk == Disk::Hangs && !state.in_hand.is_empty();
        state = changed.wait_while(state, hangs).unwrap();
        if state.disk == Disk::Fails {
            return Err("no space left".into());
        }
        state.kept.extend(batch.iter().cloned());
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.0.lock().unwrap().closed = true;
    }
}

async fn start(memory: &Memory) -> (Server, UnboundedReceiver<String>) {
    let (tell, events) = unbounded_channel();
    let told = move |event: &StoreEvent| {
        let text = match event {
            StoreEvent::Loaded { messages, .. } => format!("loaded {messages}"),
            StoreEvent::Stalled { error, waiting } => format!("stalled with {waiting}: {error}"),
            StoreEvent::Recovered { .. } => "recovered".to_owned(),
            StoreEvent::Lost { error, operations } => format!("lost {operations}: {error}"),
            other => format!("{other:?}"),
        };
        let _ = tell.send(text);
    };
    let builder = Server::builder().listen("127.0.0.1:0").storage(Held(memory.clone()));
    (builder.on_store_event(told).start().await.expect("it starts"), events)
}

async fn connect(server: &Server) -> Client {
    Client::builder(&server.addresses()[0].to_string()).connect().await.expect("it connects")
}

/// A message that must be kept.
fn keep<'a>(topic: &'a str, payload: &'static str) -> Publish<'a> {
    Publish { reliable: true, retain: true, ..Publish::new(topic, payload) }
}

fn is_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_told_when_the_store_has_its_message() {
    let memory = Memory::new();
    let (server, _) = start(&memory).await;
    let client = connect(&server).await;
    client.publish(keep("a", "1")).await.expect("it is kept");
    assert_eq!(memory.retained(), ["a"]);

    memory.set(Disk::Hangs);
    let mut waits = pin!(client.publish(keep("b", "2")));
    assert!(is_pending(waits.as_mut()));
    memory.wait_for("b");
    // The store has it in hand. Who needs no store is served meanwhile; over the same connection it would
    // wait, as one acknowledgement is for all before it.
    let other = connect(&server).await;
    other.publish(Publish { reliable: true, ..Publish::new("c", "3") }).await.expect("nobody keeps it");
    assert!(is_pending(waits.as_mut()), "it is not kept yet");
    assert_eq!(memory.retained(), ["a"]);
    memory.set(Disk::Works);
    waits.await.expect("it is kept");
    assert_eq!(memory.retained(), ["a", "b"]);
    server.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_fails_all_else_goes_on() {
    let memory = Memory::new();
    let (server, mut events) = start(&memory).await;
    assert_eq!(events.recv().await.unwrap(), "loaded 0");
    let client = connect(&server).await;
    let mut seen = client.subscribe("#", SubscribeOptions::default()).await.expect("it subscribes");
    memory.set(Disk::Hangs);
    let mut first = pin!(client.publish(keep("a", "1")));
    assert!(is_pending(first.as_mut()));
    memory.wait_for("a");
    memory.set(Disk::Fails);
    let stalled = events.recv().await.unwrap();
    assert!(stalled.starts_with("stalled with ") && stalled.ends_with(": no space left"), "{stalled}");

    let other = connect(&server).await;
    let refused = other.publish(keep("b", "2")).await;
    assert!(matches!(refused, Err(Error::Status { status: Status::Busy, .. })), "{refused:?}");
    other.publish(Publish { reliable: true, ..Publish::new("c", "3") }).await.expect("it needs no store");
    assert!(is_pending(first.as_mut()), "what the store was told is not given up, and not acknowledged");

    memory.set(Disk::Works);
    assert_eq!(events.recv().await.unwrap(), "recovered");
    first.await.expect("it is kept now");
    client.publish(keep("d", "4")).await.expect("it works again");
    assert_eq!(memory.retained(), ["a", "d"]);
    for topic in ["a", "c", "d"] {
        assert_eq!(seen.next().await.expect("it comes").topic(), topic);
    }
    server.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_has_stored_all_and_the_next_one_has_it() {
    let memory = Memory::new();
    let (server, _) = start(&memory).await;
    let client = connect(&server).await;
    for n in 0..100 {
        client.publish(keep(&format!("t/{n}"), "x")).await.expect("it is kept");
    }
    server.stop();
    server.stopped().await;
    assert!(memory.0.0.lock().unwrap().closed, "it is closed when the server has stopped");
    assert_eq!(memory.retained().len(), 100);

    let (server, mut events) = start(&memory).await;
    assert_eq!(events.recv().await.unwrap(), "loaded 100");
    let client = connect(&server).await;
    let mut all = client.subscribe("t/+", SubscribeOptions::default()).await.expect("it subscribes");
    for _ in 0..100 {
        assert_eq!(all.next().await.expect("it comes").payload(), b"x");
    }
    server.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_to_the_end_is_given_up_and_named() {
    let memory = Memory::new();
    let (server, mut events) = start(&memory).await;
    let client = connect(&server).await;
    memory.set(Disk::Hangs);
    let mut publish = pin!(client.publish(keep("a", "1")));
    assert!(is_pending(publish.as_mut()));
    memory.wait_for("a");
    memory.set(Disk::Fails);
    assert_eq!(events.recv().await.unwrap(), "loaded 0");
    assert!(events.recv().await.unwrap().starts_with("stalled"));
    server.stop();
    server.stopped().await;
    let lost = events.recv().await.unwrap();
    assert!(lost.starts_with("lost ") && lost.ends_with(": no space left"), "{lost}");
    let told = publish.poll(&mut Context::from_waker(Waker::noop()));
    assert!(!matches!(told, Poll::Ready(Ok(()))), "it was never acknowledged: {told:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_starts_no_server() {
    let memory = Memory::new();
    memory.set(Disk::Fails);
    let failed = Server::builder().storage(Held(memory.clone())).start().await.expect_err("it fails");
    assert!(matches!(failed, StartError::Store(_)));
    assert_eq!(failed.to_string(), "the disk is on fire; call somebody");

    // What it tells does not fit together.
    memory.set(Disk::Works);
    memory.0.0.lock().unwrap().kept.push(Operation::Retained { message: 7, topic: "a".into() });
    let failed = Server::builder().storage(Held(memory)).start().await.expect_err("it fails");
    assert!(failed.to_string().contains("message 7"), "{failed}");
}
