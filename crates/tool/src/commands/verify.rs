//! `eximrbl verify`: checks the table's invariants.

use std::io::Write;
use std::path::Path;

use eximrbl_table::Table;
use serde::Serialize;

use super::Finding;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::counted;

/// Prints what is wrong with the table.
pub(super) fn run(path: &Path, output: &mut Output) -> Result<Finding, Failure> {
    let findings = Table::open(path)?.verify();
    let harmful = findings.iter().filter(|finding| finding.harmful).count();
    if output.json() {
        let findings = findings
            .iter()
            .map(|finding| FindingObject { harmful: finding.harmful, text: &finding.text })
            .collect();
        output.object(&VerifyObject { sound: harmful == 0, findings })?;
        return Ok(Finding::of(harmful == 0));
    }
    for finding in &findings {
        let kind = if finding.harmful { "harmful" } else { "harmless" };
        // Words of a damaged file must not reach the terminal as they are.
        writeln!(output, "{kind}: {}", finding.text.escape_debug())?;
    }
    let path = path.display();
    if harmful > 0 {
        let found = counted(harmful as u64, "harmful finding");
        writeln!(
            output,
            "{path}: {found}; unless one says otherwise, stop eximrbld and Exim, move the file \
             away, and start them again"
        )?;
    } else {
        writeln!(output, "{path}: sound")?;
    }
    Ok(Finding::of(harmful == 0))
}

/// The JSON form of the whole.
#[derive(Serialize)]
struct VerifyObject<'a> {
    sound: bool,
    findings: Vec<FindingObject<'a>>,
}

/// The JSON form of one finding.
#[derive(Serialize)]
struct FindingObject<'a> {
    harmful: bool,
    text: &'a str,
}
