//! Zone files (RFC 1035 section 5), as BIND, NSD and Knot load them.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// The numbers of an SOA record (RFC 1035 section 3.3.13), in seconds but for the serial.
#[derive(Clone, Copy, Debug)]
pub struct Soa {
    /// Its own TTL, and MINIMUM.
    pub negative_ttl: u32,
    /// Which version of the zone this is.
    pub serial: u32,
    /// When secondaries ask again.
    pub refresh: u32,
    /// When they ask again after a failure.
    pub retry: u32,
    /// When they give up.
    pub expire: u32,
}

/// Writes the head: origin, SOA and NS records. `contact` is the mailbox as a name.
///
/// # Errors
///
/// What `to` says.
pub fn write_head(
    to: &mut impl Write,
    origin: &dyn Display,
    soa: &Soa,
    servers: &[impl Display],
    contact: &dyn Display,
    ns_ttl: u32,
) -> io::Result<()> {
    let Soa { negative_ttl, serial, refresh, retry, expire } = soa;
    writeln!(to, "$ORIGIN {origin}.")?;
    if let Some(first) = servers.first() {
        writeln!(
            to,
            "@ {negative_ttl} IN SOA {first}. {contact}. {serial} {refresh} {retry} {expire} \
             {negative_ttl}"
        )?;
    }
    for server in servers {
        writeln!(to, "@ {ns_ttl} IN NS {server}.")?;
    }
    Ok(())
}

/// Writes the records of one name. `text` is printable ASCII of at most 255 bytes.
///
/// # Errors
///
/// What `to` says.
pub fn write_records(
    to: &mut impl Write,
    labels: &str,
    ttl: u32,
    codes: &[Ipv4Addr],
    text: &[u8],
) -> io::Result<()> {
    for code in codes {
        writeln!(to, "{labels} {ttl} IN A {code}")?;
    }
    write!(to, "{labels} {ttl} IN TXT \"")?;
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            to.write_all(b"\\")?;
        }
        to.write_all(&[byte])?;
    }
    to.write_all(b"\"\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn texts_are_quoted() {
        let mut file = Vec::new();
        let codes = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 4)];
        write_records(&mut file, "1.2.0.192", 300, &codes, br#"say "a\b"; $"#).unwrap();
        let expected = "1.2.0.192 300 IN A 127.0.0.2\n1.2.0.192 300 IN A 127.0.0.4\n\
                        1.2.0.192 300 IN TXT \"say \\\"a\\\\b\\\"; $\"\n";
        assert_eq!(String::from_utf8(file).unwrap(), expected);
    }
}
