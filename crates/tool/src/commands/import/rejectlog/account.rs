//! What became of the lines, as it is told at the end.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;
use crate::text::counted;

/// What became of all lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Lines that were read, those of header dumps among them.
    pub(super) lines: u64,
    /// Rejections that are in the table now.
    pub(super) recorded: u64,
    /// The same by their reasons.
    pub(super) reasons: BTreeMap<String, u64>,
    /// Rejections whose listing would be over by now.
    pub(super) over: u64,
    /// Rejections of those who are never listed.
    pub(super) never_listed: u64,
    /// Rejections of the whitelisted.
    pub(super) white: u64,
    /// Rejections that the table had no room for.
    pub(super) no_room: u64,
    /// Lines by which a client was rejected, though which one is not certain.
    pub(super) doubtful: u64,
    /// Lines about a client that no rule counts.
    pub(super) skipped: u64,
    /// Lines about nobody.
    pub(super) other: u64,
    /// Lines that had no end where their file ended.
    pub(super) unfinished: u64,
}

/// What an import came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Account {
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Logs that could not be read, each with why.
    pub(super) unread: Vec<String>,
}

impl Account {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Whether every log was read.
    pub(super) fn is_complete(&self) -> bool {
        self.unread.is_empty()
    }

    /// Prints it.
    pub(super) fn print(&self, output: &mut Output) -> Result<(), Failure> {
        if output.json() {
            return output.object(self);
        }
        let counts = &self.counts;
        let read = counted(counts.lines, "line");
        writeln!(output, "{read} read, {} recorded", counted(counts.recorded, "rejection"))?;
        for (reason, number) in &counts.reasons {
            writeln!(output, "  {reason:<32} {number}")?;
        }
        for (number, what) in [
            (counts.over, "not recorded, for their listing would be over by now"),
            (counts.never_listed, "not recorded, for the client is never listed"),
            (counts.white, "not recorded, for the client is whitelisted"),
            (counts.no_room, "not recorded, for the table has no room: see eximrbl resize"),
            (counts.doubtful, "doubtful: the line does not tell for certain whose it is"),
            (counts.skipped, "about a client, counted by no rule"),
            (counts.other, "about nobody: headers of messages, other programs"),
            (counts.unfinished, "left out, for the file ends within it"),
        ] {
            if number > 0 {
                writeln!(output, "{number} {what}")?;
            }
        }
        Ok(())
    }
}
