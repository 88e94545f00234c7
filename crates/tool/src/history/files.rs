//! The files of a trail: the one that is written to, and the older ones beside it, as eximrbld or
//! logrotate name them, compressed or not.
//!
//! A trail can have millions of lines, of which a few are wanted. So bytes are searched for the key
//! `network`, whose value is compared as it stands; only lines that are about the address are read
//! as JSON.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use eximrbl_table::Network;
use flate2::read::MultiGzDecoder;
use memchr::{memchr, memmem, memrchr};

use super::change::{Change, holds};
use crate::failure::Failure;

/// What stands before a line's network.
const KEY: &[u8] = b"\"network\":";
/// How much is read at once.
const PIECE: usize = 1 << 20;
/// Longest line that is taken for one; the daemon's are below 2 kB, with 64 names below 6 kB.
const LINE: usize = 1 << 16;

/// A file of the trail.
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    /// It is open: whoever renames files meanwhile changes nothing any more.
    pub(super) content: File,
}

/// Opens all files of a trail, the oldest first.
pub(super) fn find(file: &Path) -> Result<Vec<Found>, Failure> {
    let mut found: Vec<(Age, Found)> = Vec::new();
    let mut seen = Vec::new();
    for path in paths(file) {
        let unread = |source| Failure::Trail { path: path.clone(), source };
        let content = match File::open(&path) {
            Ok(content) => content,
            // Renamed or removed since; and there may be older ones alone.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unread(error)),
        };
        let metadata = content.metadata().map_err(unread)?;
        let identity = (metadata.dev(), metadata.ino());
        // One that was renamed since has two names in the list.
        if !metadata.is_file() || seen.contains(&identity) {
            continue;
        }
        seen.push(identity);
        let age = age(&content).map_err(unread)?;
        found.push((age, Found { path, content }));
    }
    if found.is_empty() {
        let source = io::Error::from(ErrorKind::NotFound);
        return Err(Failure::Trail { path: file.to_owned(), source });
    }
    found.sort_by_key(|(age, _)| *age);
    Ok(found.into_iter().map(|(_, found)| found).collect())
}

/// When a file's first line was written, and its number: the order of files.
type Age = (u32, u64);

/// The youngest first, so that one which is renamed meanwhile is met twice and not missed.
fn paths(file: &Path) -> Vec<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(name) = file.file_name() else { return vec![file.to_owned()] };
    let beside = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let mut older: Vec<_> =
        beside.map(|entry| entry.file_name()).filter(|older| is_older(older, name)).collect();
    older.sort();
    let older = older.into_iter().map(|older| file.with_file_name(older));
    [file.to_owned()].into_iter().chain(older).collect()
}

/// Whether a name is that of an older file: `.1`, `.2.gz`, `-20261122`, `-20261122-1795326190.gz`.
fn is_older(older: &OsStr, name: &OsStr) -> bool {
    let Some(rest) = older.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()) else {
        return false;
    };
    let rest = rest.strip_suffix(b".gz").unwrap_or(rest);
    let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'-';
    matches!(rest, [b'.' | b'-', digit, rest @ ..]
        if digit.is_ascii_digit() && rest.iter().all(is_number))
}

