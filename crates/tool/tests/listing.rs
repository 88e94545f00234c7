//! `list`, through the real program: what it selects, its two forms, and how it streams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use eximrbl_table::dictionary::LOCAL;
use eximrbl_table::{Network, Policy, Report, now};
use serde_json::Value;
use support::{Home, Ran, assert_keys};

/// A table with something of every state.
fn mixed() -> Home {
    let home = Home::new();
    home.set_policy(&Policy { threshold: 2, ..Policy::default() });
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "198.51.100.9", "198.51.100.9"] {
        home.reject(address, "rcpt", 0);
    }
    home.done(&["black", "2001:db8:1:2::5", "auth", "7"]);
    home.done(&["white", "198.51.100.0/24"]);
    home.done(&["black", "203.0.113.0/24", "--endless", "spamtrap", "2"]);
    home
}

/// First column of each row, sorted.
fn networks(text: &str) -> Vec<&str> {
    let mut networks: Vec<_> =
        text.lines().map(|row| row.split_whitespace().next().unwrap()).collect();
    networks.sort_unstable();
    networks
}

#[test]
fn rows_have_seven_columns_that_are_never_empty() {
    let home = mixed();
    let text = home.done(&["list", "--all"]);
    let rows: Vec<Vec<&str>> = text.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NETWORK", "STATE", "COUNT", "LEFT", "LAST-SEEN", "REASONS", "REPORTERS"]);
    assert_eq!(rows.len(), 7);
    assert!(rows.iter().all(|row| row.len() == 7), "{text}");
    let row = |network| rows.iter().find(|row| row[0] == network).unwrap();
    assert_eq!(row("192.0.2.1")[1..3], ["listed", "2"]);
    assert_eq!(row("192.0.2.1")[5..], ["rcpt", "local"]);
    assert_eq!(row("192.0.2.2")[1..3], ["below", "1"]);
    assert_eq!(row("198.51.100.9")[1..3], ["lifted", "2"]);
    assert_eq!(row("198.51.100.0/24")[1..4], ["white", "0", "endless"]);
    assert_eq!(row("198.51.100.0/24")[5..], ["-", "admin"]);
    assert_eq!(row("2001:db8:1:2::/64")[5..], ["auth", "admin"]);
    assert!(row("2001:db8:1:2::/64")[3].starts_with("1h"), "{text}");
    assert_eq!(row("203.0.113.0/24")[1..4], ["listed", "2", "endless"]);
}

