//! Logs that grow: what Exim writes is recorded within a quarter of a second.
//!
//! A log is asked for what is new every quarter of a second. Rotation by renaming: the old file is read
//! to its end, once more at the next turn, since a process of Exim's that had it open may just have
//! been writing, and then closed. Truncation: the file has become shorter, or begins with other bytes.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eximrbl_rejectlog::Reader;

use super::account::Account;
use super::chain::{Link, chain};
use super::log::{Identity, Log};
use super::position::Positions;
use super::recorder::Recorder;
use super::signals::{Asked, Signals};
use super::{Stopped, rules};
use crate::arguments::RejectlogOptions;
use crate::failure::Failure;

/// Between two looks at the logs.
const PAUSE: Duration = Duration::from_millis(250);
/// The first bytes of a log, which tell whether it is still the same.
const HEAD: usize = 256;

/// Follows the logs until a signal asks to end.
pub(super) fn follow(
    options: &RejectlogOptions,
    mut positions: Positions,
    mut recorder: Recorder,
) -> Result<Account, Failure> {
    let signals = Signals::new().map_err(Failure::Signals)?;
    let mut logs: Vec<_> =
        options.logs.iter().map(|path| Followed::new(path, options.plain_helo)).collect();
    let result = turns(options, &signals, &mut logs, &mut positions, &mut recorder);
    // Whatever ended it: what was recorded must not be recorded again.
    let saved = positions.save();
    result?;
    saved?;
    let mut account = Account::new();
    account.counts = recorder.into_counts();
    Ok(account)
}

fn turns(
    options: &RejectlogOptions,
    signals: &Signals,
    logs: &mut [Followed],
    positions: &mut Positions,
    recorder: &mut Recorder,
) -> Result<(), Failure> {
    let mut pause = Duration::ZERO;
    loop {
        match signals.wait(pause).map_err(Failure::Signals)? {
            Some(Asked::End) => return Ok(()),
            Some(Asked::Reload) => match rules(options) {
                Ok(rules) => recorder.set_rules(rules),
                Err(failure) => eprintln!("eximrbl: {failure}; the rules stay as they were"),
            },
            None => {}
        }
        recorder.look();
        let mut is_more = false;
        for log in &mut *logs {
            is_more |= log.turn(positions, recorder)?;
        }
        positions.save_now_and_then()?;
        pause = if is_more { Duration::ZERO } else { PAUSE };
    }
}

/// A log that is followed under its name.
struct Followed {
    path: PathBuf,
    reader: Reader,
    plain_helo: bool,
    /// Files to be read before the one that has the name now; from the last, the oldest.
    before: Vec<Link>,
    open: Option<Open>,
    /// What was last told about it.
    trouble: Option<String>,
}

/// The file that is being read.
struct Open {
    log: Log,
    /// Its first bytes, as they were read.
    head: Vec<u8>,
    /// Whether it was seen at its end after it had lost its name.
    was_renamed: bool,
}

impl Followed {
    fn new(path: &Path, plain_helo: bool) -> Self {
        let reader = Reader::new(plain_helo);
        let (path, before) = (path.to_owned(), Vec::new());
        Self { path, reader, plain_helo, before, open: None, trouble: None }
    }

    /// Reads on for a block; true if there may be more at once.
    fn turn(
        &mut self,
        positions: &mut Positions,
        recorder: &mut Recorder,
    ) -> Result<bool, Failure> {
        match self.read_on(positions, recorder) {
            Ok(is_more) => {
                if is_more && let Some(trouble) = self.trouble.take() {
                    eprintln!("eximrbl: {}: read again (was: {trouble})", self.path.display());
                }
                Ok(is_more)
            }
            Err(Stopped::Failed(failure)) => Err(failure),
            Err(Stopped::Unread(problem)) => {
                if self.trouble.as_ref() != Some(&problem) {
                    eprintln!("eximrbl: {}: {problem}; waiting", self.path.display());
                    self.trouble = Some(problem);
                }
                Ok(false)
            }
        }
    }

