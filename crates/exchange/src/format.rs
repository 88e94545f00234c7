//! The formats that lists are read in.

use std::fmt;
use std::str::FromStr;

/// A format that a list is read in, and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// rbldnsd's `ip4set`: IPv4 addresses, networks and ranges, each perhaps with a value.
    Ip4Set,
    /// rbldnsd's `ip4trie`: IPv4 networks; the longest one that an address is in decides.
    Ip4Trie,
    /// rbldnsd's `ip6trie`: the same for IPv6.
    Ip6Trie,
    /// Addresses, networks and ranges of both families, one a line.
    Plain,
    /// Entries with all that is known of them, in columns.
    Csv,
    /// Entries with all that is known of them, a JSON object a line.
    Json,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ip4Set, Self::Ip4Trie, Self::Ip6Trie, Self::Plain, Self::Csv, Self::Json];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip4Set => "ip4set",
            Self::Ip4Trie => "ip4trie",
            Self::Ip6Trie => "ip6trie",
            Self::Plain => "plain",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }

    /// Whether it is one of rbldnsd's.
    pub fn is_rbldnsd(self) -> bool {
        matches!(self, Self::Ip4Set | Self::Ip4Trie | Self::Ip6Trie)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or("write ip4set, ip4trie, ip6trie, plain, csv or json")
    }
}
