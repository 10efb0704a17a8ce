//! A few dozen worlds whose server dies again and again, the same world twice, and faults on purpose
//! that must be caught.

mod common;

use bowline_simulator::{Kind, Mutant, Options, run};

/// So many seeds at most may pass until a fault on purpose is caught.
const BUDGET: u64 = 200;

fn options() -> Options {
    Options { kind: Kind::Broker, messages: 400, ..Options::default() }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let (mut messages, mut deaths, mut connections) = (0, 0, [0; 3]);
    for seed in 1..=20 {
        let outcome = run(seed, &options());
        let lines = outcome.lines.join("\n");
        assert_eq!(outcome.wrong, None, "seed {seed}:\n{lines}");
        messages += outcome.messages;
        deaths += outcome.deaths;
        connections.iter_mut().zip(outcome.connections).for_each(|(sum, n)| *sum += n);
    }
    let [made, resumed, new] = connections;
    assert!(messages > 20 * 300, "they did what they were to do: {messages}");
    assert!(deaths > 20 && made > 200 && resumed > 100 && new > 20, "{deaths} {connections:?}");
}

#[test]
fn a_seed_is_one_world() {
    common::same_again(&options());
}

/// What is said about a fault has one of these words in it.
fn caught(mutant: Mutant, words: &[&str]) {
    common::caught(&Options { mutant: Some(mutant), ..options() }, BUDGET, words);
}

#[test]
fn an_acknowledgement_before_its_commit_is_caught() {
    caught(Mutant::CommitEarly, &["lost:", "duplicate:", "retained:", "history:"]);
}

#[test]
fn a_torn_transaction_is_caught() {
    caught(Mutant::TearTransaction, &["lost:", "duplicate:", "store:", "restore:", "retained:", "nobody"]);
}

#[test]
fn a_dropped_check_for_what_comes_again_is_caught() {
    caught(Mutant::ForgetReceived, &["duplicate:", "times"]);
    caught(Mutant::ForgetAsClient, &["duplicate:"]);
}

#[test]
fn identifiers_in_flight_that_are_forgotten_are_caught() {
    caught(Mutant::ForgetReleased, &["duplicate:", "store:", "restore:", "nobody published"]);
    caught(Mutant::ForgetForgotten, &["lost:", "store: left over", "history:", "retained:"]);
    caught(
        Mutant::ForgetSent,
        &["duplicate:", "lost:", "nobody published", "empty message", "as one of", "neither a topic"],
    );
}

#[test]
fn what_is_not_stored_is_missed() {
    caught(Mutant::ForgetTask, &["lost: task"]);
    caught(Mutant::ForgetRetained, &["retained:"]);
    caught(Mutant::ForgetSubscription, &["lost:", "come to rest"]);
}

#[test]
fn a_queue_restored_backwards_is_caught() {
    caught(Mutant::ReverseQueue, &["order:"]);
}
