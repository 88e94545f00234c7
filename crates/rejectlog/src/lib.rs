//! Lines of Exim's reject log: who was rejected, when, and by which rule it counts.
//!
//! The log is text, and much of it is chosen by the client: the name he gives in HELO, sender,
//! recipient, commands, the header of his message. All of it stands between and around what Exim says,
//! unquoted. A wrong reading would list an innocent host, so the one promise here is:
//! **the address that is found is the address of the client that Exim spoke with, or none is found.**
//!
//! How it is kept ([`peer`](Peer)): in every form of line, Exim puts the client's address into brackets,
//! at one place. Where the text before that place is Exim's own, the place is known. Where it is the
//! client's (a HELO name may contain anything if Exim is told to accept junk), every place in the
//! line where the address could stand is looked at. The true one is among them; so if all of them
//! have the same address, it is his, and if not, the line is [`Peer::Doubtful`]. A line that Exim cut
//! because it was too long is doubtful too, for the true place may be what was cut.
//!
//! [`Reader`] takes lines apart. [`Rules`] say which of them count, and for which reason.
//!
//! Forms and texts are those of Exim 4.92 to 4.99 (`log.c`, `smtp_in.c`, `receive.c`).

#![forbid(unsafe_code)]

mod entry;
mod line;
mod peer;
mod reader;
mod rules;
mod stamp;

pub use peer::Peer;
pub use reader::{Entry, LINE_MAX, Line, Reader};
pub use rules::{DEFAULT_RULES, Rule, RuleError, Rules};
pub use stamp::Stamp;
