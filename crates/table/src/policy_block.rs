//! The policy as it lies in the table: two copies, and a sequence number whose parity says which
//! of them counts.
//!
//! A writer fills the other copy, then adds one to the sequence. If he dies before that, the old
//! policy was never touched. Readers take the copy that counts, and look at the sequence again:
//! if it moved, they read again. Writers exclude each other by a lock on the file (only the
//! daemon and the tool write), which the kernel drops when they die.
//!
//! After a power loss a copy may be neither the old policy nor the new one. Its checksum tells that, but
//! readers do not look at it: they have nothing better to go by, so each value is kept within its
//! bounds instead, and is used. The daemon looks every few seconds, and at every start, and writes
//! the configuration's policy again; until then no sweep removes anything by the damaged one.

#[cfg(all(test, loom))]
mod model;

use std::net::IpAddr;

use crate::hash::{Seed, siphash};
use crate::network::{Network, bits_of};
use crate::policy::{NEVER_RANGES_MAX, Policy, WEIGHT_MAX};
use crate::sync::{AtomicU64, Ordering, fence};

/// Words before the ranges: settings, and a weight for each reason.
const HEAD: usize = 8 + 64;
/// Words of one copy.
pub(crate) const COPY_WORDS: usize = HEAD + NEVER_RANGES_MAX * 4;
/// Reads before one that was overtaken each time is taken as it is (all values are clamped).
const READS: usize = if cfg!(loom) { 4 } else { 100 };

/// Places of the settings in a copy.
mod place {
    pub(super) const CHECKSUM: usize = 0;
    pub(super) const BASE_TTL: usize = 1;
    pub(super) const MAX_TTL: usize = 2;
    pub(super) const FLOOR: usize = 3;
    pub(super) const THRESHOLD: usize = 4;
    pub(super) const IPV6_PREFIX: usize = 5;
    pub(super) const RANGES: usize = 6;
    /// 64 weights; 0 means none was set.
    pub(super) const WEIGHTS: usize = 8;
}

/// The settings that every decision needs, clamped to what the code can bear: the file may hold
/// anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) base_ttl: u32,
    pub(crate) max_ttl: u32,
    pub(crate) floor: u32,
    pub(crate) threshold: u32,
    pub(crate) ipv6_prefix: u8,
}

/// The policy in force at one instant, for several decisions in a row.
pub(crate) struct Sample<'a> {
    block: PolicyBlock<'a>,
    sequence: u64,
    pub(crate) terms: Terms,
}

impl Sample<'_> {
    /// Whether an address is in the never-list. Counts only if the policy is in force after it.
    #[inline]
    pub(crate) fn is_never(&self, address: u128) -> bool {
        is_never(self.block.copies[(self.sequence & 1) as usize], address)
    }

    /// Whether it is still the policy in force; asked after what it was needed for, with an acquire fence
    /// in between (pairs with the fence in `write`, as in `read`).
    #[inline]
    pub(crate) fn is_in_force(&self) -> bool {
        self.block.sequence.load(Ordering::Relaxed) == self.sequence
    }
}

/// The policy block of a table.
#[derive(Clone, Copy)]
pub(crate) struct PolicyBlock<'a> {
    sequence: &'a AtomicU64,
    copies: [&'a [AtomicU64]; 2],
    seed: Seed,
}

impl<'a> PolicyBlock<'a> {
    /// `copies` holds both copies, [`COPY_WORDS`] each.
    pub(crate) fn new(sequence: &'a AtomicU64, copies: &'a [AtomicU64], seed: Seed) -> Self {
        let (first, second) = copies.split_at(copies.len() / 2);
        Self { sequence, copies: [first, second], seed }
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// Reads from the copy that counts, again if it was replaced meanwhile.
    fn read<R>(&self, take: impl Fn(&[AtomicU64]) -> R) -> R {
        let mut turn = 0;
        loop {
            turn += 1;
            // Acquire pairs with the release in `write`: the copy is complete.
            let sequence = self.sequence.load(Ordering::Acquire);
            let taken = take(self.copies[(sequence & 1) as usize]);
            // Pairs with the fence in `write`: if anything taken came from a later policy, the
            // sequence has moved.
            fence(Ordering::Acquire);
            if self.sequence.load(Ordering::Relaxed) == sequence || turn == READS {
                return taken;
            }
        }
    }

    /// The policy in force, for several decisions in a row.
    pub(crate) fn sample(&self) -> Sample<'a> {
        // Of the same copy as the sequence says, or the sample is not in force when it is asked.
        let sequence = self.sequence();
        let terms = terms(self.copies[(sequence & 1) as usize]);
        Sample { block: *self, sequence, terms }
    }

