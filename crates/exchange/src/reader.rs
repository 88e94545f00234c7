//! Reads a file of a known format, line by line.

use eximrbl_table::UnixSeconds;

use crate::csv::Records;
use crate::format::Format;
use crate::rbldnsd::DataSet;
use crate::row::{LineError, Row};
use crate::{json, plain};

/// Reads lines of one file.
#[derive(Debug)]
pub struct Reader {
    way: Way,
    now: UnixSeconds,
}

#[derive(Debug)]
enum Way {
    Rbldnsd(DataSet),
    Plain,
    Csv(Box<Records>),
    Json,
}

/// What a file has that the table does not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Texts for TXT records.
    pub texts: bool,
    /// rbldnsd's lines about the zone: `$SOA`, `$NS`, `$TTL` and variables for texts.
    pub specials: bool,
}

impl Reader {
    /// For one file; times of its lines are judged by `now`.
    pub fn new(format: Format, now: UnixSeconds) -> Self {
        let way = match format {
            Format::Ip4Set | Format::Ip4Trie | Format::Ip6Trie => {
                Way::Rbldnsd(DataSet::new(format, now))
            }
            Format::Plain => Way::Plain,
            Format::Csv => Way::Csv(Box::new(Records::new())),
            Format::Json => Way::Json,
        };
        Self { way, now }
    }

    /// Reads a line; `None` if it says nothing about an address.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the next line can be read all the same.
    pub fn read(&mut self, line: &[u8]) -> Result<Option<Row>, LineError> {
        match &mut self.way {
            Way::Rbldnsd(set) => set.read(line),
            Way::Plain => plain::read(line),
            Way::Csv(records) => records.read(line, self.now),
            Way::Json => json::read(line, self.now),
        }
    }

    /// What was passed over until now.
    pub fn passed(&self) -> Passed {
        match &self.way {
            Way::Rbldnsd(set) => set.passed(),
            Way::Plain | Way::Csv(_) | Way::Json => Passed::default(),
        }
    }
}
