//! Ranges of addresses of one family, and the networks that they consist of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eximrbl_table::Network;

/// From one address to another of the same family, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    is_ipv4: bool,
    first: u128,
    last: u128,
}

impl Span {
    /// `None` if the families differ, or the last address is before the first.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        let span = Self { is_ipv4: first.is_ipv4(), first: number(first), last: number(last) };
        (first.is_ipv4() == last.is_ipv4() && span.first <= span.last).then_some(span)
    }

    /// From numbers within a family.
    pub(crate) fn of(is_ipv4: bool, first: u128, last: u128) -> Self {
        Self { is_ipv4, first, last }
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(self) -> bool {
        self.is_ipv4
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        address(self.is_ipv4, self.first)
    }

    /// Its last address.
    pub fn last(self) -> IpAddr {
        address(self.is_ipv4, self.last)
    }

    /// First and last address as numbers of the family.
    #[cfg(test)]
    pub(crate) fn numbers(self) -> (u128, u128) {
        (self.first, self.last)
    }

    /// Addresses in it, less one (all of IPv6 are one more than a number holds).
    pub fn size_less_one(self) -> u128 {
        self.last - self.first
    }

    /// Ascending spans of one family, those that touch or overlap made one.
    pub fn joined(spans: impl IntoIterator<Item = Self>) -> impl Iterator<Item = Self> {
        let mut spans = spans.into_iter().peekable();
        std::iter::from_fn(move || {
            let mut span = spans.next()?;
            while let Some(next) = spans
                .next_if(|next| span.last.checked_add(1).is_none_or(|behind| next.first <= behind))
            {
                span.last = span.last.max(next.last);
            }
            Some(span)
        })
    }

    /// The network that it is, if it is one.
    pub fn network(self) -> Option<Network> {
        let mut networks = self.networks();
        networks.next().filter(|_| networks.next().is_none())
    }

    /// The fewest networks that make it up, in ascending order.
    pub fn networks(self) -> impl Iterator<Item = Network> {
        let bits = if self.is_ipv4 { 32 } else { 128 };
        let mut next = Some(self.first);
        std::iter::from_fn(move || {
            let first = next?;
            // As wide as the first address is aligned, and as there is room.
            let aligned = first.trailing_zeros().min(bits);
            let room = match (self.last - first).checked_add(1) {
                Some(count) => count.ilog2(),
                None => 128,
            };
            let width = aligned.min(room);
            let covered = 1_u128.checked_shl(width).map_or(u128::MAX, |count| count - 1);
            next = first.checked_add(covered).filter(|&last| last < self.last).map(|last| last + 1);
            Network::new(address(self.is_ipv4, first), (bits - width) as u8)
        })
    }
}

impl From<Network> for Span {
    fn from(network: Network) -> Self {
        let first = number(network.address());
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let width = bits - u32::from(network.length());
        let covered = 1_u128.checked_shl(width).map_or(u128::MAX, |count| count - 1);
        Self { is_ipv4: network.is_ipv4(), first, last: first | covered }
    }
}

/// An address as a number of its family.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number.
pub(crate) fn address(is_ipv4: bool, number: u128) -> IpAddr {
    if is_ipv4 {
        IpAddr::V4(Ipv4Addr::from_bits(number as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn networks(first: &str, last: &str) -> Vec<String> {
        let span = Span::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
        span.networks().map(|network| network.to_string()).collect()
    }

    #[test]
    fn ranges_become_networks() {
        assert_eq!(networks("192.0.2.1", "192.0.2.1"), ["192.0.2.1"]);
        assert_eq!(networks("192.0.2.0", "192.0.2.255"), ["192.0.2.0/24"]);
        assert_eq!(networks("192.0.2.1", "192.0.2.4"), ["192.0.2.1", "192.0.2.2/31", "192.0.2.4"]);
        assert_eq!(networks("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(networks("255.255.255.254", "255.255.255.255"), ["255.255.255.254/31"]);
        assert_eq!(networks("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ["::/0"]);
        assert_eq!(networks("2001:db8::", "2001:db8::2"), ["2001:db8::/127", "2001:db8::2"]);
    }

    proptest! {
        /// Caught: a network one size too small, and one too large for what is left.
        #[test]
        fn networks_make_up_the_range_and_are_the_fewest(a: u32, width in 0_u32..1 << 20) {
            let (first, last) = (a, a.saturating_add(width));
            let span = Span::new(Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into()).unwrap();
            let networks: Vec<_> = span.networks().collect();
            let mut next = u128::from(first);
            for network in &networks {
                let part = Span::from(*network);
                prop_assert_eq!(part.numbers().0, next);
                next = part.numbers().1 + 1;
            }
            prop_assert_eq!(next, u128::from(last) + 1);
            for pair in networks.windows(2) {
                let joined = pair[0].widened(pair[0].mapped_length() - 1);
                prop_assert!(pair[0].length() != pair[1].length() || !joined.contains(pair[1]));
            }
        }
    }
}
