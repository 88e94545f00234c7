//! The clock is set wrong while the daemon runs, or was wrong when it started.
//!
//! `EXIMRBL_TORTURE=1` also waits until it is trusted again, which takes a minute.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Daemon, PLAIN, Place, command, record};
use eximrbl_table::{Table, now};

const A: u16 = 1;
const NXDOMAIN: u16 = 3;
const LISTED: [[u8; 4]; 1] = [[127, 0, 0, 2]];
const YEAR: i64 = 365 * 86_400;

/// A daemon whose time of day is set by a file (Debian's libfaketime); other clocks run on.
struct Faked {
    daemon: Daemon,
    place: Place,
}

impl Faked {
    /// Starts it with a clock that is so many seconds wrong.
    fn start(place: Place, wrong: i64) -> Self {
        set(&place, wrong);
        let config = place.configure(PLAIN);
        let mut command = command(&["--log", "debug", "--config", config.to_str().unwrap()]);
        command
            .env("LD_PRELOAD", libfaketime())
            .env("FAKETIME_TIMESTAMP_FILE", place.path("wrong"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        Self { daemon: Daemon::run_command(command), place }
    }

    /// Sets its clock.
    fn set(&self, wrong: i64) {
        set(&self.place, wrong);
    }

    /// Waits for so many sweeps from now on.
    fn wait_for_sweeps(&self, number: usize) {
        let swept = || self.daemon.log().matches("DEBUG swept").count();
        let (before, started) = (swept(), Instant::now());
        while swept() < before + number {
            assert!(started.elapsed() < Duration::from_secs(60), "{}", self.daemon.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for a line of the log for up to two minutes.
    fn wait_long_for(&self, text: &str) {
        let started = Instant::now();
        while !self.daemon.log().contains(text) {
            assert!(started.elapsed() < Duration::from_secs(120), "{}", self.daemon.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Faked {
    /// libfaketime leaves shared memory behind when a program is killed.
    fn drop(&mut self) {
        for start in ["faketime_shm_", "sem.faketime_sem_"] {
            let _ = fs::remove_file(format!("/dev/shm/{start}{}", self.daemon.pid()));
        }
    }
}

fn set(place: &Place, wrong: i64) {
    // Made aside and renamed: a look meanwhile must not see half a number.
    fs::write(place.path("new"), format!("{wrong:+}\n")).unwrap();
    fs::rename(place.path("new"), place.path("wrong")).unwrap();
}

fn libfaketime() -> PathBuf {
    let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = [triplet.as_str(), "/usr/lib"]
        .map(|folder| Path::new(folder).join("faketime/libfaketime.so.1"));
    let found = places.iter().find(|path| path.exists());
    found.expect("the package faketime is needed (tests/run.sh installs it)").clone()
}

fn is_long() -> bool {
    std::env::var_os("EXIMRBL_TORTURE").is_some()
}

/// Caught: sweeps with `Expiry::Due` always (the entries were gone when the year was back).
#[test]
fn a_year_forward_and_back_loses_no_entry() {
    let faked = Faked::start(Place::new(), 0);
    let (daemon, table) = (&faked.daemon, faked.place.table());
    for host in 1..=200 {
        record(&table, &format!("192.0.2.{host}"), "rcpt");
    }
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
    faked.set(YEAR);
    // Answers follow the clock, as it is all that there is.
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).code(), NXDOMAIN);
    faked.wait_for_sweeps(2);
    faked.set(0);
    faked.wait_for_sweeps(1);
    // Before the minute is over after which the clock is trusted again, and that is told.
    let log = daemon.log();
    for host in 1..=200 {
        let name = format!("{host}.2.0.192.rbl.example");
        assert_eq!(daemon.ask(&name, A).addresses(), LISTED, "{host}\n{}", daemon.log());
    }
    assert_eq!(Table::open(&table).unwrap().info(now()).listed, 200);
    let held = "WARN the clock was set by +3153";
    assert_eq!(log.matches(held).count(), 1, "{log}");
    assert_eq!(log.matches("the clock").count(), 1, "told more than once:\n{log}");
    if is_long() {
        faked.wait_long_for("INFO the clock is steady; what has expired is removed again");
        assert_eq!(daemon.log().matches("the clock").count(), 2, "{}", daemon.log());
        assert_eq!(Table::open(&table).unwrap().info(now()).listed, 200);
    }
}

/// Caught: no comparison with the table's making.
#[test]
fn a_clock_that_is_wrong_at_the_start_is_noticed_and_service_goes_on() {
    let place = Place::new();
    // The table is of now, so two years ago is before it was made.
    drop(Daemon::start(&place, PLAIN));
    record(&place.table(), "192.0.2.1", "rcpt");
    let faked = Faked::start(place, -2 * YEAR);
    let (daemon, table) = (&faked.daemon, faked.place.table());
    daemon.wait_for("WARN the clock is wrong, for the table was made later");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
    // As NTP does a little later.
    faked.set(0);
    faked.wait_for_sweeps(2);
    let log = daemon.log();
    assert_eq!(log.matches("the clock").count(), 1, "{log}");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
    assert_eq!(Table::open(&table).unwrap().info(now()).listed, 1);
    if is_long() {
        faked.wait_long_for("INFO the clock is steady");
    }
}
