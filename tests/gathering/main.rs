//! Reports from Exim to another host's eximrbld, by every way that ACL.md shows.
//!
//! The configurations are ACL.md's own blocks, run by Debian's exim4-daemon-heavy and -light in network
//! namespaces; the gatherer is the eximrbld that ships, on another host.
//!
//! | file | what it shows |
//! |---|---|
//! | [`ways`] | each way reports what it should, as the reporter that it should be |
//! | [`verdicts`] | clients see the same whatever the gatherer does, or does not do |
//! | [`answers`] | what Exim makes of answers, good ones and others; that it tries once a connection |
//! | [`pages`] | docs/gathering.md is right in what can be looked at |
//! | [`blocks`] | which blocks these are |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(unreachable_pub, reason = "a test target has no other users")]
#![allow(dead_code, reason = "the mail server is that of tests/acl, which uses more of it")]

#[path = "../harness/mod.rs"]
mod harness;

#[path = "../acl/document.rs"]
mod document;
#[path = "../acl/frame.rs"]
mod frame;
#[path = "../acl/light.rs"]
mod light;
#[path = "../acl/machine.rs"]
mod machine;
#[path = "../acl/transcript.rs"]
mod transcript;

mod answers;
mod blocks;
mod double;
mod gatherer;
mod pages;
mod sender;
mod site;
mod verdicts;
mod ways;
