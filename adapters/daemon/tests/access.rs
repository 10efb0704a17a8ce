//! Users and access rules: the files, the commands for them, and a server that takes changes over.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::{Ended, Server, run, run_with_input};

/// A directory of the test's own, and paths in it as the command line takes them.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("there is room"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().expect("a plain path").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("there is room");
        self.at(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it is there")
    }
}

#[test]
fn passwd_edits_a_users_file() {
    let place = Place::new();
    let file = &place.at("users");
    let refused = run_with_input(&["passwd", file, "ann"], b"pencil\n").expect(1);
    assert!(refused.err.contains("-c makes one"), "{}", refused.err);
    let made = run_with_input(&["passwd", "-c", file, "ann"], b"pencil\n").expect(0);
    assert!(made.err.contains("added ann") && made.out.is_empty(), "{}", made.err);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.read("users").starts_with("ann:$argon2id$v=19$m=19456,t=2,p=1$"));
    run_with_input(&["passwd", "-c", file, "bob"], b"x\n").expect(1);

    run(&["passwd", "-b", "--bcrypt", file, "bob", "crayon"]).expect(0);
    run_with_input(&["passwd", "--scram", file, "eve"], b"chalk\r\n").expect(0);
    let before = place.read("users");
    assert!(run(&["passwd", "-b", file, "bob", "ink"]).expect(0).err.contains("changed bob"));
    let after = place.read("users");
    let other = |text: &str| text.lines().filter(|line| !line.starts_with("bob:")).collect::<String>();
    assert_eq!(other(&before), other(&after), "nobody else is touched");
    assert_ne!(before, after);
    run(&["passwd", "-D", file, "ann"]).expect(0);
    assert!(run(&["passwd", "-D", file, "ann"]).expect(1).err.contains("has no user ann"));
    assert_eq!(place.read("users").lines().count(), 2);
    assert!(!place.path("users.new").exists(), "no edit is left behind");

    for line in [
        &["passwd", file, "ann", "pencil"][..], // a password, and no -b
        &["passwd", "-b", file, "ann"],
        &["passwd", "-D", "-b", file, "bob"],
        &["passwd", file, "a:b"],
        &["passwd", file, ""],
    ] {
        run(line).expect(2);
    }
    assert!(run_with_input(&["passwd", file, "ann"], b"\n").expect(1).err.contains("the password is empty"));
}

#[test]
fn a_users_file_is_checked_line_by_line() {
    let place = Place::new();
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let good = place.write("good", &format!("# ours\nann:{hash}\nbob:{hash}\n"));
    fs::set_permissions(&good, fs::Permissions::from_mode(0o600)).unwrap();
    let shown = run(&["check", "users", &good]).expect(0);
    assert!(shown.out.ends_with("is fine, and has 2 users: 2 by bcrypt\n"), "{}", shown.out);
    assert_eq!(shown.err, "");
    let json: serde_json::Value =
        serde_json::from_str(&run(&["check", "users", &good, "--json"]).expect(0).out).expect("it is JSON");
    assert_eq!((&json["users"][1]["name"], &json["users"][1]["kind"]), (&"bob".into(), &"bcrypt".into()));

    let bad = place.write("bad", &format!("ann:{hash}\nbob:hunter2\nann:{hash}\n"));
    let told = run(&["check", "users", &bad]).expect(1);
    assert!(told.err.contains("bad:2:1: bob: what stands behind the name is no hash"), "{}", told.err);
    assert!(told.err.contains("bad:3:1: ann: the user is listed twice, first in line 1"), "{}", told.err);
    assert!(!told.err.contains("hunter2"));
    // The server refuses it as well.
    let config = place.write("bowline.toml", &format!("[auth]\nusers_file = {bad:?}\n"));
    for command in ["serve", "check"] {
        assert!(run(&[command, "-c", &config]).expect(1).err.contains("bad:2:1: bob"), "{command}");
    }
}

const RULES: &str = r#"
[groups]
staff = ["ann"]

[[rule]]
deny = "publish"
topic = "home/safe/#"

[[rule]]
allow = ["publish", "subscribe"]
group = "staff"
topic = ["home/#", "users/%u/#"]

[[rule]]
allow = "subscribe"
client_id = "phone"
address = "192.0.2.0/24"
topic = "devices/%c/+"
"#;

