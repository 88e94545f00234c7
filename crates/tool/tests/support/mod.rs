//! A table in a directory of its own, and the real program on it.

// Each test target uses a part of this, as a module of its own.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use eximrbl_table::dictionary::LOCAL;
use eximrbl_table::{Name, Network, Policy, Report, WritableTable, now};
use serde_json::Value;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_eximrbl");

/// A directory with a table, both gone after the test.
pub struct Home {
    pub directory: tempfile::TempDir,
    pub table: PathBuf,
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// A directory without a table.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path().join("table");
        Self { directory, table }
    }

    /// A directory with a table of 4096 slots.
    pub fn new() -> Self {
        let home = Self::empty();
        home.done(&["create", "--slots", "4096"]);
        home
    }

    /// The program, told of the table, with nothing else of the environment that matters.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("EXIMRBL_TABLE", &self.table).env("TZ", "UTC");
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs it; it must succeed, and have nothing to complain about. Yields what it printed.
    pub fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{arguments:?}: {}", ran.stdout);
        ran.stdout
    }

    /// Runs it; the answer must be no, on standard output.
    pub fn negative(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.status, ran.stderr.as_str()), (1, ""), "{arguments:?}: {}", ran.stdout);
        ran.stdout
    }

    /// Runs it; it must fail, with nothing on standard output. Yields the complaint.
    pub fn failed(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        ran.stderr
    }

    /// Runs it with `--json`; yields its status and the one object that it printed.
    pub fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let ran = self.run(&[&["--json"], arguments].concat());
        assert_eq!(ran.stderr, "", "{arguments:?}");
        assert_eq!(ran.stdout.lines().count(), 1, "{arguments:?}: {}", ran.stdout);
        (ran.status, serde_json::from_str(&ran.stdout).unwrap())
    }

    /// The table, to be filled by another hand than the program's.
    pub fn open(&self) -> WritableTable {
        WritableTable::open(&self.table).unwrap()
    }

    /// Records a rejection as Exim's library does, `ago` seconds ago.
    pub fn reject(&self, address: &str, reason: &str, ago: u32) {
        let table = self.open();
        let report = Report {
            network: network(address),
            reason: table.reason(Name::new(reason.as_bytes()).unwrap(), false),
            reporter: LOCAL,
            weight: None,
            seconds: None,
        };
        table.record(&report, now() - ago).unwrap();
    }

    /// Puts a policy in force.
    pub fn set_policy(&self, policy: &Policy) {
        self.open().set_policy(policy).unwrap();
    }

    /// Writes a file beside the table.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Ran {
    /// From a finished process.
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A network from its text.
pub fn network(text: &str) -> Network {
    text.parse().unwrap()
}

/// A JSON object must have these keys, and no other; their order is nobody's concern.
pub fn assert_keys(object: &Value, expected: &[&str]) {
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    // serde_json sorts them as it reads.
    let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, expected);
}

/// The line of a text that starts so, without that start.
pub fn line<'a>(text: &'a str, start: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(start));
    found.unwrap_or_else(|| panic!("no line \"{start}…\" in:\n{text}")).trim()
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
