//! `eximrbl resize`: another number of slots, while everybody goes on.

use std::io::Write;
use std::path::Path;

use eximrbl_table::WritableTable;

use super::{Finding, info};
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// Puts a table of another size in the place of this one.
pub(super) fn run(path: &Path, slots: u64, output: &mut Output) -> Result<Finding, Failure> {
    let resized = WritableTable::open(path)?.resize(slots)?;
    let table = WritableTable::open(path)?;
    if output.json() {
        info::print(path, &table, output)?;
        return Ok(Finding::Positive);
    }
    let info = table.info(eximrbl_table::now());
    writeln!(
        output,
        "{}: {} slots before, {} now ({})",
        path.display(),
        resized.before,
        resized.slots,
        text::size(info.bytes)
    )?;
    if resized.evicted > 0 {
        writeln!(
            output,
            "note: live entries that had to make room, those with the least life left: {}",
            resized.evicted
        )?;
    }
    Ok(Finding::Positive)
}
