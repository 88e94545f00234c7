//! The same list, served by others and read by others: independent judges of what eximrbld says.
//!
//! * [`answers`]: the table is exported with `eximrbl list --all --json` into master files
//!   ([`master`]), NSD and Knot serve these beside eximrbld ([`servers`]), and all three are asked
//!   the same thousands of questions ([`questions`]). What may differ, and how exactly, says
//!   [`difference`]; everything else must be the same.
//! * [`programs`]: dig, kdig and delv ask eximrbld and print what they should.
//! * [`exports`]: what the tool writes is served by rbldnsd, NSD and Knot, and loaded by nftables.
//! * [`imports`]: rbldnsd's files, in a table and served by rbldnsd.
//! * [`resolver`]: unbound and delv before it, minimising names, validating.
//!
//! Who is listed is decided a second time here ([`list::Entry`], [`zones::Zone::verdict`]), from
//! the tool's output and the documented rules, without the product's code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]

#[path = "../harness/mod.rs"]
mod harness;

mod answers;
mod asking;
mod difference;
mod exports;
mod imports;
mod list;
mod master;
mod names;
mod programs;
mod questions;
mod random;
mod rbldnsd;
mod resolver;
mod response;
mod servers;
mod zones;
