//! Topics and filters as PRX1 writes them, and the same filters as the hub does.
//!
//! | PRX1 | matches | the hub's |
//! |---|---|---|
//! | `a/*/b` | exactly one level in the middle | `a/+/b` |
//! | `a/*` | one level or more at the end | `a/+/#` |
//! | `*` | every topic | `+/#` |
//!
//! A `*` at the end is not the hub's `#`, which also matches the level above: `a/#` matches `a`, but
//! `a/*` does not. With one `+` before it, `#` adds to one level any number of others, which is just
//! what `*` means, so nothing needs to be sorted out afterwards. A `*` beside other characters of its
//! level is a character like any other.
//!
//! `+` and `#` are characters like any other in PRX1, but wildcards everywhere else: a topic or
//! filter with one of them could not be told to the others, and is refused. So is a filter that
//! begins with `$share/`, which PRX1 does not know. As everywhere in the hub, a wildcard in front
//! matches no topic that begins with `$`.

use core::fmt::{self, Write};

use crate::topic::{self, MAX_LEVELS, MAX_OCTETS, SHARE};

/// What is wrong with a topic or filter, and where (octets from its beginning).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// No dialect could carry it.
    #[error("{0}")]
    Invalid(#[from] topic::TopicError),
    /// It holds `+` or `#`.
    #[error("octet {at} is `+` or `#`, a wildcard for others than PRX1; use another character")]
    ForeignWildcard {
        /// Where.
        at: usize,
    },
    /// A message is published to a filter.
    #[error("a message is published to one topic, and octet {at} is the wildcard `*`")]
    WildcardInName {
        /// Where.
        at: usize,
    },
    /// A filter begins with `$share/`.
    #[error("a filter must not begin with `$share/`; PRX1 has no shared subscriptions")]
    Shared,
}

/// A valid filter. It prints as the hub writes it.
///
/// ```
/// use bowline_core::prx1::Filter;
/// let filter = Filter::parse("house/*/lamps/*")?;
/// assert_eq!(filter.as_str(), "house/*/lamps/*");
/// assert_eq!(filter.to_string(), "house/+/lamps/+/#");
/// assert!(filter.matches("house/kitchen/lamps/3") && !filter.matches("house/kitchen/lamps"));
/// # Ok::<(), bowline_core::prx1::TopicError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Filter<'a>(&'a str);

impl<'a> Filter<'a> {
    /// Checks a filter.
    ///
    /// # Errors
    ///
    /// See [`TopicError`]: it is empty, too long or too deep (as the hub writes it), holds U+0000,
    /// `+` or `#`, or begins with `$share/`.
    pub fn parse(text: &'a str) -> Result<Self, TopicError> {
        let filter = Filter(text);
        if text.starts_with(SHARE) {
            return Err(TopicError::Shared);
        }
        check(text, MAX_LEVELS - usize::from(filter.is_open()))?;
        match filter.hub_len() {
            octets if octets > MAX_OCTETS => Err(topic::TopicError::TooLong { octets }.into()),
            _ => Ok(filter),
        }
    }

    /// As the client wrote it.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// How many octets it has as the hub writes it: those that it prints.
    #[must_use]
    pub fn hub_len(self) -> usize {
        self.0.len() + if self.is_open() { "+/#".len() - "*".len() } else { 0 }
    }

    /// Whether it ends with `*`: one level or more.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.0 == "*" || self.0.ends_with("/*")
    }

    /// Whether it matches `topic`: PRX1's rule in its plainest form, for single comparisons and
    /// for tests.
    #[must_use]
    pub fn matches(self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.split('/').next() == Some("*") {
            return false;
        }
        let mut names = topic.split('/');
        let mut levels = self.0.split('/').peekable();
        while let Some(level) = levels.next() {
            let Some(name) = names.next() else { return false };
            match level {
                "*" if levels.peek().is_none() => return true,
                "*" => {}
                level if level == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

impl fmt::Display for Filter<'_> {
    /// As the hub writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, level) in self.0.split('/').enumerate() {
            if i > 0 {
                f.write_char('/')?;
            }
            f.write_str(if level == "*" { "+" } else { level })?;
        }
        if self.is_open() { f.write_str("/#") } else { Ok(()) }
    }
}

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// Checks a name, to which messages are published or by which a queue is known.
///
/// # Errors
///
/// See [`TopicError`]: it is empty, too long or too deep, holds U+0000, `+` or `#`, or has a level
/// `*`.
pub fn validate_topic(name: &str) -> Result<(), TopicError> {
    validate_name(name)?;
    let mut at = 0;
    for level in name.split('/') {
        if level == "*" {
            return Err(TopicError::WildcardInName { at });
        }
        at += level.len() + 1;
    }
    Ok(())
}

