//! `verify` and `repair`: damage made on purpose, found, mended, and the neighbours untouched; and
//! both beside writers who are killed and stopped.
//!
//! The load runs for a few seconds; with EXIMRBL_TORTURE=1 in the environment, for a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cases;
mod home;
mod load;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use eximrbl_table::{WritableTable, now};

use home::{
    CLAIMED, CONTROLS, EMPTY, Home, QUARANTINED, Running, VICTIM, network, report, sees_everybody,
    wait_for,
};

/// The one that look-ups answer is kept, with its count; the other is ended.
///
/// Caught: `lower_twin` that looks for a higher one.
#[test]
fn of_two_entries_the_one_that_is_answered_stays() {
    let home = Home::furnished(1056);
    let first = home.slot_of(VICTIM);
    home.copy_victim(home.free_slot(true));
    home.table.record(&report(VICTIM), now()).unwrap();
    assert_eq!(home.table.entry(network(VICTIM), now()).unwrap().count, 4);
    home.table.repair(now());
    assert_eq!(home.slot_of(VICTIM), first);
    assert_eq!(home.table.entry(network(VICTIM), now()).unwrap().count, 4);
    let twins = home.table.entries(now()).filter(|entry| entry.network == network(VICTIM));
    assert_eq!(twins.count(), 1);
}

/// A clock that is wrong for a moment must not empty the table.
///
/// Caught: a repair that ends entries which end too late.
#[test]
fn a_wrong_clock_ends_nothing() {
    let home = Home::furnished(1064);
    let before = home.entries(VICTIM);
    let ahead = now() + 40_000_000;
    home.table.record(&report("203.0.113.1"), ahead).unwrap();
    for wrong in [0, 1_000_000_000, now(), now() - 31_600_000, ahead, u32::MAX] {
        let repair = home.table.repair(wrong);
        assert_eq!(repair.mended, [""; 0]);
        assert!(repair.left.iter().all(|finding| !finding.harmful), "{repair:#?}");
        assert_eq!(home.entries(VICTIM), before);
    }
    assert_eq!(home.table.entry(network("203.0.113.1"), ahead).unwrap().count, 1);
}

/// Another table was copied over the file while it was open: by the seed of the old one, every slot
/// of it looks damaged.
///
/// Caught: a repair without a look at the header.
#[test]
fn a_table_that_was_overwritten_by_another_is_not_repaired_to_death() {
    let (home, other) = (Home::furnished(1088), Home::furnished(1088));
    let bytes = std::fs::read(&other.path).unwrap();
    home.file.write_all_at(&bytes, 0).unwrap();
    let repair = home.table.repair(now());
    assert_eq!(repair.mended, [""; 0]);
    assert!(repair.left[0].text.contains("the header was overwritten"), "{:?}", repair.left[0]);
    assert_eq!(WritableTable::open(&home.path).unwrap().verify(), []);
    assert!(std::fs::read(&home.path).unwrap() == bytes, "nothing was touched");
}

/// Claims and slots at rest, by what can be known of their owners.
///
/// Caught: a living owner taken for gone; no stranger proven; a proof that nobody else has the table
/// open without a look at anybody.
#[test]
fn only_owners_who_are_proven_gone_lose_their_slots() {
    let home = Home::new(1136);
    let mut holder = Running::role("holder", &home.path);
    wait_for("the holder", || home.word(CONTROLS) == CLAIMED << 61 | 5 << 32 | holder.pid());
    holder.signal(libc::SIGSTOP);
    let stranger = Running::stranger();
    let (alive, rest) = (home.word(CONTROLS), QUARANTINED << 61 | 6 << 32);
    home.poke(CONTROLS + 1, rest | holder.pid());
    home.poke(CONTROLS + 2, rest | stranger.pid());
    home.poke(CONTROLS + 3, CLAIMED << 61 | 7 << 32 | 1 << 30 | stranger.pid());
    home.poke(CONTROLS + 4, CLAIMED << 61 | 8 << 32 | 1 << 30);
    home.poke(CONTROLS + 5, rest);

    let repair = home.repair();
    assert_eq!(home.word(CONTROLS), alive, "a stopped owner keeps his claim: {repair:#?}");
    assert_eq!(home.word(CONTROLS + 1), rest | holder.pid(), "and a slot at rest");
    for (slot, generation) in [(2, 7), (3, 9)] {
        assert_eq!(home.word(CONTROLS + slot), generation << 32, "another process: {repair:#?}");
    }
    // The holder may be the one who claimed without saying who he is.
    assert_eq!(home.state(4), CLAIMED, "{repair:#?}");
    assert_eq!(home.state(5), QUARANTINED, "{repair:#?}");
    assert_eq!(repair.left.len(), 4, "{repair:#?}");
    assert!(repair.left.iter().all(|left| !left.harmful && !left.repairable), "{repair:#?}");
    let alive = format!("until process {} goes on or ends, which has the table open", holder.pid());
    assert_eq!(repair.left.iter().filter(|left| left.text.contains(&alive)).count(), 2);

    holder.0.kill().unwrap();
    let _ = holder.0.wait();
    let repair = home.repair();
    assert_eq!((home.state(0), home.state(1)), (EMPTY, EMPTY), "{repair:#?}");
    if sees_everybody() {
        assert_eq!((home.state(4), home.state(5)), (EMPTY, EMPTY), "{repair:#?}");
        assert_eq!(repair.left, []);
    } else {
        assert_eq!(repair.left.len(), 2, "{repair:#?}");
    }
}

/// A process that has ended but was not waited for has a pid, and no memory.
///
/// Caught: an empty list of mappings taken for one that cannot be read.
#[test]
fn a_process_that_nobody_waits_for_is_gone() {
    let home = Home::new(1208);
    let mut holder = Running::role("holder", &home.path);
    wait_for("the holder", || home.word(CONTROLS) == CLAIMED << 61 | 5 << 32 | holder.pid());
    holder.0.kill().unwrap();
    let stat = format!("/proc/{}/stat", holder.pid());
    // The first of its threads may have ended while another still has the memory.
    let threads = format!("/proc/{}/task", holder.pid());
    wait_for("the end", || {
        std::fs::read_to_string(&stat).unwrap().contains(") Z ")
            && std::fs::read_dir(&threads).unwrap().count() == 1
    });
    assert_eq!(home.repair().left, []);
    assert_eq!(home.word(CONTROLS), 7 << 32);
}

/// What the children of these tests do.
#[test]
fn role() {
    let Ok(role) = std::env::var("EXIMRBL_TEST_ROLE") else { return };
    let path = PathBuf::from(std::env::var_os("EXIMRBL_TEST_TABLE").unwrap());
    let table = WritableTable::open(&path).unwrap();
    match role.split_once(' ') {
        // Claims the first slot, in the middle of which he is stopped or killed.
        None => {
            let file = File::options().write(true).open(&path).unwrap();
            let claim = CLAIMED << 61 | 5 << 32 | u64::from(std::process::id());
            file.write_all_at(&claim.to_ne_bytes(), CONTROLS * 8).unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
        Some((_, number)) => {
            let number: u32 = number.parse().unwrap();
            let write = |thread| load::write(&table, &path, number * load::THREADS + thread);
            let counts: Vec<Vec<u32>> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..load::THREADS).map(|thread| scope.spawn(move || write(thread))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let text: Vec<_> = counts.concat().iter().map(u32::to_string).collect();
            std::fs::write(path.with_extension(number.to_string()), text.join(" ")).unwrap();
        }
    }
}
