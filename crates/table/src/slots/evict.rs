//! Ending entries: to make room, by hand, or because they expired.

use super::liveness::Liveness;
use super::{Place, Slots};
use crate::decision::{Entry, UnixSeconds};
use crate::network::Network;
use crate::refusal::Refusal;
use crate::word::{Control, Life, State};

/// Whether an entry was ended by this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Yes.
    Done,
    /// Its life changed meanwhile: look again.
    Changed,
}

/// What was done to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A slot became free, or one of those who were faster made it so: look again.
    Made {
        /// The live entry that had to go for it.
        evicted: Option<Network>,
    },
    /// Every slot holds what must stay.
    None,
}

impl Slots<'_> {
    /// Ends the entry that `control` and `life` describe. The CAS of life is what counts; the
    /// control word follows, by this call or by whoever comes next.
    #[inline(never)]
    pub(super) fn end(&self, slot: usize, control: Control, life: Life) -> Ended {
        self.leave_behind(slot);
        if !self.swap_life(slot, life, Life::dead(control.generation() + 1)) {
            return Ended::Changed;
        }
        self.finish_eviction(slot, control);
        Ended::Done
    }

    /// The second step of an eviction. A failing CAS means that somebody else did it.
    pub(super) fn finish_eviction(&self, slot: usize, control: Control) {
        self.swap_control(slot, control, Control::empty(control.generation() + 1));
    }

    /// Frees one slot of the key's buckets: one whose eviction was begun, one of a dead owner,
    /// an expired entry, else the live entry with the least life left, if that is less than `most`
    /// seconds. White and endless entries stay.
    #[cold]
    #[inline(never)]
    pub(super) fn make_room(
        &self,
        place: &Place,
        now: UnixSeconds,
        floor: u32,
        most: u32,
        liveness: &Liveness,
    ) -> Room {
        let mut victim: Option<(u32, usize, Control, Life)> = None;
        for slot in place.slots() {
            let control = self.control(slot);
            match control.state() {
                // Frozen: the next look finds out.
                _ if control.is_frozen() => return Room::Made { evicted: None },
                Some(State::Empty) => return Room::Made { evicted: None },
                Some(State::Quarantined) if liveness.is_dead(control) => {
                    self.release(slot, control);
                    return Room::Made { evicted: None };
                }
                Some(State::Claimed) if liveness.is_dead(control) => {
                    self.steal(slot, control, liveness);
                    return Room::Made { evicted: None };
                }
                Some(State::Ready) => {
                    let life = self.life(slot);
                    if !life.is_of(control) {
                        self.finish_eviction(slot, control);
                        return Room::Made { evicted: None };
                    }
                    // Published since we looked for it: no victim, but what we wanted.
                    if control.is_ready_with(place.tag) && self.has_key(slot, place.network) {
                        return Room::Made { evicted: None };
                    }
                    let alive = life.is_alive(now, floor);
                    if alive && (life.is_white() || life.is_endless()) {
                        continue;
                    }
                    let rank = if alive { life.remaining(now) } else { 0 };
                    if rank < most && victim.is_none_or(|(least, ..)| rank < least) {
                        victim = Some((rank, slot, control, life));
                    }
                }
                _ => {}
            }
        }
        let Some((rank, slot, control, life)) = victim else {
            return Room::None;
        };
        let evicted = self.entry_at(slot).map(|view| view.network).filter(|_| rank > 0);
        match self.end(slot, control, life) {
            Ended::Done => Room::Made { evicted },
            Ended::Changed => Room::Made { evicted: None },
        }
    }

    /// Ends the key's entry if it is alive and `may_end` says so; whether it did. Refused only where
    /// the key belongs to the table that replaces this one.
    pub(crate) fn forget(
        &self,
        place: &Place,
        now: UnixSeconds,
        floor: u32,
        may_end: impl Fn(&Entry) -> bool,
    ) -> Result<bool, Refusal> {
        let mut ended = false;
        // Each repetition means that another change of this very entry came first; a bound only
        // guards against a damaged file.
        for _ in 0..super::ATTEMPTS {
            let Some((slot, control, life)) = self.find_ready(place) else {
                let frozen = !ended && place.slots().any(|slot| self.control(slot).is_frozen());
                return if frozen { Err(Refusal::Retired) } else { Ok(ended) };
            };
            if control.is_frozen() || life.is_frozen() {
                return if ended { Ok(ended) } else { Err(Refusal::Retired) };
            }
            if !life.is_of(control) {
                self.finish_eviction(slot, control);
                continue;
            }
            let entry = self.view(slot, control, life, place.network).entry(now);
            if !life.is_alive(now, floor) || !may_end(&entry) {
                return Ok(ended);
            }
            if self.end(slot, control, life) == Ended::Done {
                // Should a power loss have left two entries for the key, both must go.
                if ended {
                    return Ok(true);
                }
                ended = true;
            }
        }
        Ok(ended)
    }
}
