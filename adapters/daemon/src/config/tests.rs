//! What an operator reads when a configuration is wrong, and what counts when it is right.

use std::iter::empty;

use super::complaint::Complaint;
use super::load::{Loaded, read};
use super::{Anonymous, Config, Listen, Prx1Success, QueuePolicy, Span, report};

const EXAMPLE: &str = include_str!("../../bowline.example.toml");

fn from_text(text: &str) -> Result<Loaded, Vec<Complaint>> {
    read(Some(("bowline.toml", text)), empty())
}

fn from_variables(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<Complaint>> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read(Some(("bowline.toml", text)), variables)
}

fn complaints(result: Result<Loaded, Vec<Complaint>>) -> Vec<String> {
    result.expect_err("the configuration is wrong").iter().map(ToString::to_string).collect()
}

/// The one complaint about a text.
fn complaint(text: &str) -> String {
    let mut complaints = complaints(from_text(text));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.remove(0)
}

#[test]
fn the_example_is_the_defaults() {
    let defaults = format!("{:?}", Config::default());
    assert_eq!(format!("{:?}", from_text(EXAMPLE).unwrap().config), defaults);
    assert_eq!(format!("{:?}", from_text("").unwrap().config), defaults);
}

#[test]
fn the_example_names_every_setting() {
    let all = toml::Table::try_from(Config::default()).unwrap();
    let example: toml::Table = toml::from_str(EXAMPLE).unwrap();
    for (section, settings) in all {
        for key in settings.as_table().into_iter().flat_map(toml::Table::keys) {
            // Lists of users and tokens are empty: they stand there as comments.
            let listed = EXAMPLE.contains(&format!("#[[{section}.{key}]]"));
            assert!(listed || example[&section].get(key).is_some(), "{section}.{key} is missing");
        }
    }
}

#[test]
fn what_the_example_has_in_comments_is_valid_too() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = from_text(&uncommented).unwrap().config;
    assert_eq!((config.listen.len(), config.auth.users.len(), config.auth.tokens.len()), (7, 2, 1));
    assert_eq!(config.auth.users[0].scram.as_ref().unwrap().0.iterations(), 600_000);
}

#[test]
fn what_is_no_toml_names_its_place() {
    assert_eq!(
        complaint("[limits]\nframe = \n"),
        "bowline.toml:2:9: string values must be quoted, expected literal string"
    );
    assert_eq!(complaint("[limits\n"), "bowline.toml:1:8: unclosed table, expected `]`");
    assert_eq!(complaint("[log]\n[log]\n"), "bowline.toml:2:2: duplicate key");
}

#[test]
fn unknown_keys_name_their_place_and_what_is_allowed() {
    assert_eq!(
        complaint("[limits]\n\n  conections = 5\n"),
        "bowline.toml:3:3: limits.conections: unknown key; did you mean `connections`?; allowed here: connections, \
         per_address, connection_rate, connection_burst, strangers, frame, in_flight, credit, queue_messages, queue_bytes, queue_policy, subscriptions and requests"
    );
    assert_eq!(
        complaint("[colour]\n"),
        "bowline.toml:1:2: colour: unknown key; allowed here: listen, udp, limits, session, mqtt, noise, prx1, http, websocket, json, sys, store, history, rooms, relay, auth, tls, drain, log, compression, trace, otlp, plugin and webhook"
    );
    assert_eq!(
        complaint("[[listen]]\nquic = \"[::1]:1\"\n"),
        "bowline.toml:2:1: listen[0].quic: unknown key; allowed here: tcp, udp, unix, tls, systemd, name, speaks, connections, networks, anonymous, proxies, workers, backlog, receive_buffer, send_buffer, tcp_keepalive and mode"
    );
}

