//! A few worlds with a room, the same world twice, and faults on purpose that must be caught.

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
    let (a, b) = (run(99, &options()), run(99, &options()));
    assert_eq!((a.hash, a.messages, a.virtual_time), (b.hash, b.messages, b.virtual_time));
    assert_ne!(a.hash, run(100, &options()).hash, "another seed is another world");
}

/// What is said about a fault has one of these words in it.
fn caught(mutant: Mutant, words: &[&str]) {
    let options = Options { mutant: Some(mutant), messages: 600, ..options() };
    for seed in 1..=BUDGET {
        if let Some(wrong) = run(seed, &options).wrong {
            println!("{mutant:?}: seed {seed}: {wrong}");
            assert!(words.iter().any(|w| wrong.contains(w)), "{mutant:?} was caught as: {wrong}");
            return;
        }
    }
    panic!("{mutant:?} was not caught by {BUDGET} seeds");
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
