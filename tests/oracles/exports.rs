//! What `eximrbl export` writes, served by others, says what eximrbld says.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::asking::ask;
use crate::harness::{Daemon, Host, Lan, Namespace, Scratch, finished, run, tool_text};
use crate::list::{Entry, NEVER, POLICY, Prefix, WIDE, entries, fill};
use crate::master::Master;
use crate::names::{address_of, nibble_labels, octet_labels};
use crate::questions::{A, NS, Question, SOA, TXT};
use crate::random::Random;
use crate::rbldnsd::Rbldnsd;
use crate::response::Response;
use crate::servers::NameServer;
use crate::zones::{POSITIVE_TTL_MAX, ZONES, Zone, configuration};

const NO_NAME: u16 = 3;
/// Networks within networks, with holes in them, some of which names of the other family begin like.
const MORE: [&str; 8] = [
    "black 45.46.80.0/20 auth 9",
    "black 45.46.84.0/22 virus 9",
    "white 45.46.85.0/24",
    "white 45.46.80.9",
    "black 2.0.0.0/20 relay 5",
    "black 2a0b:74::/30 auth 4",
    "white 2a0b:75::/40",
    "black 2001:4860::/33 virus 3",
];

/// A daemon with a list, its configuration once more in a file, and all entries.
struct Site {
    _lan: Lan,
    host: Host,
    daemon: Daemon,
    scratch: Scratch,
    entries: Vec<Entry>,
}

impl Site {
    fn new() -> Self {
        let lan = Lan::new();
        let host = lan.host("list", 53);
        let daemon = Daemon::start_with(&host, POLICY, &configuration(), None);
        fill(&daemon.table());
        for command in MORE {
            tool_text(&daemon.table(), command);
        }
        let scratch = Scratch::new("exports");
        scratch.write("eximrbl.toml", format!("version = 1\n[dns]\n{}", configuration()));
        let entries = entries(&daemon.table());
        Self { _lan: lan, host, daemon, scratch, entries }
    }

    /// One zone in one form.
    fn export(&self, zone: &Zone, format: &str) -> String {
        let (file, config) = (self.scratch.join("list"), self.scratch.join("eximrbl.toml"));
        let (file, config) = (file.display(), config.display());
        let zone = zone.name;
        tool_text(
            &self.daemon.table(),
            &format!("export --format {format} --zone {zone} --config {config} --output {file}"),
        );
        std::fs::read_to_string(self.scratch.join("list")).unwrap()
    }

    /// Addresses in and around all entries, and some about which nothing is known.
    fn addresses(&self, seed: u64) -> Vec<u128> {
        let mut random = Random::new(seed);
        let mut addresses = BTreeSet::new();
        for Entry { prefix, .. } in &self.entries {
            let last = prefix.bits | u128::MAX.checked_shr(prefix.length).unwrap_or(0);
            let inside =
                [prefix.bits, last, prefix.member(&mut random), prefix.member(&mut random)];
            addresses.extend(inside);
            addresses.extend([prefix.bits.wrapping_sub(1), last.wrapping_add(1)]);
        }
        for text in NEVER.iter().chain(&WIDE) {
            addresses.insert(Prefix::read(text).member(&mut random));
        }
        for _ in 0..200 {
            addresses.insert(0xffff_0000_0000 | u128::from(random.bits() as u32));
            addresses.insert(0x2001 << 112 | u128::from(random.bits()));
        }
        addresses.into_iter().collect()
    }
}

/// What a server says about one name and type: the data, and the TTL.
#[derive(Debug)]
struct Said {
    code: u16,
    data: BTreeSet<Vec<u8>>,
    ttl: Option<u32>,
}

fn question(labels: &str, zone: &str, kind: u16) -> Question {
    let dot = if labels.is_empty() { "" } else { "." };
    Question { name: format!("{labels}{dot}{zone}"), kind, recursion: false, edns: None }
}

fn asked(namespace: &Namespace, server: SocketAddr, questions: &[Question]) -> Vec<Said> {
    let responses = ask(namespace, server, questions);
    let said = responses.iter().zip(questions).map(|(packet, question)| {
        let response = Response::read(packet);
        let answer = response.answer.iter().filter(|record| record.kind == question.kind);
        Said {
            code: response.code(),
            ttl: answer.clone().map(|record| record.ttl).next(),
            data: answer.map(|record| record.data.clone()).collect(),
        }
    });
    said.collect()
}

