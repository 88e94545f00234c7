//! Wrong mode, owner or group.

use std::process::Command;

use crate::caller::Caller;
use crate::checks::{fails_open, heals, works};
use crate::stage::{CLIENT, NOBODY, Stage, at_once, next_second, wait_until};

/// A file that may be read but not written: answers, and records nothing; says so once when there
/// is something to record.
///
/// Caught: a library that gives up on a table that it may only read.
#[test]
fn read_only_answers_and_records_nothing() {
    type Case = (&'static str, fn(&Stage), fn(&Stage));
    let cases: &[Case] = &[
        (
            "mode",
            |stage| stage.permit("state/table", 0o440),
            |stage| {
                stage.permit("state/table", 0o660);
            },
        ),
        (
            "group",
            |stage| {
                stage.permit("state/table", 0o664);
                stage.give("state/table", 0, 0);
            },
            |stage| stage.give("state/table", 0, NOBODY),
        ),
    ];
    at_once(cases, |(what, close, open)| {
        let stage = Stage::new();
        stage.start().call("rbl_record", &[CLIENT, "rcpt"]);
        close(&stage);
        let mut caller = stage.start();
        assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes", "{what}");
        assert_eq!(caller.logged, [""; 0], "who only looks is not told");
        for _ in 0..2 {
            caller.call("rbl_record", &[CLIENT]);
            caller.call("rbl_forgive", &[CLIENT]);
            caller.call("rbl_allow", &[CLIENT, "60"]);
            next_second();
        }
        assert!(caller.call("rbl_lookup", &[CLIENT]).contains("count=1 "), "{what}");
        assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
        assert!(caller.logged[0].contains("can only be read, so nothing is recorded; let Exim's"));
        open(&stage);
        heals(&stage, &mut caller);
        caller.end();
    });
}

/// A file that Exim's user may neither read nor write, because of its owner, group or mode.
///
/// Caught: mode, owner and group left out of the line.
#[test]
fn closed_files_are_told_with_their_rights() {
    let cases = [(0o600, 0, NOBODY), (0o660, 0, 0), (0o660, 1, 1), (0, 0, NOBODY)];
    at_once(&cases, |&(mode, user, group)| {
        let stage = Stage::new();
        stage.give("state/table", user, group);
        stage.permit("state/table", mode);
        let mut caller = stage.start();
        let rights = format!("(mode {mode:04o}, uid {user}, gid {group})");
        fails_open(&mut caller, &["permission denied", &rights, "chgrp", "chmod 0660"]);
        stage.give("state/table", 0, NOBODY);
        stage.permit("state/table", 0o660);
        heals(&stage, &mut caller);
        caller.end();
    });
}

/// Rights taken away under a process that has the table open: the mapping stays as it was, and
/// serves on. It is the next process that is kept out.
///
/// Caught: mode, owner and group left out of the line.
#[test]
fn rights_taken_away_later_concern_newcomers() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    stage.permit("state/table", 0o600);
    next_second();
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
    caller.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2);
    let mut newcomer = stage.start();
    fails_open(&mut newcomer, &["permission denied (mode 0600"]);
    stage.permit("state/table", 0o660);
    heals(&stage, &mut newcomer);
    assert_eq!(caller.end(), [""; 0]);
}

/// A table on a file system that has become read-only, as ext4 does after a disk's error. What is
/// open goes on in memory; a new process can only read.
///
/// Caught: a library that does without a table that it may not write.
#[test]
fn a_file_system_that_turned_read_only() {
    crate::stage::with_own_mounts(|| {
        let stage = Stage::bare();
        crate::stage::mount_memory(&stage.state(), 16 << 20);
        stage.make_table(1024);
        stage.start().call("rbl_record", &[CLIENT]);
        let state = stage.state();
        let state = state.to_str().unwrap();
        // Refused as long as a program that another test just starts has the table's file from here.
        wait_until("nobody has the file open for writing", || {
            let remounted = Command::new("mount").args(["-o", "remount,ro", state]).status();
            remounted.unwrap().success()
        });
        let mut caller = Caller::start(&mut stage.command());
        assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
        assert_eq!(caller.logged, [""; 0]);
        caller.call("rbl_record", &[CLIENT]);
        assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
        assert!(caller.logged[0].contains("can only be read"), "{:?}", caller.logged);
        let remounted = Command::new("mount").args(["-o", "remount,rw", state]).status().unwrap();
        assert!(remounted.success());
        heals(&stage, &mut caller);
        caller.end();
    });
}
