//! `cargo run --release -p example-websocket-echo -- COMMAND`:
//!
//! - `serve [PORT]` sends every message back to who sent it, until it is ended; without a port it takes any,
//!   and says which;
//! - `client URL` sends each line that it reads, and prints what comes back for it;
//! - `autobahn URL` has the Autobahn test suite that serves there try our client in all its cases.

use std::error::Error;
use std::io::{BufRead as _, stdin};

use bowline_core::websocket::extensions::Offer;
use bowline_core::websocket::{CloseCode, Kind};
use example_websocket_echo::client::{Client, Received, Wanted};
use example_websocket_echo::server;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What is offered to every server: what it makes of the window that we compress with.
const WANTED: Wanted<'static> = Wanted {
    protocols: "",
    deflate: Some(Offer {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: None,
        client_max_window_bits: Some(None),
    }),
};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve("0"),
        ["serve", port] => serve(port),
        ["client", url] => client(url),
        ["autobahn", url] => autobahn(url),
        _ => Err("serve [PORT] | client URL | autobahn URL".into()),
    }
}

fn serve(port: &str) -> Result<()> {
    let address = format!("127.0.0.1:{port}").parse()?;
    Ok(server::run(&address, |at| println!("listening on ws://{at}"))?)
}

fn client(url: &str) -> Result<()> {
    let mut client = Client::connect(url, &WANTED)?;
    for line in stdin().lock().lines() {
        client.send(Kind::Text, line?.as_bytes())?;
        match client.receive()? {
            Some(Received::Message(_, payload)) => println!("{}", String::from_utf8_lossy(&payload)),
            other => return Err(format!("no answer, but {other:?}").into()),
        }
    }
    client.close(CloseCode::NORMAL, "")?;
    while client.receive()?.is_some() {}
    Ok(())
}

/// Each case is a connection of its own on which all comes back that the suite sends, whether that is right or
/// wrong: it sees by itself how we take it.
fn autobahn(url: &str) -> Result<()> {
    let mut counted = None;
    echo(&format!("{url}/getCaseCount"), |payload| counted = Some(payload.to_vec()))?;
    let count: usize = String::from_utf8(counted.ok_or("no count of cases came")?)?.parse()?;
    for case in 1..=count {
        if let Err(error) = echo(&format!("{url}/runCase?case={case}&agent=bowline"), |_| ()) {
            eprintln!("case {case}: {error}");
        }
    }
    println!("{count} cases");
    echo(&format!("{url}/updateReports?agent=bowline"), |_| ())
}

/// Sends back what comes, until the connection ends.
fn echo(url: &str, mut see: impl FnMut(&[u8])) -> Result<()> {
    let mut client = Client::connect(url, &WANTED)?;
    while let Some(received) = client.receive()? {
        if let Received::Message(kind, payload) = received {
            see(&payload);
            // The server may have begun to close meanwhile.
            let _ = client.send(kind, &payload);
        }
    }
    Ok(())
}
