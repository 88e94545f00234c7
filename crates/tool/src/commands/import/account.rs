//! What became of lines and files.

use std::io::Write;
use std::path::{Path, PathBuf};

use eximrbl_exchange::{Format, Passed};
use serde::Serialize;

use super::progress::Progress;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::{counted, entries};

/// Bad lines that are told one by one.
const TOLD: u64 = 20;

/// Of a whole run.
pub(super) struct Account {
    dry_run: bool,
    pub(super) files: Vec<FileAccount>,
    pub(super) tally: Tally,
    bad: u64,
    passed: Passed,
}

/// Of one file.
pub(super) struct FileAccount {
    path: PathBuf,
    /// Its format, and whether that was guessed.
    pub(super) format: Option<(Format, bool)>,
    pub(super) lines: u64,
    pub(super) error: Option<String>,
}

/// Networks that lines consist of, counted by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    /// Put into the table, or joined with what was there.
    pub(super) entries: u64,
    /// Of these, the white ones.
    pub(super) white: u64,
    /// Of these, black ones that a white network lifts.
    pub(super) lifted: u64,
    /// Of the never-list: not taken.
    pub(super) never: u64,
    /// In the table in another colour that stays: not taken.
    pub(super) kept: u64,
    /// Already over: not taken.
    pub(super) expired: u64,
    /// Exclusions from a list that is taken as a whitelist: not taken.
    pub(super) excluded: u64,
    /// Without room: not taken.
    pub(super) full: u64,
}

/// As JSON.
#[derive(Serialize)]
struct AccountObject<'a> {
    dry_run: bool,
    files: Vec<FileObject<'a>>,
    lines: u64,
    #[serde(flatten)]
    tally: Tally,
    bad: u64,
    texts: bool,
}

#[derive(Serialize)]
struct FileObject<'a> {
    file: String,
    format: Option<&'static str>,
    guessed: Option<bool>,
    lines: u64,
    error: Option<&'a str>,
}

impl FileAccount {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), format: None, lines: 0, error: None }
    }
}

impl Account {
    pub(super) fn new(dry_run: bool) -> Self {
        let (files, tally) = (Vec::new(), Tally::default());
        Self { dry_run, files, tally, bad: 0, passed: Passed::default() }
    }

    /// Whether every line was understood, and found room.
    pub(super) fn is_complete(&self) -> bool {
        self.bad == 0 && self.tally.full == 0
    }

    /// A line that was not understood, or must not be taken.
    pub(super) fn bad(&mut self, file: &Path, line: u64, problem: &str, progress: &Progress) {
        self.bad += 1;
        if self.bad <= TOLD {
            progress.tell(&format!("eximrbl: {}:{line}: {problem}", file.display()));
        }
        if self.bad == TOLD + 1 {
            progress.tell("eximrbl: further bad lines are only counted");
        }
    }

    /// What a file has that is not kept; told once.
    pub(super) fn passed(&mut self, passed: Passed, progress: &Progress) {
        if passed.texts && !self.passed.texts {
            progress
                .tell("eximrbl: note: the table keeps no texts: those of the list are passed over");
        }
        if passed.specials && !self.passed.specials {
            progress.tell(
                "eximrbl: note: $SOA, $NS, $TTL and variables are passed over: zones are a matter \
                 of eximrbld's configuration",
            );
        }
        self.passed.texts |= passed.texts;
        self.passed.specials |= passed.specials;
    }

    /// Tells all of it.
    pub(super) fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let lines = self.files.iter().map(|file| file.lines).sum();
        if output.json() {
            let files = self.files.iter().map(FileAccount::object).collect();
            let Self { dry_run, tally, bad, passed, .. } = *self;
            let texts = passed.texts;
            return output.object(&AccountObject { dry_run, files, lines, tally, bad, texts });
        }
        for file in self.files.iter().filter(|file| file.error.is_none()) {
            if let Some((format, guessed)) = file.format {
                let by = if guessed { ", as it looks; if not, give its --format" } else { "" };
                writeln!(output, "{}: {format}{by}", file.path.display())?;
            }
        }
        let of = &self.tally;
        let would = if self.dry_run { " would be" } else { "" };
        write!(output, "{}: {}{would} taken", counted(lines, "line"), entries(of.entries))?;
        for (number, what) in [
            (of.white, "of them white"),
            (of.lifted, "of them lifted by a white network"),
            (of.never, "never listed"),
            (of.kept, "kept in the other colour"),
            (of.expired, "over already"),
            (
                of.excluded,
                if of.excluded == 1 { "exclusion passed over" } else { "exclusions passed over" },
            ),
            (of.full, "without room"),
            (self.bad, if self.bad == 1 { "bad line" } else { "bad lines" }),
        ] {
            if number > 0 {
                write!(output, ", {number} {what}")?;
            }
        }
        Ok(writeln!(output)?)
    }
}

impl FileAccount {
    fn object(&self) -> FileObject<'_> {
        FileObject {
            file: self.path.display().to_string(),
            format: self.format.map(|(format, _)| format.name()),
            guessed: self.format.map(|(_, guessed)| guessed),
            lines: self.lines,
            error: self.error.as_deref(),
        }
    }
}
