//! Whatever comes, in whatever state: nothing panics, the end is told once, and deadlines are kept.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::client::{self, Arena, Client, Message};
use super::server::{self, Server, Welcome};
use super::*;
use crate::buf::{GrowingRecvBuf, SendBuf, SharedSendBuf};
use crate::lifecycle::Transport;
use crate::time::{Instant, Why};

#[derive(Clone, Debug)]
enum Op {
    /// One of the packets below, an octet of which may be another.
    Packet(usize, Option<(usize, u8)>),
    Octets(Vec<u8>),
    Wait(u32),
    Written(usize, usize),
    /// One of the machine's calls.
    Call(u8),
    /// So much room is there for what is sent.
    Room(usize),
    Eof,
    Reconnect,
}

fn op() -> impl Strategy<Value = Op> {
    let change = prop::option::weighted(0.2, (0usize..40, any::<u8>()));
    prop_oneof![
        12 => (0usize..100, change).prop_map(|(n, change)| Op::Packet(n, change)),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Op::Octets),
        3 => (0u32..40_000).prop_map(Op::Wait),
        1 => (0usize..3, 0usize..3).prop_map(|(written, waiting)| Op::Written(written, waiting)),
        8 => (0u8..16).prop_map(Op::Call),
        1 => (0usize..60).prop_map(Op::Room),
        1 => Just(Op::Eof),
        1 => Just(Op::Reconnect),
    ]
}

/// Packets of both sides and all sorts.
fn packets(version: Version) -> Vec<Vec<u8>> {
    let id = PacketId::new(1).unwrap();
    let method = [Property::AuthMethod("m")];
    let alias = [Property::TopicAlias(1)];
    let none = Properties::NONE;
    let connect = Connect { keep_alive: 30, ..Connect::new(version, "me") };
    let with_method = Connect { properties: Properties::list(&method), ..connect };
    let connack = ConnAck { session_present: false, reason: ReasonCode::Success, properties: none };
    let publish = Publish::new("a", b"x");
    let aliased = Publish { topic: "", properties: Properties::list(&alias), ..publish };
    let subscriptions = [Subscription::new("a/#", Qos::ExactlyOnce)];
    let granted = ReasonCodes::list(&[ReasonCode::Success]);
    let mut list = vec![
        Packet::Connect(connect),
        Packet::Connect(with_method),
        Packet::ConnAck(connack),
        Packet::ConnAck(ConnAck { session_present: true, ..connack }),
        Packet::Publish(publish),
        Packet::Publish(Publish { delivery: Delivery::AtLeastOnce { id, dup: false }, ..publish }),
        Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { id, dup: true }, ..publish }),
        Packet::Publish(Publish { properties: Properties::list(&alias), ..publish }),
        Packet::Subscribe(Subscribe {
            id,
            properties: none,
            subscriptions: Subscriptions::list(&subscriptions),
        }),
        Packet::Unsubscribe(Unsubscribe { id, properties: none, filters: Filters::list(&["a"]) }),
        Packet::SubAck(SubAck { id, properties: none, reasons: granted }),
        Packet::UnsubAck(UnsubAck { id, properties: none, reasons: granted }),
        Packet::PingReq,
        Packet::PingResp,
        Packet::Disconnect(Disconnect::NORMAL),
    ];
    list.extend(
        [AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp]
            .map(|kind| Packet::Ack(Ack::new(kind, id))),
    );
    if version.is_v5() {
        let properties = Properties::list(&method);
        list.push(Packet::Publish(aliased));
        for reason in [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate, ReasonCode::Success] {
            list.push(Packet::Auth(Auth { reason, properties }));
        }
    }
    let write = |packet: &Packet<'_>| {
        let mut out = SharedSendBuf::new(1 << 10);
        packet.encode(version, &mut out).unwrap();
        out.slices().flatten().copied().collect()
    };
    list.iter().map(write).collect()
}

/// What both sides have in common here.
struct World {
    now: Instant,
    input: GrowingRecvBuf,
    out: SharedSendBuf,
    aliases: AliasTable,
    packets: Vec<Vec<u8>>,
    closed: u32,
}

impl World {
    fn new(version: Version) -> Self {
        Self {
            now: Instant::from_millis(1),
            input: GrowingRecvBuf::new(200),
            out: SharedSendBuf::new(1 << 12),
            aliases: AliasTable::new(),
            packets: packets(version),
            closed: 0,
        }
    }

