//! Who may ask for what (`allow_query`), through the real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::process::Command;

use common::{Daemon, PLAIN, Place, framed, query, query_with_options, record};
use nix::sys::signal::Signal;

const A: u16 = 1;
const SOA: u16 = 6;
const TXT: u16 = 16;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const ANY: u16 = 255;
const NOERROR: u16 = 0;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;
const PROHIBITED: u16 = 18;
const NOT_AUTHORITATIVE: u16 = 20;
const NOT_SUPPORTED: u16 = 21;

/// One zone for 127.0.0.2 alone, below it one for a network and IPv6, and one for all.
const ZONES: &str = "[[zone]]\nname = \"rbl.example\"\nallow_query = [\"127.0.0.2\"]\n\
    [[zone]]\nname = \"some.rbl.example\"\nallow_query = [\"127.0.1.0/24\", \"::1\"]\n\
    [[zone]]\nname = \"open.example\"\n";

/// The response code, and the extended error, of a question from an address.
fn ask(daemon: &Daemon, client: &str, name: &str, query_type: u16) -> (u16, Option<u16>) {
    let response = daemon.exchange_from(client, &query_with_options(name, query_type, b""));
    if response.code() == REFUSED {
        assert!(!response.is_authoritative(), "{name}");
        assert_eq!((response.answers().len(), response.authorities().len()), (0, 0), "{name}");
    }
    (response.code(), response.extended_error())
}

/// Caught: a zone that takes the list of the one above; a kind of answer that is not asked about; an
/// extended error for who sent no OPT record.
#[test]
fn each_zone_answers_those_it_is_for() {
    let place = Place::new();
    let daemon = Daemon::start(&place, ZONES);
    record(&place.table(), "192.0.2.1", "rcpt");
    let refused = (REFUSED, Some(PROHIBITED));
    for (name, query_type, code) in [
        ("1.2.0.192.rbl.example", A, NOERROR),
        ("1.2.0.192.rbl.example", TXT, NOERROR),
        ("1.2.0.192.rbl.example", ANY, NOERROR),
        ("1.2.0.192.RBL.example", 28, NOERROR),
        ("2.2.0.192.rbl.example", A, NXDOMAIN),
        ("0.192.rbl.example", A, NOERROR),
        ("rbl.example", SOA, NOERROR),
        ("rbl.example", A, NOERROR),
        ("nobody.rbl.example", A, NXDOMAIN),
    ] {
        assert_eq!(ask(&daemon, "127.0.0.2", name, query_type), (code, None), "{name}");
        assert_eq!(ask(&daemon, "127.0.0.1", name, query_type), refused, "{name}");
        assert_eq!(ask(&daemon, "127.0.1.1", name, query_type), refused, "{name}");
    }
    for (client, expected) in
        [("127.0.1.1", (NOERROR, None)), ("127.0.1.255", (NOERROR, None)), ("127.0.0.2", refused)]
    {
        assert_eq!(ask(&daemon, client, "1.2.0.192.some.rbl.example", A), expected, "{client}");
    }
    for client in ["127.0.0.1", "127.0.0.2", "127.0.1.1"] {
        assert_eq!(ask(&daemon, client, "1.2.0.192.open.example", A), (NOERROR, None));
        let elsewhere = ask(&daemon, client, "1.2.0.192.other.example", A);
        assert_eq!(elsewhere, (REFUSED, Some(NOT_AUTHORITATIVE)));
    }
    let plain = daemon.exchange_from("127.0.0.1", &query(7, "1.2.0.192.rbl.example", A));
    assert_eq!((plain.code(), plain.opt().is_some()), (REFUSED, false));
    let packet = query_with_options("1.2.0.192.rbl.example", A, b"");
    let by_tcp = &daemon.exchange_tcp(&framed(&packet), 1)[0];
    assert_eq!((by_tcp.code(), by_tcp.extended_error()), refused);
}

