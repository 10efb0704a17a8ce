//! What it costs to find a handler and its arguments, against doing the same by hand:
//! `cargo bench -p bowline-driver --features cbor,macros --bench dispatch`.
//!
//! Prints nanoseconds and allocations of a request, from its message to its answer. Nothing is asked over a
//! socket, and nothing waits.

use std::hint::black_box;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bowline_driver::core::hub::Message;
use bowline_driver::handler::{
    BoxFuture, Call, Direct, Dispatcher, Json, MessageType, Messages, Next, Params, Response, Router, State,
    Typed,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, MessageType)]
struct Place {
    item: String,
    count: u64,
    price: u64,
}

#[derive(Messages)]
enum Order {
    Place(Place),
    Cancel { number: u64 },
}

const TOPIC: &str = "shop/7/orders";
const JSON: &str = r#"{"type":"Place","item":"bowline","count":2,"price":150}"#;

fn total(order: &Place) -> u64 {
    order.count * order.price
}

/// Works for a while; says how long one took, and how often it allocated.
fn measure(name: &str, mut work: impl FnMut() -> Response) {
    assert_eq!(work().payload, "300", "{name}");
    let allocations = allocation_counter::measure(|| drop(black_box(work()))).count_total;
    let (mut best, mut times) = (Duration::MAX, 1000_u32);
    for _ in 0..20 {
        let begun = Instant::now();
        for _ in 0..times {
            black_box(work());
        }
        best = best.min(begun.elapsed() / times);
        times = 20_000;
    }
    println!("{name:<40} {:>6} ns {allocations:>3} allocations", best.as_nanos());
}

fn done(answer: Option<BoxFuture<Response>>) -> Response {
    let mut answer = answer.expect("it is served");
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response,
        Poll::Pending => unreachable!("nothing waits here"),
    }
}

fn routed(name: &str, router: Router<u64>) {
    let direct = Direct::new(router, 1).expect("good patterns");
    let message = message();
    measure(name, || done(direct.request(message.clone())));
}

fn message() -> Message {
    Message::new(TOPIC, JSON.as_bytes()).expect("a topic")
}

async fn pass(call: Call<u64>, next: Next<u64>) -> Response {
    next.run(call).await
}

fn main() {
    let message = message();
    measure("by hand, JSON", || {
        let order: Place = serde_json::from_slice(black_box(&message).payload()).expect("valid");
        Response::ok(serde_json::to_vec(&total(&order)).expect("a number"))
    });
    routed("no argument", Router::new().serve("shop/+/orders", async || "300"));
    let json = async |Json(order): Json<Place>| Json(total(&order));
    routed("Json", Router::new().serve("shop/+/orders", json));
    let more = async |State(factor): State<u64>, params: Params, Json(order): Json<Place>| {
        Json(total(&order) * factor + params.0["shop"].len() as u64 - 1)
    };
    routed("State, Params, Json", Router::new().serve("shop/{shop}/orders", more));
    let typed = async |Typed(order): Typed<Order>| match order {
        Order::Place(order) => Json(total(&order)),
        Order::Cancel { number } => Json(number),
    };
    routed("Typed, of an enum", Router::new().serve("shop/+/orders", typed));
    let by_type = || Dispatcher::new().handle_named("Cancel", async || "none").handle::<Place, _>(json);
    routed("Dispatcher, Json", Router::new().serve("shop/+/orders", by_type()));
    let layered = Router::new().layer(pass).layer(pass).layer(pass);
    routed("Dispatcher, Json, three layers", layered.serve("shop/+/orders", by_type()));
}
