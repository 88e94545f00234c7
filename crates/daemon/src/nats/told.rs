//! What the log was told: the same trouble once a minute at most, and anew once it was over.

use std::fmt::Arguments;
use std::time::Instant;

use crate::seldom::Seldom;

/// The causes of trouble, and when each was told.
#[derive(Debug, Default)]
pub(super) struct Told(Seldom<String>);

impl Told {
    /// Tells of trouble, if its cause was not told within the last minute.
    pub(super) fn warn(&mut self, cause: &str, text: Arguments<'_>) {
        match self.0.say(cause.to_owned(), Instant::now()) {
            Some(say) => tracing::warn!("{text}{say}"),
            None => tracing::debug!("{text}"),
        }
    }

    /// The trouble is over: when it comes again, it is told.
    pub(super) fn clear(&mut self, cause: &str) {
        self.0.forget(cause);
    }
}
