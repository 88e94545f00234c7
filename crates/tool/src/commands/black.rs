//! `eximrbl black`: records rejections by hand.

use std::path::Path;

use eximrbl_table::dictionary::{ADMIN, OTHER};
use eximrbl_table::{Report, WritableTable};

use super::Finding;
use super::change::{Change, refuse_slip, refused};
use crate::arguments::Black;
use crate::failure::Failure;
use crate::json::used;
use crate::output::Output;
use crate::standing::{Inquiry, Standing};
use crate::text::{counted, span};

/// Records, and tells what has become of the address.
pub(super) fn run(path: &Path, black: &Black, output: &mut Output) -> Result<Finding, Failure> {
    let asked = black.address;
    refuse_slip(asked, "listed")?;
    let table = WritableTable::open(path)?;
    let report = Report {
        network: asked,
        reason: reason(&table, black)?,
        reporter: ADMIN,
        weight: black.weight,
        seconds: None,
    };
    let now = eximrbl_table::now();
    let recorded =
        if black.endless { table.record_endless(&report, now) } else { table.record(&report, now) };
    recorded.map_err(|refusal| refused(&table, asked, refusal))?;

    let inquiry = Inquiry::new(&table, asked, now);
    let (done, addition) = match &inquiry.standing {
        Standing::Listed(entry) if entry.is_endless() => ("", " without end".to_owned()),
        Standing::Listed(entry) => {
            let rejections = counted(entry.count.into(), "rejection");
            ("", format!(": {rejections}, {} of life left", span(entry.remaining)))
        }
        _ => ("recorded, but ", String::new()),
    };
    Change { changed: true, done, addition, unwanted: false }.print(&table, &inquiry, output)?;
    Ok(Finding::Positive)
}

/// The bit of the reason, which must not silently become another when there is no room.
fn reason(table: &WritableTable, black: &Black) -> Result<u8, Failure> {
    let name = black.reason.as_str();
    let bit = table.reason(black.reason, true);
    if table.reasons().bit(name) == Some(bit) || name == OTHER {
        return Ok(bit);
    }
    let known = used(&table.reasons()).join(", ");
    Err(Failure::Refused {
        subject: black.address.to_string(),
        cause: format!("there is no room for another reason, \"{name}\"; use one of: {known}"),
    })
}
