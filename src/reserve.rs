//! Memory for the moment when there is none.
//!
//! Rust ends the process when an allocation fails, and that process would be one of Exim's, with
//! somebody's mail in its hands. (Exim itself ends then too, but by its own decision, at its own
//! next allocation, and says so.) The library allocates next to nothing, and only while it opens
//! the table or fails to: copies of the path, and words for the log. For these there is a reserve,
//! which is asked when malloc(3) gives nothing. (`rbl_lookup` does without its text then.)
//!
//! It is small on purpose: it fills up the page that the library's variables take anyway. One
//! page more would be a mapping more at each loading, which costs every connection 3 µs. So a
//! path of more than 128 bytes is not provided for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of a block.
const BLOCK: usize = 128;
/// Blocks. A call that fails for want of memory holds five at most; `rbl_preload`'s path stays.
const BLOCKS: usize = 6;

/// The system's allocator, with a reserve.
struct Reserved {
    blocks: UnsafeCell<[Block; BLOCKS]>,
    /// A bit for each block in use.
    used: AtomicU32,
}

#[repr(align(16))]
struct Block(#[expect(dead_code, reason = "reached by pointers alone")] [u8; BLOCK]);

#[global_allocator]
static ALLOCATOR: Reserved = Reserved {
    blocks: UnsafeCell::new([const { Block([0; BLOCK]) }; BLOCKS]),
    used: AtomicU32::new(0),
};

// SAFETY: a block is given out to whoever sets its bit, so to one at a time, and the bits are
// atomic.
unsafe impl Sync for Reserved {}

// Not inlined, for their callers are many, and all of them seldom called.
//
// SAFETY: what is given out is the system's, or a block that nobody else has, large and aligned
// enough; it is unchanged until it is given back. Nothing here unwinds.
unsafe impl GlobalAlloc for Reserved {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, handed on.
        let given = unsafe { System.alloc(layout) };
        if given.is_null() { self.take(layout) } else { given }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, given: *mut u8, layout: Layout) {
        if !self.take_back(given) {
            // SAFETY: not one of the blocks, so it came from the system; the rest is the
            // caller's promise.
            unsafe { System.dealloc(given, layout) };
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.number_of(old).is_none() {
            // SAFETY: not one of the blocks, so it came from the system; the rest is the
            // caller's promise.
            let given = unsafe { System.realloc(old, layout, size) };
            if !given.is_null() {
                return given;
            }
        }
        // SAFETY: the caller promises that `size` makes a layout with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller promises that `size` is not 0.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both hold at least so many bytes, and cannot overlap, for `old` is still
            // in use. It is given back as the caller allows.
            unsafe {
                ptr::copy_nonoverlapping(old, new, layout.size().min(size));
                self.dealloc(old, layout);
            }
        }
        new
    }
}

impl Reserved {
    /// A block that is free, or null.
    #[cold]
    #[inline(never)]
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > BLOCK || layout.align() > align_of::<Block>() {
            return ptr::null_mut();
        }
        for number in 0..BLOCKS {
            // Acquire pairs with the release of whoever gave the block back.
            if self.used.fetch_or(1 << number, Ordering::Acquire) >> number & 1 == 0 {
                // SAFETY: within the array.
                return unsafe { self.blocks.get().cast::<Block>().add(number).cast() };
            }
        }
        ptr::null_mut()
    }

    /// Takes a block back; false if it is none of ours.
    fn take_back(&self, given: *mut u8) -> bool {
        let number = self.number_of(given);
        if let Some(number) = number {
            self.used.fetch_and(!(1 << number), Ordering::Release);
        }
        number.is_some()
    }

    /// Which of the blocks it is.
    fn number_of(&self, given: *mut u8) -> Option<usize> {
        let offset = given.addr().checked_sub(self.blocks.get().addr())?;
        Some(offset / size_of::<Block>()).filter(|&number| number < BLOCKS)
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    fn reserved() -> Reserved {
        Reserved {
            blocks: UnsafeCell::new([const { Block([0; BLOCK]) }; BLOCKS]),
            used: AtomicU32::new(0),
        }
    }

    #[test]
    fn every_block_is_given_once_and_comes_back() {
        let reserve = reserved();
        let layout = Layout::from_size_align(BLOCK, 16).expect("a layout");
        let mut given: Vec<_> = (0..BLOCKS).map(|_| reserve.take(layout)).collect();
        assert!(reserve.take(layout).is_null(), "there are no more");
        given.sort_unstable();
        assert!(given.windows(2).all(|pair| pair[1].addr() - pair[0].addr() >= BLOCK));
        assert!(given.iter().all(|block| block.addr() % 16 == 0));
        assert!(reserve.take_back(given[3]));
        assert_eq!(reserve.take(layout), given[3]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let reserve = reserved();
        for (size, align) in [(BLOCK + 1, 1), (16, 32)] {
            let layout = Layout::from_size_align(size, align).expect("a layout");
            assert!(reserve.take(layout).is_null());
        }
        assert!(!reserve.take_back(ptr::without_provenance_mut(16)), "the system's own");
    }

    #[test]
    fn a_block_that_grows_keeps_its_bytes() {
        let reserve = reserved();
        let layout = Layout::from_size_align(3, 1).expect("a layout");
        let block = reserve.take(layout);
        // SAFETY: a block holds three bytes and more, and nobody else has it; what is given
        // for it is given back with the size that it was made for.
        unsafe {
            ptr::copy_nonoverlapping(b"abc".as_ptr(), block, 3);
            let grown = reserve.realloc(block, layout, 5000);
            assert_eq!(std::slice::from_raw_parts(grown, 3), b"abc");
            assert_eq!(reserve.used.load(Ordering::Relaxed), 0, "the block came back");
            reserve.dealloc(grown, Layout::from_size_align(5000, 1).expect("a layout"));
        }
    }
}
