//! Reading an entry without writing anything.

#[cfg(not(loom))]
use super::BODY;
use super::resize::Beside;
use super::{BUCKET, Place, Slots, field};
use crate::decision::{Entry, UnixSeconds};
use crate::network::Network;
#[cfg(not(loom))]
use crate::prefetch::prefetch;
use crate::sync::{Ordering, fence};
use crate::word::{Control, Life, Mark, State};

/// Scans of both buckets before a reader gives up. Each repetition means that a slot which looks
/// like the key's changed hands in those nanoseconds; to give up is to fail open.
const SCANS: usize = 16;

/// An entry as its words said at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) network: Network,
    pub(crate) life: Life,
    pub(super) first: u64,
    pub(super) reasons: u64,
    pub(super) last: u64,
    pub(super) reporters: u64,
}

impl View {
    /// The entry as seen at `now`, whether alive or not.
    pub(crate) fn entry(&self, now: UnixSeconds) -> Entry {
        Entry {
            network: self.network,
            white: self.life.is_white(),
            count: self.life.count(),
            remaining: self.life.remaining(now),
            first: (self.first >> 16) as u32,
            last: (self.last >> 16) as u32,
            reasons: (self.first & 0xffff) << 48 | self.reasons,
            reporters: (self.last & 0xffff) << 48 | self.reporters,
        }
    }
}

impl Slots<'_> {
    /// The key's entry, alive or expired.
    pub(crate) fn lookup(&self, place: &Place) -> Option<View> {
        match self.beside {
            Beside::Nothing => self.lookup_here(place),
            _ => self.lookup_beside(place),
        }
    }

    /// The key's entry in this table alone.
    pub(super) fn lookup_here(&self, place: &Place) -> Option<View> {
        'scan: for _ in 0..SCANS {
            let mut candidates = self.candidates(place);
            while candidates != 0 {
                let i = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                let slot = place.buckets[i / BUCKET] + i % BUCKET;
                let control = self.control(slot);
                if !control.is_ready_with(place.tag) {
                    continue 'scan;
                }
                let view = self
                    .has_key(slot, place.network)
                    .then(|| self.view(slot, control, self.life(slot), place.network));
                if self.changed(slot, control) {
                    continue 'scan;
                }
                // A generation apart: its eviction has been decided.
                if let Some(view) = view.filter(|view| view.life.is_of(control)) {
                    return Some(view);
                }
            }
            return None;
        }
        None
    }

    /// Which of the key's slots look like its entry, a bit each, lowest slot first. All words are
    /// loaded before any is judged by a branch, so the two cache lines arrive at the same time.
    fn candidates(&self, place: &Place) -> u32 {
        let bucket = |i: usize| self.controls[place.buckets[i]..][..BUCKET].iter();
        bucket(0).chain(bucket(1)).enumerate().fold(0, |bits, (i, word)| {
            let control = Control(word.load(Ordering::Relaxed));
            bits | u32::from(control.is_ready_with(place.tag)) << i
        })
    }

    /// Asks the memory for the key's control words.
    #[cfg(not(loom))]
    pub(crate) fn prefetch_controls(&self, place: &Place) {
        for bucket in place.buckets {
            prefetch(&self.controls[bucket]);
        }
    }

    /// Asks the memory for what looks like the key's entry.
    #[cfg(not(loom))]
    pub(crate) fn prefetch_bodies(&self, place: &Place) {
        let candidates = self.candidates(place);
        if candidates != 0 {
            let i = candidates.trailing_zeros() as usize;
            let body = &self.bodies[place.buckets[i / BUCKET] + i % BUCKET];
            // 56 bytes at any offset: perhaps on two cache lines.
            prefetch(&body[0]);
            prefetch(&body[BODY - 1]);
        }
    }

    /// The entry in one slot, whatever its key is; for scans of the whole table.
    pub(crate) fn entry_at(&self, slot: usize) -> Option<View> {
        for _ in 0..SCANS {
            let control = self.control(slot);
            if !control.is(State::Ready) {
                return None;
            }
            let body = &self.bodies[slot];
            let high = body[field::KEY_HIGH].load(Ordering::Relaxed);
            let low = body[field::KEY_LOW].load(Ordering::Relaxed);
            let network = Network::from_words(high, low, control.length());
            let view = network.map(|network| self.view(slot, control, self.life(slot), network));
            if self.changed(slot, control) {
                continue;
            }
            let view = view?;
            // The tag must be the key's, and the slot one of its places: otherwise a look-up
            // would not find the entry, and no list may show what DNS does not answer.
            let place = self.place(view.network);
            let at_home = control.tag() == place.tag && place.slots().any(|s| s == slot);
            return (at_home && view.life.is_of(control)).then_some(view);
        }
        None
    }

    /// Whether a slot's control word is no longer `control`.
    ///
    /// The fence pairs with the sequentially consistent one of a claim: if any word read here
    /// came from a later claim, that claim's control word is seen now.
    pub(super) fn changed(&self, slot: usize, control: Control) -> bool {
        fence(Ordering::Acquire);
        self.controls[slot].load(Ordering::Relaxed) != control.0
    }

    /// What a READY slot's body says, with the life that was read there.
    pub(super) fn view(&self, slot: usize, control: Control, life: Life, network: Network) -> View {
        let body = &self.bodies[slot];
        let generation = control.generation();
        let mark = |field: usize| {
            let mark = Mark(body[field].load(Ordering::Relaxed));
            // Marks of another generation are somebody's late ones: nothing is known.
            mark.payload(generation).unwrap_or(0)
        };
        View {
            network,
            life,
            first: mark(field::FIRST),
            reasons: mark(field::REASONS),
            last: mark(field::LAST),
            reporters: mark(field::REPORTERS),
        }
    }
}
