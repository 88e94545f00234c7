//! What is to be passed on: the table's changes in their order, or, of changes that were missed, the
//! entries that they made.

use std::sync::Arc;

use eximrbl_report::Order;
use eximrbl_table::{Entry, Name, Table, UnixSeconds};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{Receiver, channel, error::TryRecvError};

use super::line::{Lines, Passed};
use crate::following::{Following, Position, Step};
use crate::served::Shared;

/// Changes that are read at once; then others have their turn.
const AT_ONCE: usize = 4096;
/// Entries of a scan that wait to be sent.
const SCANNED: usize = 256;

/// How far the changes were passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The next change.
    #[serde(flatten)]
    pub(super) position: Position,
    /// What was changed before this was passed on.
    pub(super) time: UnixSeconds,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// This is to be sent; as long as it is not, the place to begin again.
    Order(Order, Progress),
    /// About a network, and not sent.
    Network,
    /// Nothing, for now.
    Nothing,
    /// Ask again: there may be more.
    More,
    /// Changes were missed: the table is scanned for what they made.
    Missed(Missed),
}

/// Why changes were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// So many were overwritten.
    Lost(u64),
    /// The table is another one.
    Replaced,
}

/// The changes of the table that is served.
pub(super) struct Feed {
    following: Following,
    lines: Lines,
    own: Vec<Name>,
    /// How far it was read.
    read: Progress,
    scan: Option<Scan>,
}

/// A scan of the table under way, on a thread that may wait.
struct Scan {
    table: Arc<Table>,
    entries: Receiver<Entry>,
    own: u64,
    /// From where on to begin again if it is not finished: what is missing there now is missing then,
    /// and another scan is made.
    again: Progress,
    /// When it began.
    started: UnixSeconds,
}

impl Feed {
    /// From a place on; from now on when there is none.
    pub(super) fn new(shared: Arc<Shared>, own: &[Name], from: Option<Progress>) -> Self {
        let following = Following::new(shared, from.map(|from| from.position));
        let lines = Lines::new(own, following.table());
        let now = Progress { position: following.position(), time: eximrbl_table::now() };
        let read = from.unwrap_or(now);
        Self { following, lines, own: own.to_vec(), read, scan: None }
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Next {
        if self.scan.is_some() {
            return self.scanned();
        }
        for _ in 0..AT_ONCE {
            let now = eximrbl_table::now();
            let step = self.following.step(now);
            let time = match step {
                Step::Event(event) => event.time,
                Step::Nothing => now,
                Step::Lost(lost) => return self.missed(Missed::Lost(lost), now),
                Step::Replaced => return self.missed(Missed::Replaced, now),
            };
            self.read = Progress { position: self.following.position(), time };
            let Step::Event(event) = step else { return Next::Nothing };
            match self.lines.of_event(&event, self.following.table()) {
                Passed::Order(order) => {
                    let position = Position { next: event.sequence, ..self.read.position };
                    return Next::Order(order, Progress { position, time });
                }
                Passed::Network => return Next::Network,
                Passed::Nothing => {}
            }
        }
        Next::More
    }

    /// Begins a scan, by which what was missed is made good.
    fn missed(&mut self, missed: Missed, now: UnixSeconds) -> Next {
        let table = self.following.table_handle();
        if missed == Missed::Replaced {
            self.lines = Lines::new(&self.own, &table);
        }
        let own = self.lines.own_bits(&table);
        let mut again = self.read;
        if again.time > now {
            // By a clock that was set back since: nothing is known to be old.
            again.time = 0;
        }
        let since = again.time;
        // What the ring still has, the scan finds as well: it would be sent twice, and while the scan goes
        // on, the ring would be overrun anew.
        self.following.skip();
        let (sender, entries) = channel(SCANNED);
        let scanned = table.clone();
        // The table may have millions of entries, and the gatherer may be slow.
        tokio::task::spawn_blocking(move || {
            let is_ours = |entry: &Entry| entry.reporters & own != 0 && entry.last >= since;
            for entry in scanned.entries(now).filter(is_ours) {
                if sender.blocking_send(entry).is_err() {
                    return;
                }
            }
        });
        self.scan = Some(Scan { table, entries, own, again, started: now });
        Next::Missed(missed)
    }

    fn scanned(&mut self) -> Next {
        let Some(scan) = &mut self.scan else { return Next::Nothing };
        for _ in 0..AT_ONCE {
            let entry = match scan.entries.try_recv() {
                Ok(entry) => entry,
                Err(TryRecvError::Empty) => return Next::Nothing,
                Err(TryRecvError::Disconnected) => {
                    self.read =
                        Progress { position: self.following.position(), time: scan.started };
                    self.scan = None;
                    return Next::More;
                }
            };
            match self.lines.of_entry(&entry, scan.own, scan.again.time, &scan.table) {
                Passed::Order(order) => {
                    return Next::Order(order, scan.again);
                }
                Passed::Network => return Next::Network,
                Passed::Nothing => {}
            }
        }
        Next::More
    }

    /// How far all was passed on, if `oldest` is the oldest line that was read and is not passed on.
    pub(super) fn progress(&self, oldest: Option<Progress>) -> Progress {
        oldest.or(self.scan.as_ref().map(|scan| scan.again)).unwrap_or(self.read)
    }

    /// The table whose changes these are.
    pub(super) fn table(&self) -> &Table {
        self.following.table()
    }

    /// How many changes there are beyond a place.
    pub(super) fn behind(&self, progress: Progress) -> u64 {
        self.following.table().events_after(progress.position.next)
    }
}
