//! Reads the file, lays the environment over it, and checks all of it.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::DeTable;
use toml::{Table, Value};

use super::complaint::{Complaint, explain};
use super::origin::{Lines, Origin, Origins};
use super::{Config, Listen, PORT, Written, verify};
use crate::cli::ServeArgs;
use crate::failure::Failure;

/// All variables that set something begin so.
const PREFIX: &str = "BOWLINE_";

/// Those that are not settings of the server, but the tools' defaults.
const NOT_SETTINGS: [&str; 5] =
    ["BOWLINE_CONFIG", "BOWLINE_SERVER", "BOWLINE_USER", "BOWLINE_PASSWORD", "BOWLINE_TOKEN"];

/// How many complaints are collected before the rest is left for the next try.
const COMPLAINTS_MAX: usize = 20;

/// The largest configuration file that is read, in octets: no honest one comes near.
const FILE_MAX: u64 = 4 << 20;

/// A configuration, and where its values came from.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) origins: Origins,
}

/// Loads the configuration of this process: `file` if given, then the environment.
pub(crate) fn load(file: Option<&Path>) -> Result<Loaded, Failure> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let text = file.map(read_file).transpose()?;
    let name = file.map(|path| path.display().to_string());
    let source = name.as_deref().zip(text.as_deref());
    read(source, environment).map_err(|complaints| Complaint::all(&complaints))
}

/// Loads the configuration of `bowline serve`: over all else lie its flags.
pub(crate) fn load_with_flags(args: &ServeArgs) -> Result<Loaded, Failure> {
    let mut loaded = load(args.config.config.as_deref())?;
    if let Some(path) = &args.data {
        (loaded.config.store.path, loaded.config.store.memory) = (path.clone(), false);
        loaded.origins.set("store", Origin::Flag { flag: "--data" });
    }
    if args.memory {
        loaded.config.store.memory = true;
        loaded.origins.set("store.memory", Origin::Flag { flag: "--memory" });
    }
    allow(&mut loaded, args)?;
    if args.listen.is_empty() {
        return Ok(loaded);
    }
    let listen = args.listen.iter().map(|address| match address.strip_prefix("unix:") {
        Some("") => Err(Failure::usage("--listen unix: needs a path behind it")),
        Some(path) => Ok(Listen::unix(path.into())),
        None => address.parse().map(Listen::tcp).map_err(|_| {
            Failure::usage(format!(
                "--listen {address}: it must be an address with a port, such as 127.0.0.1:7790 or [::]:7790, or unix:PATH"
            ))
        }),
    });
    loaded.config.listen = listen.collect::<Result<_, _>>()?;
    loaded.origins.set("listen", Origin::Flag { flag: "--listen" });
    Ok(loaded)
}

/// What the flags say of relaying. A relay that is only one listens on one port, and keeps nothing unless
/// somebody said where.
fn allow(loaded: &mut Loaded, args: &ServeArgs) -> Result<(), Failure> {
    let Loaded { config, origins } = loaded;
    if !args.allow.is_empty() {
        config.relay.allow.extend(args.allow.iter().cloned().map(Written));
        origins.set("relay.allow", Origin::Flag { flag: "--allow" });
    }
    if !args.names_reach.is_empty() {
        config.relay.names_reach.extend(args.names_reach.iter().copied().map(Written));
        origins.set("relay.names_reach", Origin::Flag { flag: "--names-reach" });
    }
    if let Some(file) = &args.target_ca {
        config.relay.tls.ca = Some(file.clone());
        origins.set("relay.tls.ca", Origin::Flag { flag: "--target-ca" });
    }
    if !args.is_relay {
        return Ok(());
    }
    if config.relay.allow.is_empty() {
        return Err(Failure::usage(
            "a relay connects to what it is allowed, and that is nothing yet: say --allow HOST:PORT, or relay.allow in \
             the configuration",
        ));
    }
    if matches!(origins.source("listen[0].tcp"), Origin::Default) {
        config.listen.retain(|listen| listen.tcp.is_some_and(|tcp| tcp.port() == PORT));
    }
    let nobody_said = |key| matches!(origins.source(key), Origin::Default);
    if nobody_said("store.path") && nobody_said("store.memory") && args.data.is_none() {
        config.store.memory = true;
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| Failure::io(format_args!("cannot read the configuration {shown}"), &error))?
        .len();
    if size > FILE_MAX {
        return Err(Failure::new(format!("{shown} has {size} octets: too large for a configuration")));
    }
    std::fs::read_to_string(path)
        .map_err(|error| Failure::io(format_args!("cannot read the configuration {shown}"), &error))
}

