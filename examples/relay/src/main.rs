//! A relay that connects to one target, and a client that speaks through it to a server behind.
//!
//! ```text
//! client ── tunnel ── relay ── hub.internal
//! ```
//!
//! The inner session is whole: the relay sees its octets and nothing else. Over TLS or Noise it would not even
//! read them.

use std::time::Duration;

use bowline_tokio::client::Through;
use bowline_tokio::handler::Params;
use bowline_tokio::server::{Allowed, RelayConfig};
use bowline_tokio::{Client, Request, Server, client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The server that nobody reaches from outside.
    let hidden = Server::builder()
        .listen("127.0.0.1:0")
        .serve("greet/{who}", |Params(params): Params| async move { format!("hello, {}", params["who"]) })
        .start()
        .await?;
    let inside = hidden.addresses()[0].to_string().replace("bowline://", "");

    // The relay: it connects to this target, over TCP and by a WebSocket, and to nothing else. To reach it over
    // TLS (`tls://`, `bowline+wss://`), a relay has to know whom to trust: `Builder::egress`.
    let web = format!("bowline+ws://{inside}/");
    let allowed = Allowed::new([inside.parse()?, web.parse()?]);
    let relay = Server::builder()
        .listen("127.0.0.1:0")
        .relay(RelayConfig { allowed, ..RelayConfig::default() })
        .start()
        .await?;

    // The client: to the relay first, then through it.
    let outer = Client::builder(&relay.addresses()[0].to_string()).connect().await?;
    let inner = client::Client::builder_on(Through::new(outer.clone()), &inside).connect().await?;
    let answer = inner.request(Request::new("greet/world", "")).await?;
    println!("{}", String::from_utf8_lossy(&answer));

    // The same, with a WebSocket between the relay and the target: the client does not notice.
    let through = Through::new(outer.clone()).target(&web);
    let by_web = client::Client::builder_on(through, "hub.internal").connect().await?;
    let answer = by_web.request(Request::new("greet/web", "")).await?;
    println!("{}", String::from_utf8_lossy(&answer));

    let refused = outer.tunnel("169.254.169.254:80").await.expect_err("nobody allowed that");
    println!("{refused}");

    inner.close().await;
    by_web.close().await;
    outer.close().await;
    relay.drain(Duration::from_secs(5)).await;
    hidden.drain(Duration::from_secs(5)).await;
    Ok(())
}
