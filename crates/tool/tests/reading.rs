//! `create`, `info`, `show` and `verify`, through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use eximrbl_table::{Filter, Policy, now};
use support::{Home, PROGRAM, Ran, assert_keys, line, network, text};

const ENTRY_KEYS: [&str; 15] = [
    "network",
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
];

#[test]
fn create_makes_a_table_and_never_overwrites_one() {
    let home = Home::empty();
    let said = home.done(&["create", "--slots", "8K"]);
    assert!(said.contains("room for 8192 entries"), "{said}");
    let metadata = home.table.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o660);
    home.done(&["black", "192.0.2.1"]);

    let complaint = home.failed(&["create"]);
    assert!(complaint.starts_with("eximrbl: "), "{complaint}");
    assert!(complaint.contains("exists already"), "{complaint}");
    home.done(&["show", "192.0.2.1"]);
    assert_eq!(home.table.metadata().unwrap().ino(), metadata.ino());
}

#[test]
fn create_gives_the_file_to_whom_it_is_told() {
    let home = Home::empty();
    // Its own numbers, so that this also holds for those who are not root.
    let (user, group) = {
        let metadata = home.directory.path().metadata().unwrap();
        (metadata.uid(), metadata.gid())
    };
    home.done(&["create", "--owner", &user.to_string(), "--group", &group.to_string()]);
    let metadata = home.table.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (user, group));

    let other = Home::empty();
    for (option, kind) in [("--owner", "user"), ("--group", "group")] {
        let complaint = other.failed(&["create", option, "no such name"]);
        assert_eq!(
            complaint,
            format!(
                "eximrbl: no {kind} is called \"no such name\" here: name one of this host, or \
                 give its number\n"
            )
        );
        assert!(!other.table.exists());
    }
    if user == 0 {
        // Exim's group, where there is one of Debian's name.
        let groups = std::fs::read_to_string("/etc/group").unwrap();
        let exim = groups.lines().find_map(|line| line.strip_prefix("Debian-exim:x:"));
        let exim = exim.map_or(0, |rest| rest.split(':').next().unwrap().parse().unwrap());
        let by_default = Home::new();
        assert_eq!(by_default.table.metadata().unwrap().gid(), exim);
        other.done(&["create", "--owner", "daemon", "--group", "mail"]);
        let metadata = other.table.metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1, 8), "Debian's fixed numbers");
    }
}

#[test]
fn create_wants_its_directory_to_exist() {
    let home = Home::empty();
    let path = home.directory.path().join("no/table");
    let complaint = home.failed(&["create", "--table", text(&path)]);
    assert!(
        complaint.ends_with(
            "/no: no such directory; make it first, writable for eximrbld, or check the path\n"
        ),
        "{complaint}"
    );
    // A bare name is a file right here.
    let mut here = home.command(&["create", "--table", "bare", "--slots", "64"]);
    assert!(here.current_dir(home.directory.path()).status().unwrap().success());
    assert!(home.directory.path().join("bare").exists());
}

#[test]
fn create_refuses_sizes_that_cannot_be() {
    let home = Home::empty();
    for slots in ["0", "-1", "many", "1T", "99999999M"] {
        home.failed(&["create", "--slots", slots]);
        assert!(!home.table.exists(), "{slots}");
    }
}

#[test]
fn info_tells_sizes_uses_names_and_counters() {
    let before = now();
    let home = Home::new();
    let after = now();
    home.set_policy(&Policy { threshold: 2, ..Policy::default() });
    home.done(&["black", "192.0.2.1", "spamtrap", "2"]);
    home.reject("192.0.2.2", "rcpt", 0);
    home.done(&["white", "192.0.2.3"]);

    let said = home.done(&["info"]);
    assert!(line(&said, "lifted ").starts_with("0 ("), "{said}");
    assert_eq!(line(&said, "table "), text(&home.table));
    assert!(line(&said, "size ").ends_with(", 4096 slots"), "{said}");
    assert!(line(&said, "free ").starts_with("4093 ("), "{said}");
    assert_eq!(line(&said, "listed "), "1");
    assert_eq!(line(&said, "below "), "1 (fewer rejections than the threshold, 2)");
    assert_eq!(line(&said, "white "), "1");
    assert_eq!(line(&said, "reasons "), "other, reject, spamtrap, rcpt");
    assert_eq!(line(&said, "reporters "), "local, admin");
    assert_eq!(line(&said, "  records "), "2");

    let (status, object) = home.json(&["info"]);
    assert_eq!(status, 0);
    assert_keys(
        &object,
        &[
            "table",
            "bytes",
            "slots",
            "created",
            "created_unix",
            "listed",
            "lifted",
            "below",
            "white",
            "expired",
            "quarantined",
            "free",
            "serial",
            "policy",
            "reasons",
            "reporters",
            "by_reporter",
            "counters",
        ],
    );
    assert_eq!(object["bytes"], home.table.metadata().unwrap().len());
    assert_eq!(object["listed"], 1);
    assert_eq!(object["policy"]["threshold"], 2);
    assert_eq!(object["counters"]["records"], 2);
    let created = object["created_unix"].as_u64().unwrap() as u32;
    assert!((before..=after).contains(&created), "{created}: from {before} to {after}");
    assert!(object["serial"].as_u64().unwrap() >= 3);
}

