//! `import --rejectlog --follow`, beside a log that grows, through the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use eximrbl_table::now;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{Home, network, text};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that follows `log` in a home's folder.
struct Follower {
    child: Child,
    errors: PathBuf,
}

impl Follower {
    fn start(home: &Home, more: &[&str]) -> Self {
        let log = log_of(home);
        let start = ["--json", "import", "--follow"];
        let arguments = [&start, more, &["--rejectlog", text(&log)]].concat();
        let errors = home.directory.path().join("errors");
        let file = OpenOptions::new().append(true).create(true).open(&errors).unwrap();
        let mut command = home.command(&arguments);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file).spawn();
        Self { child: child.unwrap(), errors }
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    /// The files that it has open, by the names that they have now.
    fn open_files(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        folder.flatten().filter_map(|file| fs::read_link(file.path()).ok()).collect()
    }

    /// Ends it by SIGTERM; the account of it.
    fn end(mut self) -> Value {
        self.signal(Signal::SIGTERM);
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let status: ExitStatus = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.errors());
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It has ended already if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_of(home: &Home) -> PathBuf {
    home.directory.path().join("log")
}

/// The line of a recipient that was rejected just now.
fn rcpt(last: u8) -> String {
    let time = jiff::Timestamp::from_second(i64::from(now())).unwrap();
    let text = "F=<a@b.example> rejected RCPT <c@example.org>: no";
    format!("{} H=(x) [203.0.113.{last}] {text}\n", time.strftime("%Y-%m-%d %H:%M:%S"))
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn wait_until(what: &str, follower: &Follower, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain until {what}; it said: {}", follower.errors());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often an address was rejected.
fn count(home: &Home, last: u8) -> u32 {
    let address = network(&format!("203.0.113.{last}"));
    home.open().entry(address, now()).map_or(0, |entry| entry.count)
}

fn wait_for(home: &Home, follower: &Follower, last: u8) {
    wait_until(&format!("203.0.113.{last} is recorded"), follower, || count(home, last) > 0);
}

/// Caught: a log that is not there yet given up; half a line taken for a line.
#[test]
fn a_log_that_comes_later_and_grows() {
    let home = Home::new();
    let follower = Follower::start(&home, &[]);
    wait_until("it says that it waits", &follower, || follower.errors().contains("; waiting\n"));
    let log = log_of(&home);
    append(&log, &rcpt(1));
    wait_for(&home, &follower, 1);
    let line = rcpt(2);
    append(&log, &line[..60]);
    append(&log, &line[60..]);
    wait_for(&home, &follower, 2);
    let account = follower.end();
    assert_eq!((&account["lines"], &account["recorded"]), (&2.into(), &2.into()), "{account}");
    assert_eq!((count(&home, 1), count(&home, 2)), (1, 1));
}

/// Caught: what was written to the old file after its renaming lost; the old file held open.
#[test]
fn a_log_that_is_renamed() {
    let home = Home::new();
    let (log, old) = (log_of(&home), home.directory.path().join("log.1"));
    append(&log, &rcpt(1));
    let follower = Follower::start(&home, &[]);
    wait_for(&home, &follower, 1);
    // A process of Exim's that had it open. All of it is done between two looks at the log.
    let mut exim = OpenOptions::new().append(true).open(&log).unwrap();
    follower.signal(Signal::SIGSTOP);
    fs::rename(&log, &old).unwrap();
    exim.write_all(rcpt(2).as_bytes()).unwrap();
    append(&log, &rcpt(3));
    follower.signal(Signal::SIGCONT);
    for last in [2, 3] {
        wait_for(&home, &follower, last);
    }
    let open = follower.open_files();
    assert!(open.contains(&log) && !open.contains(&old), "{open:?}");
    // And twice between two looks.
    follower.signal(Signal::SIGSTOP);
    fs::rename(&log, home.directory.path().join("log.3")).unwrap();
    append(&log, &rcpt(4));
    fs::rename(&log, home.directory.path().join("log.2")).unwrap();
    append(&log, &rcpt(5));
    follower.signal(Signal::SIGCONT);
    wait_for(&home, &follower, 5);
    assert_eq!(follower.end()["lines"], 5);
    assert_eq!([1, 2, 3, 4, 5].map(|last| count(&home, last)), [1; 5], "each once");
}

/// Caught: a file that was truncated read on from the old place; one that has grown beyond it since.
#[test]
fn a_log_that_is_truncated() {
    let home = Home::new();
    let log = log_of(&home);
    append(&log, &(rcpt(1) + &rcpt(2)));
    let follower = Follower::start(&home, &[]);
    wait_for(&home, &follower, 2);
    File::create(&log).unwrap();
    append(&log, &rcpt(3));
    wait_for(&home, &follower, 3);
    // At once as long as before, and longer.
    follower.signal(Signal::SIGSTOP);
    fs::write(&log, rcpt(4) + &rcpt(5) + &rcpt(6)).unwrap();
    follower.signal(Signal::SIGCONT);
    wait_for(&home, &follower, 6);
    follower.end();
    assert_eq!([1, 2, 3, 4, 5, 6].map(|last| count(&home, last)), [1; 6], "each once");
}

/// Caught: the position not saved at the end; one that was saved not taken up.
#[test]
fn who_ends_and_comes_again_goes_on_where_he_was() {
    let home = Home::new();
    let (log, old) = (log_of(&home), home.directory.path().join("log.1"));
    let position = home.directory.path().join("position");
    let options = ["--position", text(&position)];
    append(&log, &rcpt(1));
    let follower = Follower::start(&home, &options);
    wait_for(&home, &follower, 1);
    follower.end();
    // Meanwhile.
    append(&log, &rcpt(2));
    fs::rename(&log, &old).unwrap();
    append(&log, &rcpt(3));
    let follower = Follower::start(&home, &options);
    for last in [2, 3] {
        wait_for(&home, &follower, last);
    }
    wait_until("the old log is closed", &follower, || !follower.open_files().contains(&old));
    assert_eq!(follower.end()["lines"], 2);
    assert_eq!([1, 2, 3].map(|last| count(&home, last)), [1; 3], "each once");
}

/// Caught: positions written at the end only.
#[test]
fn who_is_killed_has_lost_no_more_than_his_place_of_a_second() {
    let home = Home::new();
    let position = home.directory.path().join("position");
    let options = ["--position", text(&position)];
    append(&log_of(&home), &rcpt(1));
    let mut follower = Follower::start(&home, &options);
    wait_until("the position is saved", &follower, || position.exists());
    follower.child.kill().unwrap();
    follower.child.wait().unwrap();
    append(&log_of(&home), &rcpt(2));
    let follower = Follower::start(&home, &options);
    wait_for(&home, &follower, 2);
    follower.end();
    assert_eq!([1, 2].map(|last| count(&home, last)), [1; 2]);
}

/// Caught: rules that were read once; bad rules that took the good ones' place.
#[test]
fn rules_are_read_anew_on_sighup() {
    let home = Home::new();
    let log = log_of(&home);
    let rules = home.file("rules", "- - ^HOST rejected RCPT\n");
    let follower = Follower::start(&home, &["--rules", text(&rules)]);
    wait_until("it says that it waits", &follower, || follower.errors().contains("; waiting\n"));
    home.file("rules", "bad - ^HOST (rejected\n");
    follower.signal(Signal::SIGHUP);
    let kept = "the rules stay as they were";
    wait_until("it says what is wrong", &follower, || follower.errors().contains(kept));
    assert!(follower.errors().contains("/rules: line 1: not a regular expression"));
    home.file("rules", "good 7 ^HOST rejected RCPT\n");
    follower.signal(Signal::SIGHUP);
    // The signal is taken in before what is written after it is read, or at the next turn.
    wait_until("the new rules hold", &follower, || {
        append(&log, &rcpt(1));
        std::thread::sleep(Duration::from_millis(50));
        count(&home, 1) > 0
    });
    let account = follower.end();
    assert_eq!(account["reasons"].as_object().unwrap().keys().collect::<Vec<_>>(), ["good"]);
    assert_eq!(count(&home, 1) % 7, 0);
}

/// Caught: the table that was opened first written to for ever.
#[test]
fn a_table_in_the_place_of_another_is_taken_up() {
    let home = Home::new();
    let log = log_of(&home);
    append(&log, &rcpt(1));
    let follower = Follower::start(&home, &[]);
    wait_for(&home, &follower, 1);
    fs::rename(&home.table, home.directory.path().join("old")).unwrap();
    home.done(&["create", "--slots", "4096"]);
    wait_until("the new table is written to", &follower, || {
        append(&log, &rcpt(2));
        std::thread::sleep(Duration::from_millis(50));
        count(&home, 2) > 0
    });
    // And one of another size.
    home.done(&["resize", "--slots", "8192"]);
    append(&log, &rcpt(3));
    wait_for(&home, &follower, 3);
    follower.end();
}

/// Caught: a directory taken for a log that is to come.
#[test]
fn what_cannot_be_followed_is_told_once() {
    let home = Home::new();
    fs::create_dir(log_of(&home)).unwrap();
    let other = home.directory.path().join("other");
    append(&other, &rcpt(1));
    let follower = Follower::start(&home, &["--rejectlog", text(&other)]);
    // Both are looked at in the same turn; so when the other is read twice, this one was, too.
    wait_for(&home, &follower, 1);
    append(&other, &rcpt(2));
    wait_for(&home, &follower, 2);
    assert_eq!(
        follower.errors().matches("/log: not a file; name a log file; waiting\n").count(),
        1
    );
    follower.end();
}
