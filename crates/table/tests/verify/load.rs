//! `verify` and `repair` beside writers.

use std::path::Path;
use std::time::{Duration, Instant};

use eximrbl_table::dictionary::LOCAL;
use eximrbl_table::{Expiry, Name, Policy, Report, WritableTable, now};

use crate::home::{Home, Running, VICTIM, network, report};

/// Processes that write, and threads of each.
const WRITERS: u32 = 12;
pub(crate) const THREADS: u32 = 2;
/// Addresses that are never evicted, and whose reports are counted.
const KEPT: u64 = 6;
/// How long the writers may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);
/// Reports of one of them by one thread. A count ends at 262,143; all together stay below.
const KEPT_MOST: u32 = 10_000;

/// Beside writers on a table that is much too small, so that inserts, evictions, waits and names
/// never end: `verify` finds no harm, whatever it sees in the middle of being done, and a repair
/// takes nothing from anyone, be he stopped anywhere. All that was acknowledged is counted.
///
/// Caught: a living owner taken for gone. (What a single look must be, the tests of
/// `slots/inspect.rs` show.)
#[test]
fn beside_writers_nothing_is_found_and_nothing_is_taken() {
    let home = Home::new(96);
    let time = if std::env::var_os("EXIMRBL_TORTURE").is_some() { 60 } else { 6 };
    let mut writers: Vec<_> =
        (0..WRITERS).map(|i| Running::role(&format!("writer {i}"), &home.path)).collect();
    let (start, start_serial) = (Instant::now(), home.table.serial());
    let (mut looks, mut repairs) = (0, 0);
    let is_counted = |key| home.table.entry(network(&format!("198.51.100.{key}")), now()).is_some();
    // On a busy machine they need a while to begin.
    let are_at_work = || start.elapsed() > PATIENCE || (0..KEPT).any(is_counted);
    while start.elapsed() < Duration::from_secs(time) || repairs == 0 || !are_at_work() {
        // One of them stands still, anywhere, while the others go on and the table is repaired.
        let writer = &writers[looks % writers.len()];
        writer.signal(libc::SIGSTOP);
        let findings = home.table.verify_at(now());
        assert!(findings.iter().all(|finding| !finding.harmful), "{findings:#?}");
        writer.signal(libc::SIGCONT);
        looks += 1;
        if looks % 4 != 0 {
            continue;
        }
        writer.signal(libc::SIGSTOP);
        let repair = home.table.repair(now());
        assert!(repair.left.iter().all(|finding| !finding.harmful), "{repair:#?}");
        let dangerous = ["put to rest", "second", "emptied", "is ended", "found again", "events"];
        let taken = repair.mended.iter().find(|text| dangerous.iter().any(|d| text.contains(d)));
        assert_eq!(taken, None);
        writer.signal(libc::SIGCONT);
        home.table.sweep(now(), Expiry::Due);
        repairs += 1;
    }
    std::fs::write(home.path.with_extension("stop"), "").unwrap();
    for writer in &mut writers {
        assert!(writer.0.wait().unwrap().success());
    }
    let told = |i: u32| std::fs::read_to_string(home.path.with_extension(i.to_string())).unwrap();
    let told: Vec<Vec<u32>> =
        (0..WRITERS).map(|i| told(i).split(' ').map(|n| n.parse().unwrap()).collect()).collect();
    let told = told.concat();
    let mut sum = 0;
    for key in 0..KEPT as usize {
        let acknowledged: u32 = told.iter().skip(key).step_by(KEPT as usize).sum();
        let entry = home.table.entry(network(&format!("198.51.100.{key}")), now());
        let count = entry.map_or(0, |entry| entry.count);
        assert_eq!(count, acknowledged, "198.51.100.{key}");
        sum += acknowledged;
    }
    assert!(sum > 0, "they were at work");
    // But for events: a writer who stood still for a whole round of the ring may have spoilt one.
    let left = home.table.repair(now()).left.into_iter();
    let left: Vec<_> = left.filter(|left| !left.text.starts_with("events: ")).collect();
    assert_eq!(left, []);
    let reports = home.table.serial() - start_serial;
    eprintln!(
        "{looks} looks and {repairs} repairs beside {} writers: {reports} changes, {sum} counted",
        WRITERS * THREADS
    );
    assert!(looks > 0 && repairs > 0);
}

/// Reports, forgives and whitelists until told to stop; how many reports of each kept address were
/// acknowledged.
pub(crate) fn write(table: &WritableTable, path: &Path, number: u32) -> Vec<u32> {
    let stop = path.with_extension("stop");
    let mut acknowledged = [0_u32; KEPT as usize];
    let mut random = u64::from(number) + 1;
    for turn in 0_u32.. {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Few addresses, so that writers meet at the same one; many for so small a table.
        let other = network(&format!("192.0.2.{}", random >> 8 & 0xff));
        let key = (random >> 20) % KEPT;
        let report = |network| Report { network, ..report(VICTIM) };
        match random % 16 {
            0 => _ = table.forgive(other, LOCAL, now()),
            1 => _ = table.white(other, Some(1), LOCAL, now()),
            2 => _ = table.white(other, Some(0), LOCAL, now()),
            3 if acknowledged[key as usize] < KEPT_MOST => {
                let network = network(&format!("198.51.100.{key}"));
                let done = table.record_endless(&report(network), now());
                acknowledged[key as usize] += u32::from(done.is_ok());
            }
            4 if turn % 512 == 4 => {
                let name = format!("reason-{}", random >> 32 & 0x1f);
                table.reason(Name::new(name.as_bytes()).unwrap(), false);
            }
            5 if turn % 256 == 5 => {
                let policy = Policy { base_ttl: 600 + number, ..Policy::default() };
                let _ = table.set_policy(&policy);
            }
            _ => _ = table.record(&report(other), now()),
        }
        if turn % 64 == 0 && stop.exists() {
            break;
        }
    }
    acknowledged.to_vec()
}
