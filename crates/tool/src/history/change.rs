//! One change, in the form that docs/audit.md describes.

use eximrbl_table::{Network, UnixSeconds};
use serde::{Deserialize, Serialize};

/// The version of the form that is known here.
const FORMAT: u32 = 1;

/// One line of the trail. Keys that a later version adds are left out.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Change {
    format: u32,
    /// When, in RFC 3339.
    pub(super) time: String,
    /// The same in seconds.
    pub(super) time_unix: UnixSeconds,
    /// What.
    pub(super) kind: String,
    /// Whom.
    pub(super) network: Option<String>,
    /// By whose word.
    pub(super) who: Option<String>,
    /// Whose share was taken out of the entry.
    #[serde(default)]
    pub(super) of: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
    /// How many rejections.
    pub(super) weight: Option<u32>,
    /// How much life was asked for.
    pub(super) seconds: Option<u32>,
    /// How many changes are missing.
    pub(super) changes: Option<u64>,
    /// Since when.
    pub(super) since_unix: Option<UnixSeconds>,
    /// The entry, when the line was written.
    pub(super) entry: Option<EntryThen>,
    stream: String,
    next: u64,
}

/// An entry as it was when a line was written.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EntryThen {
    pub(super) white: bool,
    pub(super) count: u32,
    counted: bool,
    pub(super) endless: bool,
    until: Option<String>,
    pub(super) until_unix: Option<UnixSeconds>,
    first: String,
    pub(super) first_unix: UnixSeconds,
    last: String,
    pub(super) last_unix: UnixSeconds,
    pub(super) reasons: Vec<String>,
    pub(super) reporters: Vec<String>,
}

impl Change {
    /// Reads a line; `None` if it is damaged or of another version.
    pub(super) fn of_line(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|change: &Self| change.format == FORMAT)
    }

    /// A change that is known from the table alone.
    pub(super) fn bare(kind: &str, time: (String, UnixSeconds), stream: u64, next: u64) -> Self {
        Self {
            format: FORMAT,
            time: time.0,
            time_unix: time.1,
            kind: kind.to_owned(),
            network: None,
            who: None,
            of: None,
            reason: None,
            weight: None,
            seconds: None,
            changes: None,
            since_unix: None,
            entry: None,
            stream: format!("{stream:016x}"),
            next,
        }
    }

    /// When it was made, and its number: the order of changes.
    pub(super) fn age(&self) -> (UnixSeconds, u64) {
        (self.time_unix, self.next)
    }
}

/// Whether a network, by its text, is this one or lies around it.
pub(super) fn holds(network: &[u8], asked: Network) -> bool {
    let network = str::from_utf8(network).ok().and_then(|text| text.parse().ok());
    network.is_some_and(|network: Network| network.contains(asked))
}
