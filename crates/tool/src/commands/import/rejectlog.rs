//! `eximrbl import --rejectlog`: rejections out of Exim's own log.
//!
//! For hosts whose Exim has no dlfunc, and for what Exim refuses without asking an ACL. A log is
//! read in blocks, and each line goes to the table or nowhere, so memory stays the same whatever the
//! log's size. `eximrbl_rejectlog` says whose a line is; [`recorder`] what becomes of it.

mod account;
mod calendar;
mod chain;
mod follow;
mod lines;
mod log;
mod past;
mod position;
mod progress;
mod recorder;
mod signals;

use std::io::Write;
use std::path::Path;

use eximrbl_rejectlog::{DEFAULT_RULES, Reader, Rules};
use eximrbl_table::Name;

use super::Finding;
use crate::arguments::RejectlogOptions;
use crate::failure::Failure;
use crate::output::Output;
use account::Account;
use log::Log;
use position::Positions;
use progress::Progress;
use recorder::Recorder;

/// Reads the logs, once or for as long as they grow.
pub(super) fn run(
    table: &Path,
    options: &RejectlogOptions,
    reporter: Option<Name>,
    output: &mut Output,
) -> Result<Finding, Failure> {
    if options.print_rules {
        output.write_all(DEFAULT_RULES.as_bytes())?;
        return Ok(Finding::Positive);
    }
    let rules = rules(options)?;
    let positions = Positions::load(options.position.as_deref())?;
    let recorder = Recorder::new(table, reporter, rules)?;
    let account = if options.follow {
        follow::follow(options, positions, recorder)?
    } else {
        once(options, positions, recorder)?
    };
    account.print(output)?;
    Ok(Finding::of(account.is_complete()))
}

/// The rules that hold: those of the file, or the default.
fn rules(options: &RejectlogOptions) -> Result<Rules, Failure> {
    let Some(path) = &options.rules else { return Ok(Rules::default()) };
    let wrong = |problem: String| Failure::Rules { path: path.clone(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Rules::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// Reads the logs from where they were left, or from their start, to their ends.
fn once(
    options: &RejectlogOptions,
    mut positions: Positions,
    mut recorder: Recorder,
) -> Result<Account, Failure> {
    let mut account = Account::new();
    let progress = Progress::new(&options.logs);
    for path in &options.logs {
        let read = read(path, options, &mut positions, &mut recorder, &progress);
        // What was recorded must not be recorded again, whatever comes.
        let saved = positions.save();
        match read {
            Ok(()) => {}
            Err(Stopped::Unread(problem)) => {
                let problem = format!("{}: {problem}", path.display());
                progress.tell(&format!("eximrbl: {problem}"));
                account.unread.push(problem);
            }
            Err(Stopped::Failed(failure)) => return Err(failure),
        }
        saved?;
    }
    progress.finish();
    account.counts = recorder.into_counts();
    Ok(account)
}

/// Why a log was not read to its end.
enum Stopped {
    /// It cannot be read; others can.
    Unread(String),
    /// Nothing can be recorded.
    Failed(Failure),
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Unread(error.to_string())
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Reads one log, and before it what its name stood for when it was last read.
fn read(
    path: &Path,
    options: &RejectlogOptions,
    positions: &mut Positions,
    recorder: &mut Recorder,
    progress: &Progress,
) -> Result<(), Stopped> {
    for link in chain::chain(path, positions)? {
        let mut log = Log::open(&link.path, link.offset)?;
        let mut reader = Reader::new(options.plain_helo);
        loop {
            recorder.look();
            let length = log.fill()?;
            let taken = log.take(length, &mut |line| recorder.line(&mut reader, line));
            positions.set(path, &mut log)?;
            taken?;
            positions.save_now_and_then()?;
            progress.at(&mut log, recorder.lines());
            if length == 0 {
                break;
            }
        }
        if log.has_unfinished_line() {
            recorder.unfinished();
        }
        progress.done(&mut log);
    }
    Ok(())
}
