//! Opening a table's file. Everything in it is hostile until compared.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memmap2::MmapOptions;

use super::Memory;
use crate::layout::{self, Layout, header};
use crate::sync::{AtomicU64, Ordering};

/// A page: the header, and what lies on it.
const HEADER_BYTES: usize = 4096;

/// Reading, or reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The mapping cannot be written to.
    Read,
    /// The mapping is shared for writing.
    Write,
}

/// Which file it is, whatever its name: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
    /// Bytes at the time of opening.
    length: u64,
}

impl FileIdentity {
    /// Whether both are one file, whatever its length was and is.
    pub(crate) fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Why a table was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No such file.
    #[error("{path}: no such table; start eximrbld, which makes it, or run: eximrbl create")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The file's mode or owner forbids it.
    #[error(
        "{path}: permission denied ({found}); Exim's group must read and write it \
         (chgrp Debian-exim {path}; chmod 0660 {path}), anybody else needs root's rights"
    )]
    Denied {
        /// The path.
        path: PathBuf,
        /// Mode, owner and group, as far as they can be seen.
        found: String,
    },
    /// Any other failure of the system.
    #[error("{path}: {error}")]
    System {
        /// The path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A directory, device, FIFO or socket.
    #[error("{path}: not a regular file, so not a table; check the path")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Anybody could change it.
    #[error("{path}: mode {mode:04o} lets every local user write; refused (chmod 0660 {path})")]
    WorldWritable {
        /// The path.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// Its first bytes are not a table's.
    #[error(
        "{path}: not a table of eximrbl (or one of a machine with another byte order); check the path; if it is where the table should be, move the file away, and eximrbld makes a new one"
    )]
    NotATable {
        /// The path.
        path: PathBuf,
    },
    /// A table, but of another version of eximrbl.
    #[error(
        "{path}: table format {found}, this program reads {expected}; stop eximrbld and Exim's daemon, move the file away, and start eximrbld of the version that is installed"
    )]
    Version {
        /// The path.
        path: PathBuf,
        /// The file's format version.
        found: u64,
        /// The only version that this program reads.
        expected: u64,
    },
    /// The file's length is not what its header says.
    #[error(
        "{path}: {found} bytes, but its header needs {expected}; it was cut short or enlarged: move it away, and eximrbld makes a new one"
    )]
    Length {
        /// The path.
        path: PathBuf,
        /// Bytes that the file has.
        found: u64,
        /// Bytes that it must have.
        expected: u64,
    },
    /// There is nothing in it.
    #[error("{path}: empty, so it was cut to nothing; move it away, and eximrbld makes a new one")]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// The header is damaged.
    #[error("{path}: damaged header ({what}); move it away, and eximrbld makes a new one")]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// The file was replaced by a resized table at the very moment.
    #[error("{path}: this table has been replaced; open it again")]
    Retired {
        /// The path.
        path: PathBuf,
    },
}

/// An opened table file.
pub(crate) struct Opened {
    pub(crate) memory: Memory,
    pub(crate) layout: Layout,
    pub(crate) identity: FileIdentity,
}

/// Whether a table that another has replaced is of any use to who opens it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retired {
    /// No: the one that replaced it is wanted.
    Refused,
    /// Yes: it is opened as the predecessor of another.
    Taken,
}

/// Opens, maps and checks. Nothing past the header is touched before the file is known to be as
/// long as its header says.
pub(crate) fn open(path: &Path, access: Access, retired: Retired) -> Result<Opened, OpenError> {
    try_open(path, access, retired).map_err(|misfit| misfit.at(path))
}

