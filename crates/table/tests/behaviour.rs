//! What the table does for its users: lifetimes, thresholds, white entries, networks, events.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use eximrbl_table::dictionary::{ADMIN, LOCAL, REJECT_BIT};
use eximrbl_table::{
    Counter, Decision, Entry, EventKind, Expiry, Filter, Name, Network, Next, Policy, Refusal,
    Report, WritableTable,
};

const NOW: u32 = 1_795_000_000;

fn table() -> WritableTable {
    WritableTable::on_heap(1024).unwrap()
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn report(text: &str) -> Report {
    Report {
        network: network(text),
        reason: REJECT_BIT,
        reporter: LOCAL,
        weight: None,
        seconds: None,
    }
}

fn decide(table: &WritableTable, text: &str, now: u32) -> Decision {
    table.decide(address(text), &Filter::default(), now)
}

fn listed(table: &WritableTable, text: &str, now: u32) -> bool {
    decide(table, text, now).is_listed()
}

fn entry(table: &WritableTable, text: &str, now: u32) -> Entry {
    table.entry(network(text), now).unwrap()
}

#[test]
fn one_rejection_lists_for_base_ttl_and_ten_for_ten_times_that() {
    let table = table();
    assert_eq!(table.record(&report("192.0.2.1"), NOW).unwrap().remaining, 600);
    for _ in 0..10 {
        table.record(&report("192.0.2.2"), NOW).unwrap();
    }
    assert_eq!(entry(&table, "192.0.2.2", NOW).remaining, 6000);
    let at_once = Report { weight: Some(10), ..report("192.0.2.3") };
    assert_eq!(table.record(&at_once, NOW).unwrap().remaining, 6000);

    // Gone with less than 60 s left: at 541 s, not at 540 s.
    assert!(listed(&table, "192.0.2.1", NOW + 540));
    assert!(!listed(&table, "192.0.2.1", NOW + 541));
    assert!(listed(&table, "192.0.2.2", NOW + 5940) && !listed(&table, "192.0.2.2", NOW + 5941));
}

#[test]
fn a_rejection_adds_to_the_remaining_life_and_starts_afresh_once_that_is_gone() {
    let table = table();
    table.record(&report("192.0.2.1"), NOW).unwrap();
    let second = table.record(&report("192.0.2.1"), NOW + 100).unwrap();
    assert_eq!((second.count, second.remaining), (2, 1100));
    let afresh = table.record(&report("192.0.2.1"), NOW + 100 + 1041).unwrap();
    assert_eq!((afresh.count, afresh.remaining), (1, 600));
    let entry = entry(&table, "192.0.2.1", NOW + 1141);
    assert_eq!((entry.first, entry.last), (NOW + 1141, NOW + 1141));
}

#[test]
fn life_is_capped_at_max_ttl_and_the_count_at_its_width() {
    let table = table();
    for _ in 0..30 {
        table.record(&Report { weight: Some(10_000), ..report("192.0.2.1") }, NOW).unwrap();
    }
    let entry = entry(&table, "192.0.2.1", NOW);
    assert_eq!((entry.remaining, entry.count), (604_800, 262_143));
}

/// What was reported while the clock was a month ahead, or under a longer `max_ttl`, ends by `max_ttl`
/// once it is swept; what ends by hand only, and what is white, does not; nor does anything while the
/// clock is not to be trusted. Caught: lives that are not shortened; white ones that are; a held sweep
/// that shortens.
#[test]
fn a_sweep_cuts_lives_to_max_ttl() {
    const MONTH: u32 = 30 * 86_400;
    const WEEK: u32 = 604_800;
    let table = table();
    table.record(&report("192.0.2.1"), NOW + MONTH).unwrap();
    table.record(&report("192.0.2.1"), NOW + MONTH).unwrap();
    table.record_endless(&report("192.0.2.2"), NOW).unwrap();
    table.white(network("192.0.2.3"), Some(MONTH), LOCAL, NOW).unwrap();
    table.record(&report("192.0.2.4"), NOW).unwrap();
    let left = |client| entry(&table, client, NOW).remaining;
    let swept = |expiry| table.sweep(NOW, expiry).shortened;
    assert_eq!(left("192.0.2.1"), MONTH + 1200);
    assert_eq!((swept(Expiry::Held), left("192.0.2.1")), (0, MONTH + 1200));
    assert_eq!((swept(Expiry::Due), left("192.0.2.1")), (1, WEEK));
    assert_eq!((left("192.0.2.2"), left("192.0.2.3")), (u32::MAX, MONTH));
    assert_eq!((left("192.0.2.4"), swept(Expiry::Due)), (600, 0));
    let seen = entry(&table, "192.0.2.1", NOW);
    assert_eq!((seen.count, seen.reasons, seen.reporters), (2, 1 << REJECT_BIT, 1 << LOCAL));

    table.set_policy(&Policy { max_ttl: 3600, ..Policy::default() }).unwrap();
    assert_eq!((swept(Expiry::Due), left("192.0.2.1")), (1, 3600));
    assert_eq!(table.record(&report("192.0.2.1"), NOW).unwrap().count, 3);
    assert_eq!(left("192.0.2.1"), 3600);
}

#[test]
fn the_policy_sets_ttls_weights_and_prefix() {
    let table = table();
    let auth = table.reason(Name::new(b"auth").unwrap(), true);
    let policy = Policy {
        base_ttl: 100,
        max_ttl: 1000,
        weights: vec![("auth".into(), 3)],
        ipv6_prefix: 48,
        ..Policy::default()
    };
    table.set_policy(&policy).unwrap();
    assert_eq!(table.policy(), policy);
    let by_weight = Report { reason: auth, ..report("192.0.2.1") };
    assert_eq!(table.record(&by_weight, NOW).unwrap().count, 3);
    let explicit = Report { weight: Some(1), ..by_weight };
    assert_eq!(table.record(&explicit, NOW).unwrap().count, 4, "a weight in the call wins");
    table.record(&report("2001:db8:1:2::3"), NOW).unwrap();
    assert!(listed(&table, "2001:db8:1:ffff::1", NOW));
    assert!(!listed(&table, "2001:db8:2::", NOW));
}

#[test]
fn with_a_threshold_the_nth_rejection_lists() {
    let table = table();
    table.set_policy(&Policy { threshold: 3, ..Policy::default() }).unwrap();
    for n in 1..=3 {
        table.record(&report("192.0.2.1"), NOW).unwrap();
        assert_eq!(listed(&table, "192.0.2.1", NOW), n == 3, "after {n}");
    }
    table.record(&report("192.0.2.2"), NOW).unwrap();
    assert!(matches!(decide(&table, "192.0.2.2", NOW), Decision::Below(e) if e.count == 1));
    // What the administrator lists by hand does not wait for more.
    table.record(&Report { reporter: ADMIN, ..report("192.0.2.3") }, NOW).unwrap();
    assert!(listed(&table, "192.0.2.3", NOW));
}

#[test]
fn ipv6_clients_are_kept_by_64_and_mapped_ones_are_ipv4() {
    let table = table();
    table.record(&report("2001:db8:1:2::3"), NOW).unwrap();
    assert!(listed(&table, "2001:db8:1:2:ffff::", NOW));
    assert!(!listed(&table, "2001:db8:1:3::3", NOW));
    assert_eq!(entry(&table, "2001:db8:1:2::9", NOW).network, network("2001:db8:1:2::/64"));
    table.record(&report("::ffff:192.0.2.1"), NOW).unwrap();
    assert!(listed(&table, "192.0.2.1", NOW) && listed(&table, "::ffff:192.0.2.1", NOW));
}

#[test]
fn white_beats_black_and_stops_recording() {
    let table = table();
    table.record(&report("192.0.2.1"), NOW).unwrap();
    table.white(network("192.0.2.1"), Some(300), ADMIN, NOW).unwrap();
    assert!(matches!(decide(&table, "192.0.2.1", NOW), Decision::White(_)));
    assert_eq!(table.record(&report("192.0.2.1"), NOW), Err(Refusal::White));
    assert_eq!(table.forgive(network("192.0.2.1"), LOCAL, NOW), Ok(false), "white stays");
    assert!(matches!(decide(&table, "192.0.2.1", NOW + 299), Decision::White(_)));
    assert_eq!(decide(&table, "192.0.2.1", NOW + 300), Decision::Unknown);
    // A white network covers those inside it, listed before or after.
    table.record(&report("198.51.100.7"), NOW).unwrap();
    table.white(network("198.51.100.0/24"), None, ADMIN, NOW).unwrap();
    assert!(!listed(&table, "198.51.100.7", NOW));
    assert_eq!(table.record(&report("198.51.100.8"), NOW), Err(Refusal::White));
    table.white(network("198.51.100.0/24"), Some(0), ADMIN, NOW).unwrap();
    assert!(listed(&table, "198.51.100.7", NOW), "the white has ended, the black one has not");
    assert_eq!(table.counters().get(Counter::RefusedWhite), 2);
}

#[test]
fn the_never_list_is_neither_recorded_nor_answered() {
    let table = table();
    table.record(&report("203.0.113.5"), NOW).unwrap();
    let never = vec![network("203.0.113.0/24"), network("2001:db8:5::/48")];
    table.set_policy(&Policy { never, ..Policy::default() }).unwrap();
    for text in ["203.0.113.5", "2001:db8:5::1", "127.0.0.1", "10.0.0.1", "192.168.1.1", "::1"] {
        assert_eq!(table.record(&report(text), NOW), Err(Refusal::NeverListed), "{text}");
        assert_eq!(decide(&table, text, NOW), Decision::Never, "{text}");
    }
    assert_eq!(table.counters().get(Counter::RefusedNever), 6);
    table.set_policy(&Policy::default()).unwrap();
    assert!(listed(&table, "203.0.113.5", NOW), "what was listed before is still there");
}

#[test]
fn rfc_5782_test_addresses() {
    let table = table();
    for (text, is_listed) in [
        ("127.0.0.2", true),
        ("::ffff:127.0.0.2", true),
        ("127.0.0.1", false),
        ("::ffff:127.0.0.1", false),
    ] {
        assert_eq!(listed(&table, text, NOW), is_listed, "{text}");
        let _ = table.record(&report(text), NOW);
        assert_eq!(listed(&table, text, NOW), is_listed, "{text} after a report");
    }
}

#[test]
fn networks_by_hand_list_all_within() {
    let table = table();
    table.record(&Report { reporter: ADMIN, ..report("192.0.2.0/24") }, NOW).unwrap();
    table.record_endless(&report("2001:db8::/32"), NOW).unwrap();
    assert!(listed(&table, "192.0.2.200", NOW) && !listed(&table, "192.0.3.1", NOW));
    assert!(listed(&table, "2001:db8:ffff::1", NOW + 1_000_000));
    // The most specific entry speaks.
    table.record(&Report { weight: Some(5), ..report("192.0.2.200") }, NOW).unwrap();
    assert!(matches!(decide(&table, "192.0.2.200", NOW), Decision::Listed(e) if e.count == 5));
    // A login forgives the client, not the network that somebody listed by hand.
    assert_eq!(table.forgive(network("192.0.2.200"), LOCAL, NOW), Ok(true));
    assert!(listed(&table, "192.0.2.200", NOW));
    assert_eq!(table.forgive(network("192.0.2.0/24"), ADMIN, NOW), Ok(true));
    assert!(!listed(&table, "192.0.2.200", NOW));
}

#[test]
fn forgiving_reaches_entries_of_an_earlier_ipv6_prefix() {
    for (before, after) in [(64, 56), (56, 64)] {
        let table = table();
        let set =
            |ipv6_prefix| table.set_policy(&Policy { ipv6_prefix, ..Policy::default() }).unwrap();
        set(before);
        table.record(&report("2001:db8:1:2::3"), NOW).unwrap();
        set(after);
        table.record(&Report { reporter: ADMIN, ..report("2001:db8::/32") }, NOW).unwrap();
        assert_eq!(table.forgive(network("2001:db8:1:2::3"), LOCAL, NOW), Ok(true));
        assert!(table.entry(network("2001:db8::/32"), NOW).is_some(), "made by hand: stays");
        assert_eq!(table.forgive(network("2001:db8::/32"), ADMIN, NOW), Ok(true));
        assert!(!listed(&table, "2001:db8:1:2::3", NOW), "{before} to {after}");
    }
}

#[test]
fn filters_take_by_reason_quorum_and_colour() {
    let table = table();
    let auth = table.reason(Name::new(b"auth").unwrap(), true);
    let other = table.reporter(Name::new(b"mx2").unwrap()).unwrap();
    table.record(&report("192.0.2.1"), NOW).unwrap();
    table.record(&Report { reason: auth, reporter: other, ..report("192.0.2.1") }, NOW).unwrap();
    table.record(&report("192.0.2.2"), NOW).unwrap();
    table.white(network("192.0.2.3"), None, ADMIN, NOW).unwrap();
    let is_listed =
        |filter: Filter, text: &str| table.decide(address(text), &filter, NOW).is_listed();
    let by_auth = Filter { reasons: 1 << auth, ..Filter::default() };
    assert!(is_listed(by_auth, "192.0.2.1") && !is_listed(by_auth, "192.0.2.2"));
    let by_two = Filter { quorum: 2, ..Filter::default() };
    assert!(is_listed(by_two, "192.0.2.1") && !is_listed(by_two, "192.0.2.2"));
    let white = Filter { white: true, ..Filter::default() };
    assert!(is_listed(white, "192.0.2.3") && !is_listed(white, "192.0.2.1"));
    let names: Vec<String> =
        table.reasons().of(entry(&table, "192.0.2.1", NOW).reasons).map(str::to_owned).collect();
    assert_eq!(names, ["reject", "auth"]);
}

#[test]
fn every_change_is_an_event() {
    let table = table();
    let mut reader = table.events(None);
    assert_eq!(table.next_event(&mut reader, NOW), Next::Nothing);
    let before = table.serial();
    table.record(&report("192.0.2.1"), NOW).unwrap();
    table.record(&report("192.0.2.1"), NOW).unwrap();
    table.white(network("192.0.2.2"), None, ADMIN, NOW).unwrap();
    table.forgive(network("192.0.2.1"), ADMIN, NOW).unwrap();
    table.record(&report("192.0.2.3"), NOW).unwrap();
    let swept = table.sweep(NOW + 541, Expiry::Due);
    assert_eq!(swept.expired, 1);
    assert_eq!(table.serial(), before + 6);
    let mut kinds = Vec::new();
    while let Next::Event(event) = table.next_event(&mut reader, NOW) {
        kinds.push((event.kind, event.network.to_string()));
    }
    let expected = [
        (EventKind::Added, "192.0.2.1"),
        (EventKind::Extended, "192.0.2.1"),
        (EventKind::Whitened, "192.0.2.2"),
        (EventKind::Forgiven, "192.0.2.1"),
        (EventKind::Added, "192.0.2.3"),
        (EventKind::Expired, "192.0.2.3"),
    ];
    assert_eq!(kinds, expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn a_reader_who_was_overrun_is_told_so() {
    let table = table();
    let mut reader = table.events(None);
    for _ in 0..70_000 {
        table.record(&report("192.0.2.1"), NOW).unwrap();
    }
    assert_eq!(table.next_event(&mut reader, NOW), Next::Lost(70_000 - 65_536));
    assert!(matches!(table.next_event(&mut reader, NOW), Next::Event(_)));
}

#[test]
fn a_full_table_evicts_and_verify_finds_nothing() {
    let table = table();
    for i in 0..20_000_u32 {
        let client = std::net::Ipv4Addr::from(0x2d00_0000 + i * 7);
        let report = Report { network: Network::host(client.into()), ..report("192.0.2.1") };
        table.record(&report, NOW + i / 100).unwrap();
    }
    let (info, counters) = (table.info(NOW + 200), table.counters());
    assert_eq!(info.listed + info.expired, 1024, "all slots are in use: {info:?}");
    assert_eq!(counters.get(Counter::Records), 20_000);
    assert_eq!(counters.get(Counter::Evicted), 20_000 - 1024);
    assert_eq!(table.verify(), []);
    assert_eq!(table.entries(NOW + 200).count() as u64, info.listed);
}

/// New entries go to the emptier of their two buckets, so the table fills evenly.
#[test]
fn a_table_that_is_three_quarters_full_has_evicted_nobody() {
    let table = WritableTable::on_heap(16_384).unwrap();
    for i in 0..12_288_u32 {
        let client = std::net::Ipv4Addr::from(0x2d00_0000 + i);
        let report = Report { network: Network::host(client.into()), ..report("192.0.2.1") };
        table.record(&report, NOW).unwrap();
    }
    assert_eq!(table.counters().get(Counter::Evicted), 0);
    assert_eq!(table.info(NOW).listed, 12_288);
}

#[test]
fn whitening_starts_a_life_of_its_own() {
    let table = table();
    table.record(&report("192.0.2.1"), NOW).unwrap();
    table.white(network("192.0.2.1"), None, ADMIN, NOW + 5).unwrap();
    let white = entry(&table, "192.0.2.1", NOW + 5);
    assert_eq!((white.first, white.reporters, white.reasons), (NOW + 5, 1 << ADMIN, 0));
}

/// A login forgives and allows; it must undo nothing that the administrator did by hand.
#[test]
fn the_administrators_word_outlasts_that_of_machines() {
    let table = table();
    // A block without end: neither forgiven nor whitelisted by a machine.
    table.record_endless(&Report { reporter: ADMIN, ..report("192.0.2.1") }, NOW).unwrap();
    assert_eq!(table.forgive(network("192.0.2.1"), LOCAL, NOW), Ok(false));
    assert_eq!(table.white(network("192.0.2.1"), Some(60), LOCAL, NOW), Err(Refusal::Endless));
    assert!(listed(&table, "192.0.2.1", NOW));
    assert_eq!(table.counters().get(Counter::RefusedEndless), 1);
    // A whitelisting without end, or for long: only lengthened, and not ended.
    table.white(network("192.0.2.2"), None, ADMIN, NOW).unwrap();
    table.white(network("192.0.2.2"), Some(60), LOCAL, NOW).unwrap();
    assert!(entry(&table, "192.0.2.2", NOW).is_endless());
    table.white(network("192.0.2.3"), Some(1000), ADMIN, NOW).unwrap();
    for (seconds, left) in [(60, 1000), (2000, 2000), (0, 2000)] {
        table.white(network("192.0.2.3"), Some(seconds), LOCAL, NOW).unwrap();
        assert_eq!(entry(&table, "192.0.2.3", NOW).remaining, left, "after {seconds}");
    }
    // What a machine allowed, a machine ends; and he himself ends all of it.
    table.white(network("192.0.2.4"), Some(1000), LOCAL, NOW).unwrap();
    table.white(network("192.0.2.4"), Some(0), LOCAL, NOW).unwrap();
    table.white(network("192.0.2.2"), Some(0), ADMIN, NOW).unwrap();
    table.white(network("192.0.2.3"), Some(5), ADMIN, NOW).unwrap();
    assert_eq!(table.entry(network("192.0.2.4"), NOW), None);
    assert_eq!(table.entry(network("192.0.2.2"), NOW), None);
    assert_eq!(entry(&table, "192.0.2.3", NOW).remaining, 5, "he may shorten it");
    assert_eq!(table.forgive(network("192.0.2.1"), ADMIN, NOW), Ok(true));
    let counters = table.counters();
    assert_eq!((counters.get(Counter::Forgiven), counters.get(Counter::WhiteEnded)), (1, 2));
}

#[test]
fn info_counts_what_is_lifted_apart() {
    let table = table();
    for client in ["192.0.2.1", "198.51.100.1", "203.0.113.1"] {
        table.record(&report(client), NOW).unwrap();
    }
    table.white(network("198.51.100.0/24"), None, ADMIN, NOW).unwrap();
    let never = vec![network("203.0.113.0/24")];
    table.set_policy(&Policy { never, ..Policy::default() }).unwrap();
    let info = table.info(NOW);
    assert_eq!((info.listed, info.lifted, info.white), (1, 2, 1));
}

#[test]
fn clocks_that_jump_do_no_lasting_harm() {
    let table = table();
    // Wrong at boot (1970), then right: the entry has long expired.
    table.record(&report("192.0.2.1"), 100).unwrap();
    assert!(!listed(&table, "192.0.2.1", NOW));
    // Stepped back a day: listed for longer, but a new rejection adds as ever.
    table.record(&report("192.0.2.2"), NOW).unwrap();
    assert!(listed(&table, "192.0.2.2", NOW - 86_400));
    let after = table.record(&report("192.0.2.2"), NOW - 86_400).unwrap();
    assert_eq!((after.count, after.remaining), (2, 86_400 + 1200));
    // Far ahead for a moment: what was recorded then does not list for years.
    table.record(&report("192.0.2.3"), u32::MAX).unwrap();
    assert!(!listed(&table, "192.0.2.3", NOW));
    table.record(&report("192.0.2.4"), NOW + 400 * 86_400).unwrap();
    assert!(!listed(&table, "192.0.2.4", NOW));
    assert_eq!(table.record(&report("192.0.2.4"), NOW).unwrap().remaining, 600);
    assert!(listed(&table, "192.0.2.2", NOW));
}

#[test]
fn a_full_dictionary_yields_other() {
    let table = table();
    for i in 0..100 {
        let name = Name::new(format!("r{i}").as_bytes()).unwrap();
        let bit = table.reason(name, false);
        assert_eq!(bit == 0, i >= 46, "48 places, two of them taken from the start: {i}");
    }
    assert_eq!(table.counters().get(Counter::OtherReasons), 54);
    assert_ne!(table.reason(Name::new(b"mine").unwrap(), true), 0);
}

/// Of an entry with several reporters each counts it; the white count, what has ended or run out does not.
/// Caught: only the first reporter counted.
#[test]
fn entries_are_counted_by_reporter() {
    let table = table();
    let last = (2..64).map(|i| {
        let name = Name::new(format!("mx{i}").as_bytes()).unwrap();
        table.reporter(name).unwrap()
    });
    let last = last.last().unwrap();
    assert_eq!(last, 63);
    let by = |reporter, client| table.record(&Report { reporter, ..report(client) }, NOW).unwrap();
    by(LOCAL, "192.0.2.1");
    by(5, "192.0.2.1");
    by(5, "192.0.2.2");
    by(last, "192.0.2.2");
    by(last, "192.0.2.3");
    table.white(network("192.0.2.4"), None, 5, NOW).unwrap();
    by(7, "192.0.2.5");
    table.forgive(network("192.0.2.5"), ADMIN, NOW).unwrap();
    let entries = table.entries_by_reporter(NOW);
    let some = |entries: [u32; 64]| {
        let some = (0_u8..).zip(entries).filter(|(_, count)| *count > 0);
        some.collect::<Vec<_>>()
    };
    assert_eq!(some(entries), [(LOCAL, 1), (5, 3), (last, 2)]);
    assert_eq!(some(table.entries_by_reporter(NOW + 1200)), [(5, 1)], "the white one has no end");
}