#[test]
fn values_of_the_wrong_kind_say_what_is_right() {
    for (text, expected) in [
        ("[limits]\nconnections = \"many\"", "2:1: limits.connections: it must be a whole number, 0 or more"),
        ("[limits]\nconnections = -1", "2:1: limits.connections: it must be a whole number, 0 or more"),
        ("[limits]\nin_flight = 70000", "2:1: limits.in_flight: it must be a whole number from 0 to 65535"),
        (
            "[limits]\nframe = true",
            "2:1: limits.frame: it must be a size, such as 4096, \"64KiB\" or \"1MiB\"",
        ),
        (
            "[limits]\nframe = \"1MB\"",
            "2:1: limits.frame: `1MB` is not a size; write one such as 4096, 64KiB or 1MiB",
        ),
        (
            "[session]\nkeepalive = 30",
            "2:1: session.keepalive: it must be a duration with its unit, such as \"500ms\", \"30s\", \"5m\" or \"1h\"",
        ),
        (
            "[session]\nkeepalive = \"30\"",
            "2:1: session.keepalive: `30` is not a duration; write one such as 500ms, 30s, 5m or 1h",
        ),
        (
            "[limits]\nqueue_policy = \"drop\"",
            "2:1: limits.queue_policy: `drop` is not allowed; use drop-oldest, drop-newest, disconnect or slow-publisher",
        ),
        (
            "[[listen]]\ntcp = \"localhost\"",
            "2:1: listen[0].tcp: it must be an address with a port, such as \"127.0.0.1:7790\" or \"[::]:7790\"",
        ),
        ("listen = 7790", "1:1: listen: it must be a list: [[...]] sections, or [ ... ]"),
        ("log = \"json\"", "1:1: log: it must be a section: [name] and keys below it"),
        ("[[auth.users]]\nplain_password = \"x\"", "1:1: auth.users[0]: `name` is missing"),
    ] {
        let found = complaint(text);
        assert_eq!(found.strip_prefix("bowline.toml:"), Some(expected), "{text}");
    }
}

