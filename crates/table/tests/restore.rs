//! Entries that come back from what was written down of them.

#![allow(clippy::unwrap_used)]

use eximrbl_table::dictionary::{ADMIN, LOCAL, OTHER_BIT, REJECT_BIT};
use eximrbl_table::{
    Entry, EventKind, Filter, Name, Network, Next, Policy, Recorded, Refusal, Report, Restored,
    WritableTable,
};

const NOW: u32 = 1_795_000_000;
const GONE: Recorded = Recorded { count: 0, remaining: 0 };

fn table() -> WritableTable {
    WritableTable::on_heap(1024).unwrap()
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn report(client: &str) -> Report {
    let network = network(client);
    Report { network, reason: REJECT_BIT, reporter: LOCAL, weight: None, seconds: None }
}

/// What another host might have written down: seen twice, by two.
fn sample(client: &str) -> Restored {
    Restored {
        network: network(client),
        white: false,
        count: 7,
        remaining: 5000,
        first: NOW - 900,
        last: NOW - 30,
        reasons: 1 << 1 | 1 << 50,
        reporters: 1 << LOCAL | 1 << 60,
    }
}

fn of(entry: &Entry) -> Restored {
    let Entry { network, white, count, remaining, first, last, reasons, reporters } = *entry;
    Restored { network, white, count, remaining, first, last, reasons, reporters }
}

fn sorted(table: &WritableTable, now: u32) -> Vec<Restored> {
    let mut entries: Vec<_> = table.entries(now).map(|entry| of(&entry)).collect();
    entries.sort_by_key(|entry| entry.network.to_string());
    entries
}

/// Every kind of entry, in any order: also what a white network lifts, and clients by their prefix.
/// Caught: marks of the moment instead of those that were written down; upper bits lost; a look for white
/// networks around; a life that ends for one that does not.
#[test]
fn what_was_written_down_comes_back_as_it_was() {
    let there = table();
    let names = |table: &WritableTable| {
        for i in 2..64 {
            let name = Name::new(format!("n{i}").as_bytes()).unwrap();
            assert_eq!((table.reporter(name), table.reason(name, true)), (Some(i), i));
        }
    };
    names(&there);
    for (client, reason, reporter) in [
        ("192.0.2.1", 1, LOCAL),
        ("192.0.2.1", 63, 63),
        ("2001:db8::7", 48, 48),
        ("198.51.100.9", 2, 47),
    ] {
        there
            .record(&Report { reason, reporter, weight: Some(3), ..report(client) }, NOW - 50)
            .unwrap();
    }
    there.record(&report("192.0.2.1"), NOW - 10).unwrap();
    there.record_endless(&Report { reporter: ADMIN, ..report("203.0.113.0/24") }, NOW).unwrap();
    there.white(network("198.51.100.0/24"), None, ADMIN, NOW - 5).unwrap();
    there.white(network("192.0.2.77"), Some(90), 63, NOW - 5).unwrap();
    let written = sorted(&there, NOW);
    assert_eq!(written.len(), 6);
    for order in 0..6 {
        let here = table();
        names(&here);
        for i in 0..6 {
            let entry = &written[(i + order) % 6];
            let recorded = here.restore(entry, NOW).unwrap();
            assert_eq!((recorded.count, recorded.remaining), (entry.count, entry.remaining));
        }
        assert_eq!(sorted(&here, NOW), written);
        assert_eq!(here.verify(), []);
        assert!(!here.decide("198.51.100.9".parse().unwrap(), &Filter::default(), NOW).is_listed());
        for entry in &written {
            here.restore(entry, NOW).unwrap();
        }
        assert_eq!(sorted(&here, NOW), written, "twice is as good as once");
    }
}

/// Caught: counts that are added; an end that is brought forward; marks that replace those that are there.
#[test]
fn what_is_there_and_what_comes_back_are_joined() {
    let table = table();
    table.record(&Report { weight: Some(10), ..report("192.0.2.1") }, NOW - 100).unwrap();
    table.record(&Report { reason: 3, reporter: 5, ..report("192.0.2.1") }, NOW - 1).unwrap();
    let joined = table.restore(&sample("192.0.2.1"), NOW).unwrap();
    assert_eq!((joined.count, joined.remaining), (11, 6500), "more, and longer");
    let entry = table.entry(network("192.0.2.1"), NOW).unwrap();
    assert_eq!((entry.first, entry.last), (NOW - 900, NOW - 1));
    assert_eq!(entry.reasons, 1 << 1 | 1 << 3 | 1 << 50);
    assert_eq!(entry.reporters, 1 << LOCAL | 1 << 5 | 1 << 60);

    table.record(&report("192.0.2.2"), NOW - 100).unwrap();
    let joined = table.restore(&sample("192.0.2.2"), NOW).unwrap();
    assert_eq!((joined.count, joined.remaining), (7, 5000));
    let endless = Restored { remaining: u32::MAX, ..sample("192.0.2.2") };
    assert_eq!(table.restore(&endless, NOW).unwrap().remaining, u32::MAX);
    assert_eq!(table.restore(&sample("192.0.2.2"), NOW).unwrap().remaining, u32::MAX);

    // What ran out there is not joined: a new life.
    table.record(&report("192.0.2.3"), NOW - 1000).unwrap();
    let afresh =
        table.restore(&Restored { count: 1, reporters: 1 << 9, ..sample("192.0.2.3") }, NOW);
    assert_eq!(afresh.unwrap().count, 1);
    assert_eq!(table.entry(network("192.0.2.3"), NOW).unwrap().reporters, 1 << 9);

    let white = Restored { white: true, reporters: 1 << 9, ..sample("192.0.2.4") };
    table.white(network("192.0.2.4"), Some(100), ADMIN, NOW).unwrap();
    table.restore(&white, NOW).unwrap();
    table.restore(&Restored { remaining: 10, ..white }, NOW).unwrap();
    let entry = table.entry(network("192.0.2.4"), NOW).unwrap();
    assert_eq!((entry.remaining, entry.count, entry.reasons), (5000, 0, 0));
    assert_eq!(entry.reporters, 1 << ADMIN | 1 << 9);
}

/// Caught: an administrator's listing with an end that turns white; black that takes white's place.
#[test]
fn colours_stay_that_are_the_administrators() {
    let table = table();
    let white = |client| Restored { white: true, ..sample(client) };
    table.record(&Report { reporter: ADMIN, ..report("192.0.2.1") }, NOW).unwrap();
    assert_eq!(table.restore(&white("192.0.2.1"), NOW), Err(Refusal::Endless));
    let his = Restored { reporters: 1 << ADMIN, ..white("192.0.2.1") };
    assert_eq!(table.restore(&his, NOW), Err(Refusal::Endless), "what is there is his, too");
    table.record_endless(&report("192.0.2.2"), NOW).unwrap();
    assert_eq!(table.restore(&white("192.0.2.2"), NOW), Err(Refusal::Endless));
    table.white(network("192.0.2.3"), Some(60), LOCAL, NOW).unwrap();
    assert_eq!(table.restore(&sample("192.0.2.3"), NOW), Err(Refusal::White));
    table.record(&report("192.0.2.4"), NOW).unwrap();
    table.restore(&white("192.0.2.4"), NOW).unwrap();
    assert!(table.entry(network("192.0.2.4"), NOW).unwrap().white);
    let policy = Policy { never: vec![network("203.0.113.0/24")], ..Policy::default() };
    table.set_policy(&policy).unwrap();
    assert_eq!(table.restore(&sample("203.0.113.9"), NOW), Err(Refusal::NeverListed));
}

/// Caught: an entry of no life, no count, or no marks; one that outlives `max_ttl`.
#[test]
fn nonsense_makes_no_nonsense() {
    let table = table();
    assert_eq!(table.restore(&Restored { remaining: 59, ..sample("192.0.2.1") }, NOW), Ok(GONE));
    let white = Restored { white: true, remaining: 0, ..sample("192.0.2.1") };
    assert_eq!(table.restore(&white, NOW), Ok(GONE));
    assert_eq!(table.entries(NOW).count(), 0);
    assert_eq!(table.serial(), 0, "nothing has happened");
    let odd = Restored {
        count: 0,
        remaining: u32::MAX - 1,
        first: NOW + 5,
        last: NOW,
        reasons: 0,
        reporters: 0,
        ..sample("192.0.2.1")
    };
    table.restore(&odd, NOW).unwrap();
    let entry = table.entry(network("192.0.2.1"), NOW).unwrap();
    assert_eq!((entry.count, entry.remaining), (1, Policy::default().max_ttl));
    assert_eq!((entry.first, entry.last), (NOW, NOW));
    assert_eq!((entry.reasons, entry.reporters), (1 << OTHER_BIT, 1 << LOCAL));
    table.restore(&Restored { count: u32::MAX, ..sample("192.0.2.2") }, NOW).unwrap();
    assert_eq!(table.entry(network("192.0.2.2"), NOW).unwrap().count, 262_143);
    let sound = |finding: &&eximrbl_table::Finding| finding.harmful;
    assert_eq!(table.verify_at(NOW).iter().find(sound), None);
}

/// Nobody takes it for a report of just now: the administrator did it.
#[test]
fn a_return_is_an_event_of_the_administrators() {
    let table = table();
    let mut reader = table.events(None);
    table.restore(&sample("192.0.2.1"), NOW).unwrap();
    table.restore(&sample("192.0.2.1"), NOW).unwrap();
    table.restore(&Restored { white: true, ..sample("192.0.2.2") }, NOW).unwrap();
    for (kind, weight) in
        [(EventKind::Added, 7), (EventKind::Extended, 7), (EventKind::Whitened, 0)]
    {
        let Next::Event(event) = table.next_event(&mut reader, NOW) else {
            unreachable!("an event for each")
        };
        assert_eq!((event.kind, event.reporter, event.weight), (kind, ADMIN, weight));
        assert_eq!((event.time, event.seconds), (NOW, 5000));
    }
}
