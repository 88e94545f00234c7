//! Runs `driver.c` and speaks with it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use eximrbl_table::{CreateOptions, Entry, Network, WritableTable, now};
use tempfile::TempDir;

use crate::artifacts;

/// User and group without rights.
const NOBODY: u32 = 65534;

/// A folder that any user can enter, with a copy of the library, a driver and maybe a table.
pub(crate) struct Stage {
    folder: TempDir,
    library: PathBuf,
}

impl Stage {
    /// A stage with the shipped library and a table.
    pub(crate) fn new() -> Self {
        let stage = Self::bare();
        stage.create_table();
        stage
    }

    /// A stage without a table.
    pub(crate) fn bare() -> Self {
        Self::with_library(&artifacts::library())
    }

    /// A stage without a table, with another library.
    pub(crate) fn with_library(library: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = folder.path().join("libeximrbl.so");
        fs::copy(library, &copy).unwrap();
        Self { folder, library: copy }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the table is, or would be.
    pub(crate) fn table_path(&self) -> PathBuf {
        self.path("table")
    }

    /// Where the library is.
    pub(crate) fn library(&self) -> &Path {
        &self.library
    }

    /// Makes the table, which [`Stage::start_as_nobody`] may write as well.
    pub(crate) fn create_table(&self) -> WritableTable {
        let table = WritableTable::create(&self.table_path(), &self.options(1024)).unwrap();
        self.permit(0o660);
        table
    }

    /// How to make a table of this stage.
    pub(crate) fn options(&self, slots: u64) -> CreateOptions {
        let group = rustix::process::geteuid().is_root().then_some(NOBODY);
        CreateOptions { slots, group, ..CreateOptions::default() }
    }

    /// Changes the table's permission bits.
    pub(crate) fn permit(&self, mode: u32) {
        fs::set_permissions(self.table_path(), Permissions::from_mode(mode)).unwrap();
    }

    /// The table as others see it.
    pub(crate) fn table(&self) -> WritableTable {
        WritableTable::open(&self.table_path()).unwrap()
    }

    /// The live entry of an address or network.
    pub(crate) fn entry(&self, network: &str) -> Option<Entry> {
        self.table().entry(network.parse::<Network>().unwrap(), now())
    }

    /// Starts a driver on the stage's table.
    pub(crate) fn start(&self) -> Driver {
        Driver::start(&mut self.command(driver()))
    }

    /// Starts a driver that is not root, so that file permissions count.
    pub(crate) fn start_as_nobody(&self) -> Driver {
        let copy = self.path("driver");
        // By a process of its own: were this one to write the file, a fork of another test's
        // thread could hold it open for writing just when it is to be run ("text file busy").
        assert!(Command::new("cp").arg(driver()).arg(&copy).status().unwrap().success());
        let mut command = self.command(&copy);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Driver::start(&mut command)
    }

    /// The command that runs a driver on this stage, for a test that wants it otherwise.
    pub(crate) fn command(&self, driver: &Path) -> Command {
        let mut command = Command::new(driver);
        command.arg(&self.library).env_clear().env("EXIMRBL_TABLE", self.table_path());
        command
    }
}

/// The driver, built once.
pub(crate) fn driver() -> &'static Path {
    static DRIVER: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &DRIVER.get_or_init(|| build("driver", &[])).1
}

/// A driver that exports nothing of Exim's.
pub(crate) fn plain_program() -> &'static Path {
    static DRIVER: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &DRIVER.get_or_init(|| build("plain", &["-DWITHOUT_EXIM"])).1
}

fn build(name: &str, flags: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library/driver.c");
    let output = Command::new("cc")
        .args(["-O1", "-Wall", "-rdynamic"])
        .args(flags)
        .arg("-o")
        .args([&program, &source])
        .output()
        .expect("cc could not be started; install gcc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, program)
}

/// A running driver.
pub(crate) struct Driver {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What was logged so far, in order.
    pub(crate) logged: Vec<String>,
    /// What was written to the debugging output so far.
    pub(crate) debugged: Vec<String>,
    /// Allocations in the last `repeat`.
    pub(crate) allocations: Option<u64>,
}

impl Driver {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            logged: Vec::new(),
            debugged: Vec::new(),
            allocations: None,
        }
    }

    /// Calls a function, which must return OK; what it yields.
    pub(crate) fn call(&mut self, function: &str, arguments: &[&str]) -> String {
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        self.call_bytes(function, &arguments)
    }

    /// As [`Driver::call`], with any bytes.
    pub(crate) fn call_bytes(&mut self, function: &str, arguments: &[&[u8]]) -> String {
        self.send(&format!("call {function}{}", hexadecimal(arguments)));
        self.result(function)
    }

    /// Calls with a count that need not be that of the arguments. `None` is a null pointer.
    pub(crate) fn call_counted(
        &mut self,
        argc: i32,
        function: &str,
        arguments: &[Option<&str>],
    ) -> String {
        let arguments: String = arguments
            .iter()
            .map(|text| text.map_or(" null".into(), |text| hexadecimal(&[text.as_bytes()])))
            .collect();
        self.send(&format!("argc {argc} {function}{arguments}"));
        self.result(function)
    }

    /// Calls many times.
    pub(crate) fn repeat(&mut self, times: u32, function: &str, arguments: &[&str]) -> String {
        let arguments: Vec<&[u8]> = arguments.iter().map(|text| text.as_bytes()).collect();
        self.send(&format!("repeat {times} {function}{}", hexadecimal(&arguments)));
        self.result(function)
    }

    /// Calls with null for the arguments and for the place of the yield.
    pub(crate) fn call_null(&mut self, function: &str) {
        self.send(&format!("null {function}"));
        assert_eq!(self.result(function), "");
    }

    /// Sends a command that has no answer.
    pub(crate) fn send(&mut self, command: &str) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }

    fn result(&mut self, function: &str) -> String {
        loop {
            let mut line = Vec::new();
            self.output.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            if let Some(text) = line.strip_prefix("log: ") {
                self.logged.push(text.to_owned());
            } else if let Some(text) = line.strip_prefix("debug: ") {
                self.debugged.push(text.to_owned());
            } else if let Some(text) = line.strip_prefix("allocations ") {
                self.allocations = text.parse().ok();
            } else if let Some(rest) = line.strip_prefix(function) {
                let rest = rest.strip_prefix(" 0").unwrap_or_else(|| panic!("not OK: {line}"));
                return rest.trim_start().trim_matches(['[', ']']).to_owned();
            } else {
                let how = self.child.wait();
                panic!(
                    "in {function}, the driver said {line:?}, and ended: {how:?}\n{}",
                    self.errors()
                );
            }
        }
    }

    /// Ends it; it must have ended well, and have written nothing to standard error. What it logged.
    pub(crate) fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        let errors = self.errors();
        assert!(status.success() && errors.is_empty(), "{status}: {errors}");
        std::mem::take(&mut self.logged)
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut text).unwrap();
        }
        text
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hexadecimal(arguments: &[&[u8]]) -> String {
    arguments
        .iter()
        .map(|bytes| {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(" x{digits}")
        })
        .collect()
}

/// Sleeps into the next second, when the library looks at the table's file again.
pub(crate) fn next_second() {
    let second = now();
    while now() == second {
        std::thread::sleep(Duration::from_millis(10));
    }
}
