//! A plugin in thirty lines: each sensor may send a value once a second, and what is late is marked as such.
//!
//! `cargo run -p example-plugin`

use std::collections::HashMap;
use std::time::Duration;

use bowline_tokio::server::plugin::{
    Client as Sender, Context, Instant, Interest, Message, Plugin, Rejection, Verdict,
};
use bowline_tokio::{Client, Publish, Server, SubscribeOptions, Subscription};

/// When each sensor sent last.
#[derive(Default)]
struct OncePerSecond(HashMap<String, Instant>);

impl Plugin for OncePerSecond {
    /// It is asked nothing else: what it does not want to see costs nothing.
    fn interest(&self) -> Interest {
        Interest::MESSAGE_IN
    }

    /// No clock is read and nothing is sent here: the time comes in, and what is to be done goes out as a value.
    fn message_in(&mut self, cx: &mut Context<'_>, from: &Sender<'_>, message: &Message) -> Verdict {
        if !message.topic().starts_with("sensor/") {
            return Verdict::Pass;
        }
        let last = self.0.insert(from.who.client_id.to_owned(), cx.now());
        match last.map(|last| cx.now().saturating_since(last)) {
            Some(early) if early < Duration::from_secs(1) => Verdict::Refuse(
                Rejection::busy("one value a second").retry_after(Duration::from_secs(1) - early),
            ),
            Some(late) if late > Duration::from_secs(60) => {
                Verdict::Change(message.clone().with_user_property("late", "yes"))
            }
            _ => Verdict::Pass,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server =
        Server::builder().listen("127.0.0.1:0").plugin("once", OncePerSecond::default()).start().await?;
    let address = server.addresses()[0].to_string();

    let reader = Client::builder(&address).name("reader").connect().await?;
    let mut values = reader.subscribe("sensor/#", SubscribeOptions::default()).await?;
    let sensor = Client::builder(&address).name("sensor-1").connect().await?;
    for celsius in ["21.5", "21.6", "21.7"] {
        let value = Publish { reliable: true, ..Publish::new("sensor/1", celsius) };
        if let Err(error) = sensor.publish(value).await {
            println!("the sensor is told of {celsius}: {error}");
        }
    }
    println!("the reader hears {}", next(&mut values).await);

    // Switched off while all stay connected.
    server.plugins().enable("once", false)?;
    sensor.publish(Publish::new("sensor/1", "21.8")).await?;
    println!("the reader hears {}", next(&mut values).await);
    let plugin = server.plugins().list().remove(0);
    println!("{}: {} messages seen, {} refused", plugin.name, plugin.messages, plugin.refused);
    assert_eq!((plugin.messages, plugin.refused), (3, 2));

    drop(values);
    reader.drain(Duration::from_secs(5)).await;
    sensor.drain(Duration::from_secs(5)).await;
    server.drain(Duration::from_secs(5)).await;
    Ok(())
}

async fn next(values: &mut Subscription) -> String {
    let message = values.next().await;
    message.map_or_else(String::new, |message| String::from_utf8_lossy(message.payload()).into_owned())
}
