//! Counters without cost: what was asked and answered, counted by each worker for itself.
//!
//! ```text
//! Counters ──► one block for each worker ──► rows: zone × kind × decision    one add a query
//!     │                                 ├──► replies: way × cookie × reply   one add a query
//!     │                                 └──► events: all that is rare
//!     └──► names of the zones' rows
//! ```
//!
//! A block has one writer, so that an addition is a load and a store, without a bus lock, in lines
//! that no other worker touches. Readers sum over the blocks and stop nobody. What is asked for in
//! all, or by transport, is a sum of what is counted anyway; nothing is a difference, so that no
//! number ever goes back. Numbers that belong together may be some queries apart while they are
//! read: they are counted one after the other.
//!
//! A zone's row is found by its name, and stays its own for as long as the program runs: a reload
//! changes which rows are in use, but takes nothing away.

mod kinds;
mod totals;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eximrbl_zone::{Answer, DnsName, QueryType, Zones};

pub use kinds::{Cookie, Decided, Event, Kind, Reply, Way};
pub use totals::{Totals, ZoneTotals};

/// The row of what concerns no zone.
const NO_ZONE: u16 = 0;
/// Rows for zones that come by reloads; more than that, and the last row counts for all of them.
const SPARE_ROWS: usize = 256;

/// A question and what was decided about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The zone's row, by [`Rows`].
    row: u16,
    /// What was asked for.
    kind: Kind,
    /// What was decided.
    decided: Decided,
}

/// All that is counted of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The question, if it came to one.
    pub question: Option<Question>,
    /// What its cookie was worth.
    pub cookie: Cookie,
    /// What left as the answer.
    pub reply: Reply,
    /// Whether it was too long for UDP, and the client was told to come again by TCP.
    pub truncated: bool,
}

/// The counters of all workers.
pub struct Counters {
    blocks: Mutex<Vec<Arc<Block>>>,
    /// The zones that rows belong to, from the row after [`NO_ZONE`] on.
    zones: Mutex<Vec<DnsName>>,
    rows: usize,
}

/// Which rows the zones of one configuration have, by their index.
#[derive(Clone, Debug, Default)]
pub struct Rows(Box<[u16]>);

/// A block with one writer at a time: the only one to have it, and no thread can share it.
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<eximrbl_dns::counters::Tally>();
/// ```
/// ```compile_fail
/// fn copied<T: Clone>() {}
/// copied::<eximrbl_dns::counters::Tally>();
/// ```
pub struct Tally {
    block: Arc<Block>,
    /// What makes it impossible to share.
    _alone: PhantomData<std::cell::Cell<()>>,
}

/// A block with several writers, for places where an addition may cost more.
#[derive(Clone)]
pub struct SharedTally {
    block: Arc<Block>,
}

/// One worker's counters. 128 bytes: processors fetch lines of 64 in pairs.
#[repr(align(128))]
struct Block {
    replies: [[[AtomicU64; Reply::ALL.len()]; Cookie::ALL.len()]; Way::ALL.len()],
    events: [AtomicU64; Event::ALL.len()],
    rows: Box<[Row]>,
}

/// One zone's counters.
#[derive(Default)]
#[repr(align(128))]
struct Row([[AtomicU64; Decided::ALL.len()]; Kind::ALL.len()]);

impl Question {
    /// What was decided about a question of that type.
    pub fn of(answer: &Answer<'_>, query_type: QueryType, rows: &Rows) -> Self {
        let (zone, decided) = match answer {
            Answer::Refused => (None, Decided::Refused),
            Answer::NxDomain(authority) => (Some(authority.zone), Decided::NxDomain),
            Answer::NoData(authority) => (Some(authority.zone), Decided::NoData),
            Answer::Apex { authority, .. } => (Some(authority.zone), Decided::Apex),
            Answer::Listed(listing) => (Some(listing.zone), Decided::Listed),
        };
        let row = zone.map_or(NO_ZONE, |zone| rows.of(zone.index()));
        Self { row, kind: query_type.into(), decided }
    }

    /// The same question, from a client that may not ask this zone.
    pub fn prohibited(self) -> Self {
        Self { decided: Decided::Prohibited, ..self }
    }

