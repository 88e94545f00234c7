//! The options of an OPT record (RFC 6891 section 6.1.2): what there is in them for us.

/// The server's identifier (RFC 5001).
pub const NSID: u16 = 3;
/// A cookie (RFC 7873).
pub const COOKIE: u16 = 10;
/// How long a TCP connection may be idle (RFC 7828).
pub const TCP_KEEPALIVE: u16 = 11;
/// An extended error (RFC 8914).
pub const EXTENDED_ERROR: u16 = 15;

/// An option that ends after the record's end, or is of no length that it may have: FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a query's options ask for. Others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'p> {
    /// The data of the first COOKIE option (RFC 7873 section 5.2: further ones are ignored).
    pub cookie: Option<&'p [u8]>,
    /// Whether the server's identifier is wished for.
    pub nsid: bool,
    /// Whether it is wished to know how long a TCP connection may be idle.
    pub keepalive: bool,
}

impl<'p> Options<'p> {
    /// Reads the data of an OPT record.
    pub fn read(mut data: &'p [u8]) -> Result<Self, Malformed> {
        let mut options = Self::default();
        while !data.is_empty() {
            let (&[c0, c1, l0, l1], rest) = data.split_first_chunk().ok_or(Malformed)?;
            let [code, length] = [[c0, c1], [l0, l1]].map(u16::from_be_bytes);
            let (value, rest) = rest.split_at_checked(usize::from(length)).ok_or(Malformed)?;
            match code {
                COOKIE if options.cookie.is_none() => options.cookie = Some(value),
                NSID => options.nsid = true,
                TCP_KEEPALIVE => options.keepalive = true,
                _ => {}
            }
            data = rest;
        }
        Ok(options)
    }
}

/// Why a query is refused, as an extended error (RFC 8914 section 4).
///
/// There is none for a table that cannot be had: the last one that was whole is served on, which is true
/// for as long as its entries live, while SERVFAIL would hold up whoever asks, or let him defer mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedError {
    /// The client may not ask (section 4.19).
    Prohibited = 18,
    /// The name is in none of our zones (section 4.21).
    NotAuthoritative = 20,
    /// What is asked for is not done here: a transfer, another class (section 4.22).
    NotSupported = 21,
}

impl ExtendedError {
    /// The INFO-CODE.
    pub fn code(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: a second cookie that counts; an unknown option taken for an error.
    #[test]
    fn the_first_cookie_counts_and_unknown_options_are_passed_over() {
        let data = b"\xff\xff\0\x02hi\0\x0a\0\x08cookie01\0\x03\0\0\0\x0b\0\0\0\x0a\0\x08cookie02";
        let expected = Options { cookie: Some(b"cookie01"), nsid: true, keepalive: true };
        assert_eq!(Options::read(data), Ok(expected));
        assert_eq!(Options::read(b""), Ok(Options::default()));
        assert_eq!(
            Options::read(b"\0\x0a\0\0"),
            Ok(Options { cookie: Some(b""), ..Options::default() })
        );
    }

    #[test]
    fn options_that_pass_the_end_are_malformed() {
        let whole = b"\0\x03\0\0\0\x0a\0\x08cookie01";
        for length in 1..whole.len() {
            let ends_there = [4].contains(&length);
            assert_eq!(Options::read(&whole[..length]).is_ok(), ends_there, "{length}");
        }
        assert_eq!(Options::read(b"\0\x0a\xff\xffcookie01"), Err(Malformed));
    }
}
