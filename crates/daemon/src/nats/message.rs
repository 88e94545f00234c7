//! What sites tell each other: lines of JSON, of which the first says what the others are.
//!
//! ```text
//! {"eximrbl":"changes","format":1,"site":"paris","stream":"00c0ffee00c0ffee","from":40,"next":43}
//! {"n":40,"time":1795000000,"black":"192.0.2.1","by":"local","reason":"rcpt","weight":1}
//! {"n":41,"time":1795000000,"tick":1,"white":"192.0.2.2","seconds":3600}
//! {"n":42,"time":1795000002,"forgive":"192.0.2.1"}
//! ```
//!
//! Keys that are not known are passed over, so that more of them can be added; when one changes its
//! meaning or goes, `format` grows. `docs/convergence.md` has all of it.

use std::fmt::Write as _;

use eximrbl_table::{Name, Network, UnixSeconds};
use serde::{Deserialize, Serialize};

use super::history::Moment;

/// The version of this form.
const FORMAT: u32 = 1;
/// Most lines of one message that are read.
const LINES_MAX: usize = 10_000;

/// A message of one site.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// Whose.
    pub(super) site: Name,
    /// Of which of its tables: [`eximrbl_table::Table::stream`].
    pub(super) stream: u64,
    pub(super) body: Body,
}

/// What it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// What was changed, in order, from one number up to the one before `next`. Not every number
    /// need be there: some changes are nobody else's affair.
    Changes { from: u64, next: u64, changes: Vec<Change> },
    /// What is listed, all or a part of it: where changes were lost, or came before the first message.
    State(Vec<Known>),
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its number in the site's table.
    pub(super) number: u64,
    pub(super) moment: Moment,
    pub(super) network: Network,
    /// Who made it, at that site.
    pub(super) by: Option<Name>,
    pub(super) deed: Deed,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Rejections were added, with so many seconds of life; `None` where the policy decides,
    /// `u32::MAX` for no end.
    Black { reason: Option<Name>, weight: u32, seconds: Option<u32> },
    /// Whitelisted for so many seconds; `u32::MAX` for no end, 0 ends a whitelisting.
    White { seconds: u32 },
    /// A listing was ended.
    Forgive,
}

/// One entry as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) network: Network,
    pub(super) white: bool,
    pub(super) count: u32,
    pub(super) first: UnixSeconds,
    pub(super) last: UnixSeconds,
    /// When it ends; `u32::MAX` for no end.
    pub(super) until: UnixSeconds,
    pub(super) reasons: Vec<Name>,
}

/// A message that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("not a message of eximrbl, or damaged: line {line}: {problem}")]
    Line { line: usize, problem: String },
    #[error("of format {0}, which this version does not know: bring this site up to date")]
    Format(u32),
    #[error("of a kind that this version does not know: {0:?}")]
    Kind(String),
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    eximrbl: String,
    format: u32,
    site: String,
    stream: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Any other line.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tick: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    black: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    white: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forgive: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<String>>,
}

impl Message {
    /// The message's text.
    pub(super) fn text(&self) -> serde_json::Result<String> {
        let (kind, from, next, lines): (_, _, _, Vec<Line>) = match &self.body {
            Body::Changes { from, next, changes } => {
                ("changes", Some(*from), Some(*next), changes.iter().map(Line::from).collect())
            }
            Body::State(known) => ("state", None, None, known.iter().map(Line::from).collect()),
        };
        let head = Head {
            eximrbl: kind.to_owned(),
            format: FORMAT,
            site: self.site.to_string(),
            stream: format!("{:016x}", self.stream),
            from,
            next,
        };
        let mut text = serde_json::to_string(&head)?;
        for line in lines {
            // Writing to a text does not fail.
            let _ = write!(text, "\n{}", serde_json::to_string(&line)?);
        }
        Ok(text)
    }

    /// What the server is to recognise a message by that is sent again.
    pub(super) fn id(&self) -> Option<String> {
        match &self.body {
            // With both ends: one that is sent again may have grown in between.
            Body::Changes { from, next, .. } => {
                Some(format!("{}.{:016x}.{from}-{next}", self.site, self.stream))
            }
            Body::State(_) => None,
        }
    }

