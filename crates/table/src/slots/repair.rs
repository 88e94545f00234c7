//! Mending slots while others go on, by compare-and-swap of the very words that were judged.
//!
//! What a repair must fear is a writer who is stopped in the middle of a change and goes on later.
//! He can do two things:
//!
//! * *Swap life, marks or the control word.* His swap names the whole old word with its
//!   generation. Every repair moves the generation on, so he fails, and looks again.
//! * *Store the key and the first marks plainly*, into a slot that he has claimed. So a slot may be
//!   used again only if it is certain that nobody holds a claim on it:
//!   - A READY word whose tag is that of the key in the body, in one of the key's own places, was
//!     written by an owner who had finished. Nobody has a claim: [`Slots::end_entry`] and
//!     [`Slots::finish_ending`] free such a slot at once, as any writer may.
//!   - Any other word that no writer writes might have been a claim before it was damaged.
//!     [`Slots::lay_to_rest`] puts the slot out of use, as if a claim of unknown owner had been
//!     taken away, and no more.
//!   - A claim, or a slot at rest, comes back by [`Slots::take_back`] when its owner is proven
//!     gone: the caller's task.

use super::{ATTEMPTS, Slots, field};
use crate::sync::Ordering;
use crate::word::{Control, Life, Mark, State, Tag};

/// Which bits of an entry are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bits {
    /// Why it was reported.
    Reasons,
    /// Who reported it.
    Reporters,
}

impl Slots<'_> {
    /// Frees a claimed or resting slot whose owner is gone; false if it has changed hands.
    pub(crate) fn take_back(&self, slot: usize, held: Control) -> bool {
        if !held.is(State::Claimed) {
            return self.release(slot, held);
        }
        // In the two steps of any thief, so that the generation moves as far.
        let taken = held.quarantined();
        self.swap_control(slot, held, taken) && self.release(slot, taken)
    }

    /// Finishes an eviction, or ends an entry whose life is of another generation, which everybody
    /// takes for an eviction that was begun.
    pub(crate) fn finish_ending(&self, slot: usize, ready: Control) -> bool {
        self.swap_control(slot, ready, Control::empty(ready.generation() + 1))
    }

    /// Ends the entry that was seen with this life; false if it has changed since.
    pub(crate) fn end_entry(&self, slot: usize, ready: Control, life: Life) -> bool {
        self.end(slot, ready, life) == super::evict::Ended::Done
    }

    /// Puts a slot with a word that tells nothing about its owner out of use: at rest, of an owner
    /// who is not known.
    pub(crate) fn lay_to_rest(&self, slot: usize, damaged: Control) -> bool {
        let unknown = Tag::new(0, 0);
        let resting = Control::claimed(damaged.generation(), unknown, 0).quarantined();
        if !self.swap_control(slot, damaged, resting) {
            return false;
        }
        // A writer who found his entry here just before must not count on it any more: his swap
        // of this life fails, and he makes a new entry elsewhere.
        for _ in 0..ATTEMPTS {
            if self.swap_life(slot, self.life(slot), Life::dead(resting.generation())) {
                break;
            }
        }
        true
    }

    /// Takes bits without a name out of an entry. `named` is asked after the bits were read, so
    /// a name that was entered before its first use is always among them.
    pub(crate) fn drop_bits(
        &self,
        slot: usize,
        ready: Control,
        bits: Bits,
        named: impl Fn() -> u64,
    ) -> bool {
        let generation = ready.generation();
        let (high, low) = match bits {
            Bits::Reasons => (field::FIRST, field::REASONS),
            Bits::Reporters => (field::LAST, field::REPORTERS),
        };
        let drop = |field: usize, keep: &dyn Fn() -> u64| {
            let word = &self.bodies[slot][field];
            let mut old = Mark(word.load(Ordering::Acquire));
            for _ in 0..ATTEMPTS {
                let Some(payload) = old.payload(generation) else { return false };
                let new = Mark::new(payload & keep(), generation);
                let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
                match word.compare_exchange(old.0, new.0, success, failure) {
                    Ok(_) => return new != old,
                    Err(now) => old = Mark(now),
                }
            }
            false
        };
        // The high word's other 32 bits are a time.
        let in_high = drop(high, &|| !0xffff | named() >> 48);
        drop(low, &named) || in_high
    }
}
