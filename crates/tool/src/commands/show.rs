//! `eximrbl show`: is this address listed, and why or why not?

use std::io::Write;
use std::path::Path;

use eximrbl_table::{Entry, Table};
use serde::Serialize;

use super::Finding;
use crate::arguments::Show;
use crate::failure::Failure;
use crate::headline::{end, headline};
use crate::history::{self, History};
use crate::json::{Dictionaries, StandingObject};
use crate::output::Output;
use crate::standing::{Inquiry, Standing, listing_left};
use crate::text::{self, LocalTime};

/// Prints the standing of an address or network, and its history if that is wanted.
pub(super) fn run(path: &Path, show: &Show, output: &mut Output) -> Result<Finding, Failure> {
    let table = Table::open(path)?;
    let inquiry = Inquiry::new(&table, show.address, eximrbl_table::now());
    let names = Dictionaries::of(&table);
    let history = match show.history {
        true => Some(History::of(show.address, &show.trail, &table)?),
        false => None,
    };
    if output.json() {
        let standing = StandingObject::new(&inquiry, &names);
        output.object(&ShownObject { standing, history: history.as_ref() })?;
    } else {
        print(&inquiry, &names, output)?;
        if let Some(history) = &history {
            history::print(history, inquiry.key, output)?;
        }
    }
    Ok(Finding::of(inquiry.standing.is_listed()))
}

/// The standing, with the history if that is wanted.
#[derive(Serialize)]
struct ShownObject<'a> {
    #[serde(flatten)]
    standing: StandingObject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a History>,
}

/// The sentence, and under it the entries behind it.
fn print(inquiry: &Inquiry, names: &Dictionaries, output: &mut Output) -> Result<(), Failure> {
    let times = LocalTime::new();
    writeln!(output, "{}", headline(inquiry, &times))?;
    if let Some(entry) = inquiry.standing.entry() {
        print_listing(inquiry, entry, &times, output)?;
        print_entry(inquiry, entry, names, &times, output)?;
    }
    if let Standing::White { lifted: Some(entry), .. } = &inquiry.standing {
        writeln!(output, "Without that it would be judged by its own entry:")?;
        print_entry(inquiry, entry, names, &times, output)?;
    }
    if inquiry.asked.is_host() {
        writeln!(output, "  DNS name   {}.<zone>", text::dns_name(inquiry.asked.address()))?;
    }
    Ok(())
}

/// How long a listing goes on, and what that has to do with the entry's life.
fn print_listing(
    inquiry: &Inquiry,
    entry: &Entry,
    times: &LocalTime,
    output: &mut Output,
) -> Result<(), Failure> {
    let left = listing_left(entry, &inquiry.policy);
    if let Some(seconds) = left.filter(|_| inquiry.standing.is_listed()) {
        let until = times.long(inquiry.now.saturating_add(seconds));
        writeln!(output, "  listed     for {} more, until {until}", text::span(seconds))?;
        let floor = text::span(inquiry.policy.floor);
        writeln!(output, "             (with less than {floor} of life left it is over)")?;
    }
    Ok(())
}

fn print_entry(
    inquiry: &Inquiry,
    entry: &Entry,
    names: &Dictionaries,
    times: &LocalTime,
    output: &mut Output,
) -> Result<(), Failure> {
    writeln!(output, "  entry      {}", entry.network)?;
    let end = end(inquiry, entry, times);
    if entry.is_endless() {
        writeln!(output, "  life left  {end}")?;
    } else {
        writeln!(output, "  life left  {}, {end}", text::span(entry.remaining))?;
    }
    if !entry.white {
        writeln!(output, "  count      {}", text::counted(entry.count.into(), "rejection"))?;
        writeln!(output, "  reasons    {}", joined(names.reasons_of(entry)))?;
    }
    writeln!(output, "  reporters  {}", joined(names.reporters.of(entry.reporters)))?;
    writeln!(output, "  first      {}", times.long(entry.first))?;
    writeln!(output, "  last       {}", times.long(entry.last))?;
    Ok(())
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
