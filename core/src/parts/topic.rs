//! Topic names and topic filters, as in MQTT: levels between `/`, wildcards `+` and `#`.

/// The longest name or filter, in octets: what a 16-bit length of MQTT can say, so that every
/// message can reach every dialect.
pub const MAX_OCTETS: usize = 65_535;
/// The most levels of a name or filter. It bounds the steps of a match and the nodes that one
/// filter can make; names in use have fewer than ten.
pub const MAX_LEVELS: usize = 128;
/// What a shared subscription's filter begins with; then follow the group, `/` and the filter.
pub const SHARE: &str = "$share/";

/// What is wrong with a topic name or filter, and where (octets from its beginning).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// It has no octet.
    #[error("the topic is empty; it needs at least one character")]
    Empty,
    /// It is longer than [`MAX_OCTETS`].
    #[error("the topic has {octets} octets; at most {MAX_OCTETS} are allowed")]
    TooLong {
        /// How long it is.
        octets: usize,
    },
    /// It has more than [`MAX_LEVELS`] levels.
    #[error("the topic has more than {MAX_LEVELS} levels (the first too many begins at octet {at})")]
    TooManyLevels {
        /// Where the first level too many begins.
        at: usize,
    },
    /// It holds U+0000.
    #[error("the topic holds U+0000 at octet {at}; remove it")]
    Nul {
        /// Where.
        at: usize,
    },
    /// A name, to which messages are published, holds `+` or `#`.
    #[error("a topic name must not hold the wildcard at octet {at}; only filters may")]
    WildcardInName {
        /// Where.
        at: usize,
    },
    /// A wildcard shares its level with other characters.
    #[error("the wildcard at octet {at} must be alone in its level")]
    WildcardNotAlone {
        /// Where.
        at: usize,
    },
    /// `#` is not in the last level.
    #[error("`#` at octet {at} must be the last level")]
    HashNotLast {
        /// Where.
        at: usize,
    },
    /// The group of a shared subscription is empty, holds a wildcard, or no filter follows it.
    #[error("a shared subscription is `$share/GROUP/FILTER`; see octet {at}")]
    BadShare {
        /// Where.
        at: usize,
    },
}

/// A filter taken apart: the group of a shared subscription, and the filter proper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Filter<'a> {
    /// The group, where it is a shared subscription.
    pub group: Option<&'a str>,
    /// The filter without `$share/GROUP/`.
    pub filter: &'a str,
}

impl Filter<'_> {
    /// Whether the filter holds no wildcard, so that it matches only the topic of the same text.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.filter.bytes().any(|b| b == b'+' || b == b'#')
    }
}

/// Checks a topic name: what messages are published to.
///
/// # Errors
///
/// It is empty, too long, too deep, or holds a wildcard or U+0000.
///
/// ```
/// use bowline_core::topic::{TopicError, validate_topic};
/// assert_eq!(validate_topic("home/kitchen/temperature"), Ok(()));
/// assert_eq!(validate_topic("home/+"), Err(TopicError::WildcardInName { at: 5 }));
/// ```
#[inline]
pub fn validate_topic(topic: &str) -> Result<(), TopicError> {
    check_length(topic)?;
    if is_plain(topic.as_bytes()) { Ok(()) } else { check_each(topic) }
}

/// Whether a name that is neither empty nor too long is surely valid. Most are short, so this looks
/// at eight octets at once, and leaves it to the length that there are not too many levels.
#[inline]
fn is_plain(name: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    /// Not 0 if any octet of `x` is.
    const fn zero(x: u64) -> u64 {
        x.wrapping_sub(ONES) & !x & (ONES << 7)
    }
    /// Not 0 if any octet of `x` is 0, `+` or `#`. These two differ in one bit, which is set here.
    const fn bad(x: u64) -> u64 {
        zero(x) | zero((x | (ONES * (b'+' ^ b'#') as u64)) ^ (ONES * b'+' as u64))
    }
    if name.len() >= MAX_LEVELS {
        return false;
    }
    let Some(last) = name.last_chunk() else {
        return name.iter().all(|b| !matches!(b, 0 | b'+' | b'#'));
    };
    // The last word may overlap the one before.
    let (words, _) = name.as_chunks();
    let mut found = bad(u64::from_le_bytes(*last));
    for word in words {
        found |= bad(u64::from_le_bytes(*word));
    }
    found == 0
}

