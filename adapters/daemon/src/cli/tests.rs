//! How the command line is read.

use std::time::Duration;

use bowline_core::compression::Codec;
use bowline_driver::client::{PresenceMode, RetainHandling};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::connect::Environment;
use super::{
    Answer, Cli, Command, ConnectArgs, Content, Endpoint, Format, PubArgs, ReplyArgs, ReqArgs, RoomArgs,
    SubArgs,
};
use crate::failure::Failure;
use crate::net::{Credentials, Target};

fn parse(line: &[&str]) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from([&["bowline"], line].concat()).map_err(|error| error.kind())
}

macro_rules! args {
    ($kind:ident, $line:expr) => {
        match parse($line).unwrap().command {
            Some(Command::$kind(args)) => args,
            other => panic!("{other:?}"),
        }
    };
}

fn publish(line: &[&str]) -> PubArgs {
    args!(Pub, &[&["pub"], line].concat())
}

fn subscribe(line: &[&str]) -> SubArgs {
    args!(Sub, &[&["sub"], line].concat())
}

fn target(line: &[&str], environment: Environment) -> Result<Target, Failure> {
    let args: ConnectArgs = subscribe(&[&["x"], line].concat()).connect;
    args.target_in("sub", environment)
}

fn web(host: &str, port: u16, target: &str) -> Endpoint {
    Endpoint::WebSocket { host: host.to_owned(), port, target: target.to_owned() }
}

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp { host: host.to_owned(), port }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_shows_examples_in_its_help() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Examples:\n  "), "{}", command.get_name());
        assert_eq!(parse(&[command.get_name(), "--help"]).unwrap_err(), ErrorKind::DisplayHelp);
    }
    assert_eq!(parse(&["--help"]).unwrap_err(), ErrorKind::DisplayHelp);
    assert_eq!(parse(&["--version"]).unwrap_err(), ErrorKind::DisplayVersion);
}

#[test]
fn without_a_command_it_serves() {
    let cli = parse(&["-c", "a.toml", "--listen", "[::1]:0"]).unwrap();
    assert!(cli.command.is_none());
    assert_eq!(cli.serve.config.config, Some("a.toml".into()));
    assert_eq!(cli.serve.listen, ["[::1]:0"]);
}

#[test]
fn pub_takes_its_topic_and_payload_both_ways() {
    let text = |text: &str| Ok(("a/b".to_owned(), Content::Text(text.to_owned())));
    assert_eq!(publish(&["a/b", "hi"]).plan(), text("hi"));
    assert_eq!(publish(&["-t", "a/b", "-m", "hi"]).plan(), text("hi"));
    assert_eq!(publish(&["-t", "a/b", "hi"]).plan(), text("hi"));
    assert_eq!(publish(&["a/b", "-m", "-hi"]).plan(), text("-hi"));
    assert_eq!(publish(&["a/b", "-n"]).plan(), text(""));
    assert_eq!(publish(&["a/b", "-l"]).plan(), Ok(("a/b".to_owned(), Content::Lines)));
    assert_eq!(publish(&["a/b", "-f", "-"]).plan(), Ok(("a/b".to_owned(), Content::Stdin)));
    assert_eq!(publish(&["a/b", "-f", "x"]).plan(), Ok(("a/b".to_owned(), Content::File("x".into()))));
}

#[test]
fn pub_says_what_is_missing_or_too_much() {
    for line in [&[] as &[&str], &["a"], &["a", "b", "-n"], &["-t", "a", "b", "c"]] {
        let failure = publish(line).plan().unwrap_err();
        assert_eq!(failure.code(), 2, "{line:?}");
    }
    assert_eq!(parse(&["pub", "a", "-m", "b", "-l"]).unwrap_err(), ErrorKind::ArgumentConflict);
    assert_eq!(parse(&["pub", "a", "b", "-q", "2"]).unwrap_err(), ErrorKind::ValueValidation);
    assert_eq!(parse(&["pub", "a", "b", "--repeat", "0"]).unwrap_err(), ErrorKind::ValueValidation);
}

#[test]
fn pub_repeats_with_a_delay() {
    let args = publish(&["a", "b", "--repeat", "3", "--repeat-delay", "0.5", "-q", "0"]);
    assert_eq!((args.repeat, args.repeat_delay, args.qos), (3, Duration::from_millis(500), 0));
    assert!(publish(&["a", "-n", "-r"]).retain);
    let args = publish(&["a", "b"]);
    assert!(!args.retain);
    assert_eq!((args.repeat, args.repeat_delay, args.qos), (1, Duration::ZERO, 1));
}