#[test]
fn show_tells_all_about_a_listed_address() {
    let home = Home::new();
    // As much life, in whole minutes, for the next 58 seconds.
    let before = now();
    home.reject("192.0.2.1", "rcpt", 62);
    let between = now();
    home.reject("192.0.2.1", "auth", 0);
    let after = now();

    let said = home.done(&["show", "192.0.2.1"]);
    assert_eq!(said.lines().next(), Some("192.0.2.1 is listed"));
    assert_eq!(line(&said, "  entry "), "192.0.2.1");
    assert!(line(&said, "  life left ").starts_with("18 min "), "{said}");
    assert_eq!(line(&said, "  count "), "2 rejections");
    assert_eq!(line(&said, "  reasons "), "rcpt, auth");
    assert_eq!(line(&said, "  reporters "), "local");
    assert!(line(&said, "  listed ").starts_with("for 17 min "), "a minute less: {said}");
    assert!(said.contains("(with less than 1 min of life left it is over)"), "{said}");
    assert!(line(&said, "  first ").ends_with(" +00:00"), "{said}");
    assert_eq!(line(&said, "  DNS name "), "1.2.0.192.<zone>");

    let asked = now();
    let (status, object) = home.json(&["show", "192.0.2.1"]);
    let answered = now();
    assert_eq!(status, 0);
    assert_keys(
        &object,
        &["asked", "key", "listed", "state", "threshold", "never", "entry", "lifted", "dns_name"],
    );
    assert_eq!(object["listed"], true);
    assert_eq!(object["state"], "listed");
    assert_eq!(object["dns_name"], "1.2.0.192");
    let entry = &object["entry"];
    assert_keys(entry, &ENTRY_KEYS);
    assert_eq!(entry["count"], 2);
    assert_eq!(entry["reasons"], serde_json::json!(["rcpt", "auth"]));
    assert_eq!(entry["reporters"], serde_json::json!(["local"]));
    let number = |key: &str| entry[key].as_u64().unwrap() as u32;
    assert!((before - 62..=between - 62).contains(&number("first_unix")), "{entry}");
    assert!((between..=after).contains(&number("last_unix")), "{entry}");
    let until = number("until_unix");
    assert_eq!(until, number("first_unix") + 1200, "{entry}");
    assert!((until - answered..=until - asked).contains(&number("remaining")), "{entry}");
    for key in ["first", "last", "until", "listed_until"] {
        let unix = entry[format!("{key}_unix")].as_i64();
        assert_eq!(Some(seconds(entry[key].as_str().unwrap())), unix, "both forms are one time");
    }
}

#[test]
fn the_end_of_a_listing_is_the_second_in_which_it_is_over() {
    let home = Home::new();
    home.set_policy(&Policy { floor: 100, threshold: 2, ..Policy::default() });
    home.done(&["black", "192.0.2.1"]);
    let client = "192.0.2.1".parse().unwrap();
    for arguments in [&["show", "192.0.2.1"][..], &["list"], &["black", "192.0.2.1", "x", "9"]] {
        let (_, object) = home.json(arguments);
        let entry = if object["entry"].is_null() { &object } else { &object["entry"] };
        let end = |key: &str| entry[key].as_u64().unwrap() as u32;
        let over = end("listed_until_unix");
        assert_eq!(over, end("until_unix") - 99, "{arguments:?}: {entry}");
        let is_listed = |now| home.open().decide(client, &Filter::default(), now).is_listed();
        assert!(is_listed(over - 1) && !is_listed(over), "{arguments:?}: {entry}");
    }

    // What lists nobody has no such end, and what lists for ever has none either.
    home.reject("192.0.2.2", "rcpt", 0);
    home.done(&["black", "192.0.2.3", "--endless"]);
    home.done(&["black", "198.51.100.1"]);
    home.done(&["white", "198.51.100.0/24"]);
    for address in ["192.0.2.2", "192.0.2.3", "198.51.100.1"] {
        let (_, object) = home.json(&["show", address]);
        assert!(object["entry"]["listed_until"].is_null(), "{object}");
        assert!(object["lifted"]["listed_until_unix"].is_null(), "{object}");
        let said = home.run(&["show", address]).stdout;
        assert!(!said.contains("\n  listed "), "{said}");
    }
}

