//! What a client has sent: queries, each with its length before it (RFC 1035 section 4.2.2), cut
//! into segments anywhere.

/// Bytes that are read at a time.
const READ: usize = 4096;

/// Bytes that were read, and how many of them were dealt with.
#[derive(Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    done: usize,
}

impl Incoming {
    /// Where to read more into.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.reserve(READ);
        &mut self.bytes
    }

    /// Whether no part of a query is here.
    pub(super) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// Whether a whole query is here.
    pub(super) fn has_query(&self) -> bool {
        self.query().is_some()
    }

    /// The next whole query; it is gone then.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let length = self.query()?.len();
        let start = self.done + 2;
        self.done = start + length;
        self.bytes.get(start..self.done)
    }

    fn query(&self) -> Option<&[u8]> {
        let (length, rest) = self.bytes.get(self.done..)?.split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two queries, one that is empty, and the beginning of another.
    const SENT: &[u8] = b"\x00\x03abc\x00\x00\x00\x01d\x01";

    /// Caught: the length's own two bytes counted in; bytes that are done read again.
    #[test]
    fn queries_are_found_however_they_are_cut() {
        for size in 1..=SENT.len() {
            let mut incoming = Incoming::default();
            let mut found = Vec::new();
            for part in SENT.chunks(size) {
                incoming.room().extend_from_slice(part);
                while let Some(query) = incoming.next() {
                    found.push(query.to_vec());
                }
                assert!(!incoming.has_query());
            }
            assert_eq!(found, [&b"abc"[..], b"", b"d"], "{size} bytes at a time");
            assert!(!incoming.is_empty());
            incoming.room().extend_from_slice(&[0; 257]);
            assert_eq!(incoming.next(), Some(&[0; 256][..]));
            assert!(incoming.is_empty());
        }
    }
}
