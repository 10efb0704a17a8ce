//! The tools against a real server, over loopback.

mod common;

use common::{Server, run, run_with_input, start};

/// Subscribes, and returns once the server knows.
fn subscribed(server: &Server, line: &[&str]) -> common::Program {
    let program = server.start_client(&[&["sub", "--say-ready"], line].concat());
    program.err_line("subscribed to");
    program
}

#[test]
fn what_is_published_is_printed() {
    let server = Server::start();
    let sub = subscribed(&server, &["-v", "-C", "2", "demo/#"]);
    let said = server.run_client(&["pub", "demo/hello", "hi"]).expect(0);
    assert!(said.err.contains("1 accepted"), "{}", said.err);
    server.run_client(&["pub", "-t", "demo/b", "-m", "there", "-q", "0", "--quiet"]).expect(0);
    let ended = sub.finish().expect(0);
    assert_eq!(ended.out, "demo/hello hi\ndemo/b there\n");
}

#[test]
fn lines_keep_their_order() {
    let server = Server::start();
    let sub = subscribed(&server, &["-C", "2000", "lines"]);
    let input: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    let said = run_with_input(&server.args(&["pub", "lines", "-l"]), input.as_bytes()).expect(0);
    assert!(said.err.contains("2000 accepted"), "{}", said.err);
    assert_eq!(sub.finish().expect(0).out, input);
}

#[test]
fn repeats_and_templates() {
    let server = Server::start();
    let sub = subscribed(&server, &["-C", "3", "tick"]);
    server
        .run_client(&["pub", "tick", "n {{Count}}", "--template", "--repeat", "3", "--repeat-delay", "1ms"])
        .expect(0);
    assert_eq!(sub.finish().expect(0).out, "n 1\nn 2\nn 3\n");
}

#[test]
fn files_and_json() {
    let server = Server::start();
    let sub = subscribed(&server, &["--json", "-C", "1", "file"]);
    run_with_input(&server.args(&["pub", "file", "-f", "-"]), b"\xff\x00").expect(0);
    let object: serde_json::Value = serde_json::from_str(&sub.finish().expect(0).out).expect("it is JSON");
    assert_eq!((&object["topic"], &object["payload_base64"]), (&"file".into(), &"/wA=".into()));
}

#[test]
fn a_group_shares_its_messages() {
    let server = Server::start();
    let members = [(); 2].map(|()| subscribed(&server, &["--queue", "workers", "-C", "5", "jobs"]));
    server.run_client(&["pub", "jobs", "job", "--repeat", "10"]).expect(0);
    let printed: usize =
        members.into_iter().map(|member| member.finish().expect(0).out.lines().count()).sum();
    assert_eq!(printed, 10);
}

#[test]
fn waiting_ends() {
    let server = Server::start();
    let none = server.run_client(&["sub", "-W", "0.2", "nothing"]).expect(3);
    assert!(none.err.contains("no message came within 200ms"), "{}", none.err);
    let nobody = server.run_client(&["req", "nobody"]).expect(4);
    assert!(nobody.err.contains("nobody answers requests on nobody"), "{}", nobody.err);
}

#[test]
fn requests_are_answered() {
    let server = Server::start();
    let echo = server.start_client(&["reply", "echo", "--echo"]);
    let upper = server.start_client(&[
        "reply",
        "upper",
        "--exec",
        "tr a-z A-Z; test \"$BOWLINE_REQUEST_TOPIC\" = upper",
    ]);
    let greet = server.start_client(&["reply", "greet/+", "hello {{Request}} on {{Topic}}"]);
    let broken = server.start_client(&["reply", "broken", "--exec", "echo no disk >&2; exit 1"]);
    for program in [&echo, &upper, &greet, &broken] {
        program.err_line("serving");
    }
    assert_eq!(server.run_client(&["req", "echo", "hi"]).expect(0).out, "hi\n");
    assert_eq!(server.run_client(&["req", "upper", "hi", "-N"]).expect(0).out, "HI");
    assert_eq!(server.run_client(&["req", "greet/me", "Ann"]).expect(0).out, "hello Ann on greet/me\n");
    let failed = server.run_client(&["req", "broken"]).expect(1);
    assert!(failed.err.contains("no disk"), "{}", failed.err);
}

