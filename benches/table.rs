//! What the table's own operations cost in one process: recording known and new clients, under
//! contention from a second thread, and looking clients up.
//!
//! Figures are printed, with the machine and the date; nothing is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use eximrbl_table::{CreateOptions, Expiry, Network, Report, WritableTable};

const STEPS: u32 = 500_000;
const RUNS: usize = 7;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions { slots: 1 << 21, ..CreateOptions::default() };
    let table = WritableTable::create(&folder.path().join("table"), &options).unwrap();
    let now = eximrbl_table::now();
    println!("{}", measure::machine());
    println!("{} slots in a file, {STEPS} steps (median and least of {RUNS}):", options.slots);

    let record = |i: u32| table.record(&report(i), now).unwrap();
    let mut next = 0;
    show("record, new clients", STEPS / RUNS as u32, || {
        for _ in 0..STEPS / RUNS as u32 {
            record(next);
            next += 1;
        }
    });
    show("record, 4096 known clients", STEPS, || {
        (0..STEPS).for_each(|i| {
            record(i % 4096);
        });
    });
    show("record, one client", STEPS, || {
        (0..STEPS).for_each(|_| {
            record(1);
        })
    });
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                record(1);
            }
        });
        show("record, one client, two writers", STEPS, || {
            (0..STEPS).for_each(|_| {
                record(1);
            });
        });
        stop.store(true, Ordering::Relaxed);
    });
    let client = |i: u32| IpAddr::V4(Ipv4Addr::from(0x4000_0000 + i));
    let decide = |i: u32| table.decide(client(i), &eximrbl_table::Filter::default(), now);
    show("decide, 4096 known clients", STEPS, || {
        (0..STEPS).for_each(|i| assert!(decide(i % 4096).is_listed()));
    });
    show("decide, unknown clients", STEPS, || {
        (0..STEPS).for_each(|i| assert!(!decide(0x1000_0000 + i).is_listed()));
    });
    let slots = options.slots as u32;
    show("sweep, a slot", slots, || {
        table.sweep(now, Expiry::Due);
    });
}

fn show(what: &str, steps: u32, work: impl FnMut()) {
    let (middle, least) = measure::nanoseconds(RUNS, steps, work);
    println!("  {what:<34} {middle:7.1} ns, least {least:.1} ns");
}

fn report(i: u32) -> Report {
    let network = Network::host(Ipv4Addr::from(0x4000_0000 + i).into());
    Report { network, reason: 1, reporter: 0, weight: Some(1000), seconds: None }
}
