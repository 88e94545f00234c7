//! Claiming a free slot for a key that has none, and publishing its entry.
//!
//! Two writers may do this for one key at once, in two slots. Each claims, then looks at the
//! other's slot: store, fence, load on both sides, so that at least one sees the other. Who sees
//! a lower claim, or an entry, gives way; who sees only a higher claim waits for it to vanish.

use super::change::Change;
use super::liveness::Liveness;
use super::wait::{Patience, Waited};
use super::{ATTEMPTS, Place, ReadyAt, Slots, field};
use crate::refusal::Refusal;
use crate::sync::{Ordering, fence, store};
use crate::word::{Control, Life, Mark};

/// How an attempt to claim a slot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The entry is published.
    Published(Life),
    /// Given up: there is an entry now, or the slot was lost. Start over.
    Again,
    /// Given up for a lower claim: wait there, holding nothing, then start over.
    Behind(usize, Control),
}

/// What the look through the other slots, with a claim in hand, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Nobody else: the key is ours to publish.
    Alone,
    /// An entry for the key, alive or expired.
    Exists,
    /// A lower claim.
    Behind(usize, Control),
}

impl Slots<'_> {
    /// Claims an EMPTY slot for the key and publishes the change's entry there.
    // Out of the hot path's way: known clients, which are most, never come here.
    #[cold]
    #[inline(never)]
    pub(super) fn claim(
        &self,
        place: &Place,
        slot: usize,
        empty: Control,
        change: &Change,
        liveness: &Liveness,
    ) -> Result<Claimed, Refusal> {
        let Some(claim) = self.take(place, slot, empty, liveness) else {
            return Ok(Claimed::Again);
        };
        match self.settle(place, slot, liveness) {
            Settled::Exists => {
                self.undo(slot, claim);
                return Ok(Claimed::Again);
            }
            Settled::Behind(lower, other) => {
                self.undo(slot, claim);
                return Ok(Claimed::Behind(lower, other));
            }
            Settled::Alone => {}
        }
        let life = match change.next(None, claim.generation()) {
            Ok(life) => life,
            Err(refusal) => {
                self.undo(slot, claim);
                return Err(refusal);
            }
        };
        self.fill(place, slot, change.first_marks(claim.generation()));
        if self.publish(place, slot, claim, life) {
            return Ok(Claimed::Published(life));
        }
        self.let_go(slot, claim);
        Ok(Claimed::Again)
    }

    /// Step 1: the claim itself.
    pub(super) fn take(
        &self,
        place: &Place,
        slot: usize,
        empty: Control,
        liveness: &Liveness,
    ) -> Option<Control> {
        let claim = Control::claimed(empty.generation() + 1, place.tag, liveness.own_pid());
        self.swap_control(slot, empty, claim).then(|| {
            // Pairs with the same fence of another claim for this key: of two claims made
            // before either looked, at least one is seen by the other's look. It also orders
            // the claim before the body's stores, for readers (see `changed`).
            fence(Ordering::SeqCst);
            claim
        })
    }

    /// Step 2: makes sure that nobody else publishes the key. Nothing was stored in the body
    /// yet, so the claim can still be undone without a trace.
    pub(super) fn settle(&self, place: &Place, own: usize, liveness: &Liveness) -> Settled {
        'scan: for _ in 0..ATTEMPTS {
            for slot in place.slots().filter(|&slot| slot != own) {
                let control = match self.ready_at(slot, place) {
                    // An eviction that has begun leaves no entry. Alive or expired does not
                    // matter: a paused writer may revive an expired one (trace 1).
                    ReadyAt::Entry(control, life) if life.is_of(control) => {
                        return Settled::Exists;
                    }
                    ReadyAt::Entry(control, _) | ReadyAt::Other(control) => control,
                };
                if control.is_claimed_with(place.tag) {
                    if slot < own {
                        return Settled::Behind(slot, control);
                    }
                    let watch = Some((place, own));
                    let waited = self.wait(slot, control, Patience::Holding, watch, liveness);
                    if waited == Waited::Outranked
                        && let Some((lower, other)) = self.lower_claim(place, own)
                    {
                        return Settled::Behind(lower, other);
                    }
                    continue 'scan;
                }
            }
            return Settled::Alone;
        }
        // Others came and went without end; to start over is always right.
        Settled::Exists
    }

    /// Gives a claim back before anything was stored in the body.
    pub(super) fn undo(&self, slot: usize, claim: Control) {
        if !self.swap_control(slot, claim, Control::empty(claim.generation())) {
            self.release(slot, claim.quarantined());
        }
    }

    /// Step 3: key and marks. Plain stores: the slot is this writer's alone, and stays out of
    /// use if it is taken from him, until he lets go or has died.
    pub(super) fn fill(&self, place: &Place, slot: usize, marks: [(usize, Mark); 4]) {
        let (high, low) = place.network.words();
        let body = &self.bodies[slot];
        body[field::KEY_HIGH].store(high, Ordering::Relaxed);
        body[field::KEY_LOW].store(low, Ordering::Relaxed);
        for (field, mark) in marks {
            store(&body[field], mark.0);
        }
    }

    /// Steps 4 and 5: life, then READY. False if the claim was taken away.
    pub(super) fn publish(&self, place: &Place, slot: usize, claim: Control, life: Life) -> bool {
        for _ in 0..ATTEMPTS {
            let old = self.life(slot);
            // By CAS, and only while the claim stands: a plain store could come late and hit
            // the life of whoever has the slot then (trace 5).
            if self.control(slot) != claim {
                return false;
            }
            // Frozen or not: a resize freezes the control word first, so a frozen life under a claim
            // that stands is damage.
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            let word = &self.bodies[slot][field::LIFE];
            if word.compare_exchange(old.0, life.0, success, failure).is_ok() {
                let ready = Control::ready(claim.generation(), place.tag);
                return self.swap_control(slot, claim, ready);
            }
        }
        false
    }

    /// Frees the slot of a claim that was not published, most likely because it was taken away,
    /// now that this writer will not touch the body any more.
    pub(super) fn let_go(&self, slot: usize, claim: Control) {
        if !self.release(slot, claim.quarantined()) {
            self.release(slot, claim);
        }
    }
}
