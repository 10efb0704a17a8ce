//! The tables of every normative statement of the two specifications: the file `mqtt/statements-*.json`.
//!
//! Which vectors show a statement is said by the vectors, in their rules. The table holds what they
//! cannot say: tests that show it in another way, or the reason why nothing can.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::dialect::Dialect;
use crate::vector::Vector;

/// Whom a statement binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binds {
    /// Servers.
    Server,
    /// Clients.
    Client,
    /// Whoever is at either end.
    Both,
}

/// How binding a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Without exception.
    Must,
    /// Unless there is a reason.
    Should,
    /// If one likes.
    May,
}

/// A normative statement, `[MQTT-x.x.x-n]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Its number: `MQTT-3.1.0-1`.
    pub id: String,
    /// Whom it binds.
    pub binds: Binds,
    /// How much.
    pub level: Level,
    /// What it says, in our words.
    pub says: String,
    /// What our server does, where the statement leaves a choice.
    #[serde(default)]
    pub does: Option<String>,
    /// Tests that show it, beside vectors: `path/of/file.rs::name`.
    #[serde(default)]
    pub tests: Vec<String>,
    /// Why neither vector nor test shows it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a specification only recommends or leaves open, without a number: and what our server does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recommendation {
    /// The version.
    pub dialect: Dialect,
    /// Where it stands.
    pub section: String,
    /// What it says, in our words.
    pub says: String,
    /// What our server does.
    pub does: String,
    /// The vectors that show that.
    pub by: Vec<String>,
}

static RECOMMENDATIONS: LazyLock<Vec<Recommendation>> = LazyLock::new(|| {
    // It is part of this crate, and a test reads it.
    let text = include_str!("../../mqtt/recommendations.json");
    serde_json::from_str(text).unwrap_or_else(|e| panic!("the recommendations: {e}"))
});

/// The recommendations of both specifications that matter to a server.
#[must_use]
pub fn recommendations() -> &'static [Recommendation] {
    &RECOMMENDATIONS
}

static TABLES: LazyLock<[Vec<Statement>; 2]> = LazyLock::new(|| {
    // They are part of this crate, and a test reads them.
    let read = |text| serde_json::from_str(text).unwrap_or_else(|e| panic!("the table of statements: {e}"));
    [
        read(include_str!("../../mqtt/statements-3.1.1.json")),
        read(include_str!("../../mqtt/statements-5.0.json")),
    ]
});

/// The statements of a version of MQTT, in their order; none for another dialect.
#[must_use]
pub fn of(dialect: Dialect) -> &'static [Statement] {
    match dialect {
        Dialect::Mqtt3 => &TABLES[0],
        Dialect::Mqtt5 => &TABLES[1],
        Dialect::Bowline | Dialect::Prx1 | Dialect::Http | Dialect::Websocket | Dialect::Json => &[],
    }
}

/// The page `MQTT.md`: every statement, and what shows it.
#[must_use]
pub fn page(vectors: &[Vector]) -> String {
    let mut page = PREAMBLE.to_owned();
    for (dialect, version) in [(Dialect::Mqtt3, "3.1.1"), (Dialect::Mqtt5, "5.0")] {
        let mut shown: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for v in vectors.iter().filter(|v| v.dialect == dialect) {
            for rule in &v.rules {
                shown.entry(rule).or_default().push(&v.name);
            }
        }
        let all = of(dialect);
        let by_vector = all.iter().filter(|s| shown.contains_key(s.id.as_str())).count();
        let by_test =
            all.iter().filter(|s| !shown.contains_key(s.id.as_str()) && !s.tests.is_empty()).count();
        let excused = all.len() - by_vector - by_test;
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "\n## MQTT {version}\n\n{} statements: {by_vector} shown by vectors, {by_test} by tests alone, \
             {excused} by neither.\n\n| statement | binds | | says | shown by |\n|---|---|---|---|---|\n",
            all.len(),
        );
        for s in all {
            let vectors = shown.get(s.id.as_str()).map(Vec::as_slice).unwrap_or_default();
            let _ = writeln!(page, "{}", row(s, vectors));
        }
        page.push_str("\nWhat it recommends or leaves open without a number:\n\n");
        page.push_str("| section | says | our server | shown by |\n|---|---|---|---|\n");
        for r in recommendations().iter().filter(|r| r.dialect == dialect) {
            let by: Vec<String> = r.by.iter().map(|name| format!("`{name}`")).collect();
            let _ = writeln!(page, "| §{} | {} | {} | {} |", r.section, r.says, r.does, by.join(", "));
        }
    }
    page
}

const PREAMBLE: &str = "\
# Every normative statement of MQTT

Written by `bowline-conformance statements` from `mqtt/statements-*.json` and the rules that the vectors name; a test
keeps it so. What the statements say is put in our words: the specifications are what counts
([3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html),
[5.0](https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html)).
";

fn row(s: &Statement, vectors: &[&str]) -> String {
    let binds = match s.binds {
        Binds::Server => "server",
        Binds::Client => "client",
        Binds::Both => "both",
    };
    let level = match s.level {
        Level::Must => "MUST",
        Level::Should => "SHOULD",
        Level::May => "MAY",
    };
    let does = s.does.as_ref().map(|d| format!(" *We: {d}*")).unwrap_or_default();
    let named = vectors.iter().copied().chain(s.tests.iter().map(String::as_str)).map(|n| format!("`{n}`"));
    let mut by: Vec<String> = named.collect();
    by.extend(s.reason.clone());
    let id = s.id.trim_start_matches("MQTT-");
    format!("| {id} | {binds} | {level} | {}{does} | {} |", s.says.replace('|', "\\|"), by.join(", "))
}