/// What a transfer is refused for, and to whom.
#[test]
fn transfers_and_other_classes_are_not_supported() {
    let place = Place::new();
    let daemon = Daemon::start(&place, ZONES);
    for query_type in [AXFR, IXFR] {
        let asked = |client, name| ask(&daemon, client, name, query_type);
        assert_eq!(asked("127.0.0.2", "rbl.example"), (REFUSED, Some(NOT_SUPPORTED)));
        assert_eq!(asked("127.0.0.1", "rbl.example"), (REFUSED, Some(PROHIBITED)));
        assert_eq!(asked("127.0.0.1", "other.example"), (REFUSED, Some(NOT_AUTHORITATIVE)));
    }
    for class in [2, 3, 4, 254, 255] {
        let mut packet = query_with_options("rbl.example", SOA, b"");
        let at = packet.len() - 11 - 1;
        packet[at] = class;
        let response = daemon.exchange_from("127.0.0.2", &packet);
        let found = (response.code(), response.extended_error());
        assert_eq!(found, (REFUSED, Some(NOT_SUPPORTED)), "class {class}");
    }
}

/// What people see of it.
#[test]
fn dig_shows_why() {
    let place = Place::new();
    let daemon = Daemon::start(&place, ZONES);
    for (client, name, expected) in [
        ("127.0.0.1", "2.0.0.127.rbl.example", "EDE: 18 (Prohibited)"),
        ("127.0.0.1", "2.0.0.127.example.org", "EDE: 20 (Not Authoritative)"),
        ("127.0.0.2", "2.0.0.127.rbl.example", "127.0.0.2"),
    ] {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &daemon.address.port().to_string(), "-b", client])
            .args(["+tries=3", "+time=10", name, "A"])
            .output()
            .expect("dig (package bind9-dnsutils) is needed");
        let text = String::from_utf8_lossy(&output.stdout);
        let status = if client == "127.0.0.1" { "REFUSED" } else { "NOERROR" };
        assert!(text.contains(&format!("status: {status}")), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

/// The section's list is for all zones without their own, and for what is in no zone. Caught: a zone's own
/// list that is added to the section's instead of taking its place.
#[test]
fn the_sections_list_is_the_default() {
    let place = Place::new();
    let zones = "allow_query = [\"127.0.0.2\"]\nversion = \"1\"\n[[zone]]\nname = \"rbl.example\"\n\
        [[zone]]\nname = \"own.example\"\nallow_query = [\"127.0.0.3\"]\n";
    let daemon = Daemon::start(&place, zones);
    let may_ask = |client, name| ask(&daemon, client, name, SOA) == (NOERROR, None);
    for (client, rbl, own) in
        [("127.0.0.1", false, false), ("127.0.0.2", true, false), ("127.0.0.3", false, true)]
    {
        assert_eq!(may_ask(client, "rbl.example"), rbl, "{client}");
        assert_eq!(may_ask(client, "own.example"), own, "{client}");
        let mut packet = query_with_options("version.bind", TXT, b"");
        let at = packet.len() - 11 - 1;
        packet[at] = 3;
        let response = daemon.exchange_from(client, &packet);
        let expected = if rbl { (NOERROR, None) } else { (REFUSED, Some(PROHIBITED)) };
        assert_eq!((response.code(), response.extended_error()), expected, "{client}");
    }
}

#[test]
fn ipv6_clients_are_told_apart_as_well() {
    let place = Place::new();
    let path = place.configure(ZONES);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("127.0.0.1:0", "[::1]:0")).unwrap();
    let daemon = Daemon::run(&["--config", path.to_str().unwrap()]);
    let refused = (REFUSED, Some(PROHIBITED));
    assert_eq!(ask(&daemon, "::1", "2.0.0.127.rbl.example", A), refused);
    assert_eq!(ask(&daemon, "::1", "2.0.0.127.some.rbl.example", A), (NOERROR, None));
}

/// Caught: a list that only a restart takes over.
#[test]
fn a_reload_takes_over_who_may_ask() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let asked = || ask(&daemon, "127.0.0.1", "2.0.0.127.rbl.example", A);
    assert_eq!(asked(), (NOERROR, None));
    place.configure(ZONES);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("reloaded; zones: 3");
    assert_eq!(asked(), (REFUSED, Some(PROHIBITED)));
    place.configure(PLAIN);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("reloaded; zones: 1");
    assert_eq!(asked(), (NOERROR, None));
}
