use core::time::Duration;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::*;
use super::world::{World, config};
use crate::status::Status;

#[derive(Clone, Copy, Debug)]
enum Do {
    Publish(bool),
    Subscribe,
    Unsubscribe(usize),
    Request(u64),
    Cancel(usize),
    /// The server answers the oldest request.
    Answer,
    Cut,
    CutAt(usize, usize),
    /// The server forgets the session.
    Forget,
    Reach(bool),
    Take(bool),
    Wait(u64),
    DrainServer,
}

fn anything() -> impl Strategy<Value = Do> {
    prop_oneof![
        6 => any::<bool>().prop_map(Do::Publish),
        2 => Just(Do::Subscribe),
        1 => (0usize..8).prop_map(Do::Unsubscribe),
        3 => (1u64..5000).prop_map(Do::Request),
        1 => (0usize..8).prop_map(Do::Cancel),
        3 => Just(Do::Answer),
        1 => Just(Do::Cut),
        2 => (0usize..2, 1usize..200).prop_map(|(way, at)| Do::CutAt(way, at)),
        1 => Just(Do::Forget),
        1 => any::<bool>().prop_map(Do::Reach),
        2 => any::<bool>().prop_map(Do::Take),
        4 => (0u64..3000).prop_map(Do::Wait),
        1 => Just(Do::DrainServer),
    ]
}

/// What the application did, to compare with what it was told.
#[derive(Default)]
struct Did {
    published: Vec<PublishId>,
    subscribed: Vec<SubscriptionId>,
    asked: Vec<RequestId>,
    cancelled: Vec<RequestId>,
}

fn act(world: &mut World, did: &mut Did, what: Do) {
    match what {
        Do::Publish(reliable) => {
            let publish = Publish { reliable, ..Publish::new("t", "x") };
            did.published.extend(world.client.publish(world.now, publish).ok());
        }
        Do::Subscribe => {
            let options =
                SubscribeOptions { reliable: true, credit: Some(30), ..SubscribeOptions::default() };
            did.subscribed.extend(world.client.subscribe(world.now, "feed", options).ok());
        }
        Do::Unsubscribe(i) => {
            if let Some(id) = did.subscribed.get(i) {
                let _ = world.client.unsubscribe(world.now, *id);
            }
        }
        Do::Request(millis) => {
            let timeout = Some(Duration::from_millis(millis));
            let request = Request { timeout, ..Request::new("q", "?") };
            did.asked.extend(world.client.request(world.now, request).ok());
        }
        Do::Cancel(i) => {
            if let Some(id) = did.asked.get(i).copied()
                && world.client.cancel(world.now, id)
            {
                did.cancelled.push(id);
            }
        }
        Do::Answer => {
            if !world.server.asked.is_empty() && world.client.is_connected() && world.line.is_some() {
                let (id, ..) = world.server.asked.remove(0);
                let properties = crate::session::Properties::NONE;
                let (status, payload) = (Status::Ok, &b"!"[..]);
                let response = crate::session::Response { id, status, more: false, payload, properties };
                let _ = world.serve(|s, now, out| s.respond(now, out, &response));
            }
        }
        Do::Cut => world.cut_line(),
        Do::CutAt(way, at) => world.cut[way] = Some(at),
        Do::Forget => {
            if world.line.is_none() {
                world.server.kept = None;
            }
        }
        Do::Reach(reachable) => world.reachable = reachable,
        Do::Take(takes) => world.takes = takes,
        Do::Wait(millis) => world.advance(Duration::from_millis(millis)),
        Do::DrainServer => {
            if world.client.is_connected() && world.line.is_some() {
                let (retry_after, endpoint) = (Duration::from_secs(1), "b");
                let drain = crate::session::Drain { deadline: retry_after, retry_after, endpoint };
                let _ = world.serve(|s, now, out| s.drain(now, out, &drain));
            }
        }
    }
}

/// How often each thing was told to have ended.
fn ends(world: &World) -> (BTreeMap<PublishId, usize>, BTreeMap<RequestId, usize>) {
    let (mut publishes, mut requests) = (BTreeMap::new(), BTreeMap::new());
    for event in &world.events {
        match event {
            ClientEvent::Accepted { publish } | ClientEvent::Dropped { publish, .. } => {
                *publishes.entry(*publish).or_default() += 1;
            }
            ClientEvent::Response { request, more: false, .. }
            | ClientEvent::RequestFailed { request, .. } => *requests.entry(*request).or_default() += 1,
            _ => {}
        }
    }
    (publishes, requests)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever happens in whatever order: every publish and every request ends exactly once, the
    /// books balance, and in the end the client is connected.
    #[test]
    fn everything_ends_once(
        what in prop::collection::vec(anything(), 1..80),
        drop_oldest in any::<bool>(),
        keep_unreliable in any::<bool>(),
        piece in 1usize..100,
    ) {
        let mut config = ClientConfig { keep_unreliable, ..config() };
        config.outgoing = QueueLimits { max_messages: 8, max_bytes: 1000 };
        config.incoming = QueueLimits { max_messages: 30, max_bytes: 500 };
        config.when_full = if drop_oldest { WhenFull::DropOldest } else { WhenFull::Refuse };
        config.session.limits.credit = 100;
        let mut world = World::new(config);
        (world.piece, world.server.feed) = (piece, super::world::numbers(10));
        world.server.config.limits.in_flight = 3;
        world.server.config.limits.credit = 60;
        let mut did = Did::default();
        for what in what {
            act(&mut world, &mut did, what);
        }
        (world.reachable, world.takes, world.cut) = (true, true, [None; 2]);
        world.advance(Duration::from_secs(300));
        let (publishes, requests) = ends(&world);
        prop_assert_eq!(publishes, did.published.iter().map(|id| (*id, 1)).collect());
        did.asked.retain(|id| !did.cancelled.contains(id));
        prop_assert_eq!(requests, did.asked.iter().map(|id| (*id, 1)).collect());
        prop_assert_eq!(world.client.outgoing(), Outgoing { messages: 0, bytes: 0 });
        prop_assert!(world.client.is_connected(), "{:?}", world.events.last());
        prop_assert_eq!((world.client.untaken, world.client.requests.len()), (0, 0));
    }
}
