//! `eximrbl resize`: what it prints, and that it may be killed at any instant.
//!
//! `EXIMRBL_TORTURE=1` kills it ten times as often at random instants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use eximrbl_table::{Network, Report, Table, WritableTable, now, remove_leftovers};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use support::Home;

fn client(i: u32) -> Network {
    Network::host(std::net::Ipv4Addr::from(0x2d00_0000 + i).into())
}

/// For long enough that nothing runs out, however slow the disk is.
fn report(i: u32) -> Report {
    Report { network: client(i), reason: 1, reporter: 0, weight: None, seconds: Some(100_000) }
}

fn counts(table: &Table) -> BTreeMap<String, u32> {
    let entries: Vec<_> = table.entries(now()).collect();
    let counts: BTreeMap<_, _> =
        entries.iter().map(|entry| (entry.network.to_string(), entry.count)).collect();
    assert_eq!(counts.len(), entries.len(), "each entry once");
    counts
}

fn names(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = found.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// As [`Home::done`], in text and as JSON.
#[test]
fn it_says_what_it_did() {
    let home = Home::new();
    home.done(&["black", "192.0.2.1"]);
    let text = home.done(&["resize", "--slots", "8K"]);
    assert!(text.ends_with("table: 4096 slots before, 8192 now (3.2 MB)\n"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&home.done(&["--json", "resize", "--slots", "1024"])).unwrap();
    assert_eq!((json["slots"].as_u64(), json["listed"].as_u64()), (Some(1024), Some(1)));
    assert_eq!(home.run(&["show", "192.0.2.1"]).status, 0);
    assert_eq!(names(home.directory.path()), ["table"]);
}

/// What cannot be is refused, with what to do, and nothing is left behind.
#[test]
fn it_says_why_not() {
    let home = Home::new();
    for i in 0..100 {
        home.done(&["black", &format!("45.0.0.{i}")]);
    }
    let refused = home.run(&["resize", "--slots", "120"]);
    assert_eq!(refused.status, 2);
    let told = "eximrbl: 120 slots are too few for 100 live entries; take 136 or more\n";
    assert_eq!(refused.stderr, told);
    assert_eq!(home.run(&["resize", "--slots", "3"]).status, 2);
    assert_eq!(home.run(&["resize"]).status, 2);
    fs::remove_file(&home.table).unwrap();
    let refused = home.run(&["resize", "--slots", "1024"]);
    assert!(refused.stderr.contains("no such table"), "{}", refused.stderr);
    assert_eq!(names(home.directory.path()), [""; 0]);
}

/// What must hold after a kill, whenever it came: one whole table is in place, with every entry; it
/// can be read and written; the next resize finishes everything.
fn check(folder: &Path, table: &Path, expected: &BTreeMap<String, u32>) {
    let left = names(folder);
    let count = |kind: &str| left.iter().filter(|name| name.contains(kind)).count();
    assert!(left.contains(&"table".to_owned()), "{left:?}");
    assert!(count(".new-") <= 1 && count(".old-") <= 1 && left.len() <= 3, "{left:?}");
    assert_eq!(counts(&Table::open(table).unwrap()), *expected, "{left:?}");
    let handle = WritableTable::open(table).unwrap();
    let harmful = handle.verify().into_iter().find(|finding| finding.harmful);
    assert_eq!(harmful, None, "{left:?}");
    let known = expected[&client(1).to_string()];
    assert_eq!(handle.record(&report(1), now()).unwrap().count, known + 1);
    let mut expected = expected.clone();
    expected.insert(client(1).to_string(), known + 1);
    handle.resize(1024).unwrap();
    assert_eq!(counts(&Table::open(table).unwrap()), expected);
    remove_leftovers(table).unwrap();
    // A file that is being made is spared for a minute.
    let old: Vec<_> = names(folder).into_iter().filter(|name| !name.contains(".new-")).collect();
    assert_eq!(old, ["table"]);
}

/// The tool is killed just before each of its system calls, from the first to the last: whatever is
/// in the folder then, nothing is lost. Caught: the rename before the second name; a header that
/// names no predecessor.
#[test]
fn a_kill_before_any_system_call_loses_nothing() {
    let template = Home::empty();
    template.done(&["create", "--slots", "512"]);
    let table = WritableTable::open(&template.table).unwrap();
    for i in 0..100 {
        (0..=i % 3).for_each(|_| _ = table.record(&report(i), now()).unwrap());
    }
    let expected = counts(&table);
    drop(table);
    let mut calls = 0;
    loop {
        let home = Home::empty();
        fs::copy(&template.table, &home.table).unwrap();
        let is_over = killed_before_call(home.command(&["resize", "--slots", "2048"]), calls);
        check(home.directory.path(), &home.table, &expected);
        if is_over {
            break;
        }
        calls += 1;
    }
    eprintln!("resize: killed before each of its {calls} system calls, nothing lost");
    assert!(calls > 50, "only {calls} system calls were seen");
}

/// Runs a command and kills it before the system call of this number; true if it has fewer.
#[allow(clippy::zombie_processes, reason = "waitpid takes it, or `end` does")]
fn killed_before_call(mut command: Command, number: u32) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec nothing but ptrace(2) is called, which is safe there.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    assert!(matches!(waitpid(pid, None).unwrap(), WaitStatus::Stopped(_, Signal::SIGTRAP)));
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    let mut stops = 0;
    loop {
        ptrace::syscall(pid, None).unwrap();
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                // Each call stops twice: before and after.
                if stops == 2 * number {
                    end(&mut child);
                    return false;
                }
                stops += 1;
            }
            WaitStatus::Exited(_, status) => {
                assert_eq!(status, 0);
                return true;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The tool is killed at random instants, most of them while it carries entries over, beside writers
/// who go on all the time through handles of before. Every report that returned is there.
#[test]
fn a_kill_at_any_instant_loses_nothing() {
    const KEYS: u32 = 3000;
    let kills = if std::env::var_os("EXIMRBL_TORTURE").is_some() { 300 } else { 30 };
    let home = Home::new();
    let table = WritableTable::open(&home.table).unwrap();
    (0..KEYS).for_each(|i| _ = table.record(&report(i), now()).unwrap());
    let accepted: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(1)).collect();
    let stop = AtomicBool::new(false);
    let slots = |round: u32| if round.is_multiple_of(2) { "16384" } else { "8192" };
    let begun = Instant::now();
    home.done(&["resize", "--slots", slots(1)]);
    let whole = begun.elapsed();
    let mut interrupted = 0;
    std::thread::scope(|scope| {
        for thread in 0..2_u32 {
            let (home, accepted, stop) = (&home, &accepted, &stop);
            scope.spawn(move || {
                let mut handle = WritableTable::open(&home.table).unwrap();
                let mut i = thread;
                while !stop.load(Ordering::Relaxed) {
                    i = i.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let key = (i >> 8) % KEYS;
                    handle.record(&report(key), now()).unwrap();
                    accepted[key as usize].fetch_add(1, Ordering::Relaxed);
                    if i.is_multiple_of(4096) {
                        handle = WritableTable::open(&home.table).unwrap();
                    }
                }
            });
        }
        for round in 0..kills {
            let mut command = home.command(&["resize", "--slots", slots(round)]);
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            // A spread over the whole run, by a fixed sequence.
            std::thread::sleep(whole * (round.wrapping_mul(7919) % 100) / 80);
            end(&mut child);
            interrupted += u32::from(Table::open(&home.table).unwrap().is_resizing());
            let seen = counts(&Table::open(&home.table).unwrap());
            assert_eq!(seen.len(), KEYS as usize, "round {round}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    home.done(&["resize", "--slots", "8192"]);
    let fresh = Table::open(&home.table).unwrap();
    for (i, accepted) in (0..).zip(&accepted) {
        let entry = fresh.entry(client(i), now()).unwrap();
        assert_eq!(entry.count, accepted.load(Ordering::Relaxed), "{}", client(i));
    }
    assert_eq!(fresh.verify(), []);
    remove_leftovers(&home.table).unwrap();
    eprintln!("resize: killed {kills} times at random, {interrupted} times half-way, nothing lost");
    assert!(whole < Duration::from_secs(60));
}
