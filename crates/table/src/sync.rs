//! Atomics from std, or from loom when the protocol is explored (`RUSTFLAGS="--cfg loom"`).

#[cfg(loom)]
pub(crate) use loom::{
    sync::atomic::{AtomicU64, Ordering, fence},
    thread::yield_now,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::atomic::{AtomicU64, Ordering, fence},
    thread::yield_now,
};

/// A short pause inside a spin loop.
pub(crate) fn pause() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::hint::spin_loop();
}

/// A plain, relaxed store into a word that others change by compare-and-swap.
///
/// loom 0.7 keeps no order between a read-modify-write and a store that follows what it read
/// ("RMW atomicity" is not among its rules), so that a value could come back from before the store.
/// The memory model forbids that. Under loom the store is a swap, which it orders as it should be.
pub(crate) fn store(word: &AtomicU64, value: u64) {
    #[cfg(loom)]
    word.swap(value, Ordering::Relaxed);
    #[cfg(not(loom))]
    word.store(value, Ordering::Relaxed);
}
