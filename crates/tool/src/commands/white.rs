//! `eximrbl white`: whitelists by hand, and ends that.

use std::path::Path;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Network, WritableTable};

use super::Finding;
use super::change::{Change, TEST_ADDRESS, refuse_slip, refused};
use crate::failure::Failure;
use crate::output::Output;
use crate::standing::{Inquiry, Standing};

/// Whitelists for `seconds` (without end if there are none), or ends it if they are 0.
pub(super) fn run(
    path: &Path,
    asked: Network,
    seconds: Option<u32>,
    output: &mut Output,
) -> Result<Finding, Failure> {
    match seconds {
        // However wide it is: what is there can be ended.
        Some(0) => end(&WritableTable::open(path)?, asked, output),
        _ => {
            refuse_slip(asked, "whitelisted")?;
            begin(&WritableTable::open(path)?, asked, seconds, output)
        }
    }
}

fn begin(
    table: &WritableTable,
    asked: Network,
    seconds: Option<u32>,
    output: &mut Output,
) -> Result<Finding, Failure> {
    let now = eximrbl_table::now();
    if Inquiry::new(table, asked, now).standing == Standing::Test {
        let (subject, cause) = (asked.to_string(), TEST_ADDRESS.to_owned());
        return Err(Failure::Refused { subject, cause });
    }
    table.white(asked, seconds, ADMIN, now).map_err(|refusal| refused(table, asked, refusal))?;
    let change = Change { changed: true, done: "", addition: String::new(), unwanted: false };
    change.print(table, &Inquiry::new(table, asked, now), output)?;
    Ok(Finding::Positive)
}

fn end(table: &WritableTable, asked: Network, output: &mut Output) -> Result<Finding, Failure> {
    let now = eximrbl_table::now();
    let was_white = table.entry(asked, now).is_some_and(|entry| entry.white);
    if was_white {
        table
            .white(asked, Some(0), ADMIN, now)
            .map_err(|refusal| refused(table, asked, refusal))?;
    }
    let inquiry = Inquiry::new(table, asked, now);
    // White still, through a network around it.
    let unwanted = matches!(inquiry.standing, Standing::White { .. });
    let done = if was_white { "whitelisting ended; " } else { "was not whitelisted; " };
    let change = Change { changed: was_white, done, addition: String::new(), unwanted };
    change.print(table, &inquiry, output)?;
    Ok(Finding::of(was_white && !unwanted))
}
