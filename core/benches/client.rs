//! What a client costs: `cargo bench -p bowline-core --bench client`. Prints nanoseconds a message.

use std::hint::black_box;
use std::time::Instant as Clock;

use bowline_core::buf::{GrowingRecvBuf, SendBuf, SharedSendBuf};
use bowline_core::endpoint::client::{Client, ClientConfig, ClientEvent, Publish, SubscribeOptions};
use bowline_core::entropy::Seeded;
use bowline_core::session::{Config, Event, Message, Session, Welcome};
use bowline_core::time::Instant;
use bytes::Bytes;

const NOW: Instant = Instant::from_millis(1);
const BATCH: usize = 500;
const ROUNDS: usize = 1000;

fn main() {
    for size in [16, 1024] {
        for reliable in [false, true] {
            publish(size, reliable);
            receive(size, reliable);
        }
    }
}

/// A client and what it is connected to.
fn connected() -> (Client, Session) {
    let mut config = ClientConfig::default();
    config.session.limits.credit = 1 << 62;
    let mut client = Client::new(NOW, config, Box::new(Seeded::new(1)));
    client.subscribe(NOW, "a/#", SubscribeOptions::default()).expect("valid");
    client.poll_connect(NOW).expect("at once");
    client.handle_connected(NOW);
    let mut config = Config::default();
    config.limits.credit = 1 << 62;
    let mut server = Session::accept(NOW, &config);
    let mut out = SharedSendBuf::new(1 << 16);
    let _ = client.poll_transmit(NOW, &mut out);
    let mut buf = GrowingRecvBuf::new(1 << 16);
    pass(&mut out, &mut buf);
    while let Some(event) = server.recv(NOW, &mut buf) {
        if matches!(event, Event::Hello(_)) {
            server.welcome(NOW, &mut out, &Welcome::default(), None).expect("room");
        }
    }
    pass(&mut out, &mut buf);
    client.recv(NOW, &mut buf);
    let _ = client.poll_transmit(NOW, &mut out);
    pass(&mut out, &mut buf);
    while server.recv(NOW, &mut buf).is_some() {}
    while client.poll_event().is_some() {}
    (client, server)
}

fn pass(from: &mut SharedSendBuf, to: &mut GrowingRecvBuf) {
    from.slices().for_each(|s| assert_eq!(to.push(s), s.len()));
    from.sent(usize::MAX);
}

/// From the call to the octets, and to the event that it was accepted.
fn publish(size: usize, reliable: bool) {
    let (mut client, mut server) = connected();
    let payload = Bytes::from(vec![7; size]);
    let (mut out, mut back) = (SharedSendBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    let (mut buf, mut answers) = (GrowingRecvBuf::new(1 << 21), GrowingRecvBuf::new(1 << 16));
    let mut spent = std::time::Duration::ZERO;
    for _ in 0..ROUNDS {
        let begun = Clock::now();
        for _ in 0..BATCH {
            let publish = Publish { reliable, ..Publish::new("a/b/c", payload.clone()) };
            black_box(client.publish(NOW, publish).expect("room"));
        }
        let _ = client.poll_transmit(NOW, &mut out);
        spent += begun.elapsed();
        pass(&mut out, &mut buf);
        while server.recv(NOW, &mut buf).is_some() {}
        let _ = server.poll_transmit(NOW, &mut back);
        pass(&mut back, &mut answers);
        let begun = Clock::now();
        client.recv(NOW, &mut answers);
        while let Some(event) = client.poll_event() {
            black_box(event);
        }
        spent += begun.elapsed();
    }
    print("publish", size, reliable, spent);
}

/// From the octets to the event.
fn receive(size: usize, reliable: bool) {
    let (mut client, mut server) = connected();
    let payload = vec![7; size];
    let message = Message { reliable, ..Message::new("a/b/c", &payload) };
    let (mut out, mut back) = (SharedSendBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
    let (mut buf, mut answers) = (GrowingRecvBuf::new(1 << 21), GrowingRecvBuf::new(1 << 16));
    let mut spent = std::time::Duration::ZERO;
    for _ in 0..ROUNDS {
        for _ in 0..BATCH {
            server.message(NOW, &mut out, 1, &message).expect("room");
        }
        pass(&mut out, &mut buf);
        let begun = Clock::now();
        client.recv(NOW, &mut buf);
        let mut messages = 0;
        while let Some(event) = client.poll_event() {
            messages += usize::from(matches!(event, ClientEvent::Message { .. }));
        }
        let _ = client.poll_transmit(NOW, &mut back);
        spent += begun.elapsed();
        assert_eq!(messages, BATCH);
        pass(&mut back, &mut answers);
        while server.recv(NOW, &mut answers).is_some() {}
        assert!(back.room() > 0);
    }
    print("receive", size, reliable, spent);
}

fn print(what: &str, size: usize, reliable: bool, spent: std::time::Duration) {
    let each = spent.as_nanos() / (ROUNDS * BATCH) as u128;
    let quality = if reliable { "at least once" } else { "at most once" };
    println!("{what} {size} octets, {quality}: {each} ns");
}
