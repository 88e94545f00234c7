//! From blocks to lines.

use eximrbl_rejectlog::LINE_MAX;
use memchr::memchr_iter;

/// Puts the lines together that blocks cut apart.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The start of the line whose end is in a block to come.
    carry: Vec<u8>,
    /// Bytes of that line so far, also those that were not kept.
    carried: u64,
}

impl Lines {
    /// Hands over each line that ends in the block, without its end of line; stops at the first
    /// error. Yields the bytes of the lines that were handed over.
    pub(super) fn feed<E>(
        &mut self,
        block: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> (u64, Result<(), E>) {
        let (mut taken, mut start) = (0, 0);
        for end in memchr_iter(b'\n', block) {
            let piece = &block[start..end];
            let taking = if self.carried == 0 {
                take(piece)
            } else {
                self.keep(piece);
                let taking = take(&self.carry);
                self.carry.clear();
                taking
            };
            if let Err(error) = taking {
                return (taken, Err(error));
            }
            taken += self.carried + (end + 1 - start) as u64;
            self.carried = 0;
            start = end + 1;
        }
        self.keep(&block[start..]);
        self.carried += (block.len() - start) as u64;
        (taken, Ok(()))
    }

    /// A line that is too long is kept to one byte more than may be, so that it is known as such.
    fn keep(&mut self, piece: &[u8]) {
        let room = (LINE_MAX + 1).saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Whether the last line has no end yet.
    pub(super) fn has_unfinished(&self) -> bool {
        self.carried > 0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Caught: a line that ends at the start of a block lost; a carried line handed over twice.
    #[test]
    fn lines_are_the_same_however_the_blocks_are_cut() {
        let text = b"one\n\ntwo and more\nthree\n\nunfinished";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let (mut seen, mut total) = (Vec::new(), 0);
            for block in text.chunks(size) {
                let (taken, result) = lines.feed::<()>(block, &mut |line| {
                    seen.push(String::from_utf8(line.to_vec()).unwrap());
                    Ok(())
                });
                result.unwrap();
                total += taken;
            }
            assert_eq!(seen, ["one", "", "two and more", "three", ""], "blocks of {size}");
            assert_eq!(total, text.len() as u64 - 10);
            assert!(lines.has_unfinished());
        }
    }

    /// Caught: a line without an end that grew in memory.
    #[test]
    fn a_line_without_end_takes_no_more_memory_than_a_long_one() {
        let mut lines = Lines::default();
        let block = [b'x'; 1000];
        for _ in 0..1000 {
            lines.feed::<()>(&block, &mut |_| panic!("no line ended")).1.unwrap();
        }
        assert!(lines.carry.capacity() <= 4 * LINE_MAX, "{}", lines.carry.capacity());
        let mut lengths = Vec::new();
        let (taken, _) = lines.feed::<()>(b"y\nz\n", &mut |line| {
            lengths.push(line.len());
            Ok(())
        });
        assert_eq!((lengths, taken), (vec![LINE_MAX + 1, 1], 1_000_004));
    }

    /// Caught: lines after the one that failed counted as taken.
    #[test]
    fn what_was_not_taken_is_not_counted() {
        let mut lines = Lines::default();
        let (taken, result) = lines
            .feed(b"one\ntwo\nthree\n", &mut |line| if line == b"two" { Err(()) } else { Ok(()) });
        assert_eq!((taken, result), (4, Err(())));
    }
}
