//! `eximrbl show`: is this address listed, and why or why not?

use std::io::Write;
use std::path::Path;

use eximrbl_table::{Entry, Network, Table};

use super::Finding;
use crate::failure::Failure;
use crate::headline::{end, headline};
use crate::json::{Dictionaries, StandingObject};
use crate::output::Output;
use crate::standing::{Inquiry, Standing, listing_left};
use crate::text::{self, LocalTime};

/// Prints the standing of an address or network.
pub(super) fn run(path: &Path, asked: Network, output: &mut Output) -> Result<Finding, Failure> {
    let table = Table::open(path)?;
    let inquiry = Inquiry::new(&table, asked, eximrbl_table::now());
    let names = Dictionaries::of(&table);
    if output.json() {
        output.object(&StandingObject::new(&inquiry, &names))?;
    } else {
        print(&inquiry, &names, output)?;
    }
    Ok(Finding::of(inquiry.standing.is_listed()))
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
