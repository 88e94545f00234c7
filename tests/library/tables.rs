//! Tables as they should not be: mail goes on, the cause is told once, and the library heals.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};

use eximrbl_table::WritableTable;

use crate::driver::{Driver, Stage, next_second};

const CLIENT: &str = "203.0.113.7";

/// Calls everything, twice; nothing must come of it.
fn call_all(driver: &mut Driver) {
    for _ in 0..2 {
        for function in ["rbl_record", "rbl_forgive"] {
            assert_eq!(driver.call(function, &[CLIENT]), "");
        }
        assert_eq!(driver.call("rbl_allow", &[CLIENT, "60"]), "");
        assert_eq!(driver.call("rbl_listed", &[CLIENT]), "no");
        assert_eq!(driver.call("rbl_lookup", &[CLIENT]), "");
        assert_eq!(driver.call("rbl_preload", &[]), "");
        assert!(driver.call("rbl_version", &[]).starts_with("eximrbl "));
    }
}

/// Runs everything without a usable table; the one line that is logged.
fn only_line(driver: &mut Driver) -> String {
    call_all(driver);
    next_second();
    call_all(driver);
    assert_eq!(driver.logged.len(), 1, "{:?}", driver.logged);
    driver.logged[0].clone()
}

#[test]
fn missing_then_made() {
    let stage = Stage::bare();
    let mut driver = stage.start();
    let line = only_line(&mut driver);
    assert!(line.contains(stage.table_path().to_str().unwrap()), "{line}");
    assert!(line.contains("no such table"), "{line}");
    stage.create_table();
    next_second();
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes", "it heals");
    assert_eq!(driver.end().len(), 1);
}

/// The children of a daemon that has told of a missing table do not tell it again.
#[test]
fn missing_at_preload_is_told_by_the_parent_alone() {
    let stage = Stage::bare();
    let mut driver = stage.start();
    driver.call("rbl_preload", &[]);
    driver.send("fork");
    call_all(&mut driver);
    next_second();
    call_all(&mut driver);
    assert_eq!(driver.logged.len(), 1, "{:?}", driver.logged);
    stage.create_table();
    next_second();
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 1);
    driver.end();
}

#[test]
fn unreadable() {
    let stage = Stage::new();
    stage.permit(0o000);
    let mut driver = stage.start_as_nobody();
    let line = only_line(&mut driver);
    assert!(line.contains(stage.table_path().to_str().unwrap()), "{line}");
    driver.end();
}

#[test]
fn read_only_still_answers() {
    let stage = Stage::new();
    stage.start().call("rbl_record", &[CLIENT, "rcpt"]);
    stage.permit(0o440);
    let mut driver = stage.start_as_nobody();
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");
    assert!(driver.call("rbl_lookup", &[CLIENT]).contains("reason=rcpt"));
    assert!(driver.logged.is_empty(), "who only looks is not told: {:?}", driver.logged);
    driver.call("rbl_record", &[CLIENT]);
    driver.call("rbl_forgive", &[CLIENT]);
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "yes");
    assert_eq!(driver.logged.len(), 1, "{:?}", driver.logged);
    assert!(driver.logged[0].contains("can only be read"), "{:?}", driver.logged);
    stage.permit(0o660);
    next_second();
    driver.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 2, "it heals");
    driver.end();
}

#[test]
fn not_a_table() {
    let stage = Stage::bare();
    for content in [&b""[..], b"short", &[0; 100_000], &[0xff; 100_000]] {
        fs::write(stage.table_path(), content).unwrap();
        let line = only_line(&mut stage.start());
        assert!(line.contains(stage.table_path().to_str().unwrap()), "{line}");
    }
    fs::remove_file(stage.table_path()).unwrap();
    fs::create_dir(stage.table_path()).unwrap();
    only_line(&mut stage.start());
}

#[test]
fn truncated() {
    let stage = Stage::new();
    let length = stage.table_path().metadata().unwrap().len();
    for length in [length - 1, length / 2, 4096, 100] {
        OpenOptions::new().write(true).open(stage.table_path()).unwrap().set_len(length).unwrap();
        only_line(&mut stage.start());
    }
}

/// Cut short while it is in use: from the next second on, it is no longer touched.
#[test]
fn truncated_while_in_use() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    next_second();
    OpenOptions::new().write(true).open(stage.table_path()).unwrap().set_len(4096).unwrap();
    next_second();
    let line = only_line(&mut driver);
    assert!(line.contains(stage.table_path().to_str().unwrap()), "{line}");
    driver.end();
}

#[test]
fn replaced_while_in_use() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    WritableTable::create(&stage.path("new"), &stage.options(2048)).unwrap();
    fs::rename(stage.path("new"), stage.table_path()).unwrap();
    next_second();
    assert_eq!(driver.call("rbl_listed", &[CLIENT]), "no");
    driver.call("rbl_record", &[CLIENT, "rcpt", "4"]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, 4, "in the new table");
    assert_eq!(driver.end(), [""; 0], "which is nothing to tell");
}

#[test]
fn deleted_while_in_use() {
    let stage = Stage::new();
    let mut driver = stage.start();
    driver.call("rbl_record", &[CLIENT]);
    fs::remove_file(stage.table_path()).unwrap();
    next_second();
    let line = only_line(&mut driver);
    assert!(line.contains("no such table"), "{line}");
    driver.end();
}

/// Whatever is in the file: every call returns, and nothing crashes.
#[test]
fn arbitrary_bytes() {
    // A fixed sequence (xorshift), so that a failure can be seen again.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..40 {
        let stage = Stage::new();
        stage.start().call("rbl_record", &[CLIENT]);
        let mut file = OpenOptions::new().write(true).open(stage.table_path()).unwrap();
        let length = file.metadata().unwrap().len();
        // Few and many, and the header in every second round.
        for _ in 0..1 << (round % 14) {
            let reach = if round % 2 == 0 { length } else { length.min(32_768) };
            file.seek(SeekFrom::Start(random() % reach)).unwrap();
            file.write_all(&random().to_ne_bytes()).unwrap();
        }
        file.set_len(length).unwrap();
        let mut driver = stage.start();
        for i in 0..50 {
            let client = format!("203.0.113.{i}");
            driver.call("rbl_record", &[&client, "rcpt"]);
            let listed = driver.call("rbl_listed", &[&client]);
            assert!(["yes", "no"].contains(&&*listed));
            driver.call("rbl_lookup", &[&client]);
            driver.call("rbl_forgive", &[&client]);
            driver.call("rbl_allow", &[&client, "60"]);
        }
        driver.end();
    }
}
