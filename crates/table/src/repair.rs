//! Mending a live table, while others go on.
//!
//! Only what is safe at any moment: each step is a compare-and-swap of the words that were judged,
//! and what `slots::repair` says about stopped writers holds. What a repair cannot do, another
//! command does (the policy), or nobody without stopping Exim (the header).

use std::ops::Deref;

use crate::counters::{self, Counter};
use crate::decision::UnixSeconds;
use crate::dictionary::{ADMIN, Dictionary, Name};
use crate::event::{Event, EventKind};
use crate::fault::{Fault, SlotFault, Which, Wrong};
use crate::network::Network;
use crate::owners::{Owner, Owners};
use crate::slots::Bits;
use crate::table::Table;
use crate::verify::{Finding, Told};
use crate::writable::WritableTable;

/// Looks at the whole table: mending one thing may bring up the next (a slot that was put to rest
/// can be taken back), but writers who are killed all the time must not keep us for ever.
const ROUNDS: u32 = 4;

/// What a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What was mended, and how.
    pub mended: Vec<String>,
    /// What is left, as [`Table::verify_at`] finds it.
    pub left: Vec<Finding>,
}

impl Table {
    /// Whether a repair would mend this.
    pub(crate) fn is_repairable(&self, owners: &Owners<'_>, fault: &Fault) -> bool {
        match *fault {
            Fault::Header | Fault::Retired | Fault::Policy => false,
            Fault::Predecessor(_) | Fault::EventsUnfinished(_) | Fault::EventsSpoilt(_) => false,
            Fault::HeadBehind(_) => true,
            Fault::Name(which, place, flaw) => self.dictionary(which).is_mendable(place, flaw),
            Fault::Fixed(which, place, name) => Name::new(name.as_bytes())
                .is_some_and(|name| self.dictionary(which).is_restorable(place, &name)),
            Fault::Slot(SlotFault { control, wrong, .. }) => match wrong {
                Wrong::Held(_) => owners.of(control).is_gone(),
                Wrong::Frozen | Wrong::Marks(_) | Wrong::Far(_) => false,
                Wrong::Ending | Wrong::NoState | Wrong::Stray | Wrong::LostLife(_) => true,
                Wrong::OddLife(..) | Wrong::Second(..) | Wrong::Hidden(_) => true,
                Wrong::Unnamed(_) => true,
            },
        }
    }

    fn dictionary(&self, which: Which) -> Dictionary<'_> {
        match which {
            Which::Reason => self.reason_dictionary(),
            Which::Reporter => self.reporter_dictionary(),
        }
    }
}

impl WritableTable {
    /// Mends what can be mended while others go on, and says what it did and what is left.
    ///
    /// Slots of owners who are gone come back: of dead ones, of such whose pid is another process's by
    /// now (root can see that of everybody), and of all if nobody else has the table open. For
    /// that last proof, no other thread of this process may use the table.
    pub fn repair(&self, now: UnixSeconds) -> Repair {
        let (mut told, mut mended) = (Told::default(), Vec::new());
        for _ in 0..ROUNDS {
            let before = told.total();
            // Writable, as this one is.
            let table = Mender(self.latest());
            table.examine(Some(now), |owners, fault| {
                if let Some(text) = table.mend(owners, &fault, now)
                    && told.takes(&fault)
                {
                    mended.push(text);
                }
            });
            if told.total() == before {
                break;
            }
        }
        mended.extend(told.rest().map(|(kind, count)| format!("and {count} more {}", kind.kind())));
        Repair { mended, left: self.verify_at(now) }
    }
}

/// A table that may be written to.
struct Mender<'a>(&'a Table);

impl Deref for Mender<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.0
    }
}

impl Mender<'_> {
    /// Mends one fault; says how, or nothing if it was not done.
    fn mend(&self, owners: &Owners<'_>, fault: &Fault, now: UnixSeconds) -> Option<String> {
        if !self.has_good_header() || !self.is_repairable(owners, fault) {
            return None;
        }
        match *fault {
            Fault::HeadBehind(to) => {
                self.ring().advance(to);
                Some(format!("events: the newest number was set to {to}"))
            }
            Fault::Name(which, place, flaw) => {
                let how = self.dictionary(which).mend(place, flaw)?;
                Some(format!("{} {place}: {how}", which.word()))
            }
            Fault::Fixed(which, place, text) => {
                let name = Name::new(text.as_bytes())?;
                let done = self.dictionary(which).restore(place, &name);
                done.then(|| format!("{} {place}: is \"{text}\" again", which.word()))
            }
            Fault::Slot(fault) => {
                let how = self.mend_slot(owners, &fault, now)?;
                Some(format!("slot {}: {how}", fault.slot))
            }
            _ => None,
        }
    }

    fn mend_slot(
        &self,
        owners: &Owners<'_>,
        fault: &SlotFault,
        now: UnixSeconds,
    ) -> Option<String> {
        let slots = self.slots();
        let SlotFault { slot, control, wrong } = *fault;
        match wrong {
            Wrong::Held(_) => {
                let owner = owners.of(control);
                let done = owner.is_gone() && slots.take_back(slot, control);
                done.then(|| {
                    counters::add(self.counter_words(), Counter::Reclaimed, 1);
                    format!("taken back: {}", gone(owner))
                })
            }
            Wrong::Ending => slots
                .finish_ending(slot, control)
                .then(|| "the eviction that was begun is finished".to_owned()),
            Wrong::LostLife(network) => slots
                .finish_ending(slot, control)
                .then(|| format!("emptied of {network}, which nobody could find")),
            Wrong::NoState | Wrong::Stray => slots.lay_to_rest(slot, control).then(|| {
                "put to rest: it is used again when it is certain that no writer holds it"
                    .to_owned()
            }),
            Wrong::OddLife(network, life) => slots.end_entry(slot, control, life).then(|| {
                self.tell(EventKind::Evicted, network, now);
                format!("the entry for {network} is ended")
            }),
            // Nobody has seen it: look-ups and changes take the first one.
            Wrong::Second(network, life, _) => slots
                .end_entry(slot, control, life)
                .then(|| format!("the second entry for {network} is ended")),
            Wrong::Hidden(network) => {
                self.lengths().add(network);
                self.tell(EventKind::Added, network, now);
                Some(format!("{network} is found again"))
            }
            Wrong::Unnamed(network) => {
                let named = || self.named();
                let reasons = slots.drop_bits(slot, control, Bits::Reasons, || named().0);
                let reporters = slots.drop_bits(slot, control, Bits::Reporters, || named().1);
                (reasons || reporters)
                    .then(|| format!("{network} has no more reasons or reporters without a name"))
            }
            Wrong::Frozen | Wrong::Marks(_) | Wrong::Far(_) => None,
        }
    }

    /// Notes that look-ups answer otherwise now.
    fn tell(&self, kind: EventKind, network: Network, time: UnixSeconds) {
        self.ring().publish(&Event::of(kind, network, ADMIN, time));
    }
}

fn gone(owner: Owner) -> String {
    match owner {
        Owner::Dead(pid) => format!("process {pid} has died"),
        Owner::Another(pid) => {
            format!("process {pid} is not its owner, for it does not have the table open")
        }
        _ => "nobody else has the table open".to_owned(),
    }
}
