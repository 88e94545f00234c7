//! Mail servers and spam filters that ask the list, as docs/consumers.md configures them.
//!
//! Each runs on a host of its own with a resolver (unbound, QNAME minimisation strict) between it
//! and eximrbld ([`site`]), and sees the same clients: unlisted, listed, listed with codes, white,
//! and the like in IPv6. The configurations are the document's ([`document`]): every block and
//! every row of it is run, or [`coverage`] fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]

#[path = "../harness/mod.rs"]
mod harness;

mod coverage;
mod dnslists;
mod document;
mod postfix;
mod postscreen;
mod rspamd;
mod site;
mod smtpd;
mod spamassassin;
