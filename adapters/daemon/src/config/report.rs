//! `bowline check`: the effective configuration, and where each value came from.

use std::fmt::Write;

use serde_json::json;
use toml::{Table, Value};

use super::load::{Loaded, load};
use super::origin::{Origin, Origins};
use crate::cli::CheckArgs;
use crate::failure::Failure;
use crate::output;

/// Loads and prints; a configuration that is wrong is a failure.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let loaded = load(args.config.config.as_deref())?;
    // What it names has to be right as well.
    for warning in crate::auth::load(&loaded.config)?.warnings {
        output::warning(&warning);
    }
    let text = if args.json { to_json(&loaded)? } else { to_toml(&loaded)? };
    output::data(&text)
}

/// TOML that can be used as it is (but for hidden secrets), each value with its origin behind it.
pub(crate) fn to_toml(loaded: &Loaded) -> Result<String, Failure> {
    let mut text = String::new();
    section(&mut text, "", &table_of(loaded)?, &loaded.origins);
    Ok(text)
}

/// One object with an entry for each key.
pub(crate) fn to_json(loaded: &Loaded) -> Result<String, Failure> {
    let mut settings = serde_json::Map::new();
    flatten("", &Value::Table(table_of(loaded)?), &mut |key, value| {
        let from = match loaded.origins.source(key) {
            Origin::Default => json!({"kind": "default"}),
            Origin::File { file, line, column } => {
                json!({"kind": "file", "file": file, "line": line, "column": column})
            }
            Origin::Environment { variable } => json!({"kind": "environment", "variable": variable}),
            Origin::Flag { flag } => json!({"kind": "flag", "flag": flag}),
        };
        settings.insert(key.to_owned(), json!({"value": value, "from": from}));
    });
    let mut text = serde_json::to_string_pretty(&json!({"valid": true, "settings": settings}))
        .map_err(|error| Failure::new(format!("the configuration cannot be shown as JSON: {error}")))?;
    text.push('\n');
    Ok(text)
}

fn table_of(loaded: &Loaded) -> Result<Table, Failure> {
    Table::try_from(&loaded.config)
        .map_err(|error| Failure::new(format!("the configuration cannot be shown as TOML: {error}")))
}

/// Writes the plain keys of a table, then its sections.
fn section(text: &mut String, path: &str, table: &Table, origins: &Origins) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, value) in table {
        if is_plain(value) {
            line(text, &join(key), key, value, origins);
        }
    }
    for (key, value) in table {
        let path = join(key);
        match value {
            Value::Table(below) => {
                _ = writeln!(text, "\n[{path}]");
                section(text, &path, below, origins);
            }
            Value::Array(items) if !is_plain(value) => {
                for (index, item) in items.iter().filter_map(Value::as_table).enumerate() {
                    _ = writeln!(text, "{}[[{path}]]", if text.is_empty() { "" } else { "\n" });
                    for (key, value) in item {
                        line(text, &format!("{path}[{index}].{key}"), key, value, origins);
                    }
                }
            }
            _ => {}
        }
    }
}

fn line(text: &mut String, path: &str, key: &str, value: &Value, origins: &Origins) {
    _ = writeln!(text, "{:<40} # {}", format!("{key} = {value}"), origins.source(path));
}

/// Whether a value stands behind `key =`, and not in a section of its own.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Table(_) => false,
        Value::Array(items) => !items.iter().any(Value::is_table),
        _ => true,
    }
}

/// Calls `each` with every key that has no keys below it.
fn flatten(path: &str, value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, each);
            }
        }
        Value::Array(items) if !is_plain(value) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, each);
            }
        }
        value => each(path, value),
    }
}
