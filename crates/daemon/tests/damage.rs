//! Tables that are not whole, are no tables, or that Exim cannot write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::{Daemon, PLAIN, Place, fails, is_root, record};
use eximrbl_table::{CreateOptions, Name, Report, WritableTable, dictionary, now};
use nix::unistd::{Group, User};

const A: u16 = 1;
const LISTED: [[u8; 4]; 1] = [[127, 0, 0, 2]];

/// Makes a table that `nobody` can write to.
fn make(path: &Path) {
    let owner = is_root().then(|| user("nobody").uid.as_raw());
    let options = CreateOptions { slots: 4096, owner, ..CreateOptions::default() };
    drop(WritableTable::create(path, &options).unwrap());
}

fn user(name: &str) -> User {
    User::from_name(name).unwrap().unwrap()
}

fn set_length(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// The tables that were moved aside.
fn moved_aside(place: &Place) -> Vec<PathBuf> {
    let start = format!("{}.damaged-", place.table().display());
    let paths = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().starts_with(&start)).collect()
}

/// Starts the daemon so that its log tells of sweeps.
fn start(place: &Place, rest: &str) -> Daemon {
    let config = place.configure(rest);
    Daemon::run(&["--log", "debug", "--config", config.to_str().unwrap()])
}

/// Waits until a sweep is over: for seconds from now on, the daemon reads no page of the table by itself
/// before it has looked at the file.
fn after_a_sweep(daemon: &Daemon) {
    let swept = || daemon.log().matches("DEBUG swept").count();
    let before = swept();
    common::wait_until(|| swept() > before, || daemon.log());
}

/// Lists a client as the administrator's tool does.
fn black(table: &Path, client: &str) {
    let table = WritableTable::open(table).unwrap();
    let report = Report {
        network: client.parse().unwrap(),
        reason: table.reason(Name::new(b"manual").unwrap(), true),
        reporter: dictionary::ADMIN,
        weight: None,
        seconds: None,
    };
    table.record_endless(&report, now()).unwrap();
}

#[test]
fn a_table_cut_short_or_enlarged_while_it_is_served_is_moved_aside_and_made_anew() {
    for change in [-4096_i64, 4096, i64::MIN] {
        let place = Place::new();
        let table = place.table();
        let mut daemon = start(&place, &format!("[policy]\nthreshold = 2\n{PLAIN}"));
        record(&table, "192.0.2.1", "rcpt");
        let whole = fs::metadata(&table).unwrap().len();
        // At least the header is left, or nobody could tell that it was a table.
        let length = whole.saturating_add_signed(change).max(4096);
        // No sweep and no query in between: a page that is gone ends the daemon.
        after_a_sweep(&daemon);
        set_length(&table, length);
        daemon.wait_for(&format!(
            "ERROR table {table}: {length} bytes, but its header needs {whole}: it was cut short \
             or enlarged; moved to {table}.damaged-",
            table = table.display()
        ));
        daemon.wait_for("was damaged; made an empty one");
        black(&table, "192.0.2.2");
        record(&table, "192.0.2.3", "rcpt");
        record(&table, "192.0.2.4", "rcpt");
        record(&table, "192.0.2.4", "rcpt");
        assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), LISTED);
        assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
        assert!(
            daemon.ask("3.2.0.192.rbl.example", A).addresses().is_empty(),
            "the policy is lost"
        );
        assert_eq!(daemon.ask("4.2.0.192.rbl.example", A).addresses(), LISTED);
        let aside = moved_aside(&place);
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert_eq!(fs::metadata(&aside[0]).unwrap().len(), length);
        assert_eq!(daemon.log().matches("ERROR").count(), 1, "{}", daemon.log());
        daemon.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(daemon.ended().code(), Some(0));
    }
}

#[test]
fn a_start_on_a_table_cut_short_moves_it_aside_and_serves_a_new_one() {
    let place = Place::new();
    let table = place.table();
    make(&table);
    set_length(&table, 8192);
    let cut = fs::read(&table).unwrap();
    let daemon = Daemon::start(&place, PLAIN);
    daemon.wait_for("ERROR table ");
    daemon.wait_for("newly made");
    black(&table, "192.0.2.2");
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
    let aside = moved_aside(&place);
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(fs::read(&aside[0]).unwrap(), cut);
    assert!(daemon.log().contains(aside[0].to_str().unwrap()), "{}", daemon.log());
}

