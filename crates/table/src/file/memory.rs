//! A table's words: a shared mapping, or the heap.

use memmap2::MmapRaw;

use crate::sync::AtomicU64;

/// The words of a table.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Shared with every process that maps the file.
    Mapped(MmapRaw),
    /// Private; the form that Miri and benchmarks run.
    Heap(Vec<AtomicU64>),
}

impl Memory {
    /// The words. Over a read-only mapping nothing but loads may be done with them; `Table`
    /// does no more, and `WritableTable` is only made over a writable mapping.
    #[allow(unsafe_code)]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        match self {
            Self::Heap(words) => words,
            Self::Mapped(map) => {
                // SAFETY: the mapping is page-aligned, hence aligned for AtomicU64, and lives as
                // long as the borrow of `self`. Its length in whole words is in bounds; pages
                // past the file's end would raise SIGBUS, so `open` compares the two lengths,
                // and nobody in this project truncates a table. All access, in this process and
                // in others, is by atomics of the same size, and AtomicU64 has no invalid bit
                // patterns. Loads of 8 bytes from read-only memory are plain loads on every
                // 64-bit target (see "Atomic accesses to read-only memory" in std::sync::atomic).
                unsafe {
                    std::slice::from_raw_parts(map.as_ptr().cast::<AtomicU64>(), map.len() / 8)
                }
            }
        }
    }
}

// What `words` says of loads from read-only memory holds for 64-bit targets.
#[cfg(not(target_pointer_width = "64"))]
compile_error!("eximrbl needs a 64-bit target");

const _: () = assert!(size_of::<AtomicU64>() == 8 && align_of::<AtomicU64>() == 8);
