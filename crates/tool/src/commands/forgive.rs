//! `eximrbl forgive`: ends a listing.

use std::path::Path;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Network, WritableTable};

use super::Finding;
use super::change::{Change, refused};
use crate::failure::Failure;
use crate::output::Output;
use crate::standing::Inquiry;

/// Forgets the rejections of exactly this address or network.
pub(super) fn run(path: &Path, asked: Network, output: &mut Output) -> Result<Finding, Failure> {
    let table = WritableTable::open(path)?;
    let now = eximrbl_table::now();
    let forgiven =
        table.forgive(asked, ADMIN, now).map_err(|refusal| refused(&table, asked, refusal))?;

    let inquiry = Inquiry::new(&table, asked, now);
    let done = if forgiven { "forgiven; " } else { "nothing to forgive; " };
    // Listed still, through a network; or nothing was done, since it is white.
    let still_listed = inquiry.standing.is_listed();
    let unwanted = still_listed || !forgiven;
    Change { changed: forgiven, done, addition: String::new(), unwanted }
        .print(&table, &inquiry, output)?;
    Ok(Finding::of(forgiven && !still_listed))
}
