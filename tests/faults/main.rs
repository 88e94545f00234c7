//! Faults around the table: full disks, files cut short, replaced or closed, exhausted limits,
//! wrong clocks, lost power. The library in the form that ships, loaded and called as Exim does
//! it; daemon and tool where a fault concerns them.
//!
//! Under every fault each function returns `OK` with its default, one line a process and cause in
//! Exim's main log says what to do, and when the fault has gone all is well again within the next
//! second's look at the file.
//!
//! Needs root (mounts in a namespace of its own, other users), and a release build beforehand; see
//! `harness::artifact`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

mod caller;
mod changes;
mod checks;
mod clock;
mod full;
mod huge;
mod limits;
mod names;
mod places;
mod power;
mod programs;
mod rights;
mod space;
mod stage;
mod truncation;
