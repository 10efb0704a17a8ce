//! Where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where one value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A place in the configuration file; line and column count from 1.
    File { file: String, line: usize, column: usize },
    /// An environment variable.
    Environment { variable: String },
    /// A flag of the command line.
    Flag { flag: &'static str },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { flag } => write!(f, "flag {flag}"),
        }
    }
}

/// The origins of all values, by key: `limits.frame`, `listen[0].tcp`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    places: BTreeMap<String, Place>,
}

/// A known place.
#[derive(Clone, Debug)]
struct Place {
    origin: Origin,
    /// A section of a file: where it stands says nothing about the keys that it leaves out.
    is_section: bool,
}

impl Origins {
    /// Takes the places of all keys of a parsed file.
    pub(crate) fn from_file(file: &str, text: &str, table: &DeTable<'_>) -> Self {
        let mut origins = Self::default();
        origins.enter(&Lines { file, text }, "", table);
        origins
    }

    /// Says that `key`, and what is below it, came from `origin`.
    pub(crate) fn set(&mut self, key: &str, origin: Origin) {
        self.places.retain(|known, _| known != key && !is_below(known, key));
        self.places.insert(key.to_owned(), Place { origin, is_section: false });
    }

    /// The place to look at when something is wrong with `key`: its own, or the nearest above it.
    pub(crate) fn nearest(&self, key: &str) -> Origin {
        self.find(key, |_| true)
    }

    /// Where the value of `key` came from.
    pub(crate) fn source(&self, key: &str) -> Origin {
        self.find(key, |place| !place.is_section)
    }

    fn find(&self, key: &str, wanted: impl Fn(&Place) -> bool) -> Origin {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key).filter(|place| wanted(place)) {
                return place.origin.clone();
            }
            let Some(end) = key.rfind(['.', '[']) else { return Origin::Default };
            key = &key[..end];
        }
    }

    fn enter(&mut self, lines: &Lines<'_>, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            self.enter_value(lines, &path, key.span(), value);
        }
    }

    fn enter_value(
        &mut self,
        lines: &Lines<'_>,
        path: &str,
        span: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let is_section = value.get_ref().is_table();
        self.places.insert(path.to_owned(), Place { origin: lines.place(span), is_section });
        match value.get_ref() {
            DeValue::Table(table) => self.enter(lines, path, table),
            DeValue::Array(array) => {
                for (index, item) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.enter_value(lines, &path, item.span(), item);
                }
            }
            _ => {}
        }
    }
}

/// A file, to turn offsets into places.
pub(crate) struct Lines<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

impl Lines<'_> {
    /// The place where `span` begins.
    pub(crate) fn place(&self, span: Range<usize>) -> Origin {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::File {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Whether `key` is a part of `above`.
fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above).is_some_and(|rest| rest.starts_with(['.', '[']))
}