#[test]
fn values_out_of_range_say_the_range() {
    for (text, expected) in [
        ("[limits]\nconnections = 0", "2:1: limits.connections: 0 is not allowed; use 1 to 1000000"),
        ("[limits]\nframe = 100", "2:1: limits.frame: 100 is not allowed; use 256 to 16MiB"),
        ("[session]\nkeepalive = \"10ms\"", "2:1: session.keepalive: 10ms is not allowed; use 100ms to 1d"),
        (
            "[log]\nlevel = \"loud\"",
            "2:1: log.level: `loud` is not a level; use error, warn, info, debug, trace, off, or levels by part: \
             info,bowline=debug",
        ),
        ("[mqtt]\nreceive_max = 0", "2:1: mqtt.receive_max: 0 is not allowed; use 1 to 65535"),
        ("[mqtt]\nmax_qos = 3", "2:1: mqtt.max_qos: 3 is not allowed; use 0 to 2"),
        ("[mqtt]\npacket = 100", "2:1: mqtt.packet: 100 is not allowed; use 256 to 16MiB"),
        ("[mqtt]\npacket = \"2MiB\"", "2:1: mqtt.packet: 2MiB is more than limits.frame, which is 1MiB"),
        (
            "[mqtt]\nkeepalive_max = \"1500ms\"",
            "2:1: mqtt.keepalive_max: 1500ms is not allowed; use whole seconds",
        ),
        ("[mqtt]\nclient_id = 5", "2:1: mqtt.client_id: 5 is not allowed; use 23 to 65535"),
        ("[prx1]\nin_flight = 0", "2:1: prx1.in_flight: 0 is not allowed; use 1 to 65535"),
        ("[prx1]\nhandshake = \"1ms\"", "2:1: prx1.handshake: 1ms is not allowed; use 100ms to 5m"),
        ("[trace]\nsample = 1.5", "2:1: trace.sample: 1.5 is not allowed; use 0 to 1"),
        ("[otlp]\nsample = -1", "2:1: otlp.sample: -1 is not allowed; use 0 to 1"),
        ("[tls]\ncert = \"c.pem\"", "2:1: tls.cert: a certificate needs its key: tls.key"),
        ("[tls]\nkey = \"c.key\"", "2:1: tls.key: a key needs its certificate: tls.cert"),
        (
            "[tls]\nclient_ca = \"ca.pem\"",
            "2:1: tls.client_ca: there is no TLS without a certificate: tls.cert and tls.key",
        ),
        (
            "[tls]\nplain = false",
            "2:1: tls.plain: there is no TLS without a certificate: tls.cert and tls.key",
        ),
        (
            "[tls]\ncert = \"c\"\nkey = \"k\"\nrequire_client_cert = true",
            "4:1: tls.require_client_cert: nobody can have one: tls.client_ca names the authorities",
        ),
        (
            "[tls]\ncert = \"c\"\nkey = \"k\"\nreload = \"1ms\"",
            "4:1: tls.reload: 1ms is not allowed; use 100ms to 1d",
        ),
        (
            "[tls]\ncert = \"c\"\nkey = \"k\"\nmin_version = \"1.1\"",
            "4:1: tls.min_version: `1.1` is not allowed; use 1.2 or 1.3",
        ),
        (
            "[auth]\ncertificate_name = \"common-name\"",
            "2:1: auth.certificate_name: nobody vouches for names: tls.client_ca names the authorities",
        ),
        (
            "[[listen]]\ntcp = \"127.0.0.1:1\"\ntls = true",
            "3:1: listen[0].tls: it needs a certificate: tls.cert and tls.key",
        ),
        ("[[listen]]\nunix = \"/run/x\"\ntls = true", "3:1: listen[0].tls: TLS is for TCP"),
        (
            "[otlp]\nendpoint = \"https://collector.example\"",
            "2:1: otlp.endpoint: `https://collector.example` is no address of a collector; write it so: \
             http://127.0.0.1:4318; for https, have a collector on this machine hand them on",
        ),
        ("[otlp]\nheaders = { \"a b\" = \"c\" }", "2:1: otlp.headers: `a b` is no name of a field"),
        (
            "[http]\nhosts = [\"bowline.example:80\"]",
            "2:1: http.hosts: `bowline.example:80` is no name of a host; write it so: bowline.example",
        ),
        (
            "[http]\norigins = [\"chat.example\"]",
            "2:1: http.origins: `chat.example` is no origin; write it as browsers do: https://chat.example, or * for all",
        ),
        ("[websocket]\nlevel = 0", "2:1: websocket.level: 0 is not allowed; use 1 to 9"),
        ("[websocket]\nwindow_bits = 8", "2:1: websocket.window_bits: 8 is not allowed; use 9 to 15"),
        ("[websocket]\nmemory = 1", "2:1: websocket.memory: 1 is not allowed; use 512KiB to 1024GiB"),
        ("[websocket]\nthreshold = \"2GiB\"", "2:1: websocket.threshold: 2GiB is not allowed; use 0 to 1GiB"),
        ("[json]\nmessage = 100", "2:1: json.message: 100 is not allowed; use 256 to 16MiB"),
        ("[json]\nmessage = \"2MiB\"", "2:1: json.message: 2MiB is more than limits.frame, which is 1MiB"),
        ("[json]\nin_flight = 0", "2:1: json.in_flight: 0 is not allowed; use 1 to 1000000"),
        ("[json]\nbatch = 0", "2:1: json.batch: 0 is not allowed; use 1 to 10000"),
        ("[json]\nhandshake = \"1h\"", "2:1: json.handshake: 1h is not allowed; use 100ms to 5m"),
        ("[json]\nexpiry = \"31d\"", "2:1: json.expiry: 31d is not allowed; use 0s to 30d"),
        ("[json]\nrequest = \"0s\"", "2:1: json.request: 0s is not allowed; use 100ms to 1h"),
        (
            "[json]\npoll_wait = \"1m\"",
            "1:2: json.poll_idle: 1m is not more than json.poll_wait, which is 1m",
        ),
        ("[json]\npoll_idle = \"2d\"", "2:1: json.poll_idle: 2d is not allowed; use 1s to 1d"),
        ("[sys]\ninterval = \"2d\"", "2:1: sys.interval: 2d is not allowed; use 0s to 1d"),
        ("[store]\nmax_size = 4096", "2:1: store.max_size: 4KiB is not allowed; use 1MiB to 16384GiB"),
        ("[store]\nbacklog = 0", "2:1: store.backlog: 0 is not allowed; use 1 to 1073741824"),
        ("listen = []", "1:1: listen: there must be at least one listener"),
        (
            "[[listen]]\ntcp = \"[::]:1\"\nunix = \"/a\"",
            "1:1: listen[0]: it must have one of `tcp` and `udp` (an address with a port), `unix` (a path) and `systemd` (a socket's name)",
        ),
        (
            "[[listen]]\ntcp = \"[::]:1\"\nspeaks = [\"smtp\"]",
            "3:1: listen[0].speaks: `smtp` is not spoken here; write one of bowline, mqtt, prx1, json, http, websocket",
        ),
        (
            "[[listen]]\ntcp = \"[::]:1\"\nspeaks = []",
            "3:1: listen[0].speaks: nothing could be spoken there; leave it out for everything",
        ),
        (
            "[[listen]]\ntcp = \"[::]:1\"\nproxies = [\"unix\", \"10.0.0.1/8\"]",
            "3:1: listen[0].proxies: `10.0.0.1/8`: the address has bits set beyond the 8 that count; write 10.0.0.0/8, or a longer prefix",
        ),
        (
            "[[listen]]\nunix = \"/a\"\nmode = \"rw\"",
            "3:1: listen[0].mode: it must be a mode in octal, such as \"660\"",
        ),
        (
            "[[listen]]\ntcp = \"[::]:1\"\nmode = \"660\"",
            "3:1: listen[0].mode: only Unix sockets that are made here have one; leave it out",
        ),
        (
            "[[listen]]\nunix = \"/a\"\nworkers = 2",
            "3:1: listen[0].workers: only TCP ports have one; leave it out",
        ),
        (
            "[[listen]]\ntcp = \"[::]:1\"\nbacklog = 0",
            "3:1: listen[0].backlog: 0 is not allowed; use 1 to 1048576",
        ),
        ("[limits]\nstrangers = 0", "2:1: limits.strangers: 0 is not allowed; use 1 to 1000000"),
        (
            "[[auth.users]]\nname = \"a\"",
            "1:1: auth.users[0]: it must have either `scram` or `plain_password`",
        ),
        (
            "[[auth.tokens]]\nname = \"a\"",
            "1:1: auth.tokens[0]: it must have either `sha256` or `plain_token`",
        ),
    ] {
        let found = complaint(text);
        assert_eq!(found.strip_prefix("bowline.toml:"), Some(expected), "{text}");
    }
}

