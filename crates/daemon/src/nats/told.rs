//! What the log was told: the same trouble once a minute at most.

use std::collections::HashMap;
use std::fmt::Arguments;
use std::time::{Duration, Instant};

/// Time between two lines of one cause.
const QUIET: Duration = Duration::from_secs(60);
/// Causes that are remembered; with more, the log is told again.
const CAUSES_MAX: usize = 256;

/// The causes of trouble, and when each was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    causes: HashMap<String, Instant>,
}

impl Told {
    /// Tells of trouble, if its cause was not told within the last minute.
    pub(super) fn warn(&mut self, cause: &str, text: Arguments<'_>) {
        let told = self.causes.get(cause);
        if told.is_some_and(|told| told.elapsed() < QUIET) {
            tracing::debug!("{text}");
            return;
        }
        if self.causes.len() >= CAUSES_MAX {
            self.causes.clear();
        }
        self.causes.insert(cause.to_owned(), Instant::now());
        tracing::warn!("{text}");
    }

    /// The trouble is over: when it comes again, it is told.
    pub(super) fn clear(&mut self, cause: &str) {
        self.causes.remove(cause);
    }
}
