//! Every configuration in ACL.md and in examples/exim, run by a real Exim.
//!
//! The texts are taken from the files themselves; there is no second copy here. Each fenced block
//! of ACL.md has a mark in front of it:
//!
//! ```text
//! <!-- run: ID -->               a configuration, or commands, that a test runs
//! <!-- file: ID /etc/… -->       a further file that belongs to the block ID
//! ```
//!
//! A block without a mark, or with a mark that no test knows, fails the tests ([`coverage`]).
//!
//! Exim runs as it is installed, without `-C`: a mount namespace of its own puts folders of the
//! test upon `/etc/exim4`, `/usr/lib/exim4`, `/var/lib` and so on ([`machine::Machine`]). So paths in
//! the texts are meant literally.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]

#[path = "../harness/mod.rs"]
mod harness;

mod backup;
mod cases;
mod coverage;
mod debian;
mod document;
mod frame;
/// Those that tests/gathering runs.
#[path = "../gathering/blocks.rs"]
mod gathering;
mod light;
mod loading;
mod login_event;
mod machine;
mod missing;
mod recording;
mod shell;
mod transcript;
