//! A WebSocket server of your own: every message goes back to who sent it.
//!
//! The one idea: the layers of a connection are machines, and yours is what puts them together. Here a
//! request of HTTP becomes a WebSocket, with permessage-deflate where the client offers it; the engine
//! that moves the octets is the one under every server of ours.
//!
//! `cargo run --release -p example-websocket-echo -- 9001` serves port 9001 of this machine until it is
//! ended. Without a port it takes any, and says which.

mod connection;

use std::error::Error;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use bowline_core::websocket::deflate::{Options, Pool};
use bowline_driver::{Engine, Listener, Runtime};
use bowline_tokio::Tokio;

use connection::{Connection, MAX_MESSAGE};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or("0".into());
    let mut listener = Tokio.bind(format!("127.0.0.1:{port}").parse()?).await?;
    println!("listening on {}", listener.local_address()?);
    // One for all: a compressor is lent to whoever has something to compress.
    let options = Options { max_message: MAX_MESSAGE, max_ratio: 1000, ..Options::default() };
    let pool = Arc::new(Mutex::new(Pool::new(options)));
    loop {
        let (stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await?;
        let connection = Connection::new(pool.clone());
        Tokio.spawn(Engine::new(stream, connection, Tokio.timer(), connection::max_frame()));
    }
}
