//! Runs every target over its committed corpus, and over seeded mutations of it.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bowline_core::entropy::{Entropy, Seeded};
use bowline_fuzz::{TARGETS, Target};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a target's corpus, in order.
fn corpus(name: &str) -> Vec<PathBuf> {
    let folder = root().join("corpus").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; every target has a corpus", folder.display()))
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

/// Runs `data`; says what it was if it fails.
fn run(target: Target, data: &[u8], what: &str) {
    if catch_unwind(|| target(data)).is_err() {
        panic!("{what} failed (see above) on these bytes: {data:02x?}");
    }
}

#[test]
fn the_corpora_replay() {
    for &(name, target) in TARGETS {
        for file in corpus(name) {
            run(target, &fs::read(&file).expect("readable"), &file.display().to_string());
        }
    }
}

#[test]
fn mutations_of_the_corpora_run() {
    const ROUNDS: u64 = 20;
    for &(name, target) in TARGETS {
        for (i, file) in corpus(name).iter().enumerate() {
            let original = fs::read(file).expect("readable");
            for round in 0..ROUNDS {
                let mut random = Seeded::new(i as u64 * ROUNDS + round);
                let mut data = original.clone();
                for _ in 0..=random.wire_up_to(3) {
                    if data.is_empty() {
                        break;
                    }
                    let at = random.wire_up_to(data.len() as u64 - 1) as usize;
                    data[at] = random.wire_u64() as u8;
                }
                run(target, &data, &format!("mutation {round} of {}", file.display()));
            }
        }
    }
}

#[test]
fn the_list_of_targets_the_fuzzers_and_the_corpora_agree() {
    let mut named: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    named.sort();
    for folder in ["corpus", "fuzz_targets"] {
        let mut found: Vec<String> = fs::read_dir(root().join(folder))
            .expect("readable")
            .map(|entry| entry.expect("readable").path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, named, "{folder}/");
    }
}
