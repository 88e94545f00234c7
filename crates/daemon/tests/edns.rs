//! EDNS in full, and what the server tells of itself: the probes that ISC's tests of DNS compliance send,
//! and more, each with what the RFCs say to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use common::{
    COOKIE, Daemon, EXTENDED_ERROR, NSID, PLAIN, Place, Response, framed, opt_with, option, query,
    query_with_options,
};

const A: u16 = 1;
const SOA: u16 = 6;
const TXT: u16 = 16;
const ANY: u16 = 255;
const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;
const NOT_SUPPORTED: u16 = 21;
const ZONE: &str = "rbl.example";
/// The header's flags, in its second 16 bits.
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RA: u16 = 0x0080;
const Z: u16 = 0x0040;
const AD: u16 = 0x0020;
const CD: u16 = 0x0010;
const DO: u16 = 0x8000;
/// EDNS EXPIRE (RFC 7314) and client subnet (RFC 7871), which are nothing to us.
const EXPIRE: u16 = 9;
const SUBNET: u16 = 8;

/// A question for the zone's SOA record with these header flags, and an OPT record.
fn probe(flags: u16, opt: Option<&[u8]>) -> Vec<u8> {
    let mut packet = query(0x1234, ZONE, SOA);
    packet[2..4].copy_from_slice(&flags.to_be_bytes());
    if let Some(opt) = opt {
        packet[11] = 1;
        packet.extend(opt);
    }
    packet
}

/// The header's flags, without QR, operation and response code.
fn flags(response: &Response) -> u16 {
    u16::from_be_bytes([response.bytes[2], response.bytes[3]]) & 0x07f0
}

