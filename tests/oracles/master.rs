//! The table as master files (RFC 1035 section 5), for servers that know nothing of tables.
//!
//! A listed address is a name with A and TXT records; an IPv4 address is there also in its mapped
//! form. Of a /64 a few addresses are there, and only these are asked for. The networks of
//! [`WIDE`](crate::list::WIDE) are wildcards, whose text cannot have the address in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::list::{Entry, Prefix, members};
use crate::names::{address_of, bits_of, nibble_labels, octet_labels, wire};
use crate::response::Soa;
use crate::zones::{NEGATIVE_TTL, Verdict, ZONES, Zone, with_address};

/// What the wildcards' texts have in the place of the address.
pub const ANY_ADDRESS: &str = "any-address";
/// What the test addresses' texts have in the place of the time.
pub const ANY_TIME: &str = "any-time";

/// A zone as it is written down.
#[derive(Debug)]
pub struct Master {
    /// The zone.
    pub zone: &'static Zone,
    /// The listed addresses that it names.
    pub listed: Vec<u128>,
    /// The labels under which everything is listed.
    pub wildcards: Vec<String>,
    /// The file's text.
    pub text: String,
}

impl Master {
    /// Writes a zone down.
    pub fn new(zone: &'static Zone, entries: &[Entry]) -> Self {
        let mut listed = BTreeMap::new();
        let tests = zone.test_codes().map(|code| bits_of(code.into()));
        for address in entries.iter().flat_map(members).chain(tests) {
            if let Some(verdict) = zone.verdict(entries, address) {
                listed.insert(address, verdict);
            }
        }
        let mut text = head(zone);
        for (&address, verdict) in &listed {
            let words = with_address(&verdict.text, address).replace("{now}", ANY_TIME);
            let octets = octet_labels(address_of(address));
            for labels in octets.into_iter().chain([nibble_labels(address)]) {
                records(&mut text, zone, &labels, verdict, &words);
            }
        }
        let mut wildcards = Vec::new();
        for entry in entries.iter().filter(|entry| entry.prefix.is_wide()) {
            let within = |other: &&Entry| {
                other.prefix != entry.prefix && entry.prefix.contains(other.prefix.bits)
            };
            assert_eq!(entries.iter().filter(within).count(), 0, "a wildcard has no exceptions");
            let Some(verdict) = zone.verdict(entries, entry.prefix.bits) else { continue };
            let words = verdict.text.replace("{ip}", ANY_ADDRESS);
            for labels in bases(entry.prefix) {
                records(&mut text, zone, &format!("*.{labels}"), &verdict, &words);
                wildcards.push(labels);
            }
        }
        Self { zone, listed: listed.into_keys().collect(), wildcards, text }
    }
}

impl Master {
    /// Its SOA record, as a response has it.
    pub fn soa(&self) -> Soa {
        let names = [wire("ns1.example.org"), b"\x0bpost.master".to_vec(), wire("example.org")];
        let times = [3600, 600, 604_800, NEGATIVE_TTL].map(u32::to_be_bytes);
        Soa {
            owner: self.zone.name.to_owned(),
            ttl: NEGATIVE_TTL,
            names: names.concat(),
            serial: 1,
            times: times.concat(),
        }
    }
}

/// SOA and NS records, and the delegations to the zones below.
fn head(zone: &Zone) -> String {
    let name = zone.name;
    let mut text = format!(
        "{name}. {NEGATIVE_TTL} IN SOA ns1.example.org. post\\.master.example.org. \
         1 3600 600 604800 {NEGATIVE_TTL}\n"
    );
    let below = ZONES.iter().filter(|other| other.name.ends_with(&format!(".{name}")));
    for cut in below.map(|other| other.name).chain([name]) {
        for server in ["ns1", "ns2"] {
            let _ = writeln!(text, "{cut}. 3600 IN NS {server}.example.org.");
        }
    }
    text
}

/// The records of one name.
fn records(text: &mut String, zone: &Zone, labels: &str, verdict: &Verdict, words: &str) {
    let (name, ttl) = (zone.name, verdict.ttl);
    for code in &verdict.codes {
        let _ = writeln!(text, "{labels}.{name}. {ttl} IN A {code}");
    }
    let _ = writeln!(text, "{labels}.{name}. {ttl} IN TXT \"{words}\"");
}

/// The labels that all addresses of a network end with: by nibbles, and for IPv4 by octets too.
/// Several, where the network ends within an octet.
fn bases(prefix: Prefix) -> Vec<String> {
    assert_eq!(prefix.length % 4, 0, "{prefix:?} ends within a nibble");
    let kept = |labels: String, count: usize| {
        let labels: Vec<&str> = labels.split('.').collect();
        labels[labels.len() - count..].join(".")
    };
    let mut bases = vec![kept(nibble_labels(prefix.bits), prefix.length as usize / 4)];
    if address_of(prefix.bits).is_ipv4() {
        let octets = prefix.length.saturating_sub(96).div_ceil(8);
        let spare = octets * 8 + 96 - prefix.length;
        for number in 0..1 << spare {
            let network = address_of(prefix.bits | number << (32 - octets * 8));
            bases.push(kept(octet_labels(network).unwrap(), octets as usize));
        }
    }
    bases
}

#[test]
fn networks_have_their_bases() {
    assert_eq!(bases(Prefix::read("2a0b:c0de::/32")), ["e.d.0.c.b.0.a.2"]);
    let twenty = bases(Prefix::read("91.92.80.0/20"));
    assert_eq!(twenty.len(), 17);
    assert_eq!(twenty[0], "5.c.5.b.5.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0");
    assert_eq!((twenty[1].as_str(), twenty[16].as_str()), ("80.92.91", "95.92.91"));
    assert_eq!(bases(Prefix::read("77.88.0.0/16"))[1..], ["88.77"]);
}
