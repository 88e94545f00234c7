//! Lines that are written together.

use super::position::Place;

/// Whole lines, and how much of them is in the file.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    written: usize,
    /// How far the trail goes with the last line.
    end: Option<Place>,
}

impl Batch {
    /// Adds a line, after which the trail goes so far.
    pub(super) fn push(&mut self, line: &impl serde::Serialize, end: Place) {
        // Writing into memory fails only for maps without text keys, which no line has.
        if serde_json::to_writer(&mut self.bytes, line).is_ok() {
            self.bytes.push(b'\n');
        }
        self.end = Some(end);
    }

    /// Bytes of all lines.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is still to be written.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Whether a part was written already.
    pub(super) fn is_begun(&self) -> bool {
        self.written > 0
    }

    /// So many bytes more were written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.bytes.len());
    }

    /// The file is another one, or others have written to it: a line that was written in part is
    /// written again as a whole.
    pub(super) fn begin_line_again(&mut self) {
        let before = &self.bytes[..self.written];
        self.written = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    }

    /// How far the trail goes with it.
    pub(super) fn end(&self) -> Option<Place> {
        self.end
    }

    /// Takes all lines out.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
        self.end = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::following::Position;

    const PLACE: Place = Place { position: Position { stream: 1, next: 2 }, time: 3 };

    /// Caught: a rest from the middle of a line; one from the batch's start.
    #[test]
    fn a_line_that_was_cut_short_is_written_again_as_a_whole() {
        let mut batch = Batch::default();
        for line in ["one", "two", "three"] {
            batch.push(&line, PLACE);
        }
        assert_eq!(batch.rest(), b"\"one\"\n\"two\"\n\"three\"\n");
        batch.advance(8);
        assert_eq!(batch.rest(), b"wo\"\n\"three\"\n");
        batch.begin_line_again();
        assert_eq!(batch.rest(), b"\"two\"\n\"three\"\n");
        batch.begin_line_again();
        assert_eq!(batch.rest(), b"\"two\"\n\"three\"\n");
        batch.advance(100);
        assert!(batch.rest().is_empty() && !batch.is_empty());
        batch.clear();
        assert!(batch.is_empty() && !batch.is_begun());
    }
}
