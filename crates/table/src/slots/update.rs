//! Carrying out a change of a key's entry: recording rejections, whitelisting.

use super::change::Change;
use super::claim::Claimed;
use super::evict::Room;
use super::liveness::Liveness;
use super::wait::Patience;
use super::{ATTEMPTS, BUCKET, Place, ReadyAt, Slots, field};
use crate::network::Network;
use crate::refusal::Refusal;
use crate::sync::{Ordering, fence};
use crate::word::{ADMIN, Control, Life, Mark, State};

/// A change that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) life: Life,
    /// Whether a new life began: the key was unknown, or had expired.
    pub(crate) is_new: bool,
    /// Claims that had to be given up on the way.
    pub(crate) retries: u32,
    /// The entry was frozen before all its marks were made: whoever carried it over may have
    /// missed them, so they are to be made again in the table that replaces this one.
    pub(crate) marks_late: bool,
}

/// What a scan for a key found.
pub(super) enum Found {
    /// Its slot.
    Ready(usize, Control, Life),
    /// A claim that may be for it.
    Claimed(usize, Control),
    /// Neither; a free slot of the emptier bucket.
    Absent(Option<(usize, Control)>),
    /// A frozen word: the key belongs to the table that replaces this one.
    Frozen,
}

/// The bits of a bitmap that stand in its own mark; the upper 16 stand beside a time.
pub(super) const LOW: u64 = (1 << 48) - 1;

