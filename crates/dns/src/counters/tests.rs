//! Each number goes where it belongs, and none is lost or goes back.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use eximrbl_table::{CreateOptions, Table, WritableTable};
use eximrbl_zone::Config;

use super::*;
use crate::{Content, Service, Transport, respond_and_tell};

/// Zones of these names, on a table of their own.
fn service(names: &[&str], counters: &Counters) -> Service {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let options = CreateOptions { slots: 64, ..CreateOptions::default() };
    let table = WritableTable::create(&path, &options).unwrap();
    let zones = names.iter().map(|name| format!("[[zone]]\nname = \"{name}\"\n"));
    let text = format!("version = 1\n{}", zones.collect::<String>());
    let config = Config::parse(&text, Path::new("test.toml")).unwrap();
    let zones = Zones::resolve(&config, &table).unwrap();
    Service::open(Content::new(Arc::new(Table::open(&path).unwrap()), zones).counted(counters))
}

/// A query of class IN, in wire form.
fn query(name: &str, query_type: QueryType) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&query_type.0.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

/// What is to be counted of a packet.
fn outcome(packet: &[u8], service: &Service) -> Outcome {
    let client = "192.0.2.53:5353".parse().unwrap();
    respond_and_tell(packet, client, Transport::Udp, service, 1_795_326_190).1
}

/// The numbers of one zone, without those that are 0.
fn counted(totals: &ZoneTotals) -> Vec<(Kind, Decided, u64)> {
    let mut counted = Vec::new();
    for kind in Kind::ALL {
        for decided in Decided::ALL {
            let count = totals[kind as usize][decided as usize];
            if count > 0 {
                counted.push((kind, decided, count));
            }
        }
    }
    counted
}

/// Caught: TXT counted as A.
#[test]
fn each_question_is_counted_at_its_zone_type_and_decision() {
    let counters = Counters::new(2);
    let service = service(&["b.example", "longer.a.example"], &counters);
    let tally = counters.worker();
    let (a, txt, ns) = (QueryType::A, QueryType::TXT, QueryType::NS);
    for (name, query_type, times) in [
        ("2.0.0.127.b.example", a, 1),
        ("1.0.0.127.b.example", a, 2),
        ("0.127.b.example", a, 3),
        ("2.0.0.127.longer.a.example", txt, 4),
        ("longer.a.example", ns, 5),
        ("1.0.0.127.longer.a.example", QueryType(28), 6),
        ("a.example", a, 7),
        ("b.example", QueryType::AXFR, 8),
    ] {
        let outcome = outcome(&query(name, query_type), &service);
        (0..times).for_each(|_| tally.count(Way::UdpQuick, outcome));
    }
    let totals = counters.read();
    let zone = |name: &str| {
        let mut zones = totals.zones();
        zones.find(|(zone, _)| zone.to_string() == name).map(|(_, counts)| counted(counts)).unwrap()
    };
    assert_eq!(
        zone("b.example"),
        [
            (Kind::A, Decided::Listed, 1),
            (Kind::A, Decided::NxDomain, 2),
            (Kind::A, Decided::NoData, 3),
        ]
    );
    assert_eq!(
        zone("longer.a.example"),
        [
            (Kind::Txt, Decided::Listed, 4),
            (Kind::Other, Decided::NxDomain, 6),
            (Kind::Other, Decided::Apex, 5),
        ]
    );
    assert_eq!(
        counted(totals.no_zone()),
        [(Kind::A, Decided::Refused, 7), (Kind::Other, Decided::Refused, 8)]
    );
    assert_eq!(totals.reply(Reply::NoError), 1 + 3 + 4 + 5);
    assert_eq!(totals.reply(Reply::NxDomain), 2 + 6);
    assert_eq!(totals.reply(Reply::Refused), 7 + 8);
    assert_eq!((totals.way(Way::UdpQuick), totals.way(Way::Tcp)), (36, 0));
    assert_eq!(totals.workers(), [36]);
}

/// Caught: the reply of a bare response left at "ignored".
#[test]
fn packets_that_come_to_no_question_are_counted_by_their_answer() {
    let service = service(&["rbl.example"], &Counters::new(1));
    let plain = query("2.0.0.127.rbl.example", QueryType::A);
    let changed = |at: usize, byte: u8| {
        let mut packet = plain.clone();
        packet[at] = byte;
        outcome(&packet, &service)
    };
    let reply = |outcome: Outcome| {
        assert_eq!(outcome.question, None);
        outcome.reply
    };
    assert_eq!(reply(outcome(&plain[..11], &service)), Reply::Ignored);
    assert_eq!(reply(changed(2, 0x80)), Reply::Ignored);
    assert_eq!(reply(changed(5, 2)), Reply::FormErr);
    assert_eq!(reply(changed(12, 0xc0)), Reply::FormErr);
    assert_eq!(reply(changed(2, 0x28)), Reply::NotImp);
    assert_eq!(reply(changed(plain.len() - 1, 3)), Reply::Refused);
    let mut version_one = plain.clone();
    version_one[11] = 1;
    version_one.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(reply(outcome(&version_one, &service)), Reply::BadVers);
}

