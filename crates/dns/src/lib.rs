//! DNS messages: from a query's bytes to a response's, without sockets.
//!
//! ```text
//!            ┌─► quick: plain queries ──────────────┐
//! query ─────┤        declines the rest ─┐          ├─► eximrbl_zone::answer ─► response
//!            └─► complete: every query ◄─┘ hickory ─┘
//! ```
//!
//! Two ways, one decision. [`respond`], the complete one, reads and writes messages with hickory's
//! codec, and knows what to say to whatever comes. [`quick`] takes the queries that resolvers
//! mostly send, allocates nothing, and declines all others. Where both answer, both mean the same: a
//! test asks them thousands of queries, and compares.
//!
//! Both ask the [`Guard`] what is done with the sender (cookies, limit), and [`Access`] whether he
//! may have the answer.

#![forbid(unsafe_code)]

pub mod access;
mod caught;
mod complete;
mod content;
pub mod cookie;
pub mod counters;
pub mod edns;
pub mod guard;
pub mod limit;
mod quick;
mod records;
mod service;
mod siphash;

/// Largest UDP response to a client that names no size (RFC 1035 section 4.2.1).
pub(crate) const PLAIN_PAYLOAD: u16 = 512;
/// The largest UDP response that we send, and that we offer to receive: it fits into an
/// unfragmented packet on nearly every path (DNS flag day 2020).
pub(crate) const UDP_PAYLOAD: u16 = 1232;

pub use access::Access;
pub use caught::caught;
pub use complete::{Transport, respond, respond_and_tell};
pub use content::Content;
pub use cookie::Secret;
pub use guard::{Guard, Treatment};
pub use quick::{Pending, RESPONSE_MAX, quick};
pub use service::{Identity, Service};