/// What is wrong with a name, and where.
fn check_each(topic: &str) -> Result<(), TopicError> {
    let mut levels = 1;
    for (at, b) in topic.bytes().enumerate() {
        match b {
            b'/' => count_level(&mut levels, at)?,
            0 => return Err(TopicError::Nul { at }),
            b'+' | b'#' => return Err(TopicError::WildcardInName { at }),
            _ => {}
        }
    }
    Ok(())
}

/// Checks a topic filter, also one of a shared subscription.
///
/// # Errors
///
/// As [`parse_filter`].
pub fn validate_filter(filter: &str) -> Result<(), TopicError> {
    parse_filter(filter).map(|_| ())
}

/// Checks a topic filter and takes it apart.
///
/// # Errors
///
/// It is empty, too long, too deep, holds U+0000, uses a wildcard in a place where none may be, or
/// begins with `$share/` and does not go on with a group, `/` and a filter.
///
/// ```
/// use bowline_core::topic::{TopicError, parse_filter};
/// let shared = parse_filter("$share/workers/jobs/#").unwrap();
/// assert_eq!((shared.group, shared.filter), (Some("workers"), "jobs/#"));
/// assert_eq!(parse_filter("a/b+"), Err(TopicError::WildcardNotAlone { at: 3 }));
/// ```
pub fn parse_filter(text: &str) -> Result<Filter<'_>, TopicError> {
    check_length(text)?;
    let Some(rest) = text.strip_prefix(SHARE) else {
        check_filter(text, 0)?;
        return Ok(Filter { group: None, filter: text });
    };
    let bad = |at| TopicError::BadShare { at: SHARE.len() + at };
    let (group, filter) = rest.split_once('/').ok_or(bad(rest.len()))?;
    if group.is_empty() || filter.is_empty() {
        return Err(bad(group.len()));
    }
    if let Some(at) = group.bytes().position(|b| matches!(b, b'+' | b'#' | 0)) {
        return Err(bad(at));
    }
    check_filter(filter, text.len() - filter.len())?;
    Ok(Filter { group: Some(group), filter })
}

/// Whether `filter` (without `$share/GROUP/`) matches `topic`; both valid.
///
/// This is the rule in its plainest form, for single comparisons and for tests; the hub finds all
/// filters that match at once.
///
/// ```
/// use bowline_core::topic::matches;
/// assert!(matches("home/+/temperature", "home/kitchen/temperature"));
/// assert!(matches("home/#", "home"));
/// assert!(!matches("#", "$SYS/uptime"), "wildcards in front do not match `$`");
/// ```
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    is_match(filter.as_bytes(), topic.as_bytes())
}

/// The same on octets.
pub(crate) fn is_match(filter: &[u8], topic: &[u8]) -> bool {
    let hidden = matches!((filter, topic), ([b'+' | b'#', ..], [b'$', ..]));
    !hidden && levels_match(filter, topic)
}

