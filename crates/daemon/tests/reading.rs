//! The table is mapped for reading alone while nobody writes it, and is served where nobody may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, PLAIN, Place, is_root, record, wait_until};
use eximrbl_table::{CreateOptions, Name, Table, WritableTable};
use nix::sys::signal::Signal;
use nix::unistd::User;

const A: u16 = 1;
const NXDOMAIN: u16 = 3;
const LISTED: [[u8; 4]; 1] = [[127, 0, 0, 2]];

/// How a process has a file mapped: the rights of each mapping, such as `r--s`.
fn mappings(daemon: &Daemon, path: &Path) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).unwrap();
    let of_file = maps.lines().filter(|line| line.ends_with(path.to_str().unwrap()));
    of_file.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

/// Whether a process has a file open.
fn has_open(daemon: &Daemon, path: &Path) -> bool {
    let folder = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap();
    folder.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path))
}

/// A table that the daemon, as `nobody`, may read but not write, with one client listed.
fn make_unwritable(path: &Path) {
    drop(WritableTable::create(path, &CreateOptions { slots: 64, ..Default::default() }).unwrap());
    record(path, "192.0.2.1", "rcpt");
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

/// Makes it writable for the daemon.
fn give(path: &Path) {
    let nobody = User::from_name("nobody").unwrap().unwrap();
    chown(path, Some(nobody.uid.as_raw()), None).unwrap();
}

fn reason(table: &Path, name: &str, administrator: bool) -> u8 {
    let table = WritableTable::open(table).unwrap();
    table.reason(Name::new(name.as_bytes()).unwrap(), administrator)
}

/// Queries are answered by a process that has no way to change the table: neither a writable
/// mapping nor an open file. While the keeper works it has one, for as long as that takes.
///
/// Caught: a keeper that keeps the table open for writing after its work.
#[test]
fn queries_are_answered_from_a_mapping_that_cannot_be_written() {
    let place = Place::new();
    let config = place.configure(PLAIN);
    let daemon = Daemon::run(&["--log", "debug", "--config", config.to_str().unwrap()]);
    let table = place.table();
    record(&table, "192.0.2.1", "rcpt");
    let sweeps = || daemon.log().matches("DEBUG swept").count();
    let (mut looks, mut read_only) = (0, 0);
    // A sweep takes a thousandth of the time between two. On a slow machine the keeper may have to wait in the
    // middle of one; then more of them show what is usual.
    let is_usual = |looks, read_only| looks > 10 && read_only * 4 > looks * 3;
    // The first sweep comes at once; the second is waited for.
    let started = Instant::now();
    while sweeps() < 2 || !is_usual(looks, read_only) {
        let late = started.elapsed() > Duration::from_secs(60);
        assert!(!late, "{read_only} of {looks}:\n{}", daemon.log());
        let before = mappings(&daemon, &table);
        assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
        let after = mappings(&daemon, &table);
        assert!(before.iter().chain(&after).any(|rights| rights == "r--s"), "{before:?} {after:?}");
        looks += 1;
        if before == ["r--s"] && after == ["r--s"] && !has_open(&daemon, &table) {
            read_only += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Caught: opening the table for writing at the start, and refusing to start without.
#[test]
fn a_table_that_may_not_be_written_is_served_and_put_right_when_it_may() {
    if !is_root() {
        eprintln!("not run: needs root, to own a file that the daemon may not write");
        return;
    }
    let place = Place::new();
    let table = place.table();
    make_unwritable(&table);
    let before = fs::read(&table).unwrap();
    let zones = "[policy]\nthreshold = 2\n[[zone]]\nname = \"rbl.example\"\ncodes = { auth = 4 }\n\
                 [[zone]]\nname = \"auth.example\"\nreasons = [\"auth\"]\n";
    let daemon = Daemon::start(&place, zones);
    daemon.wait_for("WARN the table can only be read, and is served so: ");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
    assert_eq!(daemon.ask("1.2.0.192.auth.example", A).code(), NXDOMAIN);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("WARN reloaded, but for the policy: the table can only be read; zones: 2");
    // Longer than from one sweep to the next.
    std::thread::sleep(Duration::from_millis(5500));
    assert_eq!(daemon.log().matches("can only be read, and").count(), 1, "{}", daemon.log());
    assert!(before == fs::read(&table).unwrap(), "the table was changed");

    give(&table);
    daemon.wait_for("can be written again");
    wait_until(
        || Table::open(&table).unwrap().policy().threshold == 2,
        || "the policy is not in force".to_owned(),
    );
    // So the client, with one rejection, is not listed any more; by a second one it is.
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).code(), NXDOMAIN);
    record(&table, "192.0.2.1", "auth");
    // The zones that know the reason are served an instant after the policy is in force.
    let codes = || daemon.ask("1.2.0.192.rbl.example", A).addresses();
    wait_until(
        || codes() == [[127, 0, 0, 2], [127, 0, 0, 4]],
        || format!("the zones do not learn the reason's number: {:?}", codes()),
    );
    assert_eq!(daemon.ask("1.2.0.192.auth.example", A).addresses(), LISTED);
}

/// Zones must know their reasons by number, and the table cannot be told new names.
///
/// Caught: reasons that the table does not know resolved to the next free number, which the next
/// new reason of an Exim process gets too; zones that are not resolved again.
#[test]
fn reasons_of_a_table_that_may_not_be_written_are_told_apart() {
    if !is_root() {
        eprintln!("not run: needs root, to own a file that the daemon may not write");
        return;
    }
    let place = Place::new();
    let table = place.table();
    make_unwritable(&table);
    let zone = "[[zone]]\nname = \"auth.example\"\nreasons = [\"auth\"]\n";
    let daemon = Daemon::start(&place, zone);
    // As a writer in Exim does, with reasons that are new.
    record(&table, "192.0.2.2", "helo");
    assert_eq!(daemon.ask("2.2.0.192.auth.example", A).code(), NXDOMAIN);
    reason(&table, "auth", false);
    record(&table, "192.0.2.3", "auth");
    wait_until(
        || daemon.ask("3.2.0.192.auth.example", A).addresses() == LISTED,
        || "the zone does not learn its reason's number".to_owned(),
    );
    assert_eq!(daemon.ask("2.2.0.192.auth.example", A).code(), NXDOMAIN);
}

/// Caught: telling only "permission denied" from other failures, and ending for those.
#[test]
fn a_table_on_a_file_system_that_is_read_only_is_served() {
    if !is_root() {
        eprintln!("not run: needs root, to mount");
        return;
    }
    let place = Place::new();
    let table = place.table();
    drop(
        WritableTable::create(&table, &CreateOptions { slots: 64, ..Default::default() }).unwrap(),
    );
    record(&table, "192.0.2.1", "rcpt");
    give(&table);
    // A mount that only this daemon sees.
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"");
    command.arg(place.path("")).arg(env!("CARGO_BIN_EXE_eximrbld"));
    command.args(["--config"]).arg(place.configure(PLAIN));
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    let daemon = Daemon::run_command(command);
    daemon.wait_for("WARN the table can only be read, and is served so: ");
    daemon.wait_for("Read-only file system");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), LISTED);
    // What others write, who may, is seen.
    record(&table, "192.0.2.2", "rcpt");
    assert_eq!(daemon.ask("2.2.0.192.rbl.example", A).addresses(), LISTED);
    daemon.signal(Signal::SIGTERM);
}
