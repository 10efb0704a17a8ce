//! Topic patterns of rules: filters with the client's own names in them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use memchr::memchr;

use super::Who;
use crate::topic::{self, TopicError};

/// A filter, of which levels may hold `%u` and `%c`.
///
/// It is a list of levels, and whether `#` follows them. `#` alone is `+/#`, since every topic has a
/// level.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    levels: Box<[Level]>,
    /// More levels may follow.
    open: bool,
}

#[derive(Clone, Debug)]
enum Level {
    Name(Box<str>),
    /// `+`.
    Any,
    /// Text and placeholders, one after the other.
    Filled(Box<[Part]>),
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    User,
    ClientId,
}

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPattern {
    /// It is no filter.
    #[error("{0}")]
    Filter(#[from] TopicError),
    /// It begins with `$share/`: rules are about the filter behind it.
    #[error("`$share/GROUP/` is not part of what rules are about; write the filter that follows it")]
    Share,
    /// A `%` with something else behind it.
    #[error("`%` at octet {at} must be `%u` (the user), `%c` (the client id), or `%%` for itself")]
    Placeholder {
        /// Where.
        at: usize,
    },
}

/// How a pattern has to relate to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// Every topic of the filter is one of the pattern.
    Covers,
    /// Some topic of the filter is one of the pattern.
    Overlaps,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, BadPattern> {
        if text.starts_with(topic::SHARE) {
            return Err(BadPattern::Share);
        }
        topic::validate_filter(text)?;
        let (levels, open) = open(text);
        let mut at = 0;
        let level = |level: &str| {
            let parsed = Level::parse(level, at);
            at += level.len() + 1;
            parsed
        };
        Ok(Self { levels: levels.split('/').map(level).collect::<Result<_, _>>()?, open })
    }

    /// Whether all placeholders can be filled with this client's names.
    ///
    /// A name with `/`, `+`, `#` or U+0000 would make other levels of it than those that the rule
    /// names, an empty one none, and one with `$` in front would leave the client's own topics for
    /// the server's: whoever has such a name has nothing there.
    pub(super) fn fits(&self, who: &Who<'_>) -> bool {
        let fits = |name: &str, in_front: bool| {
            let breaks = name.is_empty() || name.bytes().any(|b| matches!(b, b'/' | b'+' | b'#' | 0));
            let is_servers = in_front && name.starts_with('$');
            !breaks && !is_servers
        };
        self.levels.iter().enumerate().all(|(i, level)| match level {
            Level::Filled(parts) => parts.iter().enumerate().all(|(j, part)| match part {
                Part::Text(_) => true,
                Part::User => fits(who.user, i + j == 0),
                Part::ClientId => fits(who.client_id, i + j == 0),
            }),
            _ => true,
        })
    }

    /// Whether a topic is one of the pattern's; to be asked only where it [fits](Self::fits).
    pub(super) fn matches(&self, who: &Who<'_>, topic: &str) -> bool {
        let mut rest = topic.as_bytes();
        let mut levels = self.levels.iter();
        if let [Level::Any, ..] = *self.levels
            && rest.first() == Some(&b'$')
        {
            return false;
        }
        loop {
            let Some(level) = levels.next() else { return self.open };
            let Some(length) = level.match_front(who, rest) else { return false };
            match rest.get(length) {
                Some(b'/') => rest = &rest[length + 1..],
                None => return levels.next().is_none(),
                Some(_) => return false,
            }
        }
    }

    /// Whether the pattern covers a filter or overlaps with it; to be asked only where it
    /// [fits](Self::fits).
    pub(super) fn relates(&self, relation: Relation, who: &Who<'_>, filter: &str) -> bool {
        let overlap = relation == Relation::Overlaps;
        let (theirs, open) = open(filter);
        let (mut ours, mut theirs, mut first) = (self.levels.iter(), theirs.split('/'), true);
        loop {
            match (ours.next(), theirs.next()) {
                (Some(level), Some(other)) => {
                    let related = match (level, other) {
                        (Level::Any, "+") => true,
                        (Level::Any, name) => !(first && name.starts_with('$')),
                        (level, "+") => overlap && !(first && level.starts_with_dollar()),
                        (level, name) => level.match_front(who, name.as_bytes()) == Some(name.len()),
                    };
                    if !related {
                        return false;
                    }
                }
                (None, Some(_)) => return self.open,
                (Some(_), None) => return overlap && open,
                (None, None) => return overlap || self.open || !open,
            }
            first = false;
        }
    }
}

/// A filter without the `#` at its end, and whether there was one.
fn open(filter: &str) -> (&str, bool) {
    match filter.strip_suffix("/#") {
        // No topic is empty, so what `/#` would have beside is none.
        Some("") => ("/+", true),
        Some(levels) => (levels, true),
        None if filter == "#" => ("+", true),
        None => (filter, false),
    }
}

impl Level {
    /// Reads a level that begins at octet `from` of its pattern.
    fn parse(text: &str, from: usize) -> Result<Self, BadPattern> {
        if text == "+" {
            return Ok(Self::Any);
        }
        let (mut parts, mut literal, mut rest) = (Vec::new(), alloc::string::String::new(), text);
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            let part = match rest.as_bytes().get(at + 1) {
                Some(b'u') => Part::User,
                Some(b'c') => Part::ClientId,
                Some(b'%') => {
                    literal.push('%');
                    rest = &rest[at + 2..];
                    continue;
                }
                _ => return Err(BadPattern::Placeholder { at: from + text.len() - rest.len() + at }),
            };
            if !literal.is_empty() {
                parts.push(Part::Text(core::mem::take(&mut literal).into()));
            }
            parts.push(part);
            rest = &rest[at + 2..];
        }
        literal.push_str(rest);
        if parts.is_empty() {
            return Ok(Self::Name(literal.into()));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        Ok(Self::Filled(parts.into()))
    }

    /// How many octets of `rest`, which begins with a level, this one takes.
    #[inline]
    fn match_front(&self, who: &Who<'_>, rest: &[u8]) -> Option<usize> {
        match self {
            Self::Name(name) => rest.starts_with(name.as_bytes()).then_some(name.len()),
            Self::Any => Some(memchr(b'/', rest).unwrap_or(rest.len())),
            Self::Filled(parts) => {
                let mut length = 0;
                for part in parts {
                    let text = match part {
                        Part::Text(text) => text,
                        Part::User => who.user,
                        Part::ClientId => who.client_id,
                    };
                    if !rest[length..].starts_with(text.as_bytes()) {
                        return None;
                    }
                    length += text.len();
                }
                Some(length)
            }
        }
    }

    /// Whether the name of this level begins with `$`. Names of clients that do fit nowhere in
    /// front.
    fn starts_with_dollar(&self) -> bool {
        match self {
            Self::Name(name) => name.starts_with('$'),
            Self::Filled(parts) => matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('$')),
            Self::Any => false,
        }
    }
}
