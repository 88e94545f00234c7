//! The dictionaries: 64 reasons, of which machines may name 48, and 64 reporters.

use eximrbl_table::{Counter, Name, Report, now};

use crate::programs::run_tool;
use crate::stage::{CLIENT, Stage};

const OTHER: &str = "198.51.100.77";

/// What `rbl_lookup` shows as the reasons.
fn reasons(text: &str) -> Vec<&str> {
    let reasons = text.split(' ').find_map(|pair| pair.strip_prefix("reason="));
    reasons.unwrap_or_default().split(',').collect()
}

/// The library's 48 places used up: what comes then counts as `other`, and is counted. The
/// administrator has his 16; once he has named a reason, the library knows it too. After that he
/// is refused nothing either, but gets `other`.
///
/// Caught: 64 places for the library; a reason lost instead of counted as `other`.
#[test]
fn reasons_used_up() {
    let stage = Stage::new();
    let mut caller = stage.start();
    // `other` and `reject` are there from the start.
    for i in 2..48 {
        caller.call("rbl_record", &[CLIENT, &format!("reason-{i}")]);
    }
    assert_eq!(stage.table().counters().get(Counter::OtherReasons), 0);
    assert_eq!(reasons(&caller.call("rbl_lookup", &[CLIENT])).len(), 46);
    for i in 48..60 {
        caller.call("rbl_record", &[OTHER, &format!("reason-{i}")]);
    }
    assert_eq!(reasons(&caller.call("rbl_lookup", &[OTHER])), ["other"]);
    assert_eq!(stage.entry(OTHER).unwrap().count, 12, "none is lost");
    assert_eq!(stage.table().counters().get(Counter::OtherReasons), 12);
    caller.call("rbl_record", &[OTHER, "reason-47"]);
    assert_eq!(reasons(&caller.call("rbl_lookup", &[OTHER])), ["other", "reason-47"], "known ones");

    for i in 0..16 {
        let tool = run_tool(&stage.table_path(), &format!("black 192.0.2.{} by-hand-{i}", i + 1));
        assert_eq!(tool.status, Some(0), "{}", tool.errors);
    }
    caller.call("rbl_record", &["198.51.100.78", "by-hand-15"]);
    assert_eq!(reasons(&caller.call("rbl_lookup", &["198.51.100.78"])), ["by-hand-15"]);
    let names: Vec<_> = stage.table().reasons().iter().map(|(bit, _)| bit).collect();
    assert_eq!(names, (0..64).collect::<Vec<u8>>());

    let tool = run_tool(&stage.table_path(), "black 192.0.2.100 one-too-many");
    let entry = stage.entry("192.0.2.100");
    if tool.status == Some(0) {
        assert_eq!(entry.unwrap().reasons, 1, "other");
    } else {
        assert!(tool.errors.contains("reason") && entry.is_none(), "{}", tool.errors);
    }
    let verify = run_tool(&stage.table_path(), "verify");
    assert_eq!(verify.status, Some(0), "{}{}", verify.output, verify.errors);
    assert_eq!(caller.end(), [""; 0]);
}

/// All 64 reporters have names; a 65th gets none. An entry that all of them reported shows it, and
/// the last bit is no other than the rest.
///
/// Caught: the 16 highest bits of an entry's reporters lost.
#[test]
fn reporters_used_up() {
    let stage = Stage::new();
    let table = stage.table();
    let name = |i: u32| Name::new(format!("site-{i}").as_bytes()).unwrap();
    // `local` and `admin` are there from the start.
    let mut bits: Vec<u8> = (2..64).map(|i| table.reporter(name(i)).unwrap()).collect();
    assert_eq!(bits, (2..64).collect::<Vec<u8>>());
    assert_eq!(table.reporter(name(64)), None);
    assert_eq!(table.reporter(name(63)), Some(63), "known ones");
    bits.splice(0..0, [0, 1]);
    let now = now();
    for (reports, &reporter) in bits.iter().enumerate() {
        let report = Report {
            network: CLIENT.parse().unwrap(),
            reason: reporter,
            reporter,
            weight: None,
            seconds: None,
        };
        table.record(&report, now).unwrap();
        let entry = stage.entry(CLIENT).unwrap();
        assert_eq!(entry.reporters.count_ones() as usize, reports + 1);
        assert_eq!(entry.reasons, entry.reporters);
    }
    assert_eq!(stage.entry(CLIENT).unwrap().reporters, u64::MAX);
    let report = Report {
        network: OTHER.parse().unwrap(),
        reason: 63,
        reporter: 63,
        weight: None,
        seconds: None,
    };
    table.record(&report, now).unwrap();
    let entry = stage.entry(OTHER).unwrap();
    assert_eq!((entry.reasons, entry.reporters), (1 << 63, 1 << 63), "from its first report on");
    let mut caller = stage.start();
    assert!(caller.call("rbl_lookup", &[CLIENT]).ends_with(" reporters=64"));
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    let show = run_tool(&stage.table_path(), &format!("show {CLIENT}"));
    assert_eq!(show.status, Some(0), "{}", show.errors);
    caller.end();
}
