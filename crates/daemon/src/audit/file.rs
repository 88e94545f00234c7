//! The file: lines are added at its end, and it becomes an older one by its size.
//!
//! Each batch first looks whether the file is still the one at the path. So it may be renamed or
//! removed at any time, by logrotate for one, and nobody has to tell the daemon: what comes next is in
//! a new file at the path. (SIGHUP makes that one at once.)

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eximrbl_zone::AuditSettings;

use super::batch::Batch;
use super::line;
use super::position::Place;

/// Its owner may write it, its group may read it.
const MODE: u32 = 0o640;
/// The largest batch.
const BATCH: usize = 1 << 16;
/// How much of the file's end is searched for its last line.
const TAIL: u64 = 1 << 16;

/// The file at the configured path.
#[derive(Debug)]
pub(super) struct TrailFile {
    settings: AuditSettings,
    open: Option<Open>,
    /// Whether the log says that it could not become an older one.
    told: bool,
}

/// An open file.
#[derive(Debug)]
struct Open {
    file: File,
    /// How long it was after the last batch.
    length: u64,
}

impl TrailFile {
    pub(super) fn new(settings: AuditSettings) -> Self {
        Self { settings, open: None, told: false }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.settings.file
    }

    /// Takes over other sizes. The path stays what it was.
    pub(super) fn set(&mut self, settings: AuditSettings) {
        self.settings = AuditSettings { file: self.settings.file.clone(), ..settings };
    }

    /// How many bytes a batch should have, so that files keep to their size.
    pub(super) fn batch_limit(&self) -> usize {
        let size = self.settings.size.and_then(|size| usize::try_from(size / 4).ok());
        size.map_or(BATCH, |size| size.min(BATCH))
    }

    /// How far the trail goes, by the last line that can be read.
    pub(super) fn last(&mut self) -> io::Result<Option<Place>> {
        self.look()?;
        let Some(Open { file, length }) = &self.open else { return Ok(None) };
        let start = length.saturating_sub(TAIL);
        let mut tail = vec![0; (length - start) as usize];
        file.read_exact_at(&mut tail, start)?;
        Ok(tail.rsplit(|&byte| byte == b'\n').find_map(line::place))
    }

    /// Sees to it that the open file is the one at the path; whether it was not.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let at_path = look_at(&self.settings.file)?;
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let open_one = self.open.as_ref().and_then(|open| open.file.metadata().ok()).map(identity);
        if open_one.is_some() && open_one == at_path.map(identity) {
            return Ok(false);
        }
        self.open = None;
        self.open = Some(open(&self.settings.file)?);
        Ok(true)
    }

    /// Adds a batch at the end, or as much of it as can be written.
    pub(super) fn append(&mut self, batch: &mut Batch) -> io::Result<()> {
        let is_another = self.look()?;
        let Some(open) = &mut self.open else { return Err(ErrorKind::NotFound.into()) };
        if is_another || open.file.metadata()?.len() != open.length {
            // Also when somebody else has cut it, or added to it.
            batch.begin_line_again();
            complete_line(open)?;
        }
        if !batch.is_begun() && self.is_full(batch) {
            self.turn();
        }
        let Some(open) = &mut self.open else { return Err(ErrorKind::NotFound.into()) };
        while !batch.rest().is_empty() {
            match open.file.write(batch.rest()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    batch.advance(written);
                    open.length += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the file would grow over its size.
    fn is_full(&self, batch: &Batch) -> bool {
        let length = self.open.as_ref().map_or(0, |open| open.length);
        let limit = self.settings.size.unwrap_or(u64::MAX);
        length > 0 && length.saturating_add(batch.len() as u64) > limit
    }

    /// Makes the file an older one, and begins another. When that cannot be done, the file grows on.
    fn turn(&mut self) {
        match self.try_turn() {
            Ok(()) => self.told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::error!(
                        "{}: larger than audit.size, and cannot be renamed: {error}; it grows on",
                        self.settings.file.display()
                    );
                }
            }
        }
    }

    fn try_turn(&mut self) -> io::Result<()> {
        for number in (1..self.settings.keep).rev() {
            match fs::rename(self.older(number), self.older(number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.settings.file, self.older(1))?;
        self.open = Some(open(&self.settings.file)?);
        Ok(())
    }

    /// The path of an older one; 1 is the youngest.
    fn older(&self, number: u32) -> PathBuf {
        let mut path = OsString::from(&self.settings.file);
        path.push(format!(".{number}"));
        path.into()
    }
}

/// What is at the path: nothing, or a regular file.
fn look_at(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(metadata) if metadata.is_symlink() => Err(refused("it is a symbolic link")),
        Ok(_) => Err(refused("it is no regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(what: &str) -> io::Error {
    io::Error::other(format!("{what}; remove it, or name another file"))
}

/// Opens the file, or makes it; a line that was cut short is ended.
fn open(path: &Path) -> io::Result<Open> {
    let mut options = OpenOptions::new();
    // Read too, for its last line. Nothing is waited for, and no link is followed: what is at the
    // path may have become something else since it was looked at.
    options.read(true).append(true).mode(MODE);
    options.custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    let file = match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // Whatever the umask is.
            file.set_permissions(Permissions::from_mode(MODE))?;
            file
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path)?,
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(refused("it is no regular file"));
    }
    let mut open = Open { file, length: 0 };
    complete_line(&mut open)?;
    Ok(open)
}

/// Ends a line that was cut short, and takes the file's length.
fn complete_line(open: &mut Open) -> io::Result<()> {
    open.length = open.file.metadata()?.len();
    if let Some(last) = open.length.checked_sub(1) {
        let mut byte = [0];
        open.file.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            open.file.write_all(b"\n")?;
            open.length += 1;
        }
    }
    Ok(())
}
