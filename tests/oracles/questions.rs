//! Random questions, most of them close to what is listed.

use crate::list::{Entry, NEVER, Prefix, WIDE};
use crate::master::Master;
use crate::names::{address_of, bits_of, nibble_labels, octet_labels, wire};
use crate::random::Random;

/// Types by their numbers, the usual ones several times.
const TYPES: [u16; 32] = [
    A, A, A, A, A, A, A, A, TXT, TXT, TXT, TXT, TXT, TXT, ANY, ANY, ANY, SOA, SOA, NS, NS, AAAA,
    AAAA, MX, MX, 5, 12, DS, 33, 48, 65, 257,
];
/// An IPv4 address.
pub const A: u16 = 1;
/// A name server.
pub const NS: u16 = 2;
/// The start of authority.
pub const SOA: u16 = 6;
/// A mail exchanger.
const MX: u16 = 15;
/// Text.
pub const TXT: u16 = 16;
/// An IPv6 address.
const AAAA: u16 = 28;
/// A delegation's signer (RFC 4034 section 5).
pub const DS: u16 = 43;
/// All types.
pub const ANY: u16 = 255;
/// Labels that no address has, and some that look as if.
const ODD: [&str; 16] = [
    "www",
    "256",
    "01",
    "+1",
    "-1",
    "1a",
    "ab",
    "g",
    "*",
    "_dmarc",
    "1-2",
    "0x1",
    "999999999",
    "%",
    "xn--1",
    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
];
/// Names in no zone.
const ELSEWHERE: [&str; 8] = [
    "",
    "org",
    "example.org",
    "2.0.0.127.example.org",
    "xrbl.example.org",
    "wl.example.com",
    "2.0.0.127.rbl.example.org.example.net",
    "rbl.example",
];

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name, in its mix of cases.
    pub name: String,
    /// The type.
    pub kind: u16,
    /// Whether recursion is wished for.
    pub recursion: bool,
    /// The UDP size and the DO bit of an OPT record.
    pub edns: Option<(u16, bool)>,
}

impl Question {
    /// The name in lower case.
    pub fn lower(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// The query's packet (RFC 1035 section 4.1, RFC 6891 section 6.1.2).
    pub fn packet(&self, id: u16) -> Vec<u8> {
        let mut packet = id.to_be_bytes().to_vec();
        packet.extend([u8::from(self.recursion), 0, 0, 1, 0, 0, 0, 0]);
        packet.extend([0, u8::from(self.edns.is_some())]);
        packet.extend(wire(&self.name));
        packet.extend(self.kind.to_be_bytes());
        packet.extend([0, 1]);
        if let Some((size, signed)) = self.edns {
            packet.extend([0, 0, 41]);
            packet.extend(size.to_be_bytes());
            packet.extend([0, 0, u8::from(signed) << 7, 0, 0, 0]);
        }
        packet
    }
}

/// Where questions come from.
#[derive(Debug)]
pub struct Questions<'a> {
    masters: &'a [Master],
    entries: &'a [Entry],
    random: Random,
}

impl<'a> Questions<'a> {
    /// A source about these zones and entries.
    pub fn new(masters: &'a [Master], entries: &'a [Entry], seed: u64) -> Self {
        Self { masters, entries, random: Random::new(seed) }
    }

    /// The labels of an address; IPv4 by octets or, now and then, in the mapped form.
    fn labels(&mut self, address: u128) -> String {
        let octets = octet_labels(address_of(address));
        match octets {
            Some(octets) if self.random.percent(85) => octets,
            _ => nibble_labels(address),
        }
    }

    /// An address about which there is something to say, or nothing at all.
    fn address(&mut self, master: &Master) -> u128 {
        match self.random.below(10) {
            0..=5 => *self.random.pick(&master.listed),
            6 => Prefix::read(self.random.pick::<&str>(&WIDE)).member(&mut self.random),
            // White, below the threshold, listed in another zone. Of a /64 only the first address:
            // of the others most are in no file.
            7 => self.random.pick(self.entries).prefix.bits,
            8 if self.random.percent(50) => Prefix::read(self.random.pick::<&str>(&NEVER)).bits,
            8 => {
                let codes: Vec<_> = master.zone.test_codes().collect();
                bits_of((*self.random.pick(&codes)).into())
            }
            // Next door to an entry.
            _ => {
                let Prefix { bits, length } = self.random.pick(self.entries).prefix;
                bits ^ 1 << (128 - length)
            }
        }
    }

    /// The labels before a zone's name.
    fn labels_for(&mut self, master: &Master) -> String {
        let address = self.address(master);
        let labels = self.labels(address);
        match self.random.below(20) {
            0..=10 => labels,
            // Its last labels: an empty non-terminal, or the apex.
            11..=13 => {
                let all: Vec<&str> = labels.split('.').collect();
                all[1 + self.random.below(all.len())..].join(".")
            }
            14 | 15 => {
                let mut more = (*self.random.pick(&ODD)).to_owned();
                if self.random.percent(50) {
                    more = self.random.below(300).to_string();
                }
                format!("{more}.{labels}")
            }
            16 => {
                let mut all: Vec<&str> = labels.split('.').collect();
                let place = self.random.below(all.len());
                all[place] = self.random.pick::<&str>(&ODD);
                all.join(".")
            }
            // Nothing is known of it, most likely.
            17 => {
                let v4 = 0xffff_0000_0000 | u128::from(self.random.bits() as u32);
                self.labels(v4)
            }
            18 => nibble_labels(u128::from(self.random.bits()) << 64 | 0x2001 << 112),
            // Of another zone, of no zone below, of the zone's own servers.
            _ => (*self.random.pick(&["ns1", "auth", "y1", "x1.y1", "z.y1", "AUTH"])).to_owned(),
        }
    }

    fn name(&mut self) -> String {
        if self.random.percent(2) {
            return (*self.random.pick(&ELSEWHERE)).to_owned();
        }
        let masters = self.masters;
        // Most of the questions go to the zone with the most in it.
        let master = if self.random.percent(55) { &masters[0] } else { self.random.pick(masters) };
        let labels = self.labels_for(master);
        let dot = if labels.is_empty() { "" } else { "." };
        format!("{labels}{dot}{}", master.zone.name)
    }
}

impl Iterator for Questions<'_> {
    type Item = Question;

    fn next(&mut self) -> Option<Question> {
        let mut name = self.name();
        while wire(&name).len() > 255 {
            name = self.name();
        }
        if self.random.percent(50) {
            let mut mixed = name.into_bytes();
            for byte in &mut mixed {
                if self.random.percent(50) {
                    byte.make_ascii_uppercase();
                }
            }
            name = String::from_utf8(mixed).unwrap();
        }
        let sizes = [0, 100, 512, 1232, 1400, 4096, 65_535];
        let edns = (*self.random.pick(&sizes), self.random.percent(40));
        Some(Question {
            name,
            kind: *self.random.pick(&TYPES),
            recursion: self.random.percent(50),
            edns: self.random.percent(60).then_some(edns),
        })
    }
}
