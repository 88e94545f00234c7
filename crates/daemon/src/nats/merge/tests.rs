//! What one site makes of another one's changes.
#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use eximrbl_table::dictionary::LOCAL;
use eximrbl_table::{Entry, Next};

const T: UnixSeconds = 1_795_000_000;

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn network() -> Network {
    "192.0.2.1".parse().unwrap()
}

fn fresh() -> (WritableTable, Merge) {
    let table = WritableTable::on_heap(64).unwrap();
    let merge = Merge::new(name("osaka"), Terms::from(&table.policy()));
    (table, merge)
}

fn change(time: UnixSeconds, deed: Deed) -> Change {
    let moment = Moment { time: T + time, tick: 0 };
    Change { number: 0, moment, network: network(), by: None, deed }
}

const BLACK: Deed = Deed::Black { reason: None, weight: 1, seconds: None };

fn record(table: &WritableTable, reporter: u8, time: UnixSeconds) {
    let (weight, seconds) = (Some(1), None);
    let report = Report { network: network(), reason: 1, reporter, weight, seconds };
    table.record(&report, T + time).unwrap();
}

fn entry(table: &WritableTable, time: UnixSeconds) -> Option<Entry> {
    table.entry(network(), T + time)
}

/// Caught: a change of tomorrow that is made.
#[test]
fn what_is_ahead_or_has_run_out_is_left_out() {
    let (table, mut merge) = fresh();
    let paris = name("paris");
    let mut apply = |time, deed, now| merge.apply(&table, paris, &change(time, deed), T + now);
    assert_eq!(apply(301, BLACK, 0), Outcome::Ahead(301));
    assert_eq!(apply(0, BLACK, 604_800), Outcome::TooOld);
    assert_eq!(entry(&table, 0), None);
    assert_eq!(apply(300, BLACK, 0), Outcome::Done);
    assert_eq!(entry(&table, 300).unwrap().count, 1);
}

/// Caught: the Internet listed, or whitelisted, by one line of another site.
#[test]
fn what_is_too_wide_is_left_out() {
    let (table, mut merge) = fresh();
    let paris = name("paris");
    for (text, wide) in [
        ("0.0.0.0/0", true),
        ("192.0.0.0/15", true),
        ("192.0.0.0/16", false),
        ("::/0", true),
        ("2001:db8::/31", true),
        ("2001:db8::/32", false),
    ] {
        let network = text.parse().unwrap();
        let left_out = if wide { Outcome::TooWide(network) } else { Outcome::Done };
        for deed in [BLACK, Deed::White { seconds: 60 }] {
            let change = Change { network, ..change(0, deed) };
            assert_eq!(merge.apply(&table, paris, &change, T), left_out, "{text}");
        }
        let known = Known {
            network,
            white: false,
            count: 1,
            first: T,
            last: T,
            until: T + 600,
            reasons: vec![],
        };
        assert_eq!(merge.join(&table, paris, &known, T), left_out, "{text}");
    }
}

/// Caught: a forgiving, and a whitelisting, of another site that is made here.
#[test]
fn the_administrators_word_stays() {
    let (table, mut merge) = fresh();
    let paris = name("paris");
    record(&table, ADMIN, 0);
    for deed in [Deed::Forgive, Deed::White { seconds: 900 }] {
        assert_eq!(merge.apply(&table, paris, &change(1, deed), T + 1), Outcome::Done);
        let entry = entry(&table, 1).unwrap();
        assert_eq!((entry.white, entry.count), (false, 1), "{deed:?}");
    }
    table.white(network(), None, ADMIN, T + 2).unwrap();
    let ends = merge.apply(&table, paris, &change(3, Deed::White { seconds: 0 }), T + 3);
    assert_eq!(ends, Outcome::Done);
    let refused = merge.apply(&table, paris, &change(4, BLACK), T + 4);
    assert!(entry(&table, 4).unwrap().white, "{refused:?}");
}

