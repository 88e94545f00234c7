//! `eximrbl info --daemon`: what the running eximrbld says about itself.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use eximrbl_table::UnixSeconds;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Finding;
use crate::failure::Failure;
use crate::output::Output;
use crate::text::{LocalTime, span};

/// How long eximrbld may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer: a thousand zones take less than one of these megabytes.
const ANSWER_MAX: u64 = 64 << 20;
/// The form of the answer that is known here.
const FORMAT: u64 = 1;

/// Numbers by name.
type Named = BTreeMap<Word, u64>;
/// Numbers of questions, by type and decision.
type Questions = BTreeMap<Word, Named>;

/// A text for a terminal, whoever answers: control characters are written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Word(String);

/// What is printed for people; the answer may hold more.
#[derive(Deserialize)]
struct Report {
    version: Word,
    pid: u32,
    started_unix: UnixSeconds,
    uptime: u64,
    table: Word,
    listen: Vec<Word>,
    queries: Named,
    replies: Named,
    cookies: Named,
    events: Named,
    workers: Vec<u64>,
    zones: Vec<Zone>,
    no_zone: Questions,
    other_zones: Questions,
    /// Only where reports are collected.
    collector: Option<Collector>,
    /// Only where reports are passed on.
    #[serde(default)]
    forward: Vec<Gatherer>,
    /// Only where changes are exchanged with other sites.
    nats: Option<Exchange>,
}

/// What others reported.
#[derive(Deserialize)]
struct Collector {
    listen: Vec<Word>,
    /// By reporter and verb.
    accepted: BTreeMap<Word, Named>,
    refused: Named,
    events: Named,
    open: u64,
}

#[derive(Deserialize)]
struct Zone {
    name: Word,
    served: bool,
    queries: Questions,
}

/// To whom reports are passed on, and how that stands.
#[derive(Deserialize)]
struct Gatherer {
    to: Word,
    state: Word,
    since_unix: UnixSeconds,
    #[serde(default)]
    why: Option<Word>,
    sent: u64,
    accepted: u64,
    refused: u64,
    behind: u64,
}

/// How the exchange with other sites stands.
#[derive(Deserialize)]
struct Exchange {
    site: Word,
    state: Word,
    since_unix: UnixSeconds,
    #[serde(default)]
    why: Option<Word>,
    published: u64,
    taken: u64,
    left_out: u64,
    waiting: u64,
    behind: u64,
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut clear = String::new();
        for character in String::deserialize(deserializer)?.chars() {
            match character.is_control() {
                true => clear.extend(character.escape_default()),
                false => clear.push(character),
            }
        }
        Ok(Self(clear))
    }
}

impl Borrow<str> for Word {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Asks, and prints the answer.
pub(super) fn run(path: &Path, output: &mut Output) -> Result<Finding, Failure> {
    let failure = |problem: String| Failure::Daemon { path: path.to_owned(), problem };
    let answer = ask(path).map_err(|error| failure(explain(&error)))?;
    let strange =
        |what: String| failure(format!("{what}; is that eximrbld, of this tool's version?"));
    let value: Value = serde_json::from_slice(&answer)
        .map_err(|error| strange(format!("the answer is no JSON: {error}")))?;
    if let Some(error) = value.get("error") {
        return Err(strange(format!("eximrbld refused: {error}")));
    }
    match value.get("format").and_then(Value::as_u64) {
        Some(FORMAT) => {}
        _ => return Err(strange("the answer has a form that is not known here".to_owned())),
    }
    if output.json() {
        output.object(&value)?;
        return Ok(Finding::Positive);
    }
    let report = Report::deserialize(&value)
        .map_err(|error| strange(format!("the answer lacks something: {error}")))?;
    print(&report, output)?;
    Ok(Finding::Positive)
}

/// The answer's bytes.
fn ask(path: &Path) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // Of connecting as well: while too many wait to be accepted, connect(2) does not return.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&SockAddr::unix(path)?)?;
    let mut stream = UnixStream::from(OwnedFd::from(socket));
    stream.write_all(b"stats\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    match answer.is_empty() {
        true => Err(ErrorKind::UnexpectedEof.into()),
        false => Ok(answer),
    }
}

/// Why it could not be asked, and what to do.
fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such socket: eximrbld is not running, or its configuration \
            has another `socket` in [control]; name that by --control"
            .to_owned(),
        ErrorKind::ConnectionRefused => {
            "nobody answers: eximrbld has ended; see journalctl -u eximrbld".to_owned()
        }
        ErrorKind::PermissionDenied => {
            format!("{error}; run this as root, or as a member of the table's group (Debian-exim)")
        }
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("eximrbld did not answer within {} s", PATIENCE.as_secs())
        }
        ErrorKind::UnexpectedEof => {
            "closed without an answer: too many ask eximrbld at once; try again".to_owned()
        }
        _ => error.to_string(),
    }
}

