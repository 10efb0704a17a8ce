//! Bowline on async-std.
//!
//! **async-std is discontinued** ([RUSTSEC-2025-0052]): it gets no fixes any more. This package is
//! for programs that cannot leave it yet. It is empty unless its feature `async-std` is on, so that
//! nobody gets the dependency unasked. New programs take `bowline-tokio` or `bowline-smol`.
//!
//! [RUSTSEC-2025-0052]: https://rustsec.org/advisories/RUSTSEC-2025-0052.html

#![cfg_attr(
    feature = "async-std",
    doc = r##"

```
use std::time::Duration;
use bowline_async_std::handler::{Params, State};
use bowline_async_std::{Client, Publish, Request, Server, SubscribeOptions};

async fn greet(State(word): State<&'static str>, Params(params): Params) -> String {
    format!("{word}, {}!", params["who"])
}

# fn main() -> Result<(), Box<dyn std::error::Error>> {
async_std::task::block_on(async {
    let server = Server::builder()
        .state("Hello")
        .listen("127.0.0.1:0") // a port of the system's choice; "unix:/path" works as well
        .serve("greet/{who}", greet)
        .start()
        .await?;

    let client = Client::builder(&server.addresses()[0].to_string()).connect().await?;
    assert_eq!(client.request(Request::new("greet/world", "")).await?, "Hello, world!");

    let mut doors = client.subscribe("home/+", SubscribeOptions::default()).await?;
    client.publish(Publish { reliable: true, ..Publish::new("home/door", "open") }).await?;
    assert_eq!(doors.next().await.expect("it comes").payload(), b"open");

    server.drain(Duration::from_secs(5)).await;
    Ok(())
})
# }
```
"##
)]

#[cfg(feature = "async-std")]
mod adapter;

#[cfg(feature = "async-std")]
pub use adapter::*;