/// The seconds of an RFC 3339 time in UTC, by date(1): another implementation than the program's.
fn seconds(time: &str) -> i64 {
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    let date = Command::new("date").args(["-d", time, "+%s"]).output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn show_says_why_an_address_is_not_listed() {
    let home = Home::new();
    home.set_policy(&Policy {
        threshold: 3,
        never: vec![network("198.51.100.0/24")],
        ..Policy::default()
    });
    home.reject("192.0.2.2", "rcpt", 0);
    home.done(&["white", "192.0.2.128/25"]);

    for (address, state, sentence) in [
        ("192.0.2.1", "unknown", "192.0.2.1 is not listed: nothing is known about it"),
        ("192.0.2.2", "below", "192.0.2.2 is not listed: 1 rejection counted, 3 would list it"),
        (
            "192.0.2.129",
            "white",
            "192.0.2.129 is not listed: whitelisted through 192.0.2.128/25 without end",
        ),
        ("10.1.2.3", "never", "10.1.2.3 is never listed: 10.0.0.0/8 is reserved space"),
        (
            "198.51.100.7",
            "never",
            "198.51.100.7 is never listed: 198.51.100.0/24 is in the policy's never-list",
        ),
        ("127.0.0.1", "never", "127.0.0.1 is never listed: 127.0.0.0/8 is reserved space"),
    ] {
        let said = home.negative(&["show", address]);
        assert_eq!(said.lines().next(), Some(sentence));
        let (status, object) = home.json(&["show", address]);
        assert_eq!((status, &object["listed"]), (1, &false.into()), "{address}");
        assert_eq!(object["state"], state, "{address}");
        assert_eq!(object["threshold"], 3);
    }
    let (_, object) = home.json(&["show", "10.1.2.3"]);
    assert_eq!(object["never"], "10.0.0.0/8");
    assert!(object["entry"].is_null());
    let (_, object) = home.json(&["show", "192.0.2.129"]);
    assert_eq!(object["entry"]["endless"], true);
    assert!(object["entry"]["remaining"].is_null() && object["entry"]["until"].is_null());
}

#[test]
fn show_knows_the_test_addresses() {
    let home = Home::new();
    for address in ["127.0.0.2", "::ffff:127.0.0.2"] {
        let said = home.done(&["show", address]);
        assert!(said.starts_with("127.0.0.2 is listed: it is the test address"), "{said}");
        assert_eq!(home.json(&["show", address]).1["state"], "test");
    }
    home.negative(&["show", "::ffff:127.0.0.1"]);
}

#[test]
fn show_tells_what_a_white_network_lifts() {
    let home = Home::new();
    home.reject("192.0.2.1", "rcpt", 0);
    home.done(&["white", "192.0.2.0/24", "3600"]);
    let said = home.negative(&["show", "192.0.2.1"]);
    assert!(said.contains("Without that it would be judged by its own entry:"), "{said}");
    assert!(said.contains("  count      1 rejection\n"), "{said}");
    let (_, object) = home.json(&["show", "192.0.2.1"]);
    assert_eq!(object["entry"]["network"], "192.0.2.0/24");
    assert_eq!(object["lifted"]["network"], "192.0.2.1");
    assert_keys(&object["lifted"], &ENTRY_KEYS);
}

#[test]
fn show_keeps_ipv6_clients_by_their_prefix() {
    let home = Home::new();
    home.done(&["black", "2001:db8:1:2::5"]);
    let said = home.done(&["show", "2001:db8:1:2:3:4:5:6"]);
    assert_eq!(
        said.lines().next(),
        Some("2001:db8:1:2:3:4:5:6 (kept as 2001:db8:1:2::/64) is listed")
    );
    assert_eq!(
        line(&said, "  DNS name "),
        "6.0.0.0.5.0.0.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.<zone>"
    );
    home.negative(&["show", "2001:db8:1:3::5"]);
    let (_, object) = home.json(&["show", "2001:db8:1:2::5"]);
    assert_eq!(object["key"], "2001:db8:1:2::/64");
    // The mapped form is the IPv4 address.
    home.done(&["black", "::ffff:192.0.2.77"]);
    home.done(&["show", "192.0.2.77"]);
}

#[test]
fn show_judges_a_network_as_a_whole() {
    let home = Home::new();
    home.done(&["black", "192.0.2.0"]);
    home.negative(&["show", "192.0.2.0/24"]);
    home.done(&["black", "192.0.2.0/24"]);
    home.done(&["show", "192.0.2.0/24"]);
    // A part of a listed network is listed, a network around it is not.
    let said = home.done(&["show", "192.0.2.0/25"]);
    assert_eq!(said.lines().next(), Some("192.0.2.0/25 is listed through 192.0.2.0/24"));
    home.negative(&["show", "192.0.0.0/16"]);
    let said = home.done(&["show", "192.0.2.200"]);
    assert_eq!(said.lines().next(), Some("192.0.2.200 is listed through 192.0.2.0/24"));
    // White for the first address alone does not lift the network.
    home.done(&["white", "192.0.2.0"]);
    home.negative(&["show", "192.0.2.0"]);
    home.done(&["show", "192.0.2.0/24"]);
    home.done(&["white", "192.0.2.0/23"]);
    home.negative(&["show", "192.0.2.0/24"]);
    let (_, object) = home.json(&["show", "192.0.2.0/24"]);
    assert!(object["dns_name"].is_null());
    assert_eq!(home.json(&["show", "10.1.0.0/16"]).1["never"], "10.0.0.0/8");
}

#[test]
fn an_entry_with_less_life_than_the_floor_is_gone() {
    let home = Home::new();
    home.reject("192.0.2.1", "rcpt", 600 - 59);
    home.negative(&["show", "192.0.2.1"]);
    // It has a minute until it is gone as well.
    home.reject("192.0.2.2", "rcpt", 600 - 119);
    home.done(&["show", "192.0.2.2"]);
    assert_eq!(home.done(&["list"]).lines().count(), 2);
}

#[test]
fn verify_finds_a_new_table_sound() {
    let home = Home::new();
    home.done(&["black", "192.0.2.1"]);
    assert_eq!(home.done(&["verify"]), format!("{}: sound\n", text(&home.table)));
    let (status, object) = home.json(&["verify"]);
    assert_eq!(status, 0);
    assert_eq!(object, serde_json::json!({ "sound": true, "mended": null, "findings": [] }));
}

#[test]
fn verify_tells_of_damage() {
    let home = Home::new();
    for last in 0..200 {
        home.reject(&format!("192.0.2.{last}"), "rcpt", 0);
    }
    // The second half of the file: slots, whatever the layout of the first pages.
    let mut bytes = std::fs::read(&home.table).unwrap();
    let half = bytes.len() / 2;
    for (place, byte) in bytes[half..].iter_mut().enumerate() {
        *byte ^= (place % 251) as u8;
    }
    std::fs::write(&home.table, &bytes).unwrap();
    let said = home.negative(&["verify"]);
    assert!(said.contains("harmful: "), "{said}");
    let advice = said.lines().last().unwrap();
    assert!(advice.contains("eximrbl verify --repair mends "), "{advice}");
    let (status, object) = home.json(&["verify"]);
    assert_eq!((status, &object["sound"]), (1, &false.into()));
    assert_keys(&object["findings"][0], &["harmful", "repairable", "text"]);
    // The rest of the program goes on with what is left.
    home.done(&["info"]);
    home.done(&["list", "--all"]);
}

#[test]
fn reading_needs_no_right_to_write() {
    let home = Home::new();
    home.done(&["black", "192.0.2.1"]);
    home.done(&["black", "192.0.2.0/28"]);
    // Another user's eyes, so that root's rights do not help; the program where he can reach it.
    let program = home.directory.path().join("eximrbl");
    // By a process of its own: were this one to write the file, a fork of another test's thread
    // could hold it open for writing just when it is to be run ("text file busy").
    assert!(Command::new("cp").arg(PROGRAM).arg(&program).status().unwrap().success());
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(home.directory.path(), 0o755);
    mode(&home.table, 0o444);
    let root = home.table.metadata().unwrap().uid() == 0;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).env("EXIMRBL_TABLE", &home.table);
        if root {
            command.uid(65_534).gid(65_534);
        }
        Ran::of(command.output().unwrap())
    };
    for arguments in [&["info"][..], &["show", "192.0.2.1"], &["list"], &["verify"], &["policy"]] {
        let ran = run(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    }
    for arguments in [
        &["black", "192.0.2.9"][..],
        &["white", "192.0.2.9"],
        &["forgive", "192.0.2.1"],
        &["policy", "--set", "threshold=2"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(ran.stderr.contains("permission denied"), "{}", ran.stderr);
        assert!(ran.stderr.contains("root"), "{}", ran.stderr);
    }
    mode(&home.table, 0o660);
    home.negative(&["show", "192.0.2.99"]);
    assert_eq!(home.done(&["list"]).lines().count(), 3, "nothing was changed");
}
