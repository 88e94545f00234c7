//! The history as people read it: a line for each change, the newest last.

use std::io::Write;

use eximrbl_table::Network;

use super::History;
use super::change::{Change, EntryThen};
use crate::failure::Failure;
use crate::output::Output;
use crate::text::{LocalTime, counted, span};

/// Prints where the history is from, and the changes.
pub(crate) fn print(history: &History, key: Network, output: &mut Output) -> Result<(), Failure> {
    let times = LocalTime::new();
    match history.files.last() {
        Some(file) => {
            let older = match history.files.len() {
                1 => String::new(),
                files => format!(" and {}", counted(files as u64 - 1, "older file")),
            };
            writeln!(output, "History, from {}{older}:", file.display())?;
        }
        None => {
            writeln!(output, "History, from the last 65536 changes of the table alone:")?;
        }
    }
    for change in &history.changes {
        // Nothing that anybody has to know.
        if change.kind != "resumed" {
            let time = times.long(change.time_unix);
            writeln!(output, "  {time}  {}", sentence(change, key, &times))?;
        }
    }
    if history.changes.iter().all(|change| change.network.is_none()) {
        writeln!(output, "  nothing about this address")?;
    }
    if let Some(problem) = &history.problem {
        let what = if history.files.is_empty() { "there is no audit trail" } else { "not all" };
        writeln!(output, "  ({what}: {problem})")?;
    }
    if history.skipped > 0 {
        let lines = counted(history.skipped, "line");
        writeln!(output, "  ({lines} left out: damaged, or of another version of eximrbld)")?;
    }
    Ok(())
}

/// What happened, by whom, and what became of the entry.
fn sentence(change: &Change, key: Network, times: &LocalTime) -> String {
    let network = change.network.as_deref().unwrap_or_default();
    let through = if network.is_empty() || network == key.to_string() {
        String::new()
    } else {
        format!("{}: ", clean(network))
    };
    let by = change.who.as_deref().map_or(String::new(), |who| format!(" by {}", clean(who)));
    let reason = change.reason.as_deref();
    let reason = reason.map_or(String::new(), |reason| format!(" for {}", clean(reason)));
    let rejections = counted(change.weight.unwrap_or(0).into(), "rejection");
    let what = match change.kind.as_str() {
        "added" => format!("{rejections} reported{by}{reason}, the first"),
        "extended" => format!("{rejections} reported{by}{reason}"),
        "forgiven" => format!("forgiven{by}"),
        "whitened" => {
            let long =
                change.seconds.map_or("without end".to_owned(), |it| format!("for {}", span(it)));
            format!("whitelisted{by} {long}")
        }
        "white_ended" => format!("whitelisting ended{by}"),
        "reduced" => match &change.of {
            Some(of) => format!("what {} had reported was taken out{by}", clean(of)),
            None => format!("what was reported{reason} was taken out{by}"),
        },
        "evicted" => format!("gave its place to another entry, reported{by}"),
        "expired" => "ran out".to_owned(),
        "found" => "found in the table".to_owned(),
        "begun" => "the trail begins".to_owned(),
        "replaced" => format!("the table was replaced by another one{}", since(change, times)),
        "lost" => {
            let changes = counted(change.changes.unwrap_or(0), "change");
            format!("{changes} of the table missing here{}", since(change, times))
        }
        other => clean(other),
    };
    // Of what ended there is nothing more to say.
    let is_news = matches!(change.kind.as_str(), "added" | "extended" | "reduced" | "found");
    let entry = change.entry.as_ref().filter(|_| is_news);
    let found = change.kind == "found";
    let entry = entry.map_or(String::new(), |entry| state(entry, found, times));
    format!("{through}{what}{entry}")
}

/// From when on something is missing.
fn since(change: &Change, times: &LocalTime) -> String {
    let since = change.since_unix;
    since.map_or(String::new(), |since| format!(", made since {}", times.long(since)))
}

/// The entry, when the line was written.
fn state(entry: &EntryThen, with_marks: bool, times: &LocalTime) -> String {
    let until = match entry.until_unix {
        Some(until) => format!("life until {}", times.long(until)),
        None => "without end".to_owned(),
    };
    let marks = if with_marks {
        let (first, last) = (times.long(entry.first_unix), times.long(entry.last_unix));
        let names = |names: &[String]| clean(&names.join(", "));
        let (reasons, reporters) = (names(&entry.reasons), names(&entry.reporters));
        format!(", from {first} to {last}, for {reasons}, by {reporters}")
    } else {
        String::new()
    };
    match entry.white {
        true => format!(": white{marks}, {until}"),
        false => format!(": {} in all{marks}, {until}", entry.count),
    }
}

/// A text of the file, which gives the terminal no orders.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_ascii_graphic() || character == ' ' {
            true => clean.push(character),
            false => clean.extend(character.escape_default()),
        }
    }
    clean
}