/// One row for each probe: what is sent, and the code, the flags and the OPT record's version and flags
/// that come back. Caught: an unknown flag or option that comes back; flags of a response that are set as
/// they came; BADVERS without a version; options of an unknown version that are looked into.
#[test]
fn each_probe_gets_what_the_rfcs_say() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let opt = |version, flags, options: &[u8]| opt_with(4096, version, flags, options);
    let unknown = option(100, b"");
    let unknown_full = option(65_001, &[7; 100]);
    let all = [
        option(NSID, b""),
        option(SUBNET, &[0, 1, 0, 0]),
        option(EXPIRE, b""),
        option(COOKIE, b"client-1"),
    ]
    .concat();
    // What hickory, which reads the rest of the packet, takes for malformed.
    let odd_subnet = option(SUBNET, &[0, 1, 33, 99, 1]);
    let long_nsid = option(NSID, &[1; 300]);
    let cut_option = &option(100, b"1234")[..6];
    let plain = Some((0, 0));
    for (what, packet, code, set, answered) in [
        ("no EDNS", probe(0, None), NOERROR, AA, None),
        ("RD", probe(RD, None), NOERROR, AA | RD, None),
        ("AA", probe(AA, None), NOERROR, AA, None),
        ("TC", probe(TC, None), NOERROR, AA, None),
        ("RA", probe(RA, None), NOERROR, AA, None),
        ("Z", probe(Z, None), NOERROR, AA, None),
        ("CD", probe(CD, None), NOERROR, AA | CD, None),
        ("EDNS", probe(0, Some(&opt(0, 0, b""))), NOERROR, AA, plain),
        ("EDNS, AD and CD", probe(AD | CD, Some(&opt(0, 0, b""))), NOERROR, AA | CD, plain),
        ("DO", probe(0, Some(&opt(0, DO, b""))), NOERROR, AA, Some((0, DO))),
        ("unknown flags", probe(0, Some(&opt(0, 0x7fff, b""))), NOERROR, AA, plain),
        ("all flags", probe(0, Some(&opt(0, 0xffff, b""))), NOERROR, AA, Some((0, DO))),
        ("an unknown option", probe(0, Some(&opt(0, 0, &unknown))), NOERROR, AA, plain),
        ("a long one", probe(0, Some(&opt(0, 0, &unknown_full))), NOERROR, AA, plain),
        ("EXPIRE", probe(0, Some(&opt(0, 0, &option(EXPIRE, b"")))), NOERROR, AA, plain),
        ("a client subnet", probe(0, Some(&opt(0, 0, &all[4..12]))), NOERROR, AA, plain),
        ("an odd client subnet", probe(0, Some(&opt(0, 0, &odd_subnet))), NOERROR, AA, plain),
        ("NSID, which is off", probe(0, Some(&opt(0, 0, &option(NSID, b"")))), NOERROR, AA, plain),
        ("NSID with data", probe(0, Some(&opt(0, 0, &long_nsid))), NOERROR, AA, plain),
        ("a list of options", probe(0, Some(&opt(0, DO, &all))), NOERROR, AA, Some((0, DO))),
        ("version 1", probe(0, Some(&opt(1, 0, b""))), BADVERS, 0, plain),
        ("version 255", probe(0, Some(&opt(255, 0, b""))), BADVERS, 0, plain),
        ("version 1, DO", probe(0, Some(&opt(1, DO, b""))), BADVERS, 0, Some((0, DO))),
        ("version 1, unknown flags", probe(0, Some(&opt(1, 0x40, b""))), BADVERS, 0, plain),
        ("version 1, options", probe(0, Some(&opt(1, 0, &all))), BADVERS, 0, plain),
        ("version 1, odd options", probe(0, Some(&opt(1, 0, cut_option))), BADVERS, 0, plain),
        ("half an option", probe(0, Some(&opt(0, 0, cut_option))), FORMERR, 0, plain),
        ("half a head", probe(0, Some(&opt(0, 0, &unknown[..3]))), FORMERR, 0, plain),
        ("an unknown operation", probe(15 << 11, Some(&opt(0, 0, b""))), NOTIMP, 0, plain),
        ("a known one", probe(4 << 11, Some(&opt(0, DO, b""))), NOTIMP, 0, Some((0, DO))),
        ("an operation with all flags", probe(15 << 11 | 0x07f0, None), NOTIMP, RD | CD, None),
    ] {
        let response = daemon.exchange_from("127.0.0.1", &packet);
        assert_eq!(response.code(), code, "{what}");
        assert_eq!(response.opcode(), packet[2] >> 3 & 15, "{what}");
        assert_eq!(response.id(), 0x1234, "{what}");
        assert_eq!(flags(&response), set, "{what}");
        assert_eq!(response.answers().len(), usize::from(code == NOERROR), "{what}");
        let found = response.opt().map(|opt| {
            let [_, version, high, low] = opt.ttl.to_be_bytes();
            assert_eq!(opt.class, 1232, "{what}");
            (version, u16::from_be_bytes([high, low]))
        });
        assert_eq!(found, answered, "{what}");
        let options = response.options().unwrap_or_default();
        let has_cookie = what == "a list of options";
        let codes: Vec<_> = options.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, if has_cookie { vec![COOKIE] } else { vec![] }, "{what}");
        // And the same by TCP.
        let by_tcp = &daemon.exchange_tcp(&framed(&packet), 1)[0];
        assert_eq!(by_tcp.code(), code, "{what} by TCP");
        assert_eq!((flags(by_tcp), by_tcp.opt().is_some()), (set, found.is_some()), "{what}");
    }
}

/// Types that nobody knows are NODATA where there is something, whatever they are.
#[test]
fn unknown_types_are_no_data() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    for name in [ZONE, "2.0.0.127.rbl.example", "127.rbl.example"] {
        for query_type in [28, 46, 48, 65, 666, 1000, 65_280] {
            let response =
                daemon.exchange_from("127.0.0.1", &query_with_options(name, query_type, b""));
            assert_eq!((response.code(), response.answers().len()), (NOERROR, 0), "{name}");
            assert_eq!(response.negative_ttl(), (60, 60), "{name}");
        }
    }
}

