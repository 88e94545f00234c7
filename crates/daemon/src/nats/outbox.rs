//! What this site has to tell: its changes in order, and, where some of them were lost, what is
//! listed.

use std::collections::VecDeque;

use eximrbl_table::{Entry, Event, EventKind, Name, Names, UnixSeconds};

use super::history::{Moment, NEVER};
use super::message::{Body, Change, Deed, Known, Message};
use super::positions::Positions;

/// Most changes of one message.
const CHANGES_MAX: usize = 500;
/// Most entries of one message.
const KNOWN_MAX: usize = 200;
/// Most changes that wait here; all others wait in the table's ring.
const PENDING_MAX: usize = 5000;
/// So far the clocks of sites may be apart, and of processes that looked at them before they wrote, for
/// what comes after something to count as later.
const APART_MAX: UnixSeconds = 5;

/// What waits to be published.
pub(super) struct Outbox {
    site: Name,
    /// The table that the changes are of.
    stream: u64,
    pending: VecDeque<Change>,
    /// Up to where the ring was read.
    read: u64,
    /// The latest change that was read here or came from elsewhere.
    clock: Moment,
    state: Option<State>,
}

/// Entries that are published as they are.
struct State {
    /// The number of the first change that is certainly not in them.
    at: u64,
    /// When they were taken.
    taken: UnixSeconds,
    entries: Vec<Entry>,
}

/// A message that is on its way.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) text: String,
    pub(super) id: Option<String>,
    /// Changes or entries in it.
    pub(super) count: usize,
    /// What is done when it has arrived.
    pub(super) arrived: Arrived,
}

/// What the arrival of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// All changes up to this number are published, the last of them of this time.
    Changes { next: u64, told: UnixSeconds },
    /// So many entries are.
    Entries(usize),
}

impl Outbox {
    /// Reads on from a number of a table's changes.
    pub(super) fn new(site: Name, stream: u64, read: u64, told: UnixSeconds) -> Self {
        let clock = Moment { time: told, tick: 0 };
        Self { site, stream, pending: VecDeque::new(), read, clock, state: None }
    }

