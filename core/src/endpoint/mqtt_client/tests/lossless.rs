//! Whatever the line does, what was published arrives: QoS 1 at least once, QoS 2 once.

use core::time::Duration;
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::super::*;
use super::world::World;
use crate::mqtt::{Qos, Version};

#[derive(Clone, Debug)]
pub(super) enum Op {
    Publish(Qos),
    Carry(usize, usize),
    Cut(usize),
    Pass(u64),
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)].prop_map(Op::Publish),
        6 => (0usize..2, 1usize..60).prop_map(|(who, n)| Op::Carry(who, n)),
        1 => (0usize..2).prop_map(Op::Cut),
        1 => (1u64..400).prop_map(Op::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn nothing_is_lost_and_qos_2_comes_once(
        v5 in any::<bool>(),
        window in 1u16..5,
        ops in prop::collection::vec(op(), 0..120),
    ) {
        lossless(v5, window, ops)?;
    }
}

pub(super) fn lossless(v5: bool, window: u16, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let version = if v5 { Version::V5 } else { Version::V311 };
    let config = |id: &str| ClientConfig {
        version,
        client_id: id.into(),
        receive_maximum: window,
        in_flight: window,
        session_expiry: 1 << 20,
        ..ClientConfig::default()
    };
    let mut world = World::new();
    let (a, b) = (world.join(config("a")), world.join(config("b")));
    world.settle();
    world.subscribe(b, "t/#", Qos::ExactlyOnce);
    world.settle();
    let mut sent: Vec<(PublishId, Qos, String)> = Vec::new();
    for op in ops {
        match op {
            Op::Publish(qos) => {
                let payload = sent.len().to_string();
                let id = world.publish(a, "t/x", &payload, qos);
                sent.push((id, qos, payload));
            }
            Op::Carry(who, n) => {
                world.step(who, n);
            }
            Op::Cut(who) => world.cut(who),
            Op::Pass(millis) => world.pass(Duration::from_millis(millis)),
        }
    }
    world.pass(Duration::from_secs(60));
    prop_assert_eq!(world.people[a].client.outgoing().messages, 0);
    let mut came: BTreeMap<&str, usize> = BTreeMap::new();
    for payload in world.payloads(b) {
        *came.entry(payload).or_default() += 1;
    }
    for (id, qos, payload) in &sent {
        let times = came.get(payload.as_str()).copied().unwrap_or(0);
        prop_assert_eq!(world.people[a].outcome(*id), Some(ReasonCode::Success), "{} is answered", payload);
        match qos {
            Qos::AtMostOnce => prop_assert!(times <= 1),
            Qos::AtLeastOnce => prop_assert!(times >= 1, "{} with QoS 1 is lost", payload),
            Qos::ExactlyOnce => prop_assert_eq!(times, 1, "{} with QoS 2", payload),
        }
    }
    // First arrivals of each QoS come in the order of the calls ([MQTT-4.6.0-5]).
    for of in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut first: Vec<usize> = Vec::new();
        for payload in world.payloads(b) {
            let n: usize = payload.parse().unwrap();
            if sent[n].1 == of && !first.contains(&n) {
                first.push(n);
            }
        }
        prop_assert!(first.is_sorted(), "{:?}: {:?}", of, first);
    }
    // The session is made once, and goes on from then on.
    prop_assert!(world.people[b].connections()[1..].iter().all(|present| *present));
    Ok(())
}
