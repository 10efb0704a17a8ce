//! In steady state an MQTT client with its session, and a server's side, allocate nothing.

use std::time::Duration;

use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::mqtt::client::{self, Arena, Client, Message};
use bowline_core::mqtt::server::{self, Server, Welcome};
use bowline_core::mqtt::{
    Ack, AckKind, Connect, Delivery, FixedAliases, Outgoing, PacketId, Properties, Property, Qos, ReasonCode,
    ReasonCodes, SubAck, Subscription, Subscriptions, Version,
};
use bowline_core::time::Instant;

type Aliases = FixedAliases<2, 32>;

/// What both ends have seen, as counts.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    published: u32,
    messages: u32,
    acked: u32,
    subscribed: u32,
    octets: usize,
}

struct Pair<'m> {
    client: Client<Arena<&'m mut [u8], [u16; 8]>, Aliases>,
    server: Server,
    to_server: SliceSendBuf<'m>,
    to_client: SliceSendBuf<'m>,
    at_server: SliceRecvBuf<'m>,
    at_client: SliceRecvBuf<'m>,
    aliases: [Aliases; 2],
    seen: Seen,
}

impl Pair<'_> {
    fn server_turn(&mut self, now: Instant) {
        while let Some(event) = self.server.recv(now, &mut self.at_server, &mut self.aliases[0]) {
            let out = &mut self.to_client;
            match event {
                server::Event::Connect(_) => {
                    self.server.connack(now, out, &Welcome::default()).expect("room");
                }
                server::Event::Publish(p) => {
                    self.seen.published += 1;
                    self.seen.octets += p.payload.len() + p.topic.len() + p.properties.iter().count();
                    let kind = match p.delivery {
                        Delivery::AtMostOnce => continue,
                        Delivery::AtLeastOnce { .. } => AckKind::PubAck,
                        Delivery::ExactlyOnce { .. } => AckKind::PubRec,
                    };
                    self.server.ack(now, out, &Ack::new(kind, p.id().expect("one"))).expect("room");
                }
                server::Event::Ack(ack) => match ack.kind {
                    AckKind::PubRel => {
                        self.server.ack(now, out, &Ack::new(AckKind::PubComp, ack.id)).expect("room");
                    }
                    AckKind::PubRec => {
                        self.server.ack(now, out, &Ack::new(AckKind::PubRel, ack.id)).expect("room");
                    }
                    AckKind::PubAck | AckKind::PubComp => {}
                },
                server::Event::Subscribe(s) => {
                    assert_eq!(s.subscriptions.iter().count(), 1);
                    let reasons = ReasonCodes::list(&[ReasonCode::GrantedQos1]);
                    let ack = SubAck { id: s.id, properties: Properties::NONE, reasons };
                    self.server.suback(now, out, &ack).expect("room");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(self.server.handle_timeout(now).is_none());
        let _ = self.server.poll_transmit(now, &mut self.to_client);
        std::hint::black_box(self.server.poll_timeout());
    }

    fn client_turn(&mut self, now: Instant) {
        for _ in 0..2 {
            while let Some(event) = self.client.recv(now, &mut self.at_client, &mut self.aliases[1]) {
                match event {
                    client::Event::Message(m) => {
                        self.seen.messages += 1;
                        self.seen.octets += m.payload.len();
                    }
                    client::Event::Acked(_, reason) => {
                        assert_eq!(reason, ReasonCode::Success);
                        self.seen.acked += 1;
                    }
                    client::Event::SubAck(_) => self.seen.subscribed += 1,
                    client::Event::Connected(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            let _ = self.client.poll_transmit(now, &mut self.to_server);
        }
        assert!(self.client.handle_timeout(now).is_none());
        std::hint::black_box(self.client.poll_timeout());
    }

    fn carry(&mut self, now: Instant) {
        for _ in 0..4 {
            let n = self.at_server.push(self.to_server.pending());
            self.to_server.sent(n);
            self.client.handle_written(now, n, self.to_server.pending().len());
            self.server_turn(now);
            let n = self.at_client.push(self.to_client.pending());
            self.to_client.sent(n);
            self.server.handle_written(now, n, self.to_client.pending().len());
            self.client_turn(now);
        }
    }

    /// Everything that happens in steady state, both ways.
    fn round(&mut self, now: Instant, n: u16) {
        let list = [Property::ContentType("text/plain"), Property::User("a", "b")];
        let properties = Properties::list(&list);
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let alias = Some(PacketId::MIN);
            let message =
                Message { alias, properties, ..Message::new("home/kitchen", &[7; 64]).with_qos(qos) };
            self.client.publish(now, &mut self.to_server, &message).expect("room");
            let delivery = Delivery::new(qos, PacketId::new(n * 3 + 1 + qos as u16), false).expect("an id");
            let outgoing = Outgoing {
                delivery,
                properties,
                expiry: Some(9),
                subscriptions: &[1, 2],
                ..Outgoing::new(b"home/kitchen", &[8; 64])
            };
            self.server.publish(now, &mut self.to_client, &outgoing).expect("room");
        }
        let subscriptions = [Subscription::new("a/+", Qos::AtLeastOnce)];
        let subscriptions = Subscriptions::list(&subscriptions);
        self.client.subscribe(now, &mut self.to_server, subscriptions, Properties::NONE).expect("room");
        self.carry(now);
    }
}

fn run(version: Version) {
    let mut memory = [[0; 2048]; 5];
    let [a, b, c, d, e] = &mut memory;
    let config = client::Config { version, ..client::Config::default() };
    let mut now = Instant::from_millis(0);
    let mut pair = Pair {
        client: Client::new(&config, Arena::new(&mut e[..], [0; 8]), Aliases::new()),
        server: Server::accept(now, &server::Config { topic_alias_maximum: 2, ..server::Config::default() }),
        to_server: SliceSendBuf::new(a),
        to_client: SliceSendBuf::new(b),
        at_server: SliceRecvBuf::new(c),
        at_client: SliceRecvBuf::new(d),
        aliases: [Aliases::new(), Aliases::new()],
        seen: Seen::default(),
    };
    let found = allocation_counter::measure(|| {
        let connect = Connect { keep_alive: 1, ..Connect::new(version, "me") };
        pair.client.connect(now, &mut pair.to_server, &connect).expect("room");
        pair.carry(now);
        for n in 0..100 {
            now = now + Duration::from_millis(800); // a ping is due each time
            pair.round(now, n);
        }
    });
    assert_eq!(found.count_total, 0);
    // In 5.0: two that were given, and the alias.
    let properties = if version == Version::V5 { 3 * 300 } else { 0 };
    let octets = 300 * 64 + 300 * 12 + 300 * 64 + properties;
    let seen = Seen { published: 300, messages: 300, acked: 200, subscribed: 100, octets };
    assert_eq!(pair.seen, seen);
}

#[test]
fn mqtt_allocates_nothing() {
    run(Version::V311);
    run(Version::V5);
}
