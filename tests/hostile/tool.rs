//! The tool on damaged tables: every command says something sensible and ends.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cases::{self, Case};
use crate::guard::guard;
use crate::harness::{Scratch, text_of, tool};
use crate::is_torture;

/// Every command that looks at the table, or changes it, in both forms of output.
pub(crate) const COMMANDS: [&str; 25] = [
    "info",
    "verify",
    "list --all",
    "show 192.0.2.1",
    "policy",
    "info --json",
    "verify --json",
    "list --all --json",
    "show 2001:db8:1:5::9 --json",
    "policy --json",
    "show 203.0.113.0/24",
    "list 192.0.2.0/24",
    "list --white",
    "list --reason auth",
    "black 203.0.112.50 never-seen-before 7",
    "black 2001:db8::1 rcpt --json",
    "black 203.0.113.0/24 --endless",
    "white 192.0.2.1 60",
    "white 2001:db8:1::/48 --json",
    "forgive 192.0.2.1",
    "forgive 203.0.113.0/24 --json",
    "purge --reporter local",
    "purge --reason rcpt --json",
    "purge --all --yes",
    "policy --set base_ttl=900 --set never=198.51.100.0/24 --set weights.auth=2",
];

/// How long a command may take: it takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every case, with one command in turn, or with all of them: a documented status, no
/// panic, and nothing on the terminal but printable text.
///
/// Caught: no comparison of the file's length with the header's (SIGBUS at "0x10000000 slots"); no
/// upper bound of slots (a panic near 2^61); a number of never-ranges that is not clamped (137 GB of
/// memory asked for); names that are shown as they stand in the file (control characters).
#[test]
fn every_damage_is_survived() {
    let scratch = Scratch::new("tool");
    let cases = cases::all();
    let (mut runs, mut statuses) = (0, [0; 3]);
    for (i, case) in cases.iter().enumerate() {
        let one = i % COMMANDS.len();
        for command in if is_torture() { &COMMANDS[..] } else { &COMMANDS[one..=one] } {
            case.lay_down(&scratch.join("table"));
            let status = run(&scratch, case, command);
            statuses[status] += 1;
            runs += 1;
        }
    }
    eprintln!(
        "{} damaged tables under the tool, {runs} runs, by status: {statuses:?}",
        cases.len()
    );
    assert!(statuses.iter().all(|&count| count > 10), "all kinds were seen: {statuses:?}");
}

/// On a sound table every command works, and is guarded. Caught: another seed than the header's.
#[test]
fn a_sound_table_is_used_and_guarded() {
    let scratch = Scratch::new("tool");
    let sound = &cases::all()[0];
    for command in COMMANDS {
        sound.lay_down(&scratch.join("table"));
        let status = run(&scratch, sound, command);
        let (out, err) = (text_of(&scratch.join("out")), text_of(&scratch.join("err")));
        assert_eq!(status, 0, "{command}: {out}{err}");
        assert!(scratch.join("mark").exists(), "{command}");
        std::fs::remove_file(scratch.join("mark")).unwrap();
    }
}

/// Runs a command; its exit status.
pub(crate) fn run(scratch: &Scratch, case: &Case, arguments: &str) -> usize {
    let mut command = tool(&scratch.join("table"));
    command.args(arguments.split(' ')).env("TZ", "UTC");
    guard(&mut command, &scratch.join("mark"));
    let name = format!("{}: eximrbl {arguments}", case.name);
    let status = status(&mut command, scratch.path(), &name);
    let (out, err) = (text_of(&scratch.join("out")), text_of(&scratch.join("err")));
    // A panic's is 101; a signal leaves none.
    let status = status.filter(|status| (0..=2).contains(status));
    let status = status.unwrap_or_else(|| panic!("{name}: {status:?}\n{err}"));
    for text in [&out, &err] {
        let is_shown = |c: char| c == '\n' || c == '\t' || !c.is_control() && c != '\u{fffd}';
        assert!(text.chars().all(is_shown), "{name}: {text:?}");
    }
    let is_explained = err.starts_with("eximrbl: ");
    assert!(
        if status == 2 { is_explained } else { is_explained || err.is_empty() },
        "{name}: {err}"
    );
    status as usize
}

/// Runs it to its end, within bounds.
fn status(command: &mut Command, folder: &Path, name: &str) -> Option<i32> {
    let (out, err) = (folder.join("out"), folder.join("err"));
    command.stdin(Stdio::null());
    command.stdout(File::create(out).unwrap()).stderr(File::create(err).unwrap());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{name} hangs");
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}
