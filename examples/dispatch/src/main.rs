//! Orders by type of message: a router with layers, state, and who asks; in JSON and in CBOR.
//!
//! `cargo run -p example-dispatch`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_tokio::client::{Error, Properties, Property};
use bowline_tokio::handler::{
    Body, Dispatcher, Failure, Hub, MessageType, Messages, Params, Router, Session, State, Status, Typed,
    guard, observe, tagged_cbor, tagged_json, timeout,
};
use bowline_tokio::{Client, Publish, Request, Server, SubscribeOptions};
use serde::{Deserialize, Serialize};

/// One type of message: on the wire `{"type":"order.place","item":"rope","count":2}`.
#[derive(Serialize, Deserialize, MessageType)]
#[message(name = "order.place")]
struct Place {
    item: String,
    count: u64,
}

#[derive(Serialize, Deserialize, MessageType)]
#[message(name = "order.cancel")]
struct Cancel {
    number: u64,
}

/// What handlers share.
#[derive(Clone, Default)]
struct Shop {
    orders: Arc<AtomicU64>,
}

/// Why there is no order. It becomes a status and a reason, which the caller gets.
enum NoOrder {
    Nothing,
    TooMany(u64),
}

impl From<NoOrder> for Failure {
    fn from(why: NoOrder) -> Self {
        match why {
            NoOrder::Nothing => "an order of nothing".into(),
            // Statuses from 64 on are the application's own.
            NoOrder::TooMany(n) => Self::new(SOLD_OUT, format_args!("there are no {n}")),
        }
    }
}

const SOLD_OUT: Status = Status::from_code(64);

/// Serves one type; its arguments are taken out of the message.
async fn place(
    State(shop): State<Shop>,
    Params(params): Params,
    who: Session,
    hub: Hub,
    Body(order): Body<Place>,
) -> Result<String, Failure> {
    match order.count {
        0 => return Err(NoOrder::Nothing.into()),
        n @ 100.. => return Err(NoOrder::TooMany(n).into()),
        _ => {}
    }
    let number = shop.orders.fetch_add(1, Ordering::Relaxed) + 1;
    // Whoever listens learns of it, each in what it speaks.
    let placed = format!(r#"{{"type":"Placed","number":{number}}}"#);
    hub.publish_reliable(&format!("shop/{}/events", params["city"]), placed)?;
    Ok(format!("{}: order {number} of {} {}", who.client_id, order.count, order.item))
}

async fn cancel(Body(order): Body<Cancel>) -> String {
    format!("order {} is no more", order.number)
}

/// All types of a topic as one enum: the `match` is complete, or it does not compile.
#[derive(Messages)]
enum Event {
    Placed { number: u64 },
    Closed,
}

async fn log(Params(params): Params, Typed(event): Typed<Event>) {
    match event {
        Event::Placed { number } => println!("log: {} has order {number}", params["city"]),
        Event::Closed => println!("log: {} is closed", params["city"]),
    }
}

fn shop() -> Router<Shop> {
    let orders = Dispatcher::new().handle::<Place, _>(place).handle::<Cancel, _>(cancel);
    // A layer is around all of its router: here only the program itself may ask.
    let admin = Router::new().serve("close", async || "closed").layer(guard(|who| who.is_program));
    Router::new().serve("orders", orders).on("events", log).nest("admin", admin)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder()
        .state(Shop::default())
        .listen("127.0.0.1:0")
        .routes(Router::new().nest("shop/{city}", shop()))
        .layer(observe(|call| println!("log: {} {:?} in {:?}", call.topic, call.response.status, call.took)))
        .layer(timeout(Duration::from_secs(5)))
        // Nobody answers a message: what comes of a wrong one is told here, and counted.
        .on_failed(|failed| println!("log: {} failed: {}", failed.topic, failed.reason))
        .start()
        .await?;

    let client = Client::builder(&server.addresses()[0].to_string()).name("ann").connect().await?;
    let mut events = client.subscribe("shop/+/events", SubscribeOptions::default()).await?;
    let topic = "shop/bergen/orders";

    let order = Place { item: "rope".into(), count: 2 };
    println!("{:?}", client.request(Request::new(topic, tagged_json(&order)?)).await?);
    println!("{:?}", events.next().await.map(|event| String::from_utf8_lossy(event.payload()).into_owned()));

    // The content type says that it is CBOR.
    let mut memory = [0; 64];
    let properties = Properties::write(&[Property::ContentType("application/cbor")], &mut memory)?;
    let cancelled = tagged_cbor(&Cancel { number: 1 })?;
    println!("{:?}", client.request(Request { properties, ..Request::new(topic, cancelled) }).await?);

    for wrong in [
        r#"{"type":"order.place","item":"rope","count":200}"#,
        r#"{"type":"order.place","item":"rope","count":"two"}"#,
        r#"{"type":"order.eat"}"#,
    ] {
        match client.request(Request::new(topic, wrong)).await {
            Err(Error::Status { status, reason }) => println!("{status:?}: {reason}"),
            other => return Err(format!("unexpected: {other:?}").into()),
        }
    }
    client.publish(Publish::new("shop/bergen/events", r#"{"type":"Burnt"}"#)).await?;
    println!("{:?}", server.hub().request("shop/bergen/admin/close", "", None).await?);
    server.drain(Duration::from_secs(5)).await;
    println!("{:?}", server.handler_counters());
    Ok(())
}
