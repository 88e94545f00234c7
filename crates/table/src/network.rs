//! Addresses and networks, the table's keys.
//!
//! One 128-bit space holds both families: an IPv4 address is its mapped form `::ffff:a.b.c.d`
//! (RFC 4291 section 2.5.5.2), so `192.0.2.0/24` is the prefix of length 120 there. A client that
//! reaches a dual-stack socket as `::ffff:192.0.2.1` is therefore the same client as `192.0.2.1`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The first 96 bits of every mapped IPv4 address.
const MAPPED: u128 = 0xffff_0000_0000;
/// Prefix length of the mapped IPv4 space; IPv4 lengths are counted from here.
const MAPPED_LENGTH: u8 = 96;

/// A network, or a single address: what an entry of the table is about.
///
/// The bits past the prefix are zero, so equal networks are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    bits: u128,
    length: u8,
}

impl Network {
    /// The network that holds `address` alone.
    pub fn host(address: IpAddr) -> Self {
        Self { bits: bits_of(address), length: 128 }
    }

    /// The key under which a client is recorded and looked up: IPv4 by address, IPv6 by its
    /// prefix of `ipv6_prefix` bits (1 to 128; other values count as 128).
    pub fn of_client(address: IpAddr, ipv6_prefix: u8) -> Self {
        let host = Self::host(address);
        if host.is_ipv4() || ipv6_prefix == 0 { host } else { host.widened(ipv6_prefix) }
    }

    /// The network of `length` bits around `address`; `None` when the length does not fit the
    /// family (0 to 32 for IPv4, 0 to 128 for IPv6). Host bits are cleared.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let bits = bits_of(address);
        let length = match address {
            IpAddr::V4(_) if length <= 32 => length + MAPPED_LENGTH,
            IpAddr::V6(_) if length <= 128 => length,
            _ => return None,
        };
        Some(Self { bits: bits & mask(length), length })
    }

    /// From the table's words. `None` when bits are set past the prefix or the length is over
    /// 128: no such entry is ever written, so the file is damaged there.
    pub(crate) fn from_words(high: u64, low: u64, length: u8) -> Option<Self> {
        let bits = u128::from(high) << 64 | u128::from(low);
        (length <= 128 && bits & !mask(length) == 0).then_some(Self { bits, length })
    }

    /// The two words that an entry stores, high half first.
    pub(crate) fn words(self) -> (u64, u64) {
        ((self.bits >> 64) as u64, self.bits as u64)
    }

    /// Prefix length in the 128-bit space: a single IPv4 address has 128, `192.0.2.0/24` has 120.
    pub fn mapped_length(self) -> u8 {
        self.length
    }

    /// Prefix length as the family writes it: 0 to 32 for IPv4, 0 to 128 for IPv6.
    pub fn length(self) -> u8 {
        if self.is_ipv4() { self.length - MAPPED_LENGTH } else { self.length }
    }

    /// Whether this is an IPv4 network, that is, lies within `::ffff:0:0/96`.
    pub fn is_ipv4(self) -> bool {
        self.length >= MAPPED_LENGTH && self.bits >> 32 == MAPPED >> 32
    }

    /// Whether this is one single address.
    pub fn is_host(self) -> bool {
        self.length == 128
    }

    /// The network's first address.
    pub fn address(self) -> IpAddr {
        if self.is_ipv4() {
            IpAddr::V4(Ipv4Addr::from(self.bits as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.bits))
        }
    }

    /// The same network cut down to `length` bits of the 128-bit space (or left, if shorter).
    pub fn widened(self, length: u8) -> Self {
        let length = length.min(self.length);
        Self { bits: self.bits & mask(length), length }
    }

    /// Whether every address of `other` lies in this network. `::/0` contains no IPv4 address:
    /// the mapped form is only how both families share one key space.
    pub fn contains(self, other: Self) -> bool {
        self.is_ipv4() == other.is_ipv4()
            && other.length >= self.length
            && other.bits & mask(self.length) == self.bits
    }

    /// Whether this is an IPv6 network so wide that the mapped IPv4 space lies within it.
    pub(crate) fn swallows_ipv4(self) -> bool {
        self.length < MAPPED_LENGTH && MAPPED & mask(self.length) == self.bits
    }

    /// First and last address as numbers in the 128-bit space.
    pub(crate) fn range(self) -> (u128, u128) {
        (self.bits, self.bits | !mask(self.length))
    }
}

