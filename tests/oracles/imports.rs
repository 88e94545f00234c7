//! What `eximrbl import` makes of rbldnsd's files is what rbldnsd makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use eximrbl_table::{Decision, Filter, Table, now};

use crate::asking::ask;
use crate::harness::{Namespace, Scratch, finished, tool};
use crate::names::{address_of, nibble_labels, octet_labels};
use crate::questions::{A, Question};
use crate::random::Random;
use crate::rbldnsd::Rbldnsd;
use crate::response::Response;

/// The reasons of values, on the command line and here.
const CODES: [(&str, u8); 5] = [("two", 2), ("four", 4), ("six", 6), ("nine", 9), ("far", 77)];

/// A file written by hand, with every form of rbldnsd(8) in it, and mistakes.
const BY_HAND: &str = "\
# a comment; then the lines about the zone, hidden from another program's reader
#$SOA 0 ns.example.org host.example.org 0 1h 1h 1w 1h
$NS 0 ns.example.org
$TTL 3000
$1 See http://example.org
$TIMESTAMP 2020:01:01:00:00
45.1.0.1
 45.1.0.2\t
45.1.0.3 # no value: $
45.1.0.4;
:127.0.0.4:Listed, see $1/$
45.1.0.5
45.1.0.6 :6
45.1.0.7 :127.0.0.9:own text
45.1.0.8 :77:
45.1.0.9 only a text :6:
45.1.0.010
45.1.0.11:6
45.1.0.12:6:
45.1.0.13 : 6
45.1.0.14 :x:
45.1.0.15 :0:
45.1.0.16 :6 :text
45.1.0.17 :6 text
45.1.0.18x
45.1.0.19 !
45.1.0.256
45.1.0.20.1
45.1.0.21/32
45.1.0.22/33
45.1.0.24/29
45.1.0.33/29
45.1.0.40/29:6
45.1.1
45.1.1.9 :9:
!45.1.1.10
! 45.1.1.11
!45.1.1.12 :6:
45.1.2-45.1.3
45.1.4.0-45.1.4.9
45.1.4.20-29
45.1.4.40-45.1.4.30
45.1.5-6
45.1.7.9-3
45.1.8/22
45.1.8.0/23 :9:
!45.1.8.64/26
45.1.12.1-45.1.13.1
:6:
45.1.14.1
:x:
45.1.14.2
::6:
45.1.14.3
:
45.1.14.4
$UNKNOWN x
$ttl 60
$MAXRANGE4 /24
45.1.16.0/23
45.1.18.0/24
$MAXRANGE4 /16
45.1.20.0/23
45.1.22.1";

/// Asks rbldnsd about addresses: the values of each; none of one that is not listed.
fn values(namespace: &Namespace, server: &Rbldnsd, zone: &str, of: &[u128]) -> Vec<BTreeSet<u8>> {
    let question = |&address: &u128| {
        let labels = octet_labels(address_of(address)).unwrap_or_else(|| nibble_labels(address));
        Question { name: format!("{labels}.{zone}"), kind: A, recursion: false, edns: None }
    };
    let mut values = Vec::new();
    // A question's number has 16 bits.
    for part in of.chunks(50_000) {
        let questions: Vec<Question> = part.iter().map(question).collect();
        for packet in ask(namespace, server.address, &questions) {
            let answer = Response::read(&packet).answer;
            values
                .push(answer.iter().filter(|record| record.kind == A).map(|a| a.data[3]).collect());
        }
    }
    values
}

/// A table with a list in it.
struct Imported {
    _scratch: Scratch,
    table: Table,
}

