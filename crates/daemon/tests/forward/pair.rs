//! Two real daemons: one passes reports on, the other one's collector takes them.

use std::net::SocketAddr;
use std::path::Path;

use eximrbl_table::{Entry, Table, now};
use nix::sys::signal::Signal;

use crate::common::{Daemon, PLAIN, Place, Statistics, control_section, wait_until};
use crate::double::{SECRET, free, write_secret};
use crate::encrypted::Authority;
use crate::{client, record_by, record_clients, standing, wait_for_standing};

/// A daemon of one of two hosts: it collects at one address, and may pass on to another.
fn host(place: &Place, collects: SocketAddr, reporter: &str, passes_on: &str) -> String {
    let secret = write_secret(&place.path("secret"), SECRET);
    format!(
        "{}[collector]\ntcp = [\"{collects}\"]\n[[reporter]]\nname = {reporter:?}\n\
         secret_file = {secret:?}\nrate = 0\n{passes_on}{PLAIN}",
        control_section(place)
    )
}

fn passes_on(place: &Place, to: SocketAddr, name: &str, more: &str) -> String {
    let secret = place.path("secret");
    format!(
        "[forward]\nto = [\"{to}\"]\ntls = false\nname = {name:?}\nsecret_file = {secret:?}\n{more}"
    )
}

/// The entry of a client, and the names of those who reported it.
fn entry(table: &Path, client: &str) -> Option<(Entry, Vec<String>)> {
    let table = Table::open(table).unwrap();
    let entry = table.entry(client.parse().unwrap(), now())?;
    let names = table.reporters();
    Some((entry, names.of(entry.reporters).map(str::to_owned).collect()))
}

#[track_caller]
fn wait_for_count(table: &Path, client: &str, count: u32) -> (Entry, Vec<String>) {
    let found = || entry(table, client);
    wait_until(
        || found().is_some_and(|(entry, _)| entry.count == count),
        || format!("{client}: {:?}", found()),
    );
    found().unwrap()
}

/// Caught: the sender's name lost on the way; a reason or weight that is not passed on.
#[test]
fn what_one_host_rejects_the_other_lists() {
    let (place, gatherer) = (Place::new(), Place::new());
    let at = free();
    let there = Daemon::start(&gatherer, &host(&gatherer, at, "mx1", ""));
    let here =
        Daemon::start(&place, &host(&place, free(), "other", &passes_on(&place, at, "mx1", "")));
    record_by(&place.table(), "local", "192.0.2.1", 3);
    let (entry, reporters) = wait_for_count(&gatherer.table(), "192.0.2.1", 3);
    assert_eq!(reporters, ["mx1"]);
    assert_eq!(
        Table::open(&gatherer.table()).unwrap().reasons().bit("rcpt"),
        Some(entry.reasons.trailing_zeros() as u8)
    );
    assert_eq!(there.ask("1.2.0.192.rbl.example", 1).addresses(), [[127, 0, 0, 2]]);
    // IPv6 clients are their network on both sides.
    record_by(&place.table(), "local", "2001:db8:1:2:3:4:5:6", 1);
    wait_for_count(&gatherer.table(), "2001:db8:1:2::7", 1);
    // What may not be said there is counted here.
    let table = eximrbl_table::WritableTable::open(&place.table()).unwrap();
    table.white("192.0.2.2".parse().unwrap(), Some(60), 0, now()).unwrap();
    wait_for_standing(&place, "refused", 1);
    here.wait_for("refused a report for good (not-allowed: ");
}

/// Caught: all that comes after one report for which the gatherer has no room held up by it.
#[test]
fn whoever_has_no_room_for_more_entries_still_reports_those_he_has() {
    let (place, gatherer) = (Place::new(), Place::new());
    let at = free();
    let settings = host(&gatherer, at, "mx1", "").replace("rate = 0", "rate = 0\nentries = 2");
    let _there = Daemon::start(&gatherer, &settings);
    let here =
        Daemon::start(&place, &host(&place, free(), "other", &passes_on(&place, at, "mx1", "")));
    record_clients(&place.table(), 0..5);
    record_clients(&place.table(), 0..2);
    for number in 0..2 {
        wait_for_count(&gatherer.table(), &client(number), 2);
    }
    wait_for_standing(&place, "refused", 3);
    here.wait_for("refused a report for good (entries: this reporter has as many live entries as");
    here.wait_for("; see `entries` of this host's [[reporter]] there; refused so far: ");
}

