//! Resizes of the table that somebody began and did not finish, and what such attempts leave.
//!
//! Until a resize is finished, readers and writers look at two files; all goes on, only slower.

use std::path::Path;
use std::time::{Duration, Instant};

use eximrbl_table::Table;

use crate::writing::Writer;

/// How long a resize may be under way before the keeper lends a hand: whoever began it is most
/// likely at work, and if not, then nothing is lost by waiting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The keeper's view of resizes.
#[derive(Default)]
pub(crate) struct Resizes {
    /// Since when one has been seen under way.
    since: Option<Instant>,
    /// What was said of it last, so that it is said once.
    told: Option<String>,
}

impl Resizes {
    /// Finishes a resize whose beginner has had time enough: he may be dead. Both may do it at the
    /// same time.
    pub(crate) fn look(&mut self, served: &Table, writer: &mut Writer) {
        if !served.is_resizing() {
            *self = Self::default();
            return;
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
            return;
        }
        let Some(table) = writer.open(served) else { return };
        match table.finish_resize() {
            Ok(true) => tracing::info!("finished a resize of the table that was under way"),
            Ok(false) => {}
            Err(error) => {
                let trouble = error.to_string();
                if self.told.as_ref() != Some(&trouble) {
                    tracing::error!("a resize of the table is not finished: {trouble}");
                    self.told = Some(trouble);
                }
            }
        }
    }
}

/// Removes what interrupted attempts to make or resize a table have left beside it.
pub(crate) fn clean_up(path: &Path) {
    match eximrbl_table::remove_leftovers(path) {
        Ok(removed) => {
            for path in removed {
                tracing::info!("removed {}, left by an attempt that failed", path.display());
            }
        }
        // Of a table that can only be read; whoever may write sees to it.
        Err(error) => tracing::debug!("leftovers beside the table not removed: {error}"),
    }
}
