//! `eximrbl completions` and `eximrbl man`: what the command line's definition yields besides.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use super::Finding;
use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::Output;

/// Prints a shell's completion script.
pub(super) fn completions(shell: Shell, output: &mut Output) -> Result<Finding, Failure> {
    // By way of a buffer, since the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "eximrbl", &mut script);
    output.write_all(&script)?;
    Ok(Finding::Positive)
}

/// Prints the main man page, or writes one for each command into a directory.
pub(super) fn man(directory: Option<&Path>, output: &mut Output) -> Result<Finding, Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(directory) = directory else {
        output.write_all(&page(&command)?)?;
        return Ok(Finding::Positive);
    };
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let path = directory.join(file_name(command));
        page(command)
            .and_then(|page| fs::write(&path, page))
            .map_err(|source| Failure::Man { path: path.clone(), source })?;
        writeln!(output, "{}", path.display())?;
    }
    Ok(Finding::Positive)
}

/// Of the manual's section for system administration: `eximrbl-show.8`.
fn file_name(command: &clap::Command) -> String {
    format!("{}.8", command.get_display_name().unwrap_or(command.get_name()))
}

/// One man page. What follows the options in the help is split into sections at its headings.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .section("8")
        .source(concat!("eximrbl ", env!("CARGO_PKG_VERSION")))
        .manual("Mail server administration");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_long_help() {
        page.extend_from_slice(sections(&help.to_string()).as_bytes());
    }
    Ok(page)
}

/// Turns help text into roff: a line such as `Examples:` heads a section; the rest stands as it is,
/// its lines and columns kept.
fn sections(help: &str) -> String {
    let mut roff = String::new();
    let mut open = false;
    for (number, paragraph) in help.split("\n\n").enumerate() {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        let is_heading = rest.starts_with("  ") && first.ends_with(':') && !first.contains(", ");
        if open {
            roff.push_str(".fi\n");
        }
        match (is_heading, number) {
            (true, _) => roff.push_str(&format!(
                ".SH \"{}\"\n",
                escaped(&first[..first.len() - 1]).to_uppercase()
            )),
            (false, 0) => roff.push_str(".SH NOTES\n"),
            (false, _) => roff.push_str(".PP\n"),
        }
        roff.push_str(".nf\n");
        open = true;
        let body = if is_heading { rest } else { paragraph };
        for line in body.lines() {
            // `\&` keeps a leading dot or quote from being read as a request.
            roff.push_str("\\&");
            roff.push_str(&escaped(line));
            roff.push('\n');
        }
    }
    if open {
        roff.push_str(".fi\n");
    }
    roff
}

/// Roff's own characters as plain text; hyphens that can be copied into a shell.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq")
        .replace('\'', "\\(aq")
        .replace('`', "\\(ga")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_become_sections_and_text_is_kept() {
        let roff =
            sections("Some words.\n\nExamples:\n  eximrbl a | b\n  .x 'y'\n\nJSON: as before, and");
        assert_eq!(
            roff,
            ".SH NOTES\n.nf\n\\&Some words.\n.fi\n.SH \"EXAMPLES\"\n.nf\n\\&  eximrbl a | b\n\
             \\&  .x \\(aqy\\(aq\n.fi\n.PP\n.nf\n\\&JSON: as before, and\n.fi\n"
        );
    }
}
