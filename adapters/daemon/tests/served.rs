//! The tools against a real server, over loopback.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Server, run, run_with_input, start, start_with};

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
fn a_topic_keeps_its_last_value() {
    let server = Server::start();
    for payload in ["open", "shut"] {
        server.run_client(&["pub", "-r", "door", payload]).expect(0);
    }
    let kept = server.run_client(&["sub", "-C", "1", "--json", "door"]).expect(0).out;
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("it is JSON");
    assert_eq!((&kept["payload"], &kept["retain"]), (&"shut".into(), &1.into()));
    let live = subscribed(&server, &["-C", "1", "--json", "--retained", "never", "door"]);
    server.run_client(&["pub", "-r", "-n", "door"]).expect(0);
    let live: serde_json::Value = serde_json::from_str(&live.finish().expect(0).out).expect("it is JSON");
    assert_eq!((&live["payload"], &live["retain"]), (&"".into(), &0.into()));
    server.run_client(&["sub", "-W", "0.2", "door"]).expect(3);
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
fn a_room_is_talked_in() {
    let server = Server::start();
    let ann = server.start_client(&["room", "lobby", "--say-ready", "--listen", "--presence", "-C", "2"]);
    ann.err_line("in the room lobby");
    run_with_input(&server.args(&["room", "lobby", "--data", "bob"]), b"one\ntwo\n").expect(0);
    let heard = ann.finish().expect(0).out;
    let said: Vec<&str> = heard.lines().filter(|line| !line.starts_with('*')).collect();
    assert_eq!(said, ["one", "two"], "{heard}");
    assert!(heard.contains(" is here"), "{heard}");
    let last = server.run_client(&["room", "lobby", "-l", "--json", "--last", "2", "-C", "1"]).expect(0).out;
    let events: Vec<serde_json::Value> =
        last.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert_eq!((&events[0]["event"], &events[0]["recovered"]), (&"joined".into(), &false.into()));
    assert_eq!((&events[1]["event"], &events[1]["payload"]), (&"message".into(), &"one".into()));
    let place = events[1]["place"].as_str().expect("a place");
    let behind = server.run_client(&["room", "lobby", "-l", "--since", place, "-C", "1"]).expect(0);
    assert_eq!(behind.out, "two\n");
    server.run_client(&["room", "lobby", "-l", "-C", "1", "-W", "0.2"]).expect(3);
    let refused = server.run_client(&["room", "a/#"]).expect(1);
    assert!(refused.err.contains("the room a/# is not joined"), "{}", refused.err);
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

#[test]
fn a_second_signal_ends_at_once() {
    let server = Server::start_with(&[("BOWLINE_DRAIN__DEADLINE", "1h")]);
    let stubborn = stubborn_client(&server);
    server.program.signal("INT");
    server.program.err_line("draining");
    server.program.signal("INT");
    let ended = server.program.finish().expect(1);
    assert!(ended.err.contains("ended at once by a second signal"), "{}", ended.err);
    drop(stubborn);
}

/// A session that never ends by itself, whatever the server says.
fn stubborn_client(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{}", server.port)).expect("the server listens");
    // The preface, and HELLO for version 1 without parameters.
    stream.write_all(b"\xB0WL\n\x00\x02\x01\x01").expect("the server reads");
    let mut welcome = [0; 1];
    stream.read_exact(&mut welcome).expect("the server answers");
    assert_eq!(welcome[0] >> 2, 1, "it is WELCOME");
    stream
}

#[test]
fn what_is_published_while_the_server_is_away_is_accepted_later() {
    let first = Server::start();
    let address = format!("127.0.0.1:{}", first.port);
    let mut publisher = first.start_client(&["pub", "demo", "-l"]);
    publisher.write(b"one\n");
    let sub = subscribed(&first, &["-C", "1", "demo"]);
    publisher.write(b"two\n");
    sub.out_line("");
    drop(first);
    publisher.err_line("connection is lost");
    publisher.write(b"three\nfour\n");
    let second = Server::start_at(&address, &[]);
    publisher.err_line("connected again");
    let ended = publisher.finish().expect(0);
    assert!(ended.err.contains("4 accepted"), "{}", ended.err);
    drop(second);
}

#[test]
fn a_list_of_servers_is_tried_in_turn() {
    let server = Server::start();
    let list = format!("127.0.0.1:1,bowline://127.0.0.1:{}", server.port);
    run(&["ping", "-C", "1", "-s", &list]).expect(0);
    start_with(&["ping", "-C", "1"], &[("BOWLINE_SERVER", &list)]).finish().expect(0);
}

#[test]
fn a_drain_leads_clients_to_another_server() {
    let second = Server::start();
    let there = format!("bowline://127.0.0.1:{}", second.port);
    let first =
        Server::start_with(&[("BOWLINE_DRAIN__ENDPOINT", &there), ("BOWLINE_DRAIN__RETRY_AFTER", "0s")]);
    let mut sub = subscribed(&first, &["-C", "1", "demo"]);
    first.program.signal("TERM");
    sub.err_line(&format!("it names {there}"));
    sub.err_line("connected again");
    first.program.finish().expect(0);
    // The subscription is made anew behind the greeting: until then there is nobody to hear.
    let heard = (0..1_000).find(|_| {
        second.run_client(&["pub", "demo", "hi", "--quiet"]).expect(0);
        sub.has_ended()
    });
    assert!(heard.is_some());
    assert_eq!(sub.finish().expect(0).out, "hi\n");
}

#[test]
fn the_log_is_json_when_asked() {
    let server = Server::start_with(&[("BOWLINE_LOG__FORMAT", "json")]);
    server.run_client(&["ping", "-C", "1", "-i", "a \"name\"\n"]).expect(0);
    server.program.signal("TERM");
    let log = server.program.finish().expect(0).err;
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let connected = lines.iter().find(|line| line["message"] == "connected").expect("it is logged");
    assert_eq!(connected["name"], "a \"name\"\n");
    assert!(lines.iter().any(|line| line["message"] == "drained"), "{log}");
}

#[test]
fn a_reader_that_goes_away_ends_a_subscription() {
    let server = Server::start();
    let command =
        format!("'{}' sub --say-ready -p {} demo | head -n 1", env!("CARGO_BIN_EXE_bowline"), server.port);
    let piped = common::shell(&command);
    piped.err_line("subscribed to");
    // The first is taken by `head`; the end of the pipe shows with one of those that follow.
    server.run_client(&["pub", "demo", "hi", "--repeat", "1000", "--repeat-delay", "1ms"]).expect(0);
    assert_eq!(piped.finish().expect(0).out, "hi\n");
}

#[test]
fn an_interrupt_ends_a_publisher_that_waits_for_lines() {
    let server = Server::start();
    let sub = subscribed(&server, &["demo"]);
    let mut publisher = server.start_client(&["pub", "demo", "-l"]);
    publisher.write(b"\xffone\n");
    sub.out_line("one");
    publisher.signal("INT");
    let ended = publisher.ended().expect(1);
    assert!(ended.err.contains("of 1 accepted") && ended.err.contains("interrupted"), "{}", ended.err);
}
