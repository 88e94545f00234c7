//! Mail first: a real Exim accepts and rejects exactly what it would without eximrbl, whatever
//! happens to the table, the machine and the daemon meanwhile.
//!
//! The measure is always the same configuration of which the calls are left out
//! ([`configuration`]): all replies, the main log and the reject log must be the same, but for
//! lines in the main log that start with `eximrbl:`, one a process and cause. Times, message
//! identifiers and process numbers are taken out before ([`steady`]).
//!
//! | file | what happens |
//! |---|---|
//! | [`standing`], [`faults`] | thirty faults that are there when Exim's process starts |
//! | [`running`] | the table is deleted, replaced, closed … in the middle of a session |
//! | [`limits`], [`clock`] | files and memory run out, the time is stepped or wrong |
//! | [`writers`] | others are killed while they write, or scribble in the table |
//! | [`waiting`] | nothing: the system calls of Exim's processes are counted |
//! | [`load`] | 200 sessions at a time, while daemon, Exim and table are replaced |
//!
//! With `EXIMRBL_TORTURE=1` the last and [`writers`] go on for longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]

#[path = "../harness/mod.rs"]
mod harness;

mod client;
mod clock;
mod configuration;
mod faults;
mod limits;
mod load;
mod running;
mod server;
mod sessions;
mod standing;
mod steady;
mod turns;
mod waiting;
mod writers;