    /// Reads a message.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let wrong = |line: usize, problem: &dyn ToString| MessageError::Line {
            line,
            problem: problem.to_string(),
        };
        let mut lines = bytes.split(|&byte| byte == b'\n').enumerate();
        let (_, first) = lines.next().unwrap_or((0, b""));
        let head: Head = serde_json::from_slice(first).map_err(|error| wrong(1, &error))?;
        if head.format != FORMAT {
            return Err(MessageError::Format(head.format));
        }
        let site = name(&head.site).ok_or_else(|| wrong(1, &"no site's name"))?;
        let stream = u64::from_str_radix(&head.stream, 16);
        let stream = stream.map_err(|error| wrong(1, &format!("stream: {error}")))?;
        let lines = lines.map(|(index, bytes)| {
            if index > LINES_MAX {
                return Err(wrong(index + 1, &"too many lines"));
            }
            let line: Line = serde_json::from_slice(bytes).map_err(|e| wrong(index + 1, &e))?;
            Ok((index + 1, line))
        });
        let body = match head.eximrbl.as_str() {
            "changes" => {
                let (Some(from), Some(next)) = (head.from, head.next) else {
                    return Err(wrong(1, &"changes without their numbers"));
                };
                let read = |line: Result<(usize, Line), _>| {
                    let (number, line) = line?;
                    let change = Change::try_from(line).map_err(|p| wrong(number, &p))?;
                    let is_here = (from..next).contains(&change.number);
                    if is_here { Ok(change) } else { Err(wrong(number, &"a number out of range")) }
                };
                let changes = lines.map(read).collect::<Result<Vec<Change>, _>>()?;
                if !changes.is_sorted_by(|one, other| one.number < other.number) {
                    return Err(wrong(2, &"changes out of order"));
                }
                Body::Changes { from, next, changes }
            }
            "state" => {
                let read = |line: Result<(usize, Line), _>| {
                    let (number, line) = line?;
                    Known::try_from(line).map_err(|problem| wrong(number, &problem))
                };
                Body::State(lines.map(read).collect::<Result<_, _>>()?)
            }
            other => return Err(MessageError::Kind(other.chars().take(40).collect())),
        };
        Ok(Self { site, stream, body })
    }
}

fn name(text: &str) -> Option<Name> {
    Name::new(text.as_bytes())
}

fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

impl From<&Change> for Line {
    fn from(change: &Change) -> Self {
        let network = Some(change.network.to_string());
        let by = change.by.map(|name| name.to_string());
        let Moment { time, tick } = change.moment;
        let tick = Some(tick).filter(|&tick| tick != 0);
        let line = Self { n: Some(change.number), time: Some(time), tick, by, ..Self::default() };
        match change.deed {
            Deed::Black { reason, weight, seconds } => Self {
                black: network,
                reason: reason.map(|name| name.to_string()),
                weight: Some(weight),
                seconds,
                ..line
            },
            Deed::White { seconds } => Self { white: network, seconds: Some(seconds), ..line },
            Deed::Forgive => Self { forgive: network, ..line },
        }
    }
}

impl TryFrom<Line> for Change {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let number = line.n.ok_or("no number")?;
        let time = line.time.ok_or("no time")?;
        let moment = Moment { time, tick: line.tick.unwrap_or(0) };
        let (text, deed) = match (&line.black, &line.white, &line.forgive) {
            (Some(text), None, None) => {
                let reason = line.reason.as_deref().and_then(name);
                let weight = line.weight.unwrap_or(1);
                (text, Deed::Black { reason, weight, seconds: line.seconds })
            }
            (None, Some(text), None) => {
                (text, Deed::White { seconds: line.seconds.ok_or("no seconds")? })
            }
            (None, None, Some(text)) => (text, Deed::Forgive),
            _ => return Err("not one of black, white and forgive".to_owned()),
        };
        let by = line.by.as_deref().and_then(name);
        Ok(Self { number, moment, network: network(text)?, by, deed })
    }
}

impl From<&Known> for Line {
    fn from(known: &Known) -> Self {
        let network = Some(known.network.to_string());
        let (black, white) = if known.white { (None, network) } else { (network, None) };
        Self {
            black,
            white,
            count: Some(known.count),
            first: Some(known.first),
            last: Some(known.last),
            until: Some(known.until),
            reasons: Some(known.reasons.iter().map(ToString::to_string).collect()),
            ..Self::default()
        }
    }
}

