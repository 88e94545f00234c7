//! Response rate limit: how often a network is answered by UDP.
//!
//! Who asks by UDP may not be where he says he is, and the answer then hits somebody else. So each
//! client network gets so many responses in a second, and is told to come by TCP for the rest.
//! Whoever has shown where he is (TCP, a valid cookie) is not counted.
//!
//! All responses of a network count as one kind. Limits by name and type, as general servers have
//! them, would do nothing else here: nearly all that a busy resolver gets from a DNSBL looks alike.
//!
//! # The table
//!
//! A fixed table of words that all threads share, half a megabyte, never locked nor enlarged.
//! A network belongs to one bucket of eight words (a cache line), by a keyed hash:
//!
//! ```text
//! tag: 24 bits of the hash | second: 16 bits | count: 24 bits
//! ```
//!
//! A word of a past second is free. In a bucket whose words are all in use, a newcomer takes the one
//! with the least count. So
//! - nobody is limited for what others do, unless a tag meets: two given networks share bucket and tag
//!   once in 2^37, and nobody can aim at that without the key;
//! - who floods from ever new networks (each stays below the limit, and gets what it may) pushes out
//!   other newcomers, not a network whose count is high: that stays limited;
//! - who is pushed out all the same starts anew, which is in favour of the client.
//!
//! # What is not exact
//!
//! A network that two threads see for the first time in a second may get two words; one of them is
//! then found by all, and the limit is passed by the other's count: one or two. A word that is given to
//! another network between two steps of a thread counts one too many for that. Around the turn of
//! a second, the counts of either may be continued. All of that is small against any limit, and none of it
//! lasts longer than a second.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use eximrbl_table::UnixSeconds;
use eximrbl_zone::RateLimit;

use crate::access::Networks;
use crate::siphash::{Key, siphash};

/// Buckets of the table; a power of two.
const BUCKETS: usize = 8192;
/// Words of a bucket.
const WAYS: usize = 8;
/// How often a word that another thread has changed is looked at again.
const TRIES: usize = 4;
/// Bits of a word's count.
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
/// Nothing is added to counts beyond this; the rest is room for threads that are just adding.
const COUNT_FULL: u64 = COUNT - 0xffff;
/// Bits of a word's second.
const SECOND_BITS: u32 = 16;

// Relaxed everywhere: a word is all that there is to know of a network, and orders nothing else.

/// What is to be done with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Answer,
    /// An empty one is sent in its place, that tells to ask again by TCP.
    Slip,
    /// Nothing is sent.
    Drop,
}

#[repr(align(64))]
struct Bucket([AtomicU64; WAYS]);

/// Counts responses, and says when it is enough.
pub struct Limiter {
    limit: u64,
    slip: u64,
    ipv4_mask: u32,
    ipv6_mask: u128,
    exempt: Networks,
    key: Key,
    buckets: Box<[Bucket]>,
}

impl Limiter {
    /// A limiter that has counted nothing. `key` should be random, and nobody's knowledge.
    pub fn new(settings: &RateLimit, key: [u8; 16]) -> Self {
        let buckets = if settings.responses_per_second == 0 { 0 } else { BUCKETS };
        let shift = |bits: u8, length: u8| u32::from(bits.saturating_sub(length));
        Self {
            limit: u64::from(settings.responses_per_second),
            slip: u64::from(settings.slip),
            ipv4_mask: u32::MAX.checked_shl(shift(32, settings.ipv4_prefix)).unwrap_or(0),
            ipv6_mask: u128::MAX.checked_shl(shift(128, settings.ipv6_prefix)).unwrap_or(0),
            exempt: Networks::new(&settings.exempt),
            key,
            buckets: (0..buckets).map(|_| Bucket(Default::default())).collect(),
        }
    }

    /// Counts one response to a client; what is to be done with it. Neither waits nor allocates.
    pub fn check(&self, client: IpAddr, now: UnixSeconds) -> Verdict {
        if self.limit == 0 || self.exempt.contains(client) {
            return Verdict::Answer;
        }
        let over = self.count(client, now).saturating_sub(self.limit);
        match over {
            0 => Verdict::Answer,
            over if over.checked_rem(self.slip) == Some(0) => Verdict::Slip,
            _ => Verdict::Drop,
        }
    }

    /// Adds one to the count of a client's network in this second; the sum.
    fn count(&self, client: IpAddr, now: UnixSeconds) -> u64 {
        let hash = self.hash(client);
        let Some(Bucket(words)) = self.buckets.get(hash as usize % BUCKETS) else { return 0 };
        let owner = (hash >> (64 - 24)) << SECOND_BITS;
        let second = now as u16;
        let mine = owner | u64::from(second);
        for _ in 0..TRIES {
            let found = words.each_ref().map(|word| word.load(Relaxed));
            let is_mine = |word: u64| {
                is_running(word, second)
                    && word >> (COUNT_BITS + SECOND_BITS) == owner >> SECOND_BITS
            };
            if let Some(at) = found.iter().position(|&word| is_mine(word)) {
                if found[at] & COUNT >= COUNT_FULL {
                    return COUNT_FULL;
                }
                let before = words[at].fetch_add(1, Relaxed);
                if is_mine(before) {
                    return (before & COUNT) + 1;
                }
                continue;
            }
            let use_of = |word: u64| if is_running(word, second) { word & COUNT } else { 0 };
            let Some(at) = (0..WAYS).min_by_key(|&at| use_of(found[at])) else { return 0 };
            let new = mine << COUNT_BITS | 1;
            if words[at].compare_exchange(found[at], new, Relaxed, Relaxed).is_ok() {
                return 1;
            }
        }
        // Others are faster, all the time: then there is no telling, and the client gets its answer.
        1
    }

    /// The hash of a client's network.
    fn hash(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(v4) => siphash(&self.key, &(u32::from(v4) & self.ipv4_mask).to_le_bytes()),
            IpAddr::V6(v6) => siphash(&self.key, &(u128::from(v6) & self.ipv6_mask).to_le_bytes()),
        }
    }
}

/// Whether a word counts for this second, or for the next: threads read the clock at different
/// instants. One from further ahead is left from before the clock was set back.
fn is_running(word: u64, second: u16) -> bool {
    let ahead = ((word >> COUNT_BITS) as u16).wrapping_sub(second);
    ahead <= 1 && word & COUNT > 0
}

#[cfg(test)]
mod tests;
