//! UDP datagrams in batches: many are received by one system call (recvmmsg), answered, and sent by
//! another one (sendmmsg).
//!
//! ```text
//! batch.receive(socket)            waits for one datagram, takes what else there is
//! batch.split() ─► queries         who sent them, to which of our addresses, what they hold
//!               └► responses       a buffer for each
//! batch.send(socket)               sends those that have a length, each to where its query came from
//! ```
//!
//! A datagram is answered from the very address that it was sent to: that of the packet-information
//! control message (IP_PKTINFO of ip(7), IPV6_PKTINFO of RFC 3542), if the socket asks for those.
//! A socket that is bound to all addresses must, or answers leave from whatever address the kernel
//! picks, and resolvers drop them.
//!
//! Why a crate of its own: these calls take arrays of structures of raw pointers. All unsafe code of
//! the DNS side is here, and nothing here knows what the datagrams mean.
//!
//! Invariant: the structures for the kernel are built anew for each call, from buffers that live as
//! long as the call. No pointer is kept. That costs nanoseconds a datagram.

#![deny(unsafe_code)]

mod address;
mod batch;
mod headers;

pub use address::Local;
pub use batch::{Batch, Queries, Responses, send_to};

/// Most datagrams that one call takes.
pub const BATCH: usize = 64;
/// Largest datagram that is received whole, in bytes; longer ones are cut. More than the 1232 that
/// servers offer to take, and an odd number of cache lines: with 4096 the beginnings of all buffers
/// would have the same place in the processor's cache, and drive each other out.
pub const QUERY_MAX: usize = 21 * 64;
/// Largest datagram that is sent, in bytes: it fits into an unfragmented packet on nearly every path
/// (DNS flag day 2020).
pub const RESPONSE_MAX: usize = 1232;
