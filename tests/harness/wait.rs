//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How long anything may take before the test gives up. Generous: two busy cores are slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks every few milliseconds until `condition` holds; false when [`PATIENCE`] is at its end.
pub fn holds_soon(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// When it does not hold in time, with `what` was waited for.
#[track_caller]
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_soon(condition), "waited {PATIENCE:?} in vain until {what}");
}
