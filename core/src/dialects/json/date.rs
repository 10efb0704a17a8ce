//! Time of day, as text.

use core::fmt;

/// A time as typed JSON writes it: `YYYY-MM-DDTHH:MM:SSZ`, from milliseconds since 1970-01-01 UTC.
///
/// ```
/// use bowline_core::json::Timestamp;
/// assert_eq!(Timestamp::of_millis(951_782_400_999).to_string(), "2000-02-29T00:00:00Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: u64,
}

const DAY: u64 = 86_400;

/// 9999-12-31T23:59:59Z: what is later has no text of this form.
const LAST: u64 = 253_402_300_799;

impl Timestamp {
    /// From milliseconds; what is after the year 9999 counts as its last second.
    #[must_use]
    pub const fn of_millis(millis: u64) -> Self {
        let seconds = millis / 1000;
        Self { seconds: if seconds > LAST { LAST } else { seconds } }
    }

    /// Year, month and day of the proleptic Gregorian calendar.
    const fn date(self) -> (u64, u64, u64) {
        // Years begin in March here, so that a leap day is a year's last; 719,468 days are between
        // 0000-03-01 and 1970-01-01, 146,097 in 400 years.
        let days = self.seconds / DAY + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Months of 31, 30, 31, 30, 31 days again and again: 153 in five.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + next, month, day)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((year, month, day), second) = (self.date(), self.seconds % DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_day_follows_the_one_before() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..LAST / DAY + 1 {
            assert_eq!(Timestamp { seconds: days * DAY }.date(), (year, month, day));
            day += 1;
            if day > length(year, month) {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert_eq!((year, month, day), (10_000, 1, 1));
    }

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
