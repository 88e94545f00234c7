//! What an answer costs, without any socket: from the query's name in wire form to the decision,
//! and for TXT to the text; and from whole queries to whole responses, in batches. A million entries (or
//! as many as EXIMRBL_BENCH_ENTRIES says), names in random order, so that most look-ups find neither
//! the control words nor the entry in the processor's cache.
//!
//! Figures are printed, with the machine and the date; nothing is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use eximrbl_dns::{Guard, Pending, RESPONSE_MAX, Secret, Service};
use eximrbl_table::{CreateOptions, Filter, Network, Report, Table, UnixSeconds, WritableTable};
use eximrbl_zone::{Answer, Config, QueryType, Zones, answer};

/// Queries that are answered together, as a busy socket brings them.
const BATCH: usize = 32;
const QUERIES: usize = 1_000_000;
const RUNS: usize = 7;

fn main() {
    let entries = std::env::var("EXIMRBL_BENCH_ENTRIES").map_or(1_000_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    // A file, as in real use: small pages, a shared mapping.
    let options = CreateOptions { slots: 2 * u64::from(entries), ..CreateOptions::default() };
    let table = WritableTable::create(&folder.path().join("table"), &options).unwrap();
    let now = eximrbl_table::now();
    // All is on: cookies, and a rate limit that counts, but is never reached.
    let config = "version = 1\n[dns]\nrate_limit = { responses_per_second = 1000000 }\n\
        [[zone]]\nname = \"rbl.example.org\"\n";
    let config = Config::parse(config, Path::new("benchmark")).unwrap();
    let zones = Zones::resolve(&config, &table).unwrap();

    for i in 0..entries {
        let report = |address| Report {
            network: Network::host(address),
            reason: 1,
            reporter: 0,
            // A week: nothing expires while this runs.
            weight: Some(1000),
            seconds: None,
        };
        // Every fourth one an IPv6 network.
        let address = if i % 4 == 0 { ipv6(i, true) } else { ipv4(i, true) };
        table.record(&report(address), now).unwrap();
    }

    println!("{}", measure::machine());
    println!("{entries} entries, {QUERIES} queries in random order (median and least of {RUNS}):");
    let listed_v4 = names(entries, |i| ipv4(i, true), |i| i % 4 != 0);
    let unlisted_v4 = names(entries, |i| ipv4(i, false), |_| true);
    let listed_v6 = names(entries, |i| ipv6(i, true), |i| i % 4 == 0);
    for (what, names, kind, is_listed) in [
        ("A, IPv4, listed", &listed_v4, QueryType::A, true),
        ("A, IPv4, not listed", &unlisted_v4, QueryType::A, false),
        ("A, IPv6, listed", &listed_v6, QueryType::A, true),
        ("TXT, IPv4, listed, with its text", &listed_v4, QueryType::TXT, true),
    ] {
        let reasons = table.reasons();
        let (middle, least) = measure::nanoseconds(RUNS, QUERIES as u32, || {
            let mut listed = 0;
            for name in names.iter() {
                match answer(black_box(name), kind, &zones, &table, now) {
                    Answer::Listed(listing) => {
                        listed += 1;
                        if kind == QueryType::TXT {
                            black_box(listing.text(&reasons, now));
                        }
                    }
                    other => {
                        black_box(other);
                    }
                }
            }
            assert_eq!(listed, if is_listed { QUERIES } else { 0 });
        });
        println!("  answer: {what:<34} {middle:7.1} ns, least {least:.1} ns");
    }
    let clients: Vec<IpAddr> = order(entries).map(|i| ipv4(i, true)).collect();
    let (middle, least) = measure::nanoseconds(RUNS, QUERIES as u32, || {
        for &client in &clients {
            black_box(table.decide(client, &Filter::default(), now));
        }
    });
    println!("  decide, without the name {:<17} {middle:7.1} ns, least {least:.1} ns", "");

    // As the daemon has it: opened for reading.
    let table = Arc::new(Table::open(table.path()).unwrap());
    let guard = Guard::new(&config.dns, &[Secret::new([7; 16])], [9; 16], None);
    let service = Service::new(&config, table, zones, Arc::new(guard));
    for (what, names, kind) in [
        ("A, IPv4, listed", &listed_v4, QueryType::A),
        ("A, IPv4, not listed", &unlisted_v4, QueryType::A),
        ("A, IPv6, listed", &listed_v6, QueryType::A),
        ("TXT, IPv4, listed", &listed_v4, QueryType::TXT),
    ] {
        let queries: Vec<Vec<u8>> = names.iter().map(|name| query(name, kind)).collect();
        let mut out = [0; RESPONSE_MAX];
        for (how, batch) in [("alone", 1), ("in batches", BATCH)] {
            let (middle, least) = measure::nanoseconds(RUNS, QUERIES as u32, || {
                queries.chunks(batch).for_each(|batch| respond(batch, &service, now, &mut out));
            });
            let what = format!("{what}, {how}");
            println!("  message: {what:<33} {middle:7.1} ns, least {least:.1} ns");
        }
    }
}

/// Answers queries together, as the daemon does.
fn respond(batch: &[Vec<u8>], service: &Service, now: UnixSeconds, out: &mut [u8; RESPONSE_MAX]) {
    let client = "192.0.2.53:5353".parse().unwrap();
    let glance = service.content.table.glance();
    let mut pending: [Option<Pending<'_, '_>>; BATCH] = [const { None }; BATCH];
    for (place, packet) in pending.iter_mut().zip(batch) {
        *place = Pending::read(black_box(packet), client, service, &glance);
    }
    let pending = &mut pending[..batch.len()];
    pending.iter_mut().flatten().for_each(Pending::fetch);
    for query in pending {
        let query = query.as_ref().expect("a plain query");
        black_box(query.answer(now, black_box(out)).expect("an answer"));
    }
}

/// A query as resolvers send it, with an OPT record.
fn query(name: &[u8], kind: QueryType) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(name);
    packet.extend_from_slice(&kind.0.to_be_bytes());
    packet.extend_from_slice(&[0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    packet
}

/// A fixed random order of the entries' numbers, with repetitions.
fn order(entries: u32) -> impl Iterator<Item = u32> {
    let mut state = 0x0123_4567_89ab_cdef_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u32 % entries
    })
    .take(QUERIES)
}

