//! Who may ask: lists of networks.

use std::net::IpAddr;

use eximrbl_table::Network;
use eximrbl_zone::{Answer, Config, Zone, Zones};

use crate::edns::ExtendedError;

/// A set of networks, to look addresses up in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// First and last addresses, ascending, none touching another.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The set of all addresses in these networks. `::/0` holds no IPv4 address.
    pub fn new(networks: &[Network]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            let length = u32::from(network.length());
            match network.address() {
                IpAddr::V4(first) => {
                    let first = u32::from(first);
                    v4.push((first, first | u32::MAX.checked_shr(length).unwrap_or(0)));
                }
                IpAddr::V6(first) => {
                    let first = u128::from(first);
                    v6.push((first, first | u128::MAX.checked_shr(length).unwrap_or(0)));
                }
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether an address is in one of them. A mapped IPv4 address is that IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => holds(&self.v4, u32::from(v4)),
            IpAddr::V6(v6) => holds(&self.v6, u128::from(v6)),
        }
    }
}

/// The ranges in order, those that overlap made one.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|(first, last), (_, last_before)| {
        let overlaps = first <= last_before;
        if overlaps {
            *last_before = (*last_before).max(*last);
        }
        overlaps
    });
    ranges.into()
}

/// Whether one of the ranges holds an address.
fn holds<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|&(_, last)| address <= last)
}

/// Who may ask for what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// For each zone by its index; `None` for all. Empty when all may ask for all.
    zones: Box<[Option<Networks>]>,
    /// For what is in no zone.
    elsewhere: Option<Networks>,
}

impl Access {
    /// What the configuration says for these zones, which were made from it.
    pub fn new(config: &Config, zones: &Zones) -> Self {
        let list = |networks: &Option<Vec<Network>>| networks.as_deref().map(Networks::new);
        let of_zone = |zone: &Zone| {
            let settings = config.zones.iter().find(|settings| settings.name == *zone.name());
            settings.and_then(|settings| list(&settings.allow_query))
        };
        let mut zones: Vec<_> = zones.iter().map(of_zone).collect();
        if zones.iter().all(Option::is_none) {
            zones.clear();
        }
        Self { zones: zones.into(), elsewhere: list(&config.dns.allow_query) }
    }

    /// Whether a client may have an answer; if not, why it is REFUSED.
    ///
    /// The zone that a client is refused is no secret, so the answer may be decided before this.
    #[inline]
    pub fn check(&self, answer: &Answer<'_>, client: IpAddr) -> Result<(), ExtendedError> {
        let zone = match answer {
            Answer::Refused => return Err(ExtendedError::NotAuthoritative),
            Answer::NxDomain(authority) | Answer::NoData(authority) => authority.zone,
            Answer::Apex { authority, .. } => authority.zone,
            Answer::Listed(listing) => listing.zone,
        };
        if self.allows(zone, client) { Ok(()) } else { Err(ExtendedError::Prohibited) }
    }

    /// Whether a client may ask for names in a zone.
    #[inline]
    pub fn allows(&self, zone: &Zone, client: IpAddr) -> bool {
        match self.zones.get(zone.index()) {
            Some(Some(networks)) => networks.contains(client),
            Some(None) | None => true,
        }
    }

    /// Whether a client may ask for what is in no zone: the server's version, say.
    pub fn allows_elsewhere(&self, client: IpAddr) -> bool {
        self.elsewhere.as_ref().is_none_or(|networks| networks.contains(client))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    /// Caught: a range that ends one address too early; families that are mixed up.
    #[test]
    fn first_and_last_addresses_are_in_and_their_neighbours_are_not() {
        let set = networks(&["192.0.2.0/24", "10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"]);
        for (address, is_in) in [
            ("192.0.2.0", true),
            ("192.0.2.255", true),
            ("192.0.1.255", false),
            ("192.0.3.0", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("0.0.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::2", false),
            ("::", false),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), is_in, "{address}");
        }
        assert!(!networks(&[]).contains("::1".parse().unwrap()));
        assert!(networks(&["0.0.0.0/0"]).contains("255.255.255.255".parse().unwrap()));
        assert!(!networks(&["0.0.0.0/0"]).contains("::1".parse().unwrap()));
        assert!(!networks(&["::/0"]).contains("192.0.2.1".parse().unwrap()));
    }

    proptest! {
        /// As looking at one network after the other has it. Caught: ranges that are merged though a
        /// gap lies between them.
        #[test]
        fn a_set_holds_what_one_of_its_networks_holds(
            list in prop::collection::vec((any::<u8>(), 0..=128_u8, any::<bool>()), 0..12),
            asked in any::<(u8, u8, bool)>(),
        ) {
            // Few addresses, so that they meet.
            let address = |high: u8, low: u8, v4: bool| -> IpAddr {
                match v4 {
                    true => [high >> 5, 0, low >> 6, low].into(),
                    false => [u16::from(high >> 5), 0, 0, 0, 0, 0, 0, u16::from(low)].into(),
                }
            };
            let network = |&(bits, length, v4): &(u8, u8, bool)| {
                Network::new(address(bits, bits, v4), if v4 { length / 4 } else { length })
            };
            let list: Vec<_> = list.iter().filter_map(network).collect();
            let asked = address(asked.0, asked.1, asked.2);
            let expected = list.iter().any(|network| network.contains(Network::host(asked)));
            prop_assert_eq!(Networks::new(&list).contains(asked), expected);
        }
    }
}
