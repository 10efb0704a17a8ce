//! Durations and sizes as people write them: `30s`, `500ms`, `1h`; `64KiB`, `1MiB`, `4096`.

use std::time::Duration;

/// The units of a duration, largest first, in milliseconds.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size, largest first, in octets.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads `30s`, `500ms`, `5m`, `1h`, `2d`, or several in one as `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let complaint = || format!("`{text}` is not a duration; write one such as 500ms, 30s, 5m or 1h");
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(complaint());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(complaint)?;
        let number: u64 = rest[..digits].parse().map_err(|_| complaint())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit) = TIMES.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(complaint)?;
        rest = &rest[letters..];
        total = number.checked_mul(*unit).and_then(|ms| total.checked_add(ms)).ok_or_else(complaint)?;
    }
    Ok(Duration::from_millis(total))
}

/// Like [`parse_duration`], but a number alone means seconds, as in `mosquitto_sub -W 5`.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => {
            Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is not a duration"))
        }
        Err(_) => parse_duration(text),
    }
}

/// Writes a duration as [`parse_duration`] reads it, in the largest unit that is exact.
pub(crate) fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match TIMES.iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => "0s".to_owned(),
    }
}

/// Reads `4096`, `4096B`, `64KiB`, `1MiB`, `1GiB`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let complaint = || format!("`{text}` is not a size; write one such as 4096, 64KiB or 1MiB");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| complaint())?;
    let unit = text[digits..].trim();
    if unit.is_empty() {
        return Ok(number);
    }
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(complaint)?;
    number.checked_mul(*factor).ok_or_else(complaint)
}

/// Writes a size as [`parse_size`] reads it, in the largest unit that is exact.
pub(crate) fn format_size(octets: u64) -> String {
    match SIZES.iter().find(|(_, unit)| octets >= *unit && octets.is_multiple_of(*unit)) {
        Some((name, unit)) if *unit > 1 => format!("{}{name}", octets / unit),
        _ => octets.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("2d", 172_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(format_duration(Duration::from_secs(5_400)), "90m");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "5 s", "-1s", "1.5s", "5x", "99999999999999999999s", "99999999999999999d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(
            parse_duration("5x").unwrap_err(),
            "`5x` is not a duration; write one such as 500ms, 30s, 5m or 1h"
        );
    }

    #[test]
    fn a_number_alone_is_seconds_on_the_command_line() {
        assert_eq!(parse_seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_seconds("250ms"), Ok(Duration::from_millis(250)));
        for text in ["-1", "inf", "NaN", "1e300", ""] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, octets) in
            [("4097", 4097), ("64KiB", 65_536), ("1MiB", 1 << 20), ("3GiB", 3 << 30), ("0", 0)]
        {
            assert_eq!(parse_size(text), Ok(octets));
            assert_eq!(format_size(octets), text);
        }
        assert_eq!(parse_size("12 B"), Ok(12));
        for text in ["", "KiB", "1kb", "1 MB", "-1", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