#[test]
fn options_select() {
    let home = mixed();
    let list = |arguments: &[&str]| home.done(&[&["list", "-n"], arguments].concat());
    assert_eq!(networks(&list(&[])), ["192.0.2.1", "2001:db8:1:2::/64", "203.0.113.0/24"]);
    assert_eq!(networks(&list(&["--white"])), ["198.51.100.0/24"]);
    assert_eq!(list(&["--all"]).lines().count(), 6);
    assert_eq!(networks(&list(&["--reason", "auth"])), ["2001:db8:1:2::/64"]);
    assert_eq!(
        networks(&list(&["--reason", "auth", "--reason", "spamtrap"])),
        ["2001:db8:1:2::/64", "203.0.113.0/24"]
    );
    assert_eq!(
        networks(&list(&["--all", "--reason", "rcpt"])),
        ["192.0.2.1", "192.0.2.2", "198.51.100.9"]
    );
    assert_eq!(networks(&list(&["--all", "192.0.2.0/24"])), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(networks(&list(&["2001:db8::/32"])), ["2001:db8:1:2::/64"]);
    assert_eq!(list(&["192.0.2.2"]), "");
}

#[test]
fn a_reason_nobody_gave_lists_nothing_and_is_told() {
    let home = mixed();
    let ran = home.run(&["list", "-n", "--reason", "rctp"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (0, ""));
    assert_eq!(
        ran.stderr,
        "eximrbl: note: nothing was recorded for rctp yet; known: other, reject, rcpt, auth, \
         spamtrap\n"
    );
    home.failed(&["list", "--reason", "NOT A REASON"]);
    home.failed(&["list", "--all", "--white"]);
}

#[test]
fn json_is_one_object_a_line() {
    let home = mixed();
    let text = home.done(&["list", "--all", "--json"]);
    let objects: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 6);
    for object in &objects {
        assert_keys(
            object,
            &[
                "network",
                "state",
                "white",
                "count",
                "endless",
                "remaining",
                "until",
                "until_unix",
                "listed_until",
                "listed_until_unix",
                "first",
                "first_unix",
                "last",
                "last_unix",
                "reasons",
                "reporters",
            ],
        );
    }
    let of = |network: &str| objects.iter().find(|object| object["network"] == network).unwrap();
    assert_eq!(of("198.51.100.0/24")["white"], true);
    assert_eq!(of("198.51.100.9")["state"], "lifted");
    assert_eq!(of("203.0.113.0/24")["remaining"], Value::Null);
    for object in &objects {
        let has_end = object["state"] == "listed" && object["endless"] == false;
        assert_eq!(object["listed_until_unix"].is_number(), has_end, "{object}");
        assert_eq!(object["listed_until"].is_string(), has_end, "{object}");
    }
    assert_eq!(of("2001:db8:1:2::/64")["count"], 7);
    assert_eq!(home.done(&["list", "--json", "192.0.2.2"]), "", "no header, no brackets");
}

#[test]
fn the_numbers_of_info_are_the_lines_of_list() {
    let home = mixed();
    // Under the threshold in a white network; on the never-list since; IPv6 in a white network.
    home.reject("192.0.2.64", "rcpt", 0);
    home.done(&["white", "192.0.2.64/26"]);
    home.done(&["black", "198.52.0.1"]);
    home.done(&["black", "2001:db8:9:1::/64", "spamtrap"]);
    home.done(&["white", "2001:db8:9::/48"]);
    home.done(&["policy", "--set", "never=198.52.0.0/16"]);

    let text = home.done(&["list", "--all", "-n"]);
    let states: Vec<&str> =
        text.lines().map(|row| row.split_whitespace().nth(1).unwrap()).collect();
    let (_, info) = home.json(&["info"]);
    let said = home.done(&["info"]);
    let mut sum = 0;
    for (state, expected) in [("listed", 3), ("lifted", 3), ("below", 2), ("white", 3)] {
        let lines = states.iter().filter(|found| **found == state).count();
        assert_eq!((lines, &info[state]), (expected, &expected.into()), "{state}:\n{text}");
        let printed = support::line(&said, state).split(' ').next().unwrap().to_owned();
        assert_eq!(printed, expected.to_string(), "{said}");
        sum += expected;
    }
    assert_eq!(states.len(), sum);
    assert_eq!(info["free"], 4096 - sum);
    assert_eq!(home.done(&["list", "-n"]).lines().count(), 3);
}

#[test]
fn an_empty_table_lists_nothing() {
    let home = Home::new();
    assert_eq!(home.done(&["list"]).lines().count(), 1);
    assert_eq!(home.done(&["list", "-n"]), "");
}

#[test]
fn a_million_entries_stream() {
    const ENTRIES: u32 = 1_000_000;
    /// 32.0.0.0
    const FIRST: u32 = 0x2000_0000;
    let home = Home::empty();
    home.done(&["create", "--slots", "2M"]);
    let table = home.open();
    let now = now();
    for number in 0..ENTRIES {
        let address = std::net::Ipv4Addr::from(FIRST + number);
        let network = Network::host(address.into());
        // Long enough for any machine.
        let seconds = Some(100_000);
        table
            .record(&Report { network, reason: 1, reporter: LOCAL, weight: None, seconds }, now)
            .unwrap();
    }

    for arguments in [&["list", "-n"][..], &["list", "--json"]] {
        let mut child = home.command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut seen = vec![false; ENTRIES as usize];
        let (mut line, mut lines, mut most) = (String::new(), 0, 0);
        while reader.read_line(&mut line).unwrap() > 0 {
            // The program waits for us to read, so it is seen at work.
            if lines % 50_000 == 0 {
                most = most.max(private_memory(&child));
            }
            lines += 1;
            let number = (address_number(&line) - FIRST) as usize;
            assert!(!std::mem::replace(&mut seen[number], true), "twice: {line}");
            line.clear();
        }
        assert!(child.wait().unwrap().success());
        assert_eq!(lines, ENTRIES, "{arguments:?}");
        assert!((1..4_096).contains(&most), "{most} kB of its own memory");
    }
}

/// The number of the address in a row, or in an object.
fn address_number(line: &str) -> u32 {
    let start = line.find(|c: char| c.is_ascii_digit()).unwrap();
    let rest = &line[start..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap();
    rest[..end].parse::<std::net::Ipv4Addr>().unwrap().into()
}

/// Resident memory of a process in kB, pages of mapped files left out: those are the table's, and
/// the kernel's to take back.
fn private_memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let value = support::line(&status, "RssAnon:");
    value.strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let home = Home::new();
    // More than the pipe holds while nobody reads.
    for number in 0..2_000 {
        home.reject(&format!("192.0.{}.{}", number / 250, number % 250), "rcpt", 0);
    }
    for arguments in [&["list"][..], &["list", "--json"], &["--help"], &["man"], &["info"]] {
        let mut child =
            home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One byte, and away: as head(1) does after its ten lines.
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        drop(stdout);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let home = Home::new();
    for arguments in [&["list"][..], &["info", "--json"], &["show", "192.0.2.1"], &["man"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = Ran::of(home.command(arguments).stdout(full).output().unwrap());
        assert_eq!(ran.status, 2, "{arguments:?}");
        assert_eq!(ran.stderr, "eximrbl: standard output: No space left on device (os error 28)\n");
    }
}
