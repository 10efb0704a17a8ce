//! An echo: a server with one handler, and a client; threads and calls that block, no executor.
//!
//! `cargo run -p example-echo`

use std::time::Duration;

use bowline_blocking::{Client, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Whatever is asked on the topic `echo` is the answer.
    let server = Server::builder()
        .listen("127.0.0.1:0") // the system chooses the port
        .serve("echo", |call| call.shared_payload())
        .start()?;
    let address = server.addresses()[0].to_string();
    println!("serving on {address}");

    let client = Client::connect(&address)?;
    for text in ["one", "two", "three"] {
        let answer = client.request("echo", text)?;
        println!("{text} -> {}", String::from_utf8_lossy(&answer));
        assert_eq!(answer, text);
    }
    println!("to the server and back: {:?}", client.ping()?);

    // Nobody serves this topic: an answer with a status, not silence.
    println!("elsewhere: {}", client.request("nobody/here", "?").unwrap_err());

    client.close();
    server.drain(Duration::from_secs(5));
    Ok(())
}
