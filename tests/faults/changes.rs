//! The table is taken away, closed or exchanged while processes use it.

use std::fs::{self, File};
use std::io::Write;

use crate::checks::{fails_open, heals, is_told_once, works, yields_defaults};
use crate::programs::Daemon;
use crate::stage::{CLIENT, NOBODY, Stage, next_second};

/// What is done to a table in use, and what the log says of it; by what it is undone.
struct Case {
    what: &'static str,
    change: fn(&Stage),
    says: &'static [&'static str],
    undo: fn(&Stage),
}

const CASES: &[Case] = &[
    Case {
        what: "deleted",
        change: |stage| fs::remove_file(stage.table_path()).unwrap(),
        says: &["no such table", "start eximrbld"],
        undo: make,
    },
    Case {
        what: "its folder deleted",
        change: |stage| fs::remove_dir_all(stage.state()).unwrap(),
        says: &["no such table", "start eximrbld"],
        undo: |stage| {
            fs::create_dir(stage.state()).unwrap();
            make(stage);
        },
    },
    Case {
        what: "its folder renamed",
        change: |stage| fs::rename(stage.state(), stage.path("away")).unwrap(),
        says: &["no such table", "start eximrbld"],
        undo: |stage| fs::rename(stage.path("away"), stage.state()).unwrap(),
    },
    Case {
        what: "its folder closed",
        change: |stage| stage.permit("state", 0o700),
        says: &["permission denied (a folder on the way to it is closed)"],
        undo: |stage| stage.permit("state", 0o755),
    },
    Case {
        what: "garbage moved into its place",
        change: |stage| {
            fs::write(stage.path("garbage"), [0xa5; 100_000]).unwrap();
            fs::rename(stage.path("garbage"), stage.table_path()).unwrap();
            stage.give("state/table", 0, NOBODY);
            stage.permit("state/table", 0o660);
        },
        says: &["not a table", "move the file away"],
        undo: |stage| {
            fs::remove_file(stage.table_path()).unwrap();
            make(stage);
        },
    },
    Case {
        what: "replaced by a table of somebody else",
        change: |stage| {
            stage.make_table_at("other", 1024);
            stage.give("other", 0, 0);
            stage.permit("other", 0o600);
            fs::rename(stage.path("other"), stage.table_path()).unwrap();
        },
        says: &["permission denied (mode 0600, uid 0, gid 0)", "chgrp Debian-exim"],
        undo: |stage| {
            stage.permit("state/table", 0o660);
            stage.give("state/table", 0, NOBODY);
        },
    },
    Case {
        what: "cut to nothing",
        change: |stage| drop(File::create(stage.table_path()).unwrap()),
        says: &["cut to nothing", "eximrbld makes a new one"],
        undo: again,
    },
    Case {
        what: "cut in the middle of a page",
        change: |stage| set_length(stage, -1),
        says: &["it was cut short or enlarged", "eximrbld makes a new one"],
        undo: again,
    },
    Case {
        what: "enlarged",
        change: |stage| set_length(stage, 4096),
        says: &["it was cut short or enlarged", "eximrbld makes a new one"],
        undo: again,
    },
    Case {
        what: "replaced by a table of another version",
        change: |stage| {
            stage.make_table_at("other", 1024);
            let file = fs::OpenOptions::new().write(true).open(stage.path("other")).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &9_u64.to_ne_bytes(), 8).unwrap();
            fs::rename(stage.path("other"), stage.table_path()).unwrap();
        },
        says: &["table format 9", "stop eximrbld"],
        undo: again,
    },
];

fn make(stage: &Stage) {
    stage.make_table(1024);
}

fn again(stage: &Stage) {
    fs::remove_file(stage.table_path()).unwrap();
    make(stage);
}

fn set_length(stage: &Stage, more: i64) {
    let file = fs::OpenOptions::new().write(true).open(stage.table_path()).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_add_signed(more)).unwrap();
}

/// Each change, from the second on in which the library looks; then it is undone.
///
/// Caught: a look that compares device and inode alone (enlarged, cut), an old table that is kept
/// when a new one cannot be opened.
#[test]
fn every_change_is_noticed_told_once_and_healed() {
    let mut stages: Vec<_> = CASES
        .iter()
        .map(|case| {
            let stage = Stage::new();
            let caller = stage.start();
            (case, stage, caller)
        })
        .collect();
    for (_, stage, caller) in &mut stages {
        works(stage, caller);
    }
    // Cut tables must not be touched before they are looked at: first into the next second.
    next_second();
    for (case, stage, _) in &stages {
        (case.change)(stage);
    }
    for _ in 0..2 {
        next_second();
        for (case, _, caller) in &mut stages {
            eprintln!("{}", case.what);
            yields_defaults(caller);
        }
    }
    for (case, stage, caller) in &stages {
        eprintln!("{}", case.what);
        let path = stage.table_path();
        is_told_once(caller, &[case.says, &[path.to_str().unwrap()]].concat());
        (case.undo)(stage);
    }
    next_second();
    for (case, stage, caller) in &mut stages {
        eprintln!("{}", case.what);
        works(stage, caller);
        assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
    }
}

/// A new table renamed into the place is taken without a word; nothing is asked of the old one. Caught: a
/// library that looks at the file once only.
#[test]
fn replaced_by_a_table_of_another_size() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    stage.make_table_at("new", 4096);
    fs::rename(stage.path("new"), stage.table_path()).unwrap();
    next_second();
    assert_eq!(caller.call("rbl_listed", &[CLIENT]), "no");
    works(&stage, &mut caller);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 1);
    assert_eq!(caller.end(), [""; 0]);
}

/// What `cp`, `dd`, `scp` and `vim` do: the very file, cut to nothing and filled again. It is the
/// same inode and has the same length, but it is another table, with another seed.
///
/// Caught: a look that compares device, inode and length alone.
#[test]
fn overwritten_in_place_by_another_table() {
    let stage = Stage::bare();
    stage.give("state", NOBODY, NOBODY);
    let daemon = Daemon::start(&stage);
    stage.give("state/table", NOBODY, NOBODY);
    let mut caller = stage.start();
    works(&stage, &mut caller);
    assert_eq!(daemon.lists(CLIENT), Some(true));
    stage.make_table_at("backup", 1024);
    // Without a cut in between: nobody is to die of it here.
    let backup = fs::read(stage.path("backup")).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(stage.table_path())
        .unwrap()
        .write_all(&backup)
        .unwrap();
    next_second();
    next_second();
    works(&stage, &mut caller);
    let other = "203.0.113.99";
    let mut newcomer = stage.start();
    newcomer.call("rbl_record", &[other]);
    assert_eq!(caller.call("rbl_listed", &[other]), "yes", "both use the same table");
    crate::stage::wait_until("the daemon answers from the new table", || {
        daemon.lists(other) == Some(true)
    });
}

/// The same with garbage: who has it mapped goes on no longer than who opens it anew.
///
/// Caught: as above.
#[test]
fn overwritten_in_place_by_garbage() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    let length = fs::metadata(stage.table_path()).unwrap().len();
    let zeros = vec![0; usize::try_from(length).unwrap()];
    fs::OpenOptions::new().write(true).open(stage.table_path()).unwrap().write_all(&zeros).unwrap();
    next_second();
    fails_open(&mut caller, &["not a table", "move the file away"]);
    again(&stage);
    heals(&stage, &mut caller);
    caller.end();
}
