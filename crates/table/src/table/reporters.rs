//! Who has reported how many of the entries that there are.

use super::Table;
use crate::decision::UnixSeconds;
use crate::dictionary::PLACES;

impl Table {
    /// For each place of the reporter dictionary, the live entries that bear its mark, black or white.
    /// One pass through the table; an entry that is made, ended or marked meanwhile may or may not be
    /// seen.
    pub fn entries_by_reporter(&self, now: UnixSeconds) -> [u32; PLACES] {
        let mut entries = [0_u32; PLACES];
        for entry in self.entries(now) {
            let mut reporters = entry.reporters;
            while reporters != 0 {
                let count = &mut entries[reporters.trailing_zeros() as usize];
                *count = count.saturating_add(1);
                reporters &= reporters - 1;
            }
        }
        entries
    }
}