/// As after a kill between the table and the file. Caught: reports made twice.
#[test]
fn what_was_made_but_not_noted_is_not_made_again() {
    let (table, mut merge) = fresh();
    let paris = name("paris");
    let mut reader = table.events(None);
    merge.apply(&table, paris, &change(0, BLACK), T);
    let Next::Event(event) = table.next_event(&mut reader, T) else { panic!("no event") };
    for (is_noted, counts) in [(false, [1, 2]), (true, [3, 4])] {
        let mut merge = Merge::new(name("osaka"), Terms::from(&table.policy()));
        merge.recall(&event, paris, is_noted);
        for count in counts {
            merge.apply(&table, paris, &change(0, BLACK), T);
            assert_eq!(entry(&table, 0).unwrap().count, count, "noted: {is_noted}");
        }
    }
}

/// Caught: changes that are remembered in the order in which they came.
#[test]
fn a_forgiving_is_remembered_after_a_restart() {
    let (table, mut merge) = fresh();
    let (paris, quito) = (name("paris"), name("quito"));
    let mut reader = table.events(None);
    record(&table, LOCAL, 0);
    merge.apply(&table, paris, &change(10, Deed::Forgive), T + 10);
    let mut merge = Merge::new(name("osaka"), Terms::from(&table.policy()));
    while let Next::Event(event) = table.next_event(&mut reader, T) {
        let site = if event.reporter == LOCAL { name("osaka") } else { paris };
        merge.recall(&event, site, true);
    }
    merge.apply(&table, quito, &change(9, BLACK), T + 20);
    assert_eq!(entry(&table, 20), None, "older than the forgiving");
    merge.apply(&table, quito, &change(11, BLACK), T + 20);
    let entry = entry(&table, 20).unwrap();
    assert_eq!((entry.count, entry.first, entry.remaining), (1, T + 11, 591));
}

/// Caught: a site whose report is in what another one knew, and which then counts for nothing.
#[test]
fn whose_reports_were_known_already_is_noted() {
    let (table, mut merge) = fresh();
    let (paris, quito) = (name("paris"), name("quito"));
    // What paris knows has quito's report in it.
    let known = Known {
        network: network(),
        white: false,
        count: 3,
        first: T,
        last: T + 1,
        until: T + 1801,
        reasons: vec![],
    };
    merge.join(&table, paris, &known, T + 2);
    merge.apply(&table, quito, &change(0, BLACK), T + 2);
    let entry = entry(&table, 2).unwrap();
    let mut names: Vec<_> = table.reporters().of(entry.reporters).map(str::to_owned).collect();
    names.sort_unstable();
    assert_eq!((entry.count, &names[..]), (3, &["paris".to_owned(), "quito".to_owned()][..]));
    // One that was forgiven since is no part of it.
    merge.apply(&table, quito, &change(10, Deed::Forgive), T + 20);
    merge.apply(&table, paris, &change(15, BLACK), T + 20);
    merge.apply(&table, quito, &change(5, BLACK), T + 20);
    let entry = table.entry(network(), T + 20).unwrap();
    let names: Vec<_> = table.reporters().of(entry.reporters).map(str::to_owned).collect();
    assert_eq!((entry.count, &names[..]), (1, &["paris".to_owned()][..]));
}

/// Joined, not added; and twice is once. Caught: counts that are added.
#[test]
fn what_another_site_lists_is_joined() {
    let (table, mut merge) = fresh();
    let known = |count, until| Known {
        network: network(),
        white: false,
        count,
        first: T,
        last: T + 50,
        until: T + until,
        reasons: Vec::new(),
    };
    // Of the same second as the entries below, and a part of them.
    let moment = Moment { time: T + 50, tick: 7 };
    let last = Change { moment, ..change(50, BLACK) };
    merge.apply(&table, name("paris"), &last, T + 50);
    for (count, until, expected) in [(5, 3000, 5), (5, 3000, 5), (3, 900, 5), (6, 3600, 6)] {
        merge.join(&table, name("paris"), &known(count, until), T + 60);
        let entry = entry(&table, 60).unwrap();
        assert_eq!(entry.count, expected, "{count} until {until}");
    }
    assert_eq!(entry(&table, 60).unwrap().remaining, 3540);
    let old = merge.join(&table, name("paris"), &known(9, 59), T + 60);
    assert_eq!(old, Outcome::TooOld);
}
