//! Work to count the instructions of: one of the names below, so many times.
//!
//! `.ci/instructions` runs this under callgrind, twice each, and compares what an operation takes with
//! `instructions.txt`; run alone (as `cargo test` does) it sees that every operation works.

use std::hint::black_box;

use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::flow::credit::UNLIMITED;
use bowline_core::hub::{self, Delivery, Hub, HubOptions, SessionOptions, SubscribeOptions};
use bowline_core::mqtt;
use bowline_core::plugin::{Client, Context, Interest, Placement, Plugin, Verdict};
use bowline_core::session::{Config, Connect, Event, Forward, Limits, Message, Session, Welcome};
use bowline_core::time::Instant;

const NOW: Instant = Instant::from_millis(1);
const MESSAGE: Message<'_> = Message::new("home/kitchen", &[7; 64]);

/// An operation, done so many times.
type Operation = fn(usize);

const OPERATIONS: [(&str, Operation); 8] = [
    ("handle_publish", handle_publish),
    ("publish", publish),
    ("forward", forward),
    ("mqtt_handle_publish", mqtt_handle_publish),
    ("mqtt_publish", mqtt_publish),
    ("hub", hub),
    ("hub_six_idle_plugins", hub_six_idle_plugins),
    ("hub_six_asked_plugins", hub_six_asked_plugins),
];

