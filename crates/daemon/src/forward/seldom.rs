//! Keeps the log short: of each cause a line a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(60);

/// When what was said last.
#[derive(Default)]
pub(super) struct Seldom(HashMap<&'static str, Instant>);

impl Seldom {
    /// Whether a cause may be told again; it is, then.
    pub(super) fn is_due(&mut self, cause: &'static str) -> bool {
        let now = Instant::now();
        let is_due = self.0.get(cause).is_none_or(|told| now.duration_since(*told) >= EVERY);
        if is_due {
            self.0.insert(cause, now);
        }
        is_due
    }
}
