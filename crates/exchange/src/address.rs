//! Addresses as rbldnsd's files abbreviate them.
//!
//! IPv4 by its first octets, with a length or without one: `127`, `127.0`, `127/8`; ranges
//! from one such prefix to another (`127.16-127.31`), or to another last octet (`127.16-31`). The
//! first address is filled up with zeros, the last one with ones. IPv6 by its first words:
//! `2001:21ab:c000/36`. A prefix of one number alone is refused, since it is likely to be a slip.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eximrbl_table::NetworkError;

use crate::row::{LineError, shown};
use crate::span::Span;

/// The octets that an IPv4 prefix begins with, and how many bits they are.
#[derive(Clone, Copy)]
struct Octets {
    bits: u32,
    /// 8, 16, 24 or 32.
    length: u32,
}

/// Reads `192.0.2`, `192.0.2.0/24`, and, where `ranges` are allowed, `192.0.2.1-9` and the like
/// from the beginning of a line; yields the rest of the line.
pub(crate) fn ip4(text: &[u8], ranges: bool) -> Result<(Span, &[u8]), LineError> {
    let unknown = || LineError::Address { found: shown(text) };
    let (begin, rest) = octets(text).ok_or_else(unknown)?;
    match rest.first() {
        Some(b'/') => {
            let (length, rest) = decimal(&rest[1..], 32).ok_or(NetworkError::Length)?;
            let covered = ones(32 - length);
            if begin.bits & covered != 0 {
                return Err(NetworkError::HostBits.into());
            }
            Ok((span(begin.bits, begin.bits | covered), rest))
        }
        Some(b'-') if ranges => {
            let (mut end, rest) = octets(&rest[1..]).ok_or_else(unknown)?;
            if end.length == 8 {
                // The last octet that was given of the beginning, in another value.
                let kept = begin.bits & !ones(32 - (begin.length - 8));
                end = Octets { bits: kept | end.bits >> (begin.length - 8), length: begin.length };
            }
            if end.length != begin.length {
                return Err(unknown());
            }
            let last = end.bits | ones(32 - end.length);
            if last < begin.bits {
                return Err(LineError::Range);
            }
            Ok((span(begin.bits, last), rest))
        }
        _ if begin.length == 8 => Err(unknown()),
        _ => Ok((span(begin.bits, begin.bits | ones(32 - begin.length)), rest)),
    }
}

/// Reads an A record's value: `127.0.0.2`, or its last octet or two.
pub(crate) fn value(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (octets, rest) = octets(text)?;
    let [a, b, c, d] = octets.bits.to_be_bytes();
    let value = match octets.length {
        8 => Ipv4Addr::new(127, 0, 0, a),
        16 => Ipv4Addr::new(a, 0, 0, b),
        24 => Ipv4Addr::new(a, b, 0, c),
        _ => Ipv4Addr::new(a, b, c, d),
    };
    (!value.is_unspecified() && octets.bits != 0).then_some((value, rest))
}

/// Reads `2001:db8/32`, `2001:db8::1` and the like from the beginning of a line; yields the rest.
pub(crate) fn ip6(text: &[u8]) -> Result<(Span, &[u8]), LineError> {
    let unknown = || LineError::Address { found: shown(text) };
    let end = text.iter().position(|byte| !byte.is_ascii_hexdigit() && *byte != b':');
    let (words, rest) = text.split_at(end.unwrap_or(text.len()));
    // A colon behind the last word begins the value.
    let (words, rest) = match words.strip_suffix(b":") {
        Some(before) if !before.ends_with(b":") && !before.is_empty() => {
            (before, &text[before.len()..])
        }
        _ => (words, rest),
    };
    let words = std::str::from_utf8(words).map_err(|_| unknown())?;
    let (address, given) = match words.parse::<Ipv6Addr>() {
        Ok(address) => (address, 128),
        Err(_) => {
            let count = words.split(':').count();
            let filled = format!("{words}::").parse().map_err(|_| unknown())?;
            if words.contains("::") {
                return Err(unknown());
            }
            (filled, 16 * count as u32)
        }
    };
    let (length, rest) = match rest.first() {
        Some(b'/') => decimal(&rest[1..], 128).ok_or(NetworkError::Length)?,
        _ if given == 16 => return Err(unknown()),
        _ => (given, rest),
    };
    let covered = if length == 0 { u128::MAX } else { (1 << (128 - length)) - 1 };
    if address.to_bits() & covered != 0 {
        return Err(NetworkError::HostBits.into());
    }
    let last = Ipv6Addr::from_bits(address.to_bits() | covered);
    let span = Span::new(IpAddr::V6(address), IpAddr::V6(last)).ok_or(LineError::Range)?;
    Ok((span, rest))
}

fn span(first: u32, last: u32) -> Span {
    Span::of(true, first.into(), last.into())
}

/// One to four decimal numbers up to 255 with dots between them. Zeros in front count for nothing.
fn octets(text: &[u8]) -> Option<(Octets, &[u8])> {
    let (mut bits, mut rest) = (0, text);
    for place in 0..4 {
        let (octet, behind) = decimal(rest, 255)?;
        bits |= octet << (24 - 8 * place);
        let length = 8 * (place + 1);
        match behind.split_first() {
            Some((b'.', further)) if place < 3 => rest = further,
            _ => return Some((Octets { bits, length }, behind)),
        }
    }
    None
}

