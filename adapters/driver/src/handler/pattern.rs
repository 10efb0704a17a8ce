//! Filters with names for some of their levels.

use bowline_core::topic::{TopicError, validate_filter};

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern:?}: {what}")]
pub struct PatternError {
    /// The text.
    pub pattern: String,
    /// What is wrong.
    pub what: TopicError,
}

/// A filter in which `{name}` stands for `+`, and names that level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    filter: String,
    /// Levels are counted within topics, so without `$share/GROUP/`.
    names: Vec<(String, usize)>,
}

impl Pattern {
    pub(crate) fn new(pattern: &str) -> Result<Self, PatternError> {
        let (mut filter, mut names) = (String::with_capacity(pattern.len()), Vec::new());
        let before = if pattern.starts_with("$share/") { 2 } else { 0 };
        for (i, level) in pattern.split('/').enumerate() {
            if i > 0 {
                filter.push('/');
            }
            match level.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if i >= before => {
                    names.push((name.into(), i - before));
                    filter.push('+');
                }
                _ => filter.push_str(level),
            }
        }
        match validate_filter(&filter) {
            Ok(_) => Ok(Self { filter, names }),
            Err(what) => Err(PatternError { pattern: pattern.into(), what }),
        }
    }

    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    pub(crate) fn level(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(n, _)| n == name).map(|(_, level)| *level)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_wildcards() {
        let p = Pattern::new("chat/{room}/{who}/#").unwrap();
        assert_eq!(p.filter(), "chat/+/+/#");
        assert_eq!((p.level("room"), p.level("who"), p.level("x")), (Some(1), Some(2), None));
        let p = Pattern::new("$share/g/a/{b}").unwrap();
        assert_eq!((p.filter(), p.level("b")), ("$share/g/a/+", Some(1)));
        assert!(Pattern::new("a/#/{b}").is_err());
    }
}
