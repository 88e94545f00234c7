//! What a line of a list says.

use std::net::Ipv4Addr;

use eximrbl_table::{Name, NetworkError, UnixSeconds};

use crate::span::Span;

/// One entry, or a range that becomes several. Lists of bare addresses say no more than `span`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whom.
    pub span: Span,
    /// Whether it is white, or excluded from the list.
    pub white: bool,
    /// Whether it is an exclusion: it is about this list, not about whom to trust.
    pub excluded: bool,
    /// The value that its A record has.
    pub code: Option<Ipv4Addr>,
    /// How many rejections were counted.
    pub count: Option<u32>,
    /// How long it goes on.
    pub life: Life,
    /// When it was first reported.
    pub first: Option<UnixSeconds>,
    /// When it was last reported.
    pub last: Option<UnixSeconds>,
    /// Why; `None` if the list does not say.
    pub reasons: Option<Vec<Name>>,
    /// Who reported it; `None` if the list does not say.
    pub reporters: Option<Vec<Name>>,
}

/// How long an entry goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The list does not say.
    Unsaid,
    /// Until it is ended by hand.
    Endless,
    /// Until then.
    Until(UnixSeconds),
}

impl Row {
    /// A row that says no more than whom it is about.
    pub fn bare(span: Span) -> Self {
        Self {
            span,
            white: false,
            excluded: false,
            code: None,
            count: None,
            life: Life::Unsaid,
            first: None,
            last: None,
            reasons: None,
            reporters: None,
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not an address, a network or a range, or something behind it.
    #[error("not an address, network or range of this format, but {found}")]
    Address {
        /// The beginning of what stands there, in printable characters.
        found: String,
    },
    /// A network that is none.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A range whose end is before its beginning, or of the other family.
    #[error("a range that ends before it begins")]
    Range,
    /// A network or range that is not allowed in this file.
    #[error("wider than this file's own $MAXRANGE4 allows")]
    MaxRange,
    /// The value behind an address.
    #[error("bad value: :A:TEXT is wanted, such as :127.0.0.2:text, or :2:text")]
    Value,
    /// A line that begins with `$`.
    #[error("not one of rbldnsd's $ lines, or not well-formed: {found}")]
    Special {
        /// Its beginning, in printable characters.
        found: String,
    },
    /// A data set of several parts.
    #[error("a combined data set: write the parts into files of their own")]
    Combined,
    /// The file's date is in the future.
    #[error("$TIMESTAMP is in the future: rbldnsd would not load this file; is the clock right?")]
    Future,
    /// The file has run out.
    #[error("$TIMESTAMP says that this file has run out: what is in it is not taken")]
    RunOut,
    /// A JSON line that cannot be read.
    #[error("not a JSON object as `eximrbl list --json` prints it: {problem}")]
    Json {
        /// What is wrong, and where in the line.
        problem: String,
    },
    /// The first line of a CSV file.
    #[error("the first line must name the columns, and one of them must be \"network\"")]
    Header,
    /// A CSV record without a network.
    #[error("more or fewer fields than the first line has columns")]
    Fields,
    /// A field's value.
    #[error("bad value in \"{field}\": {wanted} is wanted")]
    Field {
        /// The key or column.
        field: &'static str,
        /// What would be right.
        wanted: &'static str,
    },
}

/// The beginning of some bytes, to be shown: no control characters, and not too much.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let cut = &bytes[..bytes.len().min(MOST)];
    let dots = if bytes.len() > MOST { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_ascii())
}
