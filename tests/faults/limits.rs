//! Nothing left: no descriptor, no address space, no memory.

use crate::caller::{Caller, End, call_command};
use crate::checks::{fails_open, heals, works};
use crate::stage::{CLIENT, Stage, next_second};

/// No descriptor is left when the table is to be opened.
///
/// Caught: the remedy for it left out.
#[test]
fn open_files_exhausted_at_opening() {
    let stage = Stage::new();
    let mut caller = stage.start();
    caller.limit("files", Some(3));
    fails_open(&mut caller, &["Too many open files", "raise the limit of open files"]);
    caller.limit("files", None);
    heals(&stage, &mut caller);
    caller.end();
}

/// An open table needs no descriptor, so the limit does not matter: the look is a stat(2).
///
/// Caught: a look that opens the file each second.
#[test]
fn open_files_exhausted_later() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    caller.limit("files", Some(0));
    next_second();
    works(&stage, &mut caller);
    assert_eq!(caller.end(), [""; 0]);
}

/// The table is resized while no descriptor is left to open the new one with: look-ups go on in the old
/// one, changes are refused and told. With descriptors, all is in the new one.
///
/// Caught: the table let go of because the new one cannot be opened; entries that were carried over not
/// read in the old one.
#[test]
fn open_files_exhausted_while_the_table_is_resized() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    let count = stage.entry(CLIENT).unwrap().count;
    caller.limit("files", Some(3));
    assert_eq!(stage.table().resize(4096).unwrap().slots, 4096);
    // In the second of the resize, in which the library has looked already perhaps, and later.
    for _ in 0..3 {
        assert_eq!(caller.call("rbl_listed", &[CLIENT]), "yes");
        assert!(caller.call("rbl_lookup", &[CLIENT]).contains(&format!(" count={count} ")));
        caller.call("rbl_record", &[CLIENT]);
        next_second();
    }
    assert_eq!(stage.entry(CLIENT).unwrap().count, count);
    caller.limit("files", None);
    next_second();
    caller.call("rbl_record", &[CLIENT]);
    assert_eq!(stage.entry(CLIENT).unwrap().count, count + 1);
    works(&stage, &mut caller);
    let logged = caller.end();
    assert!(logged.iter().any(|line| line.contains("raise the limit of open files")), "{logged:?}");
    assert!(logged.iter().all(|line| !line.contains("panic")), "{logged:?}");
}

/// The table cannot be mapped: as under `ulimit -v`, or when overcommitting is forbidden. Caught: the
/// remedy for it left out.
#[test]
fn no_address_space_to_map_it() {
    let stage = Stage::new();
    let mut caller = stage.start();
    caller.limit("memory", Some(4096));
    fails_open(&mut caller, &["Cannot allocate memory", "ulimit -v"]);
    caller.limit("memory", None);
    heals(&stage, &mut caller);
    caller.end();
}

/// A table that is mapped already is used, not mapped again. Caught: a look that opens it anew each second.
#[test]
fn no_address_space_later() {
    let stage = Stage::new();
    let mut caller = stage.start();
    works(&stage, &mut caller);
    caller.limit("memory", Some(4096));
    next_second();
    works(&stage, &mut caller);
    assert_eq!(caller.end(), [""; 0]);
}

/// The first calls of a process, with and without a table, while malloc(3) gives nothing: at one
/// allocation, whichever, and from one on for good. Rust ends a process that gets no memory; no
/// process of Exim's may end so.
///
/// Caught: the reserve left out (`src/reserve.rs`): ended by SIGABRT.
#[test]
fn no_allocation_that_fails_ends_the_process() {
    let long = format!("/{}", "x/".repeat(60));
    let calls: &[(&str, &[&str])] = &[
        ("rbl_record", &[CLIENT, "rcpt"]),
        ("rbl_record", &["no address"]),
        ("rbl_listed", &[CLIENT]),
        ("rbl_lookup", &[CLIENT]),
        ("rbl_forgive", &[CLIENT]),
        ("rbl_allow", &[CLIENT, "60"]),
        ("rbl_preload", &[&long]),
        ("rbl_version", &[]),
    ];
    let with_table = Stage::new();
    let mut filled = with_table.start();
    filled.call("rbl_record", &[CLIENT]);
    let without = Stage::bare();
    let closed = Stage::new();
    closed.permit("state/table", 0o600);
    let mut refused = 0;
    for (stage, has_table) in [(&with_table, true), (&without, false), (&closed, false)] {
        for (function, arguments) in calls {
            for (at_once, last) in [(true, u64::MAX), (false, 0)] {
                // Until a run in which no allocation was there to fail.
                for first in 1.. {
                    let last = if at_once { last } else { first };
                    // Each in a process of its own, as its first call.
                    let mut caller = stage.start();
                    let call = call_command(function, arguments);
                    let outcome = caller.obey(&format!("failing {first} {last} {call}"));
                    let yielded = outcome.yielded.unwrap();
                    let what = format!("{call}, allocation {first} to {last}");
                    match *function {
                        "rbl_listed" => assert_eq!(yielded == "yes", has_table, "{what}"),
                        "rbl_version" => assert!(yielded.starts_with("eximrbl "), "{what}"),
                        // It may do without its text, for want of memory.
                        "rbl_lookup" => assert!(yielded.is_empty() || has_table, "{what}"),
                        _ => assert_eq!(yielded, "", "{what}"),
                    }
                    caller.end();
                    if outcome.allocations.unwrap() < first {
                        break;
                    }
                    refused += 1;
                }
            }
        }
    }
    eprintln!("{refused} calls with refused allocations");
    assert!(refused > 20, "{refused}");
    assert!(with_table.table().verify().is_empty());
}

/// Memory that stays away: attempt after attempt to open a table, none of which eats up what is
/// left; with memory the table is found.
///
/// Caught: a reserve that takes nothing back.
#[test]
fn a_long_want_of_memory_is_survived_and_ends() {
    let stage = Stage::new();
    let mut caller = Caller::start(stage.command().env_remove("EXIMRBL_TABLE"));
    for i in 0..100 {
        // Another path than the last one, so that each call opens.
        let path = format!("{}/{}missing-{i}", stage.state().display(), "./".repeat(20));
        let call = call_command("rbl_preload", &[&path]);
        let outcome = caller.obey(&format!("failing 1 {} {call}", u64::MAX));
        assert!(outcome.allocations.unwrap() > 0, "this is about allocations");
        let call = call_command("rbl_lookup", &[CLIENT]);
        caller.obey(&format!("failing 1 {} {call}", u64::MAX));
    }
    assert_eq!(caller.logged.len(), 1, "{:?}", caller.logged);
    assert!(caller.logged[0].starts_with("eximrbl: /"), "{:?}", caller.logged);
    caller.call("rbl_preload", &[stage.table_path().to_str().unwrap()]);
    works(&stage, &mut caller);
    assert_eq!(caller.call_in_child("rbl_record", &[CLIENT]), End::Exited(0));
    caller.end();
}