/// Counts stay as they are when each of two hosts passes its reports on to the other one.
///
/// Caught: reports of others passed on.
#[test]
fn two_hosts_that_pass_on_to_each_other_make_no_echo() {
    let (first, second) = (Place::new(), Place::new());
    let (at_first, at_second) = (free(), free());
    let _first = Daemon::start(
        &first,
        &host(&first, at_first, "second", &passes_on(&first, at_second, "first", "")),
    );
    let _second = Daemon::start(
        &second,
        &host(&second, at_second, "first", &passes_on(&second, at_first, "second", "")),
    );
    record_by(&first.table(), "local", "192.0.2.1", 2);
    wait_for_count(&second.table(), "192.0.2.1", 2);
    record_by(&second.table(), "local", "192.0.2.1", 5);
    let (_, reporters) = wait_for_count(&first.table(), "192.0.2.1", 7);
    assert_eq!(reporters, ["local", "second"]);
    // What is reported after it arrives after it: by then, an echo would have been heard.
    for round in 1..=3 {
        record_by(&first.table(), "local", "192.0.2.9", 1);
        wait_for_count(&second.table(), "192.0.2.9", 2 * round - 1);
        record_by(&second.table(), "local", "192.0.2.9", 1);
        wait_for_count(&first.table(), "192.0.2.9", 2 * round);
    }
    for place in [&first, &second] {
        wait_for_standing(place, "behind", 0);
        let (entry, _) = entry(&place.table(), "192.0.2.1").unwrap();
        assert_eq!(entry.count, 7);
        let accepted = &Statistics::of(place).0["forward"][0]["accepted"];
        assert_eq!(*accepted, 4, "its own reports");
    }
}

/// The gatherer is stopped, and started anew; killed, and started anew.
///
/// Caught: reports in between that are lost.
#[test]
fn a_gatherer_that_is_restarted_misses_nothing() {
    let (place, gatherer) = (Place::new(), Place::new());
    let at = free();
    let settings = host(&gatherer, at, "mx1", "");
    let mut there = Daemon::start(&gatherer, &settings);
    let _here =
        Daemon::start(&place, &host(&place, free(), "other", &passes_on(&place, at, "mx1", "")));
    let mut recorded = 0;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        record_clients(&place.table(), recorded..recorded + 50);
        wait_for_count(&gatherer.table(), &client(recorded + 49), 1);
        wait_for_standing(&place, "behind", 0);
        there.signal(signal);
        there.ended();
        record_clients(&place.table(), recorded + 50..recorded + 100);
        there = Daemon::start(&gatherer, &settings);
        recorded += 100;
        wait_until(|| entry(&gatherer.table(), &client(recorded - 1)).is_some(), || there.log());
        wait_for_standing(&place, "behind", 0);
    }
    for number in 0..recorded {
        let (entry, _) = entry(&gatherer.table(), &client(number)).expect("a report is lost");
        // All were answered before the gatherer ended, or came when it was back.
        assert_eq!(entry.count, 1, "{number}");
    }
}

/// By TLS, with a certificate on each side and no secret.
///
/// Caught: reports that are counted to nobody in particular.
#[test]
fn a_certificate_is_enough() {
    let (place, gatherer, authority) = (Place::new(), Place::new(), Authority::new());
    let at = free();
    let write = |place: &Place, what: &str, pem: &str| write_secret(&place.path(what), pem);
    let (certificate, key) = authority.sign(&at.ip().to_string());
    let settings = format!(
        "{}[collector]\ntls = [\"{at}\"]\ncertificate = {:?}\nkey = {:?}\nclient_ca = {:?}\n\
         [[reporter]]\nname = \"mx1\"\ncertificate = \"mx1.example\"\nrate = 0\n{PLAIN}",
        control_section(&gatherer),
        write(&gatherer, "certificate", &certificate.pem()),
        write(&gatherer, "key", &key.serialize_pem()),
        authority.write(&gatherer),
    );
    let _there = Daemon::start(&gatherer, &settings);
    let (certificate, key) = authority.sign("mx1.example");
    let settings = format!(
        "{}[forward]\nto = [\"{at}\"]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n{PLAIN}",
        control_section(&place),
        write(&place, "certificate", &certificate.pem()),
        write(&place, "key", &key.serialize_pem()),
        authority.write(&place),
    );
    let _here = Daemon::start(&place, &settings);
    record_clients(&place.table(), 0..2000);
    let (_, reporters) = wait_for_count(&gatherer.table(), &client(1999), 1);
    assert_eq!(reporters, ["mx1"]);
    wait_for_standing(&place, "behind", 0);
    assert_eq!(standing(&place)["accepted"], 2000);
}
