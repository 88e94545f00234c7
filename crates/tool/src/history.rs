//! What was done about an address, from the audit trail that eximrbld writes (docs/audit.md), or, where
//! there is none, from the table's ring of the last changes.
//!
//! ```text
//! trail: audit.jsonl, .1, .2.gz … ─► files: lines about the address, oldest first ─┐
//!                                                                                 ├─► change ─► told
//! table's ring ─► ring ───────────────────────────────────────────────────────────┘
//! ```
//!
//! A change is about an address when its network is the address, or holds it: the key of an IPv6
//! client, and networks that were listed or whitelisted by hand.

mod change;
mod files;
mod ring;
mod told;

use std::path::{Path, PathBuf};

use eximrbl_table::{Network, Table};
use eximrbl_zone::Config;
use serde::Serialize;

use crate::arguments::Trail;
use crate::failure::Failure;
use change::Change;

pub(crate) use told::print;

/// The changes, and where they are from.
#[derive(Debug, Serialize)]
pub(crate) struct History {
    /// `audit` or `table`.
    source: &'static str,
    /// The files that were read, the oldest first.
    files: Vec<PathBuf>,
    /// Why the trail was not read, or not all of it.
    problem: Option<String>,
    /// Lines that are damaged, or of another version.
    skipped: u64,
    /// The newest last.
    changes: Vec<Change>,
}

/// Where the audit trail is.
enum Place {
    /// In this file, and in older ones beside it.
    File(PathBuf),
    /// Nowhere that is known, for this reason.
    Nowhere(String),
}

impl History {
    /// Finds out what was done about a network, or an address.
    pub(crate) fn of(asked: Network, trail: &Trail, table: &Table) -> Result<Self, Failure> {
        match place(trail) {
            Place::File(file) => Self::from_files(asked, &file),
            Place::Nowhere(problem) => Ok(Self {
                source: "table",
                files: Vec::new(),
                problem: Some(problem),
                skipped: 0,
                changes: ring::changes(table, asked),
            }),
        }
    }

    fn from_files(asked: Network, file: &Path) -> Result<Self, Failure> {
        let found = files::find(file)?;
        let mut history = Self {
            source: "audit",
            files: Vec::with_capacity(found.len()),
            problem: None,
            skipped: 0,
            changes: Vec::new(),
        };
        for file in found {
            let read = files::read(file.content, asked, |line| match Change::of_line(line) {
                Some(change) => history.changes.push(change),
                None => history.skipped += 1,
            });
            if let Err(error) = read {
                // What is in the others is worth seeing.
                history.problem =
                    Some(format!("{}: not read to its end: {error}", file.path.display()));
            }
            history.files.push(file.path);
        }
        Ok(history)
    }
}

/// The file that was named, else the configuration's.
fn place(trail: &Trail) -> Place {
    if let Some(file) = &trail.audit {
        return Place::File(file.clone());
    }
    let path = trail.config.display();
    match Config::load(&trail.config) {
        Ok(Config { audit: Some(audit), .. }) => Place::File(audit.file),
        Ok(_) => Place::Nowhere(format!("{path} has no section [audit]")),
        Err(error) => Place::Nowhere(error.to_string()),
    }
}
