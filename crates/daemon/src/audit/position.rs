//! How far the trail goes: the last line says it, and a small file beside the table as well.
//!
//! The file is for a start that finds no line, since somebody has moved the trail away meanwhile.
//! It is written over in place after each batch, always with as many bytes, by one system call: a
//! process that is killed leaves the old or the new text. After a power loss it may hold anything;
//! then it counts for nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use eximrbl_table::UnixSeconds;

use crate::following::Position;

/// What the file's text begins with.
const HEAD: &str = "eximrbl audit 1";
/// Bytes of the whole text, the line's end among them.
const LENGTH: usize = HEAD.len() + 1 + 16 + 1 + 20 + 1 + 10 + 1;

/// A place among the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The next change.
    pub(super) position: Position,
    /// When the last one before it was made.
    pub(super) time: UnixSeconds,
}

/// Where to go on: the later one of those that are known, if they are about the table that is
/// served.
pub(super) fn latest(line: Option<Place>, kept: Option<Place>, stream: u64) -> Option<Place> {
    let known = [line, kept].into_iter().flatten();
    let here = known.clone().filter(|place| place.position.stream == stream);
    here.max_by_key(|place| place.position.next).or_else(|| known.max_by_key(|place| place.time))
}

/// The file beside the table.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    file: Option<File>,
    /// Whether the log says that it cannot be written.
    told: bool,
}

impl Kept {
    /// Of the table at this path.
    pub(super) fn beside(table: &Path) -> Self {
        let mut path = table.as_os_str().to_owned();
        path.push(".audit");
        Self { path: path.into(), file: None, told: false }
    }

    /// What was kept; `None` if that is nothing of use.
    pub(super) fn read(&self) -> Option<Place> {
        let mut text = [0; LENGTH];
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(nix::libc::O_NOFOLLOW);
        options.open(&self.path).and_then(|file| file.read_exact_at(&mut text, 0)).ok()?;
        parse(str::from_utf8(&text).ok()?)
    }

    /// Keeps a place. Without it the lines themselves tell, so a failure is only told.
    pub(super) fn write(&mut self, place: Place) {
        match self.try_write(place) {
            Ok(()) => self.told = false,
            Err(error) => {
                self.file = None;
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!("{}: not written: {error}", self.path.display());
                }
            }
        }
    }

    fn try_write(&mut self, place: Place) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.path)?),
        };
        file.write_all_at(text(place).as_bytes(), 0)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o640);
    // A FIFO is not waited for, and then refused by pwrite(2).
    let file = options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("no regular file")) }
}

fn text(Place { position, time }: Place) -> String {
    format!("{HEAD} {:016x} {:020} {time:010}\n", position.stream, position.next)
}

fn parse(whole: &str) -> Option<Place> {
    let mut words = whole.strip_prefix(HEAD)?.split_ascii_whitespace();
    let stream = u64::from_str_radix(words.next()?, 16).ok()?;
    let next = words.next()?.parse().ok()?;
    let time = words.next()?.parse().ok()?;
    let place = Place { position: Position { stream, next }, time };
    // As it was written, and nothing else.
    (text(place) == whole).then_some(place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place(stream: u64, next: u64, time: UnixSeconds) -> Place {
        Place { position: Position { stream, next }, time }
    }

    /// Caught: a text whose length depends on its numbers.
    #[test]
    fn what_is_kept_is_read_again_and_anything_else_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::beside(&folder.path().join("table"));
        assert_eq!(kept.read(), None);
        for place in [place(u64::MAX, u64::MAX, u32::MAX), place(1, 2, 3), place(0, 0, 0)] {
            assert_eq!(text(place).len(), LENGTH);
            kept.write(place);
            assert_eq!(kept.read(), Some(place));
        }
        let path = folder.path().join("table.audit");
        let whole = std::fs::read_to_string(&path).unwrap();
        for damage in ["", "eximrbl audit 1", &whole.replace('0', " "), &whole.replace("1 ", "2 ")]
        {
            std::fs::write(&path, damage).unwrap();
            assert_eq!(kept.read(), None, "{damage:?}");
        }
    }

    /// Caught: the first instead of the later one; one of another table.
    #[test]
    fn the_later_one_of_this_table_counts() {
        let (early, late, other) = (place(7, 10, 5), place(7, 11, 5), place(8, 99, 9));
        for (line, kept, expected) in [
            (None, None, None),
            (Some(early), Some(late), Some(late)),
            (Some(late), Some(early), Some(late)),
            (Some(early), Some(other), Some(early)),
            (Some(other), Some(early), Some(early)),
            (Some(other), None, Some(other)),
            (Some(place(9, 1, 8)), Some(other), Some(other)),
        ] {
            assert_eq!(latest(line, kept, 7), expected);
        }
    }
}