/// Digits, up to a number.
fn decimal(text: &[u8], most: u32) -> Option<(u32, &[u8])> {
    let mut number = 0_u32;
    let mut digits = 0;
    while let Some(byte) = text.get(digits).filter(|byte| byte.is_ascii_digit()) {
        number = number.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
        if number > most {
            return None;
        }
        digits += 1;
    }
    (digits > 0).then(|| (number, &text[digits..]))
}

/// So many ones at the end; 0 to 32.
fn ones(count: u32) -> u32 {
    u32::MAX.checked_shr(32 - count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> String {
        let (span, rest) = match text.contains(':') {
            true => ip6(text.as_bytes()).unwrap(),
            false => ip4(text.as_bytes(), true).unwrap(),
        };
        let rest = std::str::from_utf8(rest).unwrap();
        format!("{}-{}{rest}", span.first(), span.last())
    }

    /// The forms of rbldnsd's manual. Caught: a last address filled up with zeros; a last octet
    /// put into the wrong place.
    #[test]
    fn ranges_and_prefixes_are_filled_up() {
        for text in [
            "127.0.0.0/24",
            "127.0.0",
            "127/24",
            "127.0.0-127.0.0",
            "127.0.0.0-127.0.0.255",
            "127.0.0.0-255",
        ] {
            assert_eq!(read(text), "127.0.0.0-127.0.0.255", "{text}");
        }
        for text in [
            "127.16.0.0-127.31.255.255",
            "127.16.0-127.31.255",
            "127.16-127.31",
            "127.16-31",
            "127.16.0.0/12",
            "127.16.0/12",
            "127.16/12",
        ] {
            assert_eq!(read(text), "127.16.0.0-127.31.255.255", "{text}");
        }
        assert_eq!(read("127.16.0-31"), "127.16.0.0-127.16.31.255");
        assert_eq!(read("0/0"), "0.0.0.0-255.255.255.255");
        assert_eq!(read("10-12"), "10.0.0.0-12.255.255.255");
        assert_eq!(read("192.0.2.010 text"), "192.0.2.10-192.0.2.10 text");
    }

    #[test]
    fn ipv6_is_given_by_its_first_words() {
        assert_eq!(
            read("2001:21ab:c000/36"),
            "2001:21ab:c000::-2001:21ab:cfff:ffff:ffff:ffff:ffff:ffff"
        );
        assert_eq!(
            read("2001:20fe:23:41ed"),
            "2001:20fe:23:41ed::-2001:20fe:23:41ed:ffff:ffff:ffff:ffff"
        );
        assert_eq!(read("::1 x"), "::1-::1 x");
        assert_eq!(
            read("2605:6001:42::/52"),
            "2605:6001:42::-2605:6001:42:fff:ffff:ffff:ffff:ffff"
        );
        assert_eq!(read("2605:6001:42::bead:2:"), "2605:6001:42::bead:2-2605:6001:42::bead:2:");
        assert_eq!(read("2001::"), "2001::-2001::");
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "x", "127", "1.2.3.4.5-6", "1.2-1.2.3.4", "1.2.3.4-", "256.0/16", "1..2"] {
            let read = ip4(text.as_bytes(), true);
            let taken = read.is_ok_and(|(_, rest)| rest.is_empty());
            assert!(!taken, "{text}");
        }
        assert_eq!(ip4(b"1.2.3.4-3", true), Err(LineError::Range));
        assert_eq!(ip4(b"1.2.3.4/24", true), Err(NetworkError::HostBits.into()));
        for text in ["1.2.3.4/33", "1.2.3.4/", "1.2.3.4/99999999999999999999"] {
            assert_eq!(ip4(text.as_bytes(), true), Err(NetworkError::Length.into()), "{text}");
        }
        assert_eq!(ip4(b"1.2.3.4-9", false).unwrap().1, b"-9");
        for text in ["", ":", ":::", "2001", "g::", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9"] {
            let read = ip6(text.as_bytes());
            let taken = read.is_ok_and(|(_, rest)| rest.is_empty());
            assert!(!taken, "{text}");
        }
        assert_eq!(ip6(b"2001:db8::1/64"), Err(NetworkError::HostBits.into()));
        assert_eq!(ip6(b"2001:db8::/129"), Err(NetworkError::Length.into()));
    }

    #[test]
    fn values_may_be_short() {
        let value = |text: &str| value(text.as_bytes()).map(|(value, _)| value.to_string());
        assert_eq!(value("127.0.0.4:").as_deref(), Some("127.0.0.4"));
        assert_eq!(value("4").as_deref(), Some("127.0.0.4"));
        assert_eq!(value("127.3").as_deref(), Some("127.0.0.3"));
        assert_eq!(value("127.1.3").as_deref(), Some("127.1.0.3"));
        assert_eq!(
            (value("0"), value("0.0.0.0"), value("x"), value("256")),
            (None, None, None, None)
        );
    }
}
