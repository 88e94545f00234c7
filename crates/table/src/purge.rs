//! Undoing reports in bulk: one reporter's, those of one reason, or all.
//!
//! `slots::purge` has the steps; here is what is done to which entry. Of an entry that others reported,
//! too, count and life are sums of which only the total is kept. [`history`] proves what is left of
//! them without the one who goes, as long as the event ring still has all reports of the entry.
//! Otherwise they stay: the entry was rightly made by the others, and life runs down by itself.

mod history;

use crate::changes::Changes;
use crate::counters::Counter;
use crate::decision::{Entry, UnixSeconds};
use crate::dictionary::ADMIN;
use crate::event::{Event, EventKind, Share};
use crate::network::Network;
use crate::refusal::Refusal;
use crate::slots::{self, Loss, Verdict};
use crate::table::Table;
use crate::writable::WritableTable;
use history::Left;

pub(crate) use history::History;

/// What a purge is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// What a reporter did, whitelistings, too; or listings for a reason.
    Share(Share),
    /// All listings, whoever made them.
    Listings,
    /// All whitelistings, whoever made them.
    Whitelistings,
}

/// Which part of the table is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// What it is about.
    pub subject: Subject,
    /// Only entries within this network.
    pub within: Option<Network>,
}

/// What a purge did, in entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Listings that were ended.
    pub ended: u64,
    /// Whitelistings that were ended.
    pub white_ended: u64,
    /// Entries that go on exactly as if the share that was taken out had never been.
    pub reduced: u64,
    /// Entries that go on without the mark, but with a count and a life of which nobody knows any more
    /// how much was whose.
    pub kept: u64,
    /// Entries that could not be dealt with: other writers were always faster, or a resize found no
    /// room for them.
    pub left: u64,
}

impl Purged {
    /// Entries that were dealt with.
    pub fn total(&self) -> u64 {
        self.ended + self.white_ended + self.reduced + self.kept
    }

    fn add(&mut self, one: slots::Purged) {
        let kind = match one {
            slots::Purged::Untouched => return,
            slots::Purged::Ended { white: false } => &mut self.ended,
            slots::Purged::Ended { white: true } => &mut self.white_ended,
            slots::Purged::Reduced { exactly: true } => &mut self.reduced,
            slots::Purged::Reduced { exactly: false } => &mut self.kept,
        };
        *kind += 1;
    }
}

impl Purge {
    /// Whether it is about this entry at all.
    fn concerns(&self, entry: &Entry) -> bool {
        let is_its = match self.subject {
            Subject::Share(Share::Reporter(reporter)) => {
                entry.reporters >> (reporter & 63) & 1 == 1
            }
            Subject::Share(Share::Reason(reason)) => {
                !entry.white && entry.reasons >> (reason & 63) & 1 == 1
            }
            Subject::Listings => !entry.white,
            Subject::Whitelistings => entry.white,
        };
        is_its && self.within.is_none_or(|within| within.contains(entry.network))
    }

    /// What becomes of an entry.
    fn judge(&self, entry: &Entry, history: &History, now: UnixSeconds) -> Verdict {
        if !self.concerns(entry) {
            return Verdict::Stays;
        }
        let Subject::Share(share) = self.subject else { return Verdict::Ends };
        let (reporters, reasons) = match share {
            Share::Reporter(reporter) => (1 << (reporter & 63), 0),
            Share::Reason(reason) => (0, 1 << (reason & 63)),
        };
        let is_alone = match share {
            Share::Reporter(_) => entry.reporters == reporters,
            Share::Reason(_) => entry.reasons == reasons,
        };
        if is_alone {
            return Verdict::Ends;
        }
        match history.without(entry, share, now) {
            None => Verdict::Loses(Loss { reporters, reasons, rest: None }),
            // What the others reported has run out by now, or would have.
            Some(None) => Verdict::Ends,
            Some(Some(Left { life, first, reasons, reporters })) => Verdict::Loses(Loss {
                reporters: entry.reporters & !reporters,
                reasons: entry.reasons & !reasons,
                rest: Some((life, first)),
            }),
        }
    }

    fn needs_history(&self) -> bool {
        matches!(self.subject, Subject::Share(_))
    }

    fn history(&self, table: &Table, now: UnixSeconds) -> History {
        let mut history = History::new(table);
        if self.needs_history() {
            history.read(table, now);
        }
        history
    }
}

impl Table {
    /// What [`WritableTable::purge`] would do now.
    pub fn would_purge(&self, purge: &Purge, now: UnixSeconds) -> Purged {
        let history = purge.history(self, now);
        let mut purged = Purged::default();
        for entry in self.entries(now) {
            purged.add(match purge.judge(&entry, &history, now) {
                Verdict::Stays => slots::Purged::Untouched,
                Verdict::Ends => slots::Purged::Ended { white: entry.white },
                Verdict::Loses(loss) => slots::Purged::Reduced { exactly: loss.rest.is_some() },
            });
        }
        purged
    }
}

impl WritableTable {
    /// Undoes a part of the reports, in one pass through the table beside all writers. What is
    /// reported meanwhile may or may not be undone; what is reported afterwards counts.
    ///
    /// An entry that nobody else reported (or not for another reason) ends. Of others the mark goes, so
    /// that a quorum counts it no more, and with it what was added to count and life if that can be
    /// proved from the event ring; otherwise both stay ([`Purged::kept`]). Events and counters are as if
    /// the administrator had done it by hand.
    ///
    /// What a reporter ended, or turned white, does not come back.
    pub fn purge(&self, purge: &Purge, now: UnixSeconds) -> Result<Purged, Refusal> {
        let mut history = purge.history(self, now);
        let mut purged = Purged::default();
        for entry in self.entries(now).filter(|entry| purge.concerns(entry)) {
            if purge.needs_history() {
                // Reports that came since; without them nothing could be proved.
                history.read(self, now);
            }
            let one = self.change(|changes| changes.purge(entry.network, purge, &history, now));
            match one {
                Ok(one) => purged.add(one),
                Err(Refusal::Retired) => return Err(Refusal::Retired),
                Err(_) => purged.left += 1,
            }
        }
        Ok(purged)
    }
}

impl Changes<'_> {
    /// Undoes a part of one entry, of exactly this key.
    fn purge(
        &self,
        key: Network,
        purge: &Purge,
        history: &History,
        now: UnixSeconds,
    ) -> Result<slots::Purged, Refusal> {
        let floor = self.policy_block().terms().floor;
        let slots = self.entered(key, floor, now)?;
        let judge = |entry: &Entry| purge.judge(entry, history, now);
        let purged = slots.purge(&slots.place(key), now, floor, judge)?;
        let (counter, kind) = match purged {
            slots::Purged::Untouched => return Ok(purged),
            slots::Purged::Ended { white: false } => (Counter::Forgiven, EventKind::Forgiven),
            slots::Purged::Ended { white: true } => (Counter::WhiteEnded, EventKind::WhiteEnded),
            slots::Purged::Reduced { .. } => (Counter::Reduced, EventKind::Reduced),
        };
        let weight = match (purged, purge.subject) {
            (slots::Purged::Reduced { .. }, Subject::Share(share)) => share.code(),
            _ => 0,
        };
        self.tell(counter, &Event { weight, ..Event::of(kind, key, ADMIN, now) });
        Ok(purged)
    }
}
