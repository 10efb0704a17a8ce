use core::time::Duration;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::world::{World, config, numbers};
use crate::session::{Code, Config};

fn with(credentials: Credentials) -> World {
    let mut world = World::new(ClientConfig { credentials, name: "tester".into(), ..config() });
    world.run();
    world
}

#[test]
pub(super) fn each_authentication_connects_or_ends_it() {
    for right in [
        Credentials::None,
        Credentials::password("ann", "pencil"),
        Credentials::token("t0ken"),
        Credentials::scram("ann", "pencil"),
    ] {
        let world = with(right);
        assert!(matches!(world.events[0], ClientEvent::Connecting { attempt: 1, endpoint: 0 }));
        let ClientEvent::Connected { resumed, session, server } = &world.events[1] else {
            panic!("{:?}", world.events)
        };
        assert_eq!((*resumed, session.is_some(), server.as_str()), (false, true, "script"));
    }
    for wrong in [
        Credentials::password("ann", "pen"),
        Credentials::token("token"),
        Credentials::scram("ann", "pen"),
        Credentials::scram("eve", "pencil"),
    ] {
        let mut world = with(wrong);
        assert_eq!(world.closed().and_then(Reason::code), Some(Code::AuthFailed));
        world.advance(Duration::from_secs(3600));
        assert_eq!(world.dials.len(), 1, "nothing gets better by trying again");
        assert!(world.client.is_closed() && world.client.poll_timeout().is_none());
    }
}

#[test]
pub(super) fn a_server_that_does_not_know_the_password_is_left() {
    let mut world = World::new(ClientConfig { credentials: Credentials::scram("ann", "pencil"), ..config() });
    world.server.forge = true;
    world.run();
    assert!(matches!(world.closed(), Some(Reason::Local { code: Code::AuthFailed, .. })));
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Connected { .. })), 0);
    assert!(world.server.log.iter().any(|l| l == "closed Remote Some(AuthFailed)"), "{:?}", world.server.log);
}

#[test]
pub(super) fn octets_may_come_one_by_one() {
    for piece in [1, 2, 3, 5, 1000] {
        let mut world =
            World::new(ClientConfig { credentials: Credentials::scram("ann", "pencil"), ..config() });
        (world.piece, world.server.feed) = (piece, numbers(3));
        world.publish("0");
        world.client.subscribe(world.now, "feed", SubscribeOptions::default()).unwrap();
        world.run();
        assert_eq!((world.server.received.len(), world.messages()), (1, numbers(3)));
    }
}

#[test]
pub(super) fn attempts_back_off_and_go_round_the_endpoints() {
    let mut world = World::new(ClientConfig { endpoints: 3, ..config() });
    world.reachable = false;
    world.advance(Duration::from_secs(60));
    let order: Vec<usize> = world.dials.iter().map(|d| d.endpoint).collect();
    assert_eq!(order[..5], [0, 1, 2, 0, 1]);
    assert!((6..100).contains(&order.len()), "{}", order.len());
    let retries = world.events.iter().filter_map(|e| match e {
        ClientEvent::Disconnected { reason, retry_at } => {
            assert_eq!(*reason, Reason::Unreachable);
            Some(*retry_at)
        }
        _ => None,
    });
    assert!(retries.is_sorted());
    world.reachable = true;
    world.advance(Duration::from_secs(30));
    assert!(world.client.is_connected());
}

#[test]
pub(super) fn a_limit_of_attempts_or_of_patience_ends_it() {
    let mut limited = config();
    limited.backoff.max_attempts = Some(4);
    for (config, dials) in [(limited, 4), (ClientConfig { reconnect: false, ..config() }, 1)] {
        let mut world = World::new(config);
        world.reachable = false;
        world.advance(Duration::from_secs(600));
        assert_eq!((world.dials.len(), world.closed()), (dials, Some(&Reason::Unreachable)));
    }
    let mut world = World::new(ClientConfig { endpoints: 0, ..config() });
    world.run();
    assert_eq!(world.closed(), Some(&Reason::Unreachable));
}

