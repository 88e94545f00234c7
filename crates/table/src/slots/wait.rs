//! Waiting for another's claim, within bounds.

use std::time::{Duration, Instant};

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
    /// How long the claim is waited for. In time, not in turns: on a busy machine every offer of
    /// the processor may cost a scheduler's slice of several milliseconds.
    pub(super) fn time(self) -> Duration {
        match self {
            Self::Holding => Duration::from_micros(50),
            Self::Free => Duration::from_micros(500),
        }
    }

    /// Whether the waiter has had enough after so many offers of the processor since `start`.
    /// loom knows no time, so there the offers are counted.
    pub(super) fn is_over(self, offers: u32, start: Option<Instant>) -> bool {
        if cfg!(loom) {
            return offers + 1 >= if self == Self::Holding { 1 } else { 3 };
        }
        start.is_some_and(|start| start.elapsed() >= self.time())
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
    #[cold]
    #[inline(never)]
    pub(super) fn wait(
        &self,
        slot: usize,
        claim: Control,
        patience: Patience,
        watch: Option<(&Place, usize)>,
        liveness: &Liveness,
    ) -> Waited {
        let mut start = None;
        for turn in 0_u32.. {
            if self.control(slot) != claim {
                return Waited::Changed;
            }
            if let Some((place, own)) = watch
                && self.lower_claim(place, own).is_some()
            {
                return Waited::Outranked;
            }
            if turn < SPINS {
                pause();
                continue;
            }
            if turn == SPINS {
                if liveness.is_dead(claim) {
                    break;
                }
                start = (!cfg!(loom)).then(Instant::now);
            }
            yield_now();
            if patience.is_over(turn - SPINS, start) {
                break;
            }
        }
        self.steal(slot, claim, liveness);
        Waited::Changed
    }

    /// The first claim for the key in a slot below `own`.
    #[inline(never)]
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
