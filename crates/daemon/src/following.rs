//! The table's changes, one after the other, for all that passes them on or keeps them.
//!
//! Whoever follows has a thread of its own and asks again every few milliseconds: writers are
//! Exim's processes, which wake nobody. The table may be replaced meanwhile, by a resized one,
//! whose events go on where the old one's ended, or by another, which begins anew.

use std::sync::Arc;

use eximrbl_table::{Event, EventReader, Next, Table, UnixSeconds};

use crate::served::Shared;

/// A place among the changes, which may outlive this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Position {
    /// [`Table::stream`].
    pub(crate) stream: u64,
    /// The number of the next change.
    pub(crate) next: u64,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A change.
    Event(Event),
    /// Nothing, for now.
    Nothing,
    /// So many changes were overwritten before they were read: the table says what is.
    Lost(u64),
    /// Another table is served, and what follows is its changes: it says what is.
    Replaced,
}

/// Follows the changes of whatever table is served.
pub(crate) struct Following {
    shared: Arc<Shared>,
    table: Arc<Table>,
    reader: EventReader,
    /// Whether the position that was asked for is of another table.
    is_elsewhere: bool,
}

impl Following {
    /// From a position on, or from now on.
    pub(crate) fn new(shared: Arc<Shared>, from: Option<Position>) -> Self {
        let table = shared.served().table.clone();
        let here = from.filter(|from| from.stream == table.stream());
        let reader = table.events(here.map(|here| here.next));
        let is_elsewhere = from.is_some() && here.is_none();
        Self { shared, table, reader, is_elsewhere }
    }

    /// What comes next.
    pub(crate) fn step(&mut self, now: UnixSeconds) -> Step {
        if std::mem::take(&mut self.is_elsewhere) {
            return Step::Replaced;
        }
        match self.table.next_event(&mut self.reader, now) {
            Next::Event(event) => Step::Event(event),
            Next::Lost(lost) => Step::Lost(lost),
            Next::Nothing => self.look(),
        }
    }

    /// Looks whether another table is served; only when this one has nothing more to tell.
    fn look(&mut self) -> Step {
        let served = self.shared.served().table.clone();
        if Arc::ptr_eq(&served, &self.table) {
            return Step::Nothing;
        }
        let is_same = served.stream() == self.table.stream();
        if !is_same {
            self.reader = served.events(None);
        }
        self.table = served;
        if is_same { Step::Nothing } else { Step::Replaced }
    }

    /// The table whose changes these are, to look up what they say.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The same, to be held.
    pub(crate) fn table_handle(&self) -> Arc<Table> {
        self.table.clone()
    }

    /// Where to go on after all that was read.
    pub(crate) fn position(&self) -> Position {
        Position { stream: self.table.stream(), next: self.reader.next_number() }
    }
}
