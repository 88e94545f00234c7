//! What is in the table: entries of every kind, and how the tool tells about them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use eximrbl_table::{Name, Network, Report, WritableTable, dictionary, now};
use serde_json::Value;

use crate::harness::tool_text;
use crate::names::{address_of, bits_of};
use crate::random::Random;

/// The daemon's `[policy]`.
pub const POLICY: &str = "base_ttl = 3000\nthreshold = 2\nnever = [\"198.18.7.0/24\"]";
/// `threshold` in it.
pub const THRESHOLD: u64 = 2;
/// Reasons that are recorded; some have codes in some zones.
const REASONS: [&str; 5] = ["rcpt", "auth", "virus", "spamtrap", "relay"];
/// Networks listed by hand that go into master files as wildcards.
pub const WIDE: [&str; 4] =
    ["77.88.0.0/16", "91.92.80.0/20", "2a0b:c0de::/32", "2a0b:dead:beef::/48"];
/// Recorded in vain: on the never-list, or special addresses.
pub const NEVER: [&str; 5] = ["198.18.7.1", "198.18.7.255", "10.1.2.3", "127.0.0.1", "224.0.0.9"];
/// Single addresses with a part of their own.
const BY_HAND: [&str; 9] = [
    // A network with something white and something blacker in it.
    "black 45.46.47.0/24 manual 3",
    "white 45.46.47.64/28",
    "black 100.101.102.103 spamtrap --endless",
    // Below the threshold, but by hand.
    "black 100.101.102.104",
    "white 100.101.102.105 7200",
    "white 2a0b:aaaa::/48",
    "black 77.88.0.0/16 relay",
    "black 91.92.80.0/20 auth 4",
    "black 2a0b:c0de::/32 virus 2",
];

/// Fills a table that a daemon keeps.
pub fn fill(table: &Path) {
    let writable = WritableTable::open(table).unwrap();
    let mut random = Random::new(1);
    let record = |address: IpAddr, reason: &str, weight: u32| {
        let reason = writable.reason(Name::new(reason.as_bytes()).unwrap(), true);
        let network = Network::of_client(address, 64);
        let report = Report {
            network,
            reason,
            reporter: dictionary::LOCAL,
            weight: Some(weight),
            seconds: None,
        };
        // A refusal is seen in the answers, which say "not listed".
        let _ = writable.record(&report, now());
    };
    let inside = ["45.46.47.5", "45.46.47.70", "45.46.47.255", "2a0b:aaaa:0:1::1"];
    let plain = ["1.2.3.4", "9.8.7.6", "8.8.8.8", "223.255.255.254", "1.0.0.1", "2001:db8::1"];
    for address in inside.iter().chain(&plain).chain(&NEVER) {
        record(address.parse().unwrap(), "auth", 2);
    }
    for number in 0..300 {
        let address = match number % 5 {
            0 | 1 => IpAddr::V6(Ipv6Addr::from_bits(
                0x2a02 << 112 | u128::from(random.bits() >> 16) << 64 | u128::from(random.bits()),
            )),
            // Not 0: a special network.
            _ => IpAddr::V4(Ipv4Addr::from_bits(random.bits() as u32 & 0x3fff_ffff | 0x4000_0000)),
        };
        for _ in 0..1 + random.below(3) {
            record(address, random.pick::<&str>(&REASONS), 1 + random.below(2) as u32);
        }
        if number % 12 == 0 {
            // A second reporter.
            tool_text(table, &format!("black {address} auth"));
        }
        if number % 25 == 2 {
            tool_text(table, &format!("white {address}"));
        }
    }
    for command in BY_HAND {
        tool_text(table, command);
    }
    tool_text(table, "black 2a0b:dead:beef::/48 spamtrap");
}

/// An address or network: its first bits, IPv4 mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The address, all further bits 0.
    pub bits: u128,
    /// How many bits count.
    pub length: u32,
}

