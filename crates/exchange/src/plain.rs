//! Plain lists: an address, network or range a line, of either family; `#` and `;` begin comments.

use std::net::IpAddr;

use eximrbl_table::{Network, parse_address};

use crate::row::{LineError, Row, shown};
use crate::span::Span;

/// Reads a line; `None` if it is empty or a comment.
pub(crate) fn read(line: &[u8]) -> Result<Option<Row>, LineError> {
    let comment = line.iter().position(|byte| matches!(byte, b'#' | b';'));
    let text = line[..comment.unwrap_or(line.len())].trim_ascii();
    if text.is_empty() { Ok(None) } else { span(text).map(|span| Some(Row::bare(span))) }
}

/// Reads an address, a network, or a range of two addresses with `-` between them.
pub(crate) fn span(text: &[u8]) -> Result<Span, LineError> {
    let unknown = || LineError::Address { found: shown(text) };
    if let Some(at) = text.iter().position(|&byte| byte == b'-') {
        let (first, last) = (text[..at].trim_ascii(), text[at + 1..].trim_ascii());
        let address = |text| parse_address(text).ok_or_else(unknown);
        let (first, last): (IpAddr, IpAddr) = (address(first)?, address(last)?);
        return Span::new(first, last).ok_or(LineError::Range);
    }
    if let Some(address) = parse_address(text) {
        return Span::new(address, address).ok_or(LineError::Range);
    }
    if !text.contains(&b'/') {
        return Err(unknown());
    }
    let text = std::str::from_utf8(text).map_err(|_| unknown())?;
    match text.parse::<Network>() {
        Ok(network) => Ok(network.into()),
        Err(eximrbl_table::NetworkError::Address) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use eximrbl_table::NetworkError;

    use super::*;

    #[test]
    fn takes_addresses_networks_and_ranges() {
        for (line, first, last) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
            (" 192.0.2.0/24\t; SBL1", "192.0.2.0", "192.0.2.255"),
            ("192.0.2.1 - 192.0.2.9 # nine", "192.0.2.1", "192.0.2.9"),
            ("2001:db8::/127", "2001:db8::", "2001:db8::1"),
            ("2001:db8::1-2001:db8::2", "2001:db8::1", "2001:db8::2"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ] {
            let row = read(line.as_bytes()).unwrap().unwrap();
            let expected = Span::new(first.parse().unwrap(), last.parse().unwrap()).unwrap();
            assert_eq!(row, Row::bare(expected), "{line}");
        }
        for line in ["", "  ", "# 192.0.2.1", "; x", " #"] {
            assert_eq!(read(line.as_bytes()), Ok(None), "{line}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for line in ["x", "192.0.2.1 bad", "192.0.2", "192.0.2.1-", "\0", "é", "192.0.2.1,3", "a/8"]
        {
            let error = read(line.as_bytes()).unwrap_err();
            assert!(matches!(error, LineError::Address { .. }), "{line}: {error}");
        }
        assert_eq!(read(b"192.0.2.9-192.0.2.1"), Err(LineError::Range));
        assert_eq!(read(b"192.0.2.9-2001:db8::"), Err(LineError::Range));
        assert_eq!(read(b"192.0.2.1/24"), Err(NetworkError::HostBits.into()));
        assert_eq!(read(b"192.0.2.1/99"), Err(NetworkError::Length.into()));
    }
}