    /// The response code that goes with the decision.
    pub fn reply(self) -> Reply {
        match self.decided {
            Decided::Listed | Decided::NoData | Decided::Apex => Reply::NoError,
            Decided::NxDomain => Reply::NxDomain,
            Decided::Prohibited | Decided::Refused => Reply::Refused,
        }
    }
}

impl Outcome {
    /// A packet that gets no answer, since it is no query.
    pub const IGNORED: Self =
        Self { question: None, cookie: Cookie::None, reply: Reply::Ignored, truncated: false };

    /// A question without a cookie, answered as decided.
    pub fn of(question: Question) -> Self {
        let reply = question.reply();
        Self { question: Some(question), reply, ..Self::IGNORED }
    }
}

impl Rows {
    /// The row of the zone with that index; the row of no zone when it has none.
    pub fn of(&self, index: usize) -> u16 {
        self.0.get(index).copied().unwrap_or(NO_ZONE)
    }
}

impl Counters {
    /// Counters without any worker yet, with room for the zones that there are at the start, and
    /// some more.
    pub fn new(zones: usize) -> Self {
        // Rows are numbered in 16 bits. Each takes 256 bytes of each worker.
        let rows = (1 + zones + SPARE_ROWS + 1).min(usize::from(u16::MAX));
        Self { blocks: Mutex::default(), zones: Mutex::default(), rows }
    }

    /// The counters of one more worker, which alone writes them.
    pub fn worker(&self) -> Tally {
        Tally { block: self.block(), _alone: PhantomData }
    }

    /// The counters of what several threads do.
    pub fn shared(&self) -> SharedTally {
        SharedTally { block: self.block() }
    }

    fn block(&self) -> Arc<Block> {
        let block = Arc::new(Block {
            replies: Default::default(),
            events: Default::default(),
            rows: (0..self.rows).map(|_| Row::default()).collect(),
        });
        lock(&self.blocks).push(block.clone());
        block
    }

    /// The rows of these zones: those that zones of the same names have already, and new ones.
    pub fn rows(&self, zones: &Zones) -> Rows {
        let mut known = lock(&self.zones);
        let row = |name: &DnsName| {
            let place = known.iter().position(|zone| zone == name).unwrap_or_else(|| {
                // The last row is that of all zones that find no room.
                if known.len() + 2 < self.rows {
                    known.push(name.clone());
                    known.len() - 1
                } else {
                    self.rows - 2
                }
            });
            (place + 1) as u16
        };
        Rows(zones.iter().map(|zone| zone.name()).map(row).collect())
    }

    /// What all workers have counted up to now.
    pub fn read(&self) -> Totals {
        let blocks = lock(&self.blocks).clone();
        let zones = lock(&self.zones).clone();
        Totals::of(&blocks, zones, self.rows)
    }
}

impl Tally {
    /// Counts one packet.
    #[inline]
    pub fn count(&self, way: Way, outcome: Outcome) {
        self.block.count(way, outcome, add_alone);
    }

    /// Counts something else.
    #[inline]
    pub fn note(&self, event: Event) {
        add_alone(&self.block.events[event as usize]);
    }
}

impl SharedTally {
    /// Counts one packet.
    pub fn count(&self, way: Way, outcome: Outcome) {
        self.block.count(way, outcome, add_beside_others);
    }

    /// Counts something else.
    pub fn note(&self, event: Event) {
        add_beside_others(&self.block.events[event as usize]);
    }
}

impl Block {
    #[inline]
    fn count(&self, way: Way, outcome: Outcome, add: impl Fn(&AtomicU64)) {
        let Outcome { question, cookie, reply, truncated } = outcome;
        add(&self.replies[way as usize][cookie as usize][reply as usize]);
        if truncated {
            add(&self.events[Event::Truncated as usize]);
        }
        if let Some(Question { row, kind, decided }) = question
            && let Some(row) = self.rows.get(usize::from(row))
        {
            add(&row.0[kind as usize][decided as usize]);
        }
    }
}

/// Adds one, with nobody else writing. Relaxed: a counter orders nothing.
#[inline]
fn add_alone(cell: &AtomicU64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Adds one beside others who do. Relaxed: a counter orders nothing.
fn add_beside_others(cell: &AtomicU64) {
    cell.fetch_add(1, Ordering::Relaxed);
}

/// What a panic leaves behind is whole: a list that only grows.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
