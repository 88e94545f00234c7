//! What DNS answers, from real tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Fixture, NOW, nibbles, outcome, wire};
use eximrbl_table::{Policy, dictionary};
use eximrbl_zone::{Answer, QueryType};
use proptest::prelude::*;

const PLAIN: &str = "[[zone]]\nname = \"rbl.example\"\n";

#[test]
fn a_listed_ipv4_address_has_the_default_code() {
    let fixture = Fixture::new(PLAIN);
    fixture.record("192.0.2.1", "rcpt", 1);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "A 300 127.0.0.2");
    assert_eq!(fixture.ask("1.2.0.192.RBL.Example", QueryType::A), "A 300 127.0.0.2");
    assert_eq!(fixture.ask("2.2.0.192.rbl.example", QueryType::A), "NXDOMAIN");
}

#[test]
fn a_listed_ipv6_address_is_asked_by_nibbles_and_listed_by_its_64() {
    let fixture = Fixture::new(PLAIN);
    fixture.record("2001:db8:1:2:3:4:5:6", "rcpt", 1);
    for (address, listed) in [
        ("2001:db8:1:2:3:4:5:6", true),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", true),
        ("2001:db8:1:3::", false),
    ] {
        let name = format!("{}.rbl.example", nibbles(address));
        let expected = if listed { "A 300 127.0.0.2" } else { "NXDOMAIN" };
        assert_eq!(fixture.ask(&name, QueryType::A), expected, "{address}");
        assert_eq!(fixture.ask(&name.to_uppercase(), QueryType::A), expected, "{address}");
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let fixture = Fixture::new(PLAIN);
    fixture.record("192.0.2.1", "rcpt", 1);
    let name = format!("{}.rbl.example", nibbles("::ffff:192.0.2.1"));
    assert_eq!(fixture.ask(&name, QueryType::A), "A 300 127.0.0.2");
}

#[test]
fn the_test_points_of_rfc_5782() {
    let fixture = Fixture::new(PLAIN);
    for name in ["2.0.0.127", &nibbles("::ffff:127.0.0.2")] {
        let name = format!("{name}.rbl.example");
        assert_eq!(fixture.ask(&name, QueryType::A), "A 300 127.0.0.2");
        assert!(fixture.ask(&name, QueryType::TXT).contains("127.0.0.2 is listed in rbl.example"));
    }
    fixture.record("127.0.0.1", "rcpt", 1);
    assert_eq!(fixture.ask("1.0.0.127.rbl.example", QueryType::A), "NXDOMAIN");
    let mapped = format!("{}.rbl.example", nibbles("::ffff:127.0.0.1"));
    assert_eq!(fixture.ask(&mapped, QueryType::A), "NXDOMAIN");
    assert_eq!(fixture.ask("3.0.0.127.rbl.example", QueryType::A), "NXDOMAIN");
}

#[test]
fn every_code_has_its_test_address() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\ncodes = { auth = 4, helo = \"127.0.1.9\" }\n",
    );
    assert_eq!(fixture.ask("4.0.0.127.rbl.example", QueryType::A), "A 300 127.0.0.4");
    assert_eq!(fixture.ask("9.1.0.127.rbl.example", QueryType::A), "A 300 127.0.1.9");
    assert_eq!(fixture.ask("2.0.0.127.rbl.example", QueryType::A), "A 300 127.0.0.2");
    let mapped = format!("{}.rbl.example", nibbles("::ffff:127.0.0.4"));
    assert_eq!(fixture.ask(&mapped, QueryType::A), "A 300 127.0.0.4");
    assert_eq!(fixture.ask("5.0.0.127.rbl.example", QueryType::A), "NXDOMAIN");
}

