//! The audit trail: what is written of each change, that nothing is written twice or left out, and
//! what becomes of the file meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod stage;

use std::fs;

use common::{record, wait_until};
use eximrbl_table::dictionary::{ADMIN, LOCAL};
use eximrbl_table::{Name, Policy, Purge, Report, Share, Subject, now};
use nix::sys::signal::Signal;
use serde_json::Value;

use stage::{Stage, assert_each_once, report};

const A: u16 = 1;
/// Changes that the table's ring holds.
const RING: u64 = 65_536;

/// RFC 6471 section 2.1.2: why an address was listed, when, by whose word, how often, and who lifted it.
/// Caught: a reason of another bit; the sweep as somebody who did it; a weight that is left out.
#[test]
fn every_change_tells_who_and_why() {
    let stage = Stage::new();
    let daemon = stage.start("");
    let table = stage.table();
    let begun = now();
    let client = |last: u8| format!("192.0.2.{last}");
    report(&table, &client(1), "rcpt", LOCAL, 1);
    let mx2 = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
    report(&table, &client(1), "auth", mx2, 3);
    table.forgive(client(1).parse().unwrap(), ADMIN, now()).unwrap();
    table.white(client(2).parse().unwrap(), Some(600), LOCAL, now()).unwrap();
    table.white(client(2).parse().unwrap(), Some(0), ADMIN, now()).unwrap();
    table.white("198.51.100.0/24".parse().unwrap(), None, ADMIN, now()).unwrap();
    let reason = table.reason(Name::new(b"manual").unwrap(), true);
    let network = "2001:db8::/48".parse().unwrap();
    let black = Report { network, reason, reporter: ADMIN, weight: None, seconds: None };
    table.record_endless(&black, now()).unwrap();
    let lines = stage.wait_for_network("2001:db8::/48");

    assert_eq!(lines[0]["kind"], "begun");
    let told: Vec<_> = lines[1..]
        .iter()
        .map(|line| {
            assert_eq!(line["format"], 1);
            let time = line["time_unix"].as_u64().unwrap();
            assert!((u64::from(begun)..=now().into()).contains(&time));
            let text = line["time"].as_str().unwrap();
            assert!(text.ends_with('Z') && text.len() == 20, "{text}");
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            let number = |key: &str| line[key].as_u64().map_or("-".to_owned(), |n| n.to_string());
            let words = [text("network"), text("kind"), text("who"), text("reason")];
            [&words[..], &[number("weight"), number("seconds")]].concat().join(" ")
        })
        .collect();
    let expected = [
        "192.0.2.1 added local rcpt 1 -",
        "192.0.2.1 extended mx2 auth 3 -",
        "192.0.2.1 forgiven admin - - -",
        "192.0.2.2 whitened local - - 600",
        "192.0.2.2 white_ended admin - - -",
        "198.51.100.0/24 whitened admin - - -",
        "2001:db8::/48 added admin manual 1 -",
    ];
    assert_eq!(told, expected);
    assert_each_once(&lines);

    // What has become of the entry, while there is one.
    report(&table, &client(3), "rcpt", LOCAL, 2);
    let lines = stage.wait_for_network(&client(3));
    let entry = &lines.last().unwrap()["entry"];
    assert_eq!((&entry["count"], &entry["white"]), (&2.into(), &false.into()));
    let time = |key: &str| entry[key].as_u64().unwrap();
    assert_eq!(time("until_unix") - time("last_unix"), 1200);
    assert_eq!(entry["reasons"], serde_json::json!(["rcpt"]));
    assert_eq!(entry["reporters"], serde_json::json!(["local"]));
    assert_eq!((&entry["counted"], &entry["endless"]), (&true.into(), &false.into()));
    assert!(lines[5]["entry"].is_null(), "{}", lines[5]);
    let endless = &lines[7]["entry"];
    assert_eq!((&endless["endless"], &endless["until"]), (&true.into(), &Value::Null));

    // What one reporter did is taken out of what others did as well.
    report(&table, &client(3), "auth", mx2, 5);
    let subject = Subject::Share(Share::Reporter(mx2));
    table.purge(&Purge { subject, within: None }, now()).unwrap();
    let lines = stage.wait_for("purge", |line| line["kind"] == "reduced");
    let reduced = lines.iter().find(|line| line["kind"] == "reduced").unwrap();
    assert_eq!(
        (&reduced["network"], &reduced["who"], &reduced["of"], &reduced["entry"]["count"]),
        (&client(3).into(), &"admin".into(), &"mx2".into(), &2.into())
    );

    // Nobody's doing.
    let policy = Policy { base_ttl: 1, floor: 1, ..Policy::default() };
    table.set_policy(&policy).unwrap();
    record(&stage.place.table(), &client(4), "rcpt");
    let lines = stage.wait_for("expiry", |line| line["kind"] == "expired");
    let expired = lines.iter().find(|line| line["kind"] == "expired").unwrap();
    assert_eq!((&expired["network"], &expired["who"]), (&client(4).into(), &Value::Null));
    assert!(expired["entry"].is_null());
    assert_eq!(daemon.ask("3.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

/// docs/audit.md is a promise. Caught: a key that it does not name.
#[test]
fn the_keys_are_those_of_the_document() {
    let document = include_str!("../../../../docs/audit.md");
    let rows = |title: &str| {
        let (_, rows) = document.split_once(title).unwrap();
        let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
        let mut first: Vec<_> =
            rows.filter_map(|line| Some(line.split('`').nth(1)?.to_owned())).collect();
        first.sort();
        first
    };
    let keys = |object: &Value| -> Vec<_> { object.as_object().unwrap().keys().cloned().collect() };
    let stage = Stage::new();
    let _daemon = stage.start("");
    report(&stage.table(), "192.0.2.1", "rcpt", LOCAL, 1);
    for line in stage.wait_for_network("192.0.2.1") {
        assert_eq!(keys(&line), rows("| key | value |"));
        if !line["network"].is_null() {
            assert_eq!(keys(&line["entry"]), rows("| key of `entry` | value |"));
        }
    }
    let mut kinds = [
        "added",
        "begun",
        "evicted",
        "expired",
        "extended",
        "forgiven",
        "found",
        "lost",
        "reduced",
        "replaced",
        "resumed",
        "white_ended",
        "whitened",
    ];
    kinds.sort_unstable();
    assert_eq!(rows("| `kind` | means |"), kinds);
}

/// Of an address that lost its place to another one. Caught: an evicted one that is told as expired.
#[test]
fn whose_report_took_anothers_place_is_told() {
    let stage = Stage::new();
    let _daemon = stage.start("");
    let table = stage.table();
    let mx2 = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
    let evicted = || table.counters().iter().any(|(name, n)| name == "evicted" && n > 0);
    for number in 0..20_000_u32 {
        let client = std::net::Ipv4Addr::from(0xc633_0000 + number).to_string();
        report(&table, &client, "rcpt", mx2, 1);
        if evicted() {
            break;
        }
    }
    let lines = stage.wait_for("eviction", |line| line["kind"] == "evicted");
    let line = lines.iter().find(|line| line["kind"] == "evicted").unwrap();
    assert_eq!(line["who"], "mx2");
    assert!(line["entry"].is_null(), "{line}");
}

/// Killed at any time, started again, with changes in between; the last time somebody has moved the
/// file away. Caught: a start from now on; one from the file's first line; no position beside the
/// table.
#[test]
fn a_restart_neither_repeats_nor_leaves_out() {
    let stage = Stage::new();
    // Begun, and nothing else yet.
    let mut daemon = stage.start("");
    stage.wait_for_text("\"kind\":\"begun\"");
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let mut older = Vec::new();
    // The file beside the table is written after the lines.
    let kept = || {
        let text = fs::read_to_string(stage.place.path("table.audit")).unwrap_or_default();
        text.split_whitespace().nth(4).and_then(|next| next.parse::<u64>().ok())
    };
    for round in 0..4_u8 {
        let mut daemon = stage.start("");
        let table = stage.table();
        for last in 0..50 {
            report(&table, &format!("192.0.{round}.{last}"), "rcpt", LOCAL, 1);
        }
        if round % 2 == 0 {
            stage.wait_for_network(&format!("192.0.{round}.20"));
        } else {
            let lines = stage.wait_for_network(&format!("192.0.{round}.49"));
            let next = lines.last().unwrap()["next"].as_u64().unwrap();
            wait_until(|| kept() == Some(next), || format!("{:?} kept, not {next}", kept()));
        }
        let signal = if round == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
        daemon.signal(signal);
        daemon.ended();
        for last in 50..60 {
            report(&table, &format!("192.0.{round}.{last}"), "rcpt", LOCAL, 1);
        }
        if round == 1 {
            // The lines alone must do.
            fs::remove_file(stage.place.path("table.audit")).unwrap();
        }
        if round == 3 {
            older = stage.lines();
            fs::rename(&stage.file, stage.older(7)).unwrap();
        }
    }
    let _daemon = stage.start("");
    let lines = stage.wait_for_network("192.0.3.59");
    assert_eq!(assert_each_once(older.iter().chain(&lines)), 240);
    let begun = older.iter().chain(&lines).filter(|line| line["network"].is_null());
    assert_eq!(begun.count(), 1, "a trail that goes on has nothing to remark");
}

/// Twice as many changes as the ring holds, while nobody followed. Caught: no `lost` line; a count
/// that is one off; entries from before the gap among those that are found.
#[test]
fn what_was_overwritten_meanwhile_is_counted_and_what_lives_is_found() {
    let stage = Stage::new();
    let mut daemon = stage.start("");
    let table = stage.table();
    let old = Report {
        network: "203.0.113.1".parse().unwrap(),
        reason: table.reason(Name::new(b"rcpt").unwrap(), true),
        reporter: LOCAL,
        weight: None,
        seconds: None,
    };
    // Long before the change that is written last.
    table.record(&old, now() - 300).unwrap();
    report(&table, "192.0.2.1", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.1");
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    let before = table.serial();
    for number in 0..2 * RING {
        let network = format!("192.0.2.{}", 10 + number % 7).parse().unwrap();
        table.record(&Report { network, ..old }, now()).unwrap();
    }
    let after = table.serial();
    let _daemon = stage.start("size = 0");
    stage.wait_for_text("\"kind\":\"resumed\"");
    report(&table, "192.0.2.99", "rcpt", LOCAL, 1);
    let text = stage.wait_for_the_end("\"network\":\"192.0.2.99\"");
    let lines: Vec<_> =
        text.lines().take(14).map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: &[Value] = &lines;

    let lost: Vec<_> = lines.iter().filter(|line| line["kind"] == "lost").collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0]["changes"].as_u64().unwrap(), after - before - RING);
    let at = lines.iter().position(|line| line["kind"] == "lost").unwrap();
    let mut found: Vec<_> = lines[at + 1..]
        .iter()
        .take_while(|line| line["kind"] == "found")
        .map(|line| line["network"].as_str().unwrap().to_owned())
        .collect();
    found.sort();
    let living: Vec<_> = (10..17).map(|last| format!("192.0.2.{last}")).collect();
    // The last one before the gap is no older than what is looked for.
    assert!(found.iter().eq(["192.0.2.1".to_owned()].iter().chain(&living)), "{found:?}");
    let resumed = &lines[at + 1 + found.len()];
    assert_eq!(resumed["kind"], "resumed");
    let next = |line: &str| line.rsplit("\"next\":").next()?.trim_end_matches('}').parse().ok();
    let rest: Vec<u64> =
        text.lines().skip(at + found.len() + 2).map(|line| next(line).unwrap()).collect();
    let expected: Vec<_> = (resumed["next"].as_u64().unwrap() + 1..=after + 1).collect();
    assert_eq!(rest, expected);
}

/// Another table has the place of the first, and a resized one goes on with its changes. Caught: a
/// reader that stays with the first table.
#[test]
fn the_trail_goes_on_in_the_next_table() {
    let stage = Stage::new();
    let daemon = stage.start("");
    report(&stage.table(), "192.0.2.1", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.1");
    stage.table().resize(8192).unwrap();
    daemon.wait_for("was resized to 8192 slots");
    report(&stage.table(), "192.0.2.2", "rcpt", LOCAL, 1);
    let lines = stage.wait_for_network("192.0.2.2");
    assert!(lines.iter().all(|line| line["stream"] == lines[0]["stream"]));

    fs::remove_file(stage.place.table()).unwrap();
    daemon.wait_for("made an empty one");
    // It may be in the table before the trail has seen that there is another: then it is found.
    report(&stage.table(), "192.0.2.3", "rcpt", LOCAL, 1);
    stage.wait_for_network("192.0.2.3");
    let stream = lines[0]["stream"].clone();
    let lines = stage.wait_for("the new table's changes", |line| line["stream"] != stream);
    let replaced = lines.iter().position(|line| line["kind"] == "replaced").unwrap();
    assert_eq!(lines[replaced]["stream"], stream);
    let resumed = lines.iter().position(|line| line["stream"] != stream).unwrap();
    assert_eq!(lines[resumed]["kind"], "resumed");
    assert!(replaced < resumed, "{lines:?}");
}
