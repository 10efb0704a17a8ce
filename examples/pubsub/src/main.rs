//! Publish and subscribe: two listeners in a chat, and a server that keeps the minutes.
//!
//! `cargo run -p example-pubsub`

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_tokio::handler::{Params, State, Text};
use bowline_tokio::{Client, Publish, Server, SubscribeOptions};

/// What was said, and in which room.
type Minutes = Arc<Mutex<Vec<String>>>;

/// Called for each message in a room, in order.
async fn keep(State(minutes): State<Minutes>, Params(params): Params, Text(text): Text) {
    minutes.lock().unwrap().push(format!("[{}] {text}", params["room"]));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let minutes = Minutes::default();
    let server = Server::builder()
        .state(Arc::clone(&minutes))
        .listen("127.0.0.1:0")
        .on("chat/{room}", keep)
        .start()
        .await?;
    let address = server.addresses()[0].to_string();

    let ann = Client::builder(&address).name("ann").connect().await?;
    let bob = Client::builder(&address).name("bob").connect().await?;
    // Reliable: what is sent at least once comes at least once, also over a lost connection.
    let reliable = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
    let mut kitchen = bob.subscribe("chat/kitchen", reliable).await?;
    let mut all = bob.subscribe("chat/+", SubscribeOptions::default()).await?;

    ann.publish(Publish { reliable: true, ..Publish::new("chat/kitchen", "tea is ready") }).await?;
    ann.publish(Publish::new("chat/garden", "it rains")).await?;

    let message = kitchen.next().await.ok_or("the client is closed")?;
    println!("bob hears in the kitchen: {}", String::from_utf8_lossy(message.payload()));
    for _ in 0..2 {
        let message = all.next().await.ok_or("the client is closed")?;
        println!("bob hears on {}: {}", message.topic(), String::from_utf8_lossy(message.payload()));
    }

    // Everybody finishes, then the server stops: nothing that was said is lost.
    drop((kitchen, all));
    ann.drain(Duration::from_secs(5)).await;
    bob.drain(Duration::from_secs(5)).await;
    server.drain(Duration::from_secs(5)).await;
    println!("minutes: {:?}", minutes.lock().unwrap());
    Ok(())
}
