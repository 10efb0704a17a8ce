//! A room: two who chat, who is there, and what was missed while one of them was away.
//!
//! `cargo run -p example-rooms`

use std::time::Duration;

use bowline_tokio::{Client, JoinOptions, Presence, PresenceMode, Room, RoomEvent, Server};

/// Says what happens in the room, until a message says `last`.
async fn follow(who: &str, room: &mut Room, last: &str) {
    while let Some(event) = room.next().await {
        match event {
            RoomEvent::Joined { recovered, members, .. } => {
                println!("{who}: joined, {members} here, recovered: {recovered}");
            }
            RoomEvent::Message(said) => {
                let text = String::from_utf8_lossy(said.message.payload());
                println!("{who}: #{} {text}", said.place.offset);
                if text == last {
                    return;
                }
            }
            RoomEvent::Presence(Presence::Here { data, .. }) => {
                println!("{who}: {} is here", String::from_utf8_lossy(&data));
            }
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().listen("127.0.0.1:0").start().await?;
    let address = server.addresses()[0].to_string();

    let ann = Client::builder(&address).name("ann").connect().await?;
    let mut lobby = ann.join("lobby", JoinOptions { data: b"ann", ..JoinOptions::default() }).await?;
    lobby.send("is anybody here?").await?;

    // Who joins may read what was said before, and learn who is there.
    let bob = Client::builder(&address).name("bob").connect().await?;
    let watching =
        JoinOptions { history: 10, presence: PresenceMode::Full, data: b"bob", ..JoinOptions::default() };
    let mut room = bob.join("lobby", watching).await?;
    room.send("I am").await?;
    follow("bob", &mut room, "I am").await;

    // Where a connection is lost, the client does this by itself. Here bob is another program later.
    let place = room.place();
    room.leave().await;
    bob.drain(Duration::from_secs(5)).await;
    lobby.send("bob? I made tea").await?;

    let bob = Client::builder(&address).name("bob").connect().await?;
    let mut room = bob.join("lobby", JoinOptions { since: place, ..watching }).await?;
    room.send("back again").await?;
    follow("bob", &mut room, "back again").await;
    follow("ann", &mut lobby, "back again").await;

    drop((lobby, room));
    ann.drain(Duration::from_secs(5)).await;
    bob.drain(Duration::from_secs(5)).await;
    server.drain(Duration::from_secs(5)).await;
    Ok(())
}