#[test]
fn each_reason_gives_its_own_code_or_the_default() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\ncodes = { auth = 4, helo = 5, login = 4, spam = 2 }\n",
    );
    fixture.record("192.0.2.1", "auth", 1);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "A 300 127.0.0.4");
    fixture.record("192.0.2.1", "login", 1);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "A 300 127.0.0.4");
    fixture.record("192.0.2.1", "rcpt", 1);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "A 300 127.0.0.2 127.0.0.4");
    fixture.record("192.0.2.1", "helo", 1);
    fixture.record("192.0.2.1", "spam", 1);
    assert_eq!(
        fixture.ask("1.2.0.192.rbl.example", QueryType::A),
        "A 300 127.0.0.2 127.0.0.4 127.0.0.5"
    );
}

#[test]
fn a_zone_of_some_reasons_shows_these_alone() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\n\
         [[zone]]\nname = \"auth.rbl.example\"\nreasons = [\"auth\"]\ntxt = \"{reason}\"\n",
    );
    fixture.record("192.0.2.1", "rcpt", 1);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "A 300 127.0.0.2");
    assert_eq!(fixture.ask("1.2.0.192.auth.rbl.example", QueryType::A), "NXDOMAIN");
    fixture.record("192.0.2.1", "auth", 1);
    assert_eq!(fixture.ask("1.2.0.192.auth.rbl.example", QueryType::A), "A 300 127.0.0.2");
    assert_eq!(fixture.ask("1.2.0.192.auth.rbl.example", QueryType::TXT), "TXT 300 \"auth\"");
}

/// So many reporters, not reports; the zone beside it has none. The administrator alone is enough, below the
/// threshold, too; others need both. Caught: reports counted for reporters; the administrator counted
/// as one of two; a threshold that a quorum makes up for.
#[test]
fn a_quorum_needs_that_many_reporters() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\nquorum = 2\n\
         [[zone]]\nname = \"all.example\"\n\
         [[zone]]\nname = \"auth.example\"\nreasons = [\"auth\"]\nquorum = 3\n",
    );
    let mx = ["mx2", "mx3"].map(|name| {
        fixture.table.reporter(eximrbl_table::Name::new(name.as_bytes()).unwrap()).unwrap()
    });
    let answers = |client: &str| {
        ["rbl", "all", "auth"].map(|zone| {
            let answer = fixture.ask(&format!("{client}.2.0.192.{zone}.example"), QueryType::A);
            assert!(answer == "NXDOMAIN" || answer == "A 300 127.0.0.2", "{answer}");
            answer != "NXDOMAIN"
        })
    };
    fixture.record("192.0.2.1", "rcpt", 5);
    assert_eq!(answers("1"), [false, true, false]);
    fixture.record_by("192.0.2.1", "rcpt", 1, mx[0]);
    assert_eq!(answers("1"), [true, true, false]);
    // Three reporters, and one of them for that reason.
    fixture.record_by("192.0.2.1", "auth", 1, mx[1]);
    assert_eq!(answers("1"), [true, true, true]);
    fixture.record_by("192.0.2.2", "rcpt", 1, dictionary::ADMIN);
    assert_eq!(answers("2"), [true, true, false]);
    fixture.record_by("192.0.2.2", "auth", 1, dictionary::ADMIN);
    assert_eq!(answers("2"), [true, true, true]);

    fixture.table.set_policy(&Policy { threshold: 4, ..Policy::default() }).unwrap();
    assert_eq!((answers("1"), answers("2")), ([true; 3], [true; 3]));
    fixture.record_by("192.0.2.3", "rcpt", 2, mx[0]);
    fixture.record_by("192.0.2.3", "rcpt", 1, mx[1]);
    assert_eq!(answers("3"), [false; 3], "two of them, but three rejections");
    fixture.record_by("192.0.2.3", "rcpt", 1, mx[1]);
    assert_eq!(answers("3"), [true, true, false]);
}

#[test]
fn a_white_zone_lists_white_entries_and_white_beats_black() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\n\
         [[zone]]\nname = \"wl.example\"\nlist = \"white\"\n",
    );
    fixture.record("192.0.2.1", "rcpt", 1);
    assert_eq!(fixture.ask("1.2.0.192.wl.example", QueryType::A), "NXDOMAIN");
    let network = "192.0.2.0/24".parse().unwrap();
    fixture.table.white(network, Some(90), dictionary::ADMIN, NOW).unwrap();
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "NXDOMAIN");
    assert_eq!(fixture.ask("1.2.0.192.wl.example", QueryType::A), "A 90 127.0.0.2");
    let text = fixture.ask("7.2.0.192.wl.example", QueryType::TXT);
    assert_eq!(text, "TXT 90 \"192.0.2.7 is whitelisted in wl.example\"");
}

