//! Panics, kept inside the library.
//!
//! A panic here is a mistake of ours, and must cost Exim nothing: it ends in the call that it came
//! from, and its message, which std would print to standard error (that can be the client's
//! connection when Exim is started by inetd), becomes a line in the main log.

use std::panic::{self, PanicHookInfo, UnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{TryLockError, TryLockResult};

use crate::tell::{self, Cause};

/// Whether std's own hook has been replaced.
static IS_HOOKED: AtomicBool = AtomicBool::new(false);

/// Calls `function`; `None` if it panicked.
pub(crate) fn contained<T>(function: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    // Relaxed: the hook itself is behind a lock of std's.
    if !IS_HOOKED.load(Ordering::Relaxed) && !IS_HOOKED.swap(true, Ordering::Relaxed) {
        panic::set_hook(Box::new(tell_panic));
    }
    match panic::catch_unwind(function) {
        Ok(value) => Some(value),
        Err(payload) => {
            // Dropping it could panic again, with nobody to catch that.
            std::mem::forget(payload);
            None
        }
    }
}

/// A lock that was tried: its guard, unless somebody has it. A panic that was contained while it was
/// held keeps nobody out: what it guards is only ever replaced as a whole.
pub(crate) fn unpoisoned<Guard>(tried: TryLockResult<Guard>) -> Option<Guard> {
    match tried {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The hook: what happened, and where.
fn tell_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no message");
    match info.location() {
        Some(place) => tell::once(
            Cause::Panic,
            format_args!(
                "internal error at {}:{}: {message}; the call did nothing; please report it",
                place.file(),
                place.line()
            ),
        ),
        None => tell::once(Cause::Panic, format_args!("internal error: {message}")),
    }
}