    fn begin(&mut self) {
        *self = Self { now: self.now, packets: core::mem::take(&mut self.packets), ..Self::new(Version::V5) };
    }

    fn do_common(&mut self, op: &Op) {
        match op {
            Op::Packet(n, change) => {
                let mut octets = self.packets[n % self.packets.len()].clone();
                if let Some((at, octet)) = change {
                    let at = at % octets.len();
                    octets[at] = *octet;
                }
                self.input.push(&octets);
            }
            Op::Octets(octets) => {
                self.input.push(octets);
            }
            Op::Wait(ms) => self.now = Instant::from_millis(self.now.as_millis() + u64::from(*ms)),
            Op::Room(room) => self.out = SharedSendBuf::new(*room),
            _ => {}
        }
    }

    fn end(&mut self, closed: &Closed) {
        self.closed += 1;
        assert!(closed.fault.is_none_or(|fault| Some(fault.reason_code()) == closed.reason));
    }
}

fn call_server(server: &mut Server, w: &mut World, call: u8) -> Result<(), SendError> {
    let (now, out, id) = (w.now, &mut w.out, PacketId::MIN);
    let method = [Property::AuthMethod("m"), Property::ReasonString("why")];
    let properties = Properties::list(&method);
    match call {
        0..=3 => server.connack(now, out, &Welcome::default()),
        4 => server.publish(now, out, &Outgoing::new(b"a", b"x")),
        5 => server.ack(now, out, &Ack::new(AckKind::PubAck, id)),
        6 => server.ack(now, out, &Ack::new(AckKind::PubRec, id)),
        7 => server.suback(
            now,
            out,
            &SubAck { id, properties: Properties::NONE, reasons: ReasonCodes::list(&[ReasonCode::Success]) },
        ),
        8 => server.auth(now, out, &Auth { reason: ReasonCode::ContinueAuthentication, properties }),
        9 => server.auth(now, out, &Auth { reason: ReasonCode::Success, properties }),
        10 => server.refuse_with(now, out, ReasonCode::ServerBusy, Properties::NONE),
        11 => server.disconnect_with(
            now,
            out,
            &Disconnect { reason: ReasonCode::ServerMoved, properties: Properties::NONE },
        ),
        12 => {
            server.disconnect(now, ReasonCode::ServerShuttingDown, "bye");
            Ok(())
        }
        13 => {
            server.refuse(now, ReasonCode::Banned, "");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn server_meets(version: Version, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut w = World::new(version);
    let config = server::Config {
        topic_alias_maximum: 2,
        max_packet: 100,
        receive_maximum: 2,
        ..server::Config::default()
    };
    let mut server = Server::accept(w.now, &config);
    for op in ops {
        w.do_common(op);
        match op {
            Op::Written(written, waiting) => server.handle_written(w.now, *written, *waiting),
            Op::Call(call) => {
                let (before, ended) = (w.out.len(), server.is_ended());
                let done = call_server(&mut server, &mut w, *call);
                prop_assert!(done.is_ok() || w.out.len() == before, "refused, and written all the same");
                prop_assert!(!ended || w.out.len() == before, "nothing is said after the end");
            }
            Op::Eof => server.handle_eof(w.now),
            Op::Reconnect => {
                w.begin();
                server = Server::accept(w.now, &config);
            }
            _ => {}
        }
        if let Some(server::Event::Closed(closed)) = server.handle_timeout(w.now) {
            w.end(&closed);
        }
        while let Some(event) = server.recv(w.now, &mut w.input, &mut w.aliases) {
            if let server::Event::Publish(p) = &event {
                prop_assert!(!p.topic.is_empty());
            }
            if let server::Event::Closed(closed) = event {
                w.end(&closed);
            }
        }
        let transport = server.poll_transmit(w.now, &mut w.out);
        prop_assert!(transport == Transport::Open || server.is_ended());
        prop_assert!(w.closed <= u32::from(server.is_ended()));
        prop_assert!(w.closed == 1 || transport != Transport::Drop);
        w.out.sent(usize::MAX);
        check_deadline(server.poll_timeout(), &w)?;
    }
    Ok(())
}

/// What is due was just done; only what finds no room, or waits to be looked at again, is due still.
fn check_deadline(deadline: Option<crate::time::Deadline>, w: &World) -> Result<(), TestCaseError> {
    if let Some(deadline) = deadline {
        let full = w.out.room() < 200;
        prop_assert!(
            deadline.at > w.now || (deadline.why == Why::Output && full),
            "{:?} at {:?}",
            deadline,
            w.now
        );
    }
    Ok(())
}

type Tested = Client<Arena<[u8; 120], [u16; 2]>, FixedAliases<2, 8>>;

fn call_client(client: &mut Tested, w: &mut World, call: u8, version: Version) -> Result<(), SendError> {
    let (now, out) = (w.now, &mut w.out);
    let method = [Property::AuthMethod("m")];
    let properties = Properties::list(&method);
    let subscriptions = [Subscription::new("a/#", Qos::AtLeastOnce)];
    match call {
        0..=2 => {
            let clean = Connect { keep_alive: 30, clean_start: call == 0, ..Connect::new(version, "me") };
            client.connect(
                now,
                out,
                &Connect { properties: if call == 2 { properties } else { Properties::NONE }, ..clean },
            )
        }
        3 => client
            .publish(now, out, &Message { alias: Some(PacketId::MIN), ..Message::new("a", b"x") })
            .map(drop),
        4 | 5 => client.publish(now, out, &Message::new("a", b"x").with_qos(Qos::AtLeastOnce)).map(drop),
        6 | 7 => client.publish(now, out, &Message::new("b", b"x").with_qos(Qos::ExactlyOnce)).map(drop),
        8 => client.subscribe(now, out, Subscriptions::list(&subscriptions), Properties::NONE).map(drop),
        9 => client.unsubscribe(now, out, Filters::list(&["a"]), Properties::NONE).map(drop),
        10 => client.auth(now, out, &Auth { reason: ReasonCode::ContinueAuthentication, properties }),
        11 => client.auth(now, out, &Auth { reason: ReasonCode::ReAuthenticate, properties }),
        12 => client.disconnect_with(now, out, &Disconnect::NORMAL),
        13 => {
            client.disconnect(now);
            Ok(())
        }
        14 => {
            client.ack(now, out, Delivery::ExactlyOnce { id: PacketId::MIN, dup: false }, ReasonCode::Success)
        }
        _ => Ok(()),
    }
}

fn client_meets(version: Version, manual_ack: bool, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut w = World::new(version);
    let config = client::Config {
        version,
        manual_ack,
        max_packet: 100,
        topic_alias_maximum: 2,
        ..client::Config::default()
    };
    let mut client = Tested::new(&config, Arena::new([0; 120], [0; 2]), FixedAliases::new());
    for op in ops {
        w.do_common(op);
        match op {
            Op::Written(written, waiting) => client.handle_written(w.now, *written, *waiting),
            Op::Call(call) => {
                let before = w.out.len();
                let done = call_client(&mut client, &mut w, *call, version);
                prop_assert!(done.is_ok() || w.out.len() == before, "refused, and written all the same");
                if *call <= 2 && done.is_ok() {
                    w.closed = 0;
                }
            }
            Op::Eof => client.handle_eof(w.now),
            Op::Reconnect => {
                w.begin();
                // The end of the connection before may not have been told: that of the new one will be.
                let fresh = Connect { clean_start: false, keep_alive: 30, ..Connect::new(version, "me") };
                prop_assert_eq!(client.connect(w.now, &mut w.out, &fresh), Ok(()));
            }
            _ => {}
        }
        if let Some(client::Event::Closed(closed)) = client.handle_timeout(w.now) {
            w.end(&closed);
        }
        for _ in 0..20 {
            while let Some(event) = client.recv(w.now, &mut w.input, &mut w.aliases) {
                if let client::Event::Message(m) = &event {
                    prop_assert!(!m.topic.is_empty());
                }
                if let client::Event::Closed(closed) = event {
                    w.end(&closed);
                }
            }
            let transport = client.poll_transmit(w.now, &mut w.out);
            prop_assert!(transport == Transport::Open || client.is_ended());
            w.out.sent(usize::MAX);
        }
        prop_assert!(w.closed <= u32::from(client.is_ended()));
        check_deadline(client.poll_timeout(), &w)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_server_meets_anything(v5: bool, ops in prop::collection::vec(op(), 0..60)) {
        server_meets(if v5 { Version::V5 } else { Version::V311 }, &ops)?;
    }

    #[test]
    fn a_client_meets_anything(v5: bool, manual: bool, ops in prop::collection::vec(op(), 0..60)) {
        client_meets(if v5 { Version::V5 } else { Version::V311 }, manual, &ops)?;
    }
}
