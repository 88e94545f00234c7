//! Runs `caller.c`, and speaks with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// A process that has the library loaded, as one of Exim's.
pub(crate) struct Caller {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What was logged so far, in order.
    pub(crate) logged: Vec<String>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// What one command printed, besides log lines.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What the function yielded; it returned `OK`.
    pub(crate) yielded: Option<String>,
    /// How the child ended, if one was asked for.
    pub(crate) end: Option<End>,
    /// Allocations that were made, or refused, if they were counted.
    pub(crate) allocations: Option<u64>,
}

impl Caller {
    /// Starts the command, which is the program of [`program`] or what leads to it.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            logged: Vec::new(),
        }
    }

    /// Calls a function, which must return `OK`; what it yields.
    #[track_caller]
    pub(crate) fn call(&mut self, function: &str, arguments: &[&str]) -> String {
        let command = call_command(function, arguments);
        self.obey(&command).yielded.unwrap_or_else(|| panic!("{command}: yielded nothing"))
    }

    /// Calls a function in a child of this process; how the child ended.
    #[track_caller]
    pub(crate) fn call_in_child(&mut self, function: &str, arguments: &[&str]) -> End {
        self.obey(&format!("child {}", call_command(function, arguments))).end.unwrap()
    }

    /// Sets the soft limit of `files` or `memory`; `None` takes it away.
    #[track_caller]
    pub(crate) fn limit(&mut self, what: &str, value: Option<u64>) {
        let value = value.map_or(-1, |value| i64::try_from(value).unwrap());
        self.send(&format!("limit {what} {value}"));
    }

    /// Has a command done, and reads what it prints, up to what comes last.
    #[track_caller]
    pub(crate) fn obey(&mut self, command: &str) -> Outcome {
        self.send(command);
        let last = command.split(' ').next().unwrap();
        // Long enough to be known again.
        let command = &command[..command.len().min(200)];
        let mut outcome = Outcome::default();
        loop {
            let mut line = Vec::new();
            self.output.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            let (start, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match start {
                "log:" => self.logged.push(rest.to_owned()),
                "=" => {
                    let text = rest.strip_prefix("0 [").and_then(|text| text.strip_suffix(']'));
                    let text = text.unwrap_or_else(|| panic!("{command}: not OK: {line}"));
                    outcome.yielded = Some(text.to_owned());
                }
                "child" => {
                    let (how, number) = rest.split_once(' ').unwrap();
                    let number = number.parse().unwrap();
                    let is_killed = how == "killed";
                    outcome.end =
                        Some(if is_killed { End::Killed(number) } else { End::Exited(number) });
                }
                "allocations" => outcome.allocations = rest.parse().ok(),
                _ => {
                    let how = self.child.wait();
                    panic!("{command}: said {line:?}, and ended: {how:?}\n{}", self.errors());
                }
            }
            let is_done = match last {
                "child" => outcome.end.is_some(),
                "failing" => outcome.allocations.is_some(),
                _ => outcome.yielded.is_some(),
            };
            if is_done {
                return outcome;
            }
        }
    }

    #[track_caller]
    fn send(&mut self, command: &str) {
        writeln!(self.input.as_mut().unwrap(), "{command}").unwrap();
    }

    /// Ends it; it must have ended well, and have written nothing to standard error. What it
    /// logged.
    #[track_caller]
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

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that calls a function.
pub(crate) fn call_command(function: &str, arguments: &[&str]) -> String {
    let hexadecimal = |text: &&str| text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let arguments: Vec<String> = arguments.iter().map(hexadecimal).collect();
    arguments.iter().fold(format!("call {function}"), |line, word| format!("{line} x{word}"))
}

/// `caller.c`, built once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    &PROGRAM
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let program = folder.path().join("caller");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/caller.c");
            let output = Command::new("cc")
                .args(["-O1", "-Wall", "-rdynamic", "-o"])
                .args([&program, &source])
                .output()
                .expect("cc could not be started; install gcc");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (folder, program)
        })
        .1
}