impl TryFrom<Line> for Known {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        let (text, white) = match (&line.black, &line.white) {
            (Some(text), None) => (text, false),
            (None, Some(text)) => (text, true),
            _ => return Err("neither black nor white".to_owned()),
        };
        let reasons = line.reasons.unwrap_or_default();
        Ok(Self {
            network: network(text)?,
            white,
            count: line.count.unwrap_or(0),
            first: line.first.ok_or("no first")?,
            last: line.last.ok_or("no last")?,
            until: line.until.ok_or("no until")?,
            reasons: reasons.iter().filter_map(|text| name(text)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn changes() -> Message {
        let change = |number, network: &str, deed| Change {
            number,
            moment: Moment { time: 1_795_000_000, tick: 3 },
            network: network.parse().unwrap(),
            by: name("local"),
            deed,
        };
        let black = Deed::Black { reason: name("rcpt"), weight: 2, seconds: Some(30) };
        let changes = vec![
            change(40, "192.0.2.1", black),
            change(42, "2001:db8::/64", Deed::White { seconds: 0 }),
            change(43, "198.51.100.0/24", Deed::Forgive),
        ];
        let body = Body::Changes { from: 40, next: 45, changes };
        Message { site: name("paris").unwrap(), stream: 0xfeed_0000_0000_beef, body }
    }

    /// Caught: a tick that is not read.
    #[test]
    fn messages_are_read_as_they_were_written() {
        let known = Known {
            network: "192.0.2.1".parse().unwrap(),
            white: false,
            count: 7,
            first: 5,
            last: 6,
            until: u32::MAX,
            reasons: vec![name("rcpt").unwrap(), name("auth").unwrap()],
        };
        let white = Known { white: true, reasons: Vec::new(), ..known.clone() };
        let state = Message { body: Body::State(vec![known, white]), ..changes() };
        for message in [changes(), state] {
            assert_eq!(Message::parse(message.text().unwrap().as_bytes()), Ok(message));
        }
        assert_eq!(changes().id().as_deref(), Some("paris.feed00000000beef.40-45"));
    }

    /// Caught: numbers that are not looked at.
    #[test]
    fn what_is_no_message_is_refused_with_the_line() {
        let good = changes().text().unwrap();
        let wrong = |bytes: &[u8]| Message::parse(bytes).unwrap_err().to_string();
        let swapped = |from: &str, to: &str| {
            assert!(good.contains(from), "{good}");
            wrong(good.replace(from, to).as_bytes())
        };
        assert!(wrong(b"").contains("line 1"));
        assert!(wrong(b"\xff\xfe\n\n").contains("line 1"));
        assert!(wrong(&good.as_bytes()[..good.len() - 3]).contains("line 4"));
        assert!(wrong(format!("{good}\n").as_bytes()).contains("line 5"));
        assert!(swapped("\"format\":1", "\"format\":2").contains("format 2"));
        assert!(swapped("\"changes\"", "\"wishes\"").contains("\"wishes\""));
        assert!(swapped("\"paris\"", "\"Paris!\"").contains("site"));
        assert!(swapped("\"n\":42", "\"n\":45").contains("line 3: a number out of range"));
        assert!(swapped("\"n\":43", "\"n\":41").contains("out of order"));
        assert!(swapped("192.0.2.1", "192.0.2.256").contains("line 2"));
        assert!(swapped("\"forgive\"", "\"forget\"").contains("line 4: not one of"));
        assert!(swapped("\"weight\":2", "\"weight\":-2").contains("line 2"));
        let many = "\n{}".repeat(LINES_MAX + 1);
        let head = good.lines().next().unwrap().replace("changes", "state");
        assert!(wrong(format!("{head}{many}").as_bytes()).contains("line"));
    }

    /// Caught: unknown keys refused.
    #[test]
    fn unknown_keys_are_passed_over() {
        let text = changes().text().unwrap().replace("\"time\"", "\"colour\":[1,{}],\"time\"");
        assert_eq!(Message::parse(text.as_bytes()), Ok(changes()));
    }
}
