//! Writes data sets.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::Ipv4Addr;

use eximrbl_table::Network;

use crate::format::Format;
use crate::master::Soa;
use crate::span::Span;

/// Writes one file.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    format: Format,
}

impl<W: Write> Writer<W> {
    /// In one of rbldnsd's formats.
    pub fn new(to: W, format: Format) -> Self {
        Self { to, format }
    }

    /// Writes the lines about the zone.
    ///
    /// # Errors
    ///
    /// What the file says; so for all that is written.
    pub fn head(
        &mut self,
        soa: &Soa,
        servers: &[impl Display],
        contact: &dyn Display,
        ns_ttl: u32,
        ttl: u32,
    ) -> io::Result<()> {
        let Soa { negative_ttl, serial, refresh, retry, expire } = soa;
        let Some(first) = servers.first() else { return Ok(()) };
        // A serial of 0 would stand for the file's date.
        let serial = (*serial).max(1);
        writeln!(
            self.to,
            "$SOA {negative_ttl} {first} {contact} {serial} {refresh} {retry} {expire} \
             {negative_ttl}"
        )?;
        write!(self.to, "$NS {ns_ttl}")?;
        for server in servers {
            write!(self.to, " {server}")?;
        }
        writeln!(self.to, "\n$TTL {ttl}")
    }

    /// Lists a network or, in an `ip4set`, a range. The text is as [`escaped_text`] makes it.
    ///
    /// A trie has one value for each network: of several codes the first one.
    pub fn listed(&mut self, span: Span, codes: &[Ipv4Addr], text: &str) -> io::Result<()> {
        let most = if self.format == Format::Ip4Set { codes.len() } else { 1 };
        for (index, code) in codes.iter().take(most).enumerate() {
            match span.network() {
                Some(network) => write!(self.to, "{network}")?,
                None => write!(self.to, "{}-{}", span.first(), span.last())?,
            }
            // The text once; behind the second colon of the others there is none.
            writeln!(self.to, " :{code}:{}", if index == 0 { text } else { "" })?;
        }
        Ok(())
    }

    /// Takes out a network.
    pub fn hole(&mut self, network: Network) -> io::Result<()> {
        writeln!(self.to, "!{network}")
    }
}

/// A text as rbldnsd's files have it: `$` stands for the address, here the control character
/// `address`; a dollar sign is written twice.
pub fn escaped_text(text: &str, address: char) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    if text.starts_with('=') {
        // One in front would keep the text out of a base template, and be left out.
        escaped.push('=');
    }
    for character in text.chars() {
        match character {
            _ if character == address => escaped.push('$'),
            '$' => escaped.push_str("$$"),
            ' '..='~' => escaped.push(character),
            _ => escaped.push('?'),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollar_signs_are_doubled_and_the_address_is_one() {
        assert_eq!(escaped_text("=\u{1} costs 5 $\u{1}9\u{7f}", '\u{1}'), "==$ costs 5 $$$9?");
    }
}
