//! What the program does without a server.

mod common;

use std::io::Write;
use std::net::TcpListener;

use common::{run, run_with_input, start_with};

/// A configuration file that is gone after the test.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("there is room");
    file.write_all(text.as_bytes()).expect("there is room");
    file
}

#[test]
fn check_shows_the_example_in_effect() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/bowline.example.toml");
    let shown = run(&["check", "-c", example]).expect(0);
    assert!(shown.out.contains("tcp = \"127.0.0.1:7790\""), "{}", shown.out);
    assert!(shown.out.contains("bowline.example.toml:"), "{}", shown.out);
    assert_eq!(shown.err, "");
}

#[test]
fn check_without_a_file_shows_the_defaults_and_the_environment() {
    let shown = start_with(&["check", "--json"], &[("BOWLINE_LIMITS__FRAME", "2MiB")]).finish().expect(0);
    let report: serde_json::Value = serde_json::from_str(&shown.out).expect("it is JSON");
    assert_eq!(report["settings"]["limits.frame"]["value"], "2MiB");
    assert_eq!(report["settings"]["limits.frame"]["from"]["variable"], "BOWLINE_LIMITS__FRAME");
    assert_eq!(report["settings"]["log.level"]["from"]["kind"], "default");
}

#[test]
fn a_wrong_configuration_is_refused_by_line_and_key() {
    let wrong = file("[limits]\nframe = 1\nconections = 5\n");
    let path = wrong.path().to_str().expect("a plain path");
    for command in ["check", "serve"] {
        let refused = run(&[command, "-c", path]).expect(1);
        assert!(
            refused.err.contains(&format!("{path}:2:1: limits.frame: 1 is not allowed; use 256 to 16MiB"))
        );
        assert!(refused.err.contains(&format!("{path}:3:1: limits.conections: unknown key; did you mean")));
        assert_eq!(refused.out, "");
    }
    let missing = run(&["check", "-c", "/nonexistent/bowline.toml"]).expect(1);
    assert!(
        missing.err.contains("cannot read the configuration /nonexistent/bowline.toml"),
        "{}",
        missing.err
    );
}

#[test]
fn credentials_are_entries_of_a_configuration() {
    let user =
        run_with_input(&["credentials", "alice", "--iterations", "4096"], b"correct horse\n").expect(0);
    let token = run(&["credentials", "--token", "sensors"]).expect(0);
    assert!(!user.out.contains("correct horse"));
    assert!(token.err.contains("shown this once"), "{}", token.err);
    let both = file(&format!("{}{}", user.out, token.out));
    run(&["check", "-c", both.path().to_str().expect("a plain path")]).expect(0);
    run(&["credentials", "alice"]).expect(1);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = other.local_addr().expect("it has one").to_string();
    let refused = run(&["serve", "--listen", &address]).expect(1);
    assert!(refused.err.contains(&format!("cannot listen on {address}: another program")), "{}", refused.err);
    assert!(refused.err.contains("--listen"), "{}", refused.err);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let port = other.local_addr().expect("it has one").port().to_string();
    drop(other);
    for command in
        [&["pub", "a", "b"] as &[&str], &["sub", "a"], &["req", "a"], &["ping"], &["bench", "pairs"]]
    {
        let failed = run(&[command, &["-p", &port]].concat()).expect(1);
        assert!(failed.err.contains(&format!("cannot connect to 127.0.0.1:{port}")), "{}", failed.err);
        assert!(failed.err.contains("bowline serve"), "it says what to do: {}", failed.err);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for line in [
        &["pub"] as &[&str],
        &["pub", "a"],
        &["sub"],
        &["req"],
        &["reply", "a"],
        &["nonsense"],
        &["sub", "a", "-q", "9"],
    ] {
        let refused = run(line).expect(2);
        assert!(refused.err.starts_with("error:"), "{}", refused.err);
        assert_eq!(refused.out, "");
    }
}

#[test]
fn completions_come_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).expect(0).out;
        assert!(script.contains("credentials") && script.contains("bench"), "{shell}");
    }
}

#[test]
fn nothing_is_coloured_without_a_terminal() {
    let help = run(&["--help"]).expect(0).out;
    let failed = run(&["pub"]).expect(2).err;
    assert!(!help.contains('\u{1b}') && !failed.contains('\u{1b}'));
}
