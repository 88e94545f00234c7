//! The table under `kill -9` and under writers that stop: no lock is held when a writer dies,
//! nothing is lost that was acknowledged, nobody waits for the dead, and slots come back.
//!
//! * [`killed`]: one call is stepped through with ptrace, and killed after every one of its
//!   instructions in the library: insert, record, eviction, a new reason, whitelisting,
//!   forgiving, a new life for an expired entry, finishing what another killed writer left.
//! * [`stopped`], [`pairs`], [`ring`]: one or two are stopped there instead; others do what
//!   conflicts with it; then it goes on.
//! * [`random`]: dozens of writers on few keys, killed at random instants and replaced, beside
//!   readers that compare what they see with what was acknowledged.
//!
//! Everything goes through the library in the form that ships (see `artifacts`), loaded by a
//! small C program, `writer.c`, as Exim's daemon loads it: opened once, then forked. Figures go
//! to standard error, one line a test.
//!
//! `EXIMRBL_TORTURE=1` runs the long form, of a quarter of an hour or more: every instruction of
//! every operation, each with several scripts; 20,000 pairs of stopped writers; random kills for
//! five minutes a table, or 100,000 of them.
//!
//! Needs cc, and a kernel that lets a process trace its own children (any container's default
//! since Linux 4.8). Where ptrace is forbidden the tests fail and say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only stepping uses it"))]

#[path = "../library/artifacts.rs"]
mod artifacts;
mod field;
mod random;
mod stage;
mod tally;
mod writer;

// Single steps: breakpoints and registers are those of one processor.
#[cfg(target_arch = "x86_64")]
mod accounts;
#[cfg(target_arch = "x86_64")]
mod bench;
#[cfg(target_arch = "x86_64")]
mod killed;
#[cfg(target_arch = "x86_64")]
mod operations;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(target_arch = "x86_64")]
mod ring;
#[cfg(target_arch = "x86_64")]
mod scripts;
#[cfg(target_arch = "x86_64")]
mod stopped;
#[cfg(target_arch = "x86_64")]
mod tracee;

use std::io::Write;

/// Whether the long form was asked for.
fn is_long() -> bool {
    std::env::var_os("EXIMRBL_TORTURE").is_some_and(|value| value == "1")
}

/// Whether `eximrbl verify` is to look at a table after so many instructions. It takes its time,
/// for it looks twice where something is unusual; other checks are made each time.
fn is_verified(n: usize) -> bool {
    n.is_multiple_of(67)
}

/// Shows a line of figures even when the test passes: libtest holds back what `eprintln` prints.
fn figures(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "torture: {line}");
}
