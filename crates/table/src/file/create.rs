//! Making a table's file: aside, complete, and then renamed into place, so that nobody ever
//! opens half a table. An existing file is never touched.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FallocateFlags, FlockOperation, RenameFlags, fallocate, flock, renameat_with,
};

use crate::decision::UnixSeconds;
use crate::hash::Seed;
use crate::layout::{self, Layout, header};
use crate::sync::{AtomicU64, Ordering};

/// How to make a table.
#[derive(Clone, Debug)]
pub struct CreateOptions {
    /// Entries it can hold; rounded up to a multiple of 8. 16 to 2^30.
    pub slots: u64,
    /// Permission bits, whatever the umask.
    pub mode: u32,
    /// Owner to give the file, if not the process's own.
    pub owner: Option<u32>,
    /// Group to give the file, if not the process's own.
    pub group: Option<u32>,
}

impl Default for CreateOptions {
    /// 1,048,576 slots (69 MB), mode 0660.
    fn default() -> Self {
        Self { slots: 1 << 20, mode: 0o660, owner: None, group: None }
    }
}

/// Why a table was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is a file of that name already; it is left alone.
    #[error("{path}: exists already, and is left as it is")]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The number of slots cannot be had.
    #[error("{slots} slots: a table has 16 to {} (2^30)", 1_u64 << 30)]
    Slots {
        /// What was asked for.
        slots: u64,
    },
    /// The file system has no room for the whole table.
    #[error("{path}: no room for {bytes} bytes; free some, or make a smaller table (slots)")]
    NoSpace {
        /// The path.
        path: PathBuf,
        /// What the table needs.
        bytes: u64,
    },
    /// The folder belongs to somebody else.
    #[error(
        "{path}: no file can be made in its folder: permission denied; the folder must belong to \
         who makes the table (chown eximrbl {folder})", folder = .path.parent().unwrap_or(.path).display()
    )]
    Denied {
        /// The table's path.
        path: PathBuf,
    },
    /// Any other failure of the system.
    #[error("{path}: cannot {step}: {error}")]
    System {
        /// The file, or its folder.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Made, but it could not be opened.
    #[error(transparent)]
    Open(#[from] super::OpenError),
}

/// A table that is complete, but not in its place yet. It goes away again unless it is put there.
pub(crate) struct Aside {
    path: PathBuf,
    /// Locked as long as this process is at it, so that a clean-up knows it from a leftover.
    file: File,
}

/// What a new table begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    /// When.
    pub(crate) now: UnixSeconds,
    /// The hash seed; drawn when there is none.
    pub(crate) seed: Option<Seed>,
    /// The pid namespace of the pids in control words; this process's own when there is none.
    pub(crate) pid_namespace: Option<u64>,
    /// The sequence number of the first event.
    pub(crate) first_event: u64,
}

impl Birth {
    /// A table without ancestors.
    pub(crate) fn new(now: UnixSeconds) -> Self {
        // Events count on from the time of creation, so that the zones' serial, which comes from
        // here, does not fall back when a table is made anew (unless the old one had more than one
        // event a second on average).
        Self { now, seed: None, pid_namespace: None, first_event: now.into() }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After the rename there is nothing of this name any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes a table of zeros with a header beside `path`; `fill` completes it (policy, first names)
/// before anybody else can see it.
pub(crate) fn make(
    path: &Path,
    options: &CreateOptions,
    birth: Birth,
    fill: impl FnOnce(&Path) -> Result<(), CreateError>,
) -> Result<Aside, CreateError> {
    let slots = options.slots.checked_next_multiple_of(8).and_then(Layout::of);
    let layout = slots.ok_or(CreateError::Slots { slots: options.slots })?;
    let step = |step| {
        let path = path.to_path_buf();
        move |error: io::Error| CreateError::System { path, step, error }
    };
    // Beyond the limit (ulimit -f) the kernel would send a signal that ends the program.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| limit < layout.bytes()) {
        return Err(step("allocate the file")(rustix::io::Errno::FBIG.into()));
    }
    let aside = make_aside(path)?;
    allocate(&aside.file, layout.bytes()).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            CreateError::NoSpace { path: path.to_path_buf(), bytes: layout.bytes() }
        }
        _ => step("allocate the file")(error),
    })?;
    let header = new_header(&layout, birth).map_err(step("draw random numbers"))?;
    aside.file.write_all_at(&header, 0).map_err(step("write the header"))?;
    fill(&aside.path)?;
    fchown(&aside.file, options.owner, options.group).map_err(step("give to its owner"))?;
    let mode = std::fs::Permissions::from_mode(options.mode & 0o7777);
    aside.file.set_permissions(mode).map_err(step("set the mode"))?;
    aside.file.sync_all().map_err(step("write to the disk"))?;
    Ok(aside)
}