#[test]
pub(super) fn what_cannot_get_better_ends_it_and_the_rest_does_not() {
    for code in [Code::AuthMethod, Code::Version, Code::NotAuthorized, Code::TakenOver] {
        let mut world = World::connected(config());
        world.serve(|s, now, _| s.close(now, code, "so"));
        world.advance(Duration::from_secs(60));
        assert_eq!(world.dials.len(), 1);
        assert_eq!(world.closed().and_then(Reason::code), Some(code));
    }
    for code in [Code::GoingAway, Code::Internal, Code::Quota, Code::Malformed, Code::SlowConsumer] {
        let mut world = World::connected(config());
        world.serve(|s, now, _| s.close(now, code, "so"));
        world.advance(Duration::from_secs(60));
        assert_eq!(world.dials.len(), 2, "{code}");
        assert!(matches!(world.events[0], ClientEvent::Disconnected { .. }));
        assert!(matches!(world.events[2], ClientEvent::Connected { resumed: true, .. }), "{code}");
    }
}

#[test]
pub(super) fn a_session_that_is_refused_is_forgotten_once() {
    let mut world = World::connected(config());
    (world.server.refuse, world.server.resume_only_fresh) = (Some(Code::SessionRefused), true);
    world.publish("0");
    world.cut_line();
    world.advance(Duration::from_secs(10));
    assert_eq!(world.dials.len(), 3);
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Lost)), 1);
    assert_eq!(world.server.received, ["0"]);
    world.server.resume_only_fresh = false;
    world.cut_line();
    world.advance(Duration::from_secs(10));
    assert_eq!(world.dials.len(), 5);
    assert_eq!(world.closed().and_then(Reason::code), Some(Code::SessionRefused));
}

#[test]
pub(super) fn a_session_that_the_server_ended_is_not_resumed() {
    let mut world = World::connected(config());
    world.serve(|s, now, _| s.close(now, Code::Normal, ""));
    world.advance(Duration::from_secs(10));
    assert!(world.client.is_connected());
    assert_eq!(world.count(|e| matches!(e, ClientEvent::Lost)), 1);
}

#[test]
pub(super) fn a_handshake_that_hangs_is_given_up() {
    let mut world = World::new(config());
    let dial = world.client.poll_connect(world.now).unwrap();
    assert_eq!(dial, Dial { endpoint: 0, address: None });
    world.client.handle_connected(world.now);
    let mut out = crate::buf::SharedSendBuf::new(1000);
    let _ = world.client.poll_transmit(world.now, &mut out);
    let due = world.client.poll_timeout().unwrap();
    assert_eq!(due.why, crate::time::Why::Handshake);
    world.client.handle_timeout(due.at);
    world.take_events();
    let ClientEvent::Disconnected { reason, .. } = &world.events[1] else { panic!() };
    assert_eq!(reason.code(), Some(Code::HandshakeTimeout));
}

#[test]
pub(super) fn credentials_that_do_not_fit_end_it() {
    let world = with(Credentials::token(vec![7; 9000]));
    assert_eq!(world.closed(), Some(&Reason::Credentials));
    assert!(world.client.is_closed());
}

#[test]
pub(super) fn time_that_jumps_does_no_harm() {
    let mut world = World::connected(config());
    world.publish("0");
    let back = Instant::from_millis(1);
    world.client.handle_timeout(back);
    world.client.ping(back).unwrap();
    world.run();
    assert_eq!(world.server.received, ["0"]);
    // A year passes in no time: the server seems dead, and is found again.
    world.now = world.now + Duration::from_secs(365 * 86_400);
    world.client.handle_timeout(world.now);
    world.advance(Duration::from_secs(60));
    assert!(world.client.is_connected());
    world.client.handle_timeout(Instant::FAR_FUTURE);
    assert!(!world.client.is_closed());
}

#[test]
pub(super) fn a_silent_server_is_found_out_and_an_idle_one_is_kept() {
    let mut silent = config();
    silent.session.limits.keepalive = Some(Duration::from_secs(10));
    let mut world = World::connected(silent.clone());
    world.server.config = Config::default();
    world.advance(Duration::from_secs(100));
    assert_eq!(world.dials.len(), 1, "the server speaks often enough");
    // The server is gone without a word.
    world.server.session = None;
    let since = world.now;
    let due = world.client.poll_timeout().unwrap();
    assert!(due.at <= since + Duration::from_secs(15), "{due:?} {since:?}");
}
