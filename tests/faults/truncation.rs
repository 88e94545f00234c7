//! The table is cut short by somebody while Exim has it mapped.
//!
//! Whoever touches a page that is gone is killed by SIGBUS; why that cannot be prevented in here
//! is told at the head of `src/open.rs`. What these tests hold on to is all that limits it: only
//! the table's owner, Exim's user and root are able to cut it; the window is the rest of a second;
//! a child that dies takes nobody with it; who looks in the next second touches nothing, and says
//! what happened; the daemon puts a whole table in the place.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::process::Command;

use eximrbl_table::now;

use crate::caller::{Caller, End};
use crate::checks::{fails_open, heals, works};
use crate::programs::Daemon;
use crate::stage::{CLIENT, NOBODY, Stage, at_once, next_second, start_of_a_second};

/// SIGBUS on Linux.
const BUS: i32 = libc::SIGBUS;

fn cut(stage: &Stage, length: u64) {
    OpenOptions::new().write(true).open(stage.table_path()).unwrap().set_len(length).unwrap();
}

/// A process that has called `function`, whose table was cut in this very second.
fn cut_within_the_second(stage: &Stage, function: &str, length: u64) -> (Caller, u32) {
    // All within one second, or once more.
    for _ in 0..20 {
        let mut caller = stage.start();
        let arguments: &[&str] = if function == "rbl_preload" { &[] } else { &[CLIENT] };
        start_of_a_second();
        let second = now();
        caller.call(function, arguments);
        cut(stage, length);
        if now() == second {
            return (caller, second);
        }
        fs::remove_file(stage.table_path()).unwrap();
        stage.make_table(1024);
    }
    panic!("not once were a call and a cut done within one second");
}

/// The window: a process that has made a call is killed by its next one in the same second. Played
/// by a child of it, so that it can be seen what becomes of the others: they go on; in the next
/// second they find out, say so, and accept the mail.
///
/// Caught: a look that does not compare the length (every later child dies as well).
#[test]
fn a_second_call_dies_within_the_window_and_no_other_after_it() {
    at_once(&[0, 4096], |&length| {
        let stage = Stage::new();
        let (mut caller, second) = cut_within_the_second(&stage, "rbl_listed", length);
        let end = caller.call_in_child("rbl_record", &[CLIENT]);
        if now() == second {
            assert_eq!(end, End::Killed(BUS), "if it lives, open.rs's head is to be changed");
        }
        next_second();
        for function in ["rbl_record", "rbl_listed", "rbl_lookup", "rbl_forgive"] {
            let told = caller.logged.len();
            assert_eq!(caller.call_in_child(function, &[CLIENT]), End::Exited(0));
            let line = caller.logged[told..].concat();
            assert!(line.contains("eximrbld makes a new one"), "each child says it: {line}");
            assert_eq!(caller.logged.len(), told + 1);
        }
        caller.logged.clear();
        let says = if length == 0 { "cut to nothing" } else { "it was cut short" };
        fails_open(&mut caller, &[says, "eximrbld makes a new one"]);
        fs::remove_file(stage.table_path()).unwrap();
        stage.make_table(1024);
        heals(&stage, &mut caller);
        caller.end();
    });
}

/// The children of a daemon that preloads look for themselves before they touch anything: cut in
/// the very second of the daemon's look, the table ends none of them.
///
/// Caught: a look of the daemon's that counts for its children.
#[test]
fn children_of_a_preloading_daemon_look_for_themselves() {
    at_once(&[0, 4096], |&length| {
        let stage = Stage::new();
        let (mut caller, _) = cut_within_the_second(&stage, "rbl_preload", length);
        for function in ["rbl_record", "rbl_listed", "rbl_lookup", "rbl_forgive"] {
            assert_eq!(caller.call_in_child(function, &[CLIENT]), End::Exited(0));
        }
        assert_eq!(caller.logged.len(), 4, "each child says it: {:?}", caller.logged);
        // Once the daemon has said it, its children do not.
        caller.call("rbl_preload", &[]);
        assert_eq!(caller.call_in_child("rbl_record", &[CLIENT]), End::Exited(0));
        assert_eq!(caller.logged.len(), 5, "{:?}", caller.logged);
    });
}

