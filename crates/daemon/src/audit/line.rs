//! The lines' form, which docs/audit.md describes: keys may be added; when one changes its meaning
//! or goes, `format` grows.

use eximrbl_table::{Entry, Event, EventKind, Names, Network, Share, Table, UnixSeconds};
use eximrbl_zone::rfc3339;
use serde::{Deserialize, Serialize};

use super::position::Place;
use crate::following::Position;

/// The version of this form.
const FORMAT: u32 = 1;

/// What a line is about, when it is no change of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// The trail begins here.
    Begun,
    /// So many changes are missing.
    Lost(u64),
    /// Another table is served.
    Replaced,
    /// From here on nothing is missing any more.
    Resumed,
}

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    format: u32,
    time: String,
    time_unix: UnixSeconds,
    kind: &'static str,
    network: Option<String>,
    who: Option<&'a str>,
    of: Option<&'a str>,
    reason: Option<&'a str>,
    weight: Option<u32>,
    seconds: Option<u32>,
    changes: Option<u64>,
    since_unix: Option<UnixSeconds>,
    entry: Option<EntryForm<'a>>,
    stream: String,
    next: u64,
}

/// The entry as it was when the line was written.
#[derive(Debug, Serialize)]
struct EntryForm<'a> {
    white: bool,
    count: u32,
    /// Whether it counts as many rejections as list.
    counted: bool,
    endless: bool,
    until: Option<String>,
    until_unix: Option<UnixSeconds>,
    first: String,
    first_unix: UnixSeconds,
    last: String,
    last_unix: UnixSeconds,
    reasons: Vec<&'a str>,
    reporters: Vec<&'a str>,
}

/// Both dictionaries of a table. They only grow.
pub(super) struct Dictionaries {
    reasons: Names,
    reporters: Names,
    /// The bits that have names.
    known: (u64, u64),
}

impl Dictionaries {
    pub(super) fn of(table: &Table) -> Self {
        let bits = |names: &Names| names.iter().fold(0, |bits, (bit, _)| bits | 1 << bit);
        let (reasons, reporters) = (table.reasons(), table.reporters());
        let known = (bits(&reasons), bits(&reporters));
        Self { reasons, reporters, known }
    }

    /// Reads them again if there is no name yet for one of these bits.
    pub(super) fn see_to(&mut self, reasons: u64, reporters: u64, table: &Table) {
        if reasons & !self.known.0 != 0 || reporters & !self.known.1 != 0 {
            *self = Self::of(table);
        }
    }
}

/// An entry as it was when it was looked up.
pub(super) struct Seen {
    /// The entry.
    pub(super) entry: Entry,
    /// Whether it counts as many rejections as list.
    pub(super) counted: bool,
    /// When.
    pub(super) at: UnixSeconds,
}

impl Seen {
    /// Looks a network's entry up.
    pub(super) fn of(network: Network, table: &Table, now: UnixSeconds) -> Option<Self> {
        let entry = table.entry(network, now)?;
        let counted = !entry.white && table.is_counted(&entry);
        Some(Self { entry, counted, at: now })
    }
}

impl<'a> Line<'a> {
    /// An event, with what has become of its entry.
    pub(super) fn of_event(
        event: &Event,
        seen: Option<&Seen>,
        names: &'a Dictionaries,
        after: Position,
    ) -> Self {
        let is_report = matches!(event.kind, EventKind::Added | EventKind::Extended);
        let is_white = event.kind == EventKind::Whitened;
        // Nobody's doing: the sweep only sees it.
        let who = (event.kind != EventKind::Expired).then_some(event.reporter);
        let seconds = event.seconds;
        let (of, reason) = match event.share() {
            Some(Share::Reporter(bit)) => (name(&names.reporters, bit), None),
            Some(Share::Reason(bit)) => (None, name(&names.reasons, bit)),
            None => (None, name(&names.reasons, event.reason).filter(|_| is_report)),
        };
        Self {
            kind: word(event.kind),
            network: Some(event.network.to_string()),
            who: who.and_then(|bit| name(&names.reporters, bit)),
            of,
            reason,
            weight: Some(event.weight).filter(|_| is_report),
            seconds: Some(seconds)
                .filter(|&seconds| seconds != u32::MAX && (is_white || is_report && seconds > 0)),
            entry: seen.map(|seen| seen.form(names)),
            ..Self::empty(event.time, after)
        }
    }

