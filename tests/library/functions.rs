//! What the seven functions do when all is well.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use eximrbl_table::{Counter, Network, Policy, dictionary, now};

use crate::driver::{Driver, Stage};

const CLIENT: &str = "203.0.113.7";

/// What `${extract{name}{text}}` gives.
fn extract<'a>(name: &str, text: &'a str) -> &'a str {
    text.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("")
}

/// What can be left now of a life that began at a time or later.
fn left_of(seconds: u32, begun: u32) -> RangeInclusive<u32> {
    seconds.saturating_sub(now() - begun)..=seconds
}

#[test]
fn version() {
    let stage = Stage::bare();
    let mut driver = stage.start();
    assert_eq!(driver.call("rbl_version", &[]), concat!("eximrbl ", env!("CARGO_PKG_VERSION")));
    assert_eq!(driver.end(), [""; 0], "needs no table");
}

#[test]
fn record_lists_and_is_read_by_others() {
    let stage = Stage::new();
    let mut driver = stage.start();
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "no");
    assert_eq!(driver.call("rbl_lookup", &[CLIENT]), "");
    let begun = now();
    assert_eq!(driver.call("rbl_record", &[CLIENT]), "");
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");
    let entry = stage.entry(CLIENT).unwrap();
    assert_eq!((entry.count, entry.white), (1, false));
    assert!(left_of(600, begun).contains(&entry.remaining), "{entry:?}");
    let names: Vec<String> = stage.table().reasons().of(entry.reasons).map(str::to_owned).collect();
    assert_eq!(names, [dictionary::REJECT]);
    assert_eq!(entry.reporters, 1 << dictionary::LOCAL);
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn rejections_add_up() {
    let stage = Stage::new();
    let mut driver = stage.start();
    let begun = now();
    for _ in 0..9 {
        driver.call("rbl_record", &[CLIENT, "rcpt"]);
    }
    driver.call("rbl_record", &[CLIENT, "auth", "11"]);
    let entry = stage.entry(CLIENT).unwrap();
    assert_eq!(entry.count, 20);
    assert!(left_of(12_000, begun).contains(&entry.remaining), "{entry:?}");
    let text = driver.call("rbl_lookup", &[CLIENT]);
    assert_eq!(extract("reason", &text), "rcpt,auth");
}

#[test]
fn lookup_tells_all() {
    let stage = Stage::new();
    let mut driver = stage.start();
    let before = now();
    driver.call("rbl_record", &[CLIENT, "rcpt", "2"]);
    driver.call("rbl_record", &[CLIENT, "auth"]);
    let text = driver.call("rbl_lookup", &[CLIENT]);
    let ttl: u32 = extract("ttl", &text).parse().unwrap();
    let (first, last) = (extract("first", &text), extract("last", &text));
    assert!(left_of(1800, before).contains(&ttl), "{text}");
    for seen in [first, last] {
        assert!((before..=now()).contains(&seen.parse().unwrap()), "{text}");
    }
    assert_eq!(
        text,
        format!(
            "listed=yes code=127.0.0.2 count=3 ttl={ttl} first={first} last={last} \
             reason=rcpt,auth reporters=1"
        )
    );
    assert_eq!(driver.call("rbl_lookup", &["127.0.0.2"]), "listed=yes code=127.0.0.2 test=yes");
    assert_eq!(driver.call("rbl_listed", &["127.0.0.2"]), "yes");
    assert_eq!(driver.call("rbl_lookup", &["127.0.0.1"]), "");
    assert_eq!(driver.call("rbl_listed", &["127.0.0.1"]), "no");
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn all_reasons_at_once_fit_a_lookup() {
    let stage = Stage::new();
    let mut driver = stage.start();
    for i in 0..64 {
        let reason = format!("a-reason-as-long-as-can-be-----{i:02}");
        driver.call("rbl_record", &[CLIENT, &reason[reason.len() - 32..]]);
    }
    let text = driver.call("rbl_lookup", &[CLIENT]);
    assert_eq!(extract("count", &text), "64");
    assert_eq!(extract("reporters", &text), "1", "the end is there: {text}");
    assert!(extract("reason", &text).split(',').count() > 40, "{text}");
}

#[test]
fn forgive_ends_the_listing() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(driver.call("rbl_forgive", &[CLIENT]), "");
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "no");
    assert!(stage.entry(CLIENT).is_none());
    driver.call("rbl_forgive", &[CLIENT]);
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 1, "afresh");
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn allow_beats_black_and_stops_recording() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    let begun = now();
    assert_eq!(driver.call("rbl_allow", &[CLIENT, "3600"]), "");
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "no");
    let text = driver.call("rbl_lookup", &[CLIENT]);
    assert!(text.starts_with("listed=no white=yes "), "{text}");
    let ttl = extract("ttl", &text).parse().unwrap();
    assert!(left_of(3600, begun).contains(&ttl), "{text}");
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.table().counters().get(Counter::RefusedWhite), 1);
    driver.call("rbl_allow", &[CLIENT, "0"]);
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");
    assert_eq!(driver.end(), [""; 0], "a whitelist at work is nothing to tell");
}

