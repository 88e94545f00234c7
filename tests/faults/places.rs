//! `EXIMRBL_TABLE` names what is no table, or what cannot be reached.
//!
//! Exim's process never waits (a FIFO, a terminal), never reads without end (/dev/zero), never
//! writes into what is not a table. Daemon and tool say what it is, and leave it alone.

use std::fs::{self, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::caller::Caller;
use crate::checks::{heals, is_told_once, works, yields_defaults};
use crate::programs::{Daemon, daemon_fails, run_tool};
use crate::stage::{Stage, mount_memory, next_second, with_own_mounts};

/// Something in the table's place, and what the log says of it.
struct Case {
    what: &'static str,
    make: fn(&Stage) -> Kept,
    says: &'static [&'static str],
    /// Whether the daemon makes a table there instead of refusing.
    is_free: bool,
}

/// What must stay open while the test runs.
type Kept = Option<OwnedFd>;

const CASES: &[Case] = &[
    Case {
        what: "nothing",
        make: |_| None,
        says: &["no such table", "start eximrbld"],
        is_free: true,
    },
    Case {
        what: "a missing folder",
        make: |stage| {
            fs::remove_dir(stage.state()).unwrap();
            None
        },
        says: &["no such table", "start eximrbld"],
        is_free: true,
    },
    Case {
        what: "a link to nothing",
        make: |stage| link(stage, "/nonexistent/table"),
        says: &["no such table", "start eximrbld"],
        is_free: false,
    },
    Case {
        what: "a FIFO",
        make: |stage| {
            let status =
                Command::new("mkfifo").args(["-m", "666"]).arg(stage.table_path()).status();
            assert!(status.unwrap().success());
            None
        },
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "a FIFO that somebody may only read",
        make: |stage| {
            let status =
                Command::new("mkfifo").args(["-m", "644"]).arg(stage.table_path()).status();
            assert!(status.unwrap().success());
            None
        },
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "a directory",
        make: |stage| {
            fs::create_dir(stage.table_path()).unwrap();
            None
        },
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "/dev/zero",
        make: |stage| link(stage, "/dev/zero"),
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "/dev/null",
        make: |stage| link(stage, "/dev/null"),
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "a terminal",
        make: terminal,
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "a socket",
        make: |stage| {
            let listener = UnixListener::bind(stage.table_path()).unwrap();
            stage.permit("state/table", 0o777);
            Some(listener.into())
        },
        says: &["not a regular file", "check the path"],
        is_free: false,
    },
    Case {
        what: "links in a circle",
        make: |stage| {
            symlink("table", stage.path("state/other")).unwrap();
            link(stage, "other")
        },
        says: &["symbolic links", "check the path"],
        is_free: false,
    },
    Case {
        what: "somebody's text, readable",
        make: |stage| text(stage, 0o644),
        says: &["not a table", "check the path"],
        is_free: false,
    },
    Case {
        what: "somebody's text, closed",
        make: |stage| text(stage, 0o600),
        says: &["permission denied (mode 0600, uid 0, gid 0)", "chgrp"],
        is_free: false,
    },
    Case {
        what: "a table that anybody may write",
        make: |stage| {
            stage.make_table(1024);
            stage.permit("state/table", 0o666);
            None
        },
        says: &["mode 0666 lets every local user write", "chmod 0660"],
        is_free: false,
    },
    Case {
        what: "a file in the folder's place",
        make: |stage| {
            fs::remove_dir(stage.state()).unwrap();
            fs::write(stage.state(), "text").unwrap();
            None
        },
        says: &["Not a directory", "check the path"],
        is_free: false,
    },
];

fn link(stage: &Stage, to: &str) -> Kept {
    symlink(to, stage.table_path()).unwrap();
    None
}

fn text(stage: &Stage, mode: u32) -> Kept {
    fs::write(stage.table_path(), "root:x:0:0:root:/root:/bin/bash\n".repeat(300)).unwrap();
    stage.permit("state/table", mode);
    None
}

/// A terminal of its own, which anybody may use.
fn terminal(stage: &Stage) -> Kept {
    let mut name = [0_u8; 64];
    let (mut main, mut other) = (0, 0);
    // SAFETY: two places for descriptors, room for a name of any terminal (`/dev/pts/` and a
    // number), and nothing else.
    let made = unsafe {
        let name = name.as_mut_ptr().cast();
        libc::openpty(&mut main, &mut other, name, std::ptr::null(), std::ptr::null())
    };
    assert_eq!(made, 0);
    // SAFETY: both descriptors have just been made, and nobody else has them.
    let (main, other) = unsafe { (OwnedFd::from_raw_fd(main), OwnedFd::from_raw_fd(other)) };
    // SAFETY: changes the mode of the terminal behind a descriptor that we hold.
    assert_eq!(unsafe { libc::fchmod(other.as_raw_fd(), 0o666) }, 0);
    let length = name.iter().position(|&byte| byte == 0).unwrap();
    symlink(std::ffi::OsStr::from_bytes(&name[..length]), stage.table_path()).unwrap();
    Some(main)
}

