//! Times as text.

use std::fmt;

use eximrbl_table::UnixSeconds;

/// Shows a time as RFC 3339 in UTC, such as `2026-11-22T05:43:10Z`.
pub fn rfc3339(time: UnixSeconds) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let (days, seconds) = (time / 86_400, time % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    })
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day comes last; then five months
/// always have 153 days, and four centuries 146,097. Valid for all 32-bit times (to 2106).
fn civil(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_known_times() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_326_190, "2026-11-22T05:43:10Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (u32::MAX, "2106-02-07T06:28:15Z"),
        ] {
            assert_eq!(rfc3339(time).to_string(), text);
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut previous = civil(0);
        for days in 1..=u32::MAX / 86_400 {
            let (year, month, day) = civil(days);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let next_of_month = (previous.0, previous.1, previous.2 + 1);
            if (year, month, day) != next_of_month {
                assert_eq!(day, 1, "day {days}");
                let last = match previous.1 {
                    2 if leap => 29,
                    2 => 28,
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                assert_eq!(previous.2, last, "day {days}");
                assert_eq!(year * 12 + month, previous.0 * 12 + previous.1 + 1, "day {days}");
            }
            previous = (year, month, day);
        }
    }
}
