//! `eximrbl`: looks into the shared table of rejected clients, and changes it by hand.
//!
//! The command line is defined once, in [`arguments`]; help, man pages and completions come from
//! there. Each command is a file in [`commands`]. What a client's standing is, and why, is found in
//! [`standing`], and told in [`headline`] to people and in [`json`] to programs.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod commands;
mod failure;
mod headline;
mod help;
mod history;
mod json;
mod output;
mod standing;
mod text;

use arguments::Arguments;
use commands::Finding;
use output::Output;

/// Exit status for an answer in the negative, as in grep: not listed, harmful findings.
const NEGATIVE: u8 = 1;
/// Exit status when the command could not be carried out; clap's for a wrong command line, too.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut output = Output::new(arguments.json);
    let result = commands::run(&arguments, &mut output);
    // Also after a failure: what was found before it is worth seeing.
    let flushed = output.finish();
    match result.and_then(|finding| flushed.map(|()| finding)) {
        Ok(Finding::Positive) => ExitCode::SUCCESS,
        Ok(Finding::Negative) => ExitCode::from(NEGATIVE),
        // The reader has seen enough (`eximrbl list | head`): nothing went wrong.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("eximrbl: {failure}");
            ExitCode::from(FAILED)
        }
    }
}