#[test]
fn the_ttl_is_the_life_left_but_capped_and_life_ends_at_the_floor() {
    let fixture = Fixture::new(PLAIN);
    fixture.record("192.0.2.1", "rcpt", 1);
    let at = |now| fixture.ask_at("1.2.0.192.rbl.example", QueryType::A, now);
    assert_eq!(at(NOW), "A 300 127.0.0.2");
    assert_eq!(at(NOW + 300), "A 300 127.0.0.2");
    assert_eq!(at(NOW + 301), "A 299 127.0.0.2");
    assert_eq!(at(NOW + 540), "A 60 127.0.0.2");
    assert_eq!(at(NOW + 541), "NXDOMAIN");
}

#[test]
fn never_listed_and_below_the_threshold_are_not_answered() {
    let fixture = Fixture::new(PLAIN);
    let policy = Policy {
        threshold: 3,
        never: vec!["198.51.100.0/24".parse().unwrap()],
        ..Policy::default()
    };
    fixture.table.set_policy(&policy).unwrap();
    fixture.record("192.0.2.1", "rcpt", 2);
    fixture.record("198.51.100.1", "rcpt", 9);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "NXDOMAIN");
    assert_eq!(fixture.ask("1.100.51.198.rbl.example", QueryType::A), "NXDOMAIN");
    fixture.record("192.0.2.1", "rcpt", 1);
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::A), "A 300 127.0.0.2");
}

#[test]
fn text_comes_from_the_template() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\n\
         txt = \"{ip} {count} {reason} {ttl} {first} {last} {zone}\"\n",
    );
    fixture.record("192.0.2.1", "rcpt", 2);
    fixture.record("192.0.2.1", "auth", 1);
    let text = fixture.ask("1.2.0.192.rbl.example", QueryType::TXT);
    // The dictionary's order, which is that of first use.
    let time = "2026-11-22T05:43:10Z";
    assert_eq!(text, format!("TXT 300 \"192.0.2.1 3 rcpt,auth 1800 {time} {time} rbl.example\""));
}

#[test]
fn an_endless_listing_says_so() {
    let fixture = Fixture::new("[[zone]]\nname = \"rbl.example\"\ntxt = \"{ttl}\"\n");
    let report = fixture.report("192.0.2.1", "rcpt", 1, dictionary::ADMIN);
    fixture.table.record_endless(&report, NOW).unwrap();
    assert_eq!(fixture.ask("1.2.0.192.rbl.example", QueryType::TXT), "TXT 300 \"unlimited\"");
}

#[test]
fn any_gives_address_and_text_and_other_types_give_nothing() {
    let fixture = Fixture::new("[[zone]]\nname = \"rbl.example\"\ntxt = \"x\"\n");
    fixture.record("192.0.2.1", "rcpt", 1);
    let ask = |query_type| fixture.ask("1.2.0.192.rbl.example", query_type);
    assert_eq!(ask(QueryType::ANY), "A 300 127.0.0.2 TXT 300 \"x\"");
    for query_type in [QueryType::SOA, QueryType::NS, QueryType(28), QueryType(65535)] {
        assert_eq!(ask(query_type), "NODATA");
    }
    assert_eq!(fixture.ask("2.2.0.192.rbl.example", QueryType::ANY), "NXDOMAIN");
}

#[test]
fn the_apex_has_soa_and_ns_and_nothing_else() {
    let fixture = Fixture::new(PLAIN);
    let ask = |query_type| fixture.ask("rbl.example", query_type);
    assert_eq!(ask(QueryType::SOA), "APEX soa");
    assert_eq!(ask(QueryType::NS), "APEX ns");
    assert_eq!(ask(QueryType::ANY), "APEX soa ns");
    for query_type in [QueryType::A, QueryType::TXT, QueryType(15), QueryType(48)] {
        assert_eq!(ask(query_type), "NODATA");
    }
}