/// What `> table` in a shell leaves.
#[test]
fn an_emptied_table_is_moved_aside_at_a_start_and_while_it_is_served() {
    let place = Place::new();
    let table = place.table();
    fs::write(&table, "").unwrap();
    fs::set_permissions(&table, fs::Permissions::from_mode(0o660)).unwrap();
    let daemon = start(&place, PLAIN);
    daemon.wait_for("newly made");
    after_a_sweep(&daemon);
    set_length(&table, 0);
    daemon.wait_for("empty: it was cut to nothing; moved to");
    daemon.wait_for("was damaged; made an empty one");
    black(&table, "192.0.2.2");
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
}

#[test]
fn moving_aside_never_overwrites_a_file() {
    let place = Place::new();
    let table = place.table();
    let config = place.configure(PLAIN);
    make(&table);
    set_length(&table, 8192);
    let now = now();
    let taken: Vec<_> = (now..now + 120)
        .map(|second| PathBuf::from(format!("{}.damaged-{second}", table.display())))
        .collect();
    for path in &taken {
        fs::write(path, "somebody's").unwrap();
    }
    let (status, error) = fails(&["--config", config.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(error.contains("it cannot be moved aside: File exists"), "{error}");
    assert!(taken.iter().all(|path| fs::read(path).unwrap() == b"somebody's"));
    assert_eq!(fs::metadata(&table).unwrap().len(), 8192);
}

#[test]
fn a_table_that_cannot_be_moved_aside_is_told_once_and_tried_again() {
    if !is_root() {
        eprintln!("not run: needs root, to close a folder to the daemon");
        return;
    }
    let place = Place::new();
    let table = place.table();
    let daemon = Daemon::start(&place, PLAIN);
    black(&table, "192.0.2.2");
    fs::set_permissions(place.path(""), Permissions::from_mode(0o755)).unwrap();
    // Enlarged, and so without missing pages: the old mapping is as good as before.
    set_length(&table, fs::metadata(&table).unwrap().len() + 4096);
    daemon.wait_for("ERROR no new table yet: ");
    daemon.wait_for("and it cannot be moved aside: Permission denied");
    sleep(Duration::from_millis(2500));
    assert_eq!(daemon.log().matches("ERROR").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
    fs::set_permissions(place.path(""), Permissions::from_mode(0o777)).unwrap();
    daemon.wait_for("was damaged; made an empty one");
    assert!(daemon.ask("2.2.0.192.rbl.example", A).addresses().is_empty());
}

#[test]
fn a_file_that_is_no_table_keeps_its_group() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let place = Place::new();
    let config = place.configure(PLAIN);
    fs::write(place.table(), vec![0x5a; 100_000]).unwrap();
    chown(place.table(), Some(user("nobody").uid.as_raw()), Some(0)).unwrap();
    let (status, error) = fails(&["--config", config.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(error.contains("not a table of eximrbl"), "{error}");
    assert_eq!(fs::metadata(place.table()).unwrap().gid(), 0);
    assert!(!error.contains("given to group"), "{error}");
    assert!(moved_aside(&place).is_empty());
}

#[test]
fn a_table_that_exim_cannot_write_is_told_with_what_to_do() {
    if !is_root() || Group::from_name("Debian-exim").unwrap().is_none() {
        eprintln!("not run: needs root, and the group Debian-exim");
        return;
    }
    let place = Place::new();
    let table = place.table();
    make(&table);
    // Open to `nobody`, who may not give it away.
    let nobody = user("nobody").gid.as_raw();
    chown(&table, Some(user("daemon").uid.as_raw()), Some(nobody)).unwrap();
    let daemon = Daemon::start(&place, PLAIN);
    let path = table.display();
    daemon.wait_for(&format!("WARN {path}: Exim cannot write this table: its group is {nobody}"));
    daemon.wait_for(&format!("run: chgrp Debian-exim {path} && chmod 0660 {path}"));
    assert_eq!(daemon.log().matches("WARN").count(), 1, "{}", daemon.log());
    drop(daemon);
    // It does help.
    let advice = format!("chgrp Debian-exim {path} && chmod 0660 {path}");
    assert!(Command::new("sh").args(["-c", &advice]).status().unwrap().success());
    chown(&table, Some(user("nobody").uid.as_raw()), None).unwrap();
    let daemon = Daemon::start(&place, PLAIN);
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

#[test]
fn without_exims_group_nothing_is_asked_for() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let place = Place::new();
    let config = place.configure(PLAIN);
    let groups = fs::read_to_string("/etc/group").unwrap();
    let without = groups.lines().filter(|line| !line.starts_with("Debian-exim:"));
    let without: String = without.flat_map(|line| [line, "\n"]).collect();
    fs::write(place.path("group"), without).unwrap();
    // A mount that only this daemon sees.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/group && exec \"$@\""]);
    command.arg(place.path("group")).arg(env!("CARGO_BIN_EXE_eximrbld"));
    command.args(["--log", "debug", "--config"]).arg(config);
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let daemon = Daemon::run_command(command);
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    daemon.wait_for("its group stays, there is no group Debian-exim here");
}

/// Makes a copy of a table that has holes where zeros were.
fn copy_sparsely(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    let status = command.args(["--sparse=always", "--preserve=all"]).args([from, to]).status();
    assert!(status.unwrap().success());
}

fn missing(path: &Path) -> u64 {
    let found = fs::metadata(path).unwrap();
    found.len().saturating_sub(found.blocks() * 512)
}

/// Caught: holes that are left; at the start, and in a table that takes another's place.
#[test]
fn holes_of_a_sparse_copy_are_filled() {
    let place = Place::new();
    let (table, whole) = (place.table(), place.path("whole"));
    make(&whole);
    black(&whole, "192.0.2.2");
    copy_sparsely(&whole, &table);
    if missing(&table) == 0 {
        eprintln!("not run: the file system of {} makes no holes", table.display());
        return;
    }
    let daemon = Daemon::start(&place, PLAIN);
    daemon.wait_for("filled holes of ");
    assert_eq!(missing(&table), 0);
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
    let next = place.path("next");
    copy_sparsely(&whole, &next);
    fs::rename(&next, &table).unwrap();
    daemon.wait_for("was replaced; reopened");
    common::wait_until(|| missing(&table) == 0, || daemon.log());
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
}

/// Caught: a disk without room for that taken for one that cannot allocate.
#[test]
fn holes_that_cannot_be_filled_are_told() {
    if !is_root() {
        eprintln!("not run: needs root, to mount");
        return;
    }
    let (place, disk) = (Place::new(), Place::new());
    let whole = place.path("whole");
    make(&whole);
    black(&whole, "192.0.2.2");
    let config = place.configure(PLAIN);
    let text = fs::read_to_string(&config).unwrap();
    let path = |place: &Place| format!("{:?}", place.table());
    fs::write(&config, text.replace(&path(&place), &path(&disk))).unwrap();
    // A disk that only this daemon sees, with less room than the table has bytes.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec"]);
    command.arg(
        "mount -t tmpfs -o size=1m,mode=777 tmpfs \"$1\"
         cp --sparse=always --preserve=all \"$2\" \"$1/table\"; shift 2; exec \"$@\"",
    );
    command.arg("sh").arg(disk.path("")).arg(&whole).arg(env!("CARGO_BIN_EXE_eximrbld"));
    command.arg("--config").arg(&config).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let daemon = Daemon::run_command(command);
    daemon.wait_for("it has holes (a sparse copy?) and the disk has no room to fill them");
    assert_eq!(daemon.log().matches("ERROR").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
}

/// Words of the table's policy that a power loss has spoilt, in both copies: the configuration's is in
/// force again, and it is told. Caught: no look at the checksum, and a policy that is not written because
/// it seems to be the same.
#[test]
fn a_damaged_policy_is_written_again() {
    /// The first copy of the policy in the file, and its length, in words.
    const POLICY: u64 = 1536;
    const COPY: u64 = 4168;
    let place = Place::new();
    let table = place.table();
    let daemon = start(&place, &format!("[policy]\nthreshold = 2\n{PLAIN}"));
    record(&table, "192.0.2.1", "rcpt");
    let file = OpenOptions::new().write(true).open(&table).unwrap();
    // The checksum alone, then the threshold.
    for (damages, word) in [(1, 0), (2, 4)] {
        // Both copies, before one is found.
        after_a_sweep(&daemon);
        for copy in [POLICY, POLICY + COPY] {
            file.write_all_at(&7_u64.to_ne_bytes(), (copy + word) * 8).unwrap();
        }
        let told = "WARN the table's policy was damaged; the configuration's is in force";
        common::wait_until(
            || daemon.log().matches(told).count() == damages,
            || format!("damage {damages}: {}", daemon.log()),
        );
        let table = WritableTable::open(&table).unwrap();
        assert!(table.is_policy_sound());
        assert_eq!(table.policy().threshold, 2);
    }
    assert!(daemon.ask("1.2.0.192.rbl.example", A).addresses().is_empty());
    record(&table, "192.0.2.1", "rcpt");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
}
