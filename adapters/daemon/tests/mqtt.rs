//! `bowline pub|sub|req --mqtt` against our own server, and with mosquitto's clients and broker where
//! those are installed.

mod common;

use std::process::{Command, Stdio};

use common::{Server, run, run_with_input, start};

/// `command --mqtt -p PORT rest`.
fn args<'a>(server: &'a Server, line: &[&'a str]) -> Vec<&'a str> {
    let (command, rest) = line.split_first().expect("there is a command");
    [&[*command, "--mqtt", "-p", &server.port], rest].concat()
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn messages_go_through_in_both_versions_and_all_qualities() {
    let server = Server::start();
    for version in ["5", "mqttv311"] {
        let sub = start(&args(
            &server,
            &["sub", "-V", version, "-t", "t/#", "-q", "2", "-C", "5", "-d", "-F", "%t %p %q %r"],
        ));
        sub.err_line("subscribed to t/#");
        for qos in ["0", "1", "2"] {
            run(&args(&server, &["pub", "-V", version, "-t", "t/x", "-m", qos, "-q", qos])).expect(0);
        }
        run_with_input(&args(&server, &["pub", "-V", version, "-t", "t/l", "-l", "-q", "1"]), b"a\nb\n")
            .expect(0);
        let heard = sub.ended();
        assert_eq!(heard.out, "t/x 0 0 0\nt/x 1 1 0\nt/x 2 2 0\nt/l a 1 0\nt/l b 1 0\n", "{}", heard.err);
    }
}

#[test]
fn properties_and_formats_are_mosquittos() {
    let server = Server::start();
    let format = "%t %l %x %X %C %P %R %D %E %F %%|\\t";
    let sub = start(&args(&server, &["sub", "-t", "p", "-C", "1", "-d", "-N", "-F", format]));
    sub.err_line("subscribed");
    let mut line = vec!["pub", "-t", "p", "-m", "hi/"];
    for property in [
        "content-type text",
        "user-property a b",
        "user-property c d",
        "response-topic r",
        "correlation-data x",
        "message-expiry-interval 90",
        "payload-format-indicator 1",
    ] {
        line.extend(["-D", "publish"]);
        line.extend(property.split(' '));
    }
    run(&args(&server, &line)).expect(0);
    assert_eq!(sub.ended().out, "p 3 68692f 68692F text a:b c:d r x 90 1 %|\t");
    let refused = run(&args(&server, &["sub", "-t", "p", "-F", "%y"])).expect(2);
    assert!(refused.err.contains("%y is not known"), "{}", refused.err);
    let refused =
        run(&args(&server, &["pub", "-t", "p", "-n", "-V", "311", "-D", "publish", "content-type", "a"]))
            .expect(2);
    assert!(refused.err.contains("has no properties"), "{}", refused.err);
}

#[test]
fn retained_messages_are_left_out_shown_alone_and_cleared() {
    let server = Server::start();
    for topic in ["r/1", "r/2"] {
        run(&args(&server, &["pub", "-t", topic, "-m", topic, "-r", "-q", "1"])).expect(0);
    }
    let all = run(&args(&server, &["sub", "-t", "r/#", "-C", "2", "-W", "20", "--json"])).expect(0);
    assert!(all.out.contains("\"retain\":1") && all.out.contains("\"payload\":\"r/2\""), "{}", all.out);
    let none = run(&args(&server, &["sub", "-t", "r/#", "-R", "-W", "0.5"])).expect(27);
    assert_eq!(none.out, "");
    let one = run(&args(&server, &["sub", "-t", "r/#", "-T", "r/1", "-C", "1", "-W", "20"])).expect(0);
    assert_eq!(one.out, "r/2\n");
    run(&args(&server, &["sub", "-t", "r/#", "--remove-retained", "--retained-only", "-C", "2", "-W", "20"]))
        .expect(0);
    assert_eq!(run(&args(&server, &["sub", "-t", "r/#", "-W", "0.5"])).expect(27).out, "");
}

#[test]
fn a_session_that_was_left_behind_goes_on() {
    let server = Server::start();
    let session = ["-c", "-i", "meter-log", "-q", "1"];
    run(&args(&server, &[&["sub", "-t", "meter/+", "-E"], &session[..]].concat())).expect(0);
    for n in ["1", "2"] {
        run(&args(&server, &["pub", "-t", "meter/a", "-m", n, "-q", "1"])).expect(0);
    }
    let kept =
        run(&args(&server, &[&["sub", "-t", "meter/+", "-C", "2", "-W", "20"], &session[..]].concat()))
            .expect(0);
    assert_eq!(kept.out, "1\n2\n");
    run(&args(&server, &[&["sub", "-U", "meter/+"], &session[..]].concat())).expect(0);
    run(&args(&server, &["pub", "-t", "meter/a", "-m", "3", "-q", "1"])).expect(0);
    let none = run(&args(&server, &[&["sub", "-t", "other", "-W", "0.5"], &session[..]].concat())).expect(27);
    assert_eq!(none.out, "");
}

#[test]
fn the_will_of_a_client_that_is_killed_is_published() {
    let server = Server::start();
    let watcher = start(&args(&server, &["sub", "-t", "gone", "-C", "1", "-d", "-v"]));
    watcher.err_line("subscribed");
    let will = ["--will-topic", "gone", "--will-payload", "it is", "--will-qos", "1"];
    let victim = start(&args(&server, &[&["sub", "-t", "x", "-d"], &will[..]].concat()));
    victim.err_line("subscribed");
    victim.signal("KILL");
    assert_eq!(watcher.ended().out, "gone it is\n");
}

#[test]
fn requests_cross_over_to_our_own_protocol() {
    let server = Server::start();
    let responder = server.start_client(&["reply", "shout", "{{Request}}!", "-C", "2", "--verbose"]);
    let asked = loop {
        let asked = run(&args(&server, &["req", "-t", "shout", "-m", "hello", "-W", "20"]));
        // Until the responder is there.
        if asked.code != Some(4) {
            break asked.expect(0);
        }
    };
    assert_eq!(asked.out, "hello!\n");
    drop(responder);
    let nobody = run(&args(&server, &["req", "-t", "nobody", "-m", "hello"])).expect(4);
    assert!(nobody.err.contains("nobody answers requests on nobody"), "{}", nobody.err);
}

#[test]
fn one_url_says_where_as_whom_and_what() {
    let users = r#"[{name = "ann", plain_password = "p@ss"}]"#;
    let server = Server::start_with(&[("BOWLINE_AUTH__USERS", users)]);
    let url = format!("mqtt://ann:p@ss@localhost:{}/url/a", server.port);
    let sub = start(&["sub", "--mqtt", "-L", &url, "-t", "url/b", "-d", "-C", "2", "-v"]);
    sub.err_line("subscribed to url/b, url/a");
    let anonymous = format!("mqtt://127.0.0.1:{}/url/a", server.port);
    run(&["pub", "--mqtt", "-L", &anonymous, "-m", "1", "-q", "1"]).expect(0);
    run(&args(&server, &["pub", "-t", "url/b", "-m", "2", "-A", "127.0.0.1"])).expect(0);
    assert_eq!(sub.ended().out, "url/a 1\nurl/b 2\n");
    for (line, why) in [
        (&["-L", "http://h/t", "-m", "x"][..], "it must begin with mqtt://"),
        (&["-L", "mqtt://h", "-m", "x"], "the topic is missing"),
        (&["-L", "mqtt:///t", "-m", "x"], "it has no host"),
        (&["-L", "mqtt://h:0/t", "-m", "x"], "the port is not a number"),
        (&["-L", "mqtt://h/t", "-m", "x", "-h", "other"], "cannot be used with"),
        (&["-L", "mqtt://h/t", "-m", "x", "-t", "t"], "cannot be used with"),
        (&["-t", "t", "-m", "x", "-A", "192.0.2.1"], "-A 192.0.2.1: this machine has no such address"),
        (&["-t", "t", "-m", "x", "-A", "here"], "invalid IP address"),
    ] {
        let refused = run(&[&["pub", "--mqtt"], line].concat()).expect(2);
        assert!(refused.err.contains(why), "{line:?}: {}", refused.err);
    }
}

#[test]
fn what_is_wrong_says_what_to_do() {
    let nobody = run(&["pub", "--mqtt", "-p", "1", "-t", "a", "-m", "b"]).expect(1);
    assert!(nobody.err.contains("cannot connect to 127.0.0.1:1: no server listens there"), "{}", nobody.err);
    let secret = ["pub", "--mqtt", "-h", "broker.example", "-u", "ann", "-P", "pencil", "-t", "a", "-n"];
    let refused = run(&secret).expect(2);
    assert!(refused.err.contains("--insecure") && !refused.err.contains("pencil"), "{}", refused.err);
    assert!(run(&["sub", "--mqtt", "-t", "a/#/b"]).expect(2).err.contains("a/#/b"));
    run(&["sub", "--mqtt", "-t", "a", "-c"]).expect(2);
    assert!(run(&["pub", "--mqtt", "-t", "a"]).expect(2).err.contains("say what to publish"));
    assert!(run(&["sub", "--mqtt", "--help"]).expect(0).out.contains("bowline sub --mqtt"));
    // What is payload is no flag of ours.
    let server = Server::start();
    server.run_client(&["pub", "-q", "1", "--", "a", "--mqtt"]).expect(0);
}

#[test]
fn mosquittos_clients_and_ours_hear_each_other() {
    if !is_installed("mosquitto_pub") || !is_installed("mosquitto_sub") {
        return;
    }
    let server = Server::start();
    let sub = start(&args(&server, &["sub", "-t", "m/#", "-q", "2", "-C", "2", "-d", "-v"]));
    sub.err_line("subscribed");
    for qos in ["1", "2"] {
        let line = ["-p", &server.port, "-t", "m/x", "-m", qos, "-q", qos];
        assert!(Command::new("mosquitto_pub").args(line).status().unwrap().success());
    }
    assert_eq!(sub.ended().out, "m/x 1\nm/x 2\n");
    run(&args(&server, &["pub", "-t", "kept", "-m", "by ours", "-r", "-q", "2"])).expect(0);
    let line = ["-p", &server.port, "-t", "kept", "-C", "1", "-W", "20"];
    let theirs = Command::new("mosquitto_sub").args(line).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&theirs.stdout), "by ours\n");
}
