//! A file in memory that code under test opens by a path, as it would a file on a disk.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

/// The file, and its path.
pub struct MemoryFile {
    file: File,
    path: PathBuf,
}

impl MemoryFile {
    /// An empty file that only this user may write: a table that everybody can is refused.
    pub fn new() -> Self {
        let file = File::from(memfd_create("eximrbl-fuzz", MemfdFlags::CLOEXEC).unwrap());
        file.set_permissions(PermissionsExt::from_mode(0o600)).unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        Self { file, path }
    }

    /// What to open.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file these bytes and no others.
    pub fn set(&self, bytes: &[u8]) {
        self.file.write_all_at(bytes, 0).unwrap();
        self.file.set_len(bytes.len() as u64).unwrap();
    }

    /// Its length in bytes, whoever has changed it.
    #[allow(dead_code, reason = "each target uses its own part")]
    pub fn length(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }

    /// Writes a part of it.
    #[allow(dead_code, reason = "each target uses its own part")]
    pub fn patch(&self, bytes: &[u8], offset: u64) {
        self.file.write_all_at(bytes, offset).unwrap();
    }
}
