//! Sites that exchange their changes over NATS JetStream: real daemons, real NATS servers, each in a
//! network namespace of its own.
//!
//! `EXIMRBL_TORTURE=1` makes some of them longer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../harness/mod.rs"]
mod harness;

mod cluster;
mod credentials;
mod one_server;
mod stage;
mod trouble;
