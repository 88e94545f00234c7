//! One site: its table, what it has to tell, and what it was told. Without the network.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{
    Entry, Event, EventKind, Name, Names, OpenError, Table, UnixSeconds, WritableTable,
};
use eximrbl_zone::NatsSettings;

use super::history::Terms;
use super::merge::{Merge, Outcome};
use super::message::{Body, Message};
use super::outbox::{Outbox, Outgoing};
use super::positions::{Positions, PositionsFile, ServerPosition};
use super::standing::Standing;
use super::told::Told;
use crate::following::{Following, Position, Step};
use crate::served::Shared;

/// Changes that are read at once, so that nothing else waits for long.
const READ_MAX: usize = 2000;
/// How often positions are kept while many messages wait.
const STORE_EVERY: Duration = Duration::from_millis(50);
/// Seconds by which times of neighbouring changes may be swapped.
const SWAP: UnixSeconds = 5;

/// The site's part of the exchange.
pub(super) struct Engine {
    site: Name,
    /// Whose changes are published; `None` for all but the administrator's and other sites'.
    chosen: Option<Vec<Name>>,
    path: PathBuf,
    following: Following,
    /// The table, for writing; `None` while it cannot be had.
    table: Option<WritableTable>,
    merge: Merge,
    outbox: Outbox,
    positions: Positions,
    file: PositionsFile,
    stored: Instant,
    /// What was stored last.
    kept: Option<Positions>,
    /// Changes below this number were made before the start.
    started_at: u64,
    /// Without notes of an earlier run: up to when each reporter's changes seem to be in the table.
    seen: HashMap<Name, UnixSeconds>,
    /// Whether the other sites' names are known.
    is_acquainted: bool,
    /// Whether the first change is still to be read, of a table of which nothing was published.
    is_first: bool,
    reasons: Names,
    reporters: Names,
    told: Told,
    standing: Arc<Standing>,
    shared: Arc<Shared>,
}

/// What came of a look at the table's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polled {
    Nothing,
    Something,
    /// Another table is served: all begins anew.
    Replaced,
}

impl Engine {
    pub(super) fn new(
        settings: &NatsSettings,
        shared: Arc<Shared>,
        told: Told,
        standing: Arc<Standing>,
    ) -> Self {
        let site = settings.site;
        let table = shared.served().table.clone();
        let path = table.path().to_owned();
        let (stream, started_at) = (table.stream(), table.serial());
        let file = PositionsFile::beside(&path, site);
        let mut told = told;
        let kept = file.load().unwrap_or_else(|error| {
            told.warn("positions", format_args!("NATS: what was kept is lost: {error}"));
            None
        });
        let (positions, seen) = match kept {
            Some(kept) if kept.own.stream == stream => (kept, HashMap::new()),
            // Another table, or none that is known of: all that its ring still has is published.
            _ => (Positions::new(Position { stream, next: 0 }), seen(&table)),
        };
        // All that the ring still has, for the memory of what was changed.
        let following = Following::new(shared.clone(), Some(Position { stream, next: 0 }));
        let outbox = Outbox::new(site, stream, positions.own.next, positions.told);
        let mut engine = Self {
            site,
            chosen: settings.reporters.clone(),
            path,
            following,
            table: None,
            merge: Merge::new(site, Terms::from(&table.policy())),
            outbox,
            positions,
            file,
            stored: Instant::now(),
            kept: None,
            started_at,
            seen,
            is_acquainted: false,
            is_first: false,
            reasons: table.reasons(),
            reporters: table.reporters(),
            told,
            standing,
            shared,
        };
        engine.look();
        engine
    }

