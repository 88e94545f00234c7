//! Lists of addresses as others write and read them: rbldnsd's files, plain lists, CSV, JSON lines,
//! BIND's zone files, nftables' sets.
//!
//! Pure: bytes of lines go in and [`Row`]s come out, entries go in and text comes out. Who opens
//! files, and what is done with a row, is the tool's affair.
//!
//! ```text
//! file -> Lines -> Reader::read (rbldnsd | plain | csv | json) -> Row -> the table
//! table -> Shape (who is listed by what, white cut out) -> rbldnsd | plain | master | nftables
//! table -> csv::write_row                                (entries as they are)
//! ```
//!
//! What is read is hostile: lines of any length, bytes of any kind, numbers of any size. Each line
//! is a row, nothing, or one clear error; none of them stops the others.

#![forbid(unsafe_code)]

mod address;
pub mod csv;
mod format;
mod guess;
mod json;
mod lines;
pub mod master;
pub mod nftables;
mod plain;
pub mod rbldnsd;
mod reader;
mod row;
mod shape;
mod span;
mod time;

pub use format::Format;
pub use guess::{by_content, by_name};
pub use lines::{LINE_MAX, Line, Lines};
pub use reader::{Passed, Reader};
pub use row::{Life, LineError, Row};
pub use shape::{Labels, Piece, Shape};
pub use span::Span;
pub use time::read_time;
