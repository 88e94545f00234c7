//! The built things that are tested: the library, the daemon, the tool, in the form that ships.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::run;

/// The path of a built file.
///
/// The folder is `EXIMRBL_ARTIFACTS` if set, else `release` in `CARGO_TARGET_DIR`, else
/// `target/release` of the checkout.
///
/// # Panics
///
/// When it is not there: tests never build it themselves, lest they test another form of it.
#[track_caller]
pub fn artifact(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = match (std::env::var_os("EXIMRBL_ARTIFACTS"), std::env::var_os("CARGO_TARGET_DIR"))
    {
        (Some(folder), _) => root.join(folder),
        (None, Some(target)) => root.join(target).join("release"),
        (None, None) => root.join("target/release"),
    };
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built. Run tests/run.sh, or `cargo build --release --workspace` and then the tests",
        path.display()
    );
    path
}

/// The library that Exim loads.
///
/// # Panics
///
/// When it is not built, or is in a folder that is closed to Exim's user: then the configurations
/// here would fail open, and every test with them for a reason that is hard to see.
#[track_caller]
pub fn library() -> PathBuf {
    let path = artifact("libeximrbl.so");
    for folder in path.canonicalize().unwrap().ancestors().skip(1) {
        assert!(
            folder.metadata().unwrap().mode() & 0o001 != 0,
            "{} is closed to Exim's user, so Exim cannot load {}. Run tests/run.sh: it tests a copy",
            folder.display(),
            path.display()
        );
    }
    path
}

/// The command line `eximrbl --table TABLE`, waiting for its further arguments.
#[track_caller]
pub fn tool(table: &Path) -> Command {
    let mut command = Command::new(artifact("eximrbl"));
    command.arg("--table").arg(table);
    command
}

/// Runs the tool with arguments as one would type them, and gives what it prints.
///
/// # Panics
///
/// When it fails, with its message.
#[track_caller]
pub fn tool_text(table: &Path, arguments: &str) -> String {
    run(tool(table).args(arguments.split(' ')))
}