/// The names of addresses: all by nibbles, IPv4 ones by octets or, if asked for, by both.
fn labels(address: u128, mapped: bool) -> Vec<String> {
    match octet_labels(address_of(address)) {
        Some(octets) if mapped => vec![octets, nibble_labels(address)],
        Some(octets) => vec![octets],
        None => vec![nibble_labels(address)],
    }
}

/// Caught: an exclusion that is left out; a network that goes before the longer one within it; codes
/// but the first; `$` for something else than the address; another zone's reasons.
#[test]
fn rbldnsd_serves_what_eximrbld_serves() {
    let site = Site::new();
    let mut sets = Vec::new();
    for (index, zone) in ZONES.iter().enumerate() {
        for format in ["ip4set", "ip4trie", "ip6trie"] {
            sets.push((format!("{format}-{index}.test"), format, site.export(zone, format)));
        }
    }
    let files: Vec<_> =
        sets.iter().map(|(zone, format, text)| (zone.clone(), *format, text.as_str())).collect();
    let rbldnsd = Rbldnsd::start(&site.host, 5303, &files);
    let ours = SocketAddr::from(([127, 0, 0, 1], 53));
    let (mut listed, mut free, mut in_part) = (0, 0, 0);
    for (index, zone) in ZONES.iter().enumerate() {
        for format in ["ip4set", "ip4trie", "ip6trie"] {
            let (mut to_ours, mut to_theirs) = (Vec::new(), Vec::new());
            for address in site.addresses(index as u64) {
                if address_of(address).is_ipv4() == (format == "ip6trie") {
                    continue;
                }
                for kind in [A, TXT] {
                    // The text of a test address tells the time of the question.
                    if kind == TXT && zone.test_code(address).is_some() {
                        continue;
                    }
                    let labels = &labels(address, false)[0];
                    to_ours.push(question(labels, zone.name, kind));
                    to_theirs.push(question(labels, &format!("{format}-{index}.test"), kind));
                }
            }
            let theirs = asked(&site.host, rbldnsd.address, &to_theirs);
            for ((question, theirs), ours) in
                to_theirs.iter().zip(theirs).zip(asked(&site.host, ours, &to_ours))
            {
                let what = format!("{question:?}: ours {ours:?}, theirs {theirs:?}");
                if question.kind == A && format != "ip4set" && ours.data.len() > 1 {
                    // A trie has the first code alone.
                    assert_eq!(theirs.data.first(), ours.data.first(), "{what}");
                    assert_eq!(theirs.data.len(), 1, "{what}");
                    in_part += 1;
                } else {
                    assert_eq!(theirs.data, ours.data, "{what}");
                }
                if ours.data.is_empty() {
                    assert_eq!(theirs.code, NO_NAME, "{what}");
                    free += 1;
                } else {
                    assert_eq!(theirs.ttl, Some(POSITIVE_TTL_MAX as u32), "{what}");
                    listed += 1;
                }
            }
        }
        // The zone's own records.
        let apex = |zone: &str| [SOA, NS].map(|kind| question("", zone, kind));
        let theirs = asked(&site.host, rbldnsd.address, &apex(&format!("ip4set-{index}.test")));
        let ours = asked(&site.host, ours, &apex(zone.name));
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(theirs.data, ours.data, "{}", zone.name);
        }
    }
    assert!(listed > 1000 && free > 1000 && in_part > 10, "{listed} {free} {in_part}");
}

