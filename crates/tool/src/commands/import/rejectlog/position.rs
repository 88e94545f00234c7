//! How far logs were read, kept in a file.
//!
//! A log is known again by its first bytes: rotation changes its name, and compression its inode. The
//! file is written aside and renamed into place, so that it is whole at any time; it is written at
//! the end, and once a second. Who is killed in between counts the lines of that second again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::log::{Identity, Log, head};
use crate::failure::Failure;

/// Bytes by which a log is known again.
const HEAD: usize = 1024;
/// Logs that are remembered; those that were read last stay.
const LOGS_MAX: usize = 64;
/// How often the file is written while logs are read.
const INTERVAL: Duration = Duration::from_secs(1);

/// How far each log was read.
pub(super) struct Positions {
    path: Option<PathBuf>,
    positions: Vec<Position>,
    is_changed: bool,
    saved: Instant,
}

/// How far one log was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The name by which it was asked for, which another log may have by now.
    log: PathBuf,
    device: u64,
    inode: u64,
    /// Bytes that were read, uncompressed.
    pub(super) offset: u64,
    /// How many of them, from the first, are in `head_hash`.
    head_length: usize,
    head_hash: u64,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    positions: Vec<Position>,
}

const VERSION: u32 = 1;

impl Positions {
    /// Reads the file, if one is named and there.
    pub(super) fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let empty = Self {
            path: path.map(Path::to_owned),
            positions: Vec::new(),
            is_changed: false,
            saved: Instant::now(),
        };
        let Some(path) = path else { return Ok(empty) };
        let wrong = |problem: String| Failure::Position { path: path.to_owned(), problem };
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(empty),
            read => read.map_err(|error| wrong(error.to_string()))?,
        };
        let remedy = "remove it, and the logs are read from their start";
        let document: Document = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("not a file of positions ({error}); {remedy}")))?;
        if document.version != VERSION {
            let version = document.version;
            return Err(wrong(format!("version {version}, where {VERSION} is known; {remedy}")));
        }
        Ok(Self { positions: document.positions, ..empty })
    }

    /// How far this file was read, by whatever name.
    pub(super) fn of(&self, file: &File) -> io::Result<Option<&Position>> {
        let bytes = head(file, HEAD)?;
        Ok(self.positions.iter().rev().find(|position| position.is_of(&bytes)))
    }

    /// The log that was last read by this name.
    pub(super) fn last_of(&self, log: &Path) -> Option<&Position> {
        self.positions.iter().rev().find(|position| position.log == log)
    }

    /// Takes note of how far a log was read.
    pub(super) fn set(&mut self, name: &Path, log: &mut Log) -> io::Result<()> {
        if log.offset() == 0 {
            return Ok(());
        }
        let (device, inode) = log.identity()?;
        let head_length = usize::try_from(log.offset()).unwrap_or(HEAD).min(HEAD);
        if let Some(last) = self.positions.last_mut()
            && last.log == name
            && (last.device, last.inode, last.head_length) == (device, inode, head_length)
            && last.offset <= log.offset()
        {
            self.is_changed |= last.offset != log.offset();
            last.offset = log.offset();
            return Ok(());
        }
        let head = log.head(head_length)?;
        // The log may have been truncated since.
        if head.len() < head_length {
            return Ok(());
        }
        let (log, offset) = (name.to_owned(), log.offset());
        let new = Position { log, device, inode, offset, head_length, head_hash: hash(&head) };
        self.positions.retain(|old| !old.is_of(&head));
        self.positions.push(new);
        let surplus = self.positions.len().saturating_sub(LOGS_MAX);
        self.positions.drain(..surplus);
        self.is_changed = true;
        Ok(())
    }

    /// Forgets how far a log was read: it has begun anew.
    pub(super) fn forget(&mut self, log: &Log) -> io::Result<()> {
        let bytes = log.head(HEAD)?;
        self.positions.retain(|old| !old.is_of(&bytes));
        Ok(())
    }

    /// Writes the file if it was not written for a while.
    pub(super) fn save_now_and_then(&mut self) -> Result<(), Failure> {
        if self.saved.elapsed() < INTERVAL { Ok(()) } else { self.save() }
    }

    /// Writes the file.
    pub(super) fn save(&mut self) -> Result<(), Failure> {
        self.saved = Instant::now();
        let Some(path) = self.path.as_deref().filter(|_| self.is_changed) else { return Ok(()) };
        let document = Document { version: VERSION, positions: self.positions.clone() };
        write(path, &document).map_err(|error| Failure::Position {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        self.is_changed = false;
        Ok(())
    }
}

impl Position {
    /// Whether these first bytes are this log's.
    fn is_of(&self, bytes: &[u8]) -> bool {
        self.head_length > 0
            && bytes.get(..self.head_length).is_some_and(|head| hash(head) == self.head_hash)
    }

    /// Whether this file is the log, by whatever name.
    pub(super) fn is_this(&self, file: &File) -> io::Result<bool> {
        Ok(self.is_of(&head(file, self.head_length)?))
    }

    /// Which file it was.
    pub(super) fn identity(&self) -> Identity {
        (self.device, self.inode)
    }
}

/// Written aside and renamed: it is the old one or the new one, never half of it.
fn write(path: &Path, document: &Document) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let mut file = File::create(&aside)?;
    serde_json::to_writer(&mut file, document).map_err(io::Error::from)?;
    file.write_all(b"\n")?;
    file.sync_data()?;
    fs::rename(&aside, path)
}

/// FNV-1a, which does not change from one release to the next. Nobody gains from two logs that are
/// taken for one.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The vectors of its authors.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