/// Reads the first line that says it; of a file that begins with none, when it was written last.
fn age(content: &File) -> io::Result<Age> {
    let mut age = None;
    let mut first = |line: &[u8]| {
        age = age.or_else(|| Change::of_line(line).map(|change| change.age()));
    };
    // Its head alone, and by a handle that stays at the start.
    let mut head = vec![0; LINE];
    let mut length = 0;
    while length < head.len() {
        match content.read_at(&mut head[length..], length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // A compressed one that ends here ends with an error, after its first lines.
    let _ = lines(decoded(&head[..length], is_compressed(&head)), &mut first, |_| true);
    match age {
        Some(age) => Ok(age),
        None => Ok((u32::try_from(content.metadata()?.mtime()).unwrap_or_default(), 0)),
    }
}

/// Calls `take` with each line of a file that may be about a network or an address, or is about the
/// trail itself.
pub(super) fn read(content: File, asked: Network, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut start = [0; 2];
    let is_compressed = content.read_at(&mut start, 0)? == 2 && is_compressed(&start);
    lines(decoded(content, is_compressed), &mut take, |value| {
        match value {
            [b'"', text @ ..] => {
                let end = memchr(b'"', text).unwrap_or(text.len());
                holds(&text[..end], asked)
            }
            // `null`: about the trail.
            _ => true,
        }
    })
}

/// Whether a file begins as gzip's do (RFC 1952 section 2.3.1).
fn is_compressed(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
}

fn decoded<'a>(content: impl Read + 'a, is_compressed: bool) -> Box<dyn Read + 'a> {
    if is_compressed { Box::new(MultiGzDecoder::new(content)) } else { Box::new(content) }
}

/// Calls `take` with each whole line that has a network which is wanted; that gets the text from the
/// network's value on.
fn lines(
    mut content: impl Read,
    take: &mut dyn FnMut(&[u8]),
    wanted: impl Fn(&[u8]) -> bool,
) -> io::Result<()> {
    let key = memmem::Finder::new(KEY);
    let mut buffer = vec![0; PIECE + LINE];
    // Bytes of a line whose end is not there yet.
    let mut kept = 0;
    loop {
        let read = match content.read(&mut buffer[kept..kept + PIECE]) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let filled = kept + read;
        // In what was kept there is none.
        let whole = memrchr(b'\n', &buffer[kept..filled]).map_or(0, |at| kept + at + 1);
        let mut from = 0;
        while let Some(at) = key.find(&buffer[from..whole]) {
            let value = from + at + KEY.len();
            // There is one: `whole` ends with it.
            let end = memchr(b'\n', &buffer[value..whole]).map_or(whole, |at| value + at);
            if wanted(&buffer[value..end]) {
                let start = memrchr(b'\n', &buffer[..value]).map_or(0, |at| at + 1);
                take(&buffer[start..end]);
            }
            from = end;
        }
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
        if kept > LINE {
            // No line of a trail; what comes of it is skipped or damaged.
            kept = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn older_files_are_known_by_their_names() {
        let name = OsStr::new("audit.jsonl");
        for (older, expected) in [
            ("audit.jsonl.1", true),
            ("audit.jsonl.12.gz", true),
            ("audit.jsonl-20261122", true),
            ("audit.jsonl-20261122-1795326190.gz", true),
            ("audit.jsonl", false),
            ("audit.jsonl.gz", false),
            ("audit.jsonl.bak", false),
            ("audit.jsonl.1.xz", false),
            ("audit.jsonl.1~", false),
            ("audit.json", false),
            ("other.jsonl.1", false),
        ] {
            assert_eq!(is_older(OsStr::new(older), name), expected, "{older}");
        }
    }

    /// Reads one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(1);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    /// Caught: the start of a piece as that of a line; a last line without its end; a line without end
    /// that fills the buffer.
    #[test]
    fn whole_lines_are_found_however_they_arrive() {
        let long = "x".repeat(3 * LINE);
        let text = format!(
            "{{\"a\":1,\"network\":\"1\"}}\nno such key\n{long}\n{{\"network\":null}}\n\
             {{\"network\":\"2\"}}\n{{\"network\":\"1\"}}"
        );
        for content in [&mut Slow(text.as_bytes()) as &mut dyn Read, &mut text.as_bytes()] {
            let mut taken = Vec::new();
            let mut take = |line: &[u8]| taken.push(String::from_utf8(line.to_vec()).unwrap());
            lines(content, &mut take, |value| !value.starts_with(b"\"2\"")).unwrap();
            assert_eq!(taken, ["{\"a\":1,\"network\":\"1\"}", "{\"network\":null}"]);
        }
    }
}
