//! `eximrbl import --rejectlog` on what a real Exim writes into its log: each rejection that Exim
//! knows is provoked, and what is in the table afterwards is compared with what was done.
//!
//! Debian's exim4-daemon-light takes part: the Exim that this is for, since it has no dlfunc.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../acl/light.rs"]
mod light;

mod clients;
mod comparison;
mod documented;

mod server;
