//! Tunnels: a client's machine, the server, and targets that this test plays.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::access::{Access, Action, Decision, Who};
use crate::buf::{GrowingRecvBuf, SharedSendBuf};
use crate::endpoint::client::{Client, ClientConfig, ClientError, Credentials, TunnelId};
use crate::endpoint::server::{
    Anonymous, ConnectionKey, Peer, RelayConfig, Server, ServerConfig, ServerEvent, TunnelFailure, TunnelKey,
    TunnelRefusal, TunnelWork, Users,
};
use crate::entropy::Seeded;
use crate::relay::Allowed;
use crate::session::{Piece, ResetCode, TunnelState, TunnelsConfig};
use crate::status::Status;
use crate::time::Instant;

struct World {
    now: Instant,
    server: Server,
    client: Client,
    connection: Option<ConnectionKey>,
    /// What each side was sent, and has not read.
    to_server: GrowingRecvBuf,
    to_client: GrowingRecvBuf,
    work: Vec<TunnelWork>,
    events: Vec<ServerEvent>,
}

fn allowing(targets: &[&str]) -> ServerConfig {
    let allowed = Allowed::new(targets.iter().map(|t| t.parse().unwrap()));
    let session = TunnelsConfig { window: 1000, max: 3, ..TunnelsConfig::default() };
    let relay = RelayConfig { allowed, max_tunnels: 4, session, ..RelayConfig::default() };
    ServerConfig { relay, ..ServerConfig::default() }
}

impl World {
    fn new(config: ServerConfig) -> Self {
        Self::with(config, ClientConfig::default())
    }

