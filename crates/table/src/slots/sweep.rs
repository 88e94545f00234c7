//! What the daemon does now and then: expired entries, and slots of the dead.

use super::liveness::Liveness;
use super::{Slots, evict};
use crate::decision::UnixSeconds;
use crate::network::Network;
use crate::word::{State, deadline_after};

impl Slots<'_> {
    /// Takes a slot back whose owner died, and ends the slot's entry if it has expired by `due`,
    /// the time and the policy's floor (`None`: none has). Says what was done.
    pub(crate) fn sweep(
        &self,
        slot: usize,
        due: Option<(UnixSeconds, u32)>,
        liveness: &Liveness,
    ) -> Swept {
        let control = self.control(slot);
        match control.state() {
            Some(State::Claimed) if liveness.is_dead(control) => {
                Swept::of_reclaim(self.steal(slot, control, liveness))
            }
            Some(State::Quarantined) if liveness.is_dead(control) => {
                Swept::of_reclaim(self.release(slot, control))
            }
            Some(State::Ready) => {
                let life = self.life(slot);
                if !life.is_of(control) {
                    self.finish_eviction(slot, control);
                    return Swept::Nothing;
                }
                if due.is_none_or(|(now, floor)| life.is_alive(now, floor)) {
                    return Swept::Nothing;
                }
                let network = self.entry_at(slot).map(|view| view.network);
                match (self.end(slot, control, life), network) {
                    (evict::Ended::Done, Some(network)) => Swept::Expired(network),
                    _ => Swept::Nothing,
                }
            }
            _ => Swept::Nothing,
        }
    }

    /// Cuts the life of a slot's entry to `most` seconds from now, if it is black, ends by itself, and
    /// would last longer; whether it did. One CAS, as of any change: a report that comes first counts.
    pub(crate) fn shorten(&self, slot: usize, now: UnixSeconds, most: u32) -> bool {
        let control = self.control(slot);
        let life = self.life(slot);
        let is_long = control.is(State::Ready)
            && life.is_of(control)
            && !life.is_white()
            && !life.is_endless()
            && life.remaining(now) > most;
        is_long && self.swap_life(slot, life, life.ending_at(deadline_after(now, most)))
    }

    /// Whether a slot is out of use until its former owner lets go or is proven dead.
    pub(crate) fn is_quarantined(&self, slot: usize) -> bool {
        self.control(slot).is(State::Quarantined)
    }
}

/// What sweeping one slot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    /// Nothing to do.
    Nothing,
    /// An expired entry was ended.
    Expired(Network),
    /// A dead owner's slot was taken back.
    Reclaimed,
}

impl Swept {
    fn of_reclaim(done: bool) -> Self {
        if done { Self::Reclaimed } else { Self::Nothing }
    }
}
