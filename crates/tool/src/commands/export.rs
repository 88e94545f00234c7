//! `eximrbl export`: writes the table as a list for other programs.
//!
//! CSV and JSON lines hold the entries as they are, and are written as they are read. All other
//! forms say who is listed: they are made from a picture of the whole table, in which white networks
//! and the never-list have been cut out ([`eximrbl_exchange::Shape`]).

mod complete;
mod picture;
mod served;
mod sink;
mod view;

use std::path::Path;

use eximrbl_exchange::Format;
use eximrbl_table::Table;
use serde::Serialize;

use super::Finding;
use crate::arguments::{Export, Target};
use crate::failure::Failure;
use crate::output::Output;
use crate::text;
use picture::Picture;
use sink::Sink;
use view::View;

/// What was written, and what could not be said.
#[derive(Debug, Default, Serialize)]
struct Summary {
    format: &'static str,
    output: Option<String>,
    /// Entries that were written.
    entries: u64,
    /// Entries that list nobody, for a white network or the never-list covers them.
    lifted: u64,
    /// Entries of the address family that the format has not.
    other_family: u64,
    /// What the format cannot say.
    notes: Vec<String>,
}

/// Writes it.
pub(super) fn run(path: &Path, export: &Export, output: &mut Output) -> Result<Finding, Failure> {
    let target = target(export)?;
    let view = View::new(export, target)?;
    let table = Table::open(path)?;
    let mut sink = Sink::new(export.output.as_deref(), output)?;
    let mut summary = Summary { format: target.name(), ..Summary::default() };
    let written = match target {
        Target::Both(Format::Csv) => complete::csv(&table, export, &mut sink, &mut summary),
        Target::Both(Format::Json) => complete::json(&table, export, &mut sink, &mut summary),
        _ => {
            let picture = Picture::new(&table, &view, export);
            served::write(target, &picture, export.mapped, &mut sink, &mut summary)
        }
    };
    written.map_err(|error| sink.failure(error))?;
    sink.finish()?;
    for note in &summary.notes {
        eprintln!("eximrbl: note: {note}");
    }
    if let Some(file) = &export.output {
        summary.output = Some(file.display().to_string());
        print(&summary, output)?;
    }
    Ok(Finding::Positive)
}

/// The format that is asked for, or that the file's name tells.
fn target(export: &Export) -> Result<Target, Failure> {
    let by_name = || {
        let name = export.output.as_deref()?;
        let ending = name.extension().and_then(|ending| ending.to_str());
        match ending {
            Some("gz") => None,
            Some("zone") => Some(Target::Bind),
            Some("nft") => Some(Target::Nftables),
            _ => eximrbl_exchange::by_name(name).map(Target::Both),
        }
    };
    let target = export.format.or_else(by_name).unwrap_or(Target::Both(Format::Json));
    if target == Target::Bind && export.zone.is_none() {
        let problem = "a zone file needs the zone's name: --zone rbl.example.org";
        return Err(Failure::Export(problem.to_owned()));
    }
    if matches!(target, Target::Both(Format::Csv | Format::Json)) && export.zone.is_some() {
        let problem = "csv and json hold the entries themselves, whatever zones make of them: \
                       leave --zone out";
        return Err(Failure::Export(problem.to_owned()));
    }
    Ok(target)
}

fn print(summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    use std::io::Write;
    if output.json() {
        return output.object(summary);
    }
    let Summary { format, entries, lifted, other_family, .. } = summary;
    let file = summary.output.as_deref().unwrap_or_default();
    write!(output, "{file}: {} as {format}", text::entries(*entries))?;
    for (number, what) in [
        (*lifted, "lifted by white or never-listed networks"),
        (*other_family, "of the other address family left out"),
    ] {
        if number > 0 {
            write!(output, ", {number} {what}")?;
        }
    }
    Ok(writeln!(output)?)
}
