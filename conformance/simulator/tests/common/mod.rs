//! What the tests of all worlds have in common.

use bowline_simulator::{Options, run};

/// A fault on purpose is found within so many seeds, and what is said of it has one of these words in it.
pub fn caught(options: &Options, budget: u64, words: &[&str]) {
    let fault = options.mutant.expect("a fault");
    for seed in 1..=budget {
        if let Some(wrong) = run(seed, options).wrong {
            println!("{fault:?}: seed {seed}: {wrong}");
            assert!(words.iter().any(|w| wrong.contains(w)), "{fault:?} was caught as: {wrong}");
            return;
        }
    }
    panic!("{fault:?} was not caught by {budget} seeds");
}

/// A seed is one world, and another seed another.
pub fn same_again(options: &Options) {
    let (a, b) = (run(99, options), run(99, options));
    assert_eq!((a.hash, a.messages, a.virtual_time), (b.hash, b.messages, b.virtual_time));
    assert_ne!(a.hash, run(100, options).hash, "another seed is another world");
}
