//! Hostile tables: whatever is in the file, and whoever scribbles into it while it is in use, the
//! library, the daemon and the tool neither crash nor hang nor read outside of their mapping.
//!
//! * `cases` makes damaged tables: every word of the header, every state of a slot, names, policy,
//!   events, sizes that overflow (with a checksum that is right again), and chance.
//! * `library`, `daemon`, `tool` let the shipped programs loose on each of them, lying on disk.
//! * `live` damages the file while they run on it.
//! * `predecessor` has tables that name another one as the one that they grew from.
//! * `guard` keeps address space around every mapping that nobody may touch, so that whoever reads
//!   outside is killed, and seen. Below, in Rust, an index out of bounds is a panic; that is looked
//!   for as well.
//!
//! What comes of damage is asked no more than sense allows: answers are well-formed, text that
//! is shown is printable, statuses are those that are documented. Which programs must *refuse* which
//! file stands in crates/table/tests/files.rs.
//!
//! The short form, which always runs, gives each case to the library, and to one command of the
//! tool, in turn; every eighth one to the daemon. With `EXIMRBL_TORTURE=1`: every case to
//! everything, and a hundred times the chance.
//!
//! Needs a release build (`cargo build --release --workspace`) beforehand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

#[path = "../library/artifacts.rs"]
mod artifacts;
#[path = "../library/driver.rs"]
#[allow(dead_code, reason = "tests/library uses more of it")]
mod driver;

mod cases;
mod daemon;
mod dns;
mod guard;
mod image;
mod library;
mod live;
mod numbers;
mod predecessor;
mod tool;

/// Whether the long form is wanted.
fn is_torture() -> bool {
    std::env::var_os("EXIMRBL_TORTURE").is_some_and(|value| value == "1")
}
