//! Query names: their labels, and what a name within a zone stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name in wire form (RFC 1035 section 3.1).
const NAME_MAX: usize = 255;
/// Labels of an IPv4 address (RFC 5782 section 2.1).
const OCTETS: usize = 4;
/// Labels of an IPv6 address (RFC 5782 section 2.4).
const NIBBLES: usize = 32;

/// A query's name in uncompressed wire form, in whatever case it came, its labels sound.
///
/// ASCII letters alone compare without regard to case (RFC 4343); length bytes are under 64, below
/// all letters, so that comparing whole names byte by byte is right for them, too.
#[derive(Clone, Copy, Debug)]
pub struct QueryName<'n> {
    wire: &'n [u8],
}

impl<'n> QueryName<'n> {
    /// Reads an uncompressed wire-format name (RFC 1035 section 3.1). `None` when the bytes are not
    /// one.
    pub fn read(wire: &'n [u8]) -> Option<Self> {
        let (name, rest) = Self::read_first(wire)?;
        rest.is_empty().then_some(name)
    }

    /// Reads the name that stands at the beginning of some bytes; the name, and what follows it.
    #[inline]
    pub fn read_first(bytes: &'n [u8]) -> Option<(Self, &'n [u8])> {
        let bound = &bytes[..bytes.len().min(NAME_MAX)];
        let mut at = 0;
        loop {
            match usize::from(*bound.get(at)?) {
                0 => break,
                length @ 1..64 => at += length + 1,
                // Compression pointers (RFC 1035 section 4.1.4), or reserved.
                _ => return None,
            }
        }
        let (wire, rest) = bytes.split_at_checked(at + 1)?;
        Some((Self { wire }, rest))
    }

    /// The name's bytes.
    pub fn wire(&self) -> &'n [u8] {
        self.wire
    }

    /// How many labels stand in front of `zone` (a wire name), if this name is that zone's apex (0)
    /// or within it.
    pub(crate) fn labels_before(&self, zone: &[u8]) -> Option<usize> {
        let end = self.wire.len().checked_sub(zone.len())?;
        let tail = &self.wire[end..];
        // Most come as the zone is written, and to find that out takes less.
        if tail != zone && !tail.eq_ignore_ascii_case(zone) {
            return None;
        }
        // The same bytes may begin in the middle of a label: `3rbl…` ends as `rbl…` does.
        let (mut at, mut count) = (0, 0);
        while at < end {
            at += 1 + usize::from(self.wire[at]);
            count += 1;
        }
        (at == end).then_some(count)
    }

    /// Whether this is the same name, in any case.
    pub(crate) fn is(&self, wire: &[u8]) -> bool {
        self.wire.eq_ignore_ascii_case(wire)
    }

    /// The labels, leftmost first.
    fn labels(&self) -> impl Iterator<Item = &'n [u8]> + use<'n> {
        let mut rest = self.wire;
        std::iter::from_fn(move || {
            let (&length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(length.into())?;
            rest = after;
            Some(label)
        })
    }

    /// What the first `count` labels, those before the zone's name, stand for.
    pub(crate) fn place(&self, count: usize) -> Place {
        let labels = self.labels().take(count);
        match count {
            0 => Place::Apex,
            1..=OCTETS => {
                // The leftmost label is the address's end.
                let (mut number, mut octets, mut nibbles) = (0_u32, true, true);
                for (i, label) in labels.enumerate() {
                    let (octet, is_octet) = octet(label);
                    number |= u32::from(octet) << (8 * i);
                    octets &= is_octet;
                    nibbles &= nibble(label) < 16;
                }
                match (octets, nibbles) {
                    (true, names_below) if count == OCTETS => {
                        let address = IpAddr::V4(Ipv4Addr::from(number));
                        Place::Address { address, names_below }
                    }
                    (false, false) => Place::Nowhere,
                    _ => Place::Partial,
                }
            }
            _ if count > NIBBLES => Place::Nowhere,
            _ => {
                // Two halves: numbers of 64 bits are quicker to shift.
                let (mut halves, mut largest) = ([0_u64; 2], 0);
                for (i, label) in labels.enumerate() {
                    let nibble = nibble(label);
                    largest |= nibble;
                    halves[i / 16] |= u64::from(nibble & 15) << (4 * (i % 16));
                }
                if largest > 15 {
                    return Place::Nowhere;
                }
                if count < NIBBLES {
                    return Place::Partial;
                }
                let [low, high] = halves.map(u128::from);
                let address = IpAddr::V6(Ipv6Addr::from(high << 64 | low)).to_canonical();
                Place::Address { address, names_below: false }
            }
        }
    }
}

/// What a name within a zone stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The zone's own name.
    Apex,
    /// An address, reversed. `::ffff:a.b.c.d` comes as the IPv4 address that it is.
    Address {
        /// The address.
        address: IpAddr,
        /// The name is at the same time the beginning of IPv6 addresses: `4.3.2.1` is 1.2.3.4,
        /// and also the four first nibbles of 1234::/16. It exists even if it is not listed.
        names_below: bool,
    },
    /// The beginning of addresses: one to three octets, or one to 31 nibbles.
    Partial,
    /// Nothing that can exist in a DNSBL.
    Nowhere,
}

