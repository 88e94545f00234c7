//! The table's file: creating it, opening it, and the memory it becomes.

mod create;
mod memory;
mod open;

pub use create::{CreateError, CreateOptions};
pub use open::OpenError;

pub(crate) use create::{Birth, make, old_path};
pub(crate) use memory::Memory;
pub(crate) use open::{Access, FileIdentity, Retired, identity_at, open};
