//! One story that every runtime's adapter must tell in the same words.
//!
//! A server and three clients over loopback sockets: messages of both qualities, requests, a room, cut
//! transports, a subscriber that stalls, a drain. Each step waits for its answer and none for a
//! time, so the log is the same on every runtime and machine.

mod cut;
mod dispatch;
mod egress;
mod over;
mod relay;

use std::time::Duration;

use bowline_driver::Runtime;
use bowline_driver::client::{
    Client, ClientEvent, DatagramMode, Error, Events, JoinOptions, Message, Publish, Request, RetainHandling,
    Room, RoomEvent, SubscribeOptions, Subscription,
};
use bowline_driver::handler::{Params, Text};
use bowline_driver::server::{Server, ServerConfig};

pub use cut::{Cut, Cuttable};
pub use dispatch::{DISPATCH_LOG, dispatch_story};
pub use egress::{EGRESS_LOG, STRANGERS_LOG, egress_story, strangers_story};
pub use over::{Line, Over, Told, secured};
pub use relay::{RELAY_LOG, relay_story};

/// What [`story`] must return.
pub const LOG: &str = include_str!("story.log");

/// More than anything here takes; only a failure takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

struct Story(String);

impl Story {
    fn tell(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    async fn hear<R: Runtime>(&mut self, who: &str, messages: &mut Subscription<R>, count: usize) {
        for _ in 0..count {
            let line = messages.next().await.map_or("nothing".into(), |m| show(&m));
            self.tell(format!("{who} hears {line}"));
        }
    }

    async fn attend<R: Runtime>(&mut self, who: &str, room: &mut Room<R>, count: usize) {
        for _ in 0..count {
            let line = match room.next().await {
                Some(RoomEvent::Joined { recovered, members, .. }) => {
                    format!("that it is in the room, recovered: {recovered}, {members} there")
                }
                Some(RoomEvent::Message(m)) => {
                    format!("#{} {}", m.place.offset, String::from_utf8_lossy(m.message.payload()))
                }
                other => format!("{other:?}"),
            };
            self.tell(format!("{who} hears {line}"));
        }
    }

    /// Tells events up to the first that `last` is about.
    async fn until<R: Runtime>(&mut self, who: &str, events: &mut Events<R>, last: &str) {
        while let Some(event) = events.next().await {
            let line = match event {
                ClientEvent::Connected { resumed, .. } => format!("connected, resumed: {resumed}"),
                ClientEvent::Disconnected { reason, .. } => format!("disconnected: {reason}"),
                ClientEvent::Draining { .. } => "draining".into(),
                ClientEvent::Closed { reason, .. } => format!("closed: {reason}"),
                _ => continue,
            };
            let done = line.starts_with(last);
            self.tell(format!("{who} is {line}"));
            if done {
                return;
            }
        }
    }
}

fn show(message: &Message) -> String {
    let payload = String::from_utf8_lossy(message.payload());
    let quality = if message.is_reliable() { "at least once" } else { "at most once" };
    format!("{} {payload} {quality}", message.topic())
}

fn failed(error: &Error) -> String {
    match error {
        Error::Status { status, .. } => format!("{status:?}"),
        e => e.to_string(),
    }
}

/// Runs the story on `runtime`, with all clients over `over`, and returns its log.
///
/// # Panics
///
/// Where a step fails that has no line of its own for that.
pub async fn story<R: Runtime>(runtime: R, over: Over) -> String {
    let mut log = Story(String::new());
    let line = Line::new(over);
    let server = line
        .server(Server::builder_on(runtime.clone()), ServerConfig::default())
        .serve("upper/{word}", |Params(p): Params, Text(mark): Text| async move {
            p["word"].to_uppercase() + &mark
        })
        .start()
        .await
        .expect("loopback has a free port");
    let address = line.reach(&server.addresses()[0].to_string());
    let a = Person::connect(&runtime, &address, &line).await;
    let b = Person::connect(&runtime, &address, &line).await;
    let mut heard = messages(&mut log, &a, &b).await;
    requests(&mut log, &a.client, &b.client).await;
    cuts(&mut log, &a, &b, &mut heard).await;
    drop(heard);
    rooms(&mut log, &a, &b).await;
    stall(&mut log, &a.client, &b.client).await;
    drain(&mut log, &server, a, b).await;
    log.0
}

/// A client whose line can be cut.
struct Person<R: Runtime> {
    client: Client<Cuttable<R>>,
    cut: Cut,
}

impl<R: Runtime> Person<R> {
    async fn connect(runtime: &R, address: &str, line: &Line) -> Self {
        let runtime = Cuttable::new(runtime.clone());
        let cut = runtime.cut();
        let builder = line.client(Client::builder_on(runtime, address)).connect_timeout(PATIENCE);
        Self { client: builder.connect().await.expect("the server is there"), cut }
    }
}

const RELIABLE: SubscribeOptions = SubscribeOptions {
    reliable: true,
    no_local: false,
    retained: RetainHandling::Send,
    retain_as_published: false,
    credit: None,
    auto_grant: true,
    datagrams: DatagramMode::Stream,
};

async fn messages<R: Runtime>(log: &mut Story, a: &Person<R>, b: &Person<R>) -> Subscription<Cuttable<R>> {
    let mut heard = b.client.subscribe("t/+", RELIABLE).await.expect("a good filter");
    let refused = b.client.subscribe("t/#/x", RELIABLE).await.err();
    log.tell(format!("a bad filter: {}", refused.is_some()));
    for n in 0..3 {
        let text = format!("{n}");
        a.client.publish(Publish::new("t/once", text)).await.expect("room");
    }
    log.hear("b", &mut heard, 3).await;
    for n in 0..3 {
        let publish = Publish { reliable: true, ..Publish::new("t/sure", format!("{n}")) };
        a.client.publish(publish).await.expect("accepted");
    }
    log.hear("b", &mut heard, 3).await;
    heard
}

async fn requests<R: Runtime>(log: &mut Story, a: &Client<R>, b: &Client<R>) {
    let answer = a.request(Request::new("upper/word", "!")).await;
    log.tell(format!("a asks the server: {answer:?}"));
    let answer = a.request(Request::new("nobody", "?")).await.expect_err("nobody serves it");
    log.tell(format!("a asks nobody: {}", failed(&answer)));
    for (who, client) in [("a", a), ("b", b)] {
        client.serve("who", move || async move { who }).await.expect("a good pattern");
    }
    let mut answers = a.request_many(Request::new("who", "")).await.expect("room");
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(String::from_utf8_lossy(&answer.expect("an answer").payload).into_owned());
    }
    all.sort();
    log.tell(format!("a asks all: {all:?}"));
}

