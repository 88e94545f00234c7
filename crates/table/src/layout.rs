//! The file's layout.
//!
//! ```text
//! page   0        header: identity and geometry, then words that change, counters
//! page   1, 2     dictionaries: reasons, reporters
//! page   3 on     policy block, two copies
//! then            event ring · control words · bodies
//! ```
//!
//! What every call reads lies in the first 64 KiB: the kernel maps that much around the first
//! page that is touched, and Exim's children, each of which touches the table anew, pay for every
//! page fault.
//!
//! Everything is an array of native-endian 64-bit words, and every section starts on a page.
//! The offsets follow from the number of slots alone, so that a hostile header has only one
//! number to lie about, and the file's length must agree with it.

use std::ops::Range;

use crate::counters::COUNTERS;
use crate::dictionary::DICTIONARY_WORDS;
use crate::hash::{Seed, siphash};
use crate::policy_block::COPY_WORDS;
use crate::ring::{EVENT_WORDS, EVENTS};
use crate::slots::{BODY, BUCKET};
use crate::sync::{AtomicU64, Ordering};

/// "EXIMRBL" and a zero, read as one native-endian word: another byte order does not match.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"EXIMRBL\0");
/// Grows when a table of before can no longer be read.
pub(crate) const VERSION: u64 = 1;
/// Fewest and most slots of a table. The most, 2^30, take 64 GiB.
pub(crate) const SLOTS: Range<u64> = 2 * BUCKET as u64..(1 << 30) + 1;

/// Words in a page of 4096 bytes.
const PAGE: usize = 512;

/// Words in the 64 KiB, aligned, that Linux maps around a page fault.
const AROUND: usize = 16 * PAGE;

/// Places of the header's words. Those that change have cache lines (8 words) of their own.
pub(crate) mod header {
    use std::ops::Range;

    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const FINGERPRINT: usize = 2;
    pub(crate) const SLOTS: usize = 3;
    pub(crate) const BYTES: usize = 4;
    pub(crate) const SEED: Range<usize> = 5..7;
    pub(crate) const CREATED: usize = 7;
    /// Random; tells two tables at one path apart.
    pub(crate) const IDENTITY: usize = 8;
    /// Inode of the pid namespace in which pids in control words mean something; 0: none.
    pub(crate) const PID_NAMESPACE: usize = 9;
    /// Over the words before it.
    pub(crate) const CHECKSUM: usize = 10;

    /// Not 0 once another file has taken this one's place.
    pub(crate) const RETIRED: usize = 16;
    /// IDENTITY of the table that this one replaces; 0 when there is none, or no more.
    pub(crate) const PREDECESSOR: usize = 17;
    /// Bitmap of the prefix lengths (0 to 128) that entries have. Single IPv4 addresses do not
    /// count: they are always looked for.
    pub(crate) const LENGTHS: Range<usize> = 24..27;
    pub(crate) const POLICY_SEQUENCE: usize = 32;
    pub(crate) const RING_HEAD: usize = 40;
    /// The sequence number of the first event of this table: nothing is to be waited for before it.
    pub(crate) const RING_FIRST: usize = 41;
    pub(crate) const COUNTERS: usize = 64;
}

const _: () = assert!(header::COUNTERS + COUNTERS <= PAGE);

/// Changes whenever sizes or encodings do, so that two builds never misread each other's table.
pub(crate) fn fingerprint() -> u64 {
    let sizes = [PAGE, BUCKET, BODY, COPY_WORDS, DICTIONARY_WORDS, EVENTS, EVENT_WORDS, COUNTERS];
    // A fixed seed: the fingerprint must be the same everywhere.
    sizes.iter().fold(VERSION, |sum, &size| siphash(Seed(0, 0), [sum, size as u64, 0]))
}

/// Where the sections lie, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) slots: usize,
    pub(crate) reasons: Range<usize>,
    pub(crate) reporters: Range<usize>,
    pub(crate) policy: Range<usize>,
    pub(crate) ring: Range<usize>,
    pub(crate) controls: Range<usize>,
    pub(crate) bodies: Range<usize>,
}

impl Layout {
    /// `None` if the number of slots is out of range or not whole buckets.
    pub(crate) fn of(slots: u64) -> Option<Self> {
        if !SLOTS.contains(&slots) || !slots.is_multiple_of(BUCKET as u64) {
            return None;
        }
        // At most 2^30 slots of 8 words: no sum below can overflow 64 bits.
        let slots = usize::try_from(slots).ok()?;
        let mut end = PAGE;
        let mut section = |words: usize, alignment: usize| {
            let start = end.next_multiple_of(alignment);
            end = (start + words).next_multiple_of(PAGE);
            start..start + words
        };
        Some(Self {
            slots,
            reasons: section(DICTIONARY_WORDS, PAGE),
            reporters: section(DICTIONARY_WORDS, PAGE),
            policy: section(2 * COPY_WORDS, PAGE),
            ring: section(EVENTS * EVENT_WORDS, PAGE),
            controls: section(slots, AROUND),
            bodies: section(slots * BODY, AROUND),
        })
    }

    /// Words of the whole file.
    pub(crate) fn words(&self) -> usize {
        self.bodies.end.next_multiple_of(PAGE)
    }

    /// Bytes of the whole file.
    pub(crate) fn bytes(&self) -> u64 {
        self.words() as u64 * 8
    }
}

/// Checksum of the header's fixed words.
pub(crate) fn header_checksum(words: &[AtomicU64]) -> u64 {
    let fixed = &words[..header::CHECKSUM];
    fixed.iter().fold(0, |sum, w| siphash(Seed(0, 0), [sum, w.load(Ordering::Relaxed), 0]))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn sections_are_page_aligned_and_do_not_overlap() {
        for slots in [16, 24, 1 << 20, 1 << 30] {
            let layout = Layout::of(slots).unwrap();
            let sections = [
                0..PAGE,
                layout.reasons.clone(),
                layout.reporters.clone(),
                layout.policy.clone(),
                layout.ring.clone(),
                layout.controls.clone(),
                layout.bodies.clone(),
                layout.words()..layout.words(),
            ];
            for pair in sections.windows(2) {
                assert!(pair[0].end <= pair[1].start, "{pair:?}");
                assert_eq!(pair[1].start % PAGE, 0);
            }
        }
    }

    #[test]
    fn what_every_call_reads_is_mapped_by_one_fault() {
        let layout = Layout::of(1 << 20).unwrap();
        let second_copy = layout.policy.start + COPY_WORDS;
        assert!(second_copy + PAGE <= AROUND, "with the most usual part of its never-list");
    }

    #[test]
    fn refuses_slot_numbers_that_do_not_fit() {
        for slots in [0, 8, 17, (1 << 30) + 8, u64::MAX, u64::MAX - 7, 1 << 61] {
            assert_eq!(Layout::of(slots), None, "{slots}");
        }
    }

    #[test]
    fn an_entry_takes_64_bytes() {
        let (small, large) = (Layout::of(1 << 20).unwrap(), Layout::of(1 << 21).unwrap());
        assert_eq!(large.bytes() - small.bytes(), 64 << 20);
    }
}
