//! The story of handlers: by type of message, nested, within layers, for those who may.

use std::sync::Arc;
use std::time::Duration;

use bowline_driver::Runtime;
use bowline_driver::client::{Client, Error, Publish, Request, SubscribeOptions};
use bowline_driver::core::session::{Properties, Property};
use bowline_driver::handler::{
    Body, Dispatcher, Failed, Failure, Handled, Hub, MessageType, Messages, Params, Router, Session, State,
    Text, Typed, guard, observe, tagged_cbor, tagged_json, timeout,
};
use bowline_driver::server::Server;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{PATIENCE, Story};

/// What [`dispatch_story`] must return.
pub const DISPATCH_LOG: &str = include_str!("dispatch.log");

#[derive(Serialize, Deserialize, MessageType)]
#[message(name = "order.place")]
struct Place {
    item: String,
    count: u32,
}

#[derive(Serialize, Deserialize, MessageType)]
struct Cancel {
    number: u64,
}

#[derive(Messages)]
enum Event {
    /// As it is known on the wire.
    #[message(name = "shop.opened")]
    Opened,
    Sold {
        item: String,
        #[serde(default)]
        count: u32,
    },
    Placed(Place),
}

/// What the server does beside, for the log.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, line: String) {
        self.0.lock().push(line);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

async fn place(State(stock): State<u32>, who: Session, Body(place): Body<Place>) -> Result<String, Failure> {
    if place.count > stock {
        return Err(format!("there are only {stock}").into());
    }
    let dialect = who.dialect.map_or("nothing", |dialect| dialect.label());
    Ok(format!("{} {} for {} over {dialect}", place.count, place.item, who.client_id))
}

async fn cancel(Params(params): Params, Body(cancel): Body<Cancel>) -> String {
    format!("{} is no more at {}", cancel.number, params["shop"])
}

async fn event(hub: Hub, Typed(event): Typed<Event>) -> Result<(), Failure> {
    let name = event.name();
    let text = match event {
        Event::Opened => format!("{name}!"),
        Event::Sold { item, count } => format!("{name}: {count} {item}"),
        Event::Placed(place) => format!("{name}: {}", place.item),
    };
    hub.publish_reliable("heard", text)
}

fn shop() -> Router<u32> {
    let orders = Dispatcher::new().handle::<Place, _>(place).handle::<Cancel, _>(cancel);
    let admin = Router::new().serve("close", async || "closed").layer(guard(|who| who.is_program));
    let slow =
        Router::new().serve("slow", std::future::pending::<()>).layer(timeout(Duration::from_millis(1)));
    Router::new().serve("orders", orders).on("events", event).nest("admin", admin).merge(slow)
}

/// Runs the story of handlers on `runtime`, and returns its log.
///
/// # Panics
///
/// Where a step fails that has no line of its own for that.
pub async fn dispatch_story<R: Runtime>(runtime: R) -> String {
    let mut log = Story(String::new());
    let (handled, failed) = (Notes::default(), Notes::default());
    let (to_handled, to_failed) = (handled.clone(), failed.clone());
    let server = Server::builder_on(runtime.clone())
        .state(5)
        .listen("127.0.0.1:0")
        .routes(Router::new().nest("{shop}", shop()))
        .layer(observe(move |call: &Handled<'_>| {
            to_handled.note(format!("{} {:?}", call.topic, call.response.status));
        }))
        .on_failed(move |f: &Failed<'_>| to_failed.note(format!("{} {:?} {}", f.topic, f.status, f.reason)))
        .start()
        .await
        .expect("loopback has a free port");
    let address = server.addresses()[0].to_string();
    let connect =
        |name| Client::builder_on(runtime.clone(), &address).name(name).connect_timeout(PATIENCE).connect();
    let ann = connect("ann").await.expect("the server is there");
    orders(&mut log, &ann).await;
    let to_admin = server.hub().request("rope/admin/close", "", None).await;
    log.tell(format!("the program closes: {to_admin:?}"));
    events(&mut log, &ann).await;
    over_a_client(&mut log, &ann, &connect("bob").await.expect("the server is there")).await;
    ann.close().await;
    // Behind this every handler has ended.
    server.drain(PATIENCE).await;
    for line in handled.take() {
        log.tell(format!("handled: {line}"));
    }
    for line in failed.take() {
        log.tell(format!("failed: {line}"));
    }
    log.tell(format!("{:?}", server.handler_counters()));
    log.0
}

