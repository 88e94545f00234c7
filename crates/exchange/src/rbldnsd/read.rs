//! Reads data sets.

use std::net::Ipv4Addr;

use eximrbl_table::UnixSeconds;

use super::special::{self, Special};
use crate::address::{ip4, ip6, value};
use crate::format::Format;
use crate::reader::Passed;
use crate::row::{Life, LineError, Row};

/// The A record of a line without a value (rbldnsd(8)).
const DEFAULT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// One file, of which lines are read one after the other.
#[derive(Debug)]
pub(crate) struct DataSet {
    format: Format,
    now: UnixSeconds,
    /// The value of lines without one.
    default: Ipv4Addr,
    /// Most addresses of a range.
    max_range: Option<u64>,
    expires: Option<UnixSeconds>,
    passed: Passed,
}

impl DataSet {
    /// A file of one of rbldnsd's formats.
    pub(crate) fn new(format: Format, now: UnixSeconds) -> Self {
        let (max_range, expires, passed) = (None, None, Passed::default());
        Self { format, now, default: DEFAULT, max_range, expires, passed }
    }

    /// What was passed over until now.
    pub(crate) fn passed(&self) -> Passed {
        self.passed
    }

    /// Reads a line; `None` if it says nothing about an address.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<Option<Row>, LineError> {
        let line = line.trim_ascii();
        match line {
            [b'$', rest @ ..] | [b':', b'$', rest @ ..] => self.special(rest).map(|()| None),
            // What is none of rbldnsd's is a comment.
            [b'#' | b';', b'$', rest @ ..] => match self.special(rest) {
                Err(LineError::Special { .. }) => Ok(None),
                read => read.map(|()| None),
            },
            [] | [b'#' | b';', ..] => Ok(None),
            // An IPv6 address may begin with colons.
            [b':', rest @ ..] if self.format != Format::Ip6Trie || !rest.starts_with(b":") => {
                self.default = self.value(line, DEFAULT)?;
                Ok(None)
            }
            [b'!', rest @ ..] => self.entry(rest.trim_ascii_start(), true).map(Some),
            _ => self.entry(line, false).map(Some),
        }
    }

    fn special(&mut self, text: &[u8]) -> Result<(), LineError> {
        match special::read(text, self.now)? {
            Special::Other => self.passed.specials = true,
            // It may be made smaller, never larger.
            Special::MaxRange(most) => {
                self.max_range = Some(self.max_range.map_or(most, |known| known.min(most)));
            }
            Special::Expires(end) => {
                self.expires = Some(self.expires.map_or(end, |known| known.min(end)));
            }
        }
        Ok(())
    }

    fn entry(&mut self, text: &[u8], white: bool) -> Result<Row, LineError> {
        let (span, rest) = match self.format {
            Format::Ip6Trie => ip6(text)?,
            format => ip4(text, format == Format::Ip4Set)?,
        };
        if !matches!(rest.first(), None | Some(b' ' | b'\t' | b'#' | b';' | b':')) {
            return Err(LineError::Address { found: crate::row::shown(text) });
        }
        if let Some(most) = self.max_range
            && span.is_ipv4()
            && span.size_less_one() >= u128::from(most)
        {
            return Err(LineError::MaxRange);
        }
        let rest = rest.trim_ascii_start();
        let code = match rest.first() {
            _ if white => None,
            None | Some(b'#' | b';') => Some(self.default),
            Some(_) => Some(self.value(rest, self.default)?),
        };
        let life = match self.expires {
            None => Life::Unsaid,
            Some(end) if end > self.now => Life::Until(end),
            Some(_) => return Err(LineError::RunOut),
        };
        Ok(Row { white, excluded: white, code, life, ..Row::bare(span) })
    }

    /// Reads `:A:TEXT`, `:A` or `TEXT`; where A is left out it is the default.
    fn value(&mut self, text: &[u8], default: Ipv4Addr) -> Result<Ipv4Addr, LineError> {
        let Some(text) = text.strip_prefix(b":") else {
            self.passed.texts = true;
            return Ok(default);
        };
        let (code, rest) = value(text).ok_or(LineError::Value)?;
        match rest.trim_ascii_start() {
            [] => Ok(code),
            [b':', rest @ ..] => {
                self.passed.texts |= !rest.is_empty();
                Ok(code)
            }
            _ => Err(LineError::Value),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW: UnixSeconds = 1_795_326_190;

    fn rows(format: Format, text: &str) -> Vec<Result<Row, LineError>> {
        let mut set = DataSet::new(format, NOW);
        text.lines().filter_map(|line| set.read(line.as_bytes()).transpose()).collect()
    }

    fn shown(row: &Row) -> String {
        let code = row.code.map_or("-".to_owned(), |code| code.to_string());
        let sign = if row.white { "!" } else { "" };
        format!("{sign}{}-{} {code}", row.span.first(), row.span.last())
    }

    /// Caught: a value that stays the default for the lines below.
    #[test]
    fn values_come_from_the_line_or_from_the_default_above() {
        let text = "192.0.2.1\n:127.0.0.5:Listed $\n192.0.2.2\n192.0.2.3 :6\n192.0.2.4 :7:\n\
                    192.0.2.5 only a text :8:\n192.0.2.6:9:tight\n192.0.2.7 # :10:\n192.0.2.8;x\n\
                    :only text\n192.0.2.9\n  ! 192.0.2.10 :11:\n";
        let read = rows(Format::Ip4Set, &text.replace(":only text", ":2"));
        let read: Vec<_> = read.iter().map(|row| shown(row.as_ref().unwrap())).collect();
        let expected = [
            "192.0.2.1-192.0.2.1 127.0.0.2",
            "192.0.2.2-192.0.2.2 127.0.0.5",
            "192.0.2.3-192.0.2.3 127.0.0.6",
            "192.0.2.4-192.0.2.4 127.0.0.7",
            "192.0.2.5-192.0.2.5 127.0.0.5",
            "192.0.2.6-192.0.2.6 127.0.0.9",
            "192.0.2.7-192.0.2.7 127.0.0.5",
            "192.0.2.8-192.0.2.8 127.0.0.5",
            "192.0.2.9-192.0.2.9 127.0.0.2",
            "!192.0.2.10-192.0.2.10 -",
        ];
        assert_eq!(read, expected);
        let error = rows(Format::Ip4Set, ":only text")[0].clone();
        assert_eq!(error, Err(LineError::Value));
    }

    #[test]
    fn tries_take_no_ranges() {
        assert!(rows(Format::Ip4Trie, "192.0.2.1-9")[0].is_err());
        assert!(rows(Format::Ip4Trie, "192.0.2")[0].is_ok());
        assert!(rows(Format::Ip4Set, "2001:db8::1")[0].is_err());
        assert!(rows(Format::Ip6Trie, "192.0.2.1")[0].is_err());
    }

    #[test]
    fn ipv6_addresses_may_begin_with_colons() {
        let read = rows(Format::Ip6Trie, ":127.0.1.2: x\n::1 # y\n::2:3 :4:z\n!::5");
        let read: Vec<_> = read.iter().map(|row| shown(row.as_ref().unwrap())).collect();
        assert_eq!(read, ["::1-::1 127.0.1.2", "::2:3-::2:3 127.0.0.4", "!::5-::5 -"]);
    }

    #[test]
    fn the_whole_of_a_file_has_a_say() {
        let text = "# comment\n#$Id$\n;$TTL 60\n$MAXRANGE4 /24\n192.0.2.0/24\n192.0.0.0/16\n";
        let read = rows(Format::Ip4Set, text);
        assert!(read[0].is_ok());
        assert_eq!(read[1], Err(LineError::MaxRange));
        let read = rows(Format::Ip4Set, "$TIMESTAMP 0 20261122054311\n192.0.2.1");
        assert_eq!(read[0].as_ref().unwrap().life, Life::Until(NOW + 1));
        let read = rows(Format::Ip4Set, "$TIMESTAMP 0 20261122054310\n192.0.2.1");
        assert_eq!(read[0], Err(LineError::RunOut));
    }
}
