//! eximrbl's library: what Exim's access control lists call by `${dlfunc}`.
//!
//! It is loaded into every Exim process that expands one of its functions, mostly the child that
//! serves one SMTP connection. Its first duty is therefore to do no harm there:
//!
//! * every function returns `OK`, whatever happens: anything else would defer or reject mail;
//! * nothing waits: no lock is ever waited for, and only opening the table makes system calls;
//! * nothing is allocated once the table is open, and want of memory ends nobody ([`reserve`]);
//! * a panic ends in the function that was called, and is told in Exim's main log;
//! * what goes wrong is told there too, once per process and cause.
//!
//! The way of a call: [`ffi`] (C to Rust) → [`arguments`] (bytes to meaning) → [`functions`] (what
//! is done) → [`open`] (the table) and [`tell`] (the log, through [`exim`]).

mod arguments;
mod contain;
mod exim;
mod ffi;
mod functions;
mod line;
mod open;
mod reserve;
mod tell;
