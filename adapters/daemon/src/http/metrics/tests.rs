use super::*;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_core::endpoint::server::{Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::plugin::{Placement, Tagging};
use bowline_core::time::Instant;

const DASHBOARD: &str = include_str!("../../../grafana.json");

/// What Prometheus itself has, for each target.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Families that the dashboard does without, and why.
const NOT_SHOWN: [(&str, &str); 5] = [
    ("bowline_alerts_total", "only where the operator has added plugins"),
    ("bowline_plugin_messages_total", "only where the operator has added plugins"),
    ("bowline_plugin_changed_total", "only where the operator has added plugins"),
    ("bowline_plugin_dropped_total", "only where the operator has added plugins"),
    ("bowline_plugin_refused_total", "only where the operator has added plugins"),
];

/// A server with two commits, and one plugin if so.
fn server(with_plugin: bool) -> Server {
    let mut server = Server::new(ServerConfig::default(), Box::new(Seeded::new(1)));
    server.record_commit(Duration::from_micros(300));
    server.record_commit(Duration::from_secs(60));
    if with_plugin {
        let tagging = Box::new(Tagging::new(Vec::new()).unwrap());
        server.add_plugin(Instant::ZERO, "tagging", tagging, Placement::default()).unwrap();
    }
    server
}

fn of(server: &Server, format: Format) -> String {
    let beside = (&Counts::default(), &Alerts::default());
    let place = ListenerCounts { name: "a \"b\"".into(), connections: 1, accepted: 3, refused: 2 };
    let mut counters = Counters::default();
    (counters.opened, counters.lost) = (4, 2);
    counters.dropped[DropReason::Forged as usize] = 3;
    let sessions = DatagramCounts { sessions: 2, counters: vec![counters, counters] };
    let started = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    text(format, &server.counters(), &[place], started, beside, &server.plugins(), (None, Some(&sessions)))
}

fn written(format: Format) -> String {
    of(&server(true), format)
}

/// Each family that is printed, and its type.
fn families(text: &str) -> BTreeMap<&str, &str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split_once(' ').unwrap()).collect()
}

/// What a scraper relies on: each metric is announced once, before its values, has one, and a good name,
/// counters end in `_total`, and what has a unit ends in it.
#[test]
fn the_text_is_as_prometheus_wants_it() {
    let text = written(Format::Text);
    let mut announced = BTreeSet::new();
    let mut with_samples = BTreeSet::new();
    let (mut name, mut sort) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            name = help.split_once(' ').unwrap().0;
            assert!(announced.insert(name), "{name} twice");
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            sort = of.strip_prefix(name).unwrap().trim();
            assert_eq!(sort == "counter", name.ends_with("_total"), "{line}");
            let with_unit = name.ends_with("_seconds") || name.ends_with("_bytes");
            assert!(sort != "histogram" || with_unit, "{line}");
        } else {
            let (of, value) = line.rsplit_once(' ').unwrap();
            with_samples.insert(name);
            let of = of.split('{').next().unwrap();
            if sort == "histogram" {
                let part = of.strip_prefix(name).unwrap();
                assert!(["_bucket", "_sum", "_count"].contains(&part), "{line}");
            } else {
                assert_eq!(of, name, "{line}");
            }
            assert!(value.parse::<f64>().unwrap() >= 0.0);
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        }
    }
    assert_eq!(announced, with_samples);
    assert!(announced.len() > 45, "{}", announced.len());
    assert!(text.contains("bowline_messages_in_total{dialect=\"mqtt5\"} 0\n"));
    assert!(text.contains("bowline_connections_active{dialect=\"mqtt311\",layer=\"websocket\"} 0\n"));
    assert!(text.contains("bowline_listener_accepted_total{listener=\"a \\\"b\\\"\"} 3\n"), "{text}");
    assert!(text.contains("\nprocess_start_time_seconds 1700000000.250\n"));
    assert!(text.ends_with('\n') && !text.contains("EOF"));
}

