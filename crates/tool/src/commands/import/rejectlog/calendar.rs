//! From what a line says about its time to seconds since 1970.

use std::time::Duration;

use eximrbl_rejectlog::Stamp;
use eximrbl_table::UnixSeconds;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Knows the host's time zone, and the minute of the line before.
pub(super) struct Calendar {
    zone: TimeZone,
    last: Option<(Stamp, i64)>,
}

/// How far ahead of now a line without a year may be before it is of the year before: clocks differ.
const AHEAD: Duration = Duration::from_secs(86_400);

impl Calendar {
    /// By the zone of the host, or of the environment's `TZ`.
    pub(super) fn new() -> Self {
        Self { zone: TimeZone::system(), last: None }
    }

    /// The time; `None` if there is no such day, or it was before 1970. What lies ahead of `now` is
    /// now: a clock was wrong.
    pub(super) fn time(&mut self, stamp: Stamp, now: UnixSeconds) -> Option<UnixSeconds> {
        let minute = Stamp { second: 0, ..stamp };
        let start = match self.last {
            Some((last, start)) if last == minute => start,
            _ => {
                let start = self.minute(minute, now)?;
                self.last = Some((minute, start));
                start
            }
        };
        // Seconds are 0 to 60.
        let time = u32::try_from(start + i64::from(stamp.second)).ok()?;
        Some(time.min(now))
    }

    fn minute(&self, stamp: Stamp, now: UnixSeconds) -> Option<i64> {
        let now = Timestamp::from_second(i64::from(now)).ok()?;
        let Stamp { year, month, day, hour, minute, .. } = stamp;
        let at = |year| DateTime::new(year, month, day, hour, minute, 0, 0).ok();
        if let Some(year) = year {
            return self.instant(at(year)?, stamp.offset, now).map(Timestamp::as_second);
        }
        // The latest year in which it is past; the 29th of February is not in every year.
        let latest = now.to_zoned(self.zone.clone()).year() + 1;
        let times = (latest - 8..=latest).rev().filter_map(at);
        let mut instants = times.filter_map(|time| self.instant(time, stamp.offset, now));
        instants.find(|instant| *instant <= now + AHEAD).map(Timestamp::as_second)
    }

    /// An hour that comes twice when summer ends is the later one, unless that is still to come.
    fn instant(&self, time: DateTime, offset: Option<i32>, now: Timestamp) -> Option<Timestamp> {
        if let Some(offset) = offset {
            return Offset::from_seconds(offset).ok()?.to_timestamp(time).ok();
        }
        let ambiguous = self.zone.to_ambiguous_timestamp(time);
        if let AmbiguousOffset::Fold { .. } = ambiguous.offset() {
            let later = ambiguous.later().ok()?;
            // As long ahead as clocks differ, it is what is meant.
            let tolerated = now.checked_add(1.minute()).ok()?;
            return if later <= tolerated { Some(later) } else { ambiguous.earlier().ok() };
        }
        ambiguous.compatible().ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const STAMP: Stamp = Stamp {
        year: Some(2026),
        month: 11,
        day: 22,
        hour: 5,
        minute: 43,
        second: 10,
        offset: None,
    };

    fn berlin() -> Calendar {
        // As in Europe/Berlin, without the need of a database of zones.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        Calendar { zone, last: None }
    }

    fn unix(text: &str) -> UnixSeconds {
        u32::try_from(text.parse::<Timestamp>().unwrap().as_second()).unwrap()
    }

    fn time(stamp: Stamp, now: &str) -> Option<String> {
        let time = berlin().time(stamp, unix(now))?;
        Some(Timestamp::from_second(i64::from(time)).unwrap().to_string())
    }

    /// Caught: the host's zone taken where the line has its own.
    #[test]
    fn a_line_has_its_own_zone_or_the_hosts() {
        let now = "2026-12-01T00:00:00Z";
        assert_eq!(time(STAMP, now).unwrap(), "2026-11-22T04:43:10Z");
        let summer = Stamp { month: 7, ..STAMP };
        assert_eq!(time(summer, now).unwrap(), "2026-07-22T03:43:10Z");
        let away = Stamp { offset: Some(-12_600), ..STAMP };
        assert_eq!(time(away, now).unwrap(), "2026-11-22T09:13:10Z");
    }

    /// Caught: the minute of the line before taken for another offset.
    #[test]
    fn the_minute_that_is_kept_is_of_the_same_zone() {
        let (mut calendar, now) = (berlin(), unix("2026-12-01T00:00:00Z"));
        let other = Stamp { offset: Some(0), ..STAMP };
        for (stamp, expected) in [
            (STAMP, "2026-11-22T04:43:10Z"),
            (other, "2026-11-22T05:43:10Z"),
            (Stamp { second: 59, ..other }, "2026-11-22T05:43:59Z"),
            (Stamp { second: 60, ..STAMP }, "2026-11-22T04:44:00Z"),
        ] {
            assert_eq!(calendar.time(stamp, now), Some(unix(expected)), "{expected}");
        }
    }

    #[test]
    fn what_is_ahead_is_now() {
        assert_eq!(time(STAMP, "2026-11-22T04:00:00Z").unwrap(), "2026-11-22T04:00:00Z");
    }

    #[test]
    fn days_that_are_not_there_have_no_time() {
        let now = "2026-12-01T00:00:00Z";
        assert_eq!(time(Stamp { day: 31, ..STAMP }, now), None);
        assert_eq!(time(Stamp { year: Some(1969), ..STAMP }, now), None);
        assert_eq!(time(Stamp { year: Some(0), ..STAMP }, now), None);
        let leap = Stamp { month: 2, day: 29, ..STAMP };
        assert_eq!(time(leap, now), None);
        // Of the last year that had it.
        assert_eq!(time(Stamp { year: None, ..leap }, now).unwrap(), "2024-02-29T04:43:10Z");
    }

    /// Caught: this year taken for a day in December, read in January.
    #[test]
    fn a_day_without_a_year_is_the_latest_one_past() {
        let stamp = Stamp { year: None, month: 12, day: 31, ..STAMP };
        assert_eq!(time(stamp, "2027-01-01T12:00:00Z").unwrap(), "2026-12-31T04:43:10Z");
        assert_eq!(time(stamp, "2026-12-31T12:00:00Z").unwrap(), "2026-12-31T04:43:10Z");
        // A clock that is ahead by less than a day.
        assert_eq!(time(stamp, "2026-12-31T04:00:00Z").unwrap(), "2026-12-31T04:00:00Z");
        assert_eq!(time(stamp, "2026-12-29T04:00:00Z").unwrap(), "2025-12-31T04:43:10Z");
    }

    /// Caught: the first of the two taken always.
    #[test]
    fn an_hour_that_comes_twice_is_the_later_one_if_that_is_past() {
        // Summer ended on 2026-10-25 at 03:00 CEST.
        let stamp = Stamp { month: 10, day: 25, hour: 2, minute: 30, second: 0, ..STAMP };
        assert_eq!(time(stamp, "2026-10-26T00:00:00Z").unwrap(), "2026-10-25T01:30:00Z");
        assert_eq!(time(stamp, "2026-10-25T00:30:00Z").unwrap(), "2026-10-25T00:30:00Z");
        // An hour that is left out is what a clock without the change would show.
        let gap = Stamp { month: 3, day: 29, ..stamp };
        assert_eq!(time(gap, "2026-10-26T00:00:00Z").unwrap(), "2026-03-29T01:30:00Z");
    }
}
