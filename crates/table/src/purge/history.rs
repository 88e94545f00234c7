//! What the event ring still tells about how entries came to be.
//!
//! Each report is an event with its time, weight and seconds. If all reports of an entry are there,
//! from its beginning on, the same function that made its life makes it once more, and can make it
//! without some of them. That all are there is not believed but proved: count, end, beginning and marks
//! must come out as the entry has them. They do not where the ring has come round or a resize began a new one,
//! the policy has changed in between, an administrator's sweep has cut the life, or a report is just being made.

use std::collections::HashMap;

use crate::decision::{Entry, UnixSeconds};
use crate::event::{Event, EventKind, EventReader, Next, Share};
use crate::network::Network;
use crate::policy_block::Terms;
use crate::slots::{Change, Kind};
use crate::table::Table;
use crate::word::{COUNT_MAX, Life};

/// Looks in all at events that their writers have yet to finish; each needs some nanoseconds.
const LOOKS: u32 = 1000;

/// The reports of the entries that began within the ring's reach.
#[derive(Debug)]
pub(crate) struct History {
    reader: EventReader,
    /// Looks that are left.
    looks: u32,
    terms: Terms,
    reports: HashMap<Network, Vec<Told>>,
}

/// A report, as its event tells it.
#[derive(Clone, Copy, Debug)]
struct Told {
    time: UnixSeconds,
    reporter: u8,
    reason: u8,
    weight: u32,
    seconds: u32,
}

impl Told {
    fn is_of(&self, share: Share) -> bool {
        match share {
            Share::Reporter(reporter) => self.reporter == reporter,
            Share::Reason(reason) => self.reason == reason,
        }
    }
}

/// An entry as some of its reports make it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) life: Life,
    pub(crate) first: UnixSeconds,
    pub(crate) reasons: u64,
    pub(crate) reporters: u64,
}

impl History {
    /// Of nothing yet, from the oldest event on.
    pub(crate) fn new(table: &Table) -> Self {
        let (reader, terms) = (table.events(Some(0)), table.latest().policy_block().terms());
        Self { reader, looks: LOOKS, terms, reports: HashMap::new() }
    }

    /// Takes in the events that came since.
    pub(crate) fn read(&mut self, table: &Table, now: UnixSeconds) {
        let mut time = now;
        // No further, lest busy writers keep us for ever.
        let end = table.serial();
        while self.reader.next_number() < end {
            match table.next_event(&mut self.reader, time) {
                Next::Event(event) => self.note(&event),
                // Which entries it was about is not known.
                Next::Lost(_) => self.reports.clear(),
                Next::Nothing if self.looks > 0 => {
                    self.looks -= 1;
                    std::thread::yield_now();
                }
                // Its writer is dead or stopped: as if the time for him were over.
                Next::Nothing => time = time.wrapping_add(1 << 16),
            }
        }
    }

    fn note(&mut self, event: &Event) {
        let &Event { time, reporter, reason, weight, seconds, .. } = event;
        let told = Told { time, reporter, reason, weight, seconds };
        match event.kind {
            EventKind::Added => _ = self.reports.insert(event.network, vec![told]),
            EventKind::Extended => {
                if let Some(reports) = self.reports.get_mut(&event.network) {
                    reports.push(told);
                }
            }
            // Of an earlier purge. Should it have had to leave the rest as it was, nothing can be
            // proved any more, and it comes out so.
            EventKind::Reduced => {
                let reports = self.reports.get_mut(&event.network);
                if let Some((reports, share)) = reports.zip(event.share()) {
                    reports.retain(|told| !told.is_of(share));
                }
            }
            EventKind::Forgiven
            | EventKind::Whitened
            | EventKind::Evicted
            | EventKind::Expired
            | EventKind::WhiteEnded => _ = self.reports.remove(&event.network),
        }
    }

    /// What would be left of a black entry without a share: `None` if nobody can tell,
    /// nothing if it would have run out.
    pub(crate) fn without(
        &self,
        entry: &Entry,
        share: Share,
        now: UnixSeconds,
    ) -> Option<Option<Left>> {
        let reports = self.reports.get(&entry.network).filter(|_| !entry.white)?;
        let whole = self.replay(reports.iter())?;
        let is_proved = whole.life.count() == entry.count
            && entry.count < COUNT_MAX
            && whole.life.remaining(now) == entry.remaining
            && whole.first == entry.first
            && (whole.reasons, whole.reporters) == (entry.reasons, entry.reporters);
        let left = || self.replay(reports.iter().filter(|told| !told.is_of(share)));
        let is_alive = |left: &Left| left.life.is_alive(now, self.terms.floor);
        is_proved.then(|| left().filter(is_alive))
    }

    /// What these reports make, one after the other; nothing if there are none.
    fn replay<'a>(&self, reports: impl Iterator<Item = &'a Told>) -> Option<Left> {
        let mut made: Option<Left> = None;
        for told in reports {
            let change = self.change(told);
            let old = made.filter(|made| made.life.is_alive(told.time, self.terms.floor));
            let life = change.next(old.map(|old| old.life), 0).ok()?;
            let old = old.unwrap_or(Left { life, first: told.time, reasons: 0, reporters: 0 });
            made = Some(Left {
                life,
                first: old.first,
                reasons: old.reasons | 1 << (told.reason & 63),
                reporters: old.reporters | 1 << (told.reporter & 63),
            });
        }
        made
    }

    /// The change that a report was.
    fn change(&self, told: &Told) -> Change {
        let Told { time: now, reporter, reason, weight, seconds } = *told;
        let kind = match seconds {
            u32::MAX => Kind::Endless { weight },
            0 => {
                let seconds = self.terms.base_ttl.saturating_mul(weight);
                Kind::Rejections { weight, seconds, most: self.terms.max_ttl }
            }
            _ => Kind::Rejections { weight, seconds, most: self.terms.max_ttl },
        };
        Change { kind, reason, reporter, now, floor: self.terms.floor }
    }
}