    fn with(config: ServerConfig, mut client: ClientConfig) -> Self {
        let now = Instant::from_millis(1);
        client.tunnels.window = 1000;
        let mut world = Self {
            now,
            server: Server::new(config, Box::new(Seeded::new(1))),
            client: Client::new(now, client, Box::new(Seeded::new(2))),
            connection: None,
            to_server: GrowingRecvBuf::new(1 << 20),
            to_client: GrowingRecvBuf::new(1 << 20),
            work: Vec::new(),
            events: Vec::new(),
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.client.poll_connect(self.now).expect("it wants to connect");
        self.client.handle_connected(self.now);
        self.connection = Some(self.server.accept(self.now, Peer::default()).unwrap());
        self.settle();
    }

    fn collect(&mut self) {
        while let Some(work) = self.server.poll_tunnel() {
            self.work.push(work);
        }
        while let Some(event) = self.server.poll_event() {
            self.events.push(event);
        }
    }

    /// Carries octets until nobody has any more.
    fn settle(&mut self) {
        let Some(connection) = self.connection else { return };
        for _ in 0..1000 {
            let mut out = SharedSendBuf::new(1 << 20);
            let _ = self.client.poll_transmit(self.now, &mut out);
            let said: Vec<u8> = out.slices().flatten().copied().collect();
            self.to_server.push(&said);
            let mut out = SharedSendBuf::new(1 << 20);
            self.server.recv(self.now, connection, &mut self.to_server, &mut out);
            while self.server.poll_ready().is_some() {}
            let _ = self.server.poll_transmit(self.now, connection, &mut out);
            let answered: Vec<u8> = out.slices().flatten().copied().collect();
            self.to_client.push(&answered);
            self.client.recv(self.now, &mut self.to_client);
            while self.client.poll_event().is_some() {}
            self.collect();
            if said.is_empty() && answered.is_empty() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.server.handle_hub_timeout(self.now);
        self.collect();
    }

    fn ask(&mut self, target: &str) -> TunnelId {
        let id = self.client.open_tunnel(self.now, target).unwrap();
        self.settle();
        id
    }

    /// The tunnel that the server wants connected.
    fn wanted(&mut self) -> (TunnelKey, String) {
        match self.work.pop() {
            Some(TunnelWork::Connect(key, target)) => (key, target.to_string()),
            other => panic!("{other:?}"),
        }
    }

    /// A tunnel that is open.
    fn open(&mut self, target: &str) -> (TunnelId, TunnelKey) {
        let id = self.ask(target);
        let (key, _) = self.wanted();
        self.server.tunnel_connected(self.now, key);
        self.settle();
        assert_eq!(self.client.tunnel(id), Some(&TunnelState::Open));
        (id, key)
    }

    fn refusal(&mut self, target: &str) -> (Status, String) {
        let id = self.ask(target);
        self.refused(id)
    }

    fn refused(&mut self, id: TunnelId) -> (Status, String) {
        let Some(TunnelState::Refused(status, reason)) = self.client.tunnel(id).cloned() else {
            panic!("{:?}", self.client.tunnel(id));
        };
        self.client.release_tunnel(self.now, id);
        (status, reason)
    }

    /// What the target gets.
    fn take(&mut self, key: TunnelKey) -> Option<String> {
        let taken = self.server.with_tunnel(self.now, key, |tunnel| match tunnel.read() {
            Piece::Octets(octets) => {
                tunnel.consumed(octets.len() as u64);
                String::from_utf8(octets.to_vec()).unwrap()
            }
            Piece::End => "END".into(),
            Piece::Nothing => String::new(),
        });
        self.settle();
        taken
    }

    fn count(&self, why: TunnelRefusal) -> u64 {
        self.server.counters().tunnels.refused.iter().find(|(of, _)| *of == why).unwrap().1
    }
}

#[test]
fn a_server_without_a_list_relays_nothing() {
    let mut world = World::new(ServerConfig::default());
    let (status, _) = world.refusal("localhost:80");
    assert_eq!(status, Status::Unsupported);
    assert!(world.work.is_empty());
}

#[test]
fn octets_go_both_ways_and_ends_are_ends() {
    both_ways(World::new(allowing(&["db:5432"])));
}

/// SEC-14: what the records hold is the whole connection, tunnels and all.
#[cfg(feature = "noise")]
#[test]
fn octets_go_both_ways_in_the_secure_mode() {
    use crate::endpoint::client::{NoiseConfig, NoiseKeys, ServerTrust};
    use crate::secure::SecretKey;
    let (key, mut config) = (SecretKey::from_octets([7; 32]), allowing(&["db:5432"]));
    let server = ServerTrust::Keys(std::vec![key.public()]);
    config.noise.keys.own = Some(key);
    let noise = Some(NoiseConfig::new(NoiseKeys::Static { own: None, server }));
    both_ways(World::with(config, ClientConfig { noise, ..ClientConfig::default() }));
}

fn both_ways(mut world: World) {
    let (id, key) = world.open("DB:5432");
    assert!(world.events.iter().any(|event| matches!(event,
        ServerEvent::TunnelOpened { target, .. } if target == "db:5432")));
    let now = world.now;
    assert_eq!(world.client.write_tunnel(now, id, b"select"), 6);
    world.client.finish_tunnel(now, id);
    world.settle();
    assert!(world.work.contains(&TunnelWork::Look(key)));
    assert_eq!(world.take(key).as_deref(), Some("select"));
    assert_eq!(world.take(key).as_deref(), Some("END"));
    world.server.with_tunnel(now, key, |tunnel| {
        assert_eq!(tunnel.write(b"row"), 3);
        tunnel.finish();
    });
    world.server.close_tunnel(now, key);
    world.settle();
    assert_eq!(world.client.read_tunnel(id), Piece::Octets("row".into()));
    assert_eq!(world.client.read_tunnel(id), Piece::End);
    world.client.release_tunnel(now, id);
    world.collect();
    let counters = world.server.counters().tunnels;
    assert_eq!((counters.open, counters.connected), (0, 1));
    assert_eq!((counters.octets_in, counters.octets_out), (6, 3));
    assert!(
        world.events.iter().any(|event| matches!(event, ServerEvent::TunnelClosed { octets: (6, 3), .. }))
    );
}

#[test]
fn what_is_not_allowed_is_refused_by_name() {
    let mut world = World::new(allowing(&["*.example.org:443", "10.0.0.0/8:5432"]));
    for target in ["example.com:443", "www.example.org:80", "127.0.0.1:443", "[::1]:5432", "unix:/run/x"] {
        let (status, reason) = world.refusal(target);
        assert_eq!(
            (status, &*reason),
            (Status::NotAuthorized, "the relay does not connect there"),
            "{target}"
        );
    }
    for target in ["no port", "a:0", "127.1:80", "unix:../x"] {
        assert_eq!(world.refusal(target).0, Status::Invalid, "{target}");
    }
    assert_eq!((world.count(TunnelRefusal::Forbidden), world.count(TunnelRefusal::Invalid)), (5, 4));
    assert!(world.work.is_empty() && world.server.counters().tunnels.open == 0);
}

struct OnlyAnn;

impl Access for OnlyAnn {
    fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision {
        (action != Action::Relay || (who.user == "ann" && subject == "db:5432")).into()
    }
}

#[test]
fn the_access_rules_are_asked_as_well() {
    for (token, allowed) in [("ann's", true), ("bob's", false)] {
        let mut users = Users::new(Anonymous::Never);
        users.add_token(b"ann's", "ann");
        users.add_token(b"bob's", "bob");
        let client = ClientConfig { credentials: Credentials::token(token), ..ClientConfig::default() };
        let mut world = World::with(ServerConfig { users, ..allowing(&["db:*"]) }, client);
        world.server.set_access(Box::new(OnlyAnn));
        assert_eq!(world.refusal("db:5433").0, Status::NotAuthorized);
        let id = world.ask("db:5432");
        if allowed {
            assert_eq!(world.wanted().1, "db:5432");
        } else {
            assert_eq!(
                world.refused(id),
                (Status::NotAuthorized, "the access rules do not let you go there".into())
            );
            assert!(world.events.iter().any(|event| matches!(event,
                ServerEvent::Denied { action: Action::Relay, identity, .. } if identity == "bob")));
        }
    }
}

#[test]
fn a_client_that_is_not_let_in_asks_for_nothing() {
    let config = ServerConfig { users: Users::new(Anonymous::Never), ..allowing(&["*:*"]) };
    let mut world = World::new(config);
    assert_eq!(world.client.open_tunnel(world.now, "db:5432"), Err(ClientError::Closed), "it gave up");
    assert!(world.work.is_empty());
}

/// DNS rebinding: what a name leads to is looked at again.
#[test]
fn a_name_that_leads_inside_is_refused() {
    let mut world = World::new(allowing(&["*:80"]));
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let id = world.ask("evil.org:80");
    let (key, _) = world.wanted();
    assert_eq!(world.server.tunnel_resolved(world.now, key, &[address("127.0.0.1"), address("::1")]), None);
    world.settle();
    assert_eq!(world.refused(id).0, Status::NotAuthorized);
    assert_eq!(world.count(TunnelRefusal::Forbidden), 1);
    world.server.close_tunnel(world.now, key);

    let id = world.ask("nowhere.org:80");
    let (key, _) = world.wanted();
    assert_eq!(world.server.tunnel_resolved(world.now, key, &[]), None);
    world.settle();
    assert_eq!(world.refused(id).0, Status::NotFound);
    world.server.close_tunnel(world.now, key);

    world.ask("half.org:80");
    let (key, _) = world.wanted();
    let both = [address("169.254.169.254"), address("93.184.216.34")];
    let chosen = world.server.tunnel_resolved(world.now, key, &both);
    assert_eq!(chosen, Some(["93.184.216.34:80".parse::<SocketAddr>().unwrap()].into()));
}

#[test]
fn what_is_not_reached_says_why() {
    for (failure, status) in [
        (TunnelFailure::NotFound, Status::NotFound),
        (TunnelFailure::Refused, Status::NoResponder),
        (TunnelFailure::Unreachable, Status::Unreachable),
    ] {
        let mut world = World::new(allowing(&["db:5432"]));
        let id = world.ask("db:5432");
        let (key, _) = world.wanted();
        world.server.tunnel_failed(world.now, key, failure, "");
        world.server.close_tunnel(world.now, key);
        world.settle();
        assert_eq!(world.refused(id).0, status);
        assert_eq!(world.server.counters().tunnels.open, 0);
    }
}

#[test]
fn connecting_takes_no_longer_than_allowed() {
    let mut world = World::new(allowing(&["db:5432"]));
    let id = world.ask("db:5432");
    let (key, _) = world.wanted();
    world.pass(Duration::from_secs(10));
    world.settle();
    assert_eq!(world.refused(id).0, Status::Timeout);
    assert!(world.work.contains(&TunnelWork::Look(key)), "its task is to see that it is over");
    assert!(!world.server.is_tunnel_wanted(key));
    world.server.tunnel_connected(world.now, key);
    assert_eq!(world.server.with_tunnel(world.now, key, |_| ()), None, "too late");
}

#[test]
fn tunnels_are_counted_by_session_and_in_all() {
    let mut world = World::new(allowing(&["db:*"]));
    let first = world.open("db:1");
    for port in 2..=3 {
        world.open(&format!("db:{port}"));
    }
    assert_eq!(world.refusal("db:4").0, Status::Quota);
    // One that is broken off counts until its task has ended: nobody floods the adapter.
    world.client.reset_tunnel(world.now, first.0, ResetCode::Cancelled);
    world.settle();
    assert_eq!(world.refusal("db:4").0, Status::Quota);
    world.server.close_tunnel(world.now, first.1);
    world.open("db:4");
    let mut config = world.server.config().relay.clone();
    config.max_tunnels = 3;
    config.session.max = 10;
    world.server.set_relay(config);
    assert_eq!(world.refusal("db:5").0, Status::Quota, "in all");
}

#[test]
fn a_reset_is_told_apart_from_an_end() {
    let mut world = World::new(allowing(&["db:*"]));
    let (id, key) = world.open("db:1");
    world.server.with_tunnel(world.now, key, |tunnel| tunnel.reset(ResetCode::Broken));
    world.settle();
    assert_eq!(world.client.tunnel(id), Some(&TunnelState::Reset(ResetCode::Broken)));
    let (id, key) = world.open("db:1");
    world.work.clear();
    world.client.reset_tunnel(world.now, id, ResetCode::Cancelled);
    world.settle();
    assert_eq!(world.work, [TunnelWork::Look(key)]);
    assert_eq!(world.take(key), None, "its task breaks the target off");
}

#[test]
fn a_slow_target_holds_its_client_and_memory_is_bounded() {
    let mut world = World::new(allowing(&["db:*"]));
    let (id, key) = world.open("db:1");
    let now = world.now;
    let mut written = 0;
    for _ in 0..10 {
        written += world.client.write_tunnel(now, id, &[b'x'; 5000]);
        world.settle();
    }
    assert_eq!(written, 2000, "one window here, and one there");
    assert_eq!(world.client.tunnel_room(id), 0);
    assert_eq!(world.take(key).map(|octets| octets.len()), Some(1000));
    assert_eq!(world.client.tunnel_room(id), 1000, "it goes on");
}

#[test]
fn tunnels_end_with_their_connection() {
    let mut world = World::new(allowing(&["db:*"]));
    let (id, key) = world.open("db:1");
    world.work.clear();
    world.client.handle_transport_gone(world.now);
    world.server.disconnect(world.now, world.connection.unwrap());
    world.collect();
    assert_eq!(world.client.tunnel(id), Some(&TunnelState::Lost));
    assert_eq!(world.work, [TunnelWork::Look(key)]);
    assert_eq!(world.server.with_tunnel(world.now, key, |_| ()), None);
    world.server.close_tunnel(world.now, key);
    assert_eq!(world.server.counters().tunnels.open, 0);
}

#[test]
fn idle_tunnels_are_broken_off_and_busy_ones_are_not() {
    let mut config = allowing(&["db:*"]);
    config.relay.idle_timeout = Duration::from_secs(60);
    let mut world = World::new(config);
    let (idle, key) = world.open("db:1");
    let (busy, _) = world.open("db:2");
    world.pass(Duration::from_secs(59));
    assert_eq!(world.client.write_tunnel(world.now, busy, b"x"), 1);
    world.settle();
    world.work.clear();
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.client.tunnel(idle), Some(&TunnelState::Reset(ResetCode::Idle)));
    assert_eq!(world.client.tunnel(busy), Some(&TunnelState::Open));
    assert_eq!(world.work, [TunnelWork::Look(key)]);
    world.pass(Duration::from_secs(60));
    world.settle();
    assert_eq!(world.client.tunnel(busy), Some(&TunnelState::Reset(ResetCode::Idle)));
}

#[test]
fn a_drain_waits_for_tunnels() {
    let mut world = World::new(allowing(&["db:*"]));
    let (id, key) = world.open("db:1");
    world.server.drain(world.now, Duration::from_secs(60), Duration::ZERO, "");
    world.settle();
    assert!(world.client.is_connected(), "a tunnel is open");
    assert_eq!(world.client.write_tunnel(world.now, id, b"x"), 1);
    world.settle();
    assert_eq!(world.take(key).as_deref(), Some("x"));
    let later = world.ask("db:2");
    assert_eq!(world.client.tunnel(later), Some(&TunnelState::Waiting), "for the next server");
    world.client.finish_tunnel(world.now, id);
    world.server.with_tunnel(world.now, key, |tunnel| {
        tunnel.finish();
    });
    world.server.close_tunnel(world.now, key);
    world.settle();
    world.client.release_tunnel(world.now, id);
    world.settle();
    assert!(!world.client.is_connected(), "it has gone");
}

#[test]
fn what_is_allowed_changes_for_tunnels_to_come() {
    let mut world = World::new(allowing(&["db:1"]));
    let (id, _) = world.open("db:1");
    let mut config = world.server.config().relay.clone();
    config.allowed = Allowed::new(["db:2".parse().unwrap()]);
    world.server.set_relay(config);
    assert_eq!(world.refusal("db:1").0, Status::NotAuthorized);
    world.open("db:2");
    assert_eq!(world.client.tunnel(id), Some(&TunnelState::Open));
}