impl Aside {
    /// Puts the table where there is none.
    pub(crate) fn put(self, path: &Path) -> Result<(), CreateError> {
        rename_into_place(&self.path, path)
    }

    /// Puts the table in the place of the one that is there, which keeps its other names.
    pub(crate) fn replace(self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)
    }
}

/// Where the table that is being replaced is found, beside its successor at `path`.
pub(crate) fn old_path(path: &Path, identity: u64) -> PathBuf {
    beside(path, &format!("old-{identity:016x}"))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// A new file beside `path`, readable by nobody else until it is complete.
fn make_aside(path: &Path) -> Result<Aside, CreateError> {
    // Not the pid: two containers that share the folder may have the same.
    let mut random = [0_u8; 8];
    let drawn = rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty());
    let step = |step, error: rustix::io::Errno| CreateError::System {
        path: path.to_path_buf(),
        step,
        error: error.into(),
    };
    drawn.map_err(|errno| step("draw random numbers", errno))?;
    let aside = beside(path, &format!("new-{:016x}", u64::from_ne_bytes(random)));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    match options.open(&aside) {
        Ok(file) => {
            // Where it cannot be locked, a clean-up spares it as long as it is young.
            let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
            Ok(Aside { path: aside, file })
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(CreateError::Denied { path: path.to_path_buf() })
        }
        Err(error) => {
            let path = path.to_path_buf();
            Err(CreateError::System { path, step: "make the file", error })
        }
    }
}

/// Gives the file all its blocks, as zeros: a store into the mapping must never find the disk
/// full, for that would be a SIGBUS in Exim.
fn allocate(mut file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file.as_fd(), FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // File systems without it (some network ones): write the zeros.
        Err(rustix::io::Errno::OPNOTSUPP) => {
            let zeros = vec![0_u8; 1 << 20];
            let mut left = bytes;
            while left > 0 {
                let part = left.min(zeros.len() as u64);
                file.write_all(&zeros[..part as usize])?;
                left -= part;
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

/// The header's first page as bytes.
fn new_header(layout: &Layout, birth: Birth) -> io::Result<Vec<u8>> {
    let mut random = [0_u8; 24];
    let flags = rustix::rand::GetRandomFlags::empty();
    let filled = rustix::rand::getrandom(&mut random[..], flags)?;
    if filled < random.len() {
        return Err(io::Error::other("getrandom(2) gave too little"));
    }
    let random = random.as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
    let random: Vec<u64> = random.collect();
    let words: Vec<AtomicU64> = (0..512).map(|_| AtomicU64::new(0)).collect();
    let store = |place: usize, value: u64| words[place].store(value, Ordering::Relaxed);
    store(header::MAGIC, layout::MAGIC);
    store(header::VERSION, layout::VERSION);
    store(header::FINGERPRINT, layout::fingerprint());
    store(header::SLOTS, layout.slots as u64);
    store(header::BYTES, layout.bytes());
    let Seed(first, second) = birth.seed.unwrap_or(Seed(random[0], random[1]));
    store(header::SEED.start, first);
    store(header::SEED.start + 1, second);
    store(header::CREATED, birth.now.into());
    // Not 0, which stands for no table.
    store(header::IDENTITY, random[2].max(1));
    let namespace = birth.pid_namespace.or_else(crate::process::pid_namespace);
    store(header::PID_NAMESPACE, namespace.unwrap_or(0));
    store(header::CHECKSUM, layout::header_checksum(&words));
    store(header::RING_HEAD, birth.first_event);
    store(header::RING_FIRST, birth.first_event);
    Ok(words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect())
}

/// Renames without replacing; on file systems that cannot, links, which never replaces.
fn rename_into_place(from: &Path, to: &Path) -> Result<(), CreateError> {
    let renamed = renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    let result = match renamed {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::hard_link(from, to),
        other => other.map_err(io::Error::from),
    };
    result.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CreateError::Exists { path: to.to_path_buf() },
        _ => CreateError::System { path: to.to_path_buf(), step: "rename into place", error },
    })
}
