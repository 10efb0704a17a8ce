//! A few worlds with a room, the same world twice, and faults on purpose that must be caught.

mod common;

use bowline_simulator::{Kind, Mutant, Options, run};

/// So many seeds at most may pass until a fault on purpose is caught.
const BUDGET: u64 = 60;

fn options() -> Options {
    Options { kind: Kind::Rooms, messages: 200, ..Options::default() }
}

#[test]
fn members_miss_nothing_that_they_are_not_told_of() {
    let (mut messages, mut deaths, mut connections) = (0, 0, [0; 3]);
    for seed in 1..=12 {
        let outcome = run(seed, &options());
        let lines = outcome.lines.join("\n");
        assert_eq!(outcome.wrong, None, "seed {seed}:\n{lines}");
        messages += outcome.messages;
        deaths += outcome.deaths;
        connections.iter_mut().zip(outcome.connections).for_each(|(sum, n)| *sum += n);
    }
    let [made, recovered, not] = connections;
    assert!(messages > 12 * 200, "they did what they were to do: {messages}");
    assert!(deaths > 3 && made > 50 && recovered > 10 && not > 20, "{deaths} {connections:?}");
}

#[test]
fn a_seed_is_one_world() {
    common::same_again(&options());
}

/// What is said about a fault has one of these words in it.
fn caught(mutant: Mutant, words: &[&str]) {
    common::caught(&Options { mutant: Some(mutant), messages: 600, ..options() }, BUDGET, words);
}

#[test]
fn numbers_that_are_given_again_in_the_same_epoch_are_caught() {
    caught(Mutant::ForgetEpoch, &["two messages at one place", "gap:", "duplicate:", "has another"]);
}

#[test]
fn a_key_that_is_not_kept_is_caught() {
    caught(Mutant::ForgetKey, &["duplicate:"]);
}

#[test]
fn a_message_that_is_not_read_back_is_caught() {
    caught(Mutant::LoseHistory, &["gap:", "lost:"]);
}

#[test]
fn an_acknowledgement_before_its_commit_is_caught() {
    caught(Mutant::CommitEarly, &["lost:", "two messages at one place"]);
}