/// Names in wire form, one after the other, as packets would bring them: to fetch a name from
/// memory is no part of what is measured.
struct WireNames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl WireNames {
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| &self.bytes[std::mem::replace(&mut start, end)..end])
    }
}

/// The names of as many addresses.
fn names(entries: u32, address: impl Fn(u32) -> IpAddr, keep: impl Fn(u32) -> bool) -> WireNames {
    // Numbers that are not kept move on to the next that is.
    let kept = |i: u32| (i..).find(|&i| keep(i)).unwrap();
    let mut names = WireNames { bytes: Vec::new(), ends: Vec::new() };
    for i in order(entries) {
        names.bytes.extend(wire_name(address(kept(i % (entries - 4)))));
        names.ends.push(names.bytes.len());
    }
    names
}

fn ipv4(i: u32, listed: bool) -> IpAddr {
    // Odd multiplier: a permutation, so that neighbours in number are none in the address space.
    let spread = i.wrapping_mul(2_654_435_761) >> 3;
    let first = if listed { 0x4000_0000 } else { 0x8000_0000 };
    Ipv4Addr::from(first | spread).into()
}

fn ipv6(i: u32, listed: bool) -> IpAddr {
    let network = u128::from(i) << 64;
    let first = if listed { 0x2001_0db8_u128 } else { 0x2001_0db9 };
    Ipv6Addr::from(first << 96 | network | 1).into()
}

fn wire_name(address: IpAddr) -> Vec<u8> {
    let labels: Vec<String> = match address {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(v6) => {
            let octets = v6.octets();
            let nibbles = octets.iter().rev().flat_map(|o| [o & 15, o >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    let mut name = Vec::new();
    for label in labels.iter().map(String::as_str).chain(["rbl", "example", "org", ""]) {
        name.push(label.len() as u8);
        name.extend_from_slice(label.as_bytes());
    }
    name
}
