//! Where an export goes: standard output, or a file that is there as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output::Output;

/// Where it goes.
pub(super) enum Sink<'a> {
    Output(&'a mut Output),
    File(Aside),
}

/// A file that is written aside, and takes its place when it is complete.
pub(super) struct Aside {
    /// Where it belongs.
    path: PathBuf,
    /// Where it is until then; nowhere else for what is no plain file.
    aside: Option<PathBuf>,
    file: BufWriter<File>,
}

impl<'a> Sink<'a> {
    /// To this file, or to standard output.
    pub(super) fn new(path: Option<&Path>, output: &'a mut Output) -> Result<Self, Failure> {
        match path {
            None => Ok(Self::Output(output)),
            Some(path) => {
                let opened = Aside::open(path);
                opened
                    .map(Self::File)
                    .map_err(|source| Failure::File { path: path.to_path_buf(), source })
            }
        }
    }

    /// An error of writing, with the file's name.
    pub(super) fn failure(&self, source: io::Error) -> Failure {
        match self {
            Self::Output(_) => Failure::Output(source),
            Self::File(aside) => Failure::File { path: aside.path.clone(), source },
        }
    }

    /// Puts the file into its place.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Output(_) => Ok(()),
            Self::File(mut aside) => {
                let path = aside.path.clone();
                aside.finish().map_err(|source| Failure::File { path, source })
            }
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Output(output) => output.write(bytes),
            Self::File(aside) => aside.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Output(output) => output.flush(),
            Self::File(aside) => aside.file.flush(),
        }
    }
}

impl Aside {
    fn open(path: &Path) -> io::Result<Self> {
        let (path, known) = match fs::metadata(path) {
            // What a link names is replaced, not the link.
            Ok(known) => (fs::canonicalize(path)?, Some(known)),
            Err(_) => (path.to_path_buf(), None),
        };
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            // A pipe or a device cannot be replaced.
            let file = OpenOptions::new().write(true).open(&path)?;
            return Ok(Self { path, aside: None, file: BufWriter::new(file) });
        }
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
        name.push(format!(".{}", std::process::id()));
        let aside = path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&aside)?;
        let made = Self { path, aside: Some(aside), file: BufWriter::with_capacity(1 << 16, file) };
        if let Some(known) = known {
            // As the one that it replaces, as far as one may.
            let file = made.file.get_ref();
            file.set_permissions(fs::Permissions::from_mode(known.mode() & 0o7777))?;
            let _ = std::os::unix::fs::fchown(file, Some(known.uid()), Some(known.gid()));
        }
        Ok(made)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.flush()?;
        if let Some(aside) = self.aside.take() {
            let renamed =
                self.file.get_ref().sync_all().and_then(|()| fs::rename(&aside, &self.path));
            if renamed.is_err() {
                self.aside = Some(aside);
            }
            return renamed;
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(aside) = &self.aside {
            // What is incomplete is of no use; an error was told already.
            let _ = fs::remove_file(aside);
        }
    }
}
