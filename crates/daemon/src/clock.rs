//! Whether the clock can be trusted.
//!
//! What a sweep removes is gone for good, while a clock may be wrong for a moment only: a machine
//! starts with a flat battery, an administrator mistypes the year, a virtual machine wakes up. So
//! nothing expires by a clock that was just set. That costs nothing: answers judge an entry by the
//! time themselves, and a writer takes an expired entry's slot without waiting for a sweep.
//!
//! Pseudo-code of a look:
//!
//! ```text
//! offset = time of day - time since the machine's start     # changes only when the clock is set
//! offset moved by more than STEP -> it was set: count anew how long it has been steady
//! before the table was made      -> not to be trusted, however steady
//! steady for hold()              -> trusted; this offset is the one to compare with from now on
//! hold(): a minute; after a step forward as long as the step was wide, an hour at most
//! ```
//!
//! When the daemon starts there is nothing to compare with but the table: if nothing was recorded
//! in it for a week up to now, the week may be one that never was.
//!
//! A clock that is wrong for longer than that is believed: nothing here knows better.

use std::time::Duration;

use eximrbl_table::UnixSeconds;
use nix::time::{ClockId, clock_gettime};

/// How far, in seconds, the time of day may move against the time since the start and be called
/// steady: a leap second, and the rounding of two clocks.
const STEP: i64 = 3;
/// How long the clock must have been steady, at least. The machine's start counts as a step.
const HOLD_MIN: Duration = Duration::from_secs(60);
/// How long it must have been steady at most, however far it was set forward.
const HOLD_MAX: Duration = Duration::from_secs(3600);

/// For how many seconds nothing must have been recorded to make a start doubt the clock.
const SILENCE: i64 = 7 * 86_400;

/// What both clocks show at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The time of day, which anybody with the right can set.
    pub(crate) now: UnixSeconds,
    /// The time since the machine's start, sleep included, which nobody can set.
    pub(crate) running: Duration,
}

/// Whether entries may be ended by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It has been steady for long enough.
    Steady,
    /// Not yet, or not at all.
    Held(Cause),
}

/// Why a clock is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The machine has only just started.
    Start,
    /// It was set by so many seconds, back if less than none.
    Set(i64),
    /// For so many seconds up to now nothing was recorded.
    Silence(i64),
    /// The table was made later than now.
    BeforeTable,
}

/// What is known of the clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Time of day less time since the machine's start, when it was last seen to be set.
    offset: i64,
    /// The same, when it was last trusted.
    trusted: Option<i64>,
    /// Since when, in time since the machine's start, it has been steady.
    steady_since: Duration,
    /// Whether it is only the table's silence that casts doubt on it.
    is_silent: bool,
}

impl Moment {
    /// This moment.
    pub(crate) fn present() -> Self {
        let now = eximrbl_table::now();
        // The kernel has this clock since Linux 2.6.39; a failure only makes all look steady.
        let running = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Self { now, running: running.unwrap_or(Duration::from_secs(now.into())) }
    }

