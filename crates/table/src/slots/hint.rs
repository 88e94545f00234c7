//! What is known of a look-up before it is made.

use super::{BODY, BUCKET, Place, Slots, View};
use crate::network::Network;
use crate::prefetch::prefetch;

/// Finds a network's entry, perhaps with the help of what is known already.
pub(crate) trait Hinted {
    /// The network's entry, alive or expired.
    fn lookup(&self, slots: &Slots<'_>, network: Network) -> Option<View>;
}

/// Nothing is known.
pub(crate) struct NoHint;

impl Hinted for NoHint {
    #[inline]
    fn lookup(&self, slots: &Slots<'_>, network: Network) -> Option<View> {
        slots.lookup(&slots.place(network))
    }
}

/// Where one network's entry would be, in a table that has no other beside it.
#[derive(Clone, Copy)]
pub(crate) struct Hint {
    place: Place,
    /// Which slots look like its entry, once they have been looked at.
    candidates: Option<u32>,
}

impl Hint {
    /// Nothing but the place is known.
    #[inline]
    pub(crate) fn new(place: Place) -> Self {
        Self { place, candidates: None }
    }
}

impl Hinted for Hint {
    #[inline]
    fn lookup(&self, slots: &Slots<'_>, network: Network) -> Option<View> {
        if network != self.place.network {
            return NoHint.lookup(slots, network);
        }
        let candidates = self.candidates.unwrap_or_else(|| slots.candidates(&self.place));
        slots.lookup_of(&self.place, candidates)
    }
}

impl Slots<'_> {
    /// Asks the memory for the control words.
    #[inline]
    pub(crate) fn prefetch_controls(&self, hint: &Hint) {
        for bucket in hint.place.buckets {
            prefetch(&self.controls[bucket]);
        }
    }

    /// Looks at the control words, and asks the memory for what looks like the entry.
    #[inline]
    pub(crate) fn prefetch_bodies(&self, hint: &mut Hint) {
        let candidates = self.candidates(&hint.place);
        hint.candidates = Some(candidates);
        if candidates != 0 {
            let i = candidates.trailing_zeros() as usize;
            let body = &self.bodies[hint.place.buckets[i / BUCKET] + i % BUCKET];
            // 56 bytes at any offset: perhaps on two cache lines.
            prefetch(&body[0]);
            prefetch(&body[BODY - 1]);
        }
    }
}
