//! The quick way and the complete one, asked the same: whatever the quick way does not decline, both
//! answer with the same meaning.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod meaning;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use eximrbl_dns::{
    Guard, RESPONSE_MAX, Secret, Service, Transport, quick, respond, respond_and_tell,
};
use eximrbl_table::{Name, Network, Report, Table, UnixSeconds, WritableTable, dictionary};
use eximrbl_zone::{Config, Zones};
use proptest::prelude::*;

use meaning::meaning;

const NOW: UnixSeconds = 1_795_326_190;

/// The same content under four configurations: as usual, with all that can be switched on; for clients
/// with a cookie alone; over the rate limit; and over it, with silence.
static SERVICES: LazyLock<[Service; 4]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let options = eximrbl_table::CreateOptions { slots: 1024, ..Default::default() };
    let table = WritableTable::create(&path, &options).unwrap();
    let reason = |name: &str| table.reason(Name::new(name.as_bytes()).unwrap(), true);
    let record = |network: &str, name: &str, reporter| {
        let network: Network = network.parse().unwrap();
        let weight = Some(2);
        table
            .record(&Report { network, reason: reason(name), reporter, weight, seconds: None }, NOW)
            .unwrap();
    };
    record("192.0.2.1", "auth", 0);
    record("192.0.2.1", "spam", 0);
    record("1.2.3.4", "rcpt", 0);
    record("2001:db8::1", "rcpt", 0);
    record("45.0.0.0/8", "manual", dictionary::ADMIN);
    table.white("198.51.100.0/24".parse().unwrap(), None, dictionary::ADMIN, NOW).unwrap();
    // The mapping outlives the file.
    [
        "rate_limit = { responses_per_second = 0 }\nversion = \"9\"",
        "rate_limit = { responses_per_second = 0 }\ncookies = \"required\"\nnsid = \"a\"",
        "rate_limit = { responses_per_second = 1, exempt = [\"2001:db8::/32\"] }",
        "rate_limit = { responses_per_second = 1, slip = 0, exempt = [] }\ncookies = \"off\"",
    ]
    .map(|settings| {
        let config = Config::parse(&configuration(settings), Path::new("test.toml")).unwrap();
        let zones = Zones::resolve(&config, &table).unwrap();
        let table = Arc::new(Table::open(&path).unwrap());
        let guard = Guard::new(&config.dns, &[Secret::new([7; 16])], [9; 16], None);
        Service::new(&config, table, zones, Arc::new(guard))
    })
});

/// Three zones, one below another; not everybody may ask for all.
fn configuration(settings: &str) -> String {
    format!(
        "version = 1\n[dns]\n{settings}\n\
         [[zone]]\nname = \"rbl.example\"\ncodes = {{ auth = 4, spam = 9 }}\n\
         ns = [\"ns1.example.net\", \"ns2.example.net\"]\n\
         [[zone]]\nname = \"a1.b1.rbl.example\"\n\
         txt = \"{{ip}} {{count}} {{reason}} {{ttl}} {{first}} {{last}} {{zone}}\"\n\
         [[zone]]\nname = \"wl.example\"\nlist = \"white\"\n\
         allow_query = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n"
    )
}

const CLIENTS: [&str; 3] = ["192.0.2.53:5353", "198.51.100.7:53", "[2001:db8::53]:1024"];

fn client(number: usize) -> SocketAddr {
    CLIENTS[number % CLIENTS.len()].parse().unwrap()
}

fn complete(packet: &[u8]) -> Option<Vec<u8>> {
    respond(packet, client(0), Transport::Udp, &SERVICES[0], NOW)
}

/// Compares both ways, in all that a client sees and all that is counted; whether the quick one
/// answered under the usual configuration.
fn compare(packet: &[u8]) -> bool {
    compare_for(packet, client(0))
}

fn compare_for(packet: &[u8], client: SocketAddr) -> bool {
    let answered = SERVICES.each_ref().map(|service| {
        let complete = || respond_and_tell(packet, client, Transport::Udp, service, NOW);
        // Whoever may ask once has asked.
        complete();
        let mut out = [0xaa; RESPONSE_MAX];
        let Some((length, quick)) = quick(packet, client, service, NOW, &mut out) else {
            return false;
        };
        let (response, outcome) = complete();
        assert_eq!(quick, outcome, "{packet:02x?}");
        let Some(response) = response else {
            assert_eq!(length, 0, "where one way leaves the client silent, so does the other");
            return true;
        };
        assert!(length <= response.len().max(512), "no longer than it has to be");
        assert_eq!(meaning(&out[..length]), meaning(&response), "{packet:02x?}");
        true
    });
    answered[0]
}

/// The COOKIE option's data that a client got from us.
fn cookie(client: SocketAddr) -> Vec<u8> {
    let (_, cookie) = SERVICES[0].guard.judge(Some(b"client--"), client.ip(), NOW).unwrap();
    cookie.unwrap().to_vec()
}

