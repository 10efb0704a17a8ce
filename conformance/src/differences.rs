//! Known differences of a server that is not ours, each with a written explanation.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::runner::Outcome;
use crate::vector::{LoadError, Vector};

/// A file of differences.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differences {
    /// The server and its version.
    pub server: String,
    /// What is different.
    pub differences: Vec<Difference>,
}

/// One explanation, and the vectors that it explains.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// What the server does instead, and what the specification says to that.
    pub why: String,
    /// The vectors that fail because of it.
    pub vectors: Vec<String>,
}

impl Differences {
    /// Reads a file.
    ///
    /// # Errors
    /// [`LoadError`], naming the file.
    pub fn read(file: &Path) -> Result<Self, LoadError> {
        let name = || file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| LoadError::Io { file: name(), error })?;
        serde_json::from_str(&text).map_err(|error| LoadError::Json { file: name(), error })
    }

    /// Judges by them: a failure that is listed is explained, and one that is listed and does not
    /// occur fails, as does a vector that is listed twice.
    pub fn judge<'a>(&'a self, vectors: &[Vector], outcomes: impl Iterator<Item = &'a mut Outcome>) {
        let mut listed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for difference in &self.differences {
            for vector in &difference.vectors {
                listed.entry(vector).or_default().push(&difference.why);
            }
        }
        for (vector, outcome) in vectors.iter().zip(outcomes) {
            let failed = matches!(outcome, Outcome::Fail { .. });
            match listed.get(vector.name.as_str()).map(Vec::as_slice) {
                None => {}
                Some([why]) if failed => *outcome = Outcome::Explained((*why).to_owned()),
                Some([_]) => *outcome = fail(format!("{} is said to fail, and passes", self.server)),
                Some(_) => *outcome = fail("its difference is explained twice".to_owned()),
            }
        }
    }

    /// Vectors that are listed and do not exist.
    #[must_use]
    pub fn unknown<'a>(&'a self, all: &[Vector]) -> Vec<&'a str> {
        let named = self.differences.iter().flat_map(|d| &d.vectors).map(String::as_str);
        named.filter(|name| !all.iter().any(|v| v.name == **name)).collect()
    }
}

fn fail(what: String) -> Outcome {
    Outcome::Fail { step: 0, what }
}
