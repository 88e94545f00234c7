//! Every command in README.md, run as it stands there, and whether the documents are true.
//!
//! The commands are taken from README.md itself: each of its `sh` blocks has a mark
//! `<!-- run: ID -->` in front of it, and a block that no test knows fails the tests
//! ([`coverage`]). They run in a [`root::ThrowAwayRoot`], a copy-on-write view of this machine: a
//! user is added, files go to `/usr` and `/etc`, and nothing of it is ever on the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]

#[path = "../harness/mod.rs"]
mod harness;

mod architecture;
mod coverage;
mod demonstration;
mod installation;
mod links;
mod readme;
mod root;
mod service;
