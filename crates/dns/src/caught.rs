//! Panics, kept from ending service.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`; `None` when it panicked.
///
/// What `work` borrows stays usable: answering only reads, and what it reads is swapped as a
/// whole, never half changed.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
