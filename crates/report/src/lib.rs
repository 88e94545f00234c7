//! The line protocol in which rejections are reported to another host: what a line says, who
//! signed it, and whether he may say it.
//!
//! ```text
//! line   = [SP] [ "by" SP NAME SP STAMP SP MAC SP ] order [CR] LF      at most 512 bytes
//! order  = "black" SP ADDRESS [ SP REASON [ SP WEIGHT [ SP SECONDS ] ] ]    "-" takes a default
//!        | "white" SP ADDRESS [ SP SECONDS ]                                0 seconds end it
//!        | "forgive" SP ADDRESS
//!        | "auth" SP NAME SP STAMP SP MAC         all further lines of the connection are NAME's
//! STAMP  = $tod_epoch (seconds) or $tod_epoch_l (microseconds)
//! MAC    = sha3_256(SECRET "|" NAME SP STAMP SP order)                 64 hexadecimal digits
//!        | hmac-sha1(SECRET, NAME SP STAMP SP order)                   40 hexadecimal digits
//!          of "auth", the order is the word "auth"
//! answer = "ok" …  |  "error" SP CODE ": " text                        for each line one, in order
//! ```
//!
//! The order that is signed is that of the line to its last byte, blanks at its end included, but
//! for CR and LF. Exim sends what it signs:
//! `${sha3_256:SECRET|NAME $tod_epoch_l ORDER}`, `${hmac{sha1}{SECRET}{NAME $tod_epoch_l ORDER}}`.
//!
//! ```text
//! bytes ─► Line::parse ─► Gate::judge(line, origin, now) ─► Judged: a report, or a session
//!              └────────────────┴──────────────────────────► Denial, which has a Code
//! ```
//!
//! What holds:
//! * a signed line is taken once: its stamp must be within [`WINDOW`] of the time, and within that it is
//!   remembered. What the memory may have forgotten, by a restart or a clock that was set, is
//!   refused;
//! * signatures are compared in constant time;
//! * what one reporter does costs him alone: his rate, his memory;
//! * nothing here opens a socket, reads a file or a clock.

#![forbid(unsafe_code)]

mod bucket;
mod denial;
mod gate;
mod line;
mod mac;
mod replay;
mod secret;
mod signing;

pub use denial::{Code, Denial};
pub use gate::{COLLECTOR, Enrolled, Gate, Judged, Now, Origin, Peer, Session, Standing, Terms};
pub use line::{LINE_MAX, Line, LineError, Order, Signature, Verb};
pub use mac::{Algorithm, Mac};
pub use replay::WINDOW;
pub use secret::{SECRET_MAX, SECRET_MIN, Secret, SecretsError};
pub use signing::{auth, signed};
