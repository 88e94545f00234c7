//! The audit trail: every change of the table, with who made it and why, as lines of JSON in a file.
//!
//! RFC 6471 section 2.1.2 wants a list to be able to tell why, when and by whose word somebody was
//! listed. The table forgets with the entry; the trail does not.
//!
//! ```text
//! table's ring ─► following ─► changes ─► line ─► batch ─► file: appended, whole lines, one write
//!                                                           └─► position: how far the trail goes
//! ```
//!
//! A thread of its own follows the changes. Whatever keeps it from writing (a full disk, missing
//! rights) makes it wait, and nobody else: changes stay in the ring as long as that holds them, and
//! what was overwritten there meanwhile is a line that says so.
//!
//! What holds:
//! * lines are whole: one that a crash or a full disk cut short is ended before the next one;
//! * a change is written once. Each line says what comes next, so the file itself is the position;
//!   `position` keeps it as well, for a start that finds the file moved away;
//! * after a gap, what was changed in it and still lives is written down: see `changes`.
//!
//! What is not promised: that lines of the last seconds outlive a power loss.

mod batch;
mod changes;
mod file;
mod line;
mod position;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::Duration;

use eximrbl_zone::{AuditSettings, Config};

use crate::served::Shared;
use batch::Batch;
use changes::Changes;
use file::TrailFile;
use position::Kept;

/// Time between two looks at the ring, when there was something to write.
const SOON: Duration = Duration::from_millis(5);
/// The longest time between two looks.
const LATE: Duration = Duration::from_millis(20);
/// Time until the next try, when the file could not be written.
const RESPITE: Duration = Duration::from_secs(1);

/// Starts the thread, if there is to be a trail. Whatever becomes of it, DNS is served.
pub(crate) fn start(shared: Arc<Shared>) -> io::Result<()> {
    let config = shared.config();
    let Some(settings) = config.audit.clone() else { return Ok(()) };
    thread::Builder::new().name("audit".to_owned()).spawn(move || {
        let path = settings.file.display().to_string();
        let keep = AssertUnwindSafe(|| Trail::new(shared, config, settings).keep());
        if catch_unwind(keep).is_err() {
            tracing::error!(
                "the audit trail {path} is not written any more; restart eximrbld to go on with it"
            );
        }
    })?;
    Ok(())
}

/// What the thread owns.
struct Trail {
    shared: Arc<Shared>,
    /// The configuration that was looked at last.
    config: Arc<Config>,
    file: TrailFile,
    kept: Kept,
    batch: Batch,
    /// What the log says is wrong.
    told: Option<String>,
}

impl Trail {
    fn new(shared: Arc<Shared>, config: Arc<Config>, settings: AuditSettings) -> Self {
        let kept = Kept::beside(&config.table.path);
        let file = TrailFile::new(settings);
        Self { shared, config, file, kept, batch: Batch::default(), told: None }
    }

    /// Writes for as long as the process runs.
    fn keep(&mut self) {
        let mut changes = self.begin();
        let mut pause = SOON;
        loop {
            self.look_at_configuration();
            let limit = self.file.batch_limit();
            changes.collect(&mut self.batch, limit);
            pause = match self.batch.len() {
                0 => (pause * 2).min(LATE),
                length if length < limit => SOON,
                _ => Duration::ZERO,
            };
            if !self.batch.is_empty() {
                self.write();
            }
            sleep(pause);
        }
    }

    /// Opens the file, and finds out how far the trail goes.
    fn begin(&mut self) -> Changes {
        loop {
            match self.file.last() {
                Ok(last) => {
                    tracing::info!("audit trail {}", self.file.path().display());
                    let stream = self.shared.served().table.stream();
                    let from = position::latest(last, self.kept.read(), stream);
                    return Changes::new(self.shared.clone(), from);
                }
                Err(error) => self.tell(&error),
            }
            sleep(RESPITE);
        }
    }

    /// Writes the batch, however long that takes.
    fn write(&mut self) {
        while let Err(error) = self.file.append(&mut self.batch) {
            self.tell(&error);
            sleep(RESPITE);
            self.look_at_configuration();
        }
        if let Some(position) = self.batch.end() {
            self.kept.write(position);
        }
        self.batch.clear();
        if self.told.take().is_some() {
            tracing::info!("the audit trail {} is written again", self.file.path().display());
        }
    }

    /// After a reload: other sizes, and the file that is now at the path.
    fn look_at_configuration(&mut self) {
        let config = self.shared.config();
        if Arc::ptr_eq(&config, &self.config) {
            return;
        }
        if let Some(settings) = &config.audit {
            self.file.set(settings.clone());
        }
        self.config = config;
        if let Err(error) = self.file.look() {
            self.tell(&error);
        }
    }

    /// Says what is wrong, once.
    fn tell(&mut self, error: &io::Error) {
        let trouble = error.to_string();
        if self.told.as_ref() != Some(&trouble) {
            tracing::error!(
                "the audit trail {} is not written: {trouble}; changes are kept as long as the \
                 table has room for them",
                self.file.path().display()
            );
            self.told = Some(trouble);
        }
    }
}