    /// An entry that was found when the table was looked through.
    pub(super) fn of_found(seen: &Seen, names: &'a Dictionaries, after: Place) -> Self {
        Self {
            kind: "found",
            network: Some(seen.entry.network.to_string()),
            since_unix: Some(after.time),
            entry: Some(seen.form(names)),
            ..Self::empty(seen.at, after.position)
        }
    }

    /// A remark of the trail on itself.
    pub(super) fn of_remark(remark: Remark, now: UnixSeconds, after: Place) -> Self {
        let (kind, changes, since_unix) = match remark {
            Remark::Begun => ("begun", None, None),
            Remark::Lost(changes) => ("lost", Some(changes), Some(after.time)),
            Remark::Replaced => ("replaced", None, Some(after.time)),
            Remark::Resumed => ("resumed", None, None),
        };
        Self { kind, changes, since_unix, ..Self::empty(now, after.position) }
    }

    fn empty(time: UnixSeconds, after: Position) -> Self {
        Self {
            format: FORMAT,
            time: rfc3339(time).to_string(),
            time_unix: time,
            kind: "",
            network: None,
            who: None,
            of: None,
            reason: None,
            weight: None,
            seconds: None,
            changes: None,
            since_unix: None,
            entry: None,
            stream: format!("{:016x}", after.stream),
            next: after.next,
        }
    }
}

/// How far the trail goes, by a line of it; `None` if the text is no such line.
pub(super) fn place(line: &[u8]) -> Option<Place> {
    #[derive(Deserialize)]
    struct Known<'a> {
        format: u32,
        time_unix: UnixSeconds,
        since_unix: Option<UnixSeconds>,
        stream: &'a str,
        next: u64,
    }
    let known: Known<'_> = serde_json::from_slice(line).ok()?;
    let stream = u64::from_str_radix(known.stream, 16).ok()?;
    let position = Position { stream, next: known.next };
    // In a gap, the time before it.
    let time = known.since_unix.unwrap_or(known.time_unix);
    (known.format == FORMAT).then_some(Place { position, time })
}

fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "added",
        EventKind::Extended => "extended",
        EventKind::Forgiven => "forgiven",
        EventKind::Whitened => "whitened",
        EventKind::Evicted => "evicted",
        EventKind::Expired => "expired",
        EventKind::WhiteEnded => "white_ended",
        EventKind::Reduced => "reduced",
    }
}

/// The name of a bit; one that is out of bounds, in a damaged table, has none.
fn name(names: &Names, bit: u8) -> Option<&str> {
    names.of(1_u64.checked_shl(bit.into())?).next()
}

impl Seen {
    fn form<'a>(&self, names: &'a Dictionaries) -> EntryForm<'a> {
        let entry = &self.entry;
        let until_unix = (!entry.is_endless()).then(|| self.at.saturating_add(entry.remaining));
        EntryForm {
            white: entry.white,
            count: entry.count,
            counted: self.counted,
            endless: entry.is_endless(),
            until: until_unix.map(|until| rfc3339(until).to_string()),
            until_unix,
            first: rfc3339(entry.first).to_string(),
            first_unix: entry.first,
            last: rfc3339(entry.last).to_string(),
            last_unix: entry.last,
            reasons: names.reasons.of(entry.reasons).collect(),
            reporters: names.reporters.of(entry.reporters).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Caught: a line of a later form that is taken for one of this; the time of a gap's line, after
    /// which nothing would be looked for once more.
    #[test]
    fn a_line_tells_how_far_the_trail_goes() {
        let before = Place { position: Position { stream: 0x1234, next: 77 }, time: 5 };
        let text = |remark| {
            serde_json::to_string(&Line::of_remark(remark, 1_795_326_190, before)).unwrap()
        };
        let written = Place { time: 1_795_326_190, ..before };
        assert_eq!(place(text(Remark::Resumed).as_bytes()), Some(written));
        let text = text(Remark::Lost(3));
        assert_eq!(place(text.as_bytes()), Some(before));
        for other in
            ["", "{}", &text[..text.len() - 1], &text.replace("\"format\":1", "\"format\":2")]
        {
            assert_eq!(place(other.as_bytes()), None, "{other}");
        }
    }
}