    /// The settings, whether `address` is in the never-list, and the weight of `reason`.
    pub(crate) fn terms_for(&self, address: u128, reason: u8) -> (Terms, bool, u32) {
        self.read(|copy| (terms(copy), is_never(copy, address), weight(copy, reason)))
    }

    /// The settings, and whether all addresses from the first to the last are in the never-list.
    pub(crate) fn terms_around(&self, (first, last): (u128, u128)) -> (Terms, bool) {
        self.read(|copy| {
            let is_never = range_around(copy, first).is_some_and(|(_, end)| last <= end);
            (terms(copy), is_never)
        })
    }

    pub(crate) fn terms(&self) -> Terms {
        self.read(terms)
    }

    /// The whole policy. `name` gives a reason's name; weights of reasons without one are left
    /// out. The fixed part of the never-list is taken out again.
    pub(crate) fn policy(&self, name: impl Fn(u8) -> Option<String>) -> Policy {
        let (terms, ranges, weights) = self.read(|copy| {
            let ranges: Vec<_> = (0..range_count(copy)).map(|i| range(copy, i)).collect();
            let weights: Vec<_> = (0..64).map(|reason| weight(copy, reason)).collect();
            (terms(copy), ranges, weights)
        });
        let fixed = Policy::default().never_ranges();
        let never = ranges.iter().flat_map(|&range| networks_of(range));
        let never = never.filter(|n| {
            let (first, last) = n.range();
            !fixed.iter().any(|&(from, to)| from <= first && last <= to)
        });
        let weights = weights.iter().enumerate().filter(|&(_, &weight)| weight != 0);
        let weights = weights.filter_map(|(bit, &weight)| Some((name(bit as u8)?, weight)));
        Policy {
            base_ttl: terms.base_ttl,
            max_ttl: terms.max_ttl,
            floor: terms.floor,
            threshold: terms.threshold,
            ipv6_prefix: terms.ipv6_prefix,
            never: never.collect(),
            weights: weights.collect(),
        }
    }

    /// Puts a validated policy in force. The caller holds the file's lock. `bit` gives a
    /// reason's bit.
    pub(crate) fn write(&self, policy: &Policy, bit: impl Fn(&str) -> Option<u8>) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        let copy = self.copies[(sequence.wrapping_add(1) & 1) as usize];
        // A reader who sees any store below also sees the previous flip, by which this copy
        // stopped counting (pairs with the fence in `read`).
        fence(Ordering::Release);
        let store = |place: usize, value: u64| copy[place].store(value, Ordering::Relaxed);
        store(place::BASE_TTL, policy.base_ttl.into());
        store(place::MAX_TTL, policy.max_ttl.into());
        store(place::FLOOR, policy.floor.into());
        store(place::THRESHOLD, policy.threshold.into());
        store(place::IPV6_PREFIX, policy.ipv6_prefix.into());
        for place in 0..64 {
            store(place::WEIGHTS + place, 0);
        }
        for (reason, weight) in &policy.weights {
            if let Some(bit) = bit(reason) {
                store(place::WEIGHTS + usize::from(bit & 63), (*weight).into());
            }
        }
        let ranges = policy.never_ranges();
        let ranges = &ranges[..ranges.len().min(NEVER_RANGES_MAX)];
        store(place::RANGES, ranges.len() as u64);
        for (i, &(first, last)) in ranges.iter().enumerate() {
            let words = [(first >> 64) as u64, first as u64, (last >> 64) as u64, last as u64];
            for (j, word) in words.into_iter().enumerate() {
                store(HEAD + i * 4 + j, word);
            }
        }
        store(place::CHECKSUM, self.checksum(copy));
        self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
    }

    /// Whether the copy that counts is as it was written. After a power loss it need not be.
    pub(crate) fn is_sound(&self) -> bool {
        self.read(|copy| {
            copy[place::CHECKSUM].load(Ordering::Relaxed) == self.checksum(copy)
                && copy[place::RANGES].load(Ordering::Relaxed) <= NEVER_RANGES_MAX as u64
        })
    }

    fn checksum(&self, copy: &[AtomicU64]) -> u64 {
        let used = &copy[1..HEAD + range_count(copy) * 4];
        used.iter().fold(1, |sum, word| siphash(self.seed, [sum, word.load(Ordering::Relaxed), 0]))
    }
}

