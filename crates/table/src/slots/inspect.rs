//! Judging a slot by its words, for a check of the whole table beside writers.
//!
//! A judgement is about an instant: it is made between two looks at the control word that found
//! it unchanged, and that word carries the generation. So what looks wrong is wrong, however busy
//! the slot is.

use super::{ReadyAt, Slots, field};
use crate::decision::UnixSeconds;
use crate::network::Network;
use crate::sync::{Ordering, fence};
use crate::word::{Control, Life, Mark, State};

/// Looks at a slot that changes hands each time, before it is taken for what it is: in good use.
const LOOKS: u32 = 16;

/// What a slot held at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) control: Control,
    pub(crate) holds: Holds,
}

/// What a slot is in use for, or what is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holds {
    /// Free.
    Nothing,
    /// An entry that a look-up finds, alive or expired.
    Entry(EntryWords),
    /// Its eviction was begun, and whoever comes next finishes it.
    Ending,
    /// Claimed or at rest; the time of the claim if the owner got as far as to write it.
    Held { since: Option<UnixSeconds> },
    /// Frozen by a resize.
    Frozen,
    /// A control word that no writer writes.
    NoState,
    /// READY, but the key is not the one of the tag, or does not belong here.
    Stray,
    /// An entry's life is neither of its generation nor that generation's end.
    LostLife(Network),
    /// A life that no change makes: black without a count, or white with one.
    OddLife(Network, Life),
}

/// An entry's words. A mark is missing if it is of another generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryWords {
    pub(crate) network: Network,
    pub(crate) life: Life,
    first: Option<u64>,
    reasons: Option<u64>,
    last: Option<u64>,
    reporters: Option<u64>,
}

impl EntryWords {
    /// Bits of the reasons and of the reporters, as far as they are known.
    pub(crate) fn bits(&self) -> (u64, u64) {
        let join = |high: Option<u64>, low: Option<u64>| {
            (high.unwrap_or(0) & 0xffff) << 48 | low.unwrap_or(0)
        };
        (join(self.first, self.reasons), join(self.last, self.reporters))
    }

    /// Whether all marks are there, and are what a change leaves: it has a reason unless the entry
    /// is white, a reporter, and was not seen last before it was first seen.
    pub(crate) fn has_good_marks(&self) -> bool {
        let marks = [self.first, self.reasons, self.last, self.reporters];
        let (reasons, reporters) = self.bits();
        marks.iter().all(Option::is_some)
            && (reasons != 0) != self.life.is_white()
            && reporters != 0
            && self.first.map(|first| first >> 16) <= self.last.map(|last| last >> 16)
    }
}