/// Reads a configuration from a named text and an environment.
pub(crate) fn read(
    source: Option<(&str, &str)>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, Vec<Complaint>> {
    let (mut table, mut origins) = match source {
        Some((file, text)) => parse(file, text)?,
        None => (Table::new(), Origins::default()),
    };
    let mut complaints = overlay(&mut table, &mut origins, environment);
    let config: Option<Config> = deserialize(table, &origins, &mut complaints);
    if let Some(config) = config {
        verify::verify(&config, &origins, &mut complaints);
        if complaints.is_empty() {
            return Ok(Loaded { config, origins });
        }
    }
    Err(complaints)
}

/// Reads another file of ours: only what its type can say is checked.
pub(crate) fn read_toml<T: DeserializeOwned>(file: &str, text: &str) -> Result<(T, Origins), Vec<Complaint>> {
    let (table, origins) = parse(file, text)?;
    let mut complaints = Vec::new();
    match deserialize(table, &origins, &mut complaints) {
        Some(value) if complaints.is_empty() => Ok((value, origins)),
        _ => Err(complaints),
    }
}

/// Parses the text twice: for its values, and for their places.
fn parse(file: &str, text: &str) -> Result<(Table, Origins), Vec<Complaint>> {
    let complain = |error: toml::de::Error| {
        let origin = Lines { file, text }.place(error.span().unwrap_or(0..0));
        vec![Complaint { origin, key: String::new(), message: error.message().trim().to_owned() }]
    };
    let places = DeTable::parse(text).map_err(complain)?;
    let origins = Origins::from_file(file, text, places.get_ref());
    let table = toml::from_str(text).map_err(complain)?;
    Ok((table, origins))
}

/// Puts `BOWLINE_LIMITS__FRAME=64KiB` in place of `limits.frame`.
fn overlay(
    table: &mut Table,
    origins: &mut Origins,
    environment: impl Iterator<Item = (String, String)>,
) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut settings: Vec<(String, String)> = environment
        .filter(|(name, _)| name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str()))
        .collect();
    settings.sort(); // Complaints come in an order that does not change.
    for (variable, text) in settings {
        let key = variable[PREFIX.len()..].to_lowercase();
        let path: Vec<&str> = key.split("__").collect();
        let dotted = path.join(".");
        let value = if dotted == "listen" { listeners(&text) } else { value_of(&text) };
        let origin = Origin::Environment { variable };
        if path.iter().any(|part| part.is_empty()) || !put(table, &path, value) {
            let message = "it names no setting; write BOWLINE_SECTION__KEY".to_owned();
            complaints.push(Complaint { origin, key: dotted, message });
        } else {
            origins.set(&dotted, origin);
        }
    }
    complaints
}

/// A value as TOML has it, or else text.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    // More than one key: the text broke out of its line.
    let single = parsed.ok().filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    single.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `127.0.0.1:7790,unix:/run/bowline.sock`.
fn listeners(text: &str) -> Value {
    if text.trim_start().starts_with('[') && text.contains('{') {
        return value_of(text);
    }
    let listener = |part: &str| {
        let (kind, address) = match part.trim().strip_prefix("unix:") {
            Some(path) => ("unix", path),
            None => ("tcp", part.trim()),
        };
        Value::Table(Table::from_iter([(kind.to_owned(), Value::String(address.to_owned()))]))
    };
    Value::Array(text.split(',').map(listener).collect())
}

/// Puts `value` at `path`; false where something on the way is no table.
fn put(table: &mut Table, path: &[&str], value: Value) -> bool {
    match path {
        [] => false,
        [last] => {
            table.insert((*last).to_owned(), value);
            true
        }
        [first, rest @ ..] => {
            let next = table.entry((*first).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            next.as_table_mut().is_some_and(|next| put(next, rest, value))
        }
    }
}

/// Makes what is wanted of the values. A value at fault is complained about and taken out, so that
/// the next fault is found as well.
fn deserialize<T: DeserializeOwned>(
    mut table: Table,
    origins: &Origins,
    complaints: &mut Vec<Complaint>,
) -> Option<T> {
    while complaints.len() < COMPLAINTS_MAX {
        let error = match serde_path_to_error::deserialize(Value::Table(table.clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let key = error.path().to_string();
        let message = explain(&key, error.inner().message());
        complaints.push(Complaint { origin: origins.nearest(&key), key: key.clone(), message });
        if !take_out(&mut table, &key) {
            return None;
        }
    }
    None
}

/// Takes the value at `key` (`a.b[2].c`) out; false where it is not there.
fn take_out(table: &mut Table, key: &str) -> bool {
    // Within a list, the whole list goes: other keys keep their numbers.
    let key = key.split('[').next().unwrap_or(key);
    let Some((first, rest)) = key.split_once('.') else { return table.remove(key).is_some() };
    table.get_mut(first).and_then(Value::as_table_mut).is_some_and(|next| take_out(next, rest))
}
