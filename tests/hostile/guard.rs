//! Builds `guard.c`, and puts it in front of programs.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::harness::{Scratch, finished, run};

/// The guard and the program that steps outside, built once.
fn built() -> &'static (Scratch, PathBuf, PathBuf) {
    static BUILT: OnceLock<(Scratch, PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let scratch = Scratch::new("guard");
        let compile = |source: &str, name: &str, flags: &[&str]| {
            let path = scratch.join(name);
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(source);
            run(Command::new("cc")
                .args(["-O1", "-Wall"])
                .args(flags)
                .arg("-o")
                .args([path.as_path(), &source]));
            path
        };
        let guard = compile("guard.c", "guard.so", &["-shared", "-fPIC"]);
        let step = compile("step.c", "step", &[]);
        (scratch, guard, step)
    })
}

/// Has a program's mappings guarded. The file `mark` will be there once one was.
pub(crate) fn guard<'c>(command: &'c mut Command, mark: &Path) -> &'c mut Command {
    command.env("LD_PRELOAD", &built().1).env("EXIMRBL_GUARDED", mark)
}

/// The last byte of a mapping can be read, the next one cannot, nor what lies further off. (The
/// last page is read to its end: a table's length is whole pages.) Caught: space around that can be
/// read.
#[test]
fn a_step_outside_is_seen() {
    let scratch = Scratch::new("step");
    let file = scratch.write("file", vec![1; 8192]);
    let step = |distance: i64| {
        let mut command = Command::new(&built().2);
        command.arg(&file).arg(distance.to_string());
        finished(guard(&mut command, &scratch.join("mark"))).status
    };
    for inside in [0, 8191] {
        assert_eq!(step(inside).code(), Some(0), "{inside}");
    }
    assert!(scratch.join("mark").exists());
    for outside in [-1, 8192, -(1 << 33), 1 << 33] {
        assert_eq!(step(outside).signal(), Some(11), "{outside}");
    }
}
