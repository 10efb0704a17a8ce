//! Time of day, as text.

use core::fmt;

use crate::calendar::Second;

/// A time as typed JSON writes it: `YYYY-MM-DDTHH:MM:SSZ`, from milliseconds since 1970-01-01 UTC.
///
/// ```
/// use bowline_core::json::Timestamp;
/// assert_eq!(Timestamp::of_millis(951_782_400_999).to_string(), "2000-02-29T00:00:00Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(Second);

impl Timestamp {
    /// From milliseconds; what is after the year 9999 counts as its last second.
    #[must_use]
    pub const fn of_millis(millis: u64) -> Self {
        Self(Second::from_unix(millis / 1000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), (hour, minute, second)) = (self.0.date(), self.0.time());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn texts() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_000_000_000_000, "2001-09-09T01:46:40Z"),
            (1_795_000_061_500, "2026-11-18T11:07:41Z"),
            (u64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::of_millis(millis).to_string(), text);
        }
    }
}