fn try_open(path: &Path, access: Access, retired: Retired) -> Result<Opened, Misfit> {
    let file = OpenOptions::new()
        .read(true)
        .write(access == Access::Write)
        // NONBLOCK: a FIFO put in the table's place must not hold up Exim. NOCTTY: nor may a
        // terminal. std adds CLOEXEC.
        .custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            // What open(2) says of directories, sockets and FIFOs nobody reads.
            Some(libc::EISDIR | libc::ENXIO | libc::ENODEV) => Misfit::NotAFile,
            _ => Misfit::System(error),
        })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Misfit::NotAFile);
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o002 != 0 {
        return Err(Misfit::WorldWritable(mode));
    }

    if metadata.len() == 0 {
        return Err(Misfit::Empty);
    }
    // The header is looked at through the mapping, which is as long as the file is: one system
    // call less for each of Exim's children. It must be there whole, or touching it is a SIGBUS.
    let length = usize::try_from(metadata.len()).ok().filter(|&length| length >= HEADER_BYTES);
    let Some(length) = length else { return Err(Misfit::NotATable) };
    let mut options = MmapOptions::new();
    options.len(length);
    let map = match access {
        Access::Read => options.map_raw_read_only(&file),
        Access::Write => options.map_raw(&file),
    }?;
    let memory = Memory::Mapped(map);
    // Whatever another process writes into the header from now on: where the sections lie was
    // decided by these words, and their end is the mapping's.
    let layout = check(memory.words(), metadata.len())?;
    if retired == Retired::Refused && memory.words()[header::RETIRED].load(Ordering::Relaxed) != 0 {
        return Err(Misfit::Retired);
    }
    let identity = identity_of(&metadata);
    Ok(Opened { memory, layout, identity })
}

/// What is wrong with a file; [`Misfit::at`] says of which one.
enum Misfit {
    System(io::Error),
    NotAFile,
    WorldWritable(u32),
    Empty,
    NotATable,
    Version(u64),
    Damaged(&'static str),
    Length { found: u64, expected: u64 },
    Retired,
}

impl From<io::Error> for Misfit {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Misfit {
    fn at(self, file: &Path) -> OpenError {
        let path = file.to_path_buf();
        match self {
            Self::System(error) => match error.kind() {
                io::ErrorKind::NotFound => OpenError::Missing { path },
                io::ErrorKind::PermissionDenied => {
                    OpenError::Denied { path, found: rights_of(file) }
                }
                _ => OpenError::System { path, error },
            },
            Self::NotAFile => OpenError::NotAFile { path },
            Self::WorldWritable(mode) => OpenError::WorldWritable { path, mode },
            Self::Empty => OpenError::Empty { path },
            Self::NotATable => OpenError::NotATable { path },
            Self::Version(found) => OpenError::Version { path, found, expected: layout::VERSION },
            Self::Damaged(what) => OpenError::Damaged { path, what },
            Self::Length { found, expected } => OpenError::Length { path, found, expected },
            Self::Retired => OpenError::Retired { path },
        }
    }
}

/// Compares the header's fixed words with each other and with the file's length.
fn check(words: &[AtomicU64], length: u64) -> Result<Layout, Misfit> {
    let word = |place: usize| words[place].load(Ordering::Relaxed);
    if word(header::MAGIC) != layout::MAGIC {
        return Err(Misfit::NotATable);
    }
    let found = word(header::VERSION);
    if found != layout::VERSION {
        return Err(Misfit::Version(found));
    }
    if word(header::FINGERPRINT) != layout::fingerprint() {
        return Err(Misfit::Damaged("layout fingerprint"));
    }
    if word(header::CHECKSUM) != layout::header_checksum(words) {
        return Err(Misfit::Damaged("checksum"));
    }
    let slots = word(header::SLOTS);
    let layout = Layout::of(slots).ok_or(Misfit::Damaged("number of slots"))?;
    if word(header::BYTES) != layout.bytes() {
        return Err(Misfit::Damaged("file size"));
    }
    if length != layout.bytes() {
        return Err(Misfit::Length { found: length, expected: layout.bytes() });
    }
    Ok(layout)
}

fn identity_of(metadata: &std::fs::Metadata) -> FileIdentity {
    FileIdentity { device: metadata.dev(), inode: metadata.ino(), length: metadata.len() }
}

/// A file's mode, owner and group, for a message.
fn rights_of(path: &Path) -> String {
    match std::fs::metadata(path) {
        Ok(found) => {
            let (mode, owner, group) = (found.mode() & 0o7777, found.uid(), found.gid());
            format!("mode {mode:04o}, uid {owner}, gid {group}")
        }
        Err(_) => "a folder on the way to it is closed".to_owned(),
    }
}

/// The file that a path names now.
pub(crate) fn identity_at(path: &Path) -> Option<FileIdentity> {
    std::fs::metadata(path).ok().map(|metadata| identity_of(&metadata))
}
