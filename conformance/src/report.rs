//! Results for people and for programs.

use std::collections::BTreeMap;

use bowline_conformance::dialect::Dialect;
use bowline_conformance::mqtt::statements;
use bowline_conformance::mutate::Report;
use bowline_conformance::runner::{Cut, Outcome};
use bowline_conformance::vector::{self, Level, Vector};
use serde_json::json;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

const fn level(vector: &Vector) -> &'static str {
    match vector.level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
    }
}

fn cut_name(cut: Cut) -> String {
    match cut {
        Cut::Whole => "whole".to_owned(),
        Cut::Octets => "octet by octet".to_owned(),
        Cut::Seeded(seed) => format!("cut with seed {seed}"),
    }
}

pub(crate) fn json(vectors: &[Vector], results: &[(Cut, Outcome)]) {
    let each = vectors.iter().zip(results).map(|(v, (cut, outcome))| {
        let mut one = json!({ "name": v.name, "rules": v.rules, "level": level(v) });
        match outcome {
            Outcome::Pass => one["outcome"] = "pass".into(),
            Outcome::Unsupported(why) => {
                one["outcome"] = "unsupported".into();
                one["why"] = why.as_str().into();
            }
            Outcome::Explained(why) => {
                one["outcome"] = "explained".into();
                one["why"] = why.as_str().into();
            }
            Outcome::Fail { step, what } => {
                one["outcome"] = "fail".into();
                one["step"] = (*step).into();
                one["why"] = what.as_str().into();
                one["input"] = cut_name(*cut).into();
            }
        }
        one
    });
    let all: Vec<_> = each.collect();
    println!("{}", json!({ "results": all }));
}

pub(crate) fn table(vectors: &[Vector], results: &[(Cut, Outcome)], colour: bool) {
    let paint = |colour_code: &'static str| if colour { (colour_code, PLAIN) } else { ("", "") };
    let mut topics: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let mut total = [0; 4];
    for (v, (_, outcome)) in vectors.iter().zip(results) {
        let topic = v.name.split('/').next().unwrap_or_default();
        let column = match outcome {
            Outcome::Pass => 0,
            Outcome::Fail { .. } => 1,
            Outcome::Unsupported(_) => 2,
            Outcome::Explained(_) => 3,
        };
        topics.entry(topic).or_default()[column] += 1;
        total[column] += 1;
    }
    let line = |topic: &str, [pass, fail, unsupported, explained]: [usize; 4]| {
        format!("{topic:<18} {pass:>6} {fail:>6} {unsupported:>12} {explained:>10}")
    };
    println!("{:<18} {:>6} {:>6} {:>12} {:>10}", "topic", "pass", "fail", "unsupported", "explained");
    topics.iter().for_each(|(topic, counts)| println!("{}", line(topic, *counts)));
    let (on, off) = paint(if total[1] == 0 { GREEN } else { RED });
    println!("{on}{}{off}", line("all", total));
    for (v, (cut, outcome)) in vectors.iter().zip(results) {
        if let Outcome::Fail { step, what } = outcome {
            let (on, off) = paint(RED);
            println!("\n{on}{}{off} ({} {}; input {})", v.name, level(v), v.rules.join(", "), cut_name(*cut));
            println!("  step {step}: {what}");
        }
    }
    let reasons = |of: fn(&Outcome) -> Option<&str>| {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for why in results.iter().filter_map(|(_, outcome)| of(outcome)) {
            *reasons.entry(why).or_default() += 1;
        }
        reasons
    };
    let unsupported = reasons(|o| if let Outcome::Unsupported(why) = o { Some(why) } else { None });
    let explained = reasons(|o| if let Outcome::Explained(why) = o { Some(why) } else { None });
    for (title, reasons) in [("Not supported", unsupported), ("Explained", explained)] {
        if !reasons.is_empty() {
            println!("\n{title}:");
            reasons.iter().for_each(|(why, count)| println!("  {why} ({count})"));
        }
    }
}

pub(crate) fn survivors(report: &Report) {
    for (vector, change) in &report.survivors {
        println!("survived: {vector}, {change}");
    }
    for name in &report.skipped {
        println!("not tried (does not pass here): {name}");
    }
    println!("{} changes tried, {} survived", report.tried, report.survivors.len());
}

pub(crate) fn list(vectors: &[Vector], by_rule: bool) -> Result<(), serde_json::Error> {
    if !by_rule {
        for v in vectors {
            let socket = if v.socket { "socket" } else { "" };
            println!(
                "{:<52} {:<8} {:<6} {:<6} {}",
                v.name,
                v.role.name(),
                level(v),
                socket,
                v.rules.join(" ")
            );
        }
        println!("{} vectors", vectors.len());
        return Ok(());
    }
    let uncovered = vector::uncovered()?;
    for (dialect, rule) in Dialect::ALL.into_iter().flat_map(|d| d.rules().into_iter().map(move |r| (d, r))) {
        let shows = |v: &&Vector| v.dialect == dialect && v.rules.iter().any(|r| r == rule);
        let names: Vec<&str> = vectors.iter().filter(shows).map(|v| v.name.as_str()).collect();
        let statement = statements::of(dialect).iter().find(|s| s.id == rule);
        let reason = statement.and_then(|s| s.reason.as_ref()).or_else(|| uncovered.get(rule));
        match reason {
            Some(why) => println!("{rule:<8} no vector: {why}"),
            None => println!("{rule:<8} {:>3}  {}", names.len(), names.join(" ")),
        }
    }
    Ok(())
}
