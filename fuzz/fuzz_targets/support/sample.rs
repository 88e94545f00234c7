//! A small table with an entry of every kind.

use eximrbl_table::{
    CreateOptions, Name, Network, Policy, Report, UnixSeconds, WritableTable, dictionary,
};

/// 2026-11-22T05:43:10Z
#[allow(dead_code, reason = "each target uses its own part")]
pub const NOW: UnixSeconds = 1_795_326_190;

/// Makes a table of so many slots somewhere, fills it, and gives its bytes.
#[allow(dead_code, reason = "each target uses its own part")]
pub fn bytes(slots: u64, now: UnixSeconds) -> Vec<u8> {
    let folder = std::env::temp_dir().join(format!("eximrbl-fuzz-{}", std::process::id()));
    // One that was killed may have had the same number, and have left it.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("table");
    let table =
        WritableTable::create(&path, &CreateOptions { slots, ..CreateOptions::default() }).unwrap();
    fill(&table, now);
    drop(table);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    bytes
}

/// Adds the entries: addresses and networks of both families, white, endless, under the threshold.
pub fn fill(table: &WritableTable, now: UnixSeconds) {
    let policy = Policy {
        threshold: 2,
        never: vec![network("198.51.100.0/24"), network("2001:db8:ff::/48")],
        weights: vec![("auth".to_owned(), 3)],
        ..Policy::default()
    };
    table.set_policy(&policy).unwrap();
    let reason = |name: &str| table.reason(Name::new(name.as_bytes()).unwrap(), true);
    let report = |text: &str, reason, reporter| Report {
        network: network(text),
        reason,
        reporter,
        weight: None,
        seconds: None,
    };
    let (rcpt, auth) = (reason("rcpt"), reason("auth"));
    table.record(&report("192.0.2.1", rcpt, dictionary::LOCAL), now).unwrap();
    table.record(&report("192.0.2.2", auth, dictionary::LOCAL), now).unwrap();
    table.record(&report("2001:db8::1", auth, dictionary::LOCAL), now).unwrap();
    table.record(&report("203.0.113.0/24", rcpt, dictionary::ADMIN), now).unwrap();
    table.record_endless(&report("2001:db8:1::/48", rcpt, dictionary::ADMIN), now).unwrap();
    table.white(network("203.0.113.9"), Some(3600), dictionary::ADMIN, now).unwrap();
    table.white(network("192.0.2.128/25"), None, dictionary::ADMIN, now).unwrap();
}

/// A network from its text.
pub fn network(text: &str) -> Network {
    text.parse().unwrap()
}