/// A decimal octet, and whether it is one in its one canonical form: no leading zeros, no sign.
///
/// Without a branch that depends on the label's content or length, both of which nobody can
/// predict: a processor that guesses wrong loses more time than all of this takes.
fn octet(label: &[u8]) -> (u8, bool) {
    let length = label.len();
    let digit = |place: usize| {
        let byte = label.get(place).copied().unwrap_or(b'0');
        u16::from(byte.wrapping_sub(b'0'))
    };
    // Places that are not there are before the label's beginning, which no slice reaches.
    let [hundreds, tens, units] = [3, 2, 1].map(|back| digit(length.wrapping_sub(back)));
    let number = hundreds * 100 + tens * 10 + units;
    let are_digits = (hundreds < 10) & (tens < 10) & (units < 10);
    let is_shortest = (length == 1) | (digit(0) != 0);
    let is_octet = (1..=3).contains(&length) & are_digits & is_shortest & (number < 256);
    (number as u8, is_octet)
}

/// What each byte is worth as a hexadecimal digit, in either case; [`NO_DIGIT`] if it is none.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};
const NO_DIGIT: u8 = 0xff;

/// A single hexadecimal digit, in either case; [`NO_DIGIT`] if the label is anything else. From a table,
/// for the same reason.
fn nibble(label: &[u8]) -> u8 {
    match *label {
        [digit] => DIGITS[usize::from(digit)],
        _ => NO_DIGIT,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in text.split('.').filter(|label| !label.is_empty()) {
            wire.push(label.len() as u8);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire
    }

    fn place(text: &str) -> Place {
        let wire = wire(text);
        let name = QueryName::read(&wire).unwrap();
        name.place(name.labels_before(&[0]).unwrap())
    }

    fn address(text: &str, names_below: bool) -> Place {
        Place::Address { address: text.parse().unwrap(), names_below }
    }

    #[test]
    fn four_canonical_octets_are_an_ipv4_address() {
        assert_eq!(place("1.2.0.192"), address("192.0.2.1", false));
        assert_eq!(place("255.255.255.255"), address("255.255.255.255", false));
        for text in ["01.2.0.192", "1.2.0.256", "1.2.0.1920", "1.2.0.+1", "1.2.0.-1", "1.2.0.1a"] {
            assert_eq!(place(text), Place::Nowhere, "{text}");
        }
    }

    #[test]
    fn thirty_two_nibbles_are_an_ipv6_address_in_either_case() {
        let nibbles = "6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.B.D.0.1.0.0.2";
        assert_eq!(place(nibbles), address("2001:db8:1:2:3:4:5:6", false));
        assert_eq!(place(&nibbles.to_lowercase()), place(nibbles));
        assert_eq!(place(&format!("0.{nibbles}")), Place::Nowhere);
        assert_eq!(place(&nibbles.replace("B.D", "bd")), Place::Nowhere);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let nibbles = "1.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";
        assert_eq!(place(nibbles), address("192.0.2.1", false));
    }

    #[test]
    fn shorter_names_are_partial() {
        for text in ["127", "0.127", "0.0.127", "f", "1.2.3.a", "1.2.3.4.5", &["a"; 31].join(".")] {
            assert_eq!(place(text), Place::Partial, "{text}");
        }
        for text in ["x", "12.a", "10.1.2.3.4", "www.1.2.3.4", "aa", "300", "1.2.3.4.5.10"] {
            assert_eq!(place(text), Place::Nowhere, "{text}");
        }
        assert_eq!(place(""), Place::Apex);
    }

    #[test]
    fn four_decimal_nibbles_are_both() {
        assert_eq!(place("4.3.2.1"), address("1.2.3.4", true));
        assert_eq!(place("4.3.2.10"), address("10.2.3.4", false));
    }

    #[test]
    fn a_zone_is_found_at_label_boundaries_only() {
        let name = wire("1.2.RBL.example");
        let name = QueryName::read(&name).unwrap();
        assert_eq!(name.labels_before(&wire("rbl.example")), Some(2));
        assert_eq!(name.labels_before(&wire("2.rbl.example")), Some(1));
        assert_eq!(name.labels_before(&wire("1.2.rbl.example")), Some(0));
        assert_eq!(name.labels_before(&wire("0.1.2.rbl.example")), None);
        assert_eq!(name.labels_before(&wire("other.example")), None);
        assert_eq!(name.labels_before(&[0]), Some(4));
        // The four bytes of this one label end as the name "bx" does in wire form.
        let inside = QueryName::read(b"\x04x\x02bx\x00").unwrap();
        assert_eq!(inside.labels_before(b"\x02bx\x00"), None);
    }

    #[test]
    fn broken_names_are_not_read() {
        for name in [&b""[..], b"\x01", b"\x01a", b"\x00\x00", b"\x02a\x00", b"\xc0\x0c", b"\x40"] {
            assert!(QueryName::read(name).is_none(), "{name:?}");
        }
        assert!(QueryName::read(&[0; 256]).is_none());
        let longest = [&b"\x01a".repeat(127)[..], b"\x00"].concat();
        assert_eq!(QueryName::read(&longest).unwrap().labels_before(&[0]), Some(127));
        assert!(QueryName::read(&[&b"\x01a".repeat(128)[..], b"\x00"].concat()).is_none());
    }
}
