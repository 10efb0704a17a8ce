//! A client and a server in the secure mode, and everybody who would be in between.

use core::time::Duration;
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::buf::{GrowingRecvBuf, SharedSendBuf};
use crate::endpoint::client::{
    Client, ClientConfig, ClientEvent, Credentials, NoiseConfig as Wanted, NoiseKeys, Publish, Reason,
    ServerTrust, SubscribeOptions,
};
use crate::endpoint::server::{
    Anonymous, ConnectionKey, Identity, NoiseConfig, Peer, Security, Server, ServerConfig, ServerEvent, Users,
};
use crate::entropy::{Entropy, Scripted, Seeded};
use crate::lifecycle::Transport;
use crate::scram::{Credential, MIN_ITERATIONS};
use crate::secure::{Fault, PREFACE, PublicKey, Refusal, Rekey, SecretKey, SharedKey};
use crate::session::Code;
use crate::time::Instant;

fn server_key() -> SecretKey {
    SecretKey::from_octets([1; 32])
}

fn ann_key() -> SecretKey {
    SecretKey::from_octets([2; 32])
}

fn shared_key() -> SharedKey {
    SharedKey::from_octets([3; 32])
}

/// A server that knows ann by her key, a thermometer by what they share, and bob by his password.
fn config() -> ServerConfig {
    let mut noise = NoiseConfig::default();
    noise.keys.own = Some(server_key());
    noise.keys.add_shared(shared_key());
    let mut users = Users::new(Anonymous::Never);
    users.add_noise_key(*ann_key().public().as_octets(), "ann");
    users.add_noise_key(shared_key().identity(), "thermometer");
    users.add_password("bob", Credential::derive("pencil", b"salt", MIN_ITERATIONS).unwrap());
    ServerConfig { noise, users, ..ServerConfig::default() }
}

fn known(own: Option<SecretKey>) -> NoiseKeys {
    NoiseKeys::Static { own, server: ServerTrust::Keys(vec![server_key().public()]) }
}

fn first_use(own: Option<SecretKey>) -> NoiseKeys {
    NoiseKeys::Static { own, server: ServerTrust::FirstUse(Vec::new()) }
}

/// In each pattern, as somebody whom the server knows.
fn each_pattern() -> [NoiseKeys; 3] {
    [first_use(Some(ann_key())), known(Some(ann_key())), NoiseKeys::Shared(shared_key())]
}

/// A client, a server, and the line between them, which remembers.
struct World {
    now: Instant,
    client: Client,
    server: Server,
    line: Option<Line>,
    /// What passed each way, of all lines.
    passed: [Vec<u8>; 2],
    /// Which octet is to be changed, once, and with what.
    corrupt: Option<(usize, usize, u8)>,
    piece: usize,
    events: Vec<ClientEvent>,
    told: Vec<ServerEvent>,
}

struct Line {
    key: ConnectionKey,
    to_server: SharedSendBuf,
    to_client: SharedSendBuf,
    at_server: GrowingRecvBuf,
    at_client: GrowingRecvBuf,
    shut: bool,
}

impl World {
    fn new(keys: NoiseKeys) -> Self {
        Self::with(keys, config(), |_| {})
    }

    fn with(keys: NoiseKeys, server: ServerConfig, set: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig { noise: Some(Wanted::new(keys)), ..ClientConfig::default() };
        set(&mut config);
        let now = Instant::from_millis(1);
        Self {
            now,
            client: Client::new(now, config, Box::new(Seeded::new(5))),
            server: Server::new(server, Box::new(Seeded::new(6))),
            line: None,
            passed: [Vec::new(), Vec::new()],
            corrupt: None,
            piece: usize::MAX,
            events: Vec::new(),
            told: Vec::new(),
        }
    }

