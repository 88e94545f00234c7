//! A folder with all that a test needs, and the ways to call upon it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use eximrbl_table::{CreateOptions, Entry, Network, WritableTable, now};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

use crate::caller::{Caller, program};
use crate::harness::library;

/// User and group of a process without rights; group `nogroup` plays Exim's.
pub(crate) const NOBODY: u32 = 65534;

/// Whom the tests report.
pub(crate) const CLIENT: &str = "203.0.113.7";

/// A folder that any user can enter, with copies of library and caller, and maybe a table.
pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    /// A stage with a table of 1024 slots, which `nobody` may write.
    pub(crate) fn new() -> Self {
        let stage = Self::bare();
        stage.make_table(1024);
        stage
    }

    /// A stage without a table.
    pub(crate) fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        // By a process of its own: were this one to write the programs, a fork of another test's
        // thread could hold them open for writing just when they are to be run ("text file busy").
        let copied =
            Command::new("cp").args([&library(), program()]).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        // The table's folder is one of its own, so that it can be closed, filled or taken away.
        fs::create_dir(folder.path().join("state")).unwrap();
        Self { folder }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The table's folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// Where the table is, or would be.
    pub(crate) fn table_path(&self) -> PathBuf {
        self.path("state/table")
    }

    /// Makes a table in its place.
    pub(crate) fn make_table(&self, slots: u64) -> WritableTable {
        self.make_table_at("state/table", slots)
    }

    /// Makes a table elsewhere in the folder.
    pub(crate) fn make_table_at(&self, name: &str, slots: u64) -> WritableTable {
        let options = CreateOptions { slots, group: Some(NOBODY), ..CreateOptions::default() };
        WritableTable::create(&self.path(name), &options).unwrap()
    }

    /// The table as others see it.
    pub(crate) fn table(&self) -> WritableTable {
        WritableTable::open(&self.table_path()).unwrap()
    }

    /// The live entry of an address or network.
    pub(crate) fn entry(&self, network: &str) -> Option<Entry> {
        self.table().entry(network.parse::<Network>().unwrap(), now())
    }

    /// Changes permission bits of something in the folder.
    pub(crate) fn permit(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Gives something in the folder away.
    pub(crate) fn give(&self, name: &str, user: u32, group: u32) {
        chown(self.path(name), Some(user), Some(group)).unwrap();
    }

    /// The command that runs a caller as `nobody`, for a test that wants it otherwise.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.path("caller"));
        command.arg(self.path("libeximrbl.so"));
        command.env_clear().env("EXIMRBL_TABLE", self.table_path()).uid(NOBODY).gid(NOBODY);
        command
    }

    /// Starts a caller as `nobody`, with the stage's table.
    pub(crate) fn start(&self) -> Caller {
        Caller::start(&mut self.command())
    }
}

/// Runs a test in a mount namespace of its own: what it mounts is seen by it and by the programs
/// that it starts alone, and is gone afterwards, however it ends.
pub(crate) fn with_own_mounts(test: impl FnOnce() + Send) {
    let in_namespace = || {
        // SAFETY: the flag unshares no file descriptors, and concerns this thread alone, which
        // is made for it.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("root is needed");
        mount(&["--make-rprivate", "/"]);
        test();
    };
    let ended = std::thread::scope(|scope| scope.spawn(in_namespace).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Does the cases at the same time, for most of each is waiting for the next second.
pub(crate) fn at_once<C: Sync>(cases: &[C], test: impl Fn(&C) + Sync) {
    std::thread::scope(|scope| {
        let test = &test;
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || test(case))).collect();
        for case in running {
            case.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// Runs mount(8).
pub(crate) fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Mounts a file system in memory, which nobody may fill beyond so many bytes.
pub(crate) fn mount_memory(place: &Path, bytes: u64) {
    let options = format!("size={bytes},mode=0755");
    mount(&["-t", "tmpfs", "-o", &options, "tmpfs", place.to_str().unwrap()]);
}

/// Sleeps into the next second, when the library looks at the table's file again.
pub(crate) fn next_second() {
    let second = now();
    while now() == second {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a second has just begun, so that what follows is done within it.
pub(crate) fn start_of_a_second() {
    next_second();
}

/// Waits until the condition holds; 30 seconds at most, for a machine under load.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
