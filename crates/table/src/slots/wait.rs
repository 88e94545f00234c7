//! Waiting for another's claim, within bounds.

use super::liveness::Liveness;
use super::{Place, Slots};
use crate::sync::{pause, yield_now};
use crate::word::Control;

/// How long a waiter bears with a claim that does not move.
///
/// A claim is held for some hundred nanoseconds, unless its owner was killed or the scheduler
/// took the processor from him. A waiter who holds a claim himself keeps others waiting, so he
/// gives up first; one who holds none can afford to be far more patient, or else he would steal
/// from a live waiter (trace 3 of the protocol's tests).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// The waiter holds a claim.
    Holding,
    /// The waiter holds nothing.
    Free,
}

/// Pauses of a few nanoseconds before the processor is offered to others.
const SPINS: u32 = if cfg!(loom) { 0 } else { 64 };

impl Patience {
    /// Offers of the processor (about a microsecond each if nobody wants it) before the claim is
    /// taken away: some 0.05 ms and 0.5 ms.
    pub(super) fn yields(self) -> u32 {
        match self {
            Self::Holding => {
                if cfg!(loom) {
                    1
                } else {
                    50
                }
            }
            Self::Free => {
                if cfg!(loom) {
                    3
                } else {
                    500
                }
            }
        }
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// The word changed, or was taken away: look again.
    Changed,
    /// A lower slot was claimed for the key meanwhile: the waiter's own claim must give way.
    Outranked,
}

impl Slots<'_> {
    /// Waits until a slot's control word is no longer `claim`; takes the claim away when it
    /// stays for too long, or at once when its owner is proven dead.
    ///
    /// `watch` is the waiter's key and own slot if he holds a claim: claims for the key below it
    /// are watched for, since their owners give way to nobody.
    pub(super) fn wait(
        &self,
        slot: usize,
        claim: Control,
        patience: Patience,
        watch: Option<(&Place, usize)>,
        liveness: &Liveness,
    ) -> Waited {
        for turn in 0..SPINS + patience.yields() {
            if self.control(slot) != claim {
                return Waited::Changed;
            }
            if let Some((place, own)) = watch
                && self.lower_claim(place, own).is_some()
            {
                return Waited::Outranked;
            }
            if turn == SPINS && liveness.is_dead(claim) {
                break;
            }
            if turn < SPINS {
                pause();
            } else {
                yield_now();
            }
        }
        self.steal(slot, claim, liveness);
        Waited::Changed
    }

    /// The first claim for the key in a slot below `own`.
    pub(super) fn lower_claim(&self, place: &Place, own: usize) -> Option<(usize, Control)> {
        place
            .slots()
            .take_while(|&slot| slot < own)
            .map(|slot| (slot, self.control(slot)))
            .find(|(_, control)| control.is_claimed_with(place.tag))
    }

    /// Takes a claim from its owner. The slot rests; it is free at once if he is proven dead.
    pub(super) fn steal(&self, slot: usize, claim: Control, liveness: &Liveness) -> bool {
        let taken = claim.quarantined();
        let stolen = self.swap_control(slot, claim, taken);
        if stolen && liveness.is_dead(taken) {
            self.release(slot, taken);
        }
        stolen
    }

    /// Frees a slot whose body was written to: by its (former) owner, or when he is proven dead.
    pub(super) fn release(&self, slot: usize, held: Control) -> bool {
        self.swap_control(slot, held, Control::empty(held.generation() + 1))
    }
}
