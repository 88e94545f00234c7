//! Every query: hickory reads and writes the messages.

mod packet;
mod responder;

pub use packet::{Transport, respond, respond_and_tell};
