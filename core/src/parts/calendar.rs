//! Dates of the calendar, for whoever writes a time as text.

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;

/// 9999-12-31T23:59:59Z: what is later has no text with a year of four digits.
const LAST: u64 = 253_402_300_799;

/// A second of the proleptic Gregorian calendar, in UTC, from 1970 to the end of the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Second(u64);

impl Second {
    /// So many seconds since 1970-01-01; what is after the year 9999 counts as its last second.
    pub(crate) const fn from_unix(seconds: u64) -> Self {
        Self(if seconds > LAST { LAST } else { seconds })
    }

    /// Whole days since 1970-01-01.
    pub(crate) const fn days(self) -> u64 {
        self.0 / DAY
    }

    /// Year, month and day, the latter two from 1 on.
    pub(crate) const fn date(self) -> (u64, u64, u64) {
        // Years begin in March here, so that a leap day is a year's last; 719,468 days are between
        // 0000-03-01 and 1970-01-01, 146,097 in 400 years.
        let days = self.days() + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Months of 31, 30, 31, 30, 31 days again and again: 153 in five.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + next, month, day)
    }

    /// Hour, minute and second.
    pub(crate) const fn time(self) -> (u64, u64, u64) {
        let second = self.0 % DAY;
        (second / 3600, second / 60 % 60, second % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(Second::from_unix(days * DAY).date(), (year, month, day));
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
}
