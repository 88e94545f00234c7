//! The whole way of a rejection, with real servers: a primary Exim rejects a client, the library
//! records it, eximrbld answers for it, and a backup Exim, which asks through a real resolver,
//! refuses the same client.
//!
//! Each test has a network of its own ([`harness::Lan`]); all of them run at the same time. Time
//! is set, not waited for ([`harness::Clock`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

mod ending;
mod harm;
mod mail_site;
mod rejection;
mod stage;
