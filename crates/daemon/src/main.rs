//! eximrbld: answers DNS queries from the table of eximrbl.
//!
//! ```text
//! startup:  command_line ─► configuration ─► table_file: make the table ─► listen: bind
//!           ─► privileges, confinement: drop ─► served: table and zones, swapped as a whole
//!                                       ▲                 ▲
//!                                       │ reads           │ swaps
//! query ─► udp, tcp ─► responder ─► eximrbl_dns           keeper: reopens, sweeps, reloads
//!                                                         ▲   │ expiries, clock: may entries end?
//! server: sees to udp, tcp and keeper; SIGTERM stops; SIGHUP ─┘   │ writing: only while it works
//! control: what was counted, on a Unix socket
//! forward: passes this host's reports on to others, when the configuration wants it
//! audit: every change of the table, in a file
//! collector: what others report, into the table
//! nats: other sites' changes, from and to the table
//! ```
//!
//! hickory-server's codec, in `eximrbl_dns`, reads the requests and writes the responses; the loops
//! around the sockets are our own, for the reasons that stand in `udp` and `tcp`.
//!
//! One thread serves DNS, as an answer takes microseconds and never waits; a second one keeps
//! table and configuration, which may wait for disks and locks; a third one tells what was counted;
//! and a fourth one, if it is to, takes reports of others. Nothing ends unnoticed: when a part that
//! DNS needs ends, the process says so and exits with status 1, for systemd to start it anew.

#![forbid(unsafe_code)]

mod audit;
mod clock;
mod collector;
mod command_line;
mod confinement;
mod control;
mod expiries;
#[cfg_attr(not(feature = "nats"), allow(dead_code))]
mod following;
mod forward;
mod guarding;
mod holes;
mod keeper;
mod listen;
mod log;
#[cfg(feature = "nats")]
mod nats;
mod panics;
mod privileges;
mod resizes;
mod responder;
mod seldom;
mod served;
mod server;
mod stand_in;
mod standing;
mod startup;
mod systemd;
mod table_file;
mod tcp;
mod udp;
mod work;
mod writing;

use std::process::ExitCode;

fn main() -> ExitCode {
    startup::run(command_line::parse())
}