impl Prefix {
    /// Reads `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`.
    pub fn read(text: &str) -> Self {
        let (address, length) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().unwrap();
        let full = if address.is_ipv4() { 32 } else { 128 };
        let length = length.parse().unwrap_or(full) + 128 - full;
        Self { bits: bits_of(address), length }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: u128) -> bool {
        (self.bits ^ address).leading_zeros() >= self.length
    }

    /// An address in it.
    pub fn member(self, random: &mut Random) -> u128 {
        let any = u128::from(random.bits()) << 64 | u128::from(random.bits());
        if self.length == 128 { self.bits } else { self.bits | any >> self.length }
    }

    /// The network of a test's constant, if it is one of [`WIDE`].
    pub fn is_wide(self) -> bool {
        WIDE.iter().any(|wide| Self::read(wide) == self)
    }
}

impl std::fmt::Display for Prefix {
    /// As the tool writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = address_of(self.bits);
        let length = self.length - if address.is_ipv4() { 96 } else { 0 };
        match self.length {
            128 => write!(f, "{address}"),
            _ => write!(f, "{address}/{length}"),
        }
    }
}

/// An entry, as `eximrbl list --all --json` prints it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is about.
    pub prefix: Prefix,
    /// Whether it lifts listings.
    pub white: bool,
    /// How many rejections.
    pub count: u64,
    /// Seconds left; none without end.
    pub remaining: Option<u64>,
    /// The first rejection, in RFC 3339.
    pub first: String,
    /// The last one.
    pub last: String,
    /// Why.
    pub reasons: Vec<String>,
    /// Who said so.
    pub reporters: Vec<String>,
}

/// All living entries, by the tool, sorted: the table's order differs from run to run.
pub fn entries(table: &Path) -> Vec<Entry> {
    let text = tool_text(table, "list --all --json");
    let mut entries: Vec<Entry> = text.lines().map(entry).collect();
    entries.sort_by_key(|entry| (entry.prefix.bits, entry.prefix.length));
    entries
}

fn entry(line: &str) -> Entry {
    let object: Value = serde_json::from_str(line).unwrap();
    let texts = |key: &str| -> Vec<String> {
        let values = object[key].as_array().unwrap().iter();
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    Entry {
        prefix: Prefix::read(object["network"].as_str().unwrap()),
        white: object["white"].as_bool().unwrap(),
        count: object["count"].as_u64().unwrap(),
        remaining: object["remaining"].as_u64(),
        first: object["first"].as_str().unwrap().to_owned(),
        last: object["last"].as_str().unwrap().to_owned(),
        reasons: texts("reasons"),
        reporters: texts("reporters"),
    }
}

/// The table's serial, which is the SOA records' one.
pub fn serial(table: &Path) -> u32 {
    let object: Value = serde_json::from_str(&tool_text(table, "info --json")).unwrap();
    object["serial"].as_u64().unwrap() as u32
}

/// The addresses of an entry that master files name one by one: itself, all of a small network, a
/// few of a /64.
pub fn members(entry: &Entry) -> Vec<u128> {
    let Prefix { bits, length } = entry.prefix;
    // A seed of the entry's own, so that every zone's file has the same.
    let mut random = Random::new((bits >> 64) as u64 ^ bits as u64);
    match length {
        120.. => (bits..=bits | u128::MAX.checked_shr(length).unwrap_or(0)).collect(),
        _ if entry.prefix.is_wide() => vec![],
        _ => (0..3).map(|_| entry.prefix.member(&mut random)).chain([bits]).collect(),
    }
}

#[test]
fn prefixes_hold_their_members() {
    let prefix = Prefix::read("91.92.80.0/20");
    assert_eq!(prefix.length, 116);
    let mut random = Random::new(3);
    for _ in 0..100 {
        let member = prefix.member(&mut random);
        assert!(prefix.contains(member), "{}", address_of(member));
    }
    assert!(!prefix.contains(bits_of("91.92.96.0".parse().unwrap())));
    assert!(Prefix::read("1.2.3.4").contains(bits_of("::ffff:1.2.3.4".parse().unwrap())));
}