#[test]
fn many_answer() {
    let server = Server::start();
    let responders =
        ["one", "two", "three"].map(|answer| server.start_client(&["reply", "who", answer, "-C", "1"]));
    for program in &responders {
        program.err_line("serving");
    }
    let answers = server.run_client(&["req", "who", "--many"]).expect(0).out;
    let mut answers: Vec<&str> = answers.lines().collect();
    answers.sort_unstable();
    assert_eq!(answers, ["one", "three", "two"]);
    for program in responders {
        program.finish().expect(0);
    }
}

#[test]
fn pings_are_counted() {
    let server = Server::start();
    let pings = server.run_client(&["ping", "-C", "3", "--interval", "1ms"]).expect(0);
    assert!(pings.out.contains("seq=3 time="), "{}", pings.out);
    assert!(pings.out.contains("3 sent, 3 received, 0% lost"), "{}", pings.out);
    assert!(pings.out.contains("rtt min/avg/max/mdev = "), "{}", pings.out);
}

#[test]
fn the_bench_loses_nothing() {
    let server = Server::start();
    for (scenario, sent, received) in [("fan-out", 50, 150), ("pairs", 150, 150), ("requests", 150, 150)] {
        let line = ["bench", scenario, "--clients", "3", "--messages", "50", "--json"];
        let report = server.run_client(&line).expect(0).out;
        let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
        assert_eq!((&report["sent"], &report["received"]), (&sent.into(), &received.into()), "{report}");
        assert_eq!((&report["lost"], &report["failed"]), (&0.into(), &0.into()), "{report}");
        assert!(report["latency_us"]["p99"].as_f64().is_some_and(|p99| p99 > 0.0), "{report}");
    }
}

#[test]
fn only_who_is_known_comes_in() {
    let variables = [
        ("BOWLINE_AUTH__ANONYMOUS", "never"),
        ("BOWLINE_AUTH__USERS", "[{name = \"ann\", plain_password = \"pencil\"}]"),
        ("BOWLINE_AUTH__TOKENS", "[{name = \"bob\", plain_token = \"s3cret-token\"}]"),
    ];
    let server = Server::start_with(&variables);
    let ping = |flags: &[&str]| server.run_client(&[&["ping", "-C", "1"], flags].concat());
    ping(&["-u", "ann", "-P", "pencil"]).expect(0);
    ping(&["-u", "ann", "-P", "pencil", "--scram"]).expect(0);
    ping(&["--token", "s3cret-token"]).expect(0);
    for flags in [
        &[] as &[&str],
        &["-u", "ann", "-P", "wrong"],
        &["--token", "wrong"],
        &["-u", "ann", "-P", "wrong", "--scram"],
    ] {
        let refused = ping(flags).expect(1);
        assert!(refused.err.contains("refused"), "{}", refused.err);
    }
    server.program.signal("TERM");
    let log = server.program.finish().expect(0).err;
    assert!(!log.contains("pencil") && !log.contains("s3cret-token"), "secrets are in no log: {log}");
}

#[test]
fn a_unix_socket_serves_as_well() {
    let directory = tempfile::tempdir().expect("there is room");
    let path = directory.path().join("bowline.sock");
    let path = path.to_str().expect("a plain path");
    let server = start(&["serve", "--listen", &format!("unix:{path}")]);
    server.out_line(&format!("listens on unix:{path}"));
    server.out_line(&format!("bowline pub --unix {path} demo/hello hi"));
    run(&["ping", "-C", "1", "--unix", path]).expect(0);
    run(&["ping", "-C", "1", "-s", &format!("unix:{path}")]).expect(0);
}

#[test]
fn a_signal_drains_and_clients_are_told() {
    let server = Server::start_with(&[("BOWLINE_DRAIN__DEADLINE", "20s")]);
    let sub = subscribed(&server, &["demo/#"]);
    server.program.signal("TERM");
    sub.err_line("the server goes away soon");
    let ended = server.program.finish().expect(0);
    assert!(ended.err.contains("drained"), "{}", ended.err);
}

#[test]
fn a_client_comes_back_to_a_server_that_was_away() {
    let first = Server::start();
    let address = format!("127.0.0.1:{}", first.port);
    let sub = first.start_client(&["sub", "--say-ready", "-C", "1", "demo"]);
    sub.err_line("subscribed to");
    drop(first);
    sub.err_line("connection is lost");
    let second = Server::start_at(&address, &[]);
    sub.err_line("connected again");
    second.run_client(&["pub", "demo", "still here"]).expect(0);
    assert_eq!(sub.finish().expect(0).out, "still here\n");
}
