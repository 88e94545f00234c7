//! What went wrong, told once per process and cause in Exim's main log.
//!
//! A process that was forked after its parent (the daemon, by `rbl_preload`) had told something
//! does not tell it again: a missing table would otherwise add a line for every connection.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::exim;
use crate::line::Line;

/// Longest line in the log, in bytes, NUL included.
const LINE_SIZE: usize = 512;

/// What there is to tell. Each is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The table could not be opened.
    Open,
    /// The table can only be read, and something was to be written.
    ReadOnly,
    /// More arguments than the function takes, or a count that cannot be.
    ArgumentCount,
    /// No IP address where one is wanted.
    Address,
    /// A weight that is not a number.
    Weight,
    /// Seconds that are not a number.
    Seconds,
    /// A reason of which no name can be made.
    Reason,
    /// The table has no room for the address.
    Full,
    /// Too many writers at one place.
    Contention,
    /// The table is being replaced.
    Retired,
    /// A mistake in the library.
    Panic,
}

/// A bit for each cause that was told.
static TOLD: AtomicU32 = AtomicU32::new(0);

/// Tells it, unless this process has already told something of the same cause.
pub(crate) fn once(cause: Cause, text: fmt::Arguments<'_>) {
    let bit = 1 << cause as u32;
    // Relaxed: the bit guards nothing but itself.
    if TOLD.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return debug(text);
    }
    let mut line = Line::<LINE_SIZE>::new();
    line.add(format_args!("eximrbl: {text}"));
    exim::log_main(&mut line);
}

/// Shows it to who runs Exim with debugging output, and to nobody else.
pub(crate) fn debug(text: fmt::Arguments<'_>) {
    if exim::is_debugging() {
        let mut line = Line::<LINE_SIZE>::new();
        line.add(format_args!("eximrbl: {text}"));
        exim::debug(&mut line);
    }
}