/// A query in wire form.
fn query(header: [u8; 4], name: &[u8], kind: u16, class: u16, opt: Option<&[u8]>) -> Vec<u8> {
    let mut packet = header.to_vec();
    packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]);
    packet.extend_from_slice(name);
    packet.extend_from_slice(&kind.to_be_bytes());
    packet.extend_from_slice(&class.to_be_bytes());
    packet.extend_from_slice(opt.unwrap_or_default());
    packet
}

fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn reversed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(v6) => {
            let digits: Vec<_> =
                format!("{:032x}", u128::from(v6)).chars().rev().map(String::from).collect();
            digits.join(".")
        }
    }
}

const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
const PLAIN: [u8; 4] = [0x12, 0x34, 1, 0];

/// What resolvers send every day is answered the quick way, every kind of it. Caught: a query that is
/// declined without need; a wrong TTL, code or SOA; no AA; a question that is not as it came.
#[test]
fn everyday_queries_are_answered_the_quick_way() {
    let v6 = reversed("2001:db8::1".parse().unwrap());
    let v6_unlisted = reversed("2001:db8:0:7::1".parse().unwrap());
    let names = [
        "1.2.0.192.rbl.example",
        "1.2.0.192.RBL.eXample",
        "4.3.2.1.rbl.example",
        "4.3.2.1.a1.b1.rbl.example",
        "2.0.0.127.rbl.example",
        "1.0.0.127.rbl.example",
        "9.0.0.127.rbl.example",
        "7.7.7.45.rbl.example",
        "9.9.9.9.rbl.example",
        "9.100.51.198.rbl.example",
        "9.100.51.198.wl.example",
        "127.rbl.example",
        "rbl.example",
        "b1.rbl.example",
        "www.rbl.example",
        "4.3.2.1.5.rbl.example",
        "www.example.org",
        &format!("{v6}.rbl.example"),
        &format!("{v6_unlisted}.rbl.example"),
        &v6[2..].to_owned().add_zone(),
    ];
    for name in names {
        for kind in [1, 16, 28, 15, 65] {
            for opt in [
                None,
                Some(OPT),
                Some(&[0, 0, 41, 0, 0, 0, 0, 128, 0, 0, 0][..]),
                Some(b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08client--"),
            ] {
                for header in [PLAIN, [0, 0, 0, 0], [0xff, 0xff, 1, 0x20], [1, 2, 0, 0x30]] {
                    let packet = query(header, &wire(name), kind, 1, opt);
                    assert!(compare(&packet), "{name} {kind} {opt:?} {header:?} is declined");
                }
            }
        }
    }
}

trait AddZone {
    fn add_zone(self) -> String;
}

impl AddZone for String {
    fn add_zone(self) -> String {
        self + ".rbl.example"
    }
}

/// What is not plain is declined, so that those answer who know how.
#[test]
fn all_others_are_declined() {
    let name = wire("1.2.0.192.rbl.example");
    let plain = query(PLAIN, &name, 1, 1, None);
    assert!(compare(&plain));
    let declined = |packet: &[u8]| {
        assert!(
            quick(packet, client(0), &SERVICES[0], NOW, &mut [0; RESPONSE_MAX]).is_none(),
            "{packet:02x?}"
        );
    };
    for flags in [0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02] {
        declined(&query([0, 0, flags, 0], &name, 1, 1, None));
    }
    for flags in [0x80, 0x40, 0x08, 0x01] {
        declined(&query([0, 0, 0, flags], &name, 1, 1, None));
    }
    for kind in [0, 41, 128, 249, 251, 252, 253, 254, 255] {
        declined(&query(PLAIN, &name, kind, 1, None));
    }
    for class in [0, 3, 254, 255] {
        declined(&query(PLAIN, &name, 1, class, None));
    }
    for opt in [
        &[0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0][..],
        &[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0],
        &[0, 0, 41, 4, 208, 0, 0, 0, 1, 0, 0],
        &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0],
        &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 3, 0, 1],
        &[1, b'x', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0],
        &[0, 0, 1, 4, 208, 0, 0, 0, 0, 0, 0],
        &OPT[..10],
    ] {
        declined(&query(PLAIN, &name, 1, 1, Some(opt)));
    }
    for at in 4..12 {
        let mut packet = plain.clone();
        packet[at] ^= 1;
        declined(&packet);
    }
    declined(&query(PLAIN, &wire("rbl.example"), 6, 1, None));
    declined(&query(PLAIN, &wire("rbl.example"), 2, 1, None));
    declined(&query(PLAIN, b"\x03www\xc0\x0c", 1, 1, None));
    declined(&query(PLAIN, &[&b"\x01a".repeat(128)[..], b"\0"].concat(), 1, 1, None));
    declined(&[&plain[..], b"x"].concat());
    for length in 0..plain.len() {
        declined(&plain[..length]);
    }
}

