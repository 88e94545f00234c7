//! `eximrbl list`: the entries, printed as they are read.
//!
//! Nothing is collected, so a table of any size takes the same memory. The dictionaries are read
//! once at the start; a name that was entered meanwhile is printed as `unknown`, and by itself the next
//! time.

use std::io::Write;
use std::path::Path;

use eximrbl_table::{Entry, Name, Names, Policy, Table, UnixSeconds};

use super::Finding;
use crate::arguments::List;
use crate::failure::Failure;
use crate::json::{Dictionaries, EntryObject, used};
use crate::output::Output;
use crate::standing::EntryState;
use crate::text::{self, LocalTime};

/// Prints the entries that are asked for.
pub(super) fn run(path: &Path, list: &List, output: &mut Output) -> Result<Finding, Failure> {
    let table = Table::open(path)?;
    let names = Dictionaries::of(&table);
    let selection = Selection {
        list,
        reasons: bits(&list.reasons, &names.reasons, "recorded for"),
        reporters: bits(&list.reporters, &names.reporters, "reported by"),
        policy: table.policy(),
        now: eximrbl_table::now(),
    };
    let times = LocalTime::new();
    if !output.json() && !list.no_header {
        print_header(output)?;
    }
    for entry in table.entries(selection.now) {
        let Some(state) = selection.takes(&table, &entry) else {
            continue;
        };
        if output.json() {
            let (policy, now) = (&selection.policy, selection.now);
            output.object(&EntryObject::in_list(&entry, state, &names, policy, now))?;
        } else {
            print_row(&entry, state, &names, &times, output)?;
        }
    }
    Ok(Finding::Positive)
}

/// Which entries are asked for.
struct Selection<'a> {
    list: &'a List,
    /// At least one of these reasons; `None` takes all.
    reasons: Option<u64>,
    /// At least one of these reporters; `None` takes all.
    reporters: Option<u64>,
    policy: Policy,
    now: UnixSeconds,
}

impl Selection<'_> {
    /// The state of an entry that is asked for; the cheap questions come first.
    fn takes(&self, table: &Table, entry: &Entry) -> Option<EntryState> {
        if self.list.within.is_some_and(|within| !within.contains(entry.network)) {
            return None;
        }
        let given = |bits| !entry.white && entry.reasons & bits != 0;
        let by = |bits| entry.reporters & bits != 0;
        if !self.reasons.is_none_or(given) || !self.reporters.is_none_or(by) {
            return None;
        }
        if self.list.white && !entry.white {
            return None;
        }
        let state = EntryState::of(table, entry, self.now);
        (self.list.all || self.list.white || state == EntryState::Listed).then_some(state)
    }
}

/// The bits of the names that are asked for. One that the table does not know has no entries,
/// which is an answer, not an error; but it may be a slip, so it is told.
fn bits(wanted: &[Name], names: &Names, what: &str) -> Option<u64> {
    if wanted.is_empty() {
        return None;
    }
    let bit = |name: &Name| match names.bit(name.as_str()) {
        Some(bit) => 1 << bit,
        None => {
            note_unknown(name, names, what);
            0
        }
    };
    Some(wanted.iter().fold(0, |bits, name| bits | bit(name)))
}

/// Says on standard error that the table does not know a name.
pub(super) fn note_unknown(name: &Name, names: &Names, what: &str) {
    let known = used(names).join(", ");
    eprintln!("eximrbl: note: nothing was {what} {name} yet; known: {known}");
}

fn print_header(output: &mut Output) -> Result<(), Failure> {
    let (network, state, count, left, last) = ("NETWORK", "STATE", "COUNT", "LEFT", "LAST-SEEN");
    Ok(writeln!(
        output,
        "{network:22} {state:6} {count:>6} {left:>10} {last:25} REASONS REPORTERS"
    )?)
}

/// One line; a column that is too wide pushes the rest aside, for none is cut.
fn print_row(
    entry: &Entry,
    state: EntryState,
    names: &Dictionaries,
    times: &LocalTime,
    output: &mut Output,
) -> Result<(), Failure> {
    // Formatted here, since padding does not apply to a Display that ignores it.
    let network = entry.network.to_string();
    let state = state.word();
    let count = entry.count;
    let left =
        if entry.is_endless() { "endless".to_owned() } else { text::short_span(entry.remaining) };
    let last = times.short(entry.last);
    write!(output, "{network:22} {state:6} {count:>6} {left:>10} {last:25}")?;
    print_names(names.reasons_of(entry), output)?;
    print_names(names.reporters.of(entry.reporters), output)?;
    Ok(writeln!(output)?)
}

/// A space and the names with commas between them, or `-`.
fn print_names<'a>(
    names: impl Iterator<Item = &'a str>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut separator = " ";
    for name in names {
        write!(output, "{separator}{name}")?;
        separator = ",";
    }
    if separator == " " {
        write!(output, " -")?;
    }
    Ok(())
}
