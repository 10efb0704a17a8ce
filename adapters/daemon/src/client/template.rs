//! `{{Name}}` in a payload.

use std::time::{SystemTime, UNIX_EPOCH};

/// Replaces each `{{Name}}` that `value` knows; others stay as they are. What is put in is not
/// looked at again.
pub(super) fn expand(template: &str, mut value: impl FnMut(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        out.extend_from_slice(before.as_bytes());
        let known = from.find("}}").and_then(|end| Some((value(from[2..end].trim())?, end)));
        if let Some((put, end)) = known {
            out.extend_from_slice(&put);
            rest = &from[end + 2..];
        } else {
            // One brace, so that `{{{Count}}` still finds its name.
            out.push(b'{');
            rest = &from[1..];
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// What every template knows: `Count`, `Time` (UTC, RFC 3339), `Unix` (seconds).
pub(super) fn common(name: &str, count: u64, now: SystemTime) -> Option<Vec<u8>> {
    match name {
        "Count" => Some(count.to_string().into_bytes()),
        "Time" => Some(humantime::format_rfc3339_millis(now).to_string().into_bytes()),
        "Unix" => {
            Some(now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string().into_bytes())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn with(template: &str) -> String {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        String::from_utf8(expand(template, |name| match name {
            "Request" => Some(b"{{Count}}".to_vec()),
            name => common(name, 7, now),
        }))
        .unwrap()
    }

    #[test]
    fn names_are_replaced() {
        assert_eq!(with("n {{Count}}, {{ Unix }}"), "n 7, 1700000000");
        assert_eq!(with("{{Time}}"), "2023-11-14T22:13:20.123Z");
        assert_eq!(with("{{{Count}}"), "{7");
    }

    #[test]
    fn what_is_put_in_is_not_expanded_again() {
        assert_eq!(with("{{Request}}!"), "{{Count}}!");
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for template in ["", "{{", "}}", "{{Count", "{{Unknown}}", "{ {Count} }", "ü{{ü}}ü"] {
            assert_eq!(with(template), template);
        }
    }
}
