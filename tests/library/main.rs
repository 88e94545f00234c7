//! The library in the form that ships, loaded and called as Exim does it.
//!
//! Needs a release build (`cargo build --release`) beforehand; see `artifacts`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod artifacts;
mod bad_input;
mod driver;
mod exim;
mod functions;
mod headers;
mod panics;
mod shape;
mod tables;
