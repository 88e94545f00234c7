//! CSV (RFC 4180): entries with all that is known of them, in columns that the first line names.
//!
//! Only `network` must be there; the others may be left out, in any order, and what is not known
//! here is passed over. Names are separated by spaces, an empty field says nothing.

use std::io::{self, Write};

use csv_core::{ReadRecordResult, Reader};
use eximrbl_table::{Entry, Name, Names, UnixSeconds};
use jiff::Timestamp;

use crate::plain;
use crate::row::{Life, LineError, Row};
use crate::time::read_time;

/// What is written above the rows.
pub const HEADER: &str = "network,white,count,endless,until,first,last,reasons,reporters";

/// What a column is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Network,
    White,
    Count,
    Endless,
    Remaining,
    Until,
    First,
    Last,
    Reasons,
    Reporters,
    Unknown,
}

impl Column {
    fn named(name: &[u8]) -> Self {
        match name.trim_ascii() {
            b"network" => Self::Network,
            b"white" => Self::White,
            b"count" => Self::Count,
            b"endless" => Self::Endless,
            b"remaining" => Self::Remaining,
            b"until" | b"until_unix" => Self::Until,
            b"first" | b"first_unix" => Self::First,
            b"last" | b"last_unix" => Self::Last,
            b"reasons" => Self::Reasons,
            b"reporters" => Self::Reporters,
            _ => Self::Unknown,
        }
    }
}

/// Reads rows, after the line that names the columns.
#[derive(Debug)]
pub(crate) struct Records {
    columns: Vec<Column>,
    /// The fields of a record, one behind the other, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Made once: its table of states costs more than a record.
    splitter: Reader,
}

impl Records {
    pub(crate) fn new() -> Self {
        Self {
            columns: Vec::new(),
            fields: Vec::new(),
            ends: vec![0; 256],
            splitter: Reader::new(),
        }
    }

    /// Reads a line; `None` if it is empty, or names the columns.
    pub(crate) fn read(&mut self, line: &[u8], now: UnixSeconds) -> Result<Option<Row>, LineError> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        let count = self.split(line)?;
        if self.columns.is_empty() {
            // A byte-order mark, as spreadsheets write it.
            let name =
                |field: &[u8]| Column::named(field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field));
            let columns: Vec<_> = (0..count).map(|index| name(self.field(index))).collect();
            if !columns.contains(&Column::Network) {
                return Err(LineError::Header);
            }
            self.columns = columns;
            return Ok(None);
        }
        if count != self.columns.len() {
            return Err(LineError::Fields);
        }
        self.row(now).map(Some)
    }

    /// Takes a record apart; yields how many fields it has.
    fn split(&mut self, line: &[u8]) -> Result<usize, LineError> {
        self.fields.resize(line.len() + 1, 0);
        let reader = &mut self.splitter;
        reader.reset();
        let (result, read, written, count) =
            reader.read_record(line, &mut self.fields, &mut self.ends);
        let (mut at, mut total) = (written, count);
        let mut result = result;
        if result == ReadRecordResult::InputEmpty {
            // The end of the line is the end of the record.
            let (ended, _, written, count) =
                reader.read_record(&[], &mut self.fields[at..], &mut self.ends[total..]);
            (result, at, total) = (ended, at + written, total + count);
        }
        self.fields.truncate(at);
        match result {
            ReadRecordResult::Record if read == line.len() => Ok(total),
            _ => Err(LineError::Fields),
        }
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.fields[start..self.ends[index]]
    }

    fn row(&self, now: UnixSeconds) -> Result<Row, LineError> {
        let mut row = None;
        let (mut endless, mut until, mut remaining) = (false, None, None);
        let (mut white, mut count, mut first, mut last) = (false, None, None, None);
        let (mut reasons, mut reporters) = (None, None);
        for (index, column) in self.columns.iter().enumerate() {
            let field = self.field(index).trim_ascii();
            if field.is_empty() && *column != Column::Network {
                continue;
            }
            match column {
                Column::Network => row = Some(Row::bare(plain::span(field)?)),
                Column::White => white = truth("white", field)?,
                Column::Endless => endless = truth("endless", field)?,
                Column::Count => count = Some(number("count", field)?),
                Column::Remaining => remaining = Some(number("remaining", field)?),
                Column::Until => until = Some(time("until", field)?),
                Column::First => first = Some(time("first", field)?),
                Column::Last => last = Some(time("last", field)?),
                Column::Reasons => reasons = Some(names("reasons", field)?),
                Column::Reporters => reporters = Some(names("reporters", field)?),
                Column::Unknown => {}
            }
        }
        let until = until.or(remaining.map(|seconds| now.saturating_add(seconds)));
        let life = match until {
            _ if endless => Life::Endless,
            Some(until) => Life::Until(until),
            None => Life::Unsaid,
        };
        let row = row.ok_or(LineError::Header)?;
        Ok(Row { white, count, life, first, last, reasons, reporters, ..row })
    }
}