/// RFC 6891 section 6.1.1. Caught: OPT records that are taken wherever they stand, or whosever they are.
#[test]
fn an_opt_record_is_one_at_the_root_in_the_additional_section() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let opt = opt_with(1232, 0, 0, b"");
    let plain = query(9, ZONE, SOA);
    let with = |counts: [u8; 3], records: &[&[u8]]| {
        let mut packet = [&plain[..], &records.concat()].concat();
        for (section, count) in counts.into_iter().enumerate() {
            packet[7 + 2 * section] = count;
        }
        packet
    };
    let named = [b"\x01x", &opt[..]].concat();
    let pointing = [b"\xc0\x0c", &opt[1..]].concat();
    let address = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01";
    for (what, packet, is_good) in [
        ("alone", with([0, 0, 1], &[&opt]), true),
        ("after another record", with([0, 0, 2], &[address, &opt]), true),
        ("before another record", with([0, 0, 2], &[&opt, address]), true),
        ("two", with([0, 0, 2], &[&opt, &opt]), false),
        ("three", with([0, 0, 3], &[&opt, &opt, &opt]), false),
        ("two with another between", with([0, 0, 3], &[&opt, address, &opt]), false),
        ("in the answer section", with([1, 0, 0], &[&opt]), false),
        ("in the authority section", with([0, 1, 0], &[&opt]), false),
        ("in two sections", with([1, 0, 1], &[&opt, &opt]), false),
        ("not the root's", with([0, 0, 1], &[&named]), false),
        ("by a pointer", with([0, 0, 1], &[&pointing]), false),
        ("cut", with([0, 0, 1], &[&opt[..10]]), false),
    ] {
        let response = daemon.exchange_from("127.0.0.1", &packet);
        assert_eq!(response.code(), if is_good { NOERROR } else { FORMERR }, "{what}");
        assert_eq!(response.answers().len(), usize::from(is_good), "{what}");
        assert!(response.bytes.len() <= packet.len() || is_good, "{what}: amplified");
    }
    let two = daemon.exchange_from("127.0.0.1", &with([0, 0, 2], &[&opt, &opt]));
    assert!(two.opt().is_some(), "or the client might go on without EDNS");
}

/// RFC 5001. Caught: an identifier that is told to who did not ask, or is empty.
#[test]
fn the_identifier_is_told_where_it_is_configured_to_who_asks() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &format!("nsid = \"one of us\"\n{PLAIN}"));
    let name = "2.0.0.127.rbl.example";
    let asked = query_with_options(name, A, &option(NSID, b""));
    let response = daemon.exchange_from("127.0.0.1", &asked);
    assert_eq!(response.option(NSID).unwrap(), b"one of us");
    assert_eq!(response.addresses(), [[127, 0, 0, 2]]);
    let by_tcp = &daemon.exchange_tcp(&framed(&asked), 1)[0];
    assert_eq!(by_tcp.option(NSID).unwrap(), b"one of us");
    let not_asked = daemon.exchange_from("127.0.0.1", &query_with_options(name, A, b""));
    assert_eq!(not_asked.options().unwrap(), []);
    let output = Command::new("dig")
        .args(["@127.0.0.1", "-p", &daemon.address.port().to_string()])
        .args(["+nsid", "+tries=3", "+time=10", name, "A"])
        .output()
        .expect("dig (package bind9-dnsutils) is needed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("(\"one of us\")"), "{text}");
}

/// A question of class CH.
fn chaos(name: &str, query_type: u16) -> Vec<u8> {
    let mut packet = query_with_options(name, query_type, b"");
    let at = packet.len() - 11 - 1;
    packet[at] = 3;
    packet
}