/// A process that has not looked in this second does so before it touches anything: cut a moment
/// before, the table harms nobody. That is every child that opens the table itself, and every
/// first call of a second.
///
/// Caught: a file that is shorter than its header says taken for whole.
#[test]
fn a_cut_before_the_look_harms_nobody() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    next_second();
    cut(&stage, 8192);
    next_second();
    fails_open(&mut caller, &["8192 bytes, but its header needs", "eximrbld makes a new one"]);
    caller.end();
}

/// With the daemon at work: it moves the cut table aside and makes a new one, into which the
/// library records from the next second on.
///
/// Caught: a library that looks at the file once only.
#[test]
fn the_daemon_puts_a_whole_table_in_the_place() {
    let stage = Stage::bare();
    stage.give("state", NOBODY, NOBODY);
    let daemon = Daemon::start_talkative(&stage);
    stage.give("state/table", NOBODY, NOBODY);
    let mut caller = stage.start();
    works(&stage, &mut caller);
    assert_eq!(daemon.lists(CLIENT), Some(true));
    // A sweep of what is missing would be the daemon's end, and systemd's to start it again.
    daemon.after_a_sweep();
    cut(&stage, 4096);
    daemon.wait_for("made an empty one");
    stage.give("state/table", NOBODY, NOBODY);
    next_second();
    works(&stage, &mut caller);
    assert_eq!(daemon.lists(CLIENT), Some(true));
    assert!(caller.end().len() <= 1);
}

/// Whom the kernel lets cut the table: its owner, Exim's group and root. Nobody else, as long as
/// the file has the mode that daemon and tool give it, and its folder belongs to its owner.
///
/// Caught: a table made with mode 0666, and the refusal of such tables left out.
#[test]
fn nobody_else_can_cut_it() {
    let stage = Stage::bare();
    stage.make_table(1024);
    stage.give("state/table", 1, 1);
    let length = fs::metadata(stage.table_path()).unwrap().len();
    let path = stage.table_path();
    let path = path.to_str().unwrap();
    for attempt in [
        format!(": >{path}"),
        format!("truncate -s 0 {path}"),
        format!("rm -f {path}"),
        format!("mv -f /etc/hostname {path}"),
        format!("ln -f /etc/hostname {path}"),
    ] {
        let status = Command::new("sh").args(["-c", &attempt]).uid(NOBODY).gid(NOBODY).output();
        assert!(!status.unwrap().status.success(), "{attempt}");
        assert_eq!(fs::metadata(path).unwrap().len(), length, "{attempt}");
    }
}

/// The ways of putting another table in the place that README names leave the old one whole under
/// those who have it mapped, and in the next second they are in the new one. Caught: a library that
/// looks at the file once only.
#[test]
fn moving_into_place_harms_nobody() {
    let ways = [
        "mv -f new state/table",
        "install -m 660 -g nogroup new state/table",
        "ln -f new state/table",
        "cp --remove-destination -p new state/table",
    ];
    at_once(&ways, |way| {
        let stage = Stage::new();
        let mut caller = stage.start();
        start_of_a_second();
        for _ in 0..20 {
            caller.call("rbl_record", &[CLIENT]);
            stage.make_table_at("new", 1024);
            let mut shell = Command::new("sh");
            let status = shell.args(["-c", way]).current_dir(stage.path("")).status();
            assert!(status.unwrap().success(), "{way}");
            // Most times in the same second, upon the old table.
            caller.call("rbl_record", &[CLIENT]);
            let _ = fs::remove_file(stage.path("new"));
        }
        next_second();
        works(&stage, &mut caller);
        assert_eq!(caller.end(), [""; 0]);
    });
}