#[test]
fn a_decision_is_explained() {
    let place = Place::new();
    let file = &place.write("access.toml", RULES);
    let ask = |line: &[&str]| run(&[&["check", "access", "--file", file], line].concat());
    let allowed = ask(&["ann", "publish", "home/door"]).expect(0);
    let lines: Vec<&str> = allowed.out.lines().collect();
    assert_eq!(lines[0], "allowed: ann may publish to home/door");
    assert!(lines[1].contains("access.toml:5 ") && lines[1].ends_with("is about other topics: home/safe/#"));
    assert!(lines[2].contains("access.toml:9 ") && lines[2].ends_with("rule 2  allows it"));
    assert_eq!(lines.len(), 3);

    for (line, want) in [
        (&["ann", "publish", "home/safe/x"][..], "denied: ann may not publish to home/safe/x"),
        (&["ann", "publish", "home/safe/x"], "rule 1  denies it"),
        (&["bob", "publish", "home/x"], "no rule matches, and the default is to deny"),
        (&["bob", "publish", "home/x"], "rule 2  is about members of staff"),
        (&["ann", "subscribe", "+/x"], "does not cover all of the filter: home/#, users/%u/#"),
        (&["x", "subscribe", "devices/phone/+"], "is about the client id phone"),
        (
            &["x", "subscribe", "devices/phone/+", "--client-id", "phone"],
            "is about addresses in 192.0.2.0/24",
        ),
    ] {
        let told = ask(line).expect(1);
        assert!(told.out.contains(want) && told.err.is_empty(), "{line:?}: {told:?}");
    }
    for line in [
        &["ann", "subscribe", "$share/g/users/ann/#"][..],
        &["bob", "publish", "users/bob/x", "--group", "staff"],
        &["", "subscribe", "devices/phone/+", "--client-id", "phone", "--address", "192.0.2.9"],
        &["", "connect"],
    ] {
        ask(line).expect(0);
    }
    let json = ask(&["ann", "publish", "home/safe/x", "--json"]).expect(1).out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((&json["allowed"], &json["rule"], &json["line"]), (&false.into(), &1.into(), &5.into()));
    assert_eq!(json["steps"][0]["decides"], true);

    for line in [
        &["ann", "publish"][..],
        &["ann", "publish", "home/#"],
        &["ann", "subscribe", "a/#/b"],
        &["ann", "connect", "a"],
        &["ann", "read", "a"],
    ] {
        ask(line).expect(2);
    }
    assert!(ask(&["ann", "publish", "a", "--group", "stuff"]).expect(1).err.contains("has no group `stuff`"));
    let nothing = run(&["check", "access", "ann", "publish", "a"]).expect(1);
    assert!(nothing.err.contains("names no access file"), "{}", nothing.err);
    let config = place.write("bowline.toml", &format!("[auth]\naccess_file = {file:?}\n"));
    run(&["check", "-c", &config, "access", "ann", "publish", "home/door"]).expect(0);
}

/// A server with both files, and clients of it.
fn served(place: &Place) -> Server {
    let (users, access) = (place.at("users"), place.at("access.toml"));
    Server::start_with(&[
        ("BOWLINE_AUTH__ANONYMOUS", "never"),
        ("BOWLINE_AUTH__USERS_FILE", &format!("{users:?}")),
        ("BOWLINE_AUTH__ACCESS_FILE", &format!("{access:?}")),
    ])
}

fn publish(server: &Server, user: &str, password: &str, topic: &str) -> Ended {
    server.run_client(&["pub", "-u", user, "-P", password, topic, "hi"])
}

