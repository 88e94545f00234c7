//! Programs that run for a while, and programs that run once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use super::clock::remove_remains;
use super::scratch::text_of;
use super::wait::{PATIENCE, holds_soon};

/// How long a program that nobody asks for its end any more may take after SIGTERM before it is killed. It
/// may have been stopped, and never obeys then.
const GRACE: Duration = Duration::from_secs(5);

/// A program in the background, ended by its process number when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Process {
    /// Starts `command`; what it writes to standard output and error goes into the file `output`.
    pub fn start(name: &str, mut command: Command, output: PathBuf) -> Self {
        let file = File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{name} does not start: {error}. Is its package installed? Run tests/run.sh")
        });
        Self { child, name: name.to_owned(), output }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output and error so far.
    pub fn output(&self) -> String {
        text_of(&self.output)
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&self, signal: &str) {
        run(Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()));
    }

    /// True until it has ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until `ready` holds.
    ///
    /// # Panics
    ///
    /// When the program ends before that or takes too long, with all that it wrote.
    #[track_caller]
    pub fn wait_until_ready(&mut self, mut ready: impl FnMut(&Self) -> bool) {
        let mut ended = None;
        let in_time = holds_soon(|| {
            ended = self.child.try_wait().unwrap();
            ended.is_some() || ready(self)
        });
        if let Some(status) = ended {
            panic!("{} ended at once ({status}):\n{}", self.name, self.output());
        }
        assert!(in_time, "{} not ready in {PATIENCE:?}:\n{}", self.name, self.output());
    }

    /// Asks it to end by SIGTERM and waits; a program that does not obey is killed.
    pub fn stop(&mut self) -> ExitStatus {
        self.end_within(PATIENCE)
    }

    fn end_within(&mut self, grace: Duration) -> ExitStatus {
        if let Some(status) = self.child.try_wait().unwrap() {
            return status;
        }
        let _ = Command::new("kill").arg("-TERM").arg(self.id().to_string()).status();
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}", self.name, self.output());
        }
        self.end_within(GRACE);
        remove_remains(self.id());
    }
}

/// Runs a command to its end and gives its standard output.
///
/// # Panics
///
/// When it can't be run or fails, with what it wrote to standard error.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = finished(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command to its end; how it ended is the caller's affair.
#[track_caller]
pub fn finished(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}. Is its package installed? Run tests/run.sh")
    })
}

/// True when `name` is `prefix`, a process number and a dash, and there is no such process.
pub fn is_dead(name: &str, prefix: &str) -> bool {
    let maker = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next());
    let maker = maker.and_then(|digits| digits.parse::<u32>().ok());
    maker.is_some_and(|maker| !Path::new("/proc").join(maker.to_string()).exists())
}
