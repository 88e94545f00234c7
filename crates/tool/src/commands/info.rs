//! `eximrbl info`: sizes, uses, policy, names and counters.

use std::io::Write;
use std::path::Path;

use eximrbl_table::Table;

use super::Finding;
use crate::failure::Failure;
use crate::json::{Dictionaries, InfoObject, by_reporter, free_slots, used};
use crate::output::Output;
use crate::text::{self, LocalTime, counted};

/// Prints what the table says about itself.
pub(super) fn run(path: &Path, output: &mut Output) -> Result<Finding, Failure> {
    print(path, &Table::open(path)?, output)
}

/// The same for a table that is open already.
pub(super) fn print(path: &Path, table: &Table, output: &mut Output) -> Result<Finding, Failure> {
    let info = table.info(eximrbl_table::now());
    let names = Dictionaries::of(table);
    if output.json() {
        let path = path.display().to_string();
        output.object(&InfoObject::new(path, table, &info, &names))?;
        return Ok(Finding::Positive);
    }
    let policy = table.policy();
    let free = free_slots(&info);
    let permille = info.slots.saturating_sub(free) * 1000 / info.slots.max(1);
    writeln!(output, "table        {}", path.display())?;
    writeln!(output, "size         {}, {}", text::size(info.bytes), counted(info.slots, "slot"))?;
    writeln!(output, "free         {free} ({}.{} % used)", permille / 10, permille % 10)?;
    writeln!(output, "created      {}", LocalTime::new().long(info.created))?;
    writeln!(output, "listed       {}", info.listed)?;
    writeln!(
        output,
        "lifted       {} (would be, but white networks or the never-list hold them)",
        info.lifted
    )?;
    writeln!(
        output,
        "below        {} (fewer rejections than the threshold, {})",
        info.below, policy.threshold
    )?;
    writeln!(output, "white        {}", info.white)?;
    writeln!(output, "expired      {}", info.expired)?;
    writeln!(output, "quarantined  {}", info.quarantined)?;
    writeln!(output, "serial       {}", table.serial())?;
    writeln!(
        output,
        "policy       each rejection lists for {}, at most {} in all (eximrbl policy tells all)",
        text::span(policy.base_ttl),
        text::span(policy.max_ttl)
    )?;
    writeln!(output, "reasons      {}", used(&names.reasons).join(", "))?;
    writeln!(output, "reporters    {}", used(&names.reporters).join(", "))?;
    writeln!(output, "entries by reporter (one may have several)")?;
    let live = info.listed + info.lifted + info.below + info.white;
    let width = names.reporters.iter().map(|(_, name)| name.len()).max().unwrap_or(0);
    for (name, entries) in by_reporter(table, &names) {
        let permille = u64::from(entries) * 1000 / live.max(1);
        writeln!(output, "  {name:width$}  {entries} ({}.{} %)", permille / 10, permille % 10)?;
    }
    writeln!(output, "counters")?;
    let counters = table.counters();
    let width = counters.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in counters.iter() {
        writeln!(output, "  {name:width$}  {value}")?;
    }
    Ok(Finding::Positive)
}
