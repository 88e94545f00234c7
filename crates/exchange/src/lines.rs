//! A file's lines, read in large blocks: memory stays the same whatever the file's size.

use std::io::{self, Read};

use memchr::memchr;

/// Longest line that is read. One with 64 reasons and 64 reporters has 5,000 bytes.
pub const LINE_MAX: usize = 16_384;
/// Bytes that are asked for at once.
const BLOCK: usize = 1 << 18;

/// Lines of a source, numbered from 1.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// What of the buffer is not yet given out.
    start: usize,
    end: usize,
    number: u64,
    ended: bool,
}

/// One line, without its end (LF or CR LF).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Which, from 1.
    pub number: u64,
    /// Its bytes; `None` of a line that is longer than [`LINE_MAX`].
    pub bytes: Option<&'a [u8]>,
}

impl<R: Read> Lines<R> {
    /// Lines of this source.
    pub fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BLOCK], start: 0, end: 0, number: 0, ended: false }
    }

    /// The beginning of what is left, at most `most` bytes, which stays to be read.
    pub fn peek(&mut self, most: usize) -> io::Result<&[u8]> {
        while self.end - self.start < most.min(BLOCK) && !self.ended {
            self.fill()?;
        }
        let end = self.end.min(self.start + most);
        Ok(&self.buffer[self.start..end])
    }

    /// The next line; `None` at the end of the source, which ends a line too.
    #[allow(clippy::should_implement_trait, reason = "a line is borrowed until the next one")]
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let mut is_long = false;
        loop {
            let unsearched = &self.buffer[self.start + searched..self.end];
            if let Some(at) = memchr(b'\n', unsearched) {
                let (first, last) = (self.start, self.start + searched + at);
                self.start = last + 1;
                return Ok(Some(self.line(first, last, is_long)));
            }
            searched = self.end - self.start;
            if self.ended {
                if searched == 0 && !is_long {
                    return Ok(None);
                }
                let (first, last) = (self.start, self.end);
                self.start = self.end;
                return Ok(Some(self.line(first, last, is_long)));
            }
            if searched > LINE_MAX + 1 {
                // What there is of it is of no use, and its end may be far away.
                is_long = true;
                (self.start, searched) = (self.end, 0);
            }
            self.fill()?;
        }
    }

    fn line(&mut self, first: usize, last: usize, is_long: bool) -> Line<'_> {
        self.number += 1;
        let bytes = &self.buffer[first..last];
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Line { number: self.number, bytes: (!is_long && bytes.len() <= LINE_MAX).then_some(bytes) }
    }

    /// Reads on, behind what is there.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end + BLOCK, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Gives out few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn all(bytes: &[u8], at_once: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(Slow(bytes, at_once));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.bytes.map(<[u8]>::to_vec)));
        }
        assert_eq!(lines.next().unwrap(), None);
        found
    }

    /// Caught: a carriage return that stays, a last line without its end that is left out.
    #[test]
    fn lines_end_at_line_feeds_and_at_the_end() {
        for at_once in [1, 2, 3, 100] {
            let found = all(b"a\r\n\nbc\nd\re", at_once);
            let texts: Vec<_> = found.iter().map(|(_, text)| text.as_deref().unwrap()).collect();
            assert_eq!(texts, [&b"a"[..], b"", b"bc", b"d\re"]);
            assert_eq!(found[3].0, 4);
        }
        assert_eq!(all(b"", 5), []);
        assert_eq!(all(b"\n", 5).len(), 1);
    }

    /// Caught: a long line whose rest is taken for a line of its own.
    #[test]
    fn a_long_line_is_one_line_and_the_next_is_read() {
        for length in [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, LINE_MAX + 2, 3 * BLOCK + 7] {
            for at_once in [4096, BLOCK] {
                let bytes = [vec![b'x'; length], b"\nnext\n".to_vec()].concat();
                let found = all(&bytes, at_once);
                assert_eq!(found.len(), 2, "{length}");
                assert_eq!(found[0].1.is_some(), length <= LINE_MAX, "{length}");
                assert_eq!(found[1], (2, Some(b"next".to_vec())));
            }
        }
    }

    #[test]
    fn a_peek_takes_nothing_away() {
        let mut lines = Lines::new(Slow(b"one\ntwo\n", 2));
        assert_eq!(lines.peek(6).unwrap(), b"one\ntw");
        assert_eq!(lines.peek(100).unwrap(), b"one\ntwo\n");
        assert_eq!(lines.next().unwrap().unwrap().bytes.unwrap(), b"one");
    }
}
