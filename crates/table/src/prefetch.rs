//! Asking the memory for a word ahead of its use.
//!
//! A look-up waits for two or three cache lines, each a walk to main memory in a table of millions.
//! Who has many look-ups to make asks for the words of all first, and waits once.

use std::sync::atomic::AtomicU64;

/// Asks for the cache line of a word. Only a hint: nothing is read, and nothing changes.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
pub(crate) fn prefetch(word: &AtomicU64) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    #[allow(unsafe_code)]
    // SAFETY: PREFETCHT0 takes any address, raises no fault (not even where the page is gone), and
    // changes nothing that a program can see. SSE, which it belongs to, is part of x86-64.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
}

/// Asks for the cache line of a word. Only a hint: nothing is read, and nothing changes.
#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline(always)]
pub(crate) fn prefetch(word: &AtomicU64) {
    #[allow(unsafe_code)]
    // SAFETY: PRFM takes any address, raises no fault, and changes nothing that a program can see.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{}]",
            in(reg) std::ptr::from_ref(word),
            options(nostack, preserves_flags, readonly)
        );
    }
}

/// On other machines the look-up itself fetches.
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[inline(always)]
pub(crate) fn prefetch(_: &AtomicU64) {}