/// The address as a number in the 128-bit space, IPv4 mapped.
pub(crate) fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => MAPPED | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// A mask of `length` leading ones; 0 to 128.
fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        length => u128::MAX << (128 - u32::from(length.min(128))),
    }
}

/// Reads an address as Exim writes it: dotted quad or IPv6, without brackets, port or zone.
/// The mapped form is read as the IPv4 address that it is. Anything else is `None`.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    // 45 bytes is the longest form, "ffff:…:255.255.255.255"; the check keeps hostile input short.
    if text.len() > 45 {
        return None;
    }
    if let Some(address) = parse_dotted_quad(text) {
        return Some(IpAddr::V4(address));
    }
    let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// The common case in a few nanoseconds: four decimal numbers of 0 to 255, without leading
/// zeros (which some programs read as octal). It stands before every record.
fn parse_dotted_quad(text: &[u8]) -> Option<Ipv4Addr> {
    let (mut address, mut octet, mut digits, mut dots) = (0_u32, 0_u32, 0, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' => {
                if digits > 0 && octet == 0 {
                    return None;
                }
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
                if octet > 255 {
                    return None;
                }
            }
            b'.' if digits > 0 && dots < 3 => {
                address = address << 8 | octet;
                (octet, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0).then(|| Ipv4Addr::from(address << 8 | octet))
}

/// What was wrong with the text of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an IPv4 nor an IPv6 address before the slash.
    #[error("not an IP address or network: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")]
    Address,
    /// The length after the slash is not a number, or too large for the family.
    #[error("bad prefix length: 0 to 32 for IPv4, 0 to 128 for IPv6")]
    Length,
    /// Bits are set past the prefix, as in `192.0.2.1/24`: likely a slip, so it is not guessed at.
    #[error("address bits are set past the prefix: is a shorter address or a longer prefix meant?")]
    HostBits,
}

impl FromStr for Network {
    type Err = NetworkError;

    /// `ADDRESS` or `ADDRESS/LENGTH`.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => (address, Some(length)),
        };
        let address = parse_address(address.as_bytes()).ok_or(NetworkError::Address)?;
        let Some(length) = length else {
            return Ok(Self::host(address));
        };
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NetworkError::Length);
        }
        let length: u8 = length.parse().map_err(|_| NetworkError::Length)?;
        let network = Self::new(address, length).ok_or(NetworkError::Length)?;
        if network.bits != bits_of(address) {
            return Err(NetworkError::HostBits);
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            write!(f, "{}", self.address())
        } else {
            write!(f, "{}/{}", self.address(), self.length())
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn mapped_and_plain_ipv4_are_one_key() {
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(parse_address(b"::ffff:192.0.2.1"), parse_address(b"192.0.2.1"));
    }

    #[test]
    fn ipv6_clients_are_kept_by_prefix_and_ipv4_by_address() {
        let client = parse_address(b"2001:db8:1:2:3:4:5:6").unwrap();
        assert_eq!(Network::of_client(client, 64), network("2001:db8:1:2::/64"));
        assert_eq!(Network::of_client(client, 128), network("2001:db8:1:2:3:4:5:6"));
        let client = parse_address(b"192.0.2.1").unwrap();
        assert_eq!(Network::of_client(client, 64), network("192.0.2.1"));
    }

    #[test]
    fn display_round_trips() {
        for text in ["192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::1", "::/0"] {
            assert_eq!(network(text).to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_network() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("192.0.2", NetworkError::Address),
            ("192.0.2.01", NetworkError::Address),
            ("[2001:db8::1]", NetworkError::Address),
            ("fe80::1%eth0", NetworkError::Address),
            (" 192.0.2.1", NetworkError::Address),
            ("192.0.2.0/", NetworkError::Length),
            ("192.0.2.0/33", NetworkError::Length),
            ("192.0.2.0/+8", NetworkError::Length),
            ("192.0.2.1/24", NetworkError::HostBits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }

    #[test]
    fn contains_by_prefix() {
        assert!(network("192.0.2.0/24").contains(network("192.0.2.77")));
        assert!(!network("192.0.2.0/24").contains(network("192.0.3.0")));
        assert!(network("::/0").contains(network("2001:db8::/32")));
        assert!(!network("::/0").contains(network("192.0.2.0/24")));
        assert!(!network("192.0.2.77").contains(network("192.0.2.0/24")));
    }
}