#[test]
fn payloads_are_compressed_where_that_is_asked_for() {
    let codecs = |line: &[&str]| {
        let compression = target(line, Environment::default()).unwrap().compression;
        compression.map(|compression| compression.codecs)
    };
    assert_eq!(codecs(&[]), None);
    assert_eq!(codecs(&["--compression", "zstd"]), Some(vec![Codec::Zstd]));
    assert_eq!(codecs(&["--compression", "lz4,zstd"]), Some(vec![Codec::Lz4, Codec::Zstd]));
    let bad = parse(&["sub", "x", "--compression", "gzip"]);
    assert_eq!(bad.unwrap_err(), ErrorKind::InvalidValue);
}

#[test]
fn sub_takes_filters_both_ways_and_groups() {
    assert_eq!(subscribe(&["-t", "a", "-t", "b", "c"]).filters().unwrap(), ["a", "b", "c"]);
    assert_eq!(subscribe(&["--queue", "g", "a/#"]).filters().unwrap(), ["$share/g/a/#"]);
    for line in [&[] as &[&str], &["--queue", "", "a"], &["--queue", "a/b", "a"], &["--queue", "+", "a"]] {
        assert_eq!(subscribe(line).filters().unwrap_err().code(), 2, "{line:?}");
    }
}

#[test]
fn sub_chooses_the_retained_values() {
    let asked = |line: &[&str]| {
        let options = subscribe(&[&["a"], line].concat()).options();
        (options.retained, options.retain_as_published, options.reliable)
    };
    assert_eq!(asked(&[]), (RetainHandling::Send, false, true));
    assert_eq!(asked(&["--retained", "all", "-q", "0"]), (RetainHandling::Send, false, false));
    assert_eq!(asked(&["--retained", "new"]), (RetainHandling::SendIfNew, false, true));
    assert_eq!(asked(&["--retained", "never", "--retain-as-published"]), (RetainHandling::Never, true, true));
    assert_eq!(parse(&["sub", "a", "--retained", "2"]).unwrap_err(), ErrorKind::InvalidValue);
}

#[test]
fn room_takes_a_place_and_says_what_it_wants() {
    let room = |line: &[&str]| -> RoomArgs { args!(Room, &[&["room", "lobby"], line].concat()) };
    let args = room(&["--since", "00000000000000ff:7", "--last", "5", "--presence", "--data", "ann"]);
    let options = args.options();
    assert_eq!(options.since.map(|place| (place.epoch, place.offset)), Some((255, 7)));
    assert_eq!((options.history, options.presence, options.data), (5, PresenceMode::Full, &b"ann"[..]));
    assert_eq!(room(&["--count-members"]).options().presence, PresenceMode::Count);
    assert!(room(&[]).options().echo && !room(&["--no-echo"]).options().echo);
    assert!(!room(&[]).outlasts_input() && room(&["-C", "1"]).outlasts_input());
    for place in ["7", "x:7", "ff:", "ff:-1"] {
        let line = ["room", "lobby", "--since", place];
        assert_eq!(parse(&line).unwrap_err(), ErrorKind::ValueValidation, "{place}");
    }
    assert_eq!(parse(&["room"]).unwrap_err(), ErrorKind::MissingRequiredArgument);
}

#[test]
fn sub_has_one_format() {
    assert_eq!(subscribe(&["a"]).format(), Format::Raw);
    assert_eq!(subscribe(&["a", "-v"]).format(), Format::Text);
    assert_eq!(subscribe(&["a", "--json"]).format(), Format::Json);
    assert_eq!(subscribe(&["a", "--format", "json"]).format(), Format::Json);
    assert_eq!(parse(&["sub", "a", "-v", "--json"]).unwrap_err(), ErrorKind::ArgumentConflict);
    let args = subscribe(&["a", "-C", "5", "-W", "2", "-N"]);
    assert_eq!((args.count, args.timeout, args.no_newline), (Some(5), Some(Duration::from_secs(2)), true));
}

#[test]
fn req_and_reply_take_their_parts() {
    let request: ReqArgs = args!(Req, &["req", "time", "-W", "250ms", "--many"]);
    assert_eq!(request.plan(), Ok(("time".to_owned(), None, String::new())));
    assert_eq!((request.timeout, request.many), (Duration::from_millis(250), true));
    let request: ReqArgs = args!(Req, &["req", "-t", "time", "-f", "x"]);
    assert_eq!(request.plan(), Ok(("time".to_owned(), Some("x".into()), String::new())));
    let twice: ReqArgs = args!(Req, &["req", "time", "a", "-m", "b"]);
    assert_eq!(twice.plan().unwrap_err().code(), 2);

    let answer = |line: &[&str]| -> Result<Answer, Failure> {
        let args: ReplyArgs = args!(Reply, &[&["reply", "time"], line].concat());
        args.answer()
    };
    assert_eq!(answer(&["--echo"]), Ok(Answer::Echo));
    assert_eq!(answer(&["--exec", "date"]), Ok(Answer::Exec("date".into())));
    assert_eq!(answer(&["hi {{Count}}"]), Ok(Answer::Template("hi {{Count}}".into())));
    assert_eq!(answer(&[]).unwrap_err().code(), 2);
    assert_eq!(parse(&["reply", "time", "hi", "--echo"]).unwrap_err(), ErrorKind::ArgumentConflict);
}