    /// Whether more changes may be read.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX
    }

    /// The moment that counts for a change of this site: later than all that it may have come from.
    pub(super) fn moment_of(&mut self, event: &Event) -> Moment {
        let ahead = self.clock.time.saturating_sub(event.time);
        self.clock = if self.clock.time < event.time || ahead > APART_MAX {
            Moment { time: event.time, tick: 0 }
        } else {
            Moment { tick: self.clock.tick.saturating_add(1), ..self.clock }
        };
        self.clock
    }

    /// Takes notice of another site's change: what is done here from now on is later.
    pub(super) fn witness(&mut self, moment: Moment) {
        self.clock = self.clock.max(moment);
    }

    /// The time of the last change that was read.
    pub(super) fn clock(&self) -> UnixSeconds {
        self.clock.time
    }

    /// Up to where the ring was read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Changes and entries that were read and are not published yet.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len() + self.state.as_ref().map_or(0, |state| state.entries.len())
    }

    /// Notes that the ring was read up to a number.
    pub(super) fn read_to(&mut self, number: u64) {
        self.read = number;
    }

    /// Takes a change that is to be published. Which ones are, the caller knows.
    pub(super) fn take(
        &mut self,
        event: &Event,
        moment: Moment,
        reasons: &Names,
        reporters: &Names,
    ) {
        let name = |names: &Names, bit: u8| {
            names.of(1 << (bit & 63)).next().and_then(|name| Name::new(name.as_bytes()))
        };
        let deed = match event.kind {
            EventKind::Added | EventKind::Extended => Deed::Black {
                reason: name(reasons, event.reason),
                weight: event.weight,
                seconds: Some(event.seconds).filter(|&seconds| seconds != 0),
            },
            EventKind::Whitened => Deed::White { seconds: event.seconds },
            EventKind::WhiteEnded => Deed::White { seconds: 0 },
            EventKind::Forgiven => Deed::Forgive,
            // This table's own affairs.
            _ => return,
        };
        self.pending.push_back(Change {
            number: event.sequence,
            moment,
            network: event.network,
            by: name(reporters, event.reporter),
            deed,
        });
    }

    /// Publishes these entries as they are, once all changes below number `at` are published.
    pub(super) fn tell_state(&mut self, at: u64, taken: UnixSeconds, entries: Vec<Entry>) {
        self.state = Some(State { at, taken, entries });
    }

    /// Whether all that was read is published, by the positions.
    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.state.is_none()
    }

    /// The next message, of at most so many bytes; `None` if there is nothing to tell now. Until it
    /// has arrived, the same comes again, or one that has more.
    pub(super) fn next(
        &self,
        from: u64,
        reasons: &Names,
        bytes_max: usize,
    ) -> serde_json::Result<Option<Outgoing>> {
        let state_at = self.state.as_ref().map_or(u64::MAX, |state| state.at);
        let ready = self.pending.iter().take_while(|change| change.number < state_at).count();
        if ready > 0 {
            return self
                .sized(ready.min(CHANGES_MAX), bytes_max, |count| self.changes(from, count));
        }
        match &self.state {
            Some(state) if self.read >= state.at && !state.entries.is_empty() => {
                let most = state.entries.len().min(KNOWN_MAX);
                self.sized(most, bytes_max, |count| self.known(state, reasons, count))
            }
            _ => Ok(None),
        }
    }

    /// The longest message of at most `most` lines that does not take more bytes.
    fn sized(
        &self,
        most: usize,
        bytes_max: usize,
        message: impl Fn(usize) -> (Message, Arrived),
    ) -> serde_json::Result<Option<Outgoing>> {
        let mut count = most;
        loop {
            let (message, arrived) = message(count);
            let text = message.text()?;
            if text.len() <= bytes_max || count == 1 {
                return Ok(Some(Outgoing { text, id: message.id(), count, arrived }));
            }
            count = (count / 2).max(1);
        }
    }

    fn message(&self, body: Body) -> Message {
        Message { site: self.site, stream: self.stream, body }
    }

    fn changes(&self, from: u64, count: usize) -> (Message, Arrived) {
        let changes: Vec<Change> = self.pending.iter().take(count).copied().collect();
        let next = match (self.pending.get(count), changes.last()) {
            (Some(following), _) => following.number,
            (None, Some(last)) => self.read.max(last.number + 1),
            (None, None) => self.read,
        };
        let told = changes.last().map_or(self.clock.time, |last| last.moment.time);
        (self.message(Body::Changes { from, next, changes }), Arrived::Changes { next, told })
    }

    fn known(&self, state: &State, reasons: &Names, count: usize) -> (Message, Arrived) {
        let now = state.taken;
        let known = |entry: &Entry| Known {
            network: entry.network,
            white: entry.white,
            count: entry.count,
            first: entry.first,
            last: entry.last,
            until: if entry.is_endless() { NEVER } else { now.saturating_add(entry.remaining) },
            reasons: reasons
                .of(entry.reasons)
                .filter_map(|name| Name::new(name.as_bytes()))
                .collect(),
        };
        let known = state.entries.iter().rev().take(count).map(known).collect();
        (self.message(Body::State(known)), Arrived::Entries(count))
    }

    /// Takes out what has arrived, and notes it.
    pub(super) fn arrived(&mut self, arrived: Arrived, positions: &mut Positions) {
        match arrived {
            Arrived::Changes { next, told } => {
                while self.pending.front().is_some_and(|change| change.number < next) {
                    self.pending.pop_front();
                }
                positions.own.next = next;
                positions.told = told;
            }
            Arrived::Entries(count) => {
                if let Some(state) = &mut self.state {
                    state.entries.truncate(state.entries.len().saturating_sub(count));
                }
            }
        }
        self.settle(positions);
    }

    /// Notes what needs no message: changes that are nobody else's affair, a state without entries.
    pub(super) fn settle(&mut self, positions: &mut Positions) {
        let is_told = |state: &State| state.entries.is_empty() && self.read >= state.at;
        if self.state.as_ref().is_some_and(is_told) {
            self.state = None;
            positions.state_since = None;
        }
        if self.is_empty() {
            positions.own.next = positions.own.next.max(self.read);
            positions.told = positions.told.max(self.clock.time);
        }
    }
}