    fn run(&mut self) {
        for _ in 0..1_000_000 {
            let moved = self.turn();
            self.events.extend(core::iter::from_fn(|| self.client.poll_event()));
            self.told.extend(core::iter::from_fn(|| self.server.poll_event()));
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn turn(&mut self) -> bool {
        while self.server.poll_ready().is_some() {}
        if self.client.poll_connect(self.now).is_some() {
            self.client.handle_connected(self.now);
            self.line = Some(Line {
                key: self.server.accept(self.now, Peer::default()).unwrap(),
                to_server: SharedSendBuf::new(64 << 10),
                to_client: SharedSendBuf::new(64 << 10),
                at_server: GrowingRecvBuf::new(2 << 20),
                at_client: GrowingRecvBuf::new(2 << 20),
                shut: false,
            });
            return true;
        }
        let Some(line) = &mut self.line else { return false };
        let now = self.now;
        self.client.recv(now, &mut line.at_client);
        let client = self.client.poll_transmit(now, &mut line.to_server);
        self.server.recv(now, line.key, &mut line.at_server, &mut line.to_client);
        if let Some(work) = self.server.poll_verification(line.key) {
            self.server.verified(now, line.key, work.run(), &mut line.to_client);
        }
        let server = self.server.poll_transmit(now, line.key, &mut line.to_client);
        line.shut |= server != Transport::Open;
        let moved = self.pass(0) | self.pass(1);
        let Some(line) = &self.line else { return true };
        let gone = matches!(client, Transport::Drop | Transport::Abort) && line.to_server.is_empty();
        if !moved && (gone || line.shut) {
            self.cut();
            return true;
        }
        moved
    }

    fn pass(&mut self, way: usize) -> bool {
        let Some(line) = &mut self.line else { return false };
        let (from, to) = if way == 0 {
            (&mut line.to_server, &mut line.at_server)
        } else {
            (&mut line.to_client, &mut line.at_client)
        };
        let mut octets: Vec<u8> = from.slices().flatten().copied().take(self.piece).collect();
        from.sent(octets.len());
        let passed = &mut self.passed[way];
        if let Some((of, at, with)) = self.corrupt
            && of == way
            && (passed.len()..passed.len() + octets.len()).contains(&at)
        {
            octets[at - passed.len()] ^= with;
        }
        passed.extend_from_slice(&octets);
        to.push(&octets);
        !octets.is_empty()
    }

    fn cut(&mut self) {
        let Some(line) = self.line.take() else { return };
        self.client.handle_transport_gone(self.now);
        self.server.handle_eof(self.now, line.key);
        self.server.disconnect(self.now, line.key);
    }

    /// Time passes for both, if only to the next deadline of each.
    fn advance(&mut self, time: Duration) {
        self.now = self.now + time;
        self.client.handle_timeout(self.now);
        if let Some(line) = &self.line {
            self.server.handle_timeout(self.now, line.key);
        }
        self.run();
    }

    fn open(mut self) -> Self {
        self.run();
        assert!(self.client.is_connected(), "{:?} {:?}", self.events, self.told);
        self
    }

    /// Why the client's last connection ended.
    fn reason(&self) -> Option<&Reason> {
        self.events.iter().rev().find_map(|event| match event {
            ClientEvent::Disconnected { reason, .. } | ClientEvent::Closed { reason, .. } => Some(reason),
            _ => None,
        })
    }

    fn is_over(&self) -> bool {
        matches!(self.events.last(), Some(ClientEvent::Closed { .. }))
    }

    /// Who came in.
    fn identity(&self) -> Option<&str> {
        self.told.iter().find_map(|event| match event {
            ServerEvent::Opened { identity, .. } => Some(identity.as_str()),
            _ => None,
        })
    }

    /// Why the server ended its connections.
    fn ends(&self) -> Vec<(Option<Code>, &str)> {
        self.told
            .iter()
            .filter_map(|event| match event {
                ServerEvent::Closed { code, reason, .. } => Some((*code, reason.as_str())),
                _ => None,
            })
            .collect()
    }

    /// What the client said, to a server of its own: captured octets come again.
    fn replay(octets: &[u8]) -> (Server, Vec<u8>, Vec<ServerEvent>) {
        let mut server = Server::new(config(), Box::new(Seeded::new(77)));
        let now = Instant::from_millis(1);
        let key = server.accept(now, Peer::default()).unwrap();
        let (mut received, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
        received.push(octets);
        server.recv(now, key, &mut received, &mut out);
        let _ = server.poll_transmit(now, key, &mut out);
        server.handle_eof(now, key);
        let events = core::iter::from_fn(|| server.poll_event()).collect();
        (server, out.slices().flatten().copied().collect(), events)
    }
}

/// SEC-2, SEC-8, SEC-17: each pattern connects, and the server knows whom.
#[test]
fn each_pattern_connects_and_says_who_comes() {
    for (keys, user) in each_pattern().into_iter().zip(["ann", "ann", "thermometer"]) {
        let mut w = World::new(keys).open();
        assert_eq!(w.identity(), Some(user));
        let key = w.line.as_ref().unwrap().key;
        let secured = w.server.secured(key).unwrap();
        assert_eq!(secured.by, Security::Noise);
        assert_eq!(secured.binding, w.client.channel_binding(), "and both have the same to bind to");
        assert!(secured.binding.is_some());
        let want = if user == "ann" { *ann_key().public().as_octets() } else { shared_key().identity() };
        assert_eq!(secured.identity, Some(Identity::Key(want)));
        let opened = w.told.iter().find_map(|event| match event {
            ServerEvent::Opened { peer, .. } => Some(peer.secured),
            _ => None,
        });
        assert_eq!(opened, Some(Some(Security::Noise)));
        echo(&mut w, 3);
    }
}

/// Messages to oneself come back.
fn echo(w: &mut World, messages: usize) {
    let topic = std::format!("t/{messages}");
    let options = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
    w.client.subscribe(w.now, &topic, options).unwrap();
    for i in 0..messages {
        let payload = i.to_string().repeat(1 + i * 700).into_bytes();
        w.client.publish(w.now, Publish { reliable: true, ..Publish::new(&topic, payload) }).unwrap();
    }
    w.run();
    let got: Vec<usize> = w
        .events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Message { message, .. } => Some(message.payload().len()),
            _ => None,
        })
        .collect();
    assert_eq!(got, (0..messages).map(|i| (1 + i * 700) * i.to_string().len()).collect::<Vec<_>>());
}

/// SEC-15: nothing that is said is to be seen.
#[test]
fn nothing_that_is_said_is_seen_on_the_line() {
    for keys in each_pattern() {
        let set = |config: &mut ClientConfig| {
            config.credentials = Credentials::password("bob", "pencil");
            config.name = "a-name-of-its-own".into();
        };
        let mut w = World::with(keys, config(), set).open();
        let payload = b"the secret payload".to_vec();
        w.client.publish(w.now, Publish { reliable: true, ..Publish::new("top/secret", payload) }).unwrap();
        w.run();
        let all = [&w.passed[0][..], &w.passed[1]].concat();
        for secret in ["pencil", "bob", "a-name-of-its-own", "the secret payload", "top/secret"] {
            assert!(!all.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
        }
        let keys = [server_key().public(), ann_key().public()];
        for key in keys {
            assert!(!all.windows(32).any(|part| part == key.as_octets()), "a key is in clear");
        }
        assert!(w.passed[0].starts_with(&PREFACE));
    }
}

/// AUT-8 beside: who says a name and proves it is that, whatever his key.
#[test]
fn a_key_that_is_nobodys_still_logs_in_where_strangers_may() {
    let password = |config: &mut ClientConfig| config.credentials = Credentials::password("bob", "pencil");
    let w = World::with(known(None), config(), password).open();
    assert_eq!(w.identity(), Some("bob"));
    let mut w = World::new(known(None));
    w.run();
    assert!(matches!(w.reason(), Some(Reason::Remote { code: Code::AuthFailed, .. })), "{:?}", w.reason());
    // Where they may not, nothing that they say counts.
    let mut strict = config();
    strict.noise.strangers = false;
    let mut w = World::with(known(None), strict.clone(), password);
    w.run();
    assert_eq!(
        w.reason(),
        Some(&Reason::Remote { code: Code::NotAuthorized, text: "your key is not known here".into() })
    );
    assert_eq!(World::with(known(Some(ann_key())), strict, |_| {}).open().identity(), Some("ann"));
}

/// SEC-7.
#[test]
fn a_server_with_another_key_is_left_before_anything_is_shown() {
    let other = SecretKey::from_octets([9; 32]).public();
    let mut w = World::new(NoiseKeys::Static {
        own: Some(ann_key()),
        server: ServerTrust::Keys(vec![other, SecretKey::from_octets([10; 32]).public()]),
    });
    w.run();
    assert_eq!(w.reason(), Some(&Reason::Secure(Fault::ServerKey(server_key().public()))));
    assert!(w.is_over() && w.told.iter().all(|event| !matches!(event, ServerEvent::Opened { .. })));
    assert_eq!(w.passed[0].len(), 6 + 2 + 32, "nothing after the first message");
    // One key that is known: the first message is for nobody else.
    let keys = NoiseKeys::Static { own: Some(ann_key()), server: ServerTrust::Keys(vec![other]) };
    let mut w = World::new(keys);
    w.run();
    assert_eq!(w.reason(), Some(&Reason::Secure(Fault::Refused(Refusal::Handshake))));
    assert_eq!(w.ends(), [(Some(Code::Malformed), "secure mode: a handshake message that is not authentic")]);
}

/// SEC-7: the first key counts, and no other afterwards.
#[test]
fn a_key_is_trusted_on_first_use_and_told_once() {
    let mut w = World::new(first_use(None));
    w.client.close(w.now);
    let mut w = World::new(first_use(Some(ann_key()))).open();
    let told = |w: &World| w.events.iter().filter(|e| matches!(e, ClientEvent::ServerKey { .. })).count();
    assert_eq!(told(&w), 1);
    let learned = ClientEvent::ServerKey { endpoint: 0, key: server_key().public() };
    assert!(w.events.iter().any(|e| std::format!("{e:?}") == std::format!("{learned:?}")));
    w.cut();
    w.advance(Duration::from_secs(60));
    assert!(w.client.is_connected() && told(&w) == 1);
    // Another server is there now.
    let mut changed = config();
    changed.noise.keys.own = Some(SecretKey::from_octets([9; 32]));
    w.cut();
    w.server = Server::new(changed, Box::new(Seeded::new(8)));
    w.advance(Duration::from_secs(60));
    let other = SecretKey::from_octets([9; 32]).public();
    assert_eq!(w.reason(), Some(&Reason::Secure(Fault::ServerKey(other))));
    assert!(!w.is_over(), "one who was there before may come back");
    // And what was kept is known from the start.
    let keys = NoiseKeys::Static { own: None, server: ServerTrust::FirstUse(vec![Some(other)]) };
    let mut w = World::new(keys);
    w.run();
    assert_eq!(w.reason(), Some(&Reason::Secure(Fault::ServerKey(server_key().public()))));
}

/// SEC-2, SEC-5.
#[test]
fn a_wrong_shared_key_and_what_is_not_offered_are_refused() {
    let mut w = World::new(NoiseKeys::Shared(SharedKey::from_octets([4; 32])));
    w.run();
    assert_eq!(w.reason(), Some(&Reason::Secure(Fault::Refused(Refusal::Handshake))));
    assert_eq!(w.ends(), [(Some(Code::Malformed), "secure mode: an unknown pre-shared key")]);
    let mut none = config();
    none.noise.keys = Default::default();
    none.noise.keys.own = Some(server_key());
    let mut w = World::with(NoiseKeys::Shared(shared_key()), none, |_| {});
    w.run();
    assert_eq!(w.reason(), Some(&Reason::Secure(Fault::Refused(Refusal::Pattern))));
    assert!(w.is_over());
    assert_eq!(w.ends(), [(Some(Code::Malformed), "secure mode: a pattern that is not offered")]);
    for (opening, refusal) in
        [(&[2u8, 1][..], 1), (&[1, 9], 2), (&[1, 0], 2), (&[1, 1, 0, 33], 3), (&[1, 1, 0, 0], 3)]
    {
        let (_, out, events) = World::replay(&[&PREFACE, opening].concat());
        assert_eq!(out, [0, 0, refusal], "{opening:?}");
        assert!(
            matches!(&events[..], [ServerEvent::Closed { code: Some(Code::Malformed), .. }]),
            "{events:?}"
        );
    }
    // Without keys the preface is a wrong one (PRE-3).
    let mut w = World::with(known(None), ServerConfig::default(), |_| {});
    w.run();
    assert_eq!(w.ends().first().and_then(|end| end.0), Some(Code::BadPreface));
    assert!(!w.client.is_connected());
}

/// SEC-16: no downgrade, from either side.
#[test]
fn who_wants_the_secure_mode_is_never_spoken_to_in_clear() {
    // A server that would rather speak in clear: the client reads nothing of it.
    for answer in [&b"\x04\x01\x01"[..], b"\x00\x00\x01", b"\xb0\x57\x4c\x0a", b"HTTP/1.1 200 OK\r\n\r\n"] {
        for keys in each_pattern() {
            let mut w = World::new(keys);
            w.turn();
            let line = w.line.as_mut().unwrap();
            let mut out = SharedSendBuf::new(1 << 16);
            assert_eq!(w.client.poll_transmit(w.now, &mut out), Transport::Open);
            let first = out.len();
            line.at_client.push(answer);
            w.client.recv(w.now, &mut line.at_client);
            assert_eq!(w.client.poll_transmit(w.now, &mut out), Transport::Drop);
            assert_eq!(out.len(), first, "nothing follows the opening");
            w.events.extend(core::iter::from_fn(|| w.client.poll_event()));
            assert!(matches!(w.reason(), Some(Reason::Secure(_))), "{:?}", w.reason());
        }
    }
    // A server that takes nothing else.
    let mut strict = config();
    strict.noise.plain = false;
    let mut w = World::with(known(None), strict.clone(), |config| config.noise = None);
    w.run();
    assert_eq!(
        w.reason(),
        Some(&Reason::Remote {
            code: Code::NotAuthorized,
            text: "only the secure mode is spoken here".into()
        })
    );
    World::with(known(Some(ann_key())), strict, |_| {}).open();
    // In clear as ever, where that is allowed.
    let mut plain = config();
    plain.users = Users::new(Anonymous::Always);
    World::with(known(None), plain, |config| config.noise = None).open();
}

/// SEC-8: what was captured opens nothing, whatever it is and however much.
#[test]
fn a_captured_connection_that_is_replayed_is_nobody() {
    for keys in each_pattern() {
        let mut w = World::new(keys).open();
        w.client.publish(w.now, Publish::new("t", b"once".to_vec())).unwrap();
        w.run();
        let captured = &w.passed[0];
        for n in [6, 50, 110, 150, captured.len()] {
            let (server, _, events) = World::replay(&captured[..n.min(captured.len())]);
            let opened = events.iter().any(|event| matches!(event, ServerEvent::Opened { .. }));
            assert!(!opened, "{n} octets of {} open a session", captured.len());
            assert_eq!(server.hub().counters().messages_in, 0);
        }
        // Of another connection, behind a handshake of this one.
        let other = World::new(first_use(Some(ann_key()))).open();
        let mixed = [&other.passed[0][..], &captured[..]].concat();
        let (_, _, events) = World::replay(&mixed);
        assert!(!events.iter().any(|event| matches!(event, ServerEvent::Opened { .. })));
        // What the server said, said to it.
        let (_, _, events) = World::replay(&[&captured[..6], &w.passed[1][..]].concat());
        assert!(!events.iter().any(|event| matches!(event, ServerEvent::Opened { .. })));
    }
}

/// SEC-4, SEC-6, SEC-10, SEC-13: a change of any octet, of either side, is found, and nothing false is delivered.
#[test]
fn a_change_of_any_octet_ends_the_connection() {
    for keys in each_pattern() {
        let lengths = {
            let w = World::new(keys.clone()).open();
            [w.passed[0].len(), w.passed[1].len()]
        };
        for (way, length) in lengths.into_iter().enumerate() {
            for at in 0..length {
                let mut w = World::with(keys.clone(), config(), |config| config.reconnect = false);
                w.corrupt = Some((way, at, 0x20));
                w.run();
                w.advance(Duration::from_secs(5));
                assert!(!w.events.iter().any(|e| matches!(e, ClientEvent::Connected { .. })), "{way} {at}");
                assert!(w.reason().is_some() || way == 0 && at < 4, "{way} {at}: {:?}", w.events);
            }
        }
    }
}

/// SEC-13: who has keys is told that something was wrong with what came.
#[test]
fn a_record_that_was_changed_is_told_in_records() {
    let mut w = World::new(known(Some(ann_key()))).open();
    w.corrupt = Some((0, w.passed[0].len() + 5, 1));
    w.client.publish(w.now, Publish { reliable: true, ..Publish::new("t", b"x".to_vec()) }).unwrap();
    w.run();
    let text = String::from("secure mode: a record that is not authentic");
    assert_eq!(w.reason(), Some(&Reason::Remote { code: Code::Malformed, text }));
    let mut w = World::new(known(Some(ann_key()))).open();
    w.corrupt = Some((1, w.passed[1].len() + 5, 1));
    echo_fails(&mut w);
    assert!(matches!(w.reason(), Some(Reason::Secure(Fault::Record(_)))), "{:?}", w.reason());
    assert_eq!(
        w.ends().last(),
        Some(&(Some(Code::Malformed), "secure mode: a record that is not authentic"))
    );
    // Records that cannot be: shorter than a tag, or nothing that was sealed.
    for record in [&[0u8, 0][..], &[0, 15], &[0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let mut w = World::new(known(Some(ann_key()))).open();
        w.line.as_mut().unwrap().at_server.push(record);
        w.run();
        assert!(matches!(w.reason(), Some(Reason::Remote { code: Code::Malformed, .. })), "{:?}", w.reason());
    }
}

fn echo_fails(w: &mut World) {
    w.client.subscribe(w.now, "t", SubscribeOptions::default()).unwrap();
    w.run();
}

/// SEC-9: who says the opening slowly has as long as anybody, and says no more than an octet at a time.
#[test]
fn a_slow_handshake_is_ended_at_the_deadline_of_any_other() {
    let captured = World::new(known(Some(ann_key()))).open().passed[0].clone();
    for octets in [3, 4, 6, 40, 100] {
        let mut server = Server::new(config(), Box::new(Seeded::new(6)));
        let begin = Instant::from_millis(1);
        let key = server.accept(begin, Peer::default()).unwrap();
        let (mut received, mut out) = (GrowingRecvBuf::new(1 << 20), SharedSendBuf::new(1 << 20));
        for (i, octet) in captured[..octets].iter().enumerate() {
            received.push(&[*octet]);
            server.recv(begin + Duration::from_millis(i as u64), key, &mut received, &mut out);
        }
        let due = server.poll_timeout(key).unwrap();
        assert_eq!(due.at, begin + Duration::from_secs(5), "{octets}");
        assert!(server.poll_event().is_none());
        server.handle_timeout(due.at, key);
        let event = server.poll_event();
        assert!(
            matches!(&event, Some(ServerEvent::Closed { code: Some(Code::HandshakeTimeout), .. })),
            "{octets}: {event:?}"
        );
        assert_ne!(server.poll_transmit(due.at, key, &mut out), Transport::Open);
    }
    // A server that says nothing is left.
    for keys in each_pattern() {
        let mut client = Client::new(
            Instant::ZERO,
            ClientConfig { noise: Some(Wanted::new(keys)), ..ClientConfig::default() },
            Box::new(Seeded::new(5)),
        );
        client.poll_connect(Instant::ZERO).unwrap();
        client.handle_connected(Instant::ZERO);
        let mut out = SharedSendBuf::new(1 << 16);
        assert_eq!(client.poll_transmit(Instant::ZERO, &mut out), Transport::Open);
        let due = client.poll_timeout().unwrap();
        assert_eq!(due.at, Instant::from_millis(5000));
        client.handle_timeout(due.at);
        assert_eq!(client.poll_transmit(due.at, &mut out), Transport::Drop);
        let told = core::iter::from_fn(|| client.poll_event());
        assert!(
            told.into_iter().any(|e| matches!(
                e,
                ClientEvent::Disconnected { reason: Reason::Secure(Fault::Timeout), .. }
            ))
        );
    }
}

/// SEC-6: keys of low order, from who knows all that can be known.
#[test]
fn keys_of_low_order_are_refused_by_both() {
    let opening = [&PREFACE[..], &[1, 1, 0, 32], &[0; 32]].concat();
    let (_, out, events) = World::replay(&opening);
    assert_eq!(out, [0, 0, 3]);
    assert!(
        matches!(&events[..], [ServerEvent::Closed { reason, .. }] if reason == "secure mode: a key of low order")
    );
    // A client's own keys: the server's public key is of low order.
    let weak =
        NoiseKeys::Static { own: None, server: ServerTrust::Keys(vec![PublicKey::from_octets([0; 32])]) };
    let mut w = World::new(weak);
    w.run();
    assert!(w.is_over(), "{:?}", w.events);
    assert!(w.passed[0].is_empty(), "nothing was sent");
}

/// SEC-14: what is within the records is the protocol from its preface on, and no secure mode within it.
#[test]
fn within_the_records_is_the_whole_protocol() {
    let mut w = World::new(known(Some(ann_key()))).open();
    assert!(w.passed[0].len() > 6 + 98 + 18 + 8);
    w.piece = 1;
    echo(&mut w, 4);
    w.client.close(w.now);
    w.run();
    assert!(matches!(w.reason(), Some(Reason::Requested)), "{:?}", w.reason());
    assert_eq!(w.ends().last().unwrap().0, Some(Code::Normal));
    // Its end without CLOSE is a truncation, as in clear (END-4).
    let mut w = World::new(known(Some(ann_key()))).open();
    w.cut();
    w.run();
    assert_eq!(w.reason(), Some(&Reason::Cut));
}

/// SEC-11: keys change while messages go, in both directions.
#[test]
fn keys_change_under_way() {
    let mut server = config();
    let rekey = Rekey { octets: 500, every: Duration::from_secs(1) };
    server.noise.rekey = rekey;
    let mut w = World::with(known(Some(ann_key())), server, |config| {
        config.noise.as_mut().unwrap().rekey = rekey;
    })
    .open();
    for n in [0, 4, 8] {
        w.events.clear();
        if n > 0 {
            echo(&mut w, n);
        }
        w.advance(Duration::from_secs(2));
    }
    assert!(w.client.is_connected());
}

/// All randomness comes in: the same script gives the same octets.
#[test]
fn the_same_entropy_says_the_same() {
    let passed = || World::new(known(Some(ann_key()))).open().passed;
    assert_eq!(passed(), passed());
    let mut script = Scripted::new(&[], &[7; 32]);
    let mut out = [0; 32];
    script.secret(&mut out);
    assert!(!script.overdrawn());
}

/// What a log could show has no secret in it.
#[test]
fn secrets_are_in_no_debug_output() {
    let w = World::new(NoiseKeys::Shared(shared_key())).open();
    let shown = std::format!("{:?} {:?} {:?} {:?}", w.client, w.server, w.server.config(), w.told);
    let shown = std::format!(
        "{shown} {:?}",
        ClientConfig { noise: Some(Wanted::new(known(Some(ann_key())))), ..ClientConfig::default() }
    );
    for secret in
        ["[1, 1, 1, 1", "[2, 2, 2, 2", "[3, 3, 3, 3", "0303030303", "AwMDAwMD", "AQEBAQEB", "AgICAgIC"]
    {
        assert!(!shown.contains(secret), "{secret}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever the pieces are, and whatever is sent: all arrives.
    #[test]
    fn any_cuts_deliver_exactly_what_was_sent(
        pattern in 0usize..3, piece in 1usize..2000, messages in 1usize..20, octets in 40u64..3000,
    ) {
        let keys = each_pattern()[pattern].clone();
        let mut server = config();
        server.noise.rekey.octets = octets;
        let mut w = World::with(keys, server, |config| {
            config.noise.as_mut().unwrap().rekey.octets = octets * 2;
        });
        w.piece = piece;
        let mut w = w.open();
        echo(&mut w, messages);
    }

    /// Anything at all behind the preface is refused or waited on, and panics nobody.
    #[test]
    fn anything_behind_the_preface_is_survived(octets in prop::collection::vec(any::<u8>(), 0..200), valid in 0usize..4) {
        let opening = match valid {
            0 => vec![],
            n => [&[1, n as u8][..], &if n == 3 { shared_key().hint().to_vec() } else { vec![] }].concat(),
        };
        let (_, out, events) = World::replay(&[&PREFACE[..], &opening, &octets].concat());
        let opened = events.iter().any(|event| matches!(event, ServerEvent::Opened { .. }));
        prop_assert!(!opened);
        prop_assert!(out.len() <= 98 + 3);
    }
}
