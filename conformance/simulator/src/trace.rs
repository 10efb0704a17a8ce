//! What happened: a hash of everything, and the last lines of it in words.

use std::collections::VecDeque;
use std::fmt;

/// How many lines a failing world shows.
const LINES: usize = 60;

/// Lines are written only where somebody reads them; the hash is always kept.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    pub(crate) words: Words,
    lines: VecDeque<String>,
}

/// What becomes of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Words {
    /// Nothing is put in words.
    #[default]
    None,
    /// The last ones are kept.
    Last,
    /// All are printed at once.
    Print,
}

impl Trace {
    pub(crate) fn new(words: Words) -> Trace {
        Trace { words, ..Trace::default() }
    }

    /// Takes something that happened into the hash.
    #[inline]
    pub(crate) fn mix(&mut self, a: u64, b: u64, c: u64) {
        let x = a ^ b.rotate_left(24) ^ c.rotate_left(48);
        self.hash = (self.hash ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    #[cold]
    pub(crate) fn line(&mut self, now: u64, text: fmt::Arguments<'_>) {
        let line = format!("{:>12}.{:03} ms  {text}", now / 1_000_000, now / 1000 % 1000);
        if self.words == Words::Print {
            println!("{line}");
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines).into()
    }
}

/// A line of the trace, put in words only where somebody reads it.
macro_rules! say {
    ($world:expr, $($text:tt)*) => {
        if $world.trace.words != $crate::trace::Words::None {
            let now = $world.now;
            $world.trace.line(now, format_args!($($text)*));
        }
    };
}
pub(crate) use say;
