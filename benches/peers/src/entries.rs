//! Which addresses are listed. Number `i` is always the same address, so that all servers get the
//! same entries, and every run asks for the same ones.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The IPv4 addresses are spread over 64.0.0.0/3, none of which is on any never-list.
const IPV4_BITS: u32 = 29;
const IPV4_BASE: u32 = 0x4000_0000;
/// The IPv6 networks are spread over 2a00::/32 by the next 32 bits.
const IPV6_BASE: u128 = 0x2a00_0000 << 96;

/// The IPv4 address of this number, below 2^29. Different numbers give different addresses.
pub(crate) fn ipv4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(IPV4_BASE | spread(number, IPV4_BITS))
}

/// The /64 of this number, as its first address.
pub(crate) fn ipv6(number: u32) -> Ipv6Addr {
    let network = u128::from(spread(number, 32));
    Ipv6Addr::from(IPV6_BASE | network << 64)
}

/// A permutation of the numbers of so many bits that looks random: each step can be undone.
fn spread(number: u32, bits: u32) -> u32 {
    let mask = u32::MAX >> (32 - bits);
    let mut x = number & mask;
    for (shift, multiplier) in [(15, 0x2c1b_3c6d), (12, 0x297a_2d39), (15, 1)] {
        x ^= x >> shift;
        x = x.wrapping_mul(multiplier) & mask;
    }
    x
}

/// Random numbers from a fixed start (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = (z ^ z >> 31) >> 32;
        ((z * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Caught: an even multiplier, with which numbers share addresses.
    #[test]
    fn no_two_numbers_share_an_address() {
        let count = 200_000;
        let v4: HashSet<_> = (0..count).map(ipv4).collect();
        let v6: HashSet<_> = (0..count).map(ipv6).collect();
        assert_eq!((v4.len(), v6.len()), (count as usize, count as usize));
        let all: HashSet<_> = (0..1 << 12).map(|n| spread(n, 12)).collect();
        assert_eq!(all.len(), 1 << 12);
    }

    /// Caught: a base outside the range that the namespace routes.
    #[test]
    fn addresses_stay_in_their_networks() {
        for number in (0..1 << 29).step_by(99_991) {
            assert!((64..96).contains(&ipv4(number).octets()[0]));
            assert_eq!(ipv6(number).segments()[0], 0x2a00);
            assert_eq!(ipv6(number).segments()[4..], [0; 4]);
        }
    }
}
