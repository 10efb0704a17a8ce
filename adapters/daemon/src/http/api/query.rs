//! What stands behind the question mark.

use tracing::Level;

use super::cursor::Place;

/// What is looked for has so many octets at most.
const SEARCH: usize = 128;

/// Rows of a list at most.
const ROWS: usize = 500;

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    /// Messages a second, most first.
    Rate,
    /// Octets that wait, most first.
    Queue,
    /// Members or subscribers, most first.
    Members,
}

impl Sort {
    const ALL: [Self; 4] = [Self::Name, Self::Rate, Self::Queue, Self::Members];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rate => "rate",
            Self::Queue => "queue",
            Self::Members => "members",
        }
    }
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// In lower case.
    pub(super) search: String,
    /// What names begin with, in lower case.
    prefix: String,
    pub(super) sort: Sort,
    pub(super) limit: usize,
    /// The row behind which a list goes on.
    pub(super) after: Option<Place>,
    pub(super) forget: bool,
    /// Whether a plugin is to be switched on or off.
    pub(super) enabled: Option<bool>,
    /// Sessions with this tag.
    pub(super) tag: Option<String>,
    /// And of this user, dialect and listener.
    pub(super) user: Option<String>,
    pub(super) dialect: Option<String>,
    pub(super) listener: Option<String>,
    /// Only this one.
    pub(super) session: Option<String>,
    pub(super) level: Level,
    /// The number of the last line of the log that is known.
    pub(super) last: u64,
}

impl Query {
    /// Reads it, or says what is wrong. What it does not know, it passes over.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self {
            search: String::new(),
            prefix: String::new(),
            sort: Sort::Name,
            limit: 50,
            after: None,
            forget: false,
            enabled: None,
            tag: None,
            user: None,
            dialect: None,
            listener: None,
            session: None,
            level: Level::INFO,
            last: 0,
        };
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| format!("{name} is no percent-encoded UTF-8"))?;
            let wrong = |how: &str| format!("{name} is {how}, not {value:?}");
            match name {
                "search" | "prefix" | "tag" | "user" | "dialect" | "listener" | "session"
                    if value.len() > SEARCH =>
                {
                    return Err(format!("{name} has at most {SEARCH} octets"));
                }
                "search" => query.search = value.to_lowercase(),
                "prefix" => query.prefix = value.to_lowercase(),
                "sort" => {
                    let sort = Sort::ALL.into_iter().find(|sort| sort.text() == value);
                    query.sort = sort.ok_or_else(|| wrong("name, rate, queue or members"))?;
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=ROWS).contains(limit));
                    query.limit = limit.ok_or_else(|| wrong("a number from 1 to 500"))?;
                }
                "after" => {
                    let after = Place::parse(&value);
                    query.after = Some(after.ok_or_else(|| wrong("the `next` of the page before"))?);
                }
                "enabled" => {
                    query.enabled = Some(value.parse().map_err(|_| wrong("true or false"))?);
                }
                "tag" => query.tag = Some(value),
                "user" => query.user = Some(value),
                "dialect" => query.dialect = Some(value),
                "listener" => query.listener = Some(value),
                "session" => query.session = Some(value),
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

    /// Whether what is called so begins as it should, and one of these texts has what is looked for.
    pub(super) fn finds(&self, name: &str, texts: &[&str]) -> bool {
        let mut letters = name.chars().flat_map(char::to_lowercase);
        self.prefix.chars().all(|c| letters.next() == Some(c))
            && (self.search.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&self.search)))
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
            Query::parse("search=Caf%C3%89+%2F&limit=3&sort=queue&level=debug&forget=true&odd").unwrap();
        assert_eq!((&*query.search, query.limit, query.sort), ("café /", 3, Sort::Queue));
        assert!(query.forget && query.level == Level::DEBUG && query.finds("", &["no", "le CAFÉ /"]));
        let query = Query::parse("prefix=H%C3%84us&search=er").unwrap();
        assert!(query.finds("häuser", &["x", "Häuser"]) && !query.finds("HÄUS", &["Häus"]));
        assert!(!query.finds("die häuser", &["die häuser"]));
        let place = Place::new(3, "a", 5);
        assert_eq!(Query::parse(&format!("after={}", place.text())).unwrap().after, Some(place));
        let query = Query::parse("").unwrap();
        assert_eq!((query.limit, query.sort, query.after), (50, Sort::Name, None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("limit=abc", "limit is a number from 1 to 500, not \"abc\""),
            ("limit=0", "limit is a number from 1 to 500, not \"0\""),
            ("limit=501", "limit is a number from 1 to 500, not \"501\""),
            ("after=-", "after is the `next` of the page before, not \"-\""),
            ("sort=size", "sort is name, rate, queue or members, not \"size\""),
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