#[test]
fn names_come_once() {
    let user = "[[auth.users]]\nname = \"a\"\nplain_password = \"b\"\n";
    assert_eq!(complaint(&user.repeat(2)), "bowline.toml:5:1: auth.users[1].name: `a` is listed twice");
    let listen = "[[listen]]\ntcp = \"[::]:1\"\n";
    assert_eq!(complaint(&listen.repeat(2)), "bowline.toml:3:1: listen[1]: [::]:1 is listed twice");
    let two = "[[listen]]\ntcp = \"[::]:1\"\nname = \"a\"\n[[listen]]\ntcp = \"[::]:2\"\nname = \"a\"";
    assert_eq!(complaint(two), "bowline.toml:6:1: listen[1].name: another listener is called a");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = "[limits]\nframe = 1\nconections = 1\n[log]\nformat = \"xml\"\n[session]\nexpiry = 7\n";
    let found = complaints(from_text(text));
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn secrets_are_in_no_complaint_and_no_report() {
    for text in [
        "[[auth.users]]\nname = \"a\"\nscram = \"hunter2\"",
        "[[auth.tokens]]\nname = \"a\"\nsha256 = \"hunter2\"",
        "[[auth.users]]\nname = \"a\"\nplain_password = [\"hunter2\"]",
        "[[auth.users]]\nname = \"a\"\nplain_password = hunter2",
        "[[auth.users]]\nname = \"a\"\npassword = \"hunter2\"",
    ] {
        let found = complaint(text);
        assert!(!found.contains("hunter2") && found.starts_with("bowline.toml:3:"), "{found}");
    }
    let loaded = from_text("[[auth.users]]\nname = \"a\"\nplain_password = \"hunter2\"").unwrap();
    let shown =
        format!("{:?}{}{}", loaded, report::to_toml(&loaded).unwrap(), report::to_json(&loaded).unwrap());
    assert!(!shown.contains("hunter2") && shown.contains("(hidden)"));
    assert_eq!(loaded.config.auth.users[0].plain_password.as_ref().unwrap().reveal(), "hunter2");
}

#[test]
fn the_environment_lies_over_the_file() {
    let text = "[limits]\nframe = \"2MiB\"\nconnections = 7\n";
    let loaded = from_variables(
        text,
        &[
            ("BOWLINE_LIMITS__FRAME", "64KiB"),
            ("BOWLINE_LIMITS__QUEUE_POLICY", "disconnect"),
            ("BOWLINE_LISTEN", "0.0.0.0:7791, unix:/run/bowline.sock"),
            ("BOWLINE_SESSION__KEEPALIVE", "5s"),
            ("BOWLINE_MQTT__KEEPALIVE_MAX", "5m"),
            ("BOWLINE_PRX1__SUCCESS", "published"),
            ("BOWLINE_WEBSOCKET__COMPRESSION", "false"),
            ("BOWLINE_JSON__POLL_WAIT", "10s"),
            ("BOWLINE_SYS__INTERVAL", "1m"),
            ("BOWLINE_STORE__MAX_SIZE", "1GiB"),
            ("BOWLINE_AUTH__ANONYMOUS", "never"),
            ("BOWLINE_AUTH__USERS", "[{name = \"a\", plain_password = \"b\"}]"),
            ("BOWLINE_SERVER", "is not a setting"),
            ("HOME", "/"),
        ],
    )
    .unwrap();
    let config = &loaded.config;
    assert_eq!((config.limits.frame.0, config.limits.connections), (65_536, 7));
    assert_eq!(config.limits.queue_policy, QueuePolicy::Disconnect);
    assert_eq!(config.session.keepalive, Span::from_secs(5));
    assert_eq!(config.mqtt.keepalive_max, Some(Span::from_secs(300)));
    assert_eq!((config.prx1.success, config.sys.interval), (Prx1Success::Published, Span::from_secs(60)));
    assert_eq!((config.websocket.compression, config.json.poll_wait), (false, Span::from_secs(10)));
    assert_eq!(config.store.max_size.map(|size| size.0), Some(1 << 30));
    assert_eq!((config.auth.anonymous, config.auth.users.len()), (Anonymous::Never, 1));
    let listen = [Listen::tcp("0.0.0.0:7791".parse().unwrap()), Listen::unix("/run/bowline.sock".into())];
    assert_eq!(config.listen, listen);
    assert_eq!(loaded.origins.source("limits.frame").to_string(), "environment BOWLINE_LIMITS__FRAME");
    assert_eq!(loaded.origins.source("listen[1].unix").to_string(), "environment BOWLINE_LISTEN");
    assert_eq!(loaded.origins.source("limits.connections").to_string(), "bowline.toml:3:1");
    assert_eq!(loaded.origins.source("limits.credit").to_string(), "default");
}

#[test]
fn variables_that_are_wrong_are_named() {
    for (variable, value, expected) in [
        (
            "BOWLINE_LIMITS__CREDIT",
            "x",
            "limits.credit: `x` is not a size; write one such as 4096, 64KiB or 1MiB",
        ),
        ("BOWLINE_MQTT__MAX_QOS", "x", "mqtt.max_qos: it must be a whole number from 0 to 255"),
        ("BOWLINE_PRX1__SUCCESS", "any", "prx1.success: `any` is not allowed; use documented or published"),
        ("BOWLINE_PRX1__SUCCESS", "2", "prx1.success: it must be text in quotes"),
        ("BOWLINE_LIMITS__IN_FLIGHT", "0", "limits.in_flight: 0 is not allowed; use 1 to 65535"),
        (
            "BOWLINE_LOG__LEVL",
            "info",
            "log.levl: unknown key; did you mean `level`?; allowed here: format and level",
        ),
        ("BOWLINE___X", "1", ".x: it names no setting; write BOWLINE_SECTION__KEY"),
        (
            "BOWLINE_LISTEN",
            "",
            "listen[0].tcp: it must be an address with a port, such as \"127.0.0.1:7790\" or \"[::]:7790\"",
        ),
        ("BOWLINE_LOG__FORMAT", "1\na = 2", "log.format: `1\na = 2` is not allowed; use text or json"),
    ] {
        let found = complaints(from_variables("", &[(variable, value)]));
        assert_eq!(found, [format!("environment {variable}: {expected}")]);
    }
}

#[test]
fn the_report_says_where_each_value_came_from() {
    let loaded = from_variables("[limits]\nframe = \"2MiB\"\n", &[("BOWLINE_LOG__FORMAT", "json")]).unwrap();
    let text = report::to_toml(&loaded).unwrap();
    let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap_or_default().to_owned();
    assert_eq!(line("frame"), "frame = \"2MiB\"                           # bowline.toml:2:1");
    assert_eq!(
        line("format"),
        "format = \"json\"                          # environment BOWLINE_LOG__FORMAT"
    );
    assert_eq!(line("keepalive"), "keepalive = \"30s\"                        # default");
    assert!(text.starts_with("[[listen]]\ntcp = \"127.0.0.1:7790\""), "{text}");
    assert!(text.contains("[[listen]]\ntcp = \"127.0.0.1:1883\""), "{text}");
    // What is reported can be used.
    let again = from_text(&text).unwrap().config;
    assert_eq!(format!("{again:?}"), format!("{:?}", loaded.config));

    let report: serde_json::Value = serde_json::from_str(&report::to_json(&loaded).unwrap()).unwrap();
    let frame = &report["settings"]["limits.frame"];
    assert_eq!((frame["value"].as_str(), frame["from"]["line"].as_u64()), (Some("2MiB"), Some(2)));
    assert_eq!(report["settings"]["listen[0].tcp"]["from"]["kind"].as_str(), Some("default"));
}

#[test]
fn rooms_are_as_the_first_that_matches_says() {
    let text =
        "[[rooms]]\nfilter = \"cursors/#\"\nmessages = 0\npolicy = \"keep-latest\"\nsession_rate = 30\n";
    let rooms = from_text(text).unwrap().config.rooms;
    assert_eq!((rooms[0].messages, rooms[0].policy), (0, super::RoomPolicy::KeepLatest));
    assert_eq!((rooms[0].session_rate, rooms[0].room_rate, rooms[0].waiting), (Some(30), None, 256));
    let wrong = complaint("[[rooms]]\nfilter = \"a/#/b\"\n");
    assert!(wrong.starts_with("bowline.toml:2:1: rooms[0].filter: `a/#/b` is not a filter"), "{wrong}");
    let wrong = complaint("[[rooms]]\nfilter = \"a\"\nroom_rate = 0\n");
    assert!(wrong.starts_with("bowline.toml:3:1: rooms[0].room_rate: 0 is not allowed"), "{wrong}");
}

#[test]
fn history_is_kept_of_topics_that_match() {
    let text = "[[history]]\nfilter = \"rooms/#\"\nage = \"7d\"\n[[history]]\nfilter = \"a/+\"\nmessages = 10\nbytes = \"1 KiB\"\n";
    let history = from_text(text).unwrap().config.history;
    assert_eq!(
        (history[0].messages, history[0].bytes.0, history[0].age),
        (1000, 1 << 20, Some(Span::from_secs(7 * 86_400)))
    );
    assert_eq!((history[1].messages, history[1].bytes.0, history[1].age), (10, 1024, None));
    let wrong = complaint("[[history]]\nfilter = \"a/#/b\"\n");
    assert!(wrong.starts_with("bowline.toml:2:1: history[0].filter: `a/#/b` is not a filter"), "{wrong}");
    let wrong = complaint("[[history]]\nfilter = \"a\"\nage = \"1ms\"\n");
    assert!(wrong.starts_with("bowline.toml:3:1: history[0].age: 1ms is not allowed"), "{wrong}");
}

#[test]
fn udp_is_secured_or_said_not_to_be() {
    let listen = "[[listen]]\nudp = \"127.0.0.1:0\"\n";
    assert!(complaint(listen).contains("nothing secures it"), "{}", complaint(listen));
    let both = format!("{listen}[udp]\ninsecure = true\nkey = \"/k\"\n");
    assert!(complaint(&both).contains("there are keys as well"), "{}", complaint(&both));
    let trusted = format!("{listen}[udp]\nkey = \"/k\"\ntrusted = [\"x\"]\n");
    assert!(complaint(&trusted).contains("udp.trusted"), "{}", complaint(&trusted));
}

#[test]
fn what_is_wrong_with_a_plugin_names_its_key() {
    let plugin = |rest: &str| complaint(&format!("[[plugin]]\nname = \"it\"\n{rest}"));
    for (rest, why) in [
        (
            "",
            "bowline.toml:1:1: plugin[0]: it must have exactly one of tag, rate, overload, intercept, heartbeat, audit and alert",
        ),
        ("heartbeat = {}\naudit = {}\n", "bowline.toml:1:1: plugin[0]: it must have exactly one of"),
        (
            "only = { networks = [\"x\"] }\naudit = {}\n",
            "bowline.toml:3:10: plugin[0].only.networks: `x`: it is no address",
        ),
        (
            "only = { dialects = [\"http\"] }\naudit = {}\n",
            "plugin[0].only.dialects[0]: `http` is not allowed; use bowline, ",
        ),
        (
            "[[plugin.tag]]\nadd = [\"a b\"]\n",
            "bowline.toml:4:1: plugin[0].tag[0].add: a tag has 1 to 64 octets",
        ),
        ("[[plugin.rate]]\n", "plugin[0].rate[0]: it must have `messages` or `octets`"),
        (
            "[[plugin.rate]]\nmessages = 0\n",
            "bowline.toml:4:1: plugin[0].rate[0].messages: a rate and a burst are from 1",
        ),
        (
            "[[plugin.rate]]\nmessages = 1\ntopics = [\"a/#/b\"]\n",
            "bowline.toml:5:1: plugin[0].rate[0].topics: ",
        ),
        (
            "[[plugin.rate]]\nmesages = 1\n",
            "bowline.toml:4:1: plugin[0].rate[0].mesages: unknown key; did you mean `messages`?",
        ),
        ("[plugin.overload]\n", "plugin[0].overload: it must have `queued`, `octets` or `late`"),
        (
            "[plugin.overload]\nqueued = 5\nrecovered = 2.0\n",
            "plugin[0].overload.recovered: 2 is not allowed; use 0.1 to 1.0",
        ),
        ("[[plugin.intercept]]\naction = \"copy\"\n", "plugin[0].intercept[0].action: `copy` needs `front`"),
        (
            "[[plugin.intercept]]\naction = \"change\"\n",
            "plugin[0].intercept[0].action: `change` needs something to change",
        ),
        (
            "[[plugin.intercept]]\naction = \"drop\"\npayload = \"\"\n",
            "plugin[0].intercept[0].action: only `change` changes",
        ),
        ("[plugin.heartbeat]\ntopic = \"a/#\"\n", "bowline.toml:4:1: plugin[0].heartbeat.topic: "),
        (
            "[[plugin.alert]]\nname = \"x\"\nmetric = \"heat\"\nabove = 1\n",
            "bowline.toml:5:1: plugin[0].alert[0].metric: `heat` is not measured; use sessions",
        ),
    ] {
        let told = plugin(rest);
        assert!(told.contains(why), "{rest}: {told}");
    }
    assert!(
        complaint("[[plugin]]\nname = \"a b\"\naudit = {}\n").contains("plugin[0].name: `a b` is no name")
    );
    let twice = "[[plugin]]\nname = \"a\"\naudit = {}\n".repeat(2);
    assert!(complaint(&twice).contains("bowline.toml:5:1: plugin[1].name: `a` is listed twice"));
    assert!(complaint("[webhook]\nurl = \"https://a\"\n").contains("webhook.url: `https://a`: write it so"));
}
