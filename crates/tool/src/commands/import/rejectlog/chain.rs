//! Which files have to be read for a log's name: the log that had the name when it was last read,
//! from where it was left; those that had it since; and the one that has it now.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::log::open_file;
use super::position::{Position, Positions};

/// A file, and where to begin in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
}

/// The files, oldest first; the last one is `path` itself.
pub(super) fn chain(path: &Path, positions: &Positions) -> io::Result<Vec<Link>> {
    let file = open_file(path)?;
    let known = positions.of(&file)?;
    let now = Link { path: path.to_owned(), offset: known.map_or(0, |known| known.offset) };
    let mut links = match positions.last_of(path) {
        Some(last) if !last.is_this(&file)? => rotated(path, last, positions),
        _ => Vec::new(),
    };
    links.push(now);
    Ok(links)
}

/// What was renamed since `last` was read by this name. A file that cannot be looked at is passed
/// over: it is not what was asked for.
fn rotated(path: &Path, last: &Position, positions: &Positions) -> Vec<Link> {
    let mut others: Vec<(SystemTime, PathBuf, File)> = siblings(path)
        .into_iter()
        .filter_map(|sibling| {
            let file = open_file(&sibling).ok()?;
            Some((file.metadata().ok()?.modified().ok()?, sibling, file))
        })
        .collect();
    others.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    // Among copies, the file itself.
    let is_last = |file: &File| last.is_this(file).unwrap_or(false);
    let is_same = |file: &File| {
        let identity = file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        identity.is_ok_and(|identity| identity == last.identity())
    };
    let found = others.iter().position(|(_, _, file)| is_same(file) && is_last(file));
    let Some(found) = found.or_else(|| others.iter().position(|(_, _, file)| is_last(file))) else {
        return Vec::new();
    };
    let since = others.split_off(found).into_iter();
    let links = since.filter_map(|(_, path, file)| {
        let known = positions.of(&file).ok()?;
        Some(Link { path, offset: known.map_or(0, |known| known.offset) })
    });
    links.collect()
}

/// Files beside it that have its name with more behind it: `rejectlog.1`, `rejectlog-20261122.gz`.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name() else { return Vec::new() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(files) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return Vec::new() };
    let is_sibling = |other: &OsStr| {
        let rest = other.as_bytes().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| matches!(rest.first(), Some(b'.' | b'-')))
    };
    files.flatten().filter(|file| is_sibling(&file.file_name())).map(|file| file.path()).collect()
}
