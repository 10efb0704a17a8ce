//! Several servers, in turns, and their ratios.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Failure;
use crate::cost;
use crate::scenario::{Common, Scenario};
use crate::servers::Spec;
use crate::stats::{Figures, Spread, human};

/// How to compare.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<Spec>,
    pub(crate) runs: usize,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
    /// Runs in which others took more of a core are done again, in percent.
    pub(crate) max_foreign: f64,
    pub(crate) retries: usize,
}

/// All runs of one server.
#[derive(Clone, Debug)]
struct Series {
    name: String,
    runs: Vec<Figures>,
    /// Runs that were disturbed, and kept all the same.
    noisy: usize,
}

/// One figure of all servers.
#[derive(Debug, Serialize)]
struct Row {
    figure: String,
    /// Per server, in the order of the servers.
    spreads: Vec<Option<Spread>>,
    /// The first server's median over that of each other.
    ratios: Vec<Option<f64>>,
}

/// A comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    title: String,
    runs: usize,
    servers: Vec<String>,
    noisy_runs: Vec<usize>,
    rows: Vec<Row>,
}

/// Runs a scenario on all servers, in turns, each time on a fresh process.
pub(crate) fn compare(
    settings: &Settings,
    scenario: &Scenario,
    common: &Common,
) -> Result<Comparison, Failure> {
    let mut present = Vec::new();
    for spec in &settings.servers {
        if spec.program().is_some() {
            present.push(spec);
        } else {
            eprintln!("{}: left out, there is no program {}", spec.name, spec.program_name());
        }
    }
    if present.is_empty() {
        return Err(Failure::NoServers);
    }
    let (server_cores, load_cores) = cores(settings);
    cost::pin(&load_cores)?;
    let series = |spec: &&Spec| Series { name: spec.name.clone(), runs: Vec::new(), noisy: 0 };
    let mut all: Vec<Series> = present.iter().map(series).collect();
    for run in 1..=settings.runs {
        for (spec, series) in present.iter().zip(&mut all) {
            let (figures, noisy) = quiet_run(settings, spec, scenario, common, (&server_cores, &load_cores))?;
            let shown = figures.0.iter().find(|f| f.comparable);
            let shown = shown.map_or_else(String::new, |f| format!("{} {}", f.name, human(f.value)));
            let note = if noisy { "  (disturbed)" } else { "" };
            eprintln!("run {run} of {}, {}: {shown}{note}", settings.runs, spec.name);
            series.noisy += usize::from(noisy);
            series.runs.push(figures);
        }
    }
    Ok(tabulate(scenario.title(common), settings.runs, &all))
}

/// The cores of servers and load: the wanted ones, or all where a machine has no second.
fn cores(settings: &Settings) -> (Vec<usize>, Vec<usize>) {
    let allowed = cost::allowed_cores();
    let wanted = [settings.server_core, settings.load_core];
    if wanted[0] != wanted[1] && wanted.iter().all(|c| allowed.contains(c)) {
        return (vec![wanted[0]], vec![wanted[1]]);
    }
    eprintln!("not pinned: cores {} and {} are not both there", wanted[0], wanted[1]);
    (allowed.clone(), allowed)
}

/// A run that was not disturbed, or the last of several that all were.
fn quiet_run(
    settings: &Settings,
    spec: &Spec,
    scenario: &Scenario,
    common: &Common,
    cores: (&[usize], &[usize]),
) -> Result<(Figures, bool), Failure> {
    let mut attempt = 0;
    loop {
        let server = spec.start(cores.0, cores.1)?;
        let figures = scenario.run(common, &server.target())?;
        let noisy = figures.get("foreign_pct").is_some_and(|f| f > settings.max_foreign);
        if !noisy || attempt >= settings.retries {
            return Ok((figures, noisy));
        }
        attempt += 1;
        eprintln!("{}: again, others took more than {} % of a core", spec.name, settings.max_foreign);
    }
}

fn tabulate(title: String, runs: usize, all: &[Series]) -> Comparison {
    let mut rows: Vec<Row> = Vec::new();
    let order = all.iter().flat_map(|s| &s.runs).flat_map(|f| &f.0);
    for figure in order {
        if rows.iter().any(|r| r.figure == figure.name) {
            continue;
        }
        let spread = |s: &Series| {
            let values: Vec<f64> = s.runs.iter().filter_map(|r| r.get(&figure.name)).collect();
            Spread::of(&values)
        };
        let spreads: Vec<Option<Spread>> = all.iter().map(spread).collect();
        let first = spreads.first().copied().flatten();
        let ratio = |other: &Option<Spread>| {
            let (first, other) = (first?, (*other)?);
            (figure.comparable && other.median != 0.0).then(|| first.median / other.median)
        };
        let ratios = spreads.iter().skip(1).map(ratio).collect();
        rows.push(Row { figure: figure.name.clone(), spreads, ratios });
    }
    let servers = all.iter().map(|s| s.name.clone()).collect();
    Comparison { title, runs, servers, noisy_runs: all.iter().map(|s| s.noisy).collect(), rows }
}

impl Comparison {
    /// A table in Markdown: medians, ranges, ratios.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("### {}\n\n| figure |", self.title);
        for server in &self.servers {
            let _ = write!(out, " {server} |");
        }
        for other in self.servers.iter().skip(1) {
            let _ = write!(out, " {} / {other} |", self.servers[0]);
        }
        out.push_str("\n|---|");
        out.push_str(&"--:|".repeat(self.servers.len() * 2 - 1));
        out.push('\n');
        for row in &self.rows {
            let _ = write!(out, "| {} |", row.figure);
            for spread in &row.spreads {
                out.push_str(&spread.map_or_else(|| " – |".into(), cell));
            }
            for ratio in &row.ratios {
                out.push_str(&ratio.map_or_else(|| "  |".into(), |r| format!(" {r:.2} |")));
            }
            out.push('\n');
        }
        let noisy = self.noisy_runs.iter().sum::<usize>();
        let _ = writeln!(
            out,
            "\nMedians (and ranges) of {} runs each, in turns; disturbed runs kept: {noisy}.",
            self.runs
        );
        out
    }
}

fn cell(s: Spread) -> String {
    if s.least == s.most {
        return format!(" {} |", human(s.median));
    }
    format!(" {} ({} to {}) |", human(s.median), human(s.least), human(s.most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, values: &[f64]) -> Series {
        let run = |v: &f64| {
            let mut figures = Figures::default();
            figures.compare("delivered_per_s", *v);
            figures.note("missing", 0.0);
            figures
        };
        Series { name: name.into(), runs: values.iter().map(run).collect(), noisy: 0 }
    }

    #[test]
    fn medians_ranges_and_ratios_are_tabulated() {
        let all = [series("a", &[200.0, 100.0, 300.0]), series("b", &[50.0, 100.0, 60.0])];
        let table = tabulate("t".into(), 3, &all).markdown();
        assert!(table.contains("| figure | a | b | a / b |\n|---|--:|--:|--:|\n"), "{table}");
        assert!(
            table.contains("| delivered_per_s | 200 (100 to 300) | 60 (50 to 100) | 3.33 |\n"),
            "{table}"
        );
        assert!(table.contains("| missing | 0 | 0 |  |\n"), "{table}");
    }

    #[test]
    fn a_peer_without_a_figure_has_a_dash() {
        let mut other = series("b", &[1.0]);
        other.runs[0].0.remove(0);
        let table = tabulate("t".into(), 1, &[series("a", &[2.0]), other]).markdown();
        assert!(table.contains("| delivered_per_s | 2 | – |  |\n"), "{table}");
    }
}
