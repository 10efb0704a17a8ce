//! What the user reads: what was asked for on stdout, all else on stderr; coloured on a terminal alone.

use std::io::{ErrorKind, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::failure::Failure;

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

/// Writes what was asked for on standard output. A reader that has seen enough is no failure.
pub(crate) fn data(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Whether somebody watches stderr.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

fn say(style: Style, label: &str, message: &str) {
    // Nobody can be told that stderr is gone.
    let _ = writeln!(anstream::stderr().lock(), "{style}{label}:{style:#} {message}");
}
