//! What stands behind the question mark.

use tracing::Level;

/// What is looked for has so many octets at most.
const SEARCH: usize = 128;

/// Rows of a list at most.
const ROWS: usize = 500;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// In lower case.
    pub(super) search: String,
    pub(super) limit: usize,
    /// The place from which a list goes on.
    pub(super) after: u64,
    pub(super) forget: bool,
    pub(super) level: Level,
    /// The number of the last line of the log that is known.
    pub(super) last: u64,
}

impl Query {
    /// Reads it, or says what is wrong. What it does not know, it passes over.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut query =
            Self { search: String::new(), limit: 50, after: 0, forget: false, level: Level::INFO, last: 0 };
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| format!("{name} is no percent-encoded UTF-8"))?;
            let wrong = |how: &str| format!("{name} is {how}, not {value:?}");
            match name {
                "search" if value.len() > SEARCH => {
                    return Err(format!("search has at most {SEARCH} octets"));
                }
                "search" => query.search = value.to_lowercase(),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=ROWS).contains(limit));
                    query.limit = limit.ok_or_else(|| wrong("a number from 1 to 500"))?;
                }
                "after" => {
                    let after = u64::from_str_radix(&value, 16);
                    query.after = after.map_err(|_| wrong("the `next` of the page before"))?;
                }
                "forget" => query.forget = value.parse().map_err(|_| wrong("true or false"))?,
                "level" => {
                    let level = ["error", "warn", "info", "debug", "trace"].contains(&&*value);
                    let level = level.then(|| value.parse().ok()).flatten();
                    query.level = level.ok_or_else(|| wrong("error, warn, info, debug or trace"))?;
                }
                "last" => query.last = value.parse().map_err(|_| wrong("a number"))?,
                _ => {}
            }
        }
        Ok(query)
    }

    /// Whether one of these texts has what is looked for.
    pub(super) fn finds(&self, texts: &[&str]) -> bool {
        self.search.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&self.search))
    }
}

/// Takes `%20` and `+` out.
fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        octets.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = core::str::from_utf8(rest.get(..2)?).ok()?;
                // A number may have a sign, and these may not.
                let octet = digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(digits)?;
                rest = &rest[2..];
                u8::from_str_radix(octet, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood() {
        let query =
            Query::parse("search=Caf%C3%89+%2F&limit=3&after=1f&level=debug&forget=true&odd").unwrap();
        assert_eq!((&*query.search, query.limit, query.after), ("café /", 3, 0x1f));
        assert!(query.forget && query.level == Level::DEBUG && query.finds(&["no", "le CAFÉ /"]));
        assert_eq!(Query::parse("").unwrap().limit, 50);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("limit=abc", "limit is a number from 1 to 500, not \"abc\""),
            ("limit=0", "limit is a number from 1 to 500, not \"0\""),
            ("limit=501", "limit is a number from 1 to 500, not \"501\""),
            ("after=-", "after is the `next` of the page before, not \"-\""),
            ("search=%+1", "search is no percent-encoded UTF-8"),
            ("search=%ff", "search is no percent-encoded UTF-8"),
            ("search=%e", "search is no percent-encoded UTF-8"),
            ("forget=1", "forget is true or false, not \"1\""),
            ("level=loud", "level is error, warn, info, debug or trace, not \"loud\""),
        ] {
            assert_eq!(Query::parse(text).unwrap_err(), why);
        }
        assert!(Query::parse(&format!("search={}", "x".repeat(129))).unwrap_err().contains("128"));
    }
}