#[test]
fn every_kind_of_password_lets_its_user_in() {
    let place = Place::new();
    let file = &place.at("users");
    run(&["passwd", "-c", "-b", file, "ann", "pencil"]).expect(0);
    run(&["passwd", "-b", "--bcrypt", file, "bob", "crayon"]).expect(0);
    // The same credential as in a configuration; few iterations, for the sake of slow machines.
    let entry = run_with_input(&["credentials", "eve", "--iterations", "4096"], b"chalk\n").expect(0).out;
    let scram = entry.split('"').nth(3).expect("name and credential");
    // What `mosquitto_passwd` wrote of `pencil`.
    let theirs = "zoe:$7$101$n4mTGrY4GQxDsgrF$V+wfoub1o9ogCcBw6YMExUf5P1HI1F/os7aD3xgjMd4dp/SC4ekKvA6mDmf7xgYxpWqWmDTPSMNtYgQW9RYerg==\n";
    place.write("users", &format!("{}eve:{scram}\n{theirs}", place.read("users")));
    place.write(
        "access.toml",
        "default = \"allow\"\n\n[[rule]]\ndeny = \"connect\"\nuser = \"zoe\"\nclient_id = \"bad\"\n",
    );
    let server = served(&place);
    for (user, password) in [("ann", "pencil"), ("bob", "crayon"), ("eve", "chalk"), ("zoe", "pencil")] {
        publish(&server, user, password, "t").expect(0);
        let wrong = publish(&server, user, "wrong", "t").expect(1);
        assert!(wrong.err.contains("authentication failed"), "{}", wrong.err);
    }
    // The hash of a password is not the password.
    let hash = place.read("users").lines().nth(1).unwrap().strip_prefix("bob:").unwrap().to_owned();
    publish(&server, "bob", &hash, "t").expect(1);
    server.run_client(&["ping", "-c", "1", "-u", "eve", "-P", "chalk", "--scram"]).expect(0);
    server.run_client(&["ping", "-c", "1", "-u", "ann", "-P", "pencil", "--scram"]).expect(1);
    assert!(publish(&server, "nobody", "pencil", "t").expect(1).err.contains("authentication failed"));
    server.run_client(&["pub", "t", "hi"]).expect(1);
    let out = server.run_client(&["ping", "-c", "1", "-u", "zoe", "-P", "pencil", "-i", "bad"]).expect(1);
    assert!(out.err.contains("NOT_AUTHORIZED") || out.err.contains("do not let you in"), "{}", out.err);
}

#[test]
fn a_hangup_reloads_users_and_rules_and_drops_nobody() {
    let place = Place::new();
    let file = &place.at("users");
    run(&["passwd", "-c", "-b", file, "ann", "pencil"]).expect(0);
    let rules = |topics: &str| {
        format!(
            "[[rule]]\nallow = \"subscribe\"\nuser = \"ann\"\n\n[[rule]]\nallow = \"publish\"\ntopic = {topics}\n"
        )
    };
    place.write("access.toml", &rules("\"old\""));
    let server = served(&place);
    let sub = server.start_client(&["sub", "--say-ready", "-v", "-C", "4", "-u", "ann", "-P", "pencil", "#"]);
    sub.err_line("subscribed to");
    let may = |user: &str, password: &str, topic: &str| {
        let ended = publish(&server, user, password, topic);
        let is_denied = ended.err.contains("the access rules do not allow it");
        assert!(ended.code == Some(0) || is_denied || ended.err.contains("authentication"), "{ended:?}");
        ended.code == Some(0)
    };
    assert!(may("ann", "pencil", "old") && !may("ann", "pencil", "new"));

    place.write("access.toml", &rules("[\"new\", \"more/%u\"]"));
    run(&["passwd", "-b", file, "bob", "crayon"]).expect(0);
    server.program.signal("HUP");
    let told = server.program.err_line("reloaded");
    assert!(told.contains("1 user added, 2 access rules (were 2)"), "{told}");
    assert!(may("bob", "crayon", "new") && !may("ann", "pencil", "old") && may("ann", "pencil", "more/ann"));

    place.write("access.toml", "[[rule]]\nalow = \"publish\"\n");
    run(&["passwd", "-D", file, "bob"]).expect(0);
    server.program.signal("HUP");
    let told = server.program.err_line("nothing was reloaded");
    assert!(told.contains("access.toml:2:1: rule[0].alow: unknown key; did you mean `allow`?"), "{told}");
    assert!(may("bob", "crayon", "new"), "what counted before still does, of the users too");
    assert!(!may("ann", "pencil", "old"));

    place.write("access.toml", &rules("\"old\""));
    server.program.signal("HUP");
    assert!(server.program.err_line("reloaded").contains("1 user removed"));
    assert!(!may("bob", "crayon", "old"));
    server.program.signal("HUP");
    assert!(server.program.err_line("reloaded").contains("nothing"));
    // One connection saw it all.
    assert_eq!(sub.finish().expect(0).out, "old hi\nnew hi\nmore/ann hi\nnew hi\n");
}