    /// Learns which sites there are, by the subjects of the stream's messages. Before that nothing is
    /// published, for it might be another site's.
    pub(super) fn acquaint<'a>(&mut self, subjects: impl Iterator<Item = &'a str>) {
        for site in subjects.filter_map(site_of) {
            self.learn(site);
        }
        self.is_acquainted = true;
        if let Some(since) = self.positions.state_since {
            self.tell_state(since, UnixSeconds::MAX);
        }
    }

    /// Whether the other sites' names are known.
    pub(super) fn is_acquainted(&self) -> bool {
        self.is_acquainted
    }

    /// Lets go of all but what the log was told.
    pub(super) fn into_told(self) -> Told {
        self.told
    }

    pub(super) fn told(&mut self) -> &mut Told {
        &mut self.told
    }

    /// Looks after the table, once a second.
    pub(super) fn look(&mut self) {
        if self.table.as_ref().is_some_and(|table| !table.is_current(&self.path)) {
            self.table = None;
        }
        if self.table.is_none() {
            self.table = self.open();
        }
        let table = self.following.table();
        self.merge.set_terms(Terms::from(&table.policy()));
        self.reasons = table.reasons();
        self.reporters = table.reporters();
        let unread = table.events_after(self.following.position().next);
        let waiting = self.outbox.waiting() as u64 + unread;
        self.standing.waiting.store(waiting, Ordering::Relaxed);
        if self.kept.as_ref() != Some(&self.positions) {
            self.store();
        }
    }

    fn open(&mut self) -> Option<WritableTable> {
        match WritableTable::open(&self.path) {
            Ok(table) if table.stream() == self.positions.own.stream => {
                self.told.clear("table");
                Some(table)
            }
            // The keeper will serve it soon.
            Ok(_) => None,
            Err(error @ (OpenError::Denied { .. } | OpenError::System { .. })) => {
                self.told.warn(
                    "table",
                    format_args!(
                        "NATS: other sites' changes wait, the table cannot be written: {error}"
                    ),
                );
                None
            }
            Err(error) => {
                tracing::debug!("NATS: table not opened: {error}");
                None
            }
        }
    }

    /// Reads on among the table's changes.
    pub(super) fn poll(&mut self, now: UnixSeconds) -> Polled {
        let mut polled = Polled::Nothing;
        if !self.is_acquainted {
            return polled;
        }
        for _ in 0..READ_MAX {
            if !self.outbox.has_room() {
                break;
            }
            match self.following.step(now) {
                Step::Nothing => {
                    self.tell_older(UnixSeconds::MAX);
                    break;
                }
                Step::Replaced => return Polled::Replaced,
                Step::Event(event) => self.event(event),
                Step::Lost(_) => self.lost(),
            }
            self.outbox.read_to(self.following.position().next.max(self.positions.own.next));
            polled = Polled::Something;
        }
        self.outbox.settle(&mut self.positions);
        polled
    }

    /// Whether the changes from before the start were read.
    fn is_warm(&self) -> bool {
        self.following.position().next >= self.started_at
    }

    fn event(&mut self, event: Event) {
        self.tell_older(event.time);
        let Some(by) = self.reporter_of(event.reporter) else { return };
        let is_site = by == self.site || self.positions.is_site(by.as_str());
        let is_early = event.sequence < self.started_at;
        if is_site {
            if is_early {
                self.merge.recall(&event, by, event.sequence < self.positions.noted);
            } else if event.kind == EventKind::Evicted {
                self.merge.evicted(event.network);
            }
            return;
        }
        let is_told = event.sequence < self.positions.own.next;
        if is_early {
            self.merge.recall(&event, self.site, true);
        }
        if is_told {
            return;
        }
        let moment = self.outbox.moment_of(&event);
        if !is_early {
            self.merge.observe(&event, moment, self.table.as_ref());
        }
        if self.is_published(event.reporter, by) {
            self.outbox.take(&event, moment, &self.reasons, &self.reporters);
        }
    }

    /// A reporter's name; names are read again when it is a new one.
    fn reporter_of(&mut self, bit: u8) -> Option<Name> {
        let find = |names: &Names| {
            let found = names.iter().find(|(known, _)| *known == bit);
            found.and_then(|(_, name)| Name::new(name.as_bytes()))
        };
        find(&self.reporters).or_else(|| {
            self.reporters = self.following.table().reporters();
            self.reasons = self.following.table().reasons();
            find(&self.reporters)
        })
    }

    /// Whether a reporter's changes are published.
    fn is_published(&self, bit: u8, name: Name) -> bool {
        match &self.chosen {
            Some(chosen) => chosen.contains(&name),
            None => bit != ADMIN && name != self.site && !self.positions.is_site(name.as_str()),
        }
    }

    /// Changes were overwritten before they were read.
    fn lost(&mut self) {
        let next = self.following.position().next;
        if self.positions.own.next == 0 {
            // Nothing was published yet. A table's first number is not 0: it may be all.
            self.positions.own.next = next;
            self.is_first = true;
            return;
        }
        if next <= self.positions.own.next {
            // They were published by an earlier run.
            return;
        }
        // A reader that began further back has lost more.
        let lost = next - self.outbox.read().clamp(self.positions.own.next, next);
        let since = self.outbox.clock().saturating_sub(SWAP);
        let since = self.positions.state_since.map_or(since, |other| other.min(since));
        self.tell_state(since, UnixSeconds::MAX);
        self.told.warn(
            "lost",
            format_args!(
                "NATS: {lost} changes were overwritten before they were published; what is listed \
                 since then is published instead"
            ),
        );
    }

    /// When all begins: publishes what was listed before the first change that is still known.
    fn tell_older(&mut self, first: UnixSeconds) {
        if std::mem::take(&mut self.is_first) {
            self.tell_state(0, first);
        }
    }

    /// Publishes what was listed since a time, and first before another.
    fn tell_state(&mut self, since: UnixSeconds, before: UnixSeconds) {
        self.positions.state_since = Some(since);
        let now = eximrbl_table::now();
        let table = self.following.table();
        let at = table.serial();
        let published = self.reporters.iter().filter_map(|(bit, name)| {
            let name = Name::new(name.as_bytes())?;
            self.is_published(bit, name).then_some(1_u64 << bit)
        });
        let published: u64 = published.sum();
        let is_his = |entry: &Entry| {
            entry.reporters & published != 0 && entry.last >= since && entry.first < before
        };
        let entries = table.entries(now).filter(is_his).collect();
        self.outbox.tell_state(at, now, entries);
    }

    /// Learns that there is a site of this name.
    fn learn(&mut self, site: Name) {
        if site == self.site || self.positions.is_site(site.as_str()) {
            return;
        }
        self.positions.learn(site);
        if self.shared.config().reporters.iter().any(|reporter| reporter.name == site) {
            self.told.warn(
                "reporter",
                format_args!(
                    "NATS: there is a site {site}, and a [[reporter]] of that name: what he reports \
                     is taken for the site's and not published; give him another name"
                ),
            );
        }
    }

    /// The next message to publish, of at most so many bytes.
    pub(super) fn next(&self, bytes_max: usize) -> serde_json::Result<Option<Outgoing>> {
        self.outbox.next(self.positions.own.next, &self.reasons, bytes_max)
    }

    /// Notes that a message has arrived.
    pub(super) fn arrived(&mut self, outgoing: &Outgoing) {
        self.standing.published.fetch_add(outgoing.count as u64, Ordering::Relaxed);
        self.outbox.arrived(outgoing.arrived, &mut self.positions);
        self.store();
    }

    /// From where on the server's stream is to be followed; `created` tells which stream it is.
    pub(super) fn follow_from(&mut self, created: &str, last: u64) -> u64 {
        let server = self
            .positions
            .server
            .get_or_insert_with(|| ServerPosition { created: created.to_owned(), sequence: 0 });
        if server.created != created || server.sequence > last {
            *server = ServerPosition { created: created.to_owned(), sequence: 0 };
        }
        self.standing.behind.store(last - server.sequence, Ordering::Relaxed);
        server.sequence + 1
    }

    /// Whether other sites' changes can be made now.
    pub(super) fn can_take(&self) -> bool {
        self.table.is_some() && self.is_warm()
    }

    /// Makes what a message of the stream says. `subject` ends with the site's name, which the server
    /// vouches for. `waiting` more messages are on their way.
    pub(super) fn take(&mut self, subject: &str, bytes: &[u8], sequence: u64, waiting: u64) {
        let now = eximrbl_table::now();
        match site_of(subject) {
            Some(site) if site == self.site => {}
            Some(site) => match Message::parse(bytes) {
                Ok(message) if message.site == site => self.make(&message, now),
                Ok(message) => self.leave_out(
                    site.as_str(),
                    format_args!(
                        "NATS: a message by {site}'s subject says that it is of {}; left out",
                        message.site
                    ),
                ),
                Err(error) => self.leave_out(
                    site.as_str(),
                    format_args!("NATS: message {sequence} of {site} left out: {error}"),
                ),
            },
            None => tracing::debug!("NATS: message {sequence} by {subject} left out: no site"),
        }
        if let Some(server) = &mut self.positions.server {
            server.sequence = sequence;
        }
        self.standing.behind.store(waiting, Ordering::Relaxed);
        if waiting == 0 {
            self.merge.all_is_noted();
        }
        self.positions.noted = self.following.table().serial();
        if waiting == 0 || self.stored.elapsed() >= STORE_EVERY {
            self.store();
        }
    }

    /// Counts what is left out, and says why.
    fn leave_out(&mut self, cause: &str, text: std::fmt::Arguments<'_>) {
        self.standing.left_out.fetch_add(1, Ordering::Relaxed);
        self.told.warn(cause, text);
    }

    fn make(&mut self, message: &Message, now: UnixSeconds) {
        self.learn(message.site);
        // What was done here meanwhile is a part of what it is joined with.
        let _ = self.poll(now);
        let Some(table) = &self.table else { return };
        let Message { site, stream, ref body } = *message;
        let seen = self.seen.get(&site).copied().unwrap_or(0);
        let mut outcomes: Vec<Outcome> = Vec::new();
        match body {
            Body::Changes { next, changes, .. } => {
                let first = self.positions.next_of(site, stream);
                for change in changes.iter().filter(|c| c.number >= first && c.moment.time > seen) {
                    let outcome = self.merge.apply(table, site, change, now);
                    if !matches!(outcome, Outcome::Ahead(_)) {
                        self.outbox.witness(change.moment);
                    }
                    outcomes.push(outcome);
                }
                self.positions.note(site, stream, *next);
            }
            Body::State(known) => {
                for known in known {
                    outcomes.push(self.merge.join(table, site, known, now));
                }
            }
        }
        for outcome in outcomes {
            match outcome {
                Outcome::TooOld => {}
                Outcome::Done => _ = self.standing.taken.fetch_add(1, Ordering::Relaxed),
                Outcome::Refused(refusal) => {
                    self.standing.left_out.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!("NATS: of {site}: {refusal}");
                }
                Outcome::TooWide(network) => self.leave_out(
                    "wide",
                    format_args!(
                        "NATS: what {site} says of {network} is left out: so wide a network is not \
                         another site's affair"
                    ),
                ),
                Outcome::Ahead(seconds) => self.leave_out(
                    "ahead",
                    format_args!(
                        "NATS: changes of {site} are {seconds} s ahead of this host's clock and \
                         left out; set the clocks right"
                    ),
                ),
                Outcome::NoName => self.leave_out(
                    "names",
                    format_args!(
                        "NATS: changes of {site} are left out: the table has no place for one more \
                         reporter (64 at most)"
                    ),
                ),
            }
        }
    }

    /// Keeps the positions.
    pub(super) fn store(&mut self) {
        self.stored = Instant::now();
        match self.file.store(&self.positions) {
            Ok(()) => {
                self.kept = Some(self.positions.clone());
                self.told.clear("positions");
            }
            Err(error) => self.told.warn(
                "positions",
                format_args!("NATS: positions are not kept, a restart may repeat changes: {error}"),
            ),
        }
    }
}

/// The site that publishes to a subject.
fn site_of(subject: &str) -> Option<Name> {
    subject.rsplit('.').next().and_then(|name| Name::new(name.as_bytes()))
}

/// Up to when each reporter's changes seem to be in a table.
fn seen(table: &Table) -> HashMap<Name, UnixSeconds> {
    let names = table.reporters();
    let mut seen = HashMap::new();
    for entry in table.entries(eximrbl_table::now()) {
        for name in names.of(entry.reporters) {
            if let Some(name) = Name::new(name.as_bytes()) {
                let latest: &mut UnixSeconds = seen.entry(name).or_default();
                *latest = entry.last.max(*latest);
            }
        }
    }
    seen
}