/// For people.
fn print(report: &Report, output: &mut Output) -> Result<(), Failure> {
    let since = LocalTime::new().long(report.started_unix);
    let uptime = span(u32::try_from(report.uptime).unwrap_or(u32::MAX));
    writeln!(output, "eximrbld     {}, process {}", report.version, report.pid)?;
    writeln!(output, "since        {since} ({uptime})")?;
    writeln!(output, "table        {}", report.table)?;
    writeln!(output, "listening    {}", report.listen.join(", "))?;
    writeln!(output, "queries      {}", with_total(&report.queries))?;
    writeln!(output, "answers      {}", counts(&report.replies))?;
    writeln!(output, "cookies      {}", counts(&report.cookies))?;
    writeln!(output, "events       {}", counts(&report.events))?;
    let workers: Vec<_> = report.workers.iter().map(ToString::to_string).collect();
    writeln!(output, "workers      {}", workers.join(" "))?;
    if let Some(collector) = &report.collector {
        writeln!(output, "collecting   {}", collector.listen.join(", "))?;
        writeln!(output, "connections  {} waiting; {}", collector.open, counts(&collector.events))?;
        writeln!(output, "refused      {}", with_total(&collector.refused))?;
        for (reporter, verbs) in &collector.accepted {
            writeln!(output, "reports      {reporter} {}", with_total(verbs))?;
        }
    }
    for gatherer in &report.forward {
        let Gatherer { to, state, sent, accepted, refused, behind, .. } = gatherer;
        let when = standing_since(gatherer.since_unix, gatherer.why.as_ref());
        writeln!(output, "passing on   to {to}: {state} {when}")?;
        writeln!(
            output,
            "             sent {sent}, accepted {accepted}, refused {refused}, behind {behind}"
        )?;
    }
    if let Some(exchange) = &report.nats {
        let Exchange { site, state, published, taken, left_out, waiting, behind, .. } = exchange;
        let when = standing_since(exchange.since_unix, exchange.why.as_ref());
        writeln!(output, "exchange     as site {site}: {state} {when}")?;
        writeln!(
            output,
            "             published {published}, waiting {waiting}; of others taken {taken}, \
             left out {left_out}, behind {behind}"
        )?;
    }
    let mut lines = vec![
        ["ZONE", "TYPE", "LISTED", "UNLISTED", "OWN", "PROHIBITED", "REFUSED"].map(str::to_owned),
    ];
    for zone in &report.zones {
        let name = match zone.served {
            true => zone.name.0.clone(),
            false => format!("({})", zone.name),
        };
        lines.extend(questions(&name, &zone.queries, true));
    }
    lines.extend(questions("none", &report.no_zone, false));
    lines.extend(questions("others", &report.other_zones, false));
    columns(&lines, output)
}

/// `since 2026-11-23 02:00:00 (connection refused)`
fn standing_since(since: UnixSeconds, why: Option<&Word>) -> String {
    let why = why.map_or(String::new(), |why| format!(" ({why})"));
    format!("since {}{why}", LocalTime::new().long(since))
}

/// `12: tcp 2, udp_quick 10`
fn with_total(numbers: &Named) -> String {
    format!("{}: {}", numbers.values().sum::<u64>(), counts(numbers))
}

/// `nxdomain 3, noerror 4`; names without any are left out.
fn counts(numbers: &Named) -> String {
    let some = numbers.iter().filter(|(_, number)| **number > 0);
    let texts: Vec<_> = some.map(|(name, number)| format!("{name} {number}")).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// A line for each type that was asked for; `always` one for type A.
fn questions(zone: &str, questions: &Questions, always: bool) -> Vec<[String; 7]> {
    let mut lines = Vec::new();
    for (kind, counts) in questions {
        if counts.values().all(|count| *count == 0) && !(always && kind.0 == "a") {
            continue;
        }
        let count = |names: &[&str]| {
            names.iter().filter_map(|name| counts.get(*name)).sum::<u64>().to_string()
        };
        let kind = if kind.0 == "other" { "other".to_owned() } else { kind.0.to_uppercase() };
        lines.push([
            zone.to_owned(),
            kind,
            count(&["listed"]),
            count(&["nxdomain", "nodata"]),
            count(&["apex"]),
            count(&["prohibited"]),
            count(&["refused"]),
        ]);
    }
    lines
}

/// Prints columns, numbers to the right.
fn columns(lines: &[[String; 7]], output: &mut Output) -> Result<(), Failure> {
    let widths: [usize; 7] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].len()).max().unwrap_or(0)
    });
    for line in lines {
        write!(output, "{:1$}", line[0], widths[0])?;
        write!(output, "  {:1$}", line[1], widths[1])?;
        for (text, width) in line.iter().zip(widths).skip(2) {
            write!(output, "  {text:>width$}")?;
        }
        writeln!(output)?;
    }
    Ok(())
}
