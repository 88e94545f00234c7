//! `eximrbl verify`: checks the table's invariants, and mends what can be mended beside writers.

use std::io::Write;
use std::path::Path;

use eximrbl_table::{Finding as Flaw, Repair, Table, WritableTable, now};
use serde::Serialize;

use super::Finding;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::counted;

/// Prints what is wrong with the table; if asked to repair, what was mended and what is left.
pub(super) fn run(path: &Path, repair: bool, output: &mut Output) -> Result<Finding, Failure> {
    let (mended, flaws) = if repair {
        let Repair { mended, left } = WritableTable::open(path)?.repair(now());
        (Some(mended), left)
    } else {
        (None, Table::open(path)?.verify_at(now()))
    };
    let sound = !flaws.iter().any(|flaw| flaw.harmful);
    if output.json() {
        let findings = flaws.iter().map(FindingObject::from).collect();
        output.object(&VerifyObject { sound, mended: mended.as_deref(), findings })?;
    } else {
        print(path, mended.as_deref(), &flaws, output)?;
    }
    Ok(Finding::of(sound))
}

fn print(
    path: &Path,
    mended: Option<&[String]>,
    flaws: &[Flaw],
    output: &mut Output,
) -> Result<(), Failure> {
    // Words of a damaged file must not reach the terminal as they are.
    for text in mended.unwrap_or_default() {
        writeln!(output, "mended: {}", text.escape_debug())?;
    }
    for flaw in flaws {
        let kind = if flaw.harmful { "harmful" } else { "harmless" };
        writeln!(output, "{kind}: {}", flaw.text.escape_debug())?;
    }
    let path = path.display();
    let harmful = flaws.iter().filter(|flaw| flaw.harmful).count();
    let repairable = flaws.iter().filter(|flaw| flaw.harmful && flaw.repairable).count();
    let found = counted(harmful as u64, "harmful finding");
    if harmful == 0 {
        writeln!(output, "{path}: sound")?;
    } else if mended.is_none() && repairable > 0 {
        let reach = if repairable < harmful { "; of these " } else { "; " };
        writeln!(output, "{path}: {found}{reach}eximrbl verify --repair mends {repairable}")?;
    } else {
        writeln!(
            output,
            "{path}: {found}; unless one says otherwise, stop eximrbld and Exim, move the file \
             away, and start them again"
        )?;
    }
    Ok(())
}

/// The JSON form of the whole.
#[derive(Serialize)]
struct VerifyObject<'a> {
    sound: bool,
    mended: Option<&'a [String]>,
    findings: Vec<FindingObject<'a>>,
}

/// The JSON form of one finding.
#[derive(Serialize)]
struct FindingObject<'a> {
    harmful: bool,
    repairable: bool,
    text: &'a str,
}

impl<'a> From<&'a Flaw> for FindingObject<'a> {
    fn from(flaw: &'a Flaw) -> Self {
        Self { harmful: flaw.harmful, repairable: flaw.repairable, text: &flaw.text }
    }
}
