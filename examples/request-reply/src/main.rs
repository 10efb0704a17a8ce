//! Requests and answers in JSON: one service in the server, one in a client; and a failure.
//!
//! `cargo run -p example-request-reply`

use std::time::Duration;

use bowline_tokio::client::Error;
use bowline_tokio::handler::{Failure, Hub, IntoReply, Json};
use bowline_tokio::{Client, Request, Server};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Division {
    dividend: i64,
    divisor: i64,
}

/// Serves `math/divide`: arguments are taken out of the request, the result is the answer.
async fn divide(Json(d): Json<Division>) -> Result<Json<i64>, Failure> {
    match d.dividend.checked_div(d.divisor) {
        Some(quotient) => Ok(Json(quotient)),
        None => Err("the divisor is zero".into()),
    }
}

/// Serves `math/half` by asking the other service.
async fn half(hub: Hub, Json(dividend): Json<i64>) -> Result<Bytes, Failure> {
    hub.request("math/divide", json(Division { dividend, divisor: 2 }), None).await
}

fn json(value: impl Serialize) -> Bytes {
    Json(value).into_reply().payload
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:0").serve("math/divide", divide).start().await?;
    let address = server.addresses()[0].to_string();
    // A service may as well be in a client: the hub hands on the question and the answer.
    let service = Client::builder(&address).name("halves").connect().await?;
    service.serve("math/half", half).await?;

    let client = Client::builder(&address).connect().await?;
    let answer = client.request(Request::new("math/half", "42")).await?;
    println!("half of 42: {}", String::from_utf8_lossy(&answer));
    assert_eq!(answer, "21");

    let zero = json(Division { dividend: 1, divisor: 0 });
    match client.request(Request::new("math/divide", zero)).await {
        Err(Error::Status { status, reason }) => println!("1 / 0: {status:?}, {reason}"),
        other => return Err(format!("unexpected: {other:?}").into()),
    }
    server.drain(Duration::from_secs(5)).await;
    Ok(())
}
