//! Writing to the table: taken up for one piece of work, and let go of after it.
//!
//! Answers come from a mapping that cannot be written to. What does need writing is the keeper's
//! work: removing what has expired, taking back the slots of dead writers, the policy, the names of
//! reasons. It opens the table for writing each time and closes it again, so that between two
//! pieces of work nothing in this process could change the table, whatever a packet had made of it.
//!
//! Where the table may only be read, the daemon serves it as well, and says once what is not done.

use std::path::PathBuf;

use eximrbl_table::{OpenError, Table, WritableTable};

/// Opens the table for writing.
pub(crate) struct Writer {
    path: PathBuf,
    /// Whether the log says that the table cannot be written.
    told: bool,
}

impl Writer {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, told: false }
    }

    /// The table that is served, for writing; `None` when that is not to be had now.
    pub(crate) fn open(&mut self, served: &Table) -> Option<WritableTable> {
        let path = self.path.display();
        match WritableTable::open(&self.path) {
            Ok(table) => {
                if std::mem::take(&mut self.told) {
                    tracing::info!("table {path} can be written again");
                }
                // Another one may have taken its place; then the keeper opens that one anew.
                served.is_current(&self.path).then_some(table)
            }
            Err(error @ (OpenError::Denied { .. } | OpenError::System { .. })) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(
                        "the table can only be read, and is served so: what has expired stays in \
                         it, slots of writers that died are not taken back, and its policy stays \
                         as it is; {error}"
                    );
                }
                None
            }
            // No such table at all: the keeper sees that too, and says what it does.
            Err(error) => {
                tracing::debug!("not opened for writing: {error}");
                None
            }
        }
    }
}
