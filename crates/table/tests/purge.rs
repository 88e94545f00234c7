//! Undoing what one reporter did, or all that was reported for one reason.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};

use eximrbl_table::dictionary::{ADMIN, LOCAL, REJECT_BIT};
use eximrbl_table::{
    Counter, Entry, EventKind, Filter, Name, Network, Next, Policy, Purge, Purged, Report,
    Restored, Share, Subject, WritableTable,
};

const NOW: u32 = 1_795_000_000;
/// Two reporters, one of them in the bitmap's upper part.
const A: u8 = 5;
const B: u8 = 60;

/// With a name for every bit.
fn table_of(slots: u64) -> WritableTable {
    let table = WritableTable::on_heap(slots).unwrap();
    for bit in 2..64 {
        let name = Name::new(format!("n{bit}").as_bytes()).unwrap();
        assert_eq!((table.reporter(name), table.reason(name, true)), (Some(bit), bit));
    }
    table
}

fn table() -> WritableTable {
    table_of(4096)
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn by(reporter: u8, client: &str) -> Report {
    let network = network(client);
    Report { network, reason: REJECT_BIT, reporter, weight: None, seconds: None }
}

fn of(subject: Subject) -> Purge {
    Purge { subject, within: None }
}

fn entry(table: &WritableTable, client: &str, now: u32) -> Option<Entry> {
    table.entry(network(client), now)
}

/// What a dry run announces is what is done.
fn purge(table: &WritableTable, what: Purge, now: u32) -> Purged {
    let announced = table.would_purge(&what, now);
    let serial = table.serial();
    assert_eq!(table.would_purge(&what, now), announced);
    assert_eq!(table.serial(), serial, "nothing was done yet");
    let purged = table.purge(&what, now).unwrap();
    assert_eq!(purged, announced);
    assert_eq!(table.serial(), serial + purged.total(), "an event for each");
    assert_eq!(table.would_purge(&what, now), Purged::default(), "there is nothing left of it");
    assert_eq!(table.verify(), []);
    purged
}

/// As if A had never reported: also where his reports kept an entry alive that would have run out, began
/// it, gave a reason of their own, or a life without end.
///
/// Caught: shares that are not taken from count or life; reasons and beginning that stay; lives that are
/// summed up without the time between them.
#[test]
fn a_share_is_taken_out_as_if_it_had_never_been() {
    let (with, without) = (table(), table());
    let others = |report: Report, at: u32| {
        with.record(&report, at).unwrap();
        without.record(&report, at).unwrap();
    };
    let his = |report: Report, at: u32| _ = with.record(&report, at).unwrap();
    let heavy = |report: Report| Report { weight: Some(40), ..report };

    // In between, with a reason of his own.
    others(by(B, "192.0.2.1"), NOW - 300);
    his(Report { reason: 9, ..heavy(by(A, "192.0.2.1")) }, NOW - 200);
    his(Report { seconds: Some(5000), ..by(A, "192.0.2.1") }, NOW - 200);
    others(Report { reason: 50, ..by(LOCAL, "192.0.2.1") }, NOW - 100);
    // He began it.
    his(heavy(by(A, "192.0.2.2")), NOW - 3000);
    others(Report { seconds: Some(900), ..by(B, "192.0.2.2") }, NOW - 200);
    // Only he kept it alive between the others' two.
    others(by(B, "192.0.2.3"), NOW - 3000);
    his(heavy(by(A, "192.0.2.3")), NOW - 2900);
    others(by(LOCAL, "192.0.2.3"), NOW - 100);
    // The others' has run out since.
    others(by(B, "192.0.2.4"), NOW - 3000);
    his(heavy(by(A, "192.0.2.4")), NOW - 2900);
    // He made it last for ever.
    others(by(B, "192.0.2.5"), NOW - 50);
    with.record_endless(&by(A, "192.0.2.5"), NOW - 40).unwrap();
    // His alone; not his at all; the upper part of his words; a client by its prefix; a network.
    his(by(A, "192.0.2.6"), NOW);
    others(by(B, "192.0.2.7"), NOW);
    others(Report { reason: 63, ..by(63, "2001:db8::1") }, NOW - 9);
    his(Report { reason: 62, ..by(A, "2001:db8::2") }, NOW - 8);
    others(by(ADMIN, "198.51.100.0/24"), NOW - 5);
    his(by(A, "198.51.100.0/24"), NOW - 4);

    let purged = purge(&with, of(Subject::Share(Share::Reporter(A))), NOW);
    let counted = Purged { ended: 2, reduced: 6, ..Purged::default() };
    assert_eq!(purged, counted);
    let seen = |table: &WritableTable| {
        let mut entries: Vec<_> = table.entries(NOW).map(|e| (e.network.to_string(), e)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    };
    let (mut seen, wanted) = (seen(&with), seen(&without));
    // When the last one came is not kept apart: the latest of all times stays.
    seen.iter_mut().zip(&wanted).for_each(|(a, b)| a.1.last = b.1.last);
    assert_eq!(seen, wanted);
    let counters = with.counters();
    assert_eq!((counters.get(Counter::Forgiven), counters.get(Counter::Reduced)), (2, 6));
}

/// B's share can be taken out as well, of an entry of three; and what comes afterwards counts on.
#[test]
fn the_rest_goes_on_as_any_entry() {
    let table = table();
    for reporter in [A, B, LOCAL] {
        table.record(&by(reporter, "192.0.2.1"), NOW).unwrap();
    }
    assert_eq!(purge(&table, of(Subject::Share(Share::Reporter(A))), NOW).reduced, 1);
    let next = table.record(&by(A, "192.0.2.1"), NOW + 10).unwrap();
    assert_eq!((next.count, next.remaining), (3, 1790));
    let entry = entry(&table, "192.0.2.1", NOW + 10).unwrap();
    assert_eq!(entry.reporters, 1 << A | 1 << B | 1 << LOCAL, "a report after the purge");
}

/// Where the ring has come round, or the policy has changed, nobody knows what was whose: the marks go,
/// and the rest stays. Caught: a share that is taken from what is not proved.
#[test]
fn what_cannot_be_proved_stays() {
    let table = table();
    let both = |client: &str| {
        table.record(&Report { reason: 9, ..by(A, client) }, NOW).unwrap();
        table.record(&by(B, client), NOW).unwrap();
    };
    both("192.0.2.1");
    table.set_policy(&Policy { base_ttl: 601, ..Policy::default() }).unwrap();
    both("192.0.2.2");
    let written = entry(&table, "192.0.2.2", NOW).unwrap();
    let Entry { white, count, remaining, first, last, reasons, reporters, .. } = written;
    let network = network("192.0.2.3");
    table
        .restore(
            &Restored { network, white, count, remaining, first, last, reasons, reporters },
            NOW,
        )
        .unwrap();
    let before = [1, 3].map(|i| entry(&table, &format!("192.0.2.{i}"), NOW).unwrap());
    let purged = purge(&table, of(Subject::Share(Share::Reporter(A))), NOW);
    assert_eq!(purged, Purged { reduced: 1, kept: 2, ..Purged::default() });
    for (i, before) in [1, 3].into_iter().zip(before) {
        let after = entry(&table, &format!("192.0.2.{i}"), NOW).unwrap();
        assert_eq!(after, Entry { reporters: 1 << B, ..before });
    }
    assert_eq!(entry(&table, "192.0.2.2", NOW).unwrap().count, 1);

    let table = table_of(64);
    table.record(&by(A, "192.0.2.1"), NOW).unwrap();
    table.record(&by(B, "192.0.2.1"), NOW).unwrap();
    let rounds = 65_536;
    (0..rounds - 1).for_each(|_| _ = table.record(&by(LOCAL, "192.0.2.2"), NOW).unwrap());
    let purged = purge(&table, of(Subject::Share(Share::Reporter(A))), NOW);
    assert_eq!(purged, Purged { kept: 1, ..Purged::default() });
}

/// His whitelistings end, the others' do not; of the administrator's only his mark goes. Caught: white
/// entries left out; the administrator's ended.
#[test]
fn whitelistings_of_his_end_too() {
    let table = table();
    let white = |client: &str, reporter| table.white(network(client), None, reporter, NOW).unwrap();
    white("192.0.2.1", A);
    white("192.0.2.2", B);
    white("192.0.2.3", ADMIN);
    white("192.0.2.3", A);
    white("192.0.2.4", B);
    white("192.0.2.4", A);
    let purged = purge(&table, of(Subject::Share(Share::Reporter(A))), NOW);
    assert_eq!(purged, Purged { white_ended: 1, kept: 2, ..Purged::default() });
    assert!(entry(&table, "192.0.2.1", NOW).is_none());
    for (client, reporter) in [("192.0.2.2", B), ("192.0.2.3", ADMIN), ("192.0.2.4", B)] {
        let entry = entry(&table, client, NOW).unwrap();
        assert_eq!((entry.white, entry.reporters), (true, 1 << reporter), "{client}");
    }
    assert_eq!(table.counters().get(Counter::WhiteEnded), 1);
}

/// For one reason; within a network; all listings; all whitelistings. Caught: a reason's purge that takes
/// white entries or others' reasons; the network not looked at.
#[test]
fn other_parts_can_be_undone_as_well() {
    let filled = || {
        let table = table();
        table.record(&Report { reason: 9, ..by(A, "192.0.2.1") }, NOW).unwrap();
        table.record(&Report { reason: 9, ..by(A, "192.0.2.2") }, NOW).unwrap();
        table.record(&by(B, "192.0.2.2"), NOW).unwrap();
        table.record(&by(B, "198.51.100.1"), NOW).unwrap();
        table.record_endless(&by(ADMIN, "198.51.100.0/28"), NOW).unwrap();
        table.white(network("192.0.2.3"), None, ADMIN, NOW).unwrap();
        table.white(network("203.0.113.0/24"), Some(60), LOCAL, NOW).unwrap();
        table
    };
    let left = |table: &WritableTable| {
        let mut left: Vec<_> = table.entries(NOW).map(|e| e.network.to_string()).collect();
        left.sort();
        left
    };
    let white = ["192.0.2.3", "203.0.113.0/24"];

    let table = filled();
    let purged = purge(&table, of(Subject::Share(Share::Reason(9))), NOW);
    assert_eq!(purged, Purged { ended: 1, reduced: 1, ..Purged::default() });
    let entry = entry(&table, "192.0.2.2", NOW).unwrap();
    assert_eq!((entry.count, entry.reasons, entry.reporters), (1, 1 << REJECT_BIT, 1 << B));

    let table = filled();
    let within = |text| Some(network(text));
    let what = Purge { subject: Subject::Listings, within: within("198.51.100.0/24") };
    assert_eq!(purge(&table, what, NOW).ended, 2);
    let what = Purge { subject: Subject::Share(Share::Reporter(A)), within: within("192.0.2.2") };
    assert_eq!(purge(&table, what, NOW).reduced, 1);
    assert_eq!(left(&table), ["192.0.2.1", "192.0.2.2", white[0], white[1]]);
    assert_eq!(purge(&table, of(Subject::Listings), NOW).ended, 2);
    assert_eq!(left(&table), white);
    let what = Purge { subject: Subject::Whitelistings, within: within("192.0.2.0/24") };
    assert_eq!(purge(&table, what, NOW).white_ended, 1);
    assert_eq!(left(&table), [white[1]]);
    assert_eq!(purge(&table, of(Subject::Whitelistings), NOW).white_ended, 1);
    assert_eq!(left(&table), [""; 0]);
}

/// Zones with a quorum lose the entry at once. Caught: an entry's mark that stays.
#[test]
fn a_quorum_counts_him_no_more() {
    let table = table();
    table.record(&by(A, "192.0.2.1"), NOW).unwrap();
    table.record(&by(B, "192.0.2.1"), NOW).unwrap();
    let by_two = Filter { quorum: 2, ..Filter::default() };
    let is_listed =
        |filter: &Filter| table.decide("192.0.2.1".parse().unwrap(), filter, NOW).is_listed();
    assert!(is_listed(&by_two));
    let mut reader = table.events(None);
    purge(&table, of(Subject::Share(Share::Reporter(A))), NOW);
    assert!(!is_listed(&by_two) && is_listed(&Filter::default()));
    let Next::Event(event) = table.next_event(&mut reader, NOW) else { unreachable!("told") };
    assert_eq!((event.kind, event.reporter), (EventKind::Reduced, ADMIN));
}

/// Beside writers of both kinds, and a resize: nobody else's report is lost, and once A has stopped,
/// another purge leaves nothing of his.
///
/// Caught: a share taken from what is not proved.
#[test]
fn others_reports_survive_beside_writers_and_a_resize() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let options = eximrbl_table::CreateOptions { slots: 4096, ..Default::default() };
    let table = WritableTable::create(&path, &options).unwrap();
    let reporter = |name: &str| table.reporter(Name::new(name.as_bytes()).unwrap()).unwrap();
    let (a, b) = (reporter("a"), reporter("b"));
    let client = |i: u32| Network::host(std::net::Ipv4Addr::from(0xc000_0200 + i).into());
    let report = |reporter, i| {
        let (reason, weight, seconds) = (REJECT_BIT, None, Some(3600));
        Report { network: client(i), reason, reporter, weight, seconds }
    };
    let clients = 200;
    let rounds = 20;
    let what = of(Subject::Share(Share::Reporter(a)));
    let now = eximrbl_table::now();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let poison = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                (0..clients).for_each(|i| _ = table.record(&report(a, i), now).unwrap());
            }
        });
        let others = scope.spawn(|| {
            // Each client once by B, in the middle of all this.
            for i in 0..clients {
                table.record(&report(b, i), now).unwrap();
                std::thread::yield_now();
            }
        });
        for round in 0..rounds {
            if round == rounds / 2 {
                table.resize(8192).unwrap();
            }
            assert_eq!(table.purge(&what, now).unwrap().left, 0);
        }
        others.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        poison.join().unwrap();
    });
    table.purge(&what, now).unwrap();
    for i in 0..clients {
        let entry = table.entry(client(i), now).unwrap();
        assert_eq!(entry.reporters, 1 << b, "{i}");
        assert!(entry.count >= 1);
    }
    assert_eq!(table.entries(now).count(), clients as usize);
    assert_eq!(table.verify(), []);
}
