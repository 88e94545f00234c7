//! `eximrbl import FILE…`: takes lists into the table.
//!
//! A line after the other: memory stays the same whatever the lists' sizes. Nothing that is wrong
//! with a line or a file keeps the rest from being taken; what became of it all is told at the end.

use std::path::Path;

use eximrbl_exchange::{Lines, Reader, by_content, by_name};

use super::account::{Account, FileAccount};
use super::progress::Progress;
use super::source::Source;
use super::taker::Taker;
use crate::arguments::Import;
use crate::commands::Finding;
use crate::failure::Failure;
use crate::output::Output;

/// Bytes of a file that are looked at to guess its format.
const LOOKED_AT: usize = 1 << 16;
/// Lines between two looks at the progress.
const STRIDE: u64 = 4096;

/// Takes in all files.
pub(super) fn run(path: &Path, import: &Import, output: &mut Output) -> Result<Finding, Failure> {
    let mut taker = Taker::new(path, import)?;
    let mut account = Account::new(import.dry_run);
    let progress = Progress::new(&import.files);
    for file in &import.files {
        let mut of_file = FileAccount::new(file);
        let read = read(file, import, &mut taker, &mut account, &mut of_file, &progress);
        if let Err(error) = read {
            let text = error.to_string();
            progress.tell(&format!("eximrbl: {}: {text}", file.display()));
            of_file.error = Some(text);
        }
        account.files.push(of_file);
        // A table that can take nothing more is no fault of the files.
        if let Some(refusal) = taker.ended() {
            progress.finish();
            account.print(output)?;
            let cause = format!("{refusal}; run the command again");
            return Err(Failure::Refused { subject: path.display().to_string(), cause });
        }
    }
    progress.finish();
    account.print(output)?;
    match account.files.iter().filter(|file| file.error.is_some()).count() {
        0 => Ok(Finding::of(account.is_complete())),
        unread => Err(Failure::Unread { unread, files: account.files.len() }),
    }
}

/// Takes in one file.
fn read(
    file: &Path,
    import: &Import,
    taker: &mut Taker<'_>,
    account: &mut Account,
    of_file: &mut FileAccount,
    progress: &Progress,
) -> std::io::Result<()> {
    let mut lines = Lines::new(Source::open(file, progress)?);
    let by_its_name = import.format.or_else(|| by_name(file));
    let format = match by_its_name {
        Some(format) => format,
        None => by_content(lines.peek(LOOKED_AT)?),
    };
    of_file.format = Some((format, import.format.is_none()));
    let mut reader = Reader::new(format, taker.now());
    loop {
        let line = match lines.next() {
            Ok(Some(line)) => line,
            ended => {
                account.passed(reader.passed(), progress);
                return ended.map(|_| ());
            }
        };
        of_file.lines = line.number;
        let row = match line.bytes {
            Some(bytes) => reader.read(bytes).map_err(|error| error.to_string()),
            None => Err(format!("longer than {} bytes", eximrbl_exchange::LINE_MAX)),
        };
        let taken = match row {
            Ok(None) => Ok(()),
            Ok(Some(row)) => taker.take(&row, &mut account.tally),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = taken {
            account.bad(file, line.number, &problem, progress);
        }
        if line.number.is_multiple_of(STRIDE) {
            progress.lines(STRIDE);
        }
        if taker.ended().is_some() {
            return Ok(());
        }
    }
}