/// A client and a server in an open session, without limits that would stop them.
fn open() -> (Session, Session) {
    let limits = Limits { credit: UNLIMITED, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let (mut a, mut b, mut c, mut d) = ([0; 256], [0; 256], [0; 256], [0; 256]);
    let (mut out, mut input) = (SliceSendBuf::new(&mut a), SliceRecvBuf::new(&mut b));
    let mut client = Session::connect(NOW, &config, &Connect::default(), &mut out).expect("room");
    let mut server = Session::accept(NOW, &config);
    input.push(out.pending());
    assert!(matches!(server.recv(NOW, &mut input), Some(Event::Hello(_))));
    let (mut out, mut input) = (SliceSendBuf::new(&mut c), SliceRecvBuf::new(&mut d));
    server.welcome(NOW, &mut out, &Welcome::default(), None).expect("room");
    input.push(out.pending());
    assert!(matches!(client.recv(NOW, &mut input), Some(Event::Welcome(_))));
    (client, server)
}

/// Decodes and handles a message of 64 octets.
fn handle_publish(times: usize) {
    let (mut client, mut server) = open();
    let (mut a, mut b) = ([0; 256], [0; 256]);
    let mut out = SliceSendBuf::new(&mut a);
    client.publish(NOW, &mut out, &MESSAGE).expect("room");
    let mut input = SliceRecvBuf::new(&mut b);
    for _ in 0..times {
        input.push(out.pending());
        match server.recv(NOW, &mut input) {
            Some(Event::Publish(m)) => assert_eq!(black_box(m.payload).len(), 64),
            other => panic!("{other:?}"),
        }
    }
}

/// Encodes a message of 64 octets.
fn publish(times: usize) {
    let ((mut client, _), mut memory) = (open(), [0; 256]);
    let mut out = SliceSendBuf::new(&mut memory);
    for _ in 0..times {
        client.publish(NOW, &mut out, black_box(&MESSAGE)).expect("room");
        black_box(out.pending());
        out.sent(usize::MAX);
    }
}

/// Hands on a message of 64 octets.
fn forward(times: usize) {
    let ((mut client, _), mut memory) = (open(), [0; 256]);
    let mut out = SliceSendBuf::new(&mut memory);
    let message = Forward {
        subscription: 7,
        reliable: false,
        retain: false,
        has_properties: false,
        body: &[7; 77][..],
    };
    for _ in 0..times {
        client.forward(NOW, &mut out, black_box(&message)).expect("room");
        black_box(out.pending());
        out.sent(usize::MAX);
    }
}

/// A server's side of an open MQTT 3.1.1 connection.
fn mqtt_open() -> mqtt::Server {
    let (mut a, mut b, mut aliases) = ([0; 256], [0; 256], mqtt::NoAliases);
    let (mut out, mut input) = (SliceSendBuf::new(&mut a), SliceRecvBuf::new(&mut b));
    mqtt::Connect::new(mqtt::Version::V311, "me").encode(mqtt::Version::V311, &mut out).expect("room");
    input.push(out.pending());
    let mut server = mqtt::Server::accept(NOW, &mqtt::server::Config::default());
    let event = server.recv(NOW, &mut input, &mut aliases);
    assert!(matches!(event, Some(mqtt::server::Event::Connect(_))));
    server.connack(NOW, &mut out, &mqtt::server::Welcome::default()).expect("room");
    server
}

/// Decodes and handles an MQTT message of 64 octets.
fn mqtt_handle_publish(times: usize) {
    let (mut server, mut aliases) = (mqtt_open(), mqtt::NoAliases);
    let (mut a, mut b) = ([0; 256], [0; 256]);
    let mut out = SliceSendBuf::new(&mut a);
    let message = mqtt::Publish::new("home/kitchen", &[7; 64]);
    message.encode(mqtt::Version::V311, &mut out).expect("room");
    let mut input = SliceRecvBuf::new(&mut b);
    for _ in 0..times {
        input.push(out.pending());
        match server.recv(NOW, &mut input, &mut aliases) {
            Some(mqtt::server::Event::Publish(m)) => assert_eq!(black_box(m.payload).len(), 64),
            other => panic!("{other:?}"),
        }
    }
}

/// Encodes an MQTT message of 64 octets for a subscriber.
fn mqtt_publish(times: usize) {
    let (mut server, mut memory) = (mqtt_open(), [0; 256]);
    let mut out = SliceSendBuf::new(&mut memory);
    let message = mqtt::Outgoing::new(b"home/kitchen", &[7; 64]);
    for _ in 0..times {
        server.publish(NOW, &mut out, black_box(&message)).expect("room");
        black_box(out.pending());
        out.sent(usize::MAX);
    }
}

/// One publisher and ten subscribers.
fn exchange(mut hub: Hub, times: usize) {
    let session = |hub: &mut Hub| hub.attach(NOW, &SessionOptions::default()).expect("there is room");
    let publisher = session(&mut hub);
    for _ in 0..10 {
        let key = session(&mut hub);
        hub.subscribe(NOW, key, 1, "home/+", SubscribeOptions::default()).expect("valid");
    }
    let message = hub::Message::new("home/kitchen", &[7; 64]).expect("valid");
    for _ in 0..times {
        let done = hub.publish(NOW, publisher, black_box(message.clone()), None);
        assert_eq!(done.map(|outcome| outcome.queued), Ok(10));
        while let Some(key) = hub.poll_ready() {
            hub.drain(NOW, key, |delivery| matches!(black_box(delivery), Delivery::Message { .. }))
                .expect("attached");
        }
        while let Some(notice) = hub.poll_notice() {
            black_box(notice);
        }
    }
}

/// Sends a message of 64 octets from one to ten.
fn hub(times: usize) {
    exchange(Hub::new(HubOptions::default(), 1), times);
}

/// The same with a chain of six plugins that have nothing to do with it.
fn hub_six_idle_plugins(times: usize) {
    exchange(with_six(|| Box::new(Idle)), times);
}

/// The same with six that are asked about each message on its way in, and let it pass.
fn hub_six_asked_plugins(times: usize) {
    exchange(with_six(|| Box::new(Asked(0))), times);
}

fn with_six(make: impl Fn() -> Box<dyn Plugin>) -> Hub {
    let mut hub = Hub::new(HubOptions::default(), 1);
    for name in ["a", "b", "c", "d", "e", "f"] {
        hub.add_plugin(NOW, name, make(), Placement::default()).expect("there is room");
    }
    hub
}

struct Idle;

impl Plugin for Idle {
    fn interest(&self) -> Interest {
        Interest::CONNECT | Interest::OPENED | Interest::TIMER
    }
}

struct Asked(u64);

impl Plugin for Asked {
    fn interest(&self) -> Interest {
        Interest::MESSAGE_IN
    }

    fn message_in(&mut self, _: &mut Context<'_>, _: &Client<'_>, message: &hub::Message) -> Verdict {
        self.0 += message.payload().len() as u64;
        Verdict::Pass
    }
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    match (args.next(), args.next().and_then(|times| times.parse().ok())) {
        (Some(name), Some(times)) => {
            let found = OPERATIONS.iter().find(|(known, _)| *known == name);
            found.expect("an operation of that name").1(times);
        }
        _ => OPERATIONS.iter().for_each(|(_, operation)| operation(10)),
    }
}
