//! The stage of the system tests: real Exims, a real resolver, real programs, no real network.
//!
//! A test target takes this tree in with `#[path = "../harness/mod.rs"] mod harness;`.
//!
//! What stands on the stage:
//!
//! * [`Lan`]: a network of its own, made of network namespaces. One namespace plays the internet
//!   and holds the clients, from any address; every server gets a namespace ([`Host`]).
//! * [`Exim`], [`Unbound`], [`Daemon`]: servers that run on such a host.
//! * [`Smtp`]: a client that speaks line by line and keeps a transcript.
//! * [`Clock`]: a settable time for programs (Debian's libfaketime), so that nothing waits.
//! * [`tool`], [`library`]: the other built things. [`artifact`] says where they are looked for.
//! * [`parse`]: the blocks of the documents, for tests that run what is written there.
//!
//! Rules that hold everywhere here:
//!
//! * Nothing leaves the machine: packets have no way out of the namespaces.
//! * Everything that is made has an owner whose `Drop` ends it, so a failed assertion leaves
//!   nothing behind. What a killed test run left is removed by the next one.
//! * Waiting is polling with a deadline ([`wait_until`]); when it passes, the panic shows the
//!   output of the program that was waited for.
//! * Root is needed, and Debian's packages; `tests/run.sh` sees to both.
#![allow(dead_code, reason = "each test target uses its own part of the harness")]
#![allow(unreachable_pub, reason = "pub: for the tests; pub(super): for the harness")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod artifacts;
mod clock;
mod daemon;
mod dig;
mod exim;
mod exim_configuration;
mod markdown;
mod namespace;
mod process;
mod scratch;
mod smtp;
mod socket;
mod unbound;
mod wait;

#[allow(unused_imports, reason = "each test target uses its own part of the harness")]
pub use self::{
    artifacts::{artifact, library, tool, tool_text},
    clock::Clock,
    daemon::{Daemon, ZONE},
    dig::{Dig, dig, query_name},
    exim::{Exim, EximCommand, listens},
    exim_configuration::EximConfiguration,
    markdown::{Block, Mark, checkout_text, parse, root},
    namespace::{Host, Lan, Namespace},
    process::{Process, finished, run},
    scratch::{Scratch, set_mode, text_of},
    smtp::{Reply, Smtp},
    socket::udp_inside,
    unbound::Unbound,
    wait::wait_until,
};
