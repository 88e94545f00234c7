//! No room on the disk: while a table is made, and while it is used.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::checks::{fails_open, heals, works};
use crate::harness::tool;
use crate::programs::{Daemon, daemon_fails, run, run_tool};
use crate::stage::{CLIENT, NOBODY, Stage, mount, mount_memory, next_second, with_own_mounts};

/// A stage whose table's folder is a file system of so many bytes.
fn stage_with_room(bytes: u64) -> Stage {
    let stage = Stage::bare();
    mount_memory(&stage.state(), bytes);
    stage.give("state", NOBODY, NOBODY);
    stage
}

/// Fills a file system to the last byte.
fn fill(folder: &Path) {
    let mut file = File::create(folder.join("filler")).unwrap();
    let mut block = &[0xff_u8; 65_536][..];
    loop {
        match file.write(block) {
            Ok(0) => return,
            Ok(_) => {}
            Err(_) if block.len() > 1 => block = &block[..block.len() / 2],
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                return;
            }
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The table does not fit: tool and daemon say how much it needs, and leave nothing behind; the
/// library finds none. With room, all is well.
///
/// Caught: a file that is left behind when there is no room for it.
#[test]
fn no_room_to_make_a_table() {
    with_own_mounts(|| {
        let stage = stage_with_room(1 << 20);
        let mut caller = stage.start();
        fails_open(&mut caller, &["no such table", "start eximrbld"]);
        let tool = run_tool(&stage.table_path(), "create --slots 1024");
        assert!(tool.status.is_some_and(|status| status > 0));
        assert!(tool.errors.contains("no room for") && tool.errors.contains("free some"));
        assert_eq!(names(&stage.state()), [""; 0]);
        let errors = daemon_fails(&stage, &stage.table_path());
        assert!(errors.contains("no room for") && errors.contains("free some"), "{errors}");
        assert_eq!(names(&stage.state()), [""; 0]);

        let state = stage.state();
        mount(&["-o", "remount,size=16m", state.to_str().unwrap()]);
        let tool = run_tool(&stage.table_path(), "create --slots 1024");
        assert_eq!(tool.status, Some(0), "{}", tool.errors);
        stage.give("state/table", 0, NOBODY);
        heals(&stage, &mut caller);
        caller.end();
    });
}

/// Not one more file can be made, though there is room. Caught: the cause left out.
#[test]
fn no_inode_to_make_a_table() {
    with_own_mounts(|| {
        let stage = Stage::bare();
        let state = stage.state();
        let options = ["-t", "tmpfs", "-o", "size=16m,nr_inodes=1", "tmpfs"];
        mount(&[&options[..], &[state.to_str().unwrap()]].concat());
        let tool = run_tool(&stage.table_path(), "create --slots 1024");
        assert!(tool.status.is_some_and(|status| status > 0));
        assert!(tool.errors.contains("No space left on device"), "{}", tool.errors);
        assert!(daemon_fails(&stage, &stage.table_path()).contains("No space left on device"));
    });
}

/// A limit on the size of files (`ulimit -f`, LimitFSIZE=): an error that is told, not a signal
/// that ends the program in the middle. Caught: no look at the limit beforehand.
#[test]
fn a_limit_on_the_size_of_files() {
    let stage = Stage::bare();
    let mut command = tool(&stage.table_path());
    command.args(["create", "--slots", "1024"]);
    // SAFETY: one system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
            match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let tool = run(&mut command);
    assert!(tool.status.is_some_and(|status| status > 0), "killed by SIGXFSZ");
    assert!(tool.errors.contains("File too large"), "{}", tool.errors);
    assert_eq!(names(&stage.state()), [""; 0]);
}

/// The disk runs full under a table in use. All its blocks were allocated when it was made, so
/// nobody notices: each of a thousand clients, spread over all pages, is recorded and answered.
///
/// Caught: a table made by setting its length, without blocks (SIGBUS at the first new page).
#[test]
fn a_disk_that_runs_full_under_the_table() {
    with_own_mounts(|| {
        let stage = stage_with_room(16 << 20);
        stage.make_table(16_384);
        fill(&stage.state());
        let mut caller = stage.start();
        for i in 0..1000 {
            let client = format!("198.51.{}.{}", 100 + i / 250, 1 + i % 250);
            caller.call("rbl_record", &[&client, "rcpt"]);
            assert_eq!(caller.call("rbl_listed", &[&client]), "yes");
        }
        works(&stage, &mut caller);
        assert_eq!(stage.table().entries(eximrbl_table::now()).count(), 1001);
        assert_eq!(caller.end(), [""; 0]);
    });
}

/// No room for a new table when the old one was deleted: the daemon says so once and goes on with
/// what it has; with room again it makes the table, and library and daemon meet there.
///
/// Caught: a daemon that gives up, or says it every second.
#[test]
fn no_room_to_make_it_anew() {
    with_own_mounts(|| {
        let stage = stage_with_room(6 << 20);
        let mut daemon = Daemon::start(&stage);
        stage.give("state/table", NOBODY, NOBODY);
        let mut caller = stage.start();
        works(&stage, &mut caller);
        // The old table's blocks are in use as long as it is mapped, so there must be room for two.
        fill(&stage.state());
        fs::remove_file(stage.table_path()).unwrap();
        daemon.wait_for("no room for");
        next_second();
        fails_open(&mut caller, &["no such table"]);
        assert_eq!(daemon.log().matches("no room for").count(), 1, "{}", daemon.log());
        assert!(daemon.has_ended().is_none());
        assert!(daemon.lists(CLIENT).is_some(), "it answers all the time");
        fs::remove_file(stage.path("state/filler")).unwrap();
        daemon.wait_for("made an empty one");
        stage.give("state/table", NOBODY, NOBODY);
        heals(&stage, &mut caller);
        assert_eq!(daemon.lists(CLIENT), Some(true));
        caller.end();
    });
}
