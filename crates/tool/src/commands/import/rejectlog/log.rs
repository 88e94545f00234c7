//! One log file that is read from a place on: plain, or compressed by gzip.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::lines::Lines;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 18;
/// The first bytes of a file that gzip made (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A log file.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    source: Source,
    lines: Lines,
    block: Vec<u8>,
    /// Bytes of the log, uncompressed, up to the end of the last line that was taken.
    offset: u64,
}

enum Source {
    Plain,
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

/// Which file it is, whatever its name: device and inode.
pub(super) type Identity = (u64, u64);

impl Log {
    /// Opens it, to be read from `offset` on.
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = open_file(path)?;
        let source = if is_compressed(&file)? {
            let mut decoder =
                MultiGzDecoder::new(BufReader::with_capacity(BLOCK, file.try_clone()?));
            io::copy(&mut (&mut decoder).take(offset), &mut io::sink())?;
            Source::Gzip(Box::new(decoder))
        } else {
            file.seek(SeekFrom::Start(offset))?;
            Source::Plain
        };
        let block = vec![0; BLOCK];
        Ok(Self { path: path.to_owned(), file, source, lines: Lines::default(), block, offset })
    }

    /// Reads a block; its length, 0 at the end of the file.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        loop {
            let read = match &mut self.source {
                Source::Plain => self.file.read(&mut self.block),
                Source::Gzip(decoder) => decoder.read(&mut self.block),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// The block that was read last.
    pub(super) fn block(&self, length: usize) -> &[u8] {
        &self.block[..length]
    }

    /// Hands over the lines that end in the block that was read last; stops at the first error.
    pub(super) fn take<E>(
        &mut self,
        length: usize,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (taken, result) = self.lines.feed(&self.block[..length], take);
        self.offset += taken;
        result
    }

    /// Starts again at the file's first byte.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        (self.lines, self.offset) = (Lines::default(), 0);
        self.file.seek(SeekFrom::Start(0)).map(|_| ())
    }

    /// Where the next line begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The name by which it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether gzip made it.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.source, Source::Gzip(_))
    }

    /// Whether the file ends within a line.
    pub(super) fn has_unfinished_line(&self) -> bool {
        self.lines.has_unfinished()
    }

    /// Which file it is.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
    }

    /// Its length on the disk.
    pub(super) fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    /// Bytes on the disk that were read.
    pub(super) fn read_so_far(&mut self) -> u64 {
        match &mut self.source {
            Source::Plain => self.offset,
            Source::Gzip(decoder) => decoder.get_mut().stream_position().unwrap_or(0),
        }
    }

    /// Its first bytes, `length` of them or fewer.
    pub(super) fn head(&self, length: usize) -> io::Result<Vec<u8>> {
        head(&self.file, length)
    }
}

/// Opens a file that is one: to open a pipe would wait for its writer.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file; name a log file"));
    }
    File::open(path)
}

/// The first bytes of a log, `length` of them or fewer, uncompressed.
pub(super) fn head(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    let from_start = FromStart { file, place: 0 };
    if is_compressed(file)? {
        let decoder = MultiGzDecoder::new(BufReader::new(from_start));
        decoder.take(length as u64).read_to_end(&mut bytes)?;
    } else {
        from_start.take(length as u64).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn is_compressed(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == GZIP)
}

/// Reads a file from its start and leaves its own place as it is.
struct FromStart<'a> {
    file: &'a File,
    place: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}