    fn read_on(
        &mut self,
        positions: &mut Positions,
        recorder: &mut Recorder,
    ) -> Result<bool, Stopped> {
        let Some(open) = &mut self.open else {
            return self.open_next(positions);
        };
        let length = open.log.fill()?;
        // Looked at after reading: what was read may be from the middle of what is there now.
        if open.was_truncated()? {
            positions.forget(&open.log)?;
            open.log.rewind()?;
            open.head.clear();
            self.reader = Reader::new(self.plain_helo);
            return Ok(true);
        }
        open.keep_head(length);
        let reader = &mut self.reader;
        let taken = open.log.take(length, &mut |line| recorder.line(reader, line));
        // Also the lines before one that failed.
        positions.set(&self.path, &mut open.log)?;
        taken?;
        if length > 0 {
            return Ok(true);
        }
        // At its end. A file of the past is done; one that lost its name gets one turn more.
        let is_past = open.log.path() != self.path;
        if !is_past && identity_of(&self.path)? == Some(open.log.identity()?) {
            open.was_renamed = false;
            return Ok(false);
        }
        if is_past || open.was_renamed {
            if open.log.has_unfinished_line() {
                recorder.unfinished();
            }
            self.open = None;
            return Ok(true);
        }
        open.was_renamed = true;
        Ok(false)
    }

    /// Opens what is to be read next.
    fn open_next(&mut self, positions: &Positions) -> Result<bool, Stopped> {
        if self.before.is_empty() {
            self.before = chain(&self.path, positions)?;
            self.before.reverse();
        }
        let Some(link) = self.before.pop() else { return Ok(false) };
        let log = Log::open(&link.path, link.offset)?;
        if log.is_compressed() && link.path == self.path {
            return Err(Stopped::Unread("compressed, so nobody writes to it".to_owned()));
        }
        self.reader = Reader::new(self.plain_helo);
        self.open = Some(Open::new(log)?);
        Ok(true)
    }
}

impl Open {
    fn new(log: Log) -> io::Result<Self> {
        let before = usize::try_from(log.offset()).unwrap_or(HEAD);
        let head = log.head(before.min(HEAD))?;
        Ok(Self { log, head, was_renamed: false })
    }

    /// Whether it is shorter than what was read of it, or begins otherwise.
    fn was_truncated(&self) -> io::Result<bool> {
        if self.log.is_compressed() {
            return Ok(false);
        }
        Ok(self.log.length()? < self.log.offset() || self.log.head(self.head.len())? != self.head)
    }

    /// From the bytes that were read just now: the file may have others in their place by now.
    fn keep_head(&mut self, length: usize) {
        let missing = HEAD - self.head.len();
        self.head.extend(self.log.block(length).iter().take(missing));
    }
}

/// Which file has this name now.
fn identity_of(path: &Path) -> io::Result<Option<Identity>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Caught: the first bytes of what is there now, taken for those of what was read.
    #[test]
    fn a_log_that_is_truncated_while_it_is_read_is_seen_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for offset in [0, 4] {
            fs::write(&path, "one\ntwo\n").unwrap();
            let mut open = Open::new(Log::open(&path, offset).unwrap()).unwrap();
            let length = open.log.fill().unwrap();
            assert!(!open.was_truncated().unwrap());
            fs::write(&path, "other\nand longer\n").unwrap();
            open.keep_head(length);
            assert!(open.was_truncated().unwrap(), "from {offset}");
        }
    }

    /// Caught: bytes left out or kept twice, so that a log that only grows seems to be another.
    #[test]
    fn a_log_that_grows_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let text: String = (0..200).map(|i| format!("{i}\n")).collect();
        for offset in [0, 4, 300] {
            let mut open = None;
            for end in [310, 320, text.len()] {
                fs::write(&path, &text[..end]).unwrap();
                let open = open
                    .get_or_insert_with(|| Open::new(Log::open(&path, offset).unwrap()).unwrap());
                let length = open.log.fill().unwrap();
                open.keep_head(length);
                assert!(!open.was_truncated().unwrap(), "from {offset} to {end}");
            }
            assert_eq!(open.unwrap().head, &text.as_bytes()[..HEAD]);
        }
    }
}