/// Caught: a wildcard that is not repeated; a hole that a wildcard covers; the other family listed by
/// a wildcard; a text without its quotes; another serial; a zone below that is not cut off.
#[test]
fn a_zone_file_says_what_eximrbld_says() {
    let site = Site::new();
    let mut masters = Vec::new();
    for zone in &ZONES {
        let text = site.export(zone, "bind --mapped");
        let file = site.scratch.write(&format!("{}.zone", zone.name), &text);
        let mut command = std::process::Command::new("named-checkzone");
        command.args(["-i", "full", "-k", "fail", zone.name]).arg(&file);
        let output = finished(&mut command);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said}", zone.name);
        masters.push(Master { zone, listed: vec![], wildcards: vec![], text });
    }
    let ours = SocketAddr::from(([127, 0, 0, 1], 53));
    for other in [NameServer::nsd(&site.host, &masters), NameServer::knot(&site.host, &masters)] {
        let (mut listed, mut free, mut by_wildcard) = (0, 0, 0);
        for (index, zone) in ZONES.iter().enumerate() {
            let mut questions = Vec::new();
            let mut about = Vec::new();
            // The first zone has the most in it.
            let stride = if index == 0 { 2 } else { 6 };
            for address in site.addresses(40 + index as u64).into_iter().step_by(stride) {
                for labels in labels(address, true) {
                    for kind in [A, TXT] {
                        if kind == TXT && zone.test_code(address).is_some() {
                            continue;
                        }
                        questions.push(question(&labels, zone.name, kind));
                        about.push(address);
                    }
                }
            }
            questions.extend([SOA, NS].map(|kind| question("", zone.name, kind)));
            let theirs = asked(&site.host, other.address, &questions);
            let ours = asked(&site.host, ours, &questions);
            for (number, (theirs, ours)) in theirs.into_iter().zip(ours).enumerate() {
                let question = &questions[number];
                let what = format!("{}: {question:?}: {ours:?}, {theirs:?}", other.name);
                let address = about.get(number).copied();
                if ours.data == theirs.data {
                    assert!(address.is_some() || !ours.data.is_empty(), "{what}");
                } else {
                    // By a wildcard: the network in the address's place.
                    assert_eq!(question.kind, TXT, "{what}");
                    let ours = with_any_network(&ours, address.unwrap(), &site.entries);
                    assert!(ours.contains(theirs.data.first().unwrap()), "{what}");
                    by_wildcard += 1;
                }
                match ours.ttl {
                    // It has run down since.
                    Some(ttl) => assert!(ttl <= theirs.ttl.unwrap(), "{what}"),
                    // Where longer names exist, there is no data instead of no name.
                    None => assert!(theirs.code == NO_NAME || ours.code != NO_NAME, "{what}"),
                }
                *if ours.ttl.is_some() { &mut listed } else { &mut free } += 1;
            }
        }
        assert!(listed > 500 && free > 1000 && by_wildcard > 50, "{listed} {free} {by_wildcard}");
    }
}

/// Our text, with each of the networks around an address in its place.
fn with_any_network(ours: &Said, address: u128, entries: &[Entry]) -> BTreeSet<Vec<u8>> {
    let text = ours.data.first().map(|data| String::from_utf8_lossy(&data[1..]).into_owned());
    let text = text.unwrap_or_default();
    let around = entries.iter().filter(|entry| entry.prefix.contains(address));
    let networks = around.map(|entry| {
        let network = entry.prefix.to_string();
        let text = text.replacen(&address_of(address).to_string(), &network, 1);
        [&[text.len() as u8][..], text.as_bytes()].concat()
    });
    networks.collect()
}

/// Caught: elements that overlap; a timeout without its unit; a second load that adds to the first.
#[test]
fn nftables_loads_the_sets() {
    let site = Site::new();
    let namespace = Namespace::new("nftables");
    let file = site.scratch.join("list.nft");
    let table = site.daemon.table();
    tool_text(&table, &format!("export --format nftables --output {}", file.display()));
    let nft = |arguments: &[&str]| run(namespace.command("nft").args(arguments));
    nft(&["-c", "-f", file.to_str().unwrap()]);
    nft(&["-f", file.to_str().unwrap()]);
    let first = nft(&["-j", "list", "set", "inet", "eximrbl", "black4"]);
    let count = |json: &str| {
        let object: serde_json::Value = serde_json::from_str(json).unwrap();
        object["nftables"][1]["set"]["elem"].as_array().unwrap().len()
    };
    assert!(count(&first) > 100, "{first}");
    assert!(first.contains("\"timeout\""), "{first}");
    // What is listed no longer is out after the next load.
    nft(&["add", "element", "inet", "eximrbl", "black4", "{ 5.6.7.8 }"]);
    nft(&["-f", file.to_str().unwrap()]);
    let second = nft(&["-j", "list", "set", "inet", "eximrbl", "black4"]);
    assert_eq!(count(&first), count(&second));
    // Who is in the sets is whom the first zone, without a filter, lists.
    let mut wrong = Vec::new();
    let (mut listed, mut free) = (0, 0);
    for (number, address) in site.addresses(77).into_iter().enumerate() {
        if number % 8 > 0 || ZONES[0].test_code(address).is_some() {
            continue;
        }
        let set = if address_of(address).is_ipv4() { "black4" } else { "black6" };
        let element = format!("{{ {} }}", address_of(address));
        let mut command = namespace.command("nft");
        command.args(["get", "element", "inet", "eximrbl", set, &element]);
        let is_in = finished(&mut command).status.success();
        let expected = ZONES[0].verdict(&site.entries, address).is_some();
        if is_in != expected {
            wrong.push(address_of(address));
        }
        *if expected { &mut listed } else { &mut free } += 1;
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(listed > 50 && free > 50, "{listed} {free}");
}