#[test]
fn endpoints_are_read_as_they_are_shown() {
    for (text, endpoint) in [
        ("hub", tcp("hub", 7790)),
        ("hub:1", tcp("hub", 1)),
        ("bowline://hub:1/", tcp("hub", 1)),
        ("::1", tcp("::1", 7790)),
        ("[::1]", tcp("::1", 7790)),
        ("bowline://[::1]:5", tcp("::1", 5)),
        ("unix:/run/b.sock", Endpoint::Unix("/run/b.sock".into())),
        ("unix:///run/b.sock", Endpoint::Unix("/run/b.sock".into())),
        ("mqtt://hub", tcp("hub", 1883)),
        ("ws://hub:7790", web("hub", 7790, "/")),
        ("ws://hub/a?b=c", web("hub", 80, "/a?b=c")),
        ("bowline+ws://[::1]:5/x", web("::1", 5, "/x")),
    ] {
        assert_eq!(Endpoint::parse(text), Ok(endpoint.clone()), "{text}");
        assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
    }
    for text in [
        "",
        ":1",
        "hub:",
        "hub:0",
        "hub:70000",
        "[::1",
        "[::1]5",
        "[hub:x]:1",
        "a:b:c",
        "http://hub",
        "unix:",
        "ws://",
        "ws://hub:0/",
        "ws://hub/#",
    ] {
        assert!(Endpoint::parse(text).is_err(), "{text}");
    }
    for (text, is) in [
        ("wss://hub/", "wss://hub:443/"),
        ("mqtts://hub", "bowlines://hub:8883"),
        ("bowlines://[::1]", "bowlines://[::1]:7791"),
        ("mqtt+wss://hub:1/x", "wss://hub:1/x"),
    ] {
        let endpoint = Endpoint::parse(text).unwrap();
        assert_eq!((endpoint.to_string().as_str(), endpoint.is_secured()), (is, true));
    }
}

#[test]
fn a_server_may_stand_first() {
    let read = |line: &str| {
        let given = line.split(' ').map(std::ffi::OsString::from);
        let read = super::arguments(given).into_iter().map(|arg| arg.into_string().unwrap());
        read.collect::<Vec<_>>().join(" ")
    };
    for (line, is) in [
        ("b sub ws://h/ a", "b sub --server ws://h/ a"),
        ("b pub wss://h a b", "b pub --server wss://h a b"),
        ("b ping bowline://h:1", "b ping --server bowline://h:1"),
        ("b ping -C 1 bowlines://h:1", "b ping -C 1 --server bowlines://h:1"),
        ("b ping -s ws://h/ -C 1", "b ping -s ws://h/ -C 1"),
        ("b sub --mqtt ws://h/mqtt -t a", "b mqtt-sub --server ws://h/mqtt -t a"),
        ("b sub ws://h/mqtt --mqtt -t a", "b mqtt-sub --server ws://h/mqtt -t a"),
        ("b pub a ws://h/", "b pub a ws://h/"),
        ("b pub -t ws://h/ -m x", "b pub -t ws://h/ -m x"),
        ("b pub http://h/ x", "b pub http://h/ x"),
        ("b serve ws://h/", "b serve ws://h/"),
        ("b pub --cafile ca.pem bowlines://h a b", "b pub --cafile ca.pem --server bowlines://h a b"),
        ("b pub -rq 1 wss://h a b", "b pub -rq 1 --server wss://h a b"),
        ("b pub -q1 --quiet wss://h a b", "b pub -q1 --quiet --server wss://h a b"),
        ("b pub --qos=1 wss://h a b", "b pub --qos=1 --server wss://h a b"),
        ("b room ws://h/ lobby", "b room --server ws://h/ lobby"),
        ("b sub -- ws://h/", "b sub -- ws://h/"),
        ("b pub -t a -m ws://h/", "b pub -t a -m ws://h/"),
        (
            "b pub --mqtt -D publish user-property ws://h/ v mqtt://h -t a",
            "b mqtt-pub -D publish\u{1f}user-property\u{1f}ws://h/\u{1f}v --server mqtt://h -t a",
        ),
        ("b frobnicate ws://h/", "b frobnicate ws://h/"),
        ("b", "b"),
    ] {
        assert_eq!(read(line), is);
    }
    let endpoints = |line: &[&str]| target(line, Environment::default()).unwrap().endpoints;
    assert_eq!(endpoints(&["-s", "ws://h/,b:2"]), [web("h", 80, "/"), tcp("b", 2)]);
}

