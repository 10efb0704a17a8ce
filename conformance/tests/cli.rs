//! The program: what it prints, and how it exits; and the shim, against our own.

use std::process::{Command, Output};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bowline-conformance");

fn program(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program starts")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn our_own_shim_passes() {
    let shim = format!("'{PROGRAM}' shim");
    let output = program(&["run", "--shim", &shim, "--cuts", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let results: Value = serde_json::from_str(&text(&output)).expect("JSON");
    let results = results["results"].as_array().expect("results");
    let count = |outcome| results.iter().filter(|r| r["outcome"] == outcome).count();
    assert!(count("pass") > 600 && count("pass") == results.len());
}

#[test]
fn a_shim_that_fails_is_told_from_one_that_does_not_support() {
    let answers =
        r#"while read -r line; do echo '{"out": "ff", "events": [], "deadline": null, "fin": "open"}'; done"#;
    let output = program(&["run", "--shim", answers, "--filter", "keepalive/"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("keepalive/ping-is-answered"), "{}", text(&output));

    let declines = r#"while read -r line; do echo '{"unsupported": "everything"}'; done"#;
    let output = program(&["run", "--shim", declines, "--filter", "keepalive/"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).contains("everything"), "{}", text(&output));

    let output = program(&["run", "--shim", "exit 3", "--filter", "keepalive/ping-is-answered"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_table_for_people() {
    let output = program(&["run", "--whitebox", "--filter", "handshake/"]);
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output);
    assert!(text.lines().any(|l| l.starts_with("handshake") && l.ends_with('0')), "{text}");
    assert!(!text.contains('\x1b'), "no colours where nobody sees them");
}

#[test]
fn lists_and_mutation() {
    assert!(text(&program(&["list"])).contains("handshake/shortest"));
    let rules = text(&program(&["list", "--rules"]));
    assert!(rules.lines().any(|l| l.starts_with("AUT-6") && l.contains("no vector")), "{rules}");
    let output = program(&["mutate", "--filter", "types/"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output).ends_with("0 survived\n"));
}

#[test]
fn wrong_usage_exits_with_2() {
    for wrong in [
        &["run"][..],
        &["run", "--whitebox", "--connect", "localhost:1"],
        &["run", "--whitebox", "--filter", "no such vector"],
        &["run", "--whitebox", "--vectors", "/no/such/directory"],
        &["fly"],
    ] {
        assert_eq!(program(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let help = text(&program(&["--help"]));
    assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
}
