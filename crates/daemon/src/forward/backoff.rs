//! Time between tries: longer and longer, and never quite the same, so that many hosts do not come
//! back at once.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait next.
#[derive(Default)]
pub(super) struct Backoff {
    /// Tries in vain, one after the other.
    tries: u32,
}

impl Backoff {
    /// The time until the next try.
    pub(super) fn next(&mut self) -> Duration {
        let whole = SHORTEST.saturating_mul(1 << self.tries.min(6)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let mut byte = [0];
        // Without random numbers, all come at once.
        let _ = getrandom::fill(&mut byte);
        // Up to a quarter less.
        (whole - whole / 4 * u32::from(byte[0]) / 255).max(SHORTEST)
    }

    /// A try was of use.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: a wait of nothing; one without end; one that is always the same.
    #[test]
    fn waits_grow_from_a_second_to_a_minute() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..200).map(|_| backoff.next()).collect();
        assert_eq!(waits[0], SHORTEST);
        for (number, wait) in waits.iter().enumerate() {
            let whole = Duration::from_secs((1_u64 << number.min(6)).min(60));
            assert!(*wait <= whole && *wait >= (whole * 3 / 4).max(SHORTEST), "{number}: {wait:?}");
        }
        assert!(waits[10..].iter().any(|wait| *wait != waits[10]));
        backoff.reset();
        assert_eq!(backoff.next(), SHORTEST);
    }
}
