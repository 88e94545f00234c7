//! "Try it, test it": the two commands at the top of the README.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Scratch, finished, holds_soon, root, run, text_of};
use crate::readme::commands;
use crate::root::{target, without_cargos_variables};

/// The blocks that are looked at here.
pub const BLOCKS: [&str; 1] = ["try-and-test"];

/// No demonstration takes longer, where all is built; but its cargo may have to wait for another one.
const PATIENCE: Duration = Duration::from_secs(600);

/// Every process of a demonstration has this in its environment, with the number of the test.
const MARK: &str = "EXIMRBL_DEMONSTRATION_OF";

#[test]
fn the_two_commands_are_there_and_can_be_run() {
    let text = commands(BLOCKS[0]);
    let programs: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(programs, ["examples/demo.sh", "tests/run.sh"]);
    for program in programs {
        let path = root().join(program);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o111, 0o111, "{program}");
        run(Command::new("bash").arg("-n").arg(path));
    }
}

#[test]
fn both_commands_say_that_they_need_root() {
    for program in ["examples/demo.sh", "tests/run.sh"] {
        // A copy, for the checkout may be closed to others.
        let scratch = Scratch::new("not-root");
        std::fs::create_dir(scratch.join(program).parent().unwrap()).unwrap();
        // Made by a process of its own: a child that another test is just starting could hold it open for
        // writing when it is to be run, had this one written it ("text file busy").
        run(Command::new("cp").arg(root().join(program)).arg(scratch.join(program)));
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        let output = finished(command.arg(scratch.join(program)));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(error.starts_with(&format!("{program} must be run as root")), "{error}");
    }
}

#[test]
fn the_demonstration_tells_its_story_and_leaves_nothing_behind() {
    let demonstration = Demonstration::start("whole");
    let (output, left) = demonstration.finish(None);
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{error}", output.status);
    assert!(said.contains("blacklisted at rbl.example.org"), "{said}");
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_demonstration_that_is_interrupted_leaves_nothing_behind() {
    let demonstration = Demonstration::start("interrupted");
    // The servers of the story run when it has come to its third chapter.
    let (output, left) = demonstration.finish(Some("\n3. "));
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(left, Vec::<String>::new());
}

/// A running examples/demo.sh.
struct Demonstration {
    child: Child,
    scratch: Scratch,
    /// The value of [`MARK`].
    mark: String,
    /// All processes of it that were ever seen.
    seen: BTreeSet<u32>,
    /// What lay in shared memory before: numbers of processes come round.
    shared_before: Vec<String>,
}

impl Demonstration {
    /// Starts it, as it is, upon the release build that is there.
    fn start(name: &str) -> Self {
        let shared_before = names_in(SHARED_MEMORY.as_ref());
        let scratch = Scratch::new("demonstration");
        let temporary = scratch.join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        let mark = format!("{}-{name}", std::process::id());
        let mut command = Command::new("examples/demo.sh");
        command.current_dir(root()).stdin(Stdio::null());
        without_cargos_variables(&mut command);
        command.env("CARGO_TARGET_DIR", target()).env("TMPDIR", &temporary).env(MARK, &mark);
        let file = |name: &str| std::fs::File::create(scratch.join(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { child, scratch, mark, seen: BTreeSet::new(), shared_before }
    }

    /// Waits for its end, and interrupts it when it has said `until`; gives what it said, and what
    /// is left of it.
    fn finish(mut self, mut until: Option<&str>) -> (Output, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            self.seen.extend(self.processes());
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if until.is_some_and(|text| self.said("stdout").contains(text)) {
                run(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()));
                until = None;
            }
            if Instant::now() > deadline {
                run(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()));
                let _ = self.child.wait();
                panic!("no end after {PATIENCE:?}:\n{}", self.said("stdout"));
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let (stdout, stderr) = (self.said("stdout").into(), self.said("stderr").into());
        assert!(self.seen.len() > 3, "its servers were not seen: {:?}", self.seen);
        (Output { status, stdout, stderr }, self.left())
    }

    fn said(&self, name: &str) -> String {
        text_of(&self.scratch.join(name))
    }

    /// Its processes that run now.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.mark);
        let folder = std::fs::read_dir("/proc").unwrap().flatten();
        let numbers = folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let has_mark = |process: &u32| {
            let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        numbers.filter(has_mark).collect()
    }

    /// What it made and did not take away.
    fn left(&self) -> Vec<String> {
        // Those that it has just killed may be on their way out.
        holds_soon(|| self.processes().is_empty());
        let mut left = Vec::new();
        left.extend(self.processes().iter().map(|process| format!("process {process}")));
        let name = format!("eximrbl-demo-{}", self.child.id());
        for folder in ["/run/netns", "/etc/netns"] {
            let names = names_in(folder.as_ref());
            left.extend(names.into_iter().filter(|found| found.starts_with(&name)));
        }
        left.extend(names_in(&self.scratch.join("temporary")));
        // libfaketime's shared memory has the number of the process in its name.
        let numbers = |found: &String| found.rsplit('_').next()?.parse::<u32>().ok();
        let shared = names_in(SHARED_MEMORY.as_ref()).into_iter();
        let shared = shared.filter(|found| !self.shared_before.contains(found));
        left.extend(
            shared.filter(|found| numbers(found).is_some_and(|id| self.seen.contains(&id))),
        );
        left
    }
}

/// Where shared memory with a name lies.
const SHARED_MEMORY: &str = "/dev/shm";

/// The names of a folder's files; none when there is no such folder.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