fn load(copy: &[AtomicU64], place: usize, least: u64, most: u64) -> u32 {
    copy[place].load(Ordering::Relaxed).clamp(least, most) as u32
}

fn terms(copy: &[AtomicU64]) -> Terms {
    const YEAR: u64 = 31_536_000;
    Terms {
        base_ttl: load(copy, place::BASE_TTL, 1, YEAR),
        max_ttl: load(copy, place::MAX_TTL, 1, YEAR),
        floor: load(copy, place::FLOOR, 1, YEAR),
        threshold: load(copy, place::THRESHOLD, 1, 100_000),
        ipv6_prefix: load(copy, place::IPV6_PREFIX, 1, 128) as u8,
    }
}

fn weight(copy: &[AtomicU64], reason: u8) -> u32 {
    load(copy, place::WEIGHTS + usize::from(reason & 63), 0, WEIGHT_MAX.into())
}

fn range_count(copy: &[AtomicU64]) -> usize {
    load(copy, place::RANGES, 0, NEVER_RANGES_MAX as u64) as usize
}

fn range(copy: &[AtomicU64], i: usize) -> (u128, u128) {
    (address(copy, HEAD + i * 4), address(copy, HEAD + i * 4 + 2))
}

#[inline]
fn address(copy: &[AtomicU64], place: usize) -> u128 {
    let (high, low) = (&copy[place], &copy[place + 1]);
    u128::from(high.load(Ordering::Relaxed)) << 64 | u128::from(low.load(Ordering::Relaxed))
}

fn is_never(copy: &[AtomicU64], address: u128) -> bool {
    range_around(copy, address).is_some()
}

/// The range of the never-list that an address is in.
///
/// Binary search for the last range that begins at or before the address. The number of its steps follows
/// from that of the ranges alone, and none of them is a branch: which way a client's address goes,
/// no processor can predict.
#[inline]
fn range_around(copy: &[AtomicU64], address: u128) -> Option<(u128, u128)> {
    let (mut low, mut left) = (0, range_count(copy));
    while left > 1 {
        let half = left / 2;
        low += half * usize::from(self::address(copy, HEAD + (low + half) * 4) <= address);
        left -= half;
    }
    let (first, last) = range(copy, low);
    (left > 0 && (first..=last).contains(&address)).then_some((first, last))
}

/// The fewest networks that make up a range, for showing it again as the administrator wrote it
/// (or shorter).
fn networks_of((mut first, last): (u128, u128)) -> Vec<Network> {
    // The block of 2^bits addresses from `first` on ends here.
    let end =
        |first: u128, bits: u32| first | 1_u128.checked_shl(bits).map_or(u128::MAX, |n| n - 1);
    let mut networks = Vec::new();
    while first <= last {
        let mut bits = first.trailing_zeros();
        while end(first, bits) > last {
            bits -= 1;
        }
        let (high, low) = ((first >> 64) as u64, first as u64);
        networks.extend(Network::from_words(high, low, (128 - bits) as u8));
        match end(first, bits).checked_add(1) {
            Some(next) => first = next,
            None => break,
        }
    }
    networks
}