/// Lines are cut, sessions go on.
async fn cuts<R: Runtime>(
    log: &mut Story,
    a: &Person<R>,
    b: &Person<R>,
    heard: &mut Subscription<Cuttable<R>>,
) {
    let mut events = b.client.events();
    b.cut.cut();
    log.until("b", &mut events, "disconnected").await;
    for n in 0..3 {
        let publish = Publish { reliable: true, ..Publish::new("t/gap", format!("{n}")) };
        a.client.publish(publish).await.expect("accepted");
    }
    b.cut.mend();
    log.until("b", &mut events, "connected").await;
    log.hear("b", heard, 3).await;

    let mut events = a.client.events();
    a.cut.cut();
    log.until("a", &mut events, "disconnected").await;
    for n in 0..3 {
        let publish = Publish { reliable: true, ..Publish::new("t/away", format!("{n}")) };
        a.client.try_publish(publish).expect("room");
    }
    a.cut.mend();
    log.until("a", &mut events, "connected").await;
    log.hear("b", heard, 3).await;
}

/// What is said in a room while a line is cut comes when the client is back in it.
async fn rooms<R: Runtime>(log: &mut Story, a: &Person<R>, b: &Person<R>) {
    let refused = a.client.join("a/+", JoinOptions::default()).await.err();
    log.tell(format!("a bad room: {}", refused.is_some()));
    let speaker = a.client.join("lobby", JoinOptions::default()).await.expect("a good name");
    let mut room = b.client.join("lobby", JoinOptions::default()).await.expect("a good name");
    speaker.send("hello").await.expect("accepted");
    log.attend("b", &mut room, 2).await;
    let mut events = b.client.events();
    b.cut.cut();
    log.until("b", &mut events, "disconnected").await;
    for text in ["are you", "there?"] {
        speaker.send(text).await.expect("accepted");
    }
    b.cut.mend();
    log.until("b", &mut events, "connected").await;
    log.attend("b", &mut room, 3).await;

    let since = room.place();
    room.leave().await;
    speaker.send("gone?").await.expect("accepted");
    let mut room =
        b.client.join("lobby", JoinOptions { since, ..JoinOptions::default() }).await.expect("again");
    log.attend("b", &mut room, 2).await;
    room.leave().await;
    speaker.leave().await;
}

/// A subscription that is not read holds up itself alone.
async fn stall<R: Runtime>(log: &mut Story, a: &Client<R>, b: &Client<R>) {
    let narrow = SubscribeOptions { credit: Some(1000), ..RELIABLE };
    let mut slow = b.subscribe("slow", narrow).await.expect("a good filter");
    let mut fast = b.subscribe("fast", RELIABLE).await.expect("a good filter");
    for n in 0..50 {
        let text = format!("{n:0>100}");
        a.publish(Publish { reliable: true, ..Publish::new("slow", text) }).await.expect("accepted");
    }
    a.publish(Publish { reliable: true, ..Publish::new("fast", "goes by") }).await.expect("accepted");
    log.hear("b", &mut fast, 1).await;
    let mut in_order = true;
    for n in 0..50 {
        let message = slow.next().await.expect("it waits");
        in_order &= message.payload() == format!("{n:0>100}").as_bytes();
    }
    log.tell(format!("b hears the slow ones, in order: {in_order}"));
}

async fn drain<R: Runtime>(log: &mut Story, server: &Server<R>, a: Person<R>, b: Person<R>) {
    let mut events = [("a", a.client.events()), ("b", b.client.events())];
    let drained = server.drain(PATIENCE);
    for (who, events) in &mut events {
        log.until(who, events, "draining").await;
    }
    for (who, person) in [("a", a), ("b", b)] {
        log.tell(format!("{who} ends: {}", person.client.close().await));
    }
    drained.await;
    log.tell(format!("connections: {}", server.connections()));
}
