//! `eximrbl purge`: undoes one reporter's work, or many listings at once.

use std::io::Write;
use std::path::Path;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Names, Purge, Purged, Refusal, Share, Subject, Table, WritableTable, now};

use super::Finding;
use super::change::is_too_wide;
use super::list::note_unknown;
use crate::arguments::Purge as Wanted;
use crate::failure::Failure;
use crate::json::PurgeObject;
use crate::output::Output;
use crate::text::counted;

/// Purges, or says what a purge would do.
pub(super) fn run(path: &Path, wanted: &Wanted, output: &mut Output) -> Result<Finding, Failure> {
    if wanted.dry_run {
        let table = Table::open(path)?;
        let purge = purge(&table, wanted);
        let purged = purge.map(|purge| table.would_purge(&purge, now())).unwrap_or_default();
        return print(wanted, &purged, output);
    }
    let table = WritableTable::open(path)?;
    let Some(purge) = purge(&table, wanted) else {
        return print(wanted, &Purged::default(), output);
    };
    if is_sweeping(&purge) && !wanted.yes {
        let purged = table.would_purge(&purge, now());
        return Err(Failure::Unconfirmed { count: ends(&purged) });
    }
    let purged = table.purge(&purge, now()).map_err(|refusal| refused(path, refusal))?;
    print(wanted, &purged, output)
}

/// What is asked for, in the table's terms. A name that the table does not know has done nothing.
fn purge(table: &Table, wanted: &Wanted) -> Option<Purge> {
    let bit = |name, names: &Names, what| {
        let bit = names.bit(eximrbl_table::Name::as_str(name));
        if bit.is_none() {
            note_unknown(name, names, what);
        }
        bit
    };
    let subject = if let Some(reporter) = &wanted.reporter {
        Subject::Share(Share::Reporter(bit(reporter, &table.reporters(), "reported by")?))
    } else if let Some(reason) = &wanted.reason {
        Subject::Share(Share::Reason(bit(reason, &table.reasons(), "recorded for")?))
    } else if wanted.white {
        Subject::Whitelistings
    } else {
        Subject::Listings
    };
    Some(Purge { subject, within: wanted.network })
}

/// Whether it takes more than a slip of the hand may.
fn is_sweeping(purge: &Purge) -> bool {
    match purge.subject {
        Subject::Share(share) => share == Share::Reporter(ADMIN),
        Subject::Listings | Subject::Whitelistings => purge.within.is_none_or(is_too_wide),
    }
}

fn refused(path: &Path, refusal: Refusal) -> Failure {
    let cause = format!("{refusal}; run the command again, to undo the rest");
    Failure::Interrupted { path: path.to_path_buf(), cause }
}

fn print(wanted: &Wanted, purged: &Purged, output: &mut Output) -> Result<Finding, Failure> {
    let finding = Finding::of(purged.total() > 0 && purged.left == 0);
    if output.json() {
        output.object(&PurgeObject::new(wanted, purged))?;
        return Ok(finding);
    }
    if purged.total() == 0 && purged.left == 0 {
        writeln!(output, "nothing to purge")?;
        return Ok(finding);
    }
    let whose = if wanted.reason.is_some() { "that reason" } else { "that reporter" };
    let would = if wanted.dry_run { "would be " } else { "" };
    writeln!(output, "{would}ended    {}", ends(purged))?;
    let entries = |number: u64, does: &str, do_: &str| {
        let (noun, verb) = if number == 1 { ("entry", does) } else { ("entries", do_) };
        format!(
            "{number} {noun} {}",
            if wanted.dry_run { format!("would {do_}") } else { verb.into() }
        )
    };
    if purged.reduced > 0 {
        let go_on = entries(purged.reduced, "goes on", "go on");
        writeln!(output, "{go_on} as if {whose} had never been")?;
    }
    if purged.kept > 0 {
        let go_on = entries(purged.kept, "goes on", "go on");
        writeln!(
            output,
            "{go_on} without {whose}, but with all of the count and life: how much of it was whose \
             is not known any more"
        )?;
    }
    if purged.left > 0 {
        let left = counted(purged.left, "change");
        writeln!(output, "{left} could not be made just now; run the command again")?;
    }
    Ok(finding)
}

/// `12 listings, 1 whitelisting`
fn ends(purged: &Purged) -> String {
    let listings = counted(purged.ended, "listing");
    match purged.white_ended {
        0 => listings,
        white => format!("{listings}, {}", counted(white, "whitelisting")),
    }
}
