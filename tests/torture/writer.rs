//! `writer.c`, running: calls the library itself, or has children do it.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::unistd::Pid;

use crate::artifacts;

/// A call of one of the library's functions.
#[derive(Clone, Debug)]
pub struct Call {
    pub function: &'static str,
    pub arguments: Vec<String>,
}

impl Call {
    fn new(function: &'static str, arguments: &[&str]) -> Self {
        Self { function, arguments: arguments.iter().map(|&text| text.to_owned()).collect() }
    }

    /// `rbl_record`
    pub fn record(ip: &str, reason: &str, weight: u32) -> Self {
        Self::new("rbl_record", &[ip, reason, &weight.to_string()])
    }

    /// `rbl_allow`
    pub fn allow(ip: &str, seconds: u32) -> Self {
        Self::new("rbl_allow", &[ip, &seconds.to_string()])
    }

    /// `rbl_forgive`
    pub fn forgive(ip: &str) -> Self {
        Self::new("rbl_forgive", &[ip])
    }

    /// The address that it is about.
    pub fn ip(&self) -> &str {
        &self.arguments[0]
    }

    fn text(&self) -> String {
        format!("{} {}", self.function, self.arguments.join(" "))
    }
}

/// What a call took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub wall: Duration,
    /// Of the calling thread alone: what others do with the processor does not count.
    pub processor: Duration,
}

/// The running program.
pub struct Writer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Where the library's instructions lie, in it and in its children.
    code: Range<u64>,
    /// Their place in the library's file.
    offset: u64,
    table: PathBuf,
}

impl Writer {
    /// Starts it; its first call opens the table. What the library logs goes to `log`.
    pub fn start(table: &Path, log: &Path) -> Self {
        Self::start_with(table, log, &[])
    }

    /// The same, with a tally (see `writer.c`) for children that hammer.
    pub fn start_with(table: &Path, log: &Path, tally: &[&str]) -> Self {
        let library = artifacts::library().canonicalize().unwrap();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut child = Command::new(program())
            .arg(&library)
            .args(tally)
            .env_clear()
            .env("EXIMRBL_TABLE", table)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut writer = Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            code: 0..0,
            offset: 0,
            table: table.to_owned(),
        };
        // It answers, so it has loaded the library.
        writer.set_clock(0);
        (writer.code, writer.offset) = code_of(writer.child.id(), &library);
        writer
    }

    /// Has the library open the table, as Exim's daemon does before it forks.
    pub fn open(&mut self) {
        let path = self.table.to_str().unwrap().to_owned();
        self.call(&Call { function: "rbl_preload", arguments: vec![path] });
    }

    /// Sets the library's clock, in children to come as well.
    pub fn set_clock(&mut self, now: u32) {
        assert_eq!(self.ask(&format!("clock {now}")), "ok");
    }

    /// Sets the clock and opens the table. Children then have no need to look at the file, as the
    /// first call of a second does.
    pub fn open_at(&mut self, now: u32) {
        self.set_clock(now);
        self.open();
    }

    /// Calls, and waits for the end of the call. It must return OK and have nothing to complain of.
    pub fn call(&mut self, call: &Call) -> Took {
        self.called("call", call, false)
    }

    /// As [`Writer::call`], for a call that may have to complain.
    pub fn call_and_log(&mut self, call: &Call) -> Took {
        self.called("call", call, true)
    }

    /// Calls so many times.
    pub fn repeat(&mut self, times: u32, call: &Call) -> Took {
        self.called(&format!("repeat {times}"), call, false)
    }

    fn called(&mut self, how: &str, call: &Call, may_log: bool) -> Took {
        let answer = self.ask(&format!("{how} {}", call.text()));
        let words: Vec<&str> = answer.split(' ').collect();
        let &["done", "0", wall, processor, logged, _] = &words[..] else {
            panic!("{call:?}: {answer}");
        };
        assert!(may_log || logged == "0", "{call:?} was complained of in the log");
        let time = |text: &str| Duration::from_nanos(text.parse().unwrap());
        Took { wall: time(wall), processor: time(processor) }
    }

    /// A child that stops, to be traced, before it calls.
    pub fn child_to_step(&mut self, call: &Call) -> Pid {
        self.child_of(&format!("step {}", call.text()))
    }

    /// A child that writes without end.
    pub fn child_to_hammer(&mut self, row: usize, seed: u64, kind: &str) -> Pid {
        self.child_of(&format!("hammer {row} {seed} {kind}"))
    }

    fn child_of(&mut self, command: &str) -> Pid {
        let answer = self.ask(command);
        let pid = answer.strip_prefix("child ").and_then(|pid| pid.parse().ok());
        Pid::from_raw(pid.filter(|&pid| pid > 0).unwrap_or_else(|| panic!("{command}: {answer}")))
    }

    fn ask(&mut self, command: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "after {command}: {:?}", self.child.wait());
        answer.trim_end().to_owned()
    }

    /// Where the library's instructions lie, and where in its file.
    pub fn code(&self) -> (Range<u64>, u64) {
        (self.code.clone(), self.offset)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // Cargo's folder for such things: a static value's folder would never be removed.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let program = folder.join("torture-writer");
        let aside = folder.join(format!("torture-writer.{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/writer.c");
        let output = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-rdynamic", "-o"])
            .args([&aside, &source])
            .output()
            .expect("cc could not be started; install gcc");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(&aside, &program).unwrap();
        program
    })
}

/// The executable part of a library in a process, and its place in the file.
fn code_of(pid: u32, library: &Path) -> (Range<u64>, u64) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let name = library.to_str().unwrap();
    let line = maps.lines().find(|line| line.contains("r-xp") && line.ends_with(name));
    let fields: Vec<_> = line.unwrap().split(' ').collect();
    let number = |text| u64::from_str_radix(text, 16).unwrap();
    let (from, to) = fields[0].split_once('-').unwrap();
    (number(from)..number(to), number(fields[2]))
}