/// A question has nothing before it that its name could point to but the header, and that changes: it
/// is malformed, and is not repeated. Caught: a response that nobody could read.
#[test]
fn a_name_that_points_into_the_header_is_malformed() {
    for name in [&b"\xc0\x00"[..], b"\x03www\xc0\x04", b"\xc0\x0c", b"\x01a\xc0\x0c", b"\x80"] {
        let response = complete(&query(PLAIN, name, 1, 1, None)).unwrap();
        assert_eq!(response, [0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0], "{name:?}");
        let mut second = query(PLAIN, &wire("rbl.example"), 6, 1, None);
        second[5] = 2;
        second.extend([name, &[0, 1, 0, 1]].concat());
        assert_eq!(complete(&second).unwrap(), response, "second: {name:?}");
    }
}

/// Labels of a query's name: addresses, parts of them, and anything.
fn labels() -> impl Strategy<Value = Vec<u8>> {
    let zone = prop_oneof![
        6 => Just(".rbl.example"),
        2 => Just(".a1.b1.rbl.example"),
        2 => Just(".wl.example"),
        1 => Just(".RbL.ExAmPlE"),
        1 => Just(".example"),
        1 => Just(""),
    ];
    let address = prop_oneof![
        any::<IpAddr>(),
        Just("192.0.2.1".parse().unwrap()),
        Just("2001:db8::1".parse().unwrap()),
        (0..=255_u8, 0..=255_u8).prop_map(|(a, b)| IpAddr::from([198, 51, a, b])),
        (0..=255_u8).prop_map(|a| IpAddr::from([127, 0, 0, a])),
    ];
    let text = prop_oneof![
        6 => address.clone().prop_map(reversed),
        2 => (address, 1..63_usize).prop_map(|(a, n)| { let t = reversed(a); t[..n.min(t.len())].trim_matches('.').to_owned() }),
        1 => "[a-z0-9.]{0,40}".prop_map(|t| t.trim_matches('.').to_owned()),
        1 => "([0-9a-f]\\.){0,33}[0-9]{1,4}",
    ];
    (text, zone).prop_map(|(text, zone)| wire(&format!("{text}{zone}")))
}

/// Options of an OPT record.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let option = |code: u8, data: Vec<u8>| [&[0, code, 0, data.len() as u8][..], &data].concat();
    let bytes = |range| prop::collection::vec(any::<u8>(), range);
    let one = prop_oneof![
        // Cookies: the client's own; with one of ours, of another client's; of any lengths.
        2 => bytes(8..9).prop_map(move |data| option(10, data)),
        4 => (0..CLIENTS.len()).prop_map(move |number| option(10, cookie(client(number)))),
        2 => bytes(0..48).prop_map(move |data| option(10, data)),
        // NSID, client subnet, padding, keepalive, and what nobody knows.
        1 => Just(option(3, vec![])),
        1 => bytes(0..20).prop_map(move |data| option(8, data)),
        1 => bytes(0..20).prop_map(move |data| option(12, data)),
        1 => Just(option(11, vec![])),
        1 => (any::<u8>(), bytes(0..20)).prop_map(move |(code, data)| option(code, data)),
    ];
    prop_oneof![
        4 => Just(vec![]),
        1 => bytes(0..40),
        4 => prop::collection::vec(one, 1..3).prop_map(|options| options.concat()),
    ]
}

fn opt() -> impl Strategy<Value = Option<Vec<u8>>> {
    let record = (
        any::<u16>(),
        prop_oneof![5 => Just(0_u8), 1 => any::<u8>()],
        prop_oneof![5 => Just(0_u8), 1 => any::<u8>()],
        any::<bool>(),
        options(),
    )
        .prop_map(|(payload, code, version, dnssec_ok, options)| {
            let mut record = vec![0, 0, 41];
            record.extend_from_slice(&payload.to_be_bytes());
            record.extend_from_slice(&[code, version, u8::from(dnssec_ok) << 7, 0]);
            record.extend_from_slice(&(options.len() as u16).to_be_bytes());
            record.extend_from_slice(&options);
            record
        });
    prop::option::of(record)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Queries of every shape: the same meaning, always.
    #[test]
    fn both_ways_mean_the_same(
        id: [u8; 2],
        flags in prop_oneof![4 => Just([1_u8, 0]), 1 => any::<[u8; 2]>()],
        name in labels(),
        kind in prop_oneof![4 => Just(1_u16), 2 => Just(16), 2 => 0..300_u16, 1 => any::<u16>()],
        class in prop_oneof![8 => Just(1_u16), 1 => any::<u16>()],
        opt in opt(),
        asking in 0..CLIENTS.len(),
    ) {
        compare_for(&query([id[0], id[1], flags[0], flags[1]], &name, kind, class, opt.as_deref()), client(asking));
    }

    /// Packets that were good, with some bytes changed, cut off or added.
    #[test]
    fn damaged_packets_mean_the_same(
        name in labels(),
        opt in opt(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        more in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut packet = query(PLAIN, &name, 1, 1, opt.as_deref());
        packet.extend_from_slice(&more);
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        if let Some(cut) = cut {
            packet.truncate(cut.index(packet.len()));
        }
        compare(&packet);
    }

    /// Any bytes.
    #[test]
    fn any_bytes_mean_the_same(packet in prop::collection::vec(any::<u8>(), 0..600)) {
        compare(&packet);
    }
}