#[test]
fn a_family_without_values_is_not_there() {
    let text = of(&server(false), Format::Text);
    assert!(!text.contains("bowline_plugin_") && text.contains("# TYPE bowline_alerts_total"), "{text}");
    let text = written(Format::Text);
    assert!(text.contains("\nbowline_plugin_messages_total{plugin=\"tagging\"} 0\n"), "{text}");
}

/// What all sockets have counted, together.
#[test]
fn sessions_over_udp_are_counted() {
    let text = written(Format::Text);
    for line in [
        "bowline_udp_sessions 2",
        "bowline_udp_sessions_opened_total 8",
        "bowline_udp_packets_lost_total 4",
        "bowline_udp_datagrams_dropped_total{reason=\"forged\"} 6",
        "bowline_udp_datagrams_dropped_total{reason=\"replayed\"} 0",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
    }
}

#[test]
fn a_histogram_has_its_buckets_its_sum_and_its_count() {
    let text = written(Format::Text);
    let lines: Vec<_> =
        text.lines().filter(|line| line.starts_with("bowline_store_commit_seconds")).collect();
    assert_eq!(lines.len(), 16 + 3);
    for line in [
        "bowline_store_commit_seconds_bucket{le=\"0.00025\"} 0",
        "bowline_store_commit_seconds_bucket{le=\"0.0005\"} 1",
        "bowline_store_commit_seconds_bucket{le=\"10.0\"} 1",
        "bowline_store_commit_seconds_bucket{le=\"+Inf\"} 2",
        "bowline_store_commit_seconds_sum 60.0003",
        "bowline_store_commit_seconds_count 2",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    assert!(text.contains("bowline_ping_round_trip_seconds_sum{protocol=\"websocket\"} 0.0\n"), "{text}");
    let bucket = "bowline_ping_round_trip_seconds_bucket{protocol=\"bowline\",le=\"1.0\"} 0\n";
    assert!(text.contains(bucket), "{text}");
}

/// The same values under the same names; counters are announced without their suffix, and there is an end.
#[test]
fn open_metrics_says_the_same() {
    let (text, open) = (written(Format::Text), written(Format::OpenMetrics));
    let values = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(values(&text), values(&open));
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
    for (name, sort) in families(&open) {
        assert!(sort != "counter" || !name.ends_with("_total"), "{name}");
    }
    assert_eq!(families(&open)["bowline_messages_in"], "counter");
}

/// The expressions of the dashboard.
fn expressions(value: &serde_json::Value, all: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                match value.as_str().filter(|_| name == "expr" || name == "query") {
                    Some(text) => all.push(text.to_owned()),
                    None => expressions(value, all),
                }
            }
        }
        serde_json::Value::Array(array) => array.iter().for_each(|value| expressions(value, all)),
        _ => {}
    }
}

/// The names of metrics in an expression: what is followed by a selector.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression.match_indices('{').map(move |(at, _)| {
        let from = expression[..at].rfind(|c| !is_name(c)).map_or(0, |found| found + 1);
        &expression[from..at]
    })
}

/// The dashboard asks for what there is, and shows all of it.
#[test]
fn the_dashboard_shows_every_metric() {
    let text = written(Format::Text);
    let families = families(&text);
    let mut all = Vec::new();
    expressions(&serde_json::from_str(DASHBOARD).unwrap(), &mut all);
    let mut shown = BTreeSet::new();
    for expression in &all {
        for name in names(expression) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
                name.strip_suffix(part).filter(|name| families.get(name) == Some(&"histogram"))
            });
            let family = of_histogram.unwrap_or(name);
            let there =
                families.get(family).is_some_and(|sort| (*sort == "histogram") == of_histogram.is_some());
            assert!(there || OF_PROMETHEUS.contains(&name), "{name} is not printed: {expression}");
            shown.insert(family);
        }
    }
    let left_out: BTreeSet<_> = NOT_SHOWN.iter().map(|(name, _)| *name).collect();
    for name in families.keys() {
        assert!(shown.contains(name) != left_out.contains(name), "{name}: shown, or listed as left out");
    }
    assert!(left_out.iter().all(|name| families.contains_key(name)), "{left_out:?}");
}
