//! What a query name can stand for, read a second time from RFC 5782 sections 2.1 and 2.4.

use std::net::{IpAddr, Ipv6Addr};

/// An address as 128 bits; IPv4 as `::ffff:a.b.c.d`.
pub fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of 128 bits.
pub fn address_of(bits: u128) -> IpAddr {
    Ipv6Addr::from_bits(bits).to_canonical()
}

/// The labels before a zone's name that ask for an IPv4 address.
pub fn octet_labels(address: IpAddr) -> Option<String> {
    let IpAddr::V4(v4) = address else { return None };
    let [a, b, c, d] = v4.octets();
    Some(format!("{d}.{c}.{b}.{a}"))
}

/// The labels that ask for an address by its nibbles; of an IPv4 one, by the mapped form's.
pub fn nibble_labels(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    let labels: Vec<String> = digits.chars().rev().map(String::from).collect();
    labels.join(".")
}

/// What the labels before a zone's name stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The zone itself.
    Apex,
    /// An address, and whether the same labels also begin IPv6 addresses.
    Address(u128, bool),
    /// The beginning of addresses.
    Partial,
    /// Nothing in a list of addresses.
    Nothing,
}

/// Reads the labels before a zone's name.
pub fn meaning(labels: &str) -> Meaning {
    if labels.is_empty() {
        return Meaning::Apex;
    }
    let lower = labels.to_ascii_lowercase();
    let labels: Vec<&str> = lower.split('.').rev().collect();
    let octets: Option<Vec<u8>> = labels.iter().map(|label| octet(label)).collect();
    let is_nibble = |label: &&str| label.len() == 1 && "0123456789abcdef".contains(*label);
    let nibbles = labels.iter().all(is_nibble) && labels.len() <= 32;
    match octets {
        Some(octets) if octets.len() == 4 => {
            let v4 = <[u8; 4]>::try_from(octets.as_slice()).unwrap();
            return Meaning::Address(bits_of(IpAddr::from(v4)), nibbles);
        }
        Some(octets) if octets.len() < 4 => return Meaning::Partial,
        _ => {}
    }
    match nibbles {
        true if labels.len() == 32 => {
            Meaning::Address(u128::from_str_radix(&labels.concat(), 16).unwrap(), false)
        }
        true => Meaning::Partial,
        false => Meaning::Nothing,
    }
}

/// An octet in its only form: `parse` would take `+1` and `01`.
fn octet(label: &str) -> Option<u8> {
    let number: u8 = label.parse().ok()?;
    (number.to_string() == label).then_some(number)
}

/// The wire form of a dotted name; the root is an empty text.
pub fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

#[test]
fn names_mean_what_the_rfc_says() {
    let v4 = |text: &str| bits_of(text.parse().unwrap());
    assert_eq!(meaning("1.2.0.192"), Meaning::Address(v4("192.0.2.1"), false));
    assert_eq!(meaning("4.3.2.1"), Meaning::Address(v4("1.2.3.4"), true));
    assert_eq!(meaning(&nibble_labels(v4("192.0.2.1"))), Meaning::Address(v4("192.0.2.1"), false));
    assert_eq!(octet_labels("192.0.2.1".parse().unwrap()).unwrap(), "1.2.0.192");
    for partial in ["192", "0.192", "2.0.192", "f", "1.2.3.A", "1.2.3.4.5", &["0"; 31].join(".")] {
        assert_eq!(meaning(partial), Meaning::Partial, "{partial}");
    }
    for nothing in ["www", "1.2.0.192.1", "256", "01", "+1", "1.256.0.192", &["0"; 33].join(".")] {
        assert_eq!(meaning(nothing), Meaning::Nothing, "{nothing}");
    }
    assert_eq!(wire("a.bc"), b"\x01a\x02bc\x00");
}