    fn offset(self) -> i64 {
        i64::from(self.now) - i64::try_from(self.running.as_secs()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    /// Begins to watch it; `last` is when something was recorded last.
    pub(crate) fn watch(moment: Moment, last: Option<UnixSeconds>) -> Self {
        let offset = moment.offset();
        let silence = last.map(|last| i64::from(moment.now) - i64::from(last));
        let silence = silence.filter(|&seconds| seconds > SILENCE);
        Self {
            offset,
            // As if it had been right then, and been set since.
            trusted: silence.map(|seconds| offset - seconds),
            steady_since: silence.map_or(Duration::ZERO, |_| moment.running),
            is_silent: silence.is_some(),
        }
    }

    /// Judges the clock at a moment, with the time at which the table was made.
    pub(crate) fn judge(&mut self, moment: Moment, made: UnixSeconds) -> Trust {
        let offset = moment.offset();
        if (offset - self.offset).abs() > STEP {
            self.offset = offset;
            self.steady_since = moment.running;
            self.is_silent = false;
        }
        if moment.now < made {
            return Trust::Held(Cause::BeforeTable);
        }
        let set = self.trusted.map(|trusted| offset - trusted);
        if moment.running.saturating_sub(self.steady_since) >= hold(set) {
            self.trusted = Some(self.offset);
            return Trust::Steady;
        }
        Trust::Held(match set {
            None => Cause::Start,
            Some(seconds) if self.is_silent => Cause::Silence(seconds),
            Some(seconds) => Cause::Set(seconds),
        })
    }
}

/// How long a clock must be steady that was set by so many seconds since it was last trusted.
fn hold(set: Option<i64>) -> Duration {
    let forward = set.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    Duration::from_secs(forward).clamp(HOLD_MIN, HOLD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the machine of these tests started, by the right time.
    const START: i64 = 1_795_000_000;
    const DAY: i64 = 86_400;
    const YEAR: i64 = 365 * DAY;
    /// The table is older than the machine's run.
    const MADE: UnixSeconds = START as u32 - 2 * DAY as u32;

    /// A clock that is so many seconds wrong, so many seconds after the start.
    fn at(running: u64, wrong: i64) -> Moment {
        let now = u32::try_from(START + running as i64 + wrong).unwrap_or(0);
        Moment { now, running: Duration::from_secs(running) }
    }

    /// The clock of a daemon that starts so many seconds after the machine, on a table in use.
    fn watched(running: u64, wrong: i64) -> Clock {
        Clock::watch(at(running, wrong), Some(at(running, 0).now - 100))
    }

    /// Looks at it every second from `from` to before `to`; the times at which it was trusted.
    fn trusted(clock: &mut Clock, from: u64, to: u64, wrong: i64) -> Vec<u64> {
        let looks = from..to;
        looks.filter(|&run| clock.judge(at(run, wrong), MADE) == Trust::Steady).collect()
    }

    /// Caught: a start that counts from the first look.
    #[test]
    fn a_steady_clock_is_trusted_from_the_first_look_on() {
        assert_eq!(trusted(&mut watched(5000, 0), 5000, 5010, 0).len(), 10);
    }

    /// Caught: no wait after the start of the machine.
    #[test]
    fn after_the_machines_start_it_must_be_steady_for_a_minute() {
        let mut clock = watched(5, 0);
        assert_eq!(clock.judge(at(5, 0), MADE), Trust::Held(Cause::Start));
        assert_eq!(trusted(&mut clock, 6, 70, 0), (60..70).collect::<Vec<_>>());
        // Set right half a minute after the start: a minute from then on.
        let mut clock = watched(5, -DAY);
        assert_eq!(trusted(&mut clock, 5, 30, -DAY), [0_u64; 0]);
        assert_eq!(clock.judge(at(30, 0), MADE), Trust::Held(Cause::Start));
        assert_eq!(trusted(&mut clock, 31, 95, 0), (90..95).collect::<Vec<_>>());
    }

    /// Caught: a comparison with the last step instead of
    /// the time that was trusted last.
    #[test]
    fn a_year_forward_and_back_is_never_trusted_and_forgotten_after_a_minute() {
        let mut clock = watched(5000, 0);
        assert_eq!(trusted(&mut clock, 5000, 5010, 0).len(), 10);
        assert_eq!(clock.judge(at(5010, YEAR), MADE), Trust::Held(Cause::Set(YEAR)));
        assert_eq!(trusted(&mut clock, 5011, 5200, YEAR), [0_u64; 0]);
        // A little step on top does not make a year a trifle.
        assert_eq!(trusted(&mut clock, 5200, 5400, YEAR - 5), [0_u64; 0]);
        assert_eq!(trusted(&mut clock, 5400, 5470, 0), (5460..5470).collect::<Vec<_>>());
    }

    /// Caught: silence that counts for nothing; no end of the
    /// wait.
    #[test]
    fn a_start_a_year_ahead_of_the_tables_last_record_is_believed_after_an_hour() {
        let mut clock = watched(5000, YEAR);
        let silence = YEAR + 100;
        assert_eq!(clock.judge(at(5000, YEAR), MADE), Trust::Held(Cause::Silence(silence)));
        assert_eq!(trusted(&mut clock, 5001, 9000, YEAR).first(), Some(&8600));
        // Set right meanwhile, to 100 seconds after the last record.
        let mut clock = watched(5000, YEAR);
        assert_eq!(trusted(&mut clock, 5000, 5100, YEAR), [0_u64; 0]);
        assert_eq!(trusted(&mut clock, 5100, 5300, 0).first(), Some(&5200));
    }

    /// Caught: silence of a week to the second; a last record that is ahead.
    #[test]
    fn a_start_on_a_new_table_or_after_a_quiet_week_doubts_nothing() {
        for last in [None, Some(at(5000, -SILENCE).now), Some(at(5000, YEAR).now)] {
            let mut clock = Clock::watch(at(5000, 0), last);
            assert_eq!(clock.judge(at(5000, 0), MADE), Trust::Steady, "{last:?}");
        }
    }

    /// Caught: a wait as long as the step; a comparison with the first time
    /// that was trusted for ever.
    #[test]
    fn a_clock_that_stays_a_year_ahead_is_believed_after_an_hour() {
        let mut clock = watched(5000, 0);
        assert_eq!(trusted(&mut clock, 5000, 5001, 0).len(), 1);
        assert_eq!(trusted(&mut clock, 5001, 9000, YEAR).first(), Some(&8601));
        // From now on that is what it is compared with.
        assert_eq!(clock.judge(at(9000, 0), MADE), Trust::Held(Cause::Set(-YEAR)));
    }

    /// Caught: a step back that takes as long as one forward.
    #[test]
    fn a_day_back_takes_a_minute_and_a_quarter_of_an_hour_forward_as_long() {
        let mut clock = watched(200_000, 0);
        assert_eq!(trusted(&mut clock, 200_000, 200_001, 0).len(), 1);
        assert_eq!(trusted(&mut clock, 200_001, 201_000, -DAY).first(), Some(&200_061));
        let mut clock = watched(5000, 0);
        assert_eq!(trusted(&mut clock, 5000, 5001, 0).len(), 1);
        assert_eq!(trusted(&mut clock, 5001, 7000, 900).first(), Some(&5901));
    }

    /// Caught: no look at the table's making; one that is a second off.
    #[test]
    fn a_clock_from_before_the_table_is_never_trusted() {
        let at =
            |run: u32| Moment { now: MADE - 3601 + run, running: Duration::from_secs(run.into()) };
        let mut clock = Clock::watch(at(100), None);
        assert_eq!(clock.judge(at(100), MADE), Trust::Held(Cause::BeforeTable));
        assert_eq!(clock.judge(at(3600), MADE), Trust::Held(Cause::BeforeTable));
        assert_eq!(clock.judge(at(3601), MADE), Trust::Steady);
    }

    /// Neither a leap second, nor a look that comes late, nor seconds that end at different times.
    /// Caught: any second as a step; a comparison with the look before.
    #[test]
    fn trifles_are_no_steps() {
        let mut clock = watched(5000, 0);
        for (run, wrong) in [(5000, 0), (5001, 1), (5090, 0), (5091, -1), (9000, 2), (9001, -2)] {
            assert_eq!(clock.judge(at(run, wrong), MADE), Trust::Steady, "{run}");
        }
        // But many of them are one.
        assert_eq!(clock.judge(at(9002, 4), MADE), Trust::Held(Cause::Set(4)));
    }

    /// Its words are checked here; that it is asked before a sweep, by the tests of the program.
    /// Caught: a time since the start that stands still; another time of day than the table's.
    #[test]
    fn the_present_is_what_the_system_says() {
        let (first, second) = (Moment::present(), Moment::present());
        assert!(first.running <= second.running);
        assert!(first.now.abs_diff(eximrbl_table::now()) <= 5);
        assert!(first.running > Duration::ZERO);
    }
}