async fn ask<R: Runtime>(log: &mut Story, what: &str, client: &Client<R>, request: Request<'_>) {
    let answer = match client.request(request).await {
        Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
        Err(Error::Status { status, reason }) => format!("{status:?}, {reason}"),
        Err(e) => e.to_string(),
    };
    log.tell(format!("{what}: {answer}"));
}

async fn orders<R: Runtime>(log: &mut Story, ann: &Client<R>) {
    let topic = "rope/orders";
    let order = |count| Place { item: "bowline".into(), count };
    let json = tagged_json(&order(2)).expect("an object");
    ask(log, "in JSON", ann, Request::new(topic, json)).await;
    let too_many = tagged_json(&order(6)).expect("an object");
    ask(log, "too many", ann, Request::new(topic, too_many)).await;

    let mut memory = [0; 64];
    let cbor = [Property::ContentType("application/cbor")];
    let properties = Properties::write(&cbor, &mut memory).expect("room");
    let payload = tagged_cbor(&order(3)).expect("a map");
    ask(log, "in CBOR", ann, Request { properties, ..Request::new(topic, payload) }).await;

    let mut memory = [0; 64];
    let by_property = [Property::User("type", Cancel::NAME)];
    let properties = Properties::write(&by_property, &mut memory).expect("room");
    ask(log, "by a property", ann, Request { properties, ..Request::new(topic, r#"{"number": 7}"#) }).await;

    ask(log, "of no known type", ann, Request::new(topic, r#"{"type":"order.eat"}"#)).await;
    ask(log, "of no type", ann, Request::new(topic, "{}")).await;
    ask(log, "not as expected", ann, Request::new(topic, r#"{"type":"Cancel","number":"7"}"#)).await;
    ask(log, "not for all", ann, Request::new("rope/admin/close", "")).await;
    ask(log, "too slow", ann, Request::new("rope/slow", "")).await;
}

/// Events are handled in order: what comes behind one that fails shows that this one was handled.
async fn events<R: Runtime>(log: &mut Story, ann: &Client<R>) {
    let mut heard = ann.subscribe("heard", SubscribeOptions::default()).await.expect("a good filter");
    for payload in [
        r#"{"type":"shop.opened"}"#,
        r#"{"type":"shop.burnt"}"#,
        r#"{"type":"Sold"}"#,
        r#"{"type":"Sold","item":"anchor"}"#,
        r#"{"type":"Placed","item":"rope","count":1}"#,
    ] {
        let publish = Publish { reliable: true, ..Publish::new("rope/events", payload) };
        ann.publish(publish).await.expect("accepted");
    }
    for _ in 0..3 {
        let message = heard.next().await.expect("it comes");
        log.tell(format!("ann hears {}", String::from_utf8_lossy(message.payload())));
    }
}

async fn over_a_client<R: Runtime>(log: &mut Story, ann: &Client<R>, bob: &Client<R>) {
    let knows = async |who: Option<Session>| format!("who asks is known: {}", who.is_some());
    let echo = async |hub: Hub, Text(text): Text| hub.publish_reliable("echo", text);
    let router = Router::new().serve("who", knows).on("said", echo);
    bob.routes(Router::new().nest("bob", router)).await.expect("good patterns");
    ask(log, "bob", ann, Request::new("bob/who", "")).await;
    let mut echoes = ann.subscribe("echo", SubscribeOptions::default()).await.expect("a good filter");
    ann.publish(Publish { reliable: true, ..Publish::new("bob/said", "hello") }).await.expect("accepted");
    let message = echoes.next().await.expect("it comes");
    log.tell(format!("bob echoes {}", String::from_utf8_lossy(message.payload())));
}
