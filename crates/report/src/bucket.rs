//! How many reports a reporter may make.

use std::time::Duration;

/// Seconds' worth of reports that may come at once.
const BURST: u64 = 10;
/// What one report takes, so that a part of a report can be earned within a nanosecond.
const ONE: u128 = 1_000_000_000;

/// A token bucket: it fills with time, and a report takes from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Reports a second; 0 for no limit.
    rate: u32,
    /// What is in it, in parts of a report.
    level: u128,
    /// When that was found out, on a clock that nobody can set.
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: u32, now: Duration) -> Self {
        Self { rate, level: Self::room(rate), at: now }
    }

    /// Takes one report's worth; whether there was so much.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        if self.rate == 0 {
            return true;
        }
        let earned = now.saturating_sub(self.at).as_nanos() * u128::from(self.rate);
        self.level = (self.level + earned).min(Self::room(self.rate));
        self.at = self.at.max(now);
        match self.level.checked_sub(ONE) {
            Some(left) => {
                self.level = left;
                true
            }
            None => false,
        }
    }

    /// Another rate from now on; what was used up stays used up.
    pub(crate) fn change(&mut self, rate: u32) {
        if rate == self.rate {
            return;
        }
        let used = Self::room(self.rate).saturating_sub(self.level);
        *self = Self { rate, level: Self::room(rate).saturating_sub(used), at: self.at };
    }

    fn room(rate: u32) -> u128 {
        u128::from(u64::from(rate) * BURST) * ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: earnings that are lost when they are looked at often; a bucket without a rim.
    #[test]
    fn ten_seconds_worth_at_once_and_then_the_rate() {
        let mut bucket = Bucket::new(3, Duration::ZERO);
        let taken = |bucket: &mut Bucket, now| {
            std::iter::from_fn(|| bucket.take(now).then_some(())).count()
        };
        assert_eq!(taken(&mut bucket, Duration::ZERO), 30);
        let milliseconds = (1..=10_000).map(Duration::from_millis);
        assert_eq!(milliseconds.map(|now| taken(&mut bucket, now)).sum::<usize>(), 30);
        assert_eq!(taken(&mut bucket, Duration::from_secs(1_000_000)), 30);
    }

    /// Caught: a full bucket after each change of the rate.
    #[test]
    fn a_reload_gives_no_new_burst() {
        let mut bucket = Bucket::new(1, Duration::ZERO);
        assert!((0..10).all(|_| bucket.take(Duration::ZERO)));
        bucket.change(2);
        assert_eq!((0..20).filter(|_| bucket.take(Duration::ZERO)).count(), 10);
        bucket.change(0);
        assert!((0..100).all(|_| bucket.take(Duration::ZERO)));
    }
}