#[test]
fn out_of_zone_and_transfers_are_refused() {
    let fixture = Fixture::new(PLAIN);
    for name in ["example", "other.example", "2.0.0.127.other.example", "xrbl.example", ""] {
        assert_eq!(fixture.ask(name, QueryType::A), "REFUSED", "{name}");
    }
    for query_type in [QueryType::AXFR, QueryType::IXFR] {
        assert_eq!(fixture.ask("rbl.example", query_type), "REFUSED");
    }
}

#[test]
fn the_serial_follows_the_table() {
    let fixture = Fixture::new(PLAIN);
    let serial = || match fixture.answer("rbl.example", QueryType::SOA, NOW) {
        Answer::Apex { authority, .. } => authority.serial,
        other => panic!("{other:?}"),
    };
    let before = serial();
    assert_eq!(before, fixture.table.serial() as u32);
    fixture.record("192.0.2.1", "rcpt", 1);
    assert!(serial() > before);
    match fixture.answer("0.rbl.example", QueryType::A, NOW) {
        Answer::NoData(authority) => assert_eq!(authority.serial, serial()),
        other => panic!("{other:?}"),
    }
}

// The regression that peers had: resolvers that minimise their queries lose listings when names
// above them are NXDOMAIN.
#[test]
fn names_above_addresses_exist_whether_anything_is_listed_or_not() {
    let fixture = Fixture::new(PLAIN);
    for name in ["127", "0.127", "0.0.127", "255", "f", "1.0.0.2", "4.3.2.1", "5.4.3.2.1"] {
        let answer = fixture.ask(&format!("{name}.rbl.example"), QueryType::A);
        assert_eq!(answer, "NODATA", "{name}");
    }
    let nibbles = nibbles("2001:db8::1");
    for skipped in (2..64).step_by(2) {
        let answer = fixture.ask(&format!("{}.rbl.example", &nibbles[skipped..]), QueryType::NS);
        assert_eq!(answer, "NODATA", "{skipped}");
    }
    for name in ["x", "256", "01", "a.4.3.2.10", "10.4.3.2.1", "www.2.0.0.127", "aa.b"] {
        let answer = fixture.ask(&format!("{name}.rbl.example"), QueryType::A);
        assert_eq!(answer, "NXDOMAIN", "{name}");
    }
}

#[test]
fn names_above_another_zone_exist() {
    let fixture = Fixture::new(
        "[[zone]]\nname = \"rbl.example\"\n[[zone]]\nname = \"deep.down.below.rbl.example\"\n",
    );
    assert_eq!(fixture.ask("below.rbl.example", QueryType::A), "NODATA");
    assert_eq!(fixture.ask("down.below.rbl.example", QueryType::A), "NODATA");
    assert_eq!(fixture.ask("deep.down.below.rbl.example", QueryType::SOA), "APEX soa");
    assert_eq!(fixture.ask("other.below.rbl.example", QueryType::A), "NXDOMAIN");
}

#[test]
fn a_full_dictionary_is_an_error_and_no_wrong_filter() {
    let fixture = Fixture::new(PLAIN);
    let mut at = 0;
    while fixture.reason(&format!("filler-{at}")) != 0 {
        at += 1;
    }
    let error = fixture.resolve("[[zone]]\nname = \"rbl.example\"\nreasons = [\"late\"]\n");
    let error = error.err().unwrap().to_string();
    assert!(error.starts_with("zone rbl.example: the table knows 64 reasons already"), "{error}");
}

