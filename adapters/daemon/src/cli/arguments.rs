//! The process's arguments, made such that clap reads them.

use std::ffi::OsString;

use clap::{Command, CommandFactory};

use super::Cli;

/// Separates the parts of a property once they are one argument.
pub(crate) const PART: char = '\u{1f}';

/// The process's arguments: with `--mqtt`, those of a command line of its own; and a server that stands first
/// behind the command, flags aside, behind a flag.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut given: Vec<OsString> = given.collect();
    let Some(name) = given.get(1).and_then(|arg| arg.to_str()) else { return given };
    let is_mqtt = given.iter().skip(2).take_while(|arg| *arg != "--").any(|arg| arg == "--mqtt");
    let mqtt = Some(name).filter(|name| is_mqtt && matches!(*name, "pub" | "sub" | "req"));
    let name = mqtt.map_or_else(|| name.to_owned(), |name| format!("mqtt-{name}"));
    if mqtt.is_some() {
        given = with_whole_properties(given);
        given[1] = name.clone().into();
    }
    let mut cli = Cli::command();
    cli.build();
    let known = cli.find_subcommand(name);
    let Some(command) = known.filter(|c| c.get_arguments().any(|arg| arg.get_long() == Some("server")))
    else {
        return given;
    };
    let first = first_word(command, &given);
    if let Some(at) = first.filter(|at| given[*at].to_str().is_some_and(is_server)) {
        given.insert(at, "--server".into());
    }
    given
}

/// Without `--mqtt`, and each property's parts in one argument.
fn with_whole_properties(given: Vec<OsString>) -> Vec<OsString> {
    let mut own = Vec::with_capacity(given.len());
    let mut rest = given.into_iter().filter(|arg| arg != "--mqtt");
    while let Some(arg) = rest.next() {
        let property = arg == "-D" || arg == "--property";
        own.push(arg);
        if property {
            let mut parts: Vec<OsString> = rest.by_ref().take(3).collect();
            if parts.get(1).is_some_and(|name| name == "user-property") {
                parts.extend(rest.next());
            }
            own.push(parts.join(OsString::from(PART.to_string()).as_os_str()));
        }
    }
    own
}

/// Where the first argument stands that is neither a flag nor a flag's value.
fn first_word(command: &Command, given: &[OsString]) -> Option<usize> {
    let values = |arg: Option<&clap::Arg>| {
        let arg = arg.filter(|arg| arg.get_action().takes_values());
        arg.map_or(0, |arg| arg.get_num_args().map_or(1, |range| range.min_values()))
    };
    let mut at = 2;
    while let Some(text) = given.get(at).map(|arg| arg.to_str().unwrap_or_default()) {
        at += match (text.strip_prefix("--"), text.strip_prefix('-')) {
            (Some(""), _) => return None,
            (Some(long), _) if long.contains('=') => 1,
            (Some(long), _) => 1 + values(command.get_arguments().find(|arg| arg.get_long() == Some(long))),
            (None, Some(flags)) if !flags.is_empty() => {
                // Behind the first that takes a value, all is its value.
                let taken = flags.char_indices().find_map(|(i, flag)| {
                    let n = values(command.get_arguments().find(|arg| arg.get_short() == Some(flag)));
                    (n > 0).then_some((&flags[i + flag.len_utf8()..], n))
                });
                1 + taken.map_or(0, |(value, n)| if value.is_empty() { n } else { 0 })
            }
            _ => return Some(at),
        };
    }
    None
}

/// Whether an argument is a server's address by its scheme.
fn is_server(text: &str) -> bool {
    const SCHEMES: [&str; 11] = [
        "bowline",
        "bowline+udp",
        "bowline+ws",
        "bowline+wss",
        "bowlines",
        "mqtt",
        "mqtt+ws",
        "mqtt+wss",
        "mqtts",
        "ws",
        "wss",
    ];
    text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}
