//! A few dozen worlds of every kind, the same world twice, and faults on purpose that must be caught.

use bowline_simulator::{Mutant, Options, Scenario, run};

/// So many seeds at most may pass until a fault on purpose is caught.
const BUDGET: u64 = 40;

fn good(scenario: Scenario) {
    for seed in 1..=6 {
        let outcome = run(seed, &Options { scenario: Some(scenario), messages: 600, ..Options::default() });
        let lines = outcome.lines.join("\n");
        assert_eq!(outcome.wrong, None, "seed {seed} ({}):\n{lines}", scenario.name());
        assert!(outcome.messages >= 600, "seed {seed} did what it was to do");
    }
}

macro_rules! worlds {
    ($($name:ident: $scenario:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                good(Scenario::$scenario);
            }
        )+
    };
}

worlds! {
    calm_worlds: Calm,
    worlds_in_chaos: Chaos,
    worlds_of_slow_readers: Slow,
    worlds_of_requests: Requests,
    worlds_with_hostile_peers: Hostile,
    crowded_worlds: Crowd,
    worlds_of_short_sessions: Expiry,
    worlds_whose_server_restarts: Restart,
    worlds_of_narrow_windows: Narrow,
}

#[test]
fn a_seed_is_one_world() {
    for scenario in Scenario::ALL {
        let options = Options { scenario: Some(scenario), messages: 300, ..Options::default() };
        let (a, b) = (run(99, &options), run(99, &options));
        assert_eq!((a.hash, a.messages, a.virtual_time), (b.hash, b.messages, b.virtual_time));
        assert_ne!(a.hash, run(100, &options).hash, "another seed is another world");
    }
}

#[test]
fn worlds_are_not_idle() {
    let mut connections = [0; 3];
    for seed in 1..=10 {
        let outcome = run(seed, &Options { scenario: Some(Scenario::Expiry), ..Options::default() });
        connections.iter_mut().zip(outcome.connections).for_each(|(sum, n)| *sum += n);
    }
    let [made, resumed, lost] = connections;
    assert!(made > 100 && resumed > 10 && lost > 10, "{connections:?}");
}

/// What is said about a fault has one of these words in it.
fn caught(mutant: Mutant, scenario: Scenario, words: &[&str]) {
    let options =
        Options { scenario: Some(scenario), mutant: Some(mutant), messages: 1000, ..Options::default() };
    for seed in 1..=BUDGET {
        if let Some(wrong) = run(seed, &options).wrong {
            assert!(words.iter().any(|w| wrong.contains(w)), "{mutant:?} was caught as: {wrong}");
            return;
        }
    }
    panic!("{mutant:?} was not caught by {BUDGET} seeds");
}

#[test]
fn a_lost_delivery_is_caught() {
    caught(Mutant::LoseDelivery, Scenario::Calm, &["lost: 1 deliveries"]);
    caught(Mutant::LoseDelivery, Scenario::Chaos, &["lost: 1 deliveries"]);
}

#[test]
fn a_doubled_delivery_is_caught() {
    caught(Mutant::RepeatDelivery, Scenario::Calm, &["order:", "duplicate:"]);
    caught(Mutant::RepeatDelivery, Scenario::Chaos, &["order:", "duplicate:"]);
}

#[test]
fn a_wrong_order_is_caught() {
    caught(Mutant::SwapDeliveries, Scenario::Calm, &["order:"]);
}

#[test]
fn lost_and_doubled_answers_are_caught() {
    caught(Mutant::LoseResponse, Scenario::Requests, &["does not come to rest"]);
    caught(Mutant::RepeatResponse, Scenario::Requests, &["ended twice"]);
    caught(Mutant::ForgetAnswer, Scenario::Requests, &["answered by client"]);
}

#[test]
fn connections_that_are_forgotten_are_caught() {
    caught(Mutant::ForgetWake, Scenario::Calm, &["late:", "lost its connection", "come to rest"]);
    caught(Mutant::ForgetDisconnect, Scenario::Chaos, &["come to rest", "left over"]);
}

#[test]
fn wrong_octets_are_caught() {
    caught(Mutant::FlipBit, Scenario::Calm, &["keeps to the protocol", "lost its connection", "nobody"]);
}

#[test]
fn a_hub_that_forgets_the_time_is_caught() {
    caught(Mutant::ForgetHubTimer, Scenario::Expiry, &["left over", "come to rest"]);
}
