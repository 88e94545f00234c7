//! A table that is resized while the daemon serves it; and a resize that nobody finishes.
//!
//! `EXIMRBL_TORTURE=1` interrupts more resizes, of a larger table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Daemon, PLAIN, Place, is_root, record};
use eximrbl_table::{CreateOptions, Report, Table, WritableTable, dictionary, now};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

const A: u16 = 1;
const LISTED: [[u8; 4]; 1] = [[127, 0, 0, 2]];
/// Names a table to the program of this test when it is run to resize it.
const MARK: &str = "EXIMRBL_RESIZE";

/// Files beside the table that begin with its name.
fn beside(place: &Place) -> Vec<OsString> {
    let names = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with("table.")).collect()
}

/// How often a process has a file of the folder mapped, deleted ones too.
fn mapped(daemon: &Daemon, place: &Place) -> usize {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
    maps.matches(place.table().to_str().unwrap()).count()
}

/// Not one query is without its answer, and each has the right one.
///
/// Caught: a keeper that leaves it to the opened table to follow (no line in the log, and each old
/// table's memory kept for ever).
#[test]
fn answers_go_on_while_the_table_is_resized_and_the_old_one_is_let_go_of() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let table = place.table();
    let clients: Vec<String> = (1..=250).map(|host| format!("192.0.2.{host}")).collect();
    for client in &clients {
        record(&table, client, "rcpt");
    }
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let number = asked.load(Ordering::Relaxed);
                let host = number % clients.len() + 1;
                let response = daemon.ask(&format!("{host}.2.0.192.rbl.example"), A);
                assert_eq!(response.addresses(), LISTED, "query {number}: {host}");
                asked.store(number + 1, Ordering::Relaxed);
            }
        });
        for slots in [16_384, 1024, 8192] {
            let before = asked.load(Ordering::Relaxed);
            let resized = WritableTable::open(&table).unwrap().resize(slots).unwrap();
            assert_eq!(resized.slots, slots);
            daemon
                .wait_for(&format!("INFO table {} was resized to {slots} slots", table.display()));
            let enough = || asking.is_finished() || asked.load(Ordering::Relaxed) > before + 50;
            common::wait_until(enough, || "no answers".to_owned());
        }
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap();
    });
    record(&table, "192.0.2.251", "rcpt");
    assert_eq!(daemon.ask("251.2.0.192.rbl.example", A).addresses(), LISTED);
    common::wait_until(|| mapped(&daemon, &place) == 1, || "an old table is mapped".to_owned());
    assert_eq!(beside(&place), [] as [OsString; 0]);
    let log = daemon.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    assert_eq!(log.matches("was resized").count(), 3, "{log}");
}

/// Resizes a table: run by the test below, in a process of its own.
#[test]
#[ignore = "runs in a process of another test"]
fn resize() {
    if let Some(path) = std::env::var_os(MARK) {
        WritableTable::open(path.as_ref()).unwrap().resize(1 << 19).unwrap();
    }
}

fn start_resize(table: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "resize"]).env(MARK, table);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Makes a table in which so many clients are listed, for the daemon to write.
fn fill(table: &Path, clients: u32) {
    let nobody = User::from_name("nobody").unwrap().unwrap().uid.as_raw();
    let owner = is_root().then_some(nobody);
    let options = CreateOptions { slots: 1 << 18, owner, ..CreateOptions::default() };
    let table = WritableTable::create(table, &options).unwrap();
    for client in 0..clients {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + client);
        let network = address.to_string().parse().unwrap();
        let report =
            Report { network, reason: 1, reporter: dictionary::LOCAL, weight: None, seconds: None };
        table.record(&report, now()).unwrap();
    }
}

/// Begins to resize a table, and stops or kills the process that does so; `None` when that came too late.
fn interrupted(table: &Path, signal: Signal) -> Option<Child> {
    let mut resizer = start_resize(table);
    let pid = Pid::from_raw(resizer.id() as i32);
    let started = Instant::now();
    while !Table::open(table).is_ok_and(|table| table.is_resizing()) {
        if resizer.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "no resize has begun");
    }
    kill(pid, signal).unwrap();
    if Table::open(table).unwrap().is_resizing() {
        return Some(resizer);
    }
    let _ = kill(pid, Signal::SIGKILL);
    resizer.wait().unwrap();
    None
}

/// The first second of a resize is spent on entries; it is stopped or killed within it.
///
/// Caught: a keeper that leaves resizes to those who began them; one that keeps the old table's
/// memory when the resize is over.
#[test]
fn a_resize_that_is_stopped_or_killed_is_finished() {
    let is_long = std::env::var_os("EXIMRBL_TORTURE").is_some();
    let (clients, times) = if is_long { (120_000, 10) } else { (30_000, 1) };
    for signal in [Signal::SIGSTOP, Signal::SIGKILL].repeat(times) {
        // This process may have to wait at the wrong moment, until the resize is over.
        let staged = (0..10).find_map(|_| {
            let place = Place::new();
            fill(&place.table(), clients);
            let daemon = Daemon::start(&place, PLAIN);
            let resizer = interrupted(&place.table(), signal)?;
            Some((place, daemon, resizer))
        });
        let (place, daemon, mut resizer) = staged.expect("each was over before it was interrupted");
        let table = place.table();
        // Answers come from both tables meanwhile.
        for host in [0, 1, 77] {
            let name = format!("{host}.0.0.11.rbl.example");
            assert_eq!(daemon.ask(&name, A).addresses(), LISTED, "{host}");
        }
        let ready = "INFO finished a resize of the table that was under way";
        let started = Instant::now();
        while !daemon.log().contains(ready) {
            assert!(started.elapsed() < Duration::from_secs(180), "{}", daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = resizer.kill();
        resizer.wait().unwrap();
        let info = Table::open(&table).unwrap().info(now());
        assert_eq!((info.slots, info.listed), (1 << 19, u64::from(clients)));
        assert!(!Table::open(&table).unwrap().is_resizing());
        assert_eq!(beside(&place), [] as [OsString; 0], "the old table is still there");
        let maps = || fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
        let otherwise = || format!("more than one is mapped:\n{}\n{}", daemon.log(), maps());
        common::wait_until(|| mapped(&daemon, &place) == 1, otherwise);
        assert_eq!(daemon.ask("77.0.0.11.rbl.example", A).addresses(), LISTED);
    }
}

/// Caught: no cleaning up at the start.
#[test]
fn leftovers_of_attempts_are_removed_at_the_start() {
    let place = Place::new();
    drop(Daemon::start(&place, PLAIN));
    let path = |name: &str| PathBuf::from(format!("{}{name}", place.table().display()));
    let (old, new) = (path(".old-0123456789abcdef"), path(".new-0123456789abcdef"));
    let foreign = path(".old-of-somebody");
    for file in [&old, &new, &foreign] {
        fs::write(file, "what is left").unwrap();
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let daemon = Daemon::start(&place, PLAIN);
    for file in [&old, &new] {
        daemon.wait_for(&format!("INFO removed {}, left by an attempt", file.display()));
        assert!(!file.exists());
    }
    assert!(foreign.exists());
}
