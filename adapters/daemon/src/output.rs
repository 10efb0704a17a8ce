//! What is said to the user beside the data: always on stderr, coloured on a terminal alone.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default();

/// Says why the command failed.
pub(crate) fn error(message: &str) {
    say(ERROR, "error", message);
}

/// Says what is not as it should be, while the command goes on.
pub(crate) fn warning(message: &str) {
    say(WARNING, "warning", message);
}

/// Says what happened.
pub(crate) fn note(message: &str) {
    say(NOTE, "bowline", message);
}

/// Whether somebody watches stderr.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

fn say(style: Style, label: &str, message: &str) {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(anstream::stderr().lock(), "{style}{label}:{style:#} {message}");
}
