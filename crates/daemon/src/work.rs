//! How much of a processor's time a thread has had.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// For how long this thread has had a processor. What was waited for, a processor or a disk, is not in
/// it: so it tells what periodic work takes from others, and one wait for once does not put off
/// the next turn.
pub(crate) fn worked() -> Duration {
    // The kernel has this clock since Linux 2.6.12. Without it, work seems to take nothing.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    /// Caught: a clock that runs on while others have the processor; one that stands still.
    #[test]
    fn waiting_is_no_work() {
        let (begun, started) = (worked(), Instant::now());
        thread::sleep(Duration::from_millis(200));
        let slept = worked() - begun;
        assert!(slept < started.elapsed() / 2, "{slept:?}");
        while worked() == begun {
            assert!(started.elapsed() < Duration::from_secs(30), "it stands still");
        }
    }
}
