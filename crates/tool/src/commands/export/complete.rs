//! CSV and JSON lines: every living entry, as it is.

use std::io::{self, Write};

use eximrbl_exchange::csv;
use eximrbl_table::{Entry, Table};

use super::Summary;
use crate::arguments::Export;
use crate::json::{Dictionaries, EntryObject};
use crate::standing::EntryState;

/// Writes rows under a line of column titles.
pub(super) fn csv(
    table: &Table,
    export: &Export,
    to: &mut impl Write,
    summary: &mut Summary,
) -> io::Result<()> {
    let (names, now) = (Dictionaries::of(table), eximrbl_table::now());
    writeln!(to, "{}", csv::HEADER)?;
    for entry in table.entries(now).filter(selection(export, &names)) {
        csv::write_row(to, &entry, &names.reasons, &names.reporters, now)?;
        summary.entries += 1;
    }
    Ok(())
}

/// Writes the lines that `list --all --json` prints.
pub(super) fn json(
    table: &Table,
    export: &Export,
    to: &mut impl Write,
    summary: &mut Summary,
) -> io::Result<()> {
    let (names, now) = (Dictionaries::of(table), eximrbl_table::now());
    let policy = table.policy();
    for entry in table.entries(now).filter(selection(export, &names)) {
        let state = EntryState::of(table, &entry, now);
        let object = EntryObject::in_list(&entry, state, &names, &policy, now);
        serde_json::to_writer(&mut *to, &object)?;
        to.write_all(b"\n")?;
        summary.entries += 1;
    }
    Ok(())
}

/// Which entries are asked for.
pub(super) fn selection(export: &Export, names: &Dictionaries) -> impl Fn(&Entry) -> bool {
    let (within, white) = (export.within, export.white);
    let bits = reason_bits(export, names);
    move |entry| {
        within.is_none_or(|within| within.contains(entry.network))
            && (!white || entry.white)
            && bits.is_none_or(|bits| !entry.white && entry.reasons & bits != 0)
    }
}

/// The bits of the reasons that are asked for; `None` for all.
pub(super) fn reason_bits(export: &Export, names: &Dictionaries) -> Option<u64> {
    let bit = |name: &str| names.reasons.bit(name).map_or(0, |bit| 1 << bit);
    let reasons = &export.reasons;
    (!reasons.is_empty()).then(|| reasons.iter().fold(0, |bits, name| bits | bit(name.as_str())))
}
