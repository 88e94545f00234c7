//! The one decision: is this client listed?
//!
//! DNS answers, `rbl_listed`, `rbl_lookup` and `eximrbl show` all come from [`Table::decide`]
//! (crate::Table::decide), so they cannot disagree.

use crate::Network;
use crate::word::ADMIN;

/// Seconds since the Unix epoch; 32 bits reach to 2106.
pub type UnixSeconds = u32;

/// What an entry of the table says, taken at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address or network that the entry is about.
    pub network: Network,
    /// White entries lift every listing within their network.
    pub white: bool,
    /// Rejections that are counted (sum of weights); at most 262,143.
    pub count: u32,
    /// Seconds of life left; `u32::MAX` for an entry without end.
    pub remaining: u32,
    /// When the present life began.
    pub first: UnixSeconds,
    /// When the entry was last reported.
    pub last: UnixSeconds,
    /// Reasons given, a bit for each place in the reason dictionary.
    pub reasons: u64,
    /// Who reported, a bit for each place in the reporter dictionary.
    pub reporters: u64,
}

impl Entry {
    /// Whether the entry lives until somebody ends it.
    pub fn is_endless(&self) -> bool {
        self.remaining == u32::MAX
    }

    /// Whether the administrator stands behind it: he is among its reporters, or it is a listing
    /// without end. Such a listing counts at once: threshold and quorum are for what machines report.
    pub fn is_by_hand(&self) -> bool {
        self.reporters >> ADMIN & 1 == 1 || self.is_endless() && !self.white
    }
}

/// Which entries a list takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The list of white entries, instead of that of black ones.
    pub white: bool,
    /// At least one of these reasons must have been given; `u64::MAX` takes all, and also
    /// entries whose reasons were lost.
    pub reasons: u64,
    /// At least so many reporters must have reported the entry, or the administrator alone.
    pub quorum: u32,
}

impl Default for Filter {
    /// Every black entry.
    fn default() -> Self {
        Self { white: false, reasons: u64::MAX, quorum: 1 }
    }
}

impl Filter {
    /// Whether an entry belongs to the list (its colour, reasons and reporters; not its age).
    pub fn takes(&self, entry: &Entry) -> bool {
        entry.white == self.white
            && (self.reasons == u64::MAX || entry.reasons & self.reasons != 0)
            && (self.quorum <= 1
                || entry.reporters.count_ones() >= self.quorum
                || entry.is_by_hand())
    }
}

/// What a list says about one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Listed, by this entry.
    Listed(Entry),
    /// A test address that every DNSBL lists (RFC 5782 section 5): 127.0.0.2, ::ffff:127.0.0.2.
    Test,
    /// In the never-list: neither recorded nor answered. Includes 127.0.0.1 (RFC 5782).
    Never,
    /// Not listed because this live white entry lifts every listing.
    White(Entry),
    /// Known and alive, but not listed: under the threshold, or not taken by the filter.
    Below(Entry),
    /// Nothing is known.
    Unknown,
}

impl Decision {
    /// Whether DNS answers with an address record.
    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Listed(_) | Self::Test)
    }
}
