//! Standard output, buffered, for people or for programs.

use std::io::{self, BufWriter, StdoutLock, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Where commands print to.
pub(crate) struct Output {
    /// Large, since `list` may print a million lines.
    stream: BufWriter<StdoutLock<'static>>,
    /// Whether JSON is wanted.
    json: bool,
}

impl Output {
    /// Locks standard output for the rest of the program.
    pub(crate) fn new(json: bool) -> Self {
        Self { stream: BufWriter::with_capacity(1 << 16, io::stdout().lock()), json }
    }

    /// Whether JSON is wanted.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Prints a value as JSON on one line.
    pub(crate) fn object(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stream, value).map_err(io::Error::from)?;
        self.stream.write_all(b"\n")?;
        Ok(())
    }

    /// Prints what is still in the buffer.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        Ok(self.stream.flush()?)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