#[test]
fn header_fields_are_checked() {
    let of = |line: &[&str]| target(line, Environment::default());
    let fields = of(&["--header", "Origin: http://a", "--header", "X-A:b"]).unwrap().fields;
    assert_eq!(format!("{fields:?}"), r#"["Origin", "X-A"]"#);
    for wrong in
        [&["--header", "Origin"][..], &["--header", "Host: h"], &["-s", "ws://far/", "--header", "Cookie: c"]]
    {
        assert_eq!(of(wrong).unwrap_err().code(), 2, "{wrong:?}");
    }
    assert!(of(&["-s", "ws://far/", "--header", "Cookie: c", "--insecure"]).is_ok());
}

#[test]
fn the_server_comes_from_flags_then_the_environment() {
    let environment = Environment { server: Some("one,two:2".into()), ..Environment::default() };
    let endpoints = |line: &[&str]| target(line, environment.clone()).unwrap().endpoints;
    assert_eq!(endpoints(&[]), [tcp("one", 7790), tcp("two", 2)]);
    assert_eq!(endpoints(&["-h", "hub", "-p", "9"]), [tcp("hub", 9)]);
    assert_eq!(endpoints(&["-p", "9"]), [tcp("127.0.0.1", 9)]);
    assert_eq!(endpoints(&["--unix", "/b"]), [Endpoint::Unix("/b".into())]);
    assert_eq!(endpoints(&["-s", "three"]), [tcp("three", 7790)]);
    assert_eq!(target(&[], Environment::default()).unwrap().endpoints, [tcp("127.0.0.1", 7790)]);
    assert_eq!(parse(&["sub", "a", "-s", "x", "-h", "y"]).unwrap_err(), ErrorKind::ArgumentConflict);
}

#[test]
fn credentials_come_from_flags_then_the_environment() {
    let environment = Environment {
        user: Some("eve".into()),
        password: Some("pw".into()),
        token: Some("tk".into()),
        ..Environment::default()
    };
    let user = |line: &[&str], environment: &Environment| match target(line, environment.clone())
        .unwrap()
        .credentials
    {
        Credentials::Password { user, password } => format!("{user}:{}", password.reveal()),
        Credentials::Scram { user, password } => format!("scram {user}:{}", password.reveal()),
        Credentials::Token(token) => format!("token {}", token.reveal()),
        Credentials::None => "nobody".to_owned(),
    };
    assert_eq!(user(&[], &Environment::default()), "nobody");
    assert_eq!(user(&["-u", "bob", "-P", "x"], &environment), "bob:x");
    assert_eq!(user(&["-u", "bob", "--scram"], &environment), "scram bob:pw");
    assert_eq!(user(&["--token", "t"], &environment), "token t");
    assert_eq!(user(&[], &environment), "eve:pw");
    assert_eq!(user(&[], &Environment { user: None, ..environment.clone() }), "token tk");
    assert_eq!(target(&["-u", "bob"], Environment::default()).unwrap_err().code(), 2);
    assert_eq!(target(&["--scram"], Environment::default()).unwrap_err().code(), 2);
}

#[test]
fn secrets_go_readable_over_a_network_only_when_asked() {
    let far = ["-h", "hub.example", "-u", "bob", "-P", "x"];
    let refused = target(&far, Environment::default()).unwrap_err();
    assert_eq!(refused.code(), 2);
    assert!(refused.message().unwrap().contains("hub.example:7790 is not encrypted"));
    assert!(target(&[&far[..], &["--insecure"]].concat(), Environment::default()).is_ok());
    assert!(target(&[&far[..], &["--scram"]].concat(), Environment::default()).is_ok());
    assert!(target(&["-h", "127.0.0.5", "--token", "x"], Environment::default()).is_ok());
    assert!(target(&["-s", "localhost,hub.example", "--token", "x"], Environment::default()).is_err());
}

#[test]
fn a_keepalive_of_nothing_is_none() {
    let keepalive = |line: &[&str]| target(line, Environment::default()).unwrap().keepalive;
    assert_eq!(keepalive(&[]), Some(Duration::from_secs(30)));
    assert_eq!(keepalive(&["-k", "60"]), Some(Duration::from_secs(60)));
    assert_eq!(keepalive(&["-k", "0"]), None);
}
