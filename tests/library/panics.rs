//! A panic inside the library: contained, silent toward the client, told in the log.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::artifacts;
use crate::driver::{Driver, Stage, plain_program};

/// The library with `rbl_version` made to panic, otherwise as it ships.
fn library_with_panic() -> PathBuf {
    let target = artifacts::target().join("panic-probe");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--release", "--lib", "--package", "eximrbl", "--features", "panic-probe"])
        .arg("--target-dir")
        .arg(&target)
        .output()
        .expect("cargo could not be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("release/libeximrbl.so")
}

#[test]
fn panic_is_contained_and_told_once() {
    let stage = Stage::with_library(&library_with_panic());
    stage.create_table();
    let mut driver = stage.start();
    for _ in 0..3 {
        // `call` sees to OK, `end` to an empty standard error.
        assert_eq!(driver.call("rbl_version", &[]), "");
    }
    driver.call("rbl_record", &["203.0.113.1"]);
    assert_eq!(driver.call("rbl_listed", &["203.0.113.1"]), "yes", "the others go on");
    let logged = driver.end();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].starts_with("eximrbl: internal error at src/functions.rs:"), "{logged:?}");
    assert!(logged[0].contains(r"probe\x0aof a panic"), "{logged:?}");

    let mut program = Driver::start(&mut stage.command(plain_program()));
    assert_eq!(program.call("rbl_version", &[]), "");
    assert_eq!(program.end(), [""; 0]);
}
