//! Which prefix lengths entries have, so that a look-up probes only these.
//!
//! A bit is set before the first entry of that length is made, and never taken back: a length too
//! many costs a probe, one too few would hide a listing.

use crate::network::Network;
use crate::sync::{AtomicU64, Ordering};

/// The three words of the header's bitmap.
#[derive(Clone, Copy)]
pub(crate) struct Lengths<'a> {
    words: &'a [AtomicU64],
    /// Those of the table that this one replaces, as long as entries may still be there.
    old: Option<&'a [AtomicU64]>,
}

impl<'a> Lengths<'a> {
    pub(crate) fn new(words: &'a [AtomicU64]) -> Self {
        Self { words, old: None }
    }

    /// The same lengths, and those of the table that this one replaces.
    pub(crate) fn replacing(self, old: Option<&'a [AtomicU64]>) -> Self {
        Self { old, ..self }
    }

    fn load(&self, i: usize) -> u64 {
        // Acquire: whoever sees the bit of a length sees what was there before it.
        let old = self.old.map_or(0, |words| words[i].load(Ordering::Acquire));
        self.words[i].load(Ordering::Acquire) | old
    }

    /// Notes that an entry for this network is about to be made.
    pub(crate) fn add(&self, network: Network) {
        if network.is_host() && network.is_ipv4() {
            return;
        }
        let length = usize::from(network.mapped_length());
        let (word, bit) = (&self.words[length / 64], 1_u64 << (length % 64));
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Release);
        }
    }

    /// This network and those around it, as far as they may have an entry, longest first.
    #[inline]
    pub(crate) fn around(&self, network: Network) -> impl Iterator<Item = Network> + use<> {
        let mut bits = u128::from(self.load(1)) << 64 | u128::from(self.load(0));
        let mut whole = self.load(2) & 1 == 1;
        if network.is_ipv4() {
            // Shorter prefixes would be IPv6 networks around the mapped space.
            bits &= u128::MAX << 96;
            whole = true;
        }
        if !network.is_host() {
            // What is longer would be a part of it.
            bits &= u128::MAX >> (127 - network.mapped_length());
            whole = false;
        }
        std::iter::from_fn(move || {
            if whole {
                whole = false;
                return Some(network);
            }
            if bits == 0 {
                return None;
            }
            let length = 127 - bits.leading_zeros();
            bits &= !(1 << length);
            Some(network.widened(length as u8))
        })
    }

    /// Whether a look-up would probe this network's length.
    pub(crate) fn has(&self, network: Network) -> bool {
        let length = usize::from(network.mapped_length());
        network.is_host() && network.is_ipv4() || self.load(length / 64) >> (length % 64) & 1 == 1
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn probes_only_lengths_in_use_longest_first() {
        let words: Vec<AtomicU64> = (0..3).map(|_| AtomicU64::new(0)).collect();
        let lengths = Lengths::new(&words);
        let network = |text: &str| text.parse::<Network>().unwrap();
        let around =
            |text: &str| lengths.around(network(text)).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(around("192.0.2.1"), ["192.0.2.1"]);
        assert_eq!(around("2001:db8::1"), [""; 0]);
        for used in ["192.0.2.0/24", "10.0.0.0/8", "2001:db8::/64", "::/0", "192.0.2.9"] {
            lengths.add(network(used));
            assert!(lengths.has(network(used)));
        }
        assert_eq!(around("192.0.2.1"), ["192.0.2.1", "192.0.2.0/24", "192.0.0.0/8"]);
        let expected = ["2001:db8::/120", "2001:db8::/104", "2001:db8::/64", "::/0"];
        assert_eq!(around("2001:db8::1"), expected, "lengths are shared between the families");
        assert_eq!(around("192.0.0.0/16"), ["192.0.0.0/8"], "not what is a part of it");
        assert_eq!(around("10.0.0.0/8"), ["10.0.0.0/8"]);
        assert_eq!(around("2001:db8::/127"), expected);
        assert_eq!(around("::/0"), ["::/0"]);
        lengths.add(network("2001:db8::5"));
        assert_eq!(around("2001:db8::1")[0], "2001:db8::1");
    }
}
