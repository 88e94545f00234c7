//! From a line's bytes to whose it is.

use memchr::memmem;

use crate::entry::take;
use crate::line::{Form, headed};
use crate::peer::Peer;
use crate::stamp::Stamp;

/// Longest line that is looked at; Exim's own end at 8192 bytes (`LOG_BUFFER_SIZE`).
pub const LINE_MAX: usize = 65_536;

/// Takes the lines of one file apart, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    plain_helo: bool,
    form: Option<Form>,
    seen: Vec<u8>,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// About a client.
    Entry(Entry<'a>),
    /// About nobody: a line of a header dump, an empty one, one of another program or kind.
    Other,
}

/// A line about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it was written.
    pub stamp: Stamp,
    /// Who he is.
    pub peer: Peer,
    /// What [`Rules`](crate::Rules) are to be asked: Exim's text with `HOST` in the client's place.
    pub text: &'a [u8],
}

/// What Exim puts at the end of a line that did not fit into its buffer.
const OVERFLOWED: &[u8] = b"**** log string overflowed log buffer ****";

impl Reader {
    /// For one file. With `plain_helo`, the Exim that wrote it is known to take no junk in HELO (it
    /// has no `helo_accept_junk_hosts`), which leaves fewer lines in doubt.
    pub fn new(plain_helo: bool) -> Self {
        Self { plain_helo, ..Self::default() }
    }

    /// Takes a whole line apart; its end of line is not part of it.
    pub fn read(&mut self, line: &[u8]) -> Line<'_> {
        // A line that was cut short has lost what tells whose it is.
        let (line, is_long) = match line.get(..LINE_MAX) {
            Some(start) if line.len() > LINE_MAX => (start, true),
            _ => (line, false),
        };
        let Some(headed) = headed(line, self.form) else { return Line::Other };
        self.form = Some(headed.form);
        let Some(peer) = take(headed.text, self.plain_helo, &mut self.seen) else {
            return Line::Other;
        };
        let is_cut = is_long || headed.is_cut || memmem::find(headed.text, OVERFLOWED).is_some();
        let peer = if is_cut { Peer::Doubtful } else { peer };
        Line::Entry(Entry { stamp: headed.stamp, peer, text: &self.seen })
    }
}