fn text(field: &[u8]) -> &str {
    std::str::from_utf8(field).unwrap_or("")
}

fn truth(field: &'static str, value: &[u8]) -> Result<bool, LineError> {
    match value {
        b"true" | b"1" | b"yes" => Ok(true),
        b"false" | b"0" | b"no" => Ok(false),
        _ => Err(LineError::Field { field, wanted: "true or false" }),
    }
}

fn number(field: &'static str, value: &[u8]) -> Result<u32, LineError> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let number = text(value).parse().ok().filter(|_| digits);
    number.ok_or(LineError::Field { field, wanted: "a whole number up to 4294967295" })
}

fn time(field: &'static str, value: &[u8]) -> Result<UnixSeconds, LineError> {
    let wrong = LineError::Field { field, wanted: "a time such as 2026-11-22T05:43:10Z" };
    read_time(text(value)).ok_or(wrong)
}

fn names(field: &'static str, value: &[u8]) -> Result<Vec<Name>, LineError> {
    let wrong =
        || LineError::Field { field, wanted: "names of a-z, 0-9 and -, with spaces between" };
    let words = value.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    words.map(|word| Name::new(word).ok_or_else(wrong)).collect()
}

/// Writes an entry's row.
///
/// # Errors
///
/// What `to` says.
pub fn write_row(
    to: &mut impl Write,
    entry: &Entry,
    reasons: &Names,
    reporters: &Names,
    now: UnixSeconds,
) -> io::Result<()> {
    let endless = entry.is_endless();
    write!(to, "{},{},{},{endless},", entry.network, entry.white, entry.count)?;
    if !endless {
        write!(to, "{}", timestamp(now.saturating_add(entry.remaining)))?;
    }
    write!(to, ",{},{},", timestamp(entry.first), timestamp(entry.last))?;
    write_names(to, reasons.of(entry.reasons))?;
    to.write_all(b",")?;
    write_names(to, reporters.of(entry.reporters))?;
    to.write_all(b"\n")
}

fn write_names<'a>(to: &mut impl Write, names: impl Iterator<Item = &'a str>) -> io::Result<()> {
    for (index, name) in names.enumerate() {
        write!(to, "{}{name}", if index == 0 { "" } else { " " })?;
    }
    Ok(())
}

/// Every 32-bit time lies within jiff's range, so the default (the epoch) is never taken.
fn timestamp(time: UnixSeconds) -> Timestamp {
    Timestamp::from_second(i64::from(time)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW: UnixSeconds = 1_795_326_190;

    fn rows(text: &str) -> Vec<Result<Row, LineError>> {
        let mut records = Records::new();
        text.lines().filter_map(|line| records.read(line.as_bytes(), NOW).transpose()).collect()
    }

    #[test]
    fn columns_come_in_any_order_and_may_be_left_out() {
        let text = "\u{feff}count,\"network\",colour,reasons\n3,192.0.2.1,red,\"auth  rcpt\"\n\
                    \n,192.0.2.0/24,,\n";
        let read = rows(text);
        let first = read[0].as_ref().unwrap();
        assert_eq!(first.count, Some(3));
        assert_eq!(first.reasons.as_ref().unwrap().len(), 2);
        assert_eq!(*read[1].as_ref().unwrap(), Row::bare(plain::span(b"192.0.2.0/24").unwrap()));
    }

    #[test]
    fn refuses_the_rest() {
        let head = format!("{HEADER}\n");
        for (line, expected) in [
            ("192.0.2.1,false,1,false,,,,", LineError::Fields),
            ("192.0.2.1,false,1,false,,,,,,", LineError::Fields),
            (
                "192.0.2.1,perhaps,1,,,,,,",
                LineError::Field { field: "white", wanted: "true or false" },
            ),
        ] {
            let read = rows(&format!("{head}{line}\n192.0.2.2,,,,,,,,\n"));
            assert_eq!(read[0], Err(expected), "{line}");
            assert!(read[1].is_ok());
        }
        for line in [
            ",,,,,,,,",
            "x,,,,,,,,",
            "192.0.2.1,,-1,,,,,,",
            "192.0.2.1,,1,,soon,,,,",
            "\"192.0.2.1,,,,,,,,",
            "192.0.2.1,,,,,,,A,",
            "192.0.2.1,,,,,\u{e9},,,",
        ] {
            assert!(rows(&format!("{head}{line}"))[0].is_err(), "{line}");
        }
        assert_eq!(
            rows("192.0.2.1\n192.0.2.2\n"),
            [Err(LineError::Header), Err(LineError::Header)]
        );
        let many = vec!["x"; 300].join(",");
        assert_eq!(rows(&many), [Err(LineError::Fields)]);
    }
}
