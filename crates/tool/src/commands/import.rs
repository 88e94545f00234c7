//! `eximrbl import`: takes what others have written into the table.

mod account;
mod lists;
mod progress;
mod rejectlog;
mod source;
mod taker;

use std::path::Path;

use super::Finding;
use crate::arguments::Import;
use crate::failure::Failure;
use crate::output::Output;

/// Takes it in.
pub(super) fn run(path: &Path, import: &Import, output: &mut Output) -> Result<Finding, Failure> {
    if import.rejectlog.are_given() {
        return rejectlog::run(path, &import.rejectlog, import.reporter, output);
    }
    lists::run(path, import, output)
}