impl Slots<'_> {
    /// Makes a change, whatever other writers do meanwhile. `on_evicted` is told of every live
    /// entry that is ended to make room.
    pub(crate) fn update(
        &self,
        place: &Place,
        change: &Change,
        liveness: &Liveness,
        mut on_evicted: impl FnMut(Network),
    ) -> Result<Applied, Refusal> {
        for retries in 0..ATTEMPTS {
            match self.find(place) {
                Found::Frozen => return Err(Refusal::Retired),
                Found::Ready(slot, control, life) => {
                    if !life.is_of(control) {
                        self.finish_eviction(slot, control);
                        continue;
                    }
                    let old = Some(life).filter(|life| life.is_alive(change.now, change.floor));
                    let new = change.next(old, control.generation())?;
                    // A new life needs marks of its own, and these must not be a second step
                    // that a killed or stopped writer leaves out or does late: so the old entry
                    // is ended first, and the new one comes by a claim, complete when it shows.
                    if old.is_none_or(|old| old.is_white() != new.is_white()) {
                        let is_spared = old.is_some() && change.spares_the_administrators();
                        if is_spared && self.is_marked_by(slot, control, ADMIN) {
                            return Err(Refusal::Endless);
                        }
                        self.end(slot, control, life);
                        continue;
                    }
                    // Who reports is noted before his report counts: whoever reads this life, and ends
                    // it for what the marks said, has seen them all (see `purge`).
                    self.mark_reporters(slot, control.generation(), change.reporter_bits());
                    if self.swap_life(slot, life, new) {
                        let marks_late = self.mark_in_time(slot, control.generation(), change);
                        return Ok(Applied { life: new, is_new: false, retries, marks_late });
                    }
                }
                Found::Claimed(slot, claim) => {
                    self.wait(slot, claim, Patience::Free, None, liveness);
                }
                Found::Absent(Some((slot, empty))) => {
                    match self.claim(place, slot, empty, change, liveness)? {
                        Claimed::Published(life) => {
                            let (is_new, marks_late) = (true, false);
                            return Ok(Applied { life, is_new, retries, marks_late });
                        }
                        Claimed::Again => {}
                        Claimed::Behind(slot, claim) => {
                            self.wait(slot, claim, Patience::Free, None, liveness);
                        }
                    }
                }
                Found::Absent(None) => {
                    match self.make_room(place, change.now, change.floor, u32::MAX, liveness) {
                        Room::Made { evicted } => evicted.into_iter().for_each(&mut on_evicted),
                        Room::None => return Err(Refusal::Full),
                    }
                }
            }
        }
        Err(Refusal::Contention)
    }

    /// One pass, so that every slot is judged once: an entry that is published meanwhile is seen
    /// as the claim that it was, or as itself.
    pub(super) fn find(&self, place: &Place) -> Found {
        let mut claimed = None;
        // The first free slot of each bucket, and how many there are.
        let mut free: [(usize, Option<(usize, Control)>); 2] = [(0, None); 2];
        for (i, slot) in place.slots().enumerate() {
            // Fifteen of a key's sixteen slots need no more than this look.
            let at = match self.control(slot) {
                control if control.is_ready_with(place.tag) => self.ready_at(slot, place),
                control => ReadyAt::Other(control),
            };
            match at {
                ReadyAt::Entry(control, life) if control.is_frozen() || life.is_frozen() => {
                    return Found::Frozen;
                }
                ReadyAt::Entry(control, life) => return Found::Ready(slot, control, life),
                ReadyAt::Other(control) if control.is_frozen() => return Found::Frozen,
                ReadyAt::Other(control) => {
                    if claimed.is_none() && control.is_claimed_with(place.tag) {
                        claimed = Some((slot, control));
                    }
                    if control.is(State::Empty) {
                        let (count, first) = &mut free[i / BUCKET];
                        *count += 1;
                        first.get_or_insert((slot, control));
                    }
                }
            }
        }
        match claimed {
            Some((slot, claim)) => Found::Claimed(slot, claim),
            // Two-choice hashing: new entries go to the emptier bucket, which keeps the buckets
            // even, so that none is full long before the table is.
            None => Found::Absent(free[usize::from(free[1].0 > free[0].0)].1),
        }
    }

    /// Makes the marks; whether they came too late to be carried over for certain.
    ///
    /// Who carries an entry over freezes its control word, then has a sequentially consistent
    /// fence, then reads the marks; here the marks are made, then comes the fence, then the look
    /// at the control word. So he sees the marks, or we see that it is frozen.
    pub(super) fn mark_in_time(&self, slot: usize, generation: u32, change: &Change) -> bool {
        self.mark(slot, generation, change) && {
            fence(Ordering::SeqCst);
            self.control(slot).is_frozen()
        }
    }

    /// Brings the marks up to date after life's CAS; whether any changed. Each is a CAS on a word
    /// that carries the generation: once the slot has another entry, nothing is written (trace 4).
    pub(super) fn mark(&self, slot: usize, generation: u32, change: &Change) -> bool {
        let (reasons, reporters) = (change.reason_bits(), change.reporter_bits());
        let mut changed = self.mark_reporters(slot, generation, reporters);
        if reasons & LOW != 0 {
            changed |=
                self.swap_mark(slot, field::REASONS, generation, |bits| bits | reasons & LOW);
        }
        let (first, last) = change.times();
        let last = u64::from(last);
        // Only what comes from elsewhere may have been seen before.
        let first = if change.is_restored() { u64::from(first) } else { u64::MAX };
        if reasons >> 48 != 0 || change.is_restored() {
            changed |= self.swap_mark(slot, field::FIRST, generation, |bits| {
                (bits >> 16).min(first) << 16 | bits & 0xffff | reasons >> 48
            });
        }
        changed
            | self.swap_mark(slot, field::LAST, generation, |bits| {
                // The later time stays; so does a time ahead of a clock that was stepped back.
                (bits >> 16).max(last) << 16 | bits & 0xffff
            })
    }

    /// Adds reporters to the marks; whether any was new. Not inlined: the library must stay small.
    #[inline(never)]
    pub(super) fn mark_reporters(&self, slot: usize, generation: u32, reporters: u64) -> bool {
        let mut changed = false;
        if reporters & LOW != 0 {
            let add = |bits| bits | reporters & LOW;
            changed |= self.swap_mark(slot, field::REPORTERS, generation, add);
        }
        if reporters >> 48 != 0 {
            let add = |bits| bits | reporters >> 48;
            changed |= self.swap_mark(slot, field::LAST, generation, add);
        }
        changed
    }

    /// Whether an entry bears a reporter's mark.
    #[cold]
    fn is_marked_by(&self, slot: usize, control: Control, reporter: u8) -> bool {
        let mark = Mark(self.bodies[slot][field::REPORTERS].load(Ordering::Relaxed));
        mark.payload(control.generation()).is_some_and(|bits| bits >> reporter & 1 == 1)
    }

    /// Changes a mark's payload, as long as it is of this generation; whether it did. Nothing is
    /// written when nothing changes, so a busy entry's line is not torn between processors for it.
    pub(super) fn swap_mark(
        &self,
        slot: usize,
        field: usize,
        generation: u32,
        mut new: impl FnMut(u64) -> u64,
    ) -> bool {
        let word = &self.bodies[slot][field];
        let mut old = Mark(word.load(Ordering::Relaxed));
        for _ in 0..ATTEMPTS {
            let Some(payload) = old.payload(generation) else {
                return false;
            };
            let next = Mark::new(new(payload), generation);
            if next == old {
                return false;
            }
            // Relaxed: readers take marks between two looks at the control word, and a mark
            // says nothing about other words.
            match word.compare_exchange(old.0, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => old = Mark(now),
            }
        }
        false
    }
}
