//! A table of this process alone, with the reasons of one that can only be read.
//!
//! Zones are resolved against a table that takes the names of reasons which it does not know yet.
//! One that can only be read takes none; this one takes them in its stead. They get numbers that
//! Exim's processes never give (only administrators use the last places of the dictionary), so
//! that nothing is listed under them. Should an administrator use one after all, or the table
//! become writable, the keeper resolves anew every few seconds.

use eximrbl_table::{Name, Table, WritableTable};

/// As few slots as a table may have; none is used.
const SLOTS: u64 = 16;
/// Places of the dictionary, from the first on, that machines may fill.
const PLACES_OF_MACHINES: u8 = 48;

/// Makes it; `None` when there is no memory for it.
pub(crate) fn stand_in(table: &Table) -> Option<WritableTable> {
    let copy = WritableTable::on_heap(SLOTS)?;
    let reasons = table.reasons();
    let last = reasons.iter().last().map_or(0, |(bit, _)| bit + 1);
    for bit in 0..last.max(PLACES_OF_MACHINES) {
        let name = reasons.iter().find(|(place, _)| *place == bit).map(|(_, name)| name);
        let name = name.and_then(|name| Name::new(name.as_bytes()));
        // A damaged table may have a name twice: the first place is its place.
        if name.is_none_or(|name| copy.reason(name, true) != bit) {
            Name::new(format!("unnamed-{bit}").as_bytes()).map(|name| copy.reason(name, true));
        }
    }
    Some(copy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    /// Caught: machines' places that are left free, where a new name would be taken for one of theirs.
    #[test]
    fn reasons_keep_their_numbers_and_new_ones_get_those_of_administrators() {
        let table = WritableTable::on_heap(64).unwrap();
        let known = ["rcpt", "auth", "bad-helo"].map(|reason| table.reason(name(reason), false));
        let copy = stand_in(&table).unwrap();
        let found = ["rcpt", "auth", "bad-helo"].map(|reason| copy.reason(name(reason), true));
        assert_eq!(found, known);
        assert_eq!(copy.reason(name("other"), true), 0);
        assert_eq!(copy.reason(name("not-known"), true), PLACES_OF_MACHINES);
        // The table itself took nothing.
        assert_eq!(table.reasons().bit("not-known"), None);
    }

    /// Caught: names copied up to the last of machines' places only.
    #[test]
    fn names_in_administrators_places_are_kept_too() {
        let table = WritableTable::on_heap(64).unwrap();
        for bit in 2..PLACES_OF_MACHINES {
            assert_eq!(table.reason(name(&format!("r{bit}")), false), bit);
        }
        assert_eq!(table.reason(name("his-own"), true), PLACES_OF_MACHINES);
        assert_eq!(table.reason(name("another"), true), PLACES_OF_MACHINES + 1);
        let copy = stand_in(&table).unwrap();
        // Not in the order in which they would get their places anew.
        assert_eq!(copy.reason(name("another"), true), PLACES_OF_MACHINES + 1);
        assert_eq!(copy.reason(name("his-own"), true), PLACES_OF_MACHINES);
        assert_eq!(copy.reason(name("not-known"), true), PLACES_OF_MACHINES + 2);
    }
}
