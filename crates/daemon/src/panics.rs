//! Panics: logged. `eximrbl_dns` keeps them from ending service.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lets panics be logged like all else, instead of as bare text.
pub(crate) fn install_hook() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    std::panic::set_hook(Box::new(|panic| {
        // Relaxed: a count by itself.
        let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
        // A query that provokes a panic can be sent a million times; the log need not be filled.
        if seen.is_power_of_two() {
            tracing::error!("internal error no. {seen}, please report it: {panic}");
        }
    }));
}