/// Whether levels of a filter match levels of a topic, none of which begin it.
pub(crate) fn levels_match(filter: &[u8], topic: &[u8]) -> bool {
    let mut names = topic.split(|b| *b == b'/');
    for level in filter.split(|b| *b == b'/') {
        if level == b"#" {
            return true;
        }
        match names.next() {
            Some(name) if level == b"+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

#[inline]
fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        octets if octets > MAX_OCTETS => Err(TopicError::TooLong { octets }),
        _ => Ok(()),
    }
}

fn count_level(levels: &mut usize, slash: usize) -> Result<(), TopicError> {
    *levels += 1;
    if *levels > MAX_LEVELS { Err(TopicError::TooManyLevels { at: slash + 1 }) } else { Ok(()) }
}

/// Checks a filter proper that begins at octet `from` of what the caller was given.
fn check_filter(filter: &str, from: usize) -> Result<(), TopicError> {
    let bytes = filter.as_bytes();
    let mut levels = 1;
    for (i, b) in filter.bytes().enumerate() {
        let at = from + i;
        match b {
            b'/' => count_level(&mut levels, at)?,
            0 => return Err(TopicError::Nul { at }),
            b'+' | b'#' => {
                let first = i == 0 || bytes[i - 1] == b'/';
                let last = i + 1 == bytes.len() || bytes[i + 1] == b'/';
                if !first || !last {
                    return Err(TopicError::WildcardNotAlone { at });
                }
                if b == b'#' && i + 1 < bytes.len() {
                    return Err(TopicError::HashNotLast { at });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn names() {
        let deep = "/".repeat(MAX_LEVELS);
        let long = "a".repeat(MAX_OCTETS + 1);
        for (topic, want) in [
            ("a", Ok(())),
            ("/", Ok(())),
            ("a//b", Ok(())),
            ("$SYS/x", Ok(())),
            ("", Err(TopicError::Empty)),
            ("a/#", Err(TopicError::WildcardInName { at: 2 })),
            ("a\0", Err(TopicError::Nul { at: 1 })),
            (&deep[1..], Ok(())),
            (&deep, Err(TopicError::TooManyLevels { at: 128 })),
            (&long[1..], Ok(())),
            (&long, Err(TopicError::TooLong { octets: MAX_OCTETS + 1 })),
        ] {
            assert_eq!(validate_topic(topic), want, "{}", topic.chars().take(20).collect::<String>());
        }
    }

    /// The fast path knows every octet at every place of every length, and no level too many.
    #[test]
    fn names_by_words_are_names_by_octets() {
        for len in 1..=40 {
            for at in 0..len {
                for octet in 0..128 {
                    let mut name = [b'a'; 40];
                    name[at] = octet;
                    let name = core::str::from_utf8(&name[..len]).unwrap();
                    assert_eq!(validate_topic(name), check_each(name), "{name:?}");
                }
            }
        }
        for len in 120..140 {
            let (name, other) = ("/".repeat(len), "é".repeat(len));
            assert_eq!(validate_topic(&name), check_each(&name), "{len}");
            assert_eq!(validate_topic(&other), Ok(()));
        }
    }

    #[test]
    fn filters() {
        for (filter, want) in [
            ("#", Ok(())),
            ("+", Ok(())),
            ("+/+/#", Ok(())),
            ("/#", Ok(())),
            ("a+", Err(TopicError::WildcardNotAlone { at: 1 })),
            ("#a", Err(TopicError::WildcardNotAlone { at: 0 })),
            ("a/#/b", Err(TopicError::HashNotLast { at: 2 })),
            ("a/\0", Err(TopicError::Nul { at: 2 })),
            ("$share", Ok(())),
            ("$share/", Err(TopicError::BadShare { at: 7 })),
            ("$share/g", Err(TopicError::BadShare { at: 8 })),
            ("$share/g/", Err(TopicError::BadShare { at: 8 })),
            ("$share//a", Err(TopicError::BadShare { at: 7 })),
            ("$share/g+/a", Err(TopicError::BadShare { at: 8 })),
            ("$share/g/a+", Err(TopicError::WildcardNotAlone { at: 10 })),
            ("$share/g/#", Ok(())),
        ] {
            assert_eq!(validate_filter(filter), want, "{filter}");
        }
    }

    #[test]
    fn matching() {
        for (filter, topic, want) in [
            ("a/b", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("+", "a/b", false),
            ("+/+", "/b", true),
            ("/+", "/b", true),
            ("#", "a/b", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("a/+/#", "a", false),
            ("+/b", "$SYS/b", false),
            ("$SYS/#", "$SYS/b", true),
        ] {
            assert_eq!(matches(filter, topic), want, "{filter} {topic}");
        }
    }
}
