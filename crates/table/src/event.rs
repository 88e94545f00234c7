//! Following the table's changes.

use crate::decision::UnixSeconds;
use crate::dictionary::OTHER_BIT;
use crate::network::Network;

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// A new life began.
    Added = 1,
    /// A living entry was reported again.
    Extended = 2,
    /// Ended by hand or by `rbl_forgive`.
    Forgiven = 3,
    /// Whitelisted.
    Whitened = 4,
    /// Ended to make room for another.
    Evicted = 5,
    /// Its life ran out, and the sweep removed it.
    Expired = 6,
    /// A whitelisting was ended before its time.
    WhiteEnded = 7,
}

impl EventKind {
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [
            Self::Added,
            Self::Extended,
            Self::Forgiven,
            Self::Whitened,
            Self::Evicted,
            Self::Expired,
            Self::WhiteEnded,
        ]
        .into_iter()
        .find(|&kind| kind as u8 == code)
    }
}

/// One change of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Grows by one from event to event.
    pub sequence: u64,
    /// When.
    pub time: UnixSeconds,
    /// What.
    pub kind: EventKind,
    /// Bit number in the reporter dictionary.
    pub reporter: u8,
    /// Bit number in the reason dictionary; of use for the first two kinds.
    pub reason: u8,
    /// Whom.
    pub network: Network,
    /// Rejections that were added; 0 for all but the first two kinds.
    pub weight: u32,
    /// Seconds of life that were asked for; 0 where the policy decided, `u32::MAX` for no end.
    pub seconds: u32,
}

impl Event {
    /// An event without reason and amount, still to be numbered.
    pub(crate) fn of(kind: EventKind, network: Network, reporter: u8, time: UnixSeconds) -> Self {
        Self {
            sequence: 0,
            time,
            kind,
            reporter,
            reason: OTHER_BIT,
            network,
            weight: 0,
            seconds: 0,
        }
    }
}

/// The outcome of asking for the next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Here it is.
    Event(Event),
    /// Nothing (complete) beyond what was read.
    Nothing,
    /// So many events were overwritten or spoilt before they were read: scan the table instead.
    Lost(u64),
}

/// A place in the stream of events; made by [`Table::events`](crate::Table::events).
#[derive(Clone, Debug)]
pub struct EventReader {
    pub(crate) next: u64,
    /// Since when the next event has been unfinished, and which events had a number by then.
    pub(crate) stalled: Option<(UnixSeconds, u64)>,
}

impl EventReader {
    /// The sequence number of the next event to be read.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// A writer needs nanoseconds to finish an event; after these seconds he is given up.
    pub(crate) const PATIENCE: UnixSeconds = 2;
}