/// RFC 4892, and BIND's names. Caught: texts that are told where they are off; one that is told for the
/// other; a record of class IN.
#[test]
fn version_and_hostname_are_told_where_they_are_configured() {
    let names = ["version.bind", "version.server", "hostname.bind", "id.server"];
    for (settings, texts) in [
        ("", [None; 4]),
        ("version = \"9\"\n", [Some("9"), Some("9"), None, None]),
        ("hostname = \"mail\"\n", [None, None, Some("mail"), Some("mail")]),
    ] {
        let place = Place::new();
        let daemon = Daemon::start(&place, &format!("{settings}{PLAIN}"));
        for (name, text) in names.iter().zip(texts) {
            for name in [name.to_string(), name.to_uppercase()] {
                for query_type in [TXT, ANY] {
                    let response = daemon.exchange_from("127.0.0.1", &chaos(&name, query_type));
                    let answers = response.answers();
                    let Some(text) = text else {
                        assert_eq!(response.code(), REFUSED, "{name}");
                        assert_eq!(response.extended_error(), Some(NOT_SUPPORTED), "{name}");
                        assert!(answers.is_empty());
                        continue;
                    };
                    assert_eq!((response.code(), answers.len()), (NOERROR, 1), "{name}");
                    let record = &answers[0];
                    assert_eq!((record.kind, record.class, record.ttl), (TXT, 3, 0), "{name}");
                    assert_eq!(record.data, [&[text.len() as u8], text.as_bytes()].concat());
                    assert_eq!(response.question()[..6], chaos(&name, TXT)[12..18]);
                }
            }
        }
        for (name, query_type) in
            [("version.bind", A), ("x.version.bind", TXT), ("version.binder", TXT), ("bind", TXT)]
        {
            let response = daemon.exchange_from("127.0.0.1", &chaos(name, query_type));
            assert_eq!((response.code(), response.answers().len()), (REFUSED, 0), "{name}");
        }
        // Of class IN these are names as any.
        let internet = daemon.exchange_from("127.0.0.1", &query(9, "version.bind", TXT));
        assert_eq!(internet.code(), REFUSED);
    }
}

/// With the longest identifier, question and all options, a cut response fits into what every client
/// takes. Caught: an identifier that may be longer.
#[test]
fn a_cut_response_always_fits() {
    let place = Place::new();
    let nsid = "n".repeat(128);
    let codes: Vec<_> = (0..60).map(|n| format!("reason-{n} = {}", n + 100)).collect();
    let long = format!("{}.{}.rbl.example", "a".repeat(63), "b".repeat(49));
    let zone = format!(
        "nsid = {nsid:?}\n[[zone]]\nname = {long:?}\ntxt = \"{}\"\ncodes = {{ {} }}\n\
         allow_query = [\"127.0.0.1\"]\n",
        "x".repeat(255),
        codes.join(", "),
    );
    let daemon = Daemon::start(&place, &zone);
    (0..60).for_each(|n| common::record(&place.table(), "2001:db8::1", &format!("reason-{n}")));
    let digits: String = format!("{:032x}", 0x2001_0db8_0000_0000_0000_0000_0000_0001_u128)
        .chars()
        .rev()
        .map(|digit| format!("{digit}."))
        .collect();
    let name = digits + &long;
    let options = [option(NSID, b""), option(COOKIE, b"client-1")].concat();
    let ask = |client| {
        let mut packet = query(9, &name, A);
        packet[11] = 1;
        packet.extend(opt_with(512, 0, DO, &options));
        daemon.exchange_from(client, &packet)
    };
    let cut = ask("127.0.0.1");
    assert!(cut.is_truncated() && cut.bytes.len() <= 512, "{} bytes", cut.bytes.len());
    assert_eq!(cut.option(NSID).unwrap(), nsid.as_bytes());
    assert_eq!(cut.option(COOKIE).unwrap().len(), 24);
    let refused = ask("127.0.0.2");
    assert!(refused.bytes.len() <= 512, "{} bytes", refused.bytes.len());
    assert_eq!((refused.code(), refused.is_truncated()), (REFUSED, false));
    assert!(refused.option(EXTENDED_ERROR).is_some());
}