#[test]
fn policy_of_the_table_applies() {
    let stage = Stage::new();
    let policy = Policy {
        base_ttl: 100,
        threshold: 3,
        ipv6_prefix: 56,
        never: vec!["198.51.100.0/24".parse().unwrap()],
        weights: vec![("auth".into(), 5)],
        ..Policy::default()
    };
    stage.table().set_policy(&policy).unwrap();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "no");
    assert!(driver.call("rbl_lookup", &[CLIENT]).starts_with("listed=no count=2 "));
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");

    driver.call("rbl_record", &["203.0.113.8", "auth"]);
    assert_eq!(stage.entry("203.0.113.8").unwrap().count, 5, "the reason's weight");
    driver.call("rbl_record", &["203.0.113.9", "auth", "2"]);
    assert_eq!(stage.entry("203.0.113.9").unwrap().count, 2, "a weight of its own");

    driver.call("rbl_record", &["2001:db8:1:2ff::1", "auth"]);
    assert_eq!(driver.call("rbl_listed", &["2001:db8:1:200::9"]), "yes");
    assert_eq!(driver.call("rbl_listed", &["2001:db8:1:300::1"]), "no");

    driver.call("rbl_record", &["198.51.100.77", "auth"]);
    assert_eq!(driver.call("rbl_listed", &["198.51.100.77"]), "no");
    assert_eq!(stage.table().counters().get(Counter::RefusedNever), 1);
    assert_eq!(driver.end(), [""; 0], "a never-list at work is nothing to tell");
}

#[test]
fn a_mapped_address_is_its_ipv4_address() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &["::ffff:203.0.113.7"]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");
    let address: IpAddr = CLIENT.parse().unwrap();
    assert!(stage.table().entry(Network::host(address), now()).is_some());
}

#[test]
fn host_checking_changes_nothing() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    let serial = stage.table().serial();
    driver.send("checking 1");
    driver.call("rbl_record", &[CLIENT]);
    driver.call("rbl_record", &["203.0.113.8"]);
    driver.call("rbl_forgive", &[CLIENT]);
    driver.call("rbl_allow", &[CLIENT, "3600"]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes", "looking is allowed");
    assert_eq!(stage.table().serial(), serial);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 1);
    driver.send("checking 0");
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2);
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn debugging_shows_what_is_not_logged() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    assert!(driver.debugged.is_empty());
    driver.send("debugging 1");
    driver.call("rbl_record", &[CLIENT, "rcpt"]);
    driver.call("rbl_record", &["127.0.0.1"]);
    assert_eq!(driver.debugged.len(), 2, "{:?}", driver.debugged);
    assert!(driver.debugged[0].contains("recorded 203.0.113.7: count 2"), "{:?}", driver.debugged);
    assert!(driver.debugged[1].contains("never"), "{:?}", driver.debugged);
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn children_inherit_a_preloaded_table() {
    let stage = Stage::new();
    let mut command = stage.command(crate::driver::driver());
    command.env_remove("EXIMRBL_TABLE");
    let mut driver = Driver::start(&mut command);
    assert_eq!(driver.call("rbl_preload", &[stage.table_path().to_str().unwrap()]), "");
    driver.send("fork");
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");
    driver.send("fork");
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2);
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn the_environment_comes_before_preload() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_preload", &["/nonexistent/table"]);
    driver.call("rbl_preload", &[""]);
    driver.call("rbl_preload", &[]);
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 1);
    assert_eq!(driver.end(), [""; 0]);
}

#[test]
fn the_path_given_last_is_used() {
    let stage = Stage::new();
    let mut command = stage.command(crate::driver::driver());
    command.env("EXIMRBL_TABLE", "");
    let mut driver = Driver::start(&mut command);
    driver.call("rbl_preload", &["/nonexistent/table"]);
    driver.call("rbl_record", &[CLIENT]);
    driver.call("rbl_preload", &[stage.table_path().to_str().unwrap()]);
    driver.call("rbl_record", &[CLIENT]);
    driver.call("rbl_preload", &[""]);
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2);
    assert_eq!(driver.end().len(), 1, "of the first path");
}

/// Once the table is open and the client is known, a call allocates nothing at all.
#[test]
fn warm_calls_allocate_nothing() {
    let stage = Stage::new();
    let mut driver = stage.start();
    let calls: [(&str, &[&str]); 8] = [
        ("rbl_record", &[CLIENT, "rcpt", "1"]),
        ("rbl_record", &[CLIENT]),
        ("rbl_record", &["2001:db8::1", "HELO Name!", "x"]),
        ("rbl_record", &["no address"]),
        ("rbl_listed", &[CLIENT]),
        ("rbl_lookup", &[CLIENT]),
        ("rbl_forgive", &["203.0.113.8"]),
        ("rbl_allow", &["203.0.113.9", "60"]),
    ];
    for (function, arguments) in calls {
        driver.call(function, arguments);
        driver.repeat(1000, function, arguments);
        assert_eq!(driver.allocations, Some(0), "{function} {arguments:?}");
    }
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2002);
}