/// What is at the table's path, in words that tell whether anybody changed it.
fn looks(path: &Path) -> String {
    let output =
        Command::new("stat").args(["-L", "-c", "%F %s %a %u %g"]).arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Each case, first under the library, then under the tool and the daemon; then a table takes its
/// place, and the process that was there all the time goes on with it.
///
/// Caught: NONBLOCK left out of the opening (a FIFO holds up Exim), the check for a regular file,
/// the check of the mode, the log's bit for what was told.
#[test]
fn what_is_no_table_is_told_once_and_left_alone() {
    let mut stages: Vec<(&Case, Stage, Caller, Kept)> = CASES
        .iter()
        .map(|case| {
            let stage = Stage::bare();
            let kept = (case.make)(&stage);
            let caller = stage.start();
            (case, stage, caller, kept)
        })
        .collect();
    for (case, stage, caller, _) in &mut stages {
        eprintln!("{}", case.what);
        let before = looks(&stage.table_path());
        yields_defaults(caller);
        assert_eq!(looks(&stage.table_path()), before, "{}", case.what);
    }
    next_second();
    for (case, stage, caller, _) in &mut stages {
        eprintln!("{}", case.what);
        yields_defaults(caller);
        let mut says = case.says.to_vec();
        let path = stage.table_path();
        says.push(path.to_str().unwrap());
        is_told_once(caller, &says);
    }
    for (case, stage, ..) in &stages {
        eprintln!("{}", case.what);
        let path = stage.table_path();
        let before = looks(&path);
        let tool = run_tool(&path, "show 203.0.113.7");
        // Root, as whom the tool runs here, is not kept out by a file's mode.
        let is_for_root = case.what.ends_with("closed");
        let says = if is_for_root { "not a table" } else { case.says[0] };
        assert!(tool.status.is_some_and(|status| status > 0), "{:?}", tool.status);
        assert!(tool.errors.contains(says), "no {says:?} in {}", tool.errors);
        assert_eq!(tool.errors.lines().count(), 1, "{}", tool.errors);
        if !case.is_free {
            let errors = daemon_fails(stage, &path);
            assert!(errors.contains(path.to_str().unwrap()), "{errors}");
        }
        assert_eq!(looks(&path), before, "{}", case.what);
    }
    for (_, stage, ..) in &stages {
        put_a_table(stage);
    }
    next_second();
    for (case, stage, caller, _) in &mut stages {
        eprintln!("{}", case.what);
        works(stage, caller);
        assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
    }
}

/// Removes whatever is in the table's place, and makes a table there.
fn put_a_table(stage: &Stage) {
    let state = stage.state();
    let _ = fs::remove_dir_all(&state).or_else(|_| fs::remove_file(&state));
    fs::create_dir(&state).unwrap();
    stage.make_table(1024);
}

/// A path that is not absolute counts from where the process is, which for Exim is its spool.
/// Caught: the installed place instead of a path that is not absolute.
#[test]
fn a_relative_path_counts_from_the_working_directory() {
    let stage = Stage::bare();
    let mut command = stage.command();
    command.env("EXIMRBL_TABLE", "state/table").current_dir(stage.path(""));
    let mut caller = Caller::start(&mut command);
    yields_defaults(&mut caller);
    is_told_once(&caller, &["state/table: no such table"]);
    stage.make_table(1024);
    heals(&stage, &mut caller);
    caller.end();
}

/// Longer than any path may be: nothing is cut off, so no other file is taken for the table.
/// Caught: the last 300 bytes of the path alone.
#[test]
fn a_path_that_is_too_long_is_no_path() {
    let stage = Stage::new();
    let mut command = stage.command();
    let long = format!("{}{}", "/".repeat(5000), stage.table_path().display());
    command.env("EXIMRBL_TABLE", long);
    let mut caller = Caller::start(&mut command);
    yields_defaults(&mut caller);
    assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
    assert!(caller.logged[0].len() < 512, "{:?}", caller.logged);
    caller.end();
    assert!(stage.entry(crate::stage::CLIENT).is_none());
}

/// No /var/lib/eximrbl, and no /var/lib: the installed place, as it is before the daemon's first
/// start, or when a file system was not mounted. The daemon makes the folders, and Exim's
/// processes find the table.
///
/// Caught: a daemon that makes one level of folders only; a library with another default path.
#[test]
fn the_installed_folder_is_missing() {
    with_own_mounts(|| {
        // Anything under /var is another file system here, which starts empty.
        mount_memory(Path::new("/var"), 32 << 20);
        let stage = Stage::bare();
        let installed = PathBuf::from(eximrbl_table::DEFAULT_PATH);
        let mut command = stage.command();
        command.env_remove("EXIMRBL_TABLE");
        let mut caller = Caller::start(&mut command);
        yields_defaults(&mut caller);
        is_told_once(&caller, &["/var/lib/eximrbl/table: no such table", "start eximrbld"]);
        let tool = run_tool(&installed, "create --slots 1024");
        assert!(tool.status.is_some_and(|status| status > 0));
        assert!(tool.errors.contains("/var/lib/eximrbl: no such directory"), "{}", tool.errors);

        let _daemon = Daemon::start_on(&stage, &installed);
        // Exim's group is not that of this test's process.
        OpenOptions::new().write(true).open(&installed).unwrap();
        std::os::unix::fs::chown(&installed, None, Some(crate::stage::NOBODY)).unwrap();
        next_second();
        caller.call("rbl_record", &[crate::stage::CLIENT]);
        assert_eq!(caller.call("rbl_listed", &[crate::stage::CLIENT]), "yes");
        assert_eq!(caller.end().len(), 1);
    });
}
