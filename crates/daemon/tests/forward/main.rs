//! Passing reports on: the real daemon and a gatherer, which is a double where it has to misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod delivery;
mod double;
mod encrypted;
mod pair;
mod settings;

use std::net::SocketAddr;
use std::path::Path;

use common::{Daemon, PLAIN, Place, Statistics, control_section};
use double::{SECRET, write_secret};
use eximrbl_table::{Name, Report, WritableTable, now};

/// A configuration that passes reports on without TLS.
fn forwarding(place: &Place, to: SocketAddr, more: &str) -> String {
    let secret = write_secret(&place.path("secret"), SECRET);
    format!(
        "{}[forward]\nto = [\"{to}\"]\ntls = false\nname = \"mx1\"\nsecret_file = {secret:?}\n{more}\
         {PLAIN}",
        control_section(place)
    )
}

/// A daemon that passes reports on.
fn forwarder(place: &Place, to: SocketAddr) -> Daemon {
    Daemon::start(place, &forwarding(place, to, ""))
}

/// Records as a reporter does.
fn record_by(table: &Path, reporter: &str, client: &str, weight: u32) {
    let table = WritableTable::open(table).unwrap();
    let name = |text: &str| Name::new(text.as_bytes()).unwrap();
    let report = Report {
        network: table.client_network(client.parse().unwrap()),
        reason: table.reason(name("rcpt"), true),
        reporter: table.reporter(name(reporter)).unwrap(),
        weight: Some(weight),
        seconds: None,
    };
    table.record(&report, now()).unwrap();
}

/// Records clients 10.A.B.C of the documentation's kind, one after the other.
fn record_clients(table: &Path, numbers: std::ops::Range<u32>) {
    let table = WritableTable::open(table).unwrap();
    let reason = table.reason(Name::new(b"rcpt").unwrap(), true);
    for number in numbers {
        let network = table.client_network(client(number).parse().unwrap());
        let report = Report { network, reason, reporter: 0, weight: Some(1), seconds: None };
        table.record(&report, now()).unwrap();
    }
}

/// A client of a number.
fn client(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("198.{}.{b}.{c}", 18 + (a & 1))
}

/// The line about a client of a number.
fn line(number: u32) -> String {
    format!("black {} rcpt 1", client(number))
}

/// What the daemon says of its only gatherer.
fn standing(place: &Place) -> serde_json::Value {
    Statistics::of(place).0["forward"][0].clone()
}

/// Waits until the gatherer's standing has a value.
#[track_caller]
fn wait_for_standing(place: &Place, key: &str, value: impl Into<serde_json::Value>) {
    let value = value.into();
    common::wait_until(|| standing(place)[key] == value, || standing(place).to_string());
}