/// Whether an address is one of RFC 5782's test addresses, and which way.
pub(crate) fn test_point(address: IpAddr) -> Option<bool> {
    // Section 5: 127.0.0.2 and ::ffff:127.0.0.2 are listed, 127.0.0.1 and ::ffff:127.0.0.1 not.
    const LISTED: u128 = 0xffff_7f00_0002;
    const CLEAR: u128 = 0xffff_7f00_0001;
    match bits_of(address) {
        LISTED => Some(true),
        CLEAR => Some(false),
        _ => None,
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(3, 4);

    fn words() -> (AtomicU64, Vec<AtomicU64>) {
        (AtomicU64::new(0), (0..2 * COPY_WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    fn address(text: &str) -> u128 {
        bits_of(text.parse().unwrap())
    }

    #[test]
    fn what_is_written_is_read_and_both_copies_take_turns() {
        let (sequence, copies) = words();
        let block = PolicyBlock::new(&sequence, &copies, SEED);
        for base_ttl in [300, 400, 500] {
            let policy = Policy {
                base_ttl,
                threshold: 2,
                never: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/33".parse().unwrap()],
                weights: vec![("auth".into(), 3)],
                ..Policy::default()
            };
            block.write(&policy, |_| Some(5));
            assert!(block.is_sound());
            assert_eq!(block.policy(|bit| (bit == 5).then(|| "auth".into())), policy);
            let (terms, never, weight) = block.terms_for(address("192.0.2.77"), 5);
            assert_eq!((terms.base_ttl, never, weight), (base_ttl, true, 3));
        }
        assert_eq!(block.sequence(), 3);
    }

    #[test]
    fn never_means_exactly_the_networks() {
        let (sequence, copies) = words();
        let block = PolicyBlock::new(&sequence, &copies, SEED);
        let never = vec!["192.0.2.0/24".parse().unwrap()];
        block.write(&Policy { never, ..Policy::default() }, |_| None);
        let is_never = |text| block.terms_for(address(text), 0).1;
        for text in [
            "192.0.2.0",
            "192.0.2.255",
            "127.0.0.1",
            "10.9.8.7",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00::1",
            "172.31.255.255",
            "224.0.0.1",
            "0.0.0.0",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_never(text), "{text}");
        }
        for text in [
            "192.0.1.255",
            "192.0.3.0",
            "9.255.255.255",
            "172.32.0.0",
            "2001:db8::1",
            "::2",
            "fec0::1",
            "198.51.100.1",
        ] {
            assert!(!is_never(text), "{text}");
        }
    }

    #[test]
    fn a_writer_who_dies_half_way_leaves_the_old_policy() {
        let (sequence, copies) = words();
        let block = PolicyBlock::new(&sequence, &copies, SEED);
        block.write(&Policy::default(), |_| None);
        let before = block.policy(|_| None);
        // The next writer's copy is the first half; he dies before the flip.
        for word in &copies[..COPY_WORDS] {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!(block.policy(|_| None), before);
        assert!(block.is_sound());
    }

    #[test]
    fn arbitrary_words_are_clamped_and_found_out() {
        let (sequence, copies) = words();
        let block = PolicyBlock::new(&sequence, &copies, SEED);
        for word in &copies {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        let (terms, ..) = block.terms_for(u128::MAX, 63);
        assert_eq!((terms.base_ttl, terms.ipv6_prefix), (31_536_000, 128));
        assert!(!block.is_sound());
        assert!(block.policy(|_| None).never.len() <= NEVER_RANGES_MAX);
    }

    #[test]
    fn ranges_become_networks_again() {
        for text in ["192.0.2.0/25", "2001:db8::/32", "192.0.2.1", "::/1"] {
            let network: Network = text.parse().unwrap();
            assert_eq!(networks_of(network.range()), [network], "{text}");
        }
        let all = networks_of((0, u128::MAX));
        assert_eq!(all.len(), 1);
    }
}
