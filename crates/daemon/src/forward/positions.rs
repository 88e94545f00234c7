//! How far all was passed on to each gatherer, kept beside the table for the next start.
//!
//! The file is written aside and renamed, so that it is whole whenever the power goes. What was
//! passed on after it was written is passed on again by the next start; it is written once a
//! second, and at the end.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::feed::Progress;

/// The form of the file.
const FORMAT: u32 = 1;
/// Longest file that is read.
const FILE_MAX: u64 = 1 << 16;

/// Progress, by gatherer.
pub(super) type Positions = BTreeMap<String, Progress>;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    gatherers: Positions,
}

/// The file beside a table.
pub(super) fn path(table: &Path) -> PathBuf {
    let mut name = table.file_name().unwrap_or_default().to_os_string();
    name.push(".forward");
    table.with_file_name(name)
}

/// Reads the file; nothing when there is none.
pub(super) fn read(path: &Path) -> io::Result<Positions> {
    // A FIFO in its place is not waited for.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Positions::new()),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut text)?;
    let kept: Kept = serde_json::from_slice(&text)?;
    match kept.format {
        FORMAT => Ok(kept.gatherers),
        other => Err(io::Error::other(format!("format {other} is not known here"))),
    }
}

/// Writes the file.
pub(super) fn write(path: &Path, positions: &Positions) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let aside = path.with_file_name(name);
    // One that was left half done. It cannot be cut short: the daemon has given that right up.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&aside)?;
    let mut text = serde_json::to_vec(&Kept { format: FORMAT, gatherers: positions.clone() })?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    // The new name is on the disk when the folder is.
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::following::Position;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder.path().join("table"));
        assert_eq!(path, folder.path().join("table.forward"));
        assert!(read(&path).unwrap().is_empty());
        let progress =
            |next| Progress { position: Position { stream: u64::MAX, next }, time: u32::MAX };
        for next in [1, u64::MAX] {
            let positions: Positions = [("a.example:4445".to_owned(), progress(next))].into();
            write(&path, &positions).unwrap();
            assert_eq!(read(&path).unwrap(), positions);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// Caught: a half-written file aside that is in the way for good; rubbish that is taken for an
    /// empty file.
    #[test]
    fn what_is_left_over_is_replaced_and_rubbish_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.forward");
        fs::write(folder.path().join("table.forward.new"), "{").unwrap();
        write(&path, &Positions::new()).unwrap();
        assert!(read(&path).unwrap().is_empty());
        for rubbish in ["", "{", "{\"format\":2,\"gatherers\":{}}", "\0\u{1}"] {
            fs::write(&path, rubbish).unwrap();
            assert!(read(&path).is_err(), "{rubbish:?}");
        }
    }
}
