//! The vectors themselves: their form, their coverage, and our own implementation's passing them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bowline_conformance::dialect::Dialect;
use bowline_conformance::runner::{Cut, Outcome, run};
use bowline_conformance::service::InProcess;
use bowline_conformance::vector::{self, FILES, Role, Vector, What};
use bowline_conformance::{mutate, pattern};
use serde_json::Value;

/// Seeded cuts for each vector, beside whole and octet by octet.
const CUTS: u64 = 3;

fn vectors() -> Vec<Vector> {
    vector::builtin().expect("the vectors can be read")
}

fn directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn fails(cut: Cut) -> Vec<String> {
    let mut in_process = InProcess::default();
    let mut failed = Vec::new();
    for v in &vectors() {
        match run(v, &mut in_process, cut) {
            Outcome::Pass => {}
            Outcome::Fail { step, what } => failed.push(format!("{}, step {step}: {what}", v.name)),
            Outcome::Explained(why) => failed.push(format!("{}: explained: {why}", v.name)),
            Outcome::Unsupported(why) => failed.push(format!("{}: not supported: {why}", v.name)),
        }
    }
    failed
}

#[test]
fn all_pass_whole() {
    assert_eq!(fails(Cut::Whole), [""; 0]);
}

#[test]
fn all_pass_octet_by_octet() {
    assert_eq!(fails(Cut::Octets), [""; 0]);
}

#[test]
fn all_pass_at_seeded_cuts() {
    for seed in 0..CUTS {
        assert_eq!(fails(Cut::Seeded(seed)), [""; 0], "cut with seed {seed}");
    }
}

/// A sample here; `bowline-conformance mutate` tries all.
#[test]
fn changed_vectors_fail() {
    let report = mutate::check(&vectors(), &mut InProcess::default(), 41);
    assert!(report.tried > 400, "only {} changes were tried", report.tried);
    assert_eq!(report.survivors, []);
    assert_eq!(report.skipped, [""; 0]);
}

#[test]
fn files_satisfy_the_schema() {
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(directory().join(name)).expect(name);
        serde_json::from_str(&text).expect(name)
    };
    let schema = jsonschema::validator_for(&read("schema.json")).expect("the schema is one");
    for (name, _) in FILES {
        let file = read(&format!("{name}.json"));
        let errors: Vec<String> =
            schema.iter_errors(&file).map(|e| format!("{name}{}: {e}", e.instance_path())).collect();
        assert_eq!(errors, [""; 0]);
    }
    for wrong in [r#"{"vectors":[{}]}"#, r#"{"vectors":[],"more":1}"#, r"{}"] {
        assert!(!schema.is_valid(&serde_json::from_str(wrong).expect("JSON")), "{wrong}");
    }
}

#[test]
fn every_file_is_listed_and_holds_its_topic() {
    let listed: BTreeSet<String> = FILES.iter().map(|(name, _)| format!("{name}.json")).collect();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory()).expect("the directory of vectors") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if name != "schema.json" && name != "uncovered.json" {
            found.insert(name);
        }
    }
    assert_eq!(found, listed);
    for (topic, text) in FILES {
        for v in vector::parse(topic, text).expect(topic) {
            assert_eq!(v.name.split('/').next(), Some(*topic), "{}", v.name);
        }
    }
    assert_eq!(vector::from_directory(&directory()).expect("the directory").len(), vectors().len());
}

#[test]
fn names_are_unique_and_calls_are_typed() {
    let mut names = BTreeSet::new();
    for v in vectors() {
        assert!(names.insert(v.name.clone()), "{} comes twice", v.name);
        for (at, step) in v.steps.iter().enumerate() {
            if let What::Call(name, arguments) = &step.what {
                assert_eq!(v.dialect.check_call(name, arguments), Ok(()), "{}, step {at}", v.name);
            }
        }
    }
    assert!(names.len() >= 600);
}

#[test]
fn every_rule_is_covered_or_excused() {
    let of_dialect = Dialect::ALL.map(|d| d.rules().into_iter().collect::<BTreeSet<&str>>());
    // Those of MQTT are in tables of their own: tests/mqtt.rs.
    let own = |d: &Dialect| d.mqtt_version().is_none();
    let rules: Vec<&str> = Dialect::ALL.into_iter().filter(own).flat_map(Dialect::rules).collect();
    let known: BTreeSet<&str> = rules.iter().copied().collect();
    assert_eq!(known.len(), rules.len(), "a rule has its number twice");
    let mut covered: BTreeMap<String, usize> = BTreeMap::new();
    for v in vectors().iter().filter(|v| own(&v.dialect)) {
        for rule in &v.rules {
            let known = &of_dialect[v.dialect as usize];
            assert!(known.contains(rule.as_str()), "{} names {rule}, which is no rule", v.name);
            *covered.entry(rule.clone()).or_default() += 1;
        }
    }
    let excused = vector::uncovered().expect("uncovered.json");
    for (rule, why) in &excused {
        assert!(known.contains(rule.as_str()), "uncovered.json names {rule}, which is no rule");
        assert!(!covered.contains_key(rule), "{rule} is covered: take it from uncovered.json");
        assert!(why.len() > 20, "{rule}: say why");
    }
    let missing: Vec<&str> =
        rules.into_iter().filter(|r| !covered.contains_key(*r) && !excused.contains_key(*r)).collect();
    assert_eq!(missing, [""; 0], "no vector covers these rules");
}

#[test]
fn every_frame_code_and_role_is_seen() {
    let text: String = FILES.iter().map(|(_, text)| *text).collect();
    for code in [
        "BAD_PREFACE",
        "MALFORMED",
        "UNKNOWN_KIND",
        "UNEXPECTED_FRAME",
        "FRAME_TOO_LARGE",
        "RESERVED_BITS",
        "VERSION",
        "UNSUPPORTED",
        "HANDSHAKE_TIMEOUT",
        "HANDSHAKE_TOO_LARGE",
        "AUTH_METHOD",
        "AUTH_FAILED",
        "SESSION_REFUSED",
        "BAD_RESUME",
        "KEEPALIVE_TIMEOUT",
        "CREDIT_EXCEEDED",
        "IN_FLIGHT_EXCEEDED",
        "BAD_ACK",
        "BAD_LIMIT",
        "TAKEN_OVER",
        "INVALID_TOPIC",
    ] {
        assert!(text.contains(&format!("{{CLOSE {code}}}")), "nothing closes with {code}");
    }
    let count = |role| vectors().iter().filter(|v| v.role == role).count();
    assert!(count(Role::Server) > 250 && count(Role::Client) > 150 && count(Role::Service) > 80);
    assert!(vectors().iter().filter(|v| v.socket).count() > 200);
}

#[test]
fn octets_read_as_they_are_written() {
    for v in vectors() {
        for text in [&v.entropy.wire, &v.entropy.secret] {
            assert!(pattern::unhex(text).is_ok(), "{}", v.name);
        }
    }
}
