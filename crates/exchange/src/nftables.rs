//! A set of nftables (nft(8), "SETS"), for rules such as `ip saddr @black4 drop`.
//!
//! What is written replaces the set's elements in one transaction, and leaves the rules that name
//! it as they are. Elements that end have a timeout, so that they go by themselves.

use std::io::{self, Write};

use crate::span::Span;

/// Elements of one command; one command of a million is beyond nft's own limits.
const AT_ONCE: usize = 1000;

/// Writes one set after the other.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    set: String,
    elements: usize,
}

impl<W: Write> Writer<W> {
    /// Begins with the table, `inet eximrbl`.
    ///
    /// # Errors
    ///
    /// What `to` says; so for all that is written.
    pub fn new(mut to: W) -> io::Result<Self> {
        writeln!(to, "add table inet eximrbl")?;
        Ok(Self { to, set: String::new(), elements: 0 })
    }

    /// Begins a set, and empties the one that is there.
    pub fn set(&mut self, name: &str, is_ipv4: bool) -> io::Result<()> {
        self.close()?;
        name.clone_into(&mut self.set);
        let kind = if is_ipv4 { "ipv4_addr" } else { "ipv6_addr" };
        let flags = "flags interval,timeout";
        writeln!(self.to, "add set inet eximrbl {name} {{ type {kind}; {flags}; }}")?;
        writeln!(self.to, "flush set inet eximrbl {name}")
    }

    /// Adds a range, for so many seconds or without end.
    pub fn element(&mut self, span: Span, seconds: Option<u32>) -> io::Result<()> {
        if self.elements.is_multiple_of(AT_ONCE) {
            self.close()?;
            writeln!(self.to, "add element inet eximrbl {} {{", self.set)?;
        }
        self.elements += 1;
        match span.network() {
            Some(network) => write!(self.to, "\t{network}")?,
            None => write!(self.to, "\t{}-{}", span.first(), span.last())?,
        }
        if let Some(seconds) = seconds {
            write!(self.to, " timeout {seconds}s")?;
        }
        self.to.write_all(b",\n")
    }

    /// Ends what was begun.
    pub fn finish(mut self) -> io::Result<()> {
        self.close()
    }

    fn close(&mut self) -> io::Result<()> {
        if self.elements > 0 {
            writeln!(self.to, "}}")?;
        }
        self.elements = 0;
        Ok(())
    }
}