impl Slots<'_> {
    /// What one slot holds.
    pub(crate) fn inspect(&self, slot: usize) -> Seen {
        for _ in 0..LOOKS {
            if let Some(seen) = self.inspect_under(slot, self.control(slot)) {
                return seen;
            }
        }
        Seen { control: self.control(slot), holds: Holds::Nothing }
    }

    /// What the slot holds under this control word; nothing can be said if it has another by now.
    fn inspect_under(&self, slot: usize, control: Control) -> Option<Seen> {
        let holds = self.holds(slot, control);
        let is_certain = matches!(holds, Holds::Nothing) || !self.changed(slot, control);
        is_certain.then_some(Seen { control, holds })
    }

    fn holds(&self, slot: usize, control: Control) -> Holds {
        if control.state().is_some() && control.is_frozen() {
            return Holds::Frozen;
        }
        match control.state() {
            Some(State::Empty) if control == Control::empty(control.generation()) => Holds::Nothing,
            Some(State::Claimed) => self.held(slot, control.generation()),
            Some(State::Quarantined) => self.held(slot, control.generation().wrapping_sub(1)),
            Some(State::Ready) => self.ready(slot, control),
            // MOVED is only ever written together with the frozen bit.
            Some(State::Empty | State::Moved) | None => Holds::NoState,
        }
    }

    fn held(&self, slot: usize, claim: u32) -> Holds {
        let mark = Mark(self.bodies[slot][field::FIRST].load(Ordering::Relaxed));
        let written = Some(mark).filter(|mark| mark.0 != 0);
        let first = written.and_then(|mark| mark.payload(claim));
        Holds::Held { since: first.map(|first| (first >> 16) as u32) }
    }

    fn ready(&self, slot: usize, control: Control) -> Holds {
        let body = &self.bodies[slot];
        let word = |field: usize| body[field].load(Ordering::Relaxed);
        let key =
            Network::from_words(word(field::KEY_HIGH), word(field::KEY_LOW), control.length());
        let at_home = |network: &Network| {
            let place = self.place(*network);
            place.tag == control.tag() && place.slots().any(|home| home == slot)
        };
        let life = self.life(slot);
        match key.filter(at_home) {
            _ if life.is_frozen() => Holds::Frozen,
            None => Holds::Stray,
            Some(_) if life == Life::dead(control.generation() + 1) => Holds::Ending,
            Some(network) if !life.is_of(control) => Holds::LostLife(network),
            Some(network) if (life.count() > 0) == life.is_white() => Holds::OddLife(network, life),
            Some(network) => {
                let mark = |field: usize| Mark(word(field)).payload(control.generation());
                Holds::Entry(EntryWords {
                    network,
                    life,
                    first: mark(field::FIRST),
                    reasons: mark(field::REASONS),
                    last: mark(field::LAST),
                    reporters: mark(field::REPORTERS),
                })
            }
        }
    }

    /// The first lower slot that holds an entry for the same key at the same instant. (Look-ups
    /// and changes take the first one in this order.)
    pub(crate) fn lower_twin(&self, slot: usize, seen: Control, network: Network) -> Option<usize> {
        let place = self.place(network);
        place.slots().take_while(|&lower| lower < slot).find(|&lower| {
            let is_entry = match self.ready_at(lower, &place) {
                ReadyAt::Entry(control, life) => life.is_of(control),
                ReadyAt::Other(_) => false,
            };
            // The higher one was seen before, and a life that was ended does not come back in
            // one generation. If it is there still, it was there while the lower one was looked at.
            fence(Ordering::SeqCst);
            is_entry && self.life(slot).is_of(seen) && !self.changed(slot, seen)
        })
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{BODY, BUCKET, Change, Kind, Liveness};
    use super::*;
    use crate::hash::Seed;
    use crate::sync::AtomicU64;
    use crate::word::EPOCH;

    const NOW: u32 = EPOCH + 100_000;
    const ALIVE: Liveness = Liveness { namespace: 0, pid: |_| 100, is_gone: |_, _| false };

    fn network(i: u8) -> Network {
        Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into())
    }

    /// Sixteen slots, in all of which every key may live.
    fn with_slots(test: impl Fn(Slots<'_>)) {
        let controls: Vec<_> = (0..2 * BUCKET).map(|_| AtomicU64::new(0)).collect();
        let bodies: Vec<[AtomicU64; BODY]> =
            (0..2 * BUCKET).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
        test(Slots::new(&controls, &bodies, Seed(7, 11)));
    }

    fn record(slots: &Slots<'_>, key: Network) {
        let kind = Kind::Rejections { weight: 1, seconds: 600, most: 604_800 };
        let change = Change { kind, reason: 2, reporter: 0, now: NOW, floor: 60 };
        slots.update(&slots.place(key), &change, &ALIVE, |_| ()).unwrap();
    }

    fn forget(slots: &Slots<'_>, key: Network) {
        assert!(slots.forget(&slots.place(key), NOW, 60, |_| true).unwrap());
    }

    fn slot_of(slots: &Slots<'_>, key: Network) -> usize {
        let holds = |&slot: &usize| slots.entry_at(slot).is_some_and(|view| view.network == key);
        (0..slots.len()).find(holds).unwrap()
    }

    /// The slot gets another key between the look at its control word and that at its body.
    ///
    /// Caught: a judgement without a last look at the control word.
    #[test]
    fn a_slot_that_changes_hands_is_not_taken_for_damaged() {
        with_slots(|slots| {
            record(&slots, network(1));
            let slot = slot_of(&slots, network(1));
            let seen = slots.inspect(slot);
            assert!(matches!(seen.holds, Holds::Entry(entry) if entry.network == network(1)));
            forget(&slots, network(1));
            let is_there = |i: &u8| {
                record(&slots, network(*i));
                slots.entry_at(slot).is_some()
            };
            assert!((2..100).any(|i| is_there(&i)), "the slot is used again");
            assert!(matches!(slots.holds(slot, seen.control), Holds::Stray | Holds::LostLife(_)));
            assert!(slots.inspect_under(slot, seen.control).is_none());
            assert!(matches!(slots.inspect(slot).holds, Holds::Entry(_)));
        });
    }

    /// The key's entry is ended, and made anew in a lower slot, between the looks at the two.
    ///
    /// Caught: `lower_twin` without its look back.
    #[test]
    fn an_entry_that_moves_down_is_not_taken_for_two() {
        with_slots(|slots| {
            // All slots, so that a key goes where room is made.
            (10..26).for_each(|i| record(&slots, network(i)));
            let (low, high) = (slots.entry_at(2).unwrap(), slots.entry_at(13).unwrap());
            forget(&slots, high.network);
            record(&slots, network(1));
            let slot = slot_of(&slots, network(1));
            assert_eq!(slot, 13);
            let seen = slots.inspect(slot).control;
            assert_eq!(slots.lower_twin(slot, seen, network(1)), None);
            forget(&slots, network(1));
            record(&slots, high.network);
            forget(&slots, low.network);
            record(&slots, network(1));
            assert_eq!(slot_of(&slots, network(1)), 2);
            assert_eq!(slots.lower_twin(slot, seen, network(1)), None);
        });
    }
}
