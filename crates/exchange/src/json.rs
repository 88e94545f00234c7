//! JSON lines, as `eximrbl list --json` and `eximrbl export` print them.
//!
//! Only `network` must be there. Of `until_unix`, `until` and `remaining` the first one that is
//! there counts; a key that is not known here is passed over, for there are more in what `list` prints.

use std::borrow::Cow;
use std::fmt;

use eximrbl_table::{Name, UnixSeconds};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::plain;
use crate::row::{Life, LineError, Row};
use crate::time::read_time;

/// The keys that count.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    network: Cow<'a, str>,
    white: Option<bool>,
    count: Option<u32>,
    endless: Option<bool>,
    remaining: Option<u32>,
    #[serde(borrow)]
    until: Option<Cow<'a, str>>,
    until_unix: Option<UnixSeconds>,
    #[serde(borrow)]
    first: Option<Cow<'a, str>>,
    first_unix: Option<UnixSeconds>,
    #[serde(borrow)]
    last: Option<Cow<'a, str>>,
    last_unix: Option<UnixSeconds>,
    reasons: Option<Vec<ReadName>>,
    reporters: Option<Vec<ReadName>>,
}

/// A reason's or reporter's name.
struct ReadName(Name);

impl<'de> Deserialize<'de> for ReadName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl Visitor<'_> for Names {
            type Value = ReadName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("1 to 32 characters from a-z, 0-9 and -")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ReadName, E> {
                let name = Name::new(text.as_bytes()).map(ReadName);
                name.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Names)
    }
}

/// Reads a line; `None` if it is empty. What remains counts from `now` on.
pub(crate) fn read(line: &[u8], now: UnixSeconds) -> Result<Option<Row>, LineError> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let object: Object<'_> = serde_json::from_slice(line)
        .map_err(|error| LineError::Json { problem: problem(&error) })?;
    let life = if object.endless == Some(true) {
        Life::Endless
    } else if let Some(until) = time("until", object.until_unix, object.until.as_deref())? {
        Life::Until(until)
    } else if let Some(remaining) = object.remaining {
        Life::Until(now.saturating_add(remaining))
    } else {
        Life::Unsaid
    };
    let names = |names: Option<Vec<ReadName>>| {
        names.map(|names| names.into_iter().map(|ReadName(name)| name).collect())
    };
    Ok(Some(Row {
        white: object.white.unwrap_or(false),
        count: object.count,
        life,
        first: time("first", object.first_unix, object.first.as_deref())?,
        last: time("last", object.last_unix, object.last.as_deref())?,
        reasons: names(object.reasons),
        reporters: names(object.reporters),
        ..Row::bare(plain::span(object.network.as_bytes())?)
    }))
}

/// A time in one form or the other.
fn time(
    field: &'static str,
    unix: Option<UnixSeconds>,
    text: Option<&str>,
) -> Result<Option<UnixSeconds>, LineError> {
    match (unix, text) {
        (Some(unix), _) => Ok(Some(unix)),
        (None, None) => Ok(None),
        (None, Some(text)) => {
            let wrong = LineError::Field { field, wanted: "a time such as 2026-11-22T05:43:10Z" };
            read_time(text).map(Some).ok_or(wrong)
        }
    }
}

/// What the parser says, without the line's number, which is always 1.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let cause = text.strip_suffix(&place).unwrap_or(&text);
    let cause: String = cause.chars().flat_map(char::escape_debug).take(200).collect();
    format!("{cause} (column {})", error.column())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOW: UnixSeconds = 1_795_326_190;

    #[test]
    fn reads_all_that_is_known() {
        let line = br#"{"network":"192.0.2.0/24","state":"listed","white":false,"count":7,
            "endless":false,"remaining":5,"until":"2026-11-22T05:44:00Z","until_unix":1795326240,
            "first_unix":1795320000,"last":"2026-11-22T05:43:00Z","reasons":["auth","r-2"],
            "reporters":[]}"#;
        let row = read(line, NOW).unwrap().unwrap();
        assert_eq!((row.count, row.life), (Some(7), Life::Until(1_795_326_240)));
        assert_eq!((row.first, row.last), (Some(1_795_320_000), Some(1_795_326_180)));
        let names: Vec<_> = row.reasons.iter().flatten().map(Name::as_str).collect();
        assert_eq!(names, ["auth", "r-2"]);
        assert_eq!(row.reporters, Some(vec![]));
    }

    #[test]
    fn a_network_alone_will_do() {
        let row = read(br#"{"network": "2001:db8::\u0031"}"#, NOW).unwrap().unwrap();
        assert_eq!(row, Row::bare(plain::span(b"2001:db8::1").unwrap()));
        let row = read(br#"{"network":"192.0.2.1","remaining":60,"white":true}"#, NOW).unwrap();
        assert_eq!(row.unwrap().life, Life::Until(NOW + 60));
        let row = read(br#"{"network":"192.0.2.1","endless":true,"until":null}"#, NOW).unwrap();
        assert_eq!(row.unwrap().life, Life::Endless);
        assert_eq!(read(b"  ", NOW), Ok(None));
    }

    /// Caught: a name with a capital that is taken.
    #[test]
    fn refuses_the_rest() {
        for line in [
            "[",
            "{}",
            "5",
            r#"{"network":"x"}"#,
            r#"{"network":"192.0.2.1","count":-1}"#,
            r#"{"network":"192.0.2.1","count":4294967296}"#,
            r#"{"network":"192.0.2.1","reasons":["No"]}"#,
            r#"{"network":"192.0.2.1","until":"soon"}"#,
            r#"{"network":"192.0.2.1"} {}"#,
            r#"{"network":"192.0.2.1","network":"192.0.2.2"}"#,
            "{\"network\":\"\u{0}\"}",
        ] {
            let error = read(line.as_bytes(), NOW).unwrap_err().to_string();
            assert!(!error.contains("line 1") && !error.contains(char::is_control), "{error}");
        }
    }
}