/// Caught: the row taken from the zone's place instead of its name; a new row at each reload.
#[test]
fn a_reload_keeps_the_rows_of_zones_by_their_name() {
    let counters = Counters::new(2);
    let ask = |service: &Service, tally: &Tally, name: &str| {
        tally.count(Way::Tcp, outcome(&query(name, QueryType::A), service));
    };
    let tally = counters.worker();
    let first = service(&["one.example", "two.example"], &counters);
    ask(&first, &tally, "2.0.0.127.one.example");
    ask(&first, &tally, "2.0.0.127.two.example");
    let second = service(&["three.example", "two.example"], &counters);
    ask(&second, &tally, "2.0.0.127.two.example");
    ask(&second, &tally, "2.0.0.127.three.example");
    // A query that was on its way when the configuration changed.
    ask(&first, &tally, "2.0.0.127.one.example");
    let totals = counters.read();
    let sums: Vec<_> = totals
        .zones()
        .map(|(zone, counts)| (zone.to_string(), counts.as_flattened().iter().sum::<u64>()))
        .collect();
    let expected = [("one.example", 2), ("two.example", 2), ("three.example", 1)];
    assert_eq!(sums, expected.map(|(zone, count)| (zone.to_owned(), count)));
}

/// Caught: a zone without a row counted at another's.
#[test]
fn zones_that_find_no_row_share_the_last() {
    let counters = Counters::new(1);
    let name = |i: usize| format!("z{i}.example");
    let fit = 1 + SPARE_ROWS;
    let tally = counters.worker();
    for from in [0, fit - 1] {
        let names: Vec<String> = (from..from + fit).map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let service = service(&names, &counters);
        for name in names {
            let name = format!("2.0.0.127.{name}");
            tally.count(Way::Tcp, outcome(&query(&name, QueryType::A), &service));
        }
    }
    let totals = counters.read();
    let sum = |counts: &ZoneTotals| counts.as_flattened().iter().sum::<u64>();
    assert_eq!(totals.zones().count(), fit);
    assert_eq!(totals.zones().map(|(_, counts)| sum(counts)).sum::<u64>(), fit as u64 + 1);
    assert_eq!(sum(totals.other_zones()), fit as u64 - 1);
    assert_eq!(sum(totals.no_zone()), 0);
}

/// Every cell is one of its own, and every sum takes in what it says.
///
/// Caught: the first way left out of a sum.
#[test]
fn each_reply_cookie_and_event_has_its_own_number() {
    let counters = Counters::new(1);
    let (alone, shared) = (counters.worker(), counters.shared());
    let mut times = 0;
    let (mut ways, mut cookies, mut replies) = ([0; 3], [0; 4], [0; 12]);
    for way in Way::ALL {
        for cookie in Cookie::ALL {
            for reply in Reply::ALL {
                times += 1;
                ways[way as usize] += times;
                cookies[cookie as usize] += times;
                replies[reply as usize] += times;
                let truncated = reply == Reply::Other && way == Way::Tcp;
                let outcome = Outcome { question: None, cookie, reply, truncated };
                for turn in 0..times {
                    match turn % 2 {
                        0 => alone.count(way, outcome),
                        _ => shared.count(way, outcome),
                    }
                }
            }
        }
    }
    for (more, event) in Event::ALL.into_iter().enumerate() {
        (0..=more).for_each(|_| alone.note(event));
        (0..=more).for_each(|_| shared.note(event));
    }
    let totals = counters.read();
    assert_eq!(Way::ALL.map(|way| totals.way(way)), ways);
    assert_eq!(Cookie::ALL.map(|cookie| totals.cookie(cookie)), cookies);
    assert_eq!(Reply::ALL.map(|reply| totals.reply(reply)), replies);
    // The ninth reply of each cookie, by the third way.
    let truncated: u64 = (0..4).map(|cookie| 2 * 48 + cookie * 12 + 9).sum();
    let events = Event::ALL.map(|event| totals.event(event));
    assert_eq!(events, [2, 4, 6 + truncated, 8, 10, 12, 14, 16]);
    assert_eq!(totals.workers().iter().sum::<u64>(), ways.iter().sum::<u64>());
}

/// Caught: `add_alone` used where several threads count.
#[test]
fn nothing_is_lost_and_nothing_goes_back_while_it_is_read() {
    const EACH: u64 = 200_000;
    let counters = Counters::new(1);
    let outcome = Outcome { reply: Reply::NoError, ..Outcome::IGNORED };
    let shared = counters.shared();
    let done = AtomicBool::new(false);
    let mut last = 0;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..3 {
            let (alone, shared) = (counters.worker(), shared.clone());
            threads.push(scope.spawn(move || {
                for _ in 0..EACH {
                    alone.count(Way::UdpQuick, outcome);
                    shared.count(Way::Tcp, outcome);
                }
            }));
        }
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = counters.read().reply(Reply::NoError);
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let totals = counters.read();
    assert_eq!((totals.way(Way::UdpQuick), totals.way(Way::Tcp)), (3 * EACH, 3 * EACH));
}
