//! A few dozen worlds of every kind, the same world twice, and faults on purpose that must be caught.

mod common;

use bowline_simulator::{Mutant, Options, Over, Scenario, run};

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
        common::same_again(&Options { scenario: Some(scenario), messages: 300, ..Options::default() });
    }
}

/// Of TLS too: its octets are others each time, but not how many there are.
#[test]
fn a_seed_is_one_world_over_everything() {
    for over in Over::ALL {
        let scenario = Some(Scenario::Expiry);
        common::same_again(&Options { scenario, over, messages: 200, ..Options::default() });
    }
}

/// A layer below, or datagrams that are lost: nothing of what must be true changes.
fn good_over(over: Over) {
    let mut connections = [0; 3];
    for seed in 1..=6 {
        let outcome = run(seed, &Options { over, messages: 300, ..Options::default() });
        let lines = outcome.lines.join("\n");
        assert_eq!(outcome.wrong, None, "seed {seed} over {}:\n{lines}", over.name());
        connections.iter_mut().zip(outcome.connections).for_each(|(sum, n)| *sum += n);
    }
    assert!(connections[0] > 100 && connections[1] > 0, "over {}: {connections:?}", over.name());
}

#[test]
fn worlds_over_websockets() {
    good_over(Over::WebSocket);
}

#[test]
fn worlds_over_noise() {
    good_over(Over::Noise);
}

#[test]
fn worlds_over_tls() {
    good_over(Over::Tls);
}

#[test]
fn worlds_over_datagrams() {
    good_over(Over::Udp);
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
    let options = Options { scenario: Some(scenario), messages: 1000, ..Options::default() };
    common::caught(&Options { mutant: Some(mutant), ..options }, BUDGET, words);
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

/// A layer that is secured tells a wrong bit from a right one, and ends.
#[test]
fn wrong_octets_in_a_secured_layer_are_caught() {
    for over in [Over::Noise, Over::Tls] {
        let options = Options { scenario: Some(Scenario::Calm), over, messages: 1000, ..Options::default() };
        let options = Options { mutant: Some(Mutant::FlipBit), ..options };
        common::caught(&options, BUDGET, &["keeps to the protocol", "lost its connection"]);
    }
}

#[test]
fn a_hub_that_forgets_the_time_is_caught() {
    caught(Mutant::ForgetHubTimer, Scenario::Expiry, &["left over", "come to rest"]);
}
