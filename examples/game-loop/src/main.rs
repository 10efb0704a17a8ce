//! A game loop over UDP, secured by Noise: each player says where it is 60 times a second, in datagrams of which a
//! later one makes an earlier one stale; what players say to each other arrives, in order.
//!
//! `cargo run -p example-game-loop` plays for two seconds with two players on this machine.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use bowline_driver::OsEntropy;
use bowline_driver::client::DatagramMode;
use bowline_driver::core::secure::{PublicKey, SecretKey};
use bowline_driver::datagram::{Config, NoiseKeys, Security};
use bowline_tokio::{Client, Publish, Server, SubscribeOptions, Subscription};
use tokio::time::{MissedTickBehavior, interval};

/// Ticks a second, and how many of them are played.
const RATE: u32 = 60;
const TICKS: u32 = 2 * RATE;

/// A player: where it is, and where it saw the others.
struct Player {
    name: &'static str,
    client: Client,
    positions: Subscription,
    chat: Subscription,
    others: HashMap<String, (f32, f32)>,
    heard: u32,
}

impl Player {
    /// Joins the game of the server that has this key, and no other.
    async fn join(name: &'static str, address: &str, server: PublicKey) -> Result<Self, Box<dyn Error>> {
        let keys = NoiseKeys::new().own(SecretKey::generate(&mut OsEntropy)).server(server);
        let secured = Config::new(Security::Noise(keys.into()));
        let client = Client::builder(address).name(name).datagrams(secured).connect().await?;
        let latest = SubscribeOptions {
            no_local: true,
            datagrams: DatagramMode::Sequenced,
            ..SubscribeOptions::default()
        };
        let positions = client.subscribe("player/+/position", latest).await?;
        let surely = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
        let chat = client.subscribe("chat", surely).await?;
        Ok(Self { name, client, positions, chat, others: HashMap::new(), heard: 0 })
    }

    /// Moves, says where it is, and lets what came in until the next tick is due.
    async fn play(mut self) -> Result<Self, Box<dyn Error>> {
        let mut ticks = interval(Duration::from_secs(1) / RATE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let topic = format!("player/{}/position", self.name);
        let mut tick = 0;
        while tick < TICKS {
            tokio::select! {
                _ = ticks.tick() => {
                    let angle = tick as f32 / RATE as f32;
                    let position = [angle.cos().to_le_bytes(), angle.sin().to_le_bytes()].concat();
                    self.client.publish_datagram(Publish::new(&topic, position), DatagramMode::Sequenced)?;
                    if tick % RATE == 0 {
                        let text = format!("{}: second {}", self.name, tick / RATE);
                        self.client.try_publish(Publish { reliable: true, ..Publish::new("chat", text) })?;
                    }
                    tick += 1;
                }
                Some(message) = self.positions.next() => self.seen(message.topic(), message.payload()),
                Some(message) = self.chat.next() => {
                    self.heard += 1;
                    println!("{} hears {}", self.name, String::from_utf8_lossy(message.payload()));
                }
            }
        }
        Ok(self)
    }

    fn seen(&mut self, topic: &str, payload: &[u8]) {
        let (Some(name), ([x, y], _)) = (topic.split('/').nth(1), payload.as_chunks::<4>()) else { return };
        self.others.insert(name.to_owned(), (f32::from_le_bytes(*x), f32::from_le_bytes(*y)));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let key = SecretKey::generate(&mut OsEntropy); // a server keeps it in a file
    let public = key.public();
    let secured = Config::new(Security::Noise(NoiseKeys::new().own(key).into()));
    let server = Server::builder().listen("bowline+udp://127.0.0.1:0").datagrams(secured).start().await?;
    let address = server.addresses()[0].to_string();

    let (a, b) = (Player::join("ann", &address, public).await?, Player::join("bob", &address, public).await?);
    let (a, b) = tokio::try_join!(a.play(), b.play())?;
    for player in [&a, &b] {
        println!("{} heard {} words, and saw last: {:?}", player.name, player.heard, player.others);
        if player.others.len() != 1 || player.heard == 0 {
            return Err("somebody saw or heard nobody".into());
        }
    }
    let counters = server.datagrams()[0].counters();
    println!("the server took {} datagrams, and sent {}", counters.received, counters.sent);
    server.drain(Duration::from_secs(1)).await;
    Ok(())
}
