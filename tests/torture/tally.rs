//! What hammering writers say about their calls, in memory that outlives them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes before the rows: the epoch, and room.
const HEAD: usize = 64;

/// As `struct tally` of `writer.c`, and what follows it.
pub struct Tally {
    start: *mut u8,
    length: usize,
    rows: usize,
    keys: usize,
}

// SAFETY: the memory holds atomics alone, and stays mapped as long as the value is there.
unsafe impl Send for Tally {}
// SAFETY: as above.
unsafe impl Sync for Tally {}

impl Tally {
    /// A new one, in a file of its own, for so many writers and keys.
    pub fn new(path: &Path, rows: usize, keys: usize) -> Self {
        let length = HEAD + rows * 8 + keys * 8;
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(length as u64).unwrap();
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that is there.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), length, rows, keys }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.length);
        // SAFETY: in bounds and aligned, as was just looked at; the file is never shortened, and
        // everybody accesses it by atomics of this size.
        unsafe { AtomicU64::from_ptr(self.start.add(offset).cast()) }
    }

    fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.length);
        // SAFETY: as in `word`.
        unsafe { AtomicU32::from_ptr(self.start.add(offset).cast()) }
    }

    /// Which keys are hammered now.
    pub fn epoch(&self) -> &AtomicU64 {
        self.word(0)
    }

    /// Whether the writer of a row is in the middle of a call.
    pub fn is_calling(&self, row: usize) -> bool {
        self.word(HEAD + row * 8).load(Ordering::SeqCst) != 0
    }

    /// The key that the writer of a row was about to change, if he was; for once he is dead.
    pub fn take_current(&self, row: usize) -> Option<usize> {
        let key = self.word(HEAD + row * 8).swap(0, Ordering::SeqCst);
        key.checked_sub(1).map(|key| key as usize)
    }

    /// Recordings of a key that were begun.
    pub fn begun(&self, key: usize) -> &AtomicU32 {
        assert!(key < self.keys);
        self.half(HEAD + self.rows * 8 + key * 4)
    }

    /// Recordings of a key that returned.
    pub fn acknowledged(&self, key: usize) -> &AtomicU32 {
        assert!(key < self.keys);
        self.half(HEAD + self.rows * 8 + self.keys * 4 + key * 4)
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference into it is left.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}
