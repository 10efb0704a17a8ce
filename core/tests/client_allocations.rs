//! How often a connected client allocates in its hot paths.

use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::client::{Client, ClientConfig, ClientEvent, Publish, SubscribeOptions};
use bowline_core::entropy::Seeded;
use bowline_core::session::{Config, Event, Kind, Message, Outcome, Session, Welcome};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bytes::Bytes;

const NOW: Instant = Instant::from_millis(1);
const MANY: u64 = 200;

struct Pair {
    client: Client,
    server: Session,
    to_server: SharedSendBuf,
    to_client: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
}

impl Pair {
    /// Connected, with one subscription, its buffers grown.
    fn new() -> Pair {
        let mut client = Client::new(NOW, ClientConfig::default(), Box::new(Seeded::new(1)));
        let options = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
        client.subscribe(NOW, "t/#", options).unwrap();
        client.poll_connect(NOW).unwrap();
        client.handle_connected(NOW);
        let mut pair = Pair {
            client,
            server: Session::accept(NOW, &Config::default()),
            to_server: SharedSendBuf::new(1 << 20),
            to_client: SharedSendBuf::new(1 << 20),
            at_server: GrowingRecvBuf::new(1 << 21),
            at_client: GrowingRecvBuf::new(1 << 21),
        };
        pair.run();
        for _ in 0..3 {
            pair.send(true);
            pair.publish();
            pair.run();
        }
        pair
    }

    fn client_turn(&mut self) -> usize {
        self.client.recv(NOW, &mut self.at_client);
        let mut events = 0;
        while let Some(event) = self.client.poll_event() {
            events += usize::from(matches!(event, ClientEvent::Message { .. }));
        }
        let _ = self.client.poll_transmit(NOW, &mut self.to_server);
        events
    }

    fn server_turn(&mut self) {
        self.to_server.slices().for_each(|s| assert_eq!(self.at_server.push(s), s.len()));
        self.to_server.sent(usize::MAX);
        while let Some(event) = self.server.recv(NOW, &mut self.at_server) {
            match event {
                Event::Hello(_) => {
                    self.server.welcome(NOW, &mut self.to_client, &Welcome::default(), None).unwrap();
                }
                Event::Subscribe(s) => {
                    let kind = Some(Kind::Subscribe);
                    let ok = Outcome { kind, id: s.id, status: Status::Ok, reason: "" };
                    self.server.result(NOW, &mut self.to_client, &ok).unwrap();
                }
                _ => {}
            }
        }
        let _ = self.server.poll_transmit(NOW, &mut self.to_client);
        self.to_client.slices().for_each(|s| assert_eq!(self.at_client.push(s), s.len()));
        self.to_client.sent(usize::MAX);
    }

    fn run(&mut self) {
        for _ in 0..6 {
            self.client_turn();
            self.server_turn();
        }
    }

    fn send(&mut self, reliable: bool) {
        let message = Message { reliable, ..Message::new("t/1", &[7; 64]) };
        for _ in 0..MANY {
            self.server.message(NOW, &mut self.to_client, 1, &message).unwrap();
        }
        self.server_turn();
    }

    fn publish(&mut self) {
        for i in 0..MANY {
            let payload = Bytes::from_static(b"twenty octets of it.");
            let publish = Publish { reliable: i % 2 == 0, ..Publish::new("t/out", payload) };
            self.client.publish(NOW, publish).unwrap();
        }
    }
}

#[test]
fn one_allocation_a_received_message() {
    let mut pair = Pair::new();
    for reliable in [false, true] {
        pair.send(reliable);
        let mut events = 0;
        let info = allocation_counter::measure(|| events = pair.client_turn());
        assert_eq!((events as u64, info.count_total), (MANY, MANY));
        pair.run();
    }
}

#[test]
fn publishes_share_their_memory() {
    let mut pair = Pair::new();
    let info = allocation_counter::measure(|| {
        pair.publish();
        pair.client_turn();
    });
    assert!(info.count_total < MANY / 10, "{} for {MANY} publishes", info.count_total);
}

#[test]
fn owed_frames_cost_none() {
    let mut pair = Pair::new();
    pair.server.ping(NOW);
    pair.server_turn();
    let info = allocation_counter::measure(|| {
        pair.client_turn();
    });
    assert_eq!(info.count_total, 0);
}
