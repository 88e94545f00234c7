//! A settable time, by Debian's libfaketime: nothing of it is in what ships.
//!
//! Programs started under one [`Clock`] share one file that holds how far they are ahead of the
//! machine's time, and read it at every look at the clock. Only the time of day is faked;
//! monotonic clocks run on, so time-outs and polling behave as always.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scratch::Scratch;

/// Where Debian's package libfaketime puts its library on this architecture.
fn libfaketime() -> PathBuf {
    let name = "faketime/libfaketime.so.1";
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let places = [format!("/usr/lib/{triplet}"), "/usr/lib".to_owned()];
    places
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{name} in none of {places:?}: install the package faketime (tests/run.sh does)")
        })
}

/// The time of a group of programs.
#[derive(Debug)]
pub struct Clock {
    scratch: Scratch,
}

impl Clock {
    /// A clock that shows the machine's time.
    pub fn new() -> Self {
        let clock = Self { scratch: Scratch::new("clock") };
        clock.set_ahead(0);
        clock
    }

    /// Sets the programs' time to so many seconds ahead of the machine's.
    pub fn set_ahead(&self, seconds: u32) {
        self.set(&format!("+{seconds}"));
    }

    /// Sets the programs' time as libfaketime's documentation has it: `-1d` for a day before the
    /// machine's, `@1970-01-01 00:10:00` for a time from which it then runs on.
    pub fn set(&self, time: &str) {
        // Made aside and renamed: a program that looks meanwhile must not see half a number.
        let aside = self.scratch.write("new", format!("{time}\n"));
        std::fs::rename(aside, self.file()).unwrap();
    }

    /// Lets a command run under this clock.
    pub fn rule(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", libfaketime())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("ahead")
    }
}

/// Removes the shared memory that libfaketime leaves when a program is ended by a signal.
pub fn remove_remains(process: u32) {
    let mut name = String::new();
    for start in ["faketime_shm_", "sem.faketime_sem_"] {
        name.clear();
        let _ = write!(name, "/dev/shm/{start}{process}");
        let _ = std::fs::remove_file(&name);
    }
}
