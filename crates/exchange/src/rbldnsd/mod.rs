//! rbldnsd's files (rbldnsd(8), "DATASET TYPES AND FORMATS"): `ip4set`, `ip4trie`, `ip6trie`.
//!
//! ```text
//! :127.0.0.2:Listed, see http://example.org/?$    the value of all lines below
//! 192.0.2.1                                       an address, with that value
//! 192.0.2.0/24  :4:Guesses passwords              with one of its own
//! !192.0.2.9                                      not listed, whatever is around it
//! ```
//!
//! Texts are passed over, for the table keeps none. `$SOA`, `$NS`, `$TTL` and the texts' variables
//! say nothing about addresses; `$MAXRANGE4` and the end in `$TIMESTAMP` are heeded.

mod read;
mod special;
mod write;

pub(crate) use read::DataSet;
pub use write::{Writer, escaped_text};
