//! The library makes no system call that can wait.
//!
//! Exim's system calls are written down by strace, once with the calls and once without. What the
//! library adds may only be of the few kinds that load it and open the table; of all others there
//! must be as many as without it. So a sleep, a lock, a socket or a write to disk is found
//! without a look at the clock.
//!
//! Caught: a sleep of two milliseconds in every call that changes something.

use std::collections::BTreeMap;

use crate::configuration::Way;
use crate::faults::FAULTS;
use crate::harness::{Lan, text_of, wait_until};
use crate::running::RUNNING;
use crate::server::{Circumstances, Server};
use crate::sessions::{SESSIONS, Session, play};
use crate::turns::among_others;

/// What loading a library, opening and mapping a file, and looking at its place take; what they
/// wait for is the file system at most.
const HARMLESS: [&str; 14] = [
    "openat",
    "read",
    "pread64",
    "fstat",
    "newfstatat",
    "statx",
    "close",
    "mmap",
    "munmap",
    "mprotect",
    "madvise",
    "brk",
    "getrandom",
    "getpid",
];

/// Refused at several stages; a log-in, that forgives and allows. No message, for Exim waits for
/// the clock's next tick after each, if need be.
const SPEAKERS: [Session; 4] = [RUNNING[1], SESSIONS[4], SESSIONS[5], SESSIONS[6]];

/// How often each system call was made by all processes that served a connection.
type Calls = BTreeMap<String, usize>;

/// Plays the sessions under strace. Gives the calls, and the number of eximrbl's lines in the log.
fn calls(lan: &Lan, server: &mut Server, way: Way) -> (Calls, usize) {
    let output = server.real("/var/spool/exim4/strace");
    let _ = std::fs::remove_file(&output);
    let path = output.display().to_string();
    let wrapper = ["strace", "-D", "-f", "-o", &path].map(str::to_owned);
    server.start(&way.text(), Circumstances { wrapper: &wrapper, ..Circumstances::default() });
    let seen = play(lan, server, &SPEAKERS, &mut |_, _| ());
    let daemon = server.exim().id();
    server.stop();
    // `123 close(5) = 0`; strace pads the process's number.
    let parts = |line: &str| {
        let (process, what) = line.split_once(' ')?;
        Some((process.parse::<u32>().ok()?, what.trim_start().to_owned()))
    };
    let lines = || text_of(&output).lines().filter_map(parts).collect::<Vec<_>>();
    wait_until("strace has written all", || {
        lines().iter().any(|(process, what)| *process == daemon && what.starts_with("+++ "))
    });
    let mut calls = Calls::new();
    for (_, what) in lines().iter().filter(|(process, _)| *process != daemon) {
        // Else it is the end of a call, `<... read resumed>`, or a signal.
        let name = what.split_once('(').map_or("", |(name, _)| name);
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name && !name.is_empty() {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    (calls, seen.told.len())
}

/// Fails if the calls make Exim's processes do more than what is harmless, and write more than a
/// line for each thing that is told.
#[track_caller]
fn compare(what: &str, (called, told): &(Calls, usize), plain: &Calls) {
    let names = plain.keys().chain(called.keys());
    for name in names.filter(|name| !HARMLESS.contains(&name.as_str())) {
        let count = |calls: &Calls| calls.get(name).copied().unwrap_or(0);
        let lines = if name == "write" { *told } else { 0 };
        assert_eq!(count(called), count(plain) + lines, "{what}: {name}\n{called:?}\n{plain:?}");
    }
}

/// Faults that are met in different places: the path, the opening, the looking, the slots.
const MET: [&str; 5] = [
    "no table",
    "a FIFO",
    "garbage",
    "a table that can only be read",
    "a table full of endless entries",
];

#[test]
fn no_call_can_wait() {
    let _turn = among_others();
    let lan = Lan::new();
    let mut server = Server::new(&lan, 10);
    let (plain, _) = calls(&lan, &mut server, Way::Plain);
    assert!(plain["write"] > 10 && plain["exit_group"] == 4, "{plain:?}");
    assert!(!plain.contains_key("mmap"), "Exim maps something by itself: {plain:?}");
    for way in [Way::Functions, Way::Direct, Way::Preloaded] {
        server.create_table(1024);
        let called = calls(&lan, &mut server, way);
        compare(&format!("{way:?}"), &called, &plain);
        let maps = called.0.contains_key("mmap");
        assert_eq!(maps, way != Way::Preloaded, "{way:?}: is the table opened where it should?");
    }
    for name in MET {
        let fault = FAULTS.iter().find(|fault| fault.name == name).unwrap();
        (fault.place)(&server);
        let called = calls(&lan, &mut server, Way::Direct);
        compare(name, &called, &plain);
        assert!(called.1 > 0, "{name}: nobody told");
    }
}