/// Query names of every sort: plain labels, octets, nibbles, with any bytes at all.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![
        "[0-9]{1,4}".prop_map(String::into_bytes),
        "[0-9a-fA-F]".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..64),
    ];
    let within = prop::collection::vec(label, 0..40).prop_map(|labels| {
        let mut name = Vec::new();
        for label in labels {
            name.push(label.len() as u8);
            name.extend(label);
        }
        name.extend(b"\x03rBl\x07example\x00");
        name
    });
    prop_oneof![4 => within, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

/// Some names of each kind, where the properties below try thousands: for Miri, which is slow. Caught: a
/// label of 64 bytes; an octet of 256.
#[test]
fn odd_names_get_an_answer() {
    let fixture = Fixture::shared();
    let long = [&[63_u8][..], &[b'a'; 63]].concat();
    let zone = b"\x03rBl\x07example\x00";
    let names: [(&[u8], &str); 14] = [
        (b"", "REFUSED"),
        (b"\x00", "REFUSED"),
        (b"\x03rbl", "REFUSED"),
        (b"\xc0\x0c", "REFUSED"),
        (&[&[64][..], &[b'a'; 64], zone].concat(), "REFUSED"),
        (&[&long[..], &long, &long, &long, zone].concat(), "REFUSED"),
        (zone, "NODATA"),
        (&[b"\x011", &zone[..]].concat(), "NODATA"),
        (&[b"\x03256", &zone[..]].concat(), "NXDOMAIN"),
        (&[b"\x011\x012\x010\x03192", &zone[..]].concat(), "A 300 127.0.0.4"),
        (&[b"\x011\x012\x010\x03192\x011", &zone[..]].concat(), "NXDOMAIN"),
        (&[b"\x011\x012\x010\x0301\x0a", &zone[..]].concat(), "NXDOMAIN"),
        (&[b"\x02b1", &zone[..]].concat(), "NODATA"),
        (&[b"\x01\xff\x01\x00", &zone[..]].concat(), "NXDOMAIN"),
    ];
    for (name, expected) in names {
        let answer = fixture.answer_wire(name, QueryType::A, NOW);
        assert_eq!(outcome(&answer, &fixture.table, NOW), expected, "{}", name.escape_ascii());
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(name in any_name(), query_type in any::<u16>()) {
        let fixture = Fixture::shared();
        let answer = fixture.answer_wire(&name, QueryType(query_type), NOW);
        let _ = outcome(&answer, &fixture.table, NOW);
    }

    // RFC 8020: a name that is NXDOMAIN has nothing below it.
    #[test]
    fn above_a_name_that_exists_all_names_exist(name in any_name(), v4 in any::<u32>(),
        v6 in any::<u128>(), kind in 0..3)
    {
        let fixture = Fixture::shared();
        let name = match kind {
            0 => name,
            1 => wire(&format!("{}.rbl.example", v4.to_be_bytes().map(|o| o.to_string()).join("."))),
            _ => wire(&format!("{}.rbl.example", nibbles(&std::net::Ipv6Addr::from(v6).to_string()))),
        };
        let kind = |name: &[u8]| outcome(
            &fixture.answer_wire(name, QueryType::A, NOW), &fixture.table, NOW);
        let mut rest = &name[..];
        let mut exists = false;
        while rest.len() > 13 {
            let outcome = kind(rest);
            prop_assert!(!(exists && outcome == "NXDOMAIN"), "{rest:?} is above a name that exists");
            exists |= outcome != "NXDOMAIN" && outcome != "REFUSED";
            let Some(next) = rest.get(usize::from(rest[0]) + 1..) else { break };
            rest = next;
        }
    }
}

/// The sample's text for failed logins claims nothing that another rejection makes false.
#[test]
fn the_samples_text_for_failed_logins_is_true_with_weights_and_other_reasons() {
    let sample = include_str!("../../../examples/eximrbl.toml");
    let zones = sample.find("\n[[zone]]").unwrap();
    let fixture = Fixture::new(&sample[zones..]);
    fixture.record("192.0.2.1", "auth", 3);
    fixture.record("192.0.2.1", "rcpt", 1);
    assert_eq!(
        fixture.ask("1.2.0.192.auth.rbl.example.org", QueryType::TXT),
        "TXT 300 \"192.0.2.1 failed to log in; last rejected 2026-11-22T05:43:10Z\""
    );
}
