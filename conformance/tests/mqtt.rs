//! The tables of MQTT's normative statements: complete, and each shown or excused.

use std::collections::BTreeSet;
use std::path::Path;

use bowline_conformance::dialect::Dialect;
use bowline_conformance::differences::Differences;
use bowline_conformance::mqtt::statements::{self, Level};
use bowline_conformance::vector::{self, Vector};

const VERSIONS: [Dialect; 2] = [Dialect::Mqtt3, Dialect::Mqtt5];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn vectors(dialect: Dialect) -> Vec<Vector> {
    let all = vector::builtin().expect("the vectors can be read");
    all.into_iter().filter(|v| v.dialect == dialect).collect()
}

/// As many as appendix B of each specification lists.
#[test]
fn no_statement_is_forgotten() {
    assert_eq!(VERSIONS.map(|v| statements::of(v).len()), [141, 251]);
    for version in VERSIONS {
        let ids: BTreeSet<&str> = statements::of(version).iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids.len(), statements::of(version).len(), "a statement has its number twice");
    }
}

#[test]
fn each_is_shown_or_excused_and_not_both() {
    for version in VERSIONS {
        let vectors = vectors(version);
        let shown: BTreeSet<&str> = vectors.iter().flat_map(|v| &v.rules).map(String::as_str).collect();
        for s in statements::of(version) {
            let by_vector = shown.contains(s.id.as_str());
            let counts = by_vector || !s.tests.is_empty();
            assert!(counts != s.reason.is_some(), "{}: shown by something, or a reason why not", s.id);
            assert!(s.reason.as_ref().is_none_or(|why| why.len() > 20), "{}: say why", s.id);
            assert!(!s.says.is_empty(), "{}", s.id);
            assert!(s.level == Level::Must || s.does.is_some(), "{}: say what we do", s.id);
        }
        let known: BTreeSet<&str> = statements::of(version).iter().map(|s| s.id.as_str()).collect();
        let unknown: Vec<&&str> = shown.iter().filter(|rule| !known.contains(**rule)).collect();
        assert_eq!(unknown, [&""; 0], "no such statements");
    }
}

#[test]
fn what_is_recommended_is_answered() {
    let names: BTreeSet<String> = VERSIONS.into_iter().flat_map(vectors).map(|v| v.name).collect();
    for r in statements::recommendations() {
        assert!(!r.says.is_empty() && !r.does.is_empty(), "{}", r.section);
        let unknown: Vec<&String> = r.by.iter().filter(|name| !names.contains(*name)).collect();
        assert_eq!(unknown, [&""; 0], "{}: no such vectors", r.section);
    }
}

#[test]
fn tests_that_are_named_exist() {
    for s in VERSIONS.into_iter().flat_map(statements::of) {
        for test in &s.tests {
            let (file, name) = test.split_once("::").expect("path/of/file.rs::name");
            let text = std::fs::read_to_string(root().join("..").join(file)).expect(file);
            assert!(text.contains(&format!("fn {name}(")), "{}: {file} has no {name}", s.id);
        }
    }
}

/// `bowline-conformance statements > conformance/MQTT.md` writes it.
#[test]
fn the_page_is_what_the_tables_say() {
    let page = std::fs::read_to_string(root().join("MQTT.md")).expect("MQTT.md");
    let all = vector::builtin().expect("the vectors can be read");
    assert!(page == statements::page(&all), "write it anew: bowline-conformance statements > MQTT.md");
}

#[test]
fn every_reason_code_of_a_server_is_seen_where_it_is_due() {
    let text = std::fs::read_dir(root().join("vectors")).expect("the vectors");
    let mqtt5 = |path: &Path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("mqtt5-"));
    let files = text.map(|f| f.expect("a file").path()).filter(|path| mqtt5(path));
    let text: String = files.map(|path| std::fs::read_to_string(path).expect("a file")).collect();
    for code in [
        "0x10", "0x11", "0x81", "0x82", "0x8c", "0x8d", "0x8e", "0x8f", "0x90", "0x92", "0x93", "0x94",
        "0x95", "0x97", "0x9b", "0x9a",
    ] {
        assert!(text.contains(code), "nothing is answered by {code}");
    }
    assert!(vectors(Dialect::Mqtt3).len() > 200 && vectors(Dialect::Mqtt5).len() > 400);
}

#[test]
fn differences_name_vectors_that_a_socket_shows() {
    let known = Differences::read(&root().join("mqtt/mosquitto.json")).expect("mosquitto.json");
    let all: Vec<Vector> = VERSIONS.into_iter().flat_map(vectors).filter(|v| v.socket).collect();
    assert_eq!(known.unknown(&all), [""; 0]);
    assert!(known.differences.iter().all(|d| d.why.len() > 40), "say why");
}
