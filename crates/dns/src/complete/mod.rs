//! Every query: hickory reads and writes the messages.

mod chaos;
mod layout;
mod packet;
mod responder;

pub use packet::{Transport, respond, respond_and_tell};
