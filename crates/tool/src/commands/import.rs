//! `eximrbl import`: takes what others have written into the table.

mod rejectlog;

use std::path::Path;

use super::Finding;
use crate::arguments::Import;
use crate::failure::Failure;
use crate::output::Output;

/// Takes it in.
pub(super) fn run(path: &Path, import: &Import, output: &mut Output) -> Result<Finding, Failure> {
    debug_assert!(import.rejectlog.are_given(), "the command line asks for one of them");
    rejectlog::run(path, &import.rejectlog, import.reporter, output)
}