impl Imported {
    fn new(format: &str, text: &str) -> Self {
        let scratch = Scratch::new("imports");
        let path = scratch.join("table");
        let made = finished(tool(&path).args(["create", "--slots", "65536"]));
        assert!(made.status.success());
        // Clients by themselves, as rbldnsd has them.
        let set = finished(tool(&path).args(["policy", "--set", "ipv6_prefix=128"]));
        assert!(set.status.success());
        let list = scratch.write("list", text);
        let codes = CODES.map(|(reason, code)| format!("{reason}={code}")).join(",");
        let mut command = tool(&path);
        command.args(["import", "--format", format, "--codes", &codes]).arg(list);
        let output = finished(&mut command);
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        let table = Table::open(&path).unwrap();
        Self { _scratch: scratch, table }
    }

    /// The values that an address's reasons stand for; and whether something white lifts it.
    fn values(&self, address: IpAddr) -> (BTreeSet<u8>, bool) {
        match self.table.decide(address, &Filter::default(), now()) {
            Decision::Listed(entry) => {
                let names = self.table.reasons();
                let codes = names.of(entry.reasons).map(|name| {
                    CODES.iter().find(|(reason, _)| *reason == name).map_or(0, |(_, code)| *code)
                });
                (codes.collect(), false)
            }
            Decision::White(_) => (BTreeSet::new(), true),
            _ => (BTreeSet::new(), false),
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
struct Seen {
    same: usize,
    listed: usize,
    excluded: usize,
    within_exclusion: usize,
    wrong: Vec<String>,
}

impl Seen {
    /// Compares one address. In a table white lifts all that lies within; rbldnsd lists what is longer
    /// than the exclusion. A set may have more values, for it does not know which of two ranges is
    /// the longer one; a trie may have fewer, for of two equal networks it has the first.
    fn compare(&mut self, format: &str, address: u128, theirs: &BTreeSet<u8>, imported: &Imported) {
        let (ours, is_white) = imported.values(address_of(address));
        let agree = match format {
            "ip4set" => ours.is_subset(theirs),
            _ => theirs.is_subset(&ours),
        };
        let is_same = ours.is_empty() == theirs.is_empty() && agree;
        match is_same {
            true if is_white => self.excluded += 1,
            true if ours.is_empty() => self.same += 1,
            true => self.listed += 1,
            false if is_white => self.within_exclusion += 1,
            false => self
                .wrong
                .push(format!("{}: theirs {theirs:?}, ours {ours:?}", address_of(address))),
        }
    }
}

fn ipv4(text: &str) -> u128 {
    0xffff_0000_0000 | u128::from(text.parse::<Ipv4Addr>().unwrap().to_bits())
}

/// Caught: leading zeros taken for octal numbers; a value without its second colon; a last octet that
/// is put into the wrong place; `$MAXRANGE4` made larger again; a bad default line that is heeded.
#[test]
fn a_file_written_by_hand_means_the_same() {
    let namespace = Namespace::new("rbldnsd");
    let all: Vec<u128> = (0..24 * 256).map(|number| ipv4("45.1.0.0") + number).collect();
    for (port, format) in [(5310, "ip4set"), (5311, "ip4trie")] {
        let server = Rbldnsd::start(&namespace, port, &[("bl.test".into(), format, BY_HAND)]);
        let imported = Imported::new(format, BY_HAND);
        let mut seen = Seen::default();
        let theirs = values(&namespace, &server, "bl.test", &all);
        for (&address, theirs) in all.iter().zip(&theirs) {
            seen.compare(format, address, theirs, &imported);
        }
        assert!(
            seen.wrong.is_empty(),
            "{format}: {} such as {:?}",
            seen.wrong.len(),
            &seen.wrong[..seen.wrong.len().min(20)]
        );
        assert_eq!(seen.within_exclusion, 0);
        assert!(seen.listed > 1500 && seen.same > 1000, "{seen:?}");
        assert!(seen.excluded >= 3 + 64, "{seen:?}");
    }
}

/// A random file of many overlapping lines.
fn random_file(random: &mut Random, format: &str) -> (String, BTreeSet<u128>) {
    let mut text = String::new();
    let mut about = BTreeSet::new();
    for _ in 0..90 {
        if random.percent(5) {
            let _ = writeln!(text, ":{}:default $", random.pick(&CODES).1);
        }
        let is_exclusion = random.percent(10);
        if is_exclusion {
            text.push('!');
        }
        if format == "ip6trie" {
            let address = 0x2a0b << 112
                | u128::from(random.bits() & 0xfff0_0000) << 64
                | u128::from(random.bits() & 0xff);
            let lengths = [128, 128, 120, 124, 96, 80, 64, 64, 48, 33];
            let length = *random.pick(if is_exclusion { &lengths[..6] } else { &lengths });
            let kept = address & u128::MAX << (128 - length);
            about.extend([
                kept,
                kept.wrapping_sub(1),
                kept | !(u128::MAX << (128 - length)),
                address,
            ]);
            let _ = write!(text, "{}/{length}", address_of(kept));
        } else {
            let low = random.below(1 << 12) as u32;
            let lengths = [32, 32, 31, 30, 28, 25, 24, 24, 23, 22];
            let length = *random.pick(if is_exclusion { &lengths[..6] } else { &lengths });
            let address = 0x2d01_0000 | low;
            let kept = address & u32::MAX << (32 - length);
            let shown = Ipv4Addr::from(kept);
            let [a, b, c, d] = Ipv4Addr::from(address).octets();
            let more = random.below(40);
            let form = if is_exclusion { 5 } else { random.below(6) };
            let _ = match form {
                0 if format == "ip4set" => {
                    write!(text, "{a}.{b}.{c}.{d}-{}", usize::from(d) + more)
                }
                1 if format == "ip4set" => {
                    let last = Ipv4Addr::from(address + 7 * more as u32);
                    write!(text, "{a}.{b}.{c}.{d}-{last}")
                }
                2 => write!(text, "{a}.{b}.{c}"),
                3 if format == "ip4set" => {
                    write!(text, "{a}.{b}.{c}-{}", usize::from(c) + more / 8)
                }
                4 => write!(text, "{a}.{b}.{c}.{d}"),
                _ => write!(text, "{shown}/{length}"),
            };
        }
        match random.below(4) {
            0 => {
                let _ = write!(text, " :{}:text", random.pick(&CODES).1);
            }
            1 => text.push_str(" a text"),
            2 => text.push_str(" # comment"),
            _ => {}
        }
        text.push('\n');
    }
    (text, about)
}

/// Caught: a range whose networks overlap its end; IPv6 networks cut at a word.
#[test]
fn random_files_mean_the_same() {
    let namespace = Namespace::new("rbldnsd");
    let rounds = if std::env::var_os("EXIMRBL_TORTURE").is_some() { 40 } else { 3 };
    let mut totals: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for round in 0..rounds {
        for (number, format) in ["ip4set", "ip4trie", "ip6trie"].into_iter().enumerate() {
            let mut random = Random::new(1 + round * 3 + number as u64);
            let (text, about) = random_file(&mut random, format);
            let port = 5320 + number as u16;
            let server = Rbldnsd::start(&namespace, port, &[("bl.test".into(), format, &text)]);
            let imported = Imported::new(format, &text);
            let addresses: Vec<u128> = match format {
                "ip6trie" => about.into_iter().collect(),
                _ => (0..1 << 12).map(|low| ipv4("45.1.0.0") + low).collect(),
            };
            let theirs = values(&namespace, &server, "bl.test", &addresses);
            let mut seen = Seen::default();
            for (&address, theirs) in addresses.iter().zip(&theirs) {
                seen.compare(format, address, theirs, &imported);
            }
            assert!(
                seen.wrong.is_empty(),
                "{format}, round {round}: {} such as {:?}",
                seen.wrong.len(),
                &seen.wrong[..seen.wrong.len().min(10)]
            );
            let total = totals.entry(format).or_default();
            *total = (total.0 + seen.listed, total.1 + seen.same + seen.excluded);
        }
    }
    println!("listed, not listed: {totals:?}");
    assert!(totals.values().all(|(listed, not)| *listed > 100 && *not > 50), "{totals:?}");
}