/// Checks the name of a message that a server hands on: it may have a level `*`, which others use as
/// a name like any other.
pub(super) fn validate_name(name: &str) -> Result<(), TopicError> {
    check(name, MAX_LEVELS)
}

/// What names and filters have in common.
fn check(text: &str, max_levels: usize) -> Result<(), TopicError> {
    match topic::validate_topic(text) {
        Err(topic::TopicError::WildcardInName { at }) => return Err(TopicError::ForeignWildcard { at }),
        other => other?,
    }
    if max_levels < MAX_LEVELS && text.split('/').count() > max_levels {
        let at = text.len() - "*".len();
        return Err(topic::TopicError::TooManyLevels { at }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};

    fn mapped(filter: &str) -> String {
        let filter = Filter::parse(filter).unwrap();
        let text = filter.to_string();
        assert_eq!(filter.hub_len(), text.len());
        assert_eq!(topic::validate_filter(&text), Ok(()));
        text
    }

    #[test]
    fn filters_become_the_hubs() {
        for (theirs, ours) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("*", "+/#"),
            ("a/*", "a/+/#"),
            ("*/a", "+/a"),
            ("*/*", "+/+/#"),
            ("a/*/b", "a/+/b"),
            ("a/*/*", "a/+/+/#"),
            ("a//*", "a//+/#"),
            ("/", "/"),
            ("/*/", "/+/"),
            ("a*/b*", "a*/b*"),
            ("**", "**"),
        ] {
            assert_eq!(mapped(theirs), ours);
        }
    }

    #[test]
    fn one_level_or_more() {
        let filter = Filter::parse("a/*").unwrap();
        let is = ["a", "a/", "a/x", "a/x/y", "b/x", "ab"].map(|name| filter.matches(name));
        assert_eq!(is, [false, true, true, true, false, false]);
        assert!(Filter::parse("*").unwrap().matches("one-level"));
        assert!(!Filter::parse("*").unwrap().matches("$SYS/uptime"));
        assert!(Filter::parse("$SYS/*").unwrap().matches("$SYS/uptime"));
    }

    #[test]
    fn what_others_could_not_be_told_is_refused() {
        use topic::TopicError as T;
        assert_eq!(Filter::parse(""), Err(TopicError::Invalid(T::Empty)));
        assert_eq!(Filter::parse("a/+"), Err(TopicError::ForeignWildcard { at: 2 }));
        assert_eq!(validate_topic("c#"), Err(TopicError::ForeignWildcard { at: 1 }));
        assert_eq!(validate_topic("a/b/*"), Err(TopicError::WildcardInName { at: 4 }));
        assert_eq!(validate_topic("*"), Err(TopicError::WildcardInName { at: 0 }));
        assert_eq!(validate_topic("a*/b*"), Ok(()));
        assert_eq!(validate_topic("a\0"), Err(TopicError::Invalid(T::Nul { at: 1 })));
        assert_eq!(Filter::parse("$share/g/a"), Err(TopicError::Shared));
    }

    #[test]
    fn the_hubs_form_is_within_the_hubs_limits() {
        let deep = "a/".repeat(MAX_LEVELS - 2) + "*";
        assert_eq!(mapped(&deep).split('/').count(), MAX_LEVELS);
        let at = deep.len() + 1;
        let too_deep = "a/".repeat(MAX_LEVELS - 1) + "*";
        let error = topic::TopicError::TooManyLevels { at };
        assert_eq!(Filter::parse(&too_deep), Err(error.into()));
        let long = "a".repeat(MAX_OCTETS - 4) + "/*";
        assert_eq!(mapped(&long).len(), MAX_OCTETS);
        let too_long = "a".repeat(MAX_OCTETS - 3) + "/*";
        let error = topic::TopicError::TooLong { octets: MAX_OCTETS + 1 };
        assert_eq!(Filter::parse(&too_long), Err(error.into()));
    }

    fn levels(of: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(of), 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        /// The hub's rule on the hub's form is PRX1's rule on PRX1's form.
        #[test]
        fn both_forms_match_the_same(
            filter in levels(&["a", "b", "", "*", "a*", "$s"]),
            name in levels(&["a", "b", "", "a*", "$s"]),
        ) {
            if let Ok(filter) = Filter::parse(&filter) {
                prop_assert_eq!(filter.matches(&name), topic::matches(&mapped(filter.as_str()), &name));
            } else {
                prop_assert_eq!(filter, "");
            }
        }

        #[test]
        fn nothing_panics(text in "[a*+#/$\\x00é]{0,20}") {
            for result in [Filter::parse(&text).map(|_| ()), validate_topic(&text)] {
                if let Err(error) = result {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
            let _ = (Filter(&text).matches(&text), Filter(&text).is_open());
        }
    }
}
