//! How a run is reported.

use std::fmt::Write;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Map, json};

use super::measure::Outcome;
use crate::cli::{BenchArgs, Scenario};

/// The percentiles that are shown.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

/// For people.
pub(super) fn text(args: &BenchArgs, outcome: &Outcome) -> String {
    let mut text = String::new();
    let seconds = outcome.elapsed.as_secs_f64();
    if args.scenario == Scenario::Connect {
        _ = writeln!(text, "{}", shape(args));
        _ = writeln!(
            text,
            "connected  {:>12}  {:>12.0}/s",
            outcome.accepted,
            rate(outcome.accepted, seconds)
        );
        _ = writeln!(text, "failed     {:>12}", outcome.failed);
        _ = writeln!(text, "stayed     {:>12}", outcome.received);
        _ = writeln!(text, "lost       {:>12}", outcome.lost());
        _ = writeln!(text, "time       {seconds:>12.3} s");
        latency(&mut text, outcome);
        return text;
    }
    _ = writeln!(text, "{}, payload {} octets, qos {}", shape(args), args.size, args.qos);
    if args.scenario == Scenario::Requests {
        _ = writeln!(text, "requests   {:>12}  {:>12.0}/s", outcome.sent, rate(outcome.sent, seconds));
        _ = writeln!(text, "failed     {:>12}", outcome.failed);
    } else {
        let octets = outcome.received as f64 * args.size as f64;
        let mib = if seconds > 0.0 { octets / seconds / f64::from(1 << 20) } else { 0.0 };
        _ = writeln!(text, "sent       {:>12}  {:>12.0}/s", outcome.sent, rate(outcome.sent, seconds));
        _ = writeln!(
            text,
            "received   {:>12}  {:>12.0}/s  {mib:.1} MiB/s",
            outcome.received,
            rate(outcome.received, seconds)
        );
        _ = writeln!(text, "lost       {:>12}", outcome.lost());
    }
    _ = writeln!(text, "time       {seconds:>12.3} s");
    latency(&mut text, outcome);
    text
}

fn latency(text: &mut String, outcome: &Outcome) {
    if outcome.latency.is_empty() {
        return;
    }
    _ = write!(text, "latency    min {}", micros(outcome.latency.min()));
    for (name, percentile) in PERCENTILES {
        _ = write!(text, "  {name} {}", micros(outcome.latency.at(percentile)));
    }
    _ = writeln!(text, "  max {}", micros(outcome.latency.max()));
}

/// For programs: one object; times in microseconds.
pub(super) fn json(args: &BenchArgs, outcome: &Outcome) -> String {
    let seconds = outcome.elapsed.as_secs_f64();
    let exact = |time: Duration| time.as_nanos() as f64 / 1_000.0;
    let mut latency = Map::new();
    if !outcome.latency.is_empty() {
        latency.insert("min".into(), json!(exact(outcome.latency.min())));
        latency.insert("mean".into(), json!(exact(outcome.latency.mean())));
        for (name, percentile) in PERCENTILES {
            latency.insert(name.into(), json!(exact(outcome.latency.at(percentile))));
        }
        latency.insert("max".into(), json!(exact(outcome.latency.max())));
    }
    let name = args.scenario.to_possible_value().map(|value| value.get_name().to_owned());
    let report = json!({
        "scenario": name,
        "clients": args.clients,
        "publishers": (args.scenario == Scenario::FanOut).then_some(args.publishers),
        "responders": (args.scenario == Scenario::Requests).then_some(args.responders),
        "payload_octets": args.size,
        "qos": args.qos,
        "rate_asked": args.rate,
        "seconds": seconds,
        "sent": outcome.sent,
        "accepted": outcome.accepted,
        "expected": outcome.expected,
        "received": outcome.received,
        "lost": outcome.lost(),
        "failed": outcome.failed,
        "sent_per_second": rate(outcome.sent, seconds),
        "received_per_second": rate(outcome.received, seconds),
        "latency_us": latency,
    });
    format!("{report}\n")
}

fn shape(args: &BenchArgs) -> String {
    match args.scenario {
        Scenario::FanOut => format!("fan-out: publishers {}, subscribers {}", args.publishers, args.clients),
        Scenario::Pairs => format!("pairs: {}", args.clients),
        Scenario::Connect => format!("connect: clients that stay {}", args.clients),
        Scenario::Requests => format!("requests: clients {}, responders {}", args.clients, args.responders),
    }
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// A time in the unit that reads best.
fn micros(time: Duration) -> String {
    match time.as_micros() {
        0..10_000 => format!("{:.0}us", time.as_nanos() as f64 / 1e3),
        10_000..10_000_000 => format!("{:.1}ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1}s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bench::measure::Latency;
    use crate::cli::{Cli, Command};

    fn args(line: &[&str]) -> BenchArgs {
        match Cli::try_parse_from([&["bowline", "bench"], line].concat()).unwrap().command {
            Some(Command::Bench(args)) => args,
            other => panic!("{other:?} is no bench"),
        }
    }

    fn outcome() -> Outcome {
        let mut latency = Latency::new();
        (1..=1_000).for_each(|us| latency.record(Duration::from_micros(us)));
        Outcome {
            sent: 1_000,
            accepted: 1_000,
            expected: 2_000,
            received: 1_999,
            failed: 0,
            elapsed: Duration::from_secs(2),
            latency,
            trouble: None,
        }
    }

    #[test]
    fn people_read_rates_losses_and_percentiles() {
        let text = text(&args(&["fan-out", "--clients", "2"]), &outcome());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "fan-out: publishers 1, subscribers 2, payload 128 octets, qos 1");
        assert_eq!(lines[1], "sent               1000           500/s");
        assert_eq!(lines[3], "lost                  1");
        assert!(lines[5].starts_with("latency    min 1us  p50 500us  p90 900us  p99 990us"), "{}", lines[5]);
    }

    #[test]
    fn connections_are_counted_as_such() {
        let outcome = Outcome { accepted: 998, failed: 2, expected: 50, received: 49, ..outcome() };
        let text = text(&args(&["connect", "--clients", "50"]), &outcome);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["connect:", "clients", "that", "stay", "50"]);
        assert_eq!(lines[1], ["connected", "998", "499/s"]);
        assert_eq!(lines[2..5], [["failed", "2"], ["stayed", "49"], ["lost", "1"]]);
    }

    #[test]
    fn programs_read_the_same() {
        let report: serde_json::Value = serde_json::from_str(&json(&args(&["pairs"]), &outcome())).unwrap();
        assert_eq!((&report["scenario"], &report["lost"]), (&json!("pairs"), &json!(1)));
        assert_eq!(report["received_per_second"], json!(999.5));
        assert_eq!(report["latency_us"]["max"].as_f64().map(f64::round), Some(1_000.0));
    }

    #[test]
    fn times_have_a_unit_that_reads_well() {
        for (nanos, text) in
            [(950, "1us"), (250_000, "250us"), (12_345_678, "12.3ms"), (61_000_000_000, "61.0s")]
        {
            assert_eq!(micros(Duration::from_nanos(nanos)), text);
        }
    }
}
