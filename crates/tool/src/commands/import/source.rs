//! Where a list comes from: a file or standard input, compressed by gzip or not.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::progress::Progress;

/// What gzip's files begin with (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are read at once.
const BLOCK: usize = 1 << 17;

/// An open list.
pub(super) enum Source {
    Plain(BufReader<Counted>),
    Gzip(Box<MultiGzDecoder<BufReader<Counted>>>),
}

impl Source {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path, progress: &Progress) -> io::Result<Self> {
        let raw: Box<dyn Read> = match path.to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(File::open(path)?),
        };
        let counted = Counted { raw, bytes: progress.bytes() };
        let mut reader = BufReader::with_capacity(BLOCK, counted);
        // A pipe may give a single byte at first; then it is taken for uncompressed, and its lines
        // tell that they are not.
        let is_gzip = reader.fill_buf()?.starts_with(&GZIP);
        Ok(if is_gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(reader)))
        } else {
            Self::Plain(reader)
        })
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(into),
            Self::Gzip(reader) => reader.read(into),
        }
    }
}

/// Counts the bytes that were read.
pub(super) struct Counted {
    raw: Box<dyn Read>,
    bytes: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(into)?;
        self.bytes.set(self.bytes.get() + count as u64);
        Ok(count)
    }
}
