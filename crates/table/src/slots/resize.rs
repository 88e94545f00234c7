//! Carrying entries over from the table that this one replaces, while everybody goes on.
//!
//! ```text
//! ENTER(k), by whoever is about to change k in the new table, and by the copier for every key:
//!   freeze all control words of k's buckets in the old table, and the lives of the READY ones
//!   e = k's entry there, unless it is MOVED already
//!   alive, and k is not in the new table -> claim a slot for k, look around as always;
//!                                           e MOVED by now? -> undo; else publish e's life and marks
//!   then e becomes MOVED
//! END, in the new table: the entry of the old one becomes MOVED first
//! LOOKUP: the new table; on a miss the old one; on a miss the new one once more
//! LOOKUP by who has the old table alone, and cannot open the new one: MOVED entries as if READY
//! ```
//!
//! What holds, and why:
//!
//! * *Nothing is lost.* A frozen word is never swapped, so who changes an entry in the old table does it
//!   before the copy is taken, or fails and comes to the new table. A report that was counted just
//!   before, but had not noted its reason, notes it in the new table ([`Slots::remark`]).
//! * *Nothing is counted twice, or comes back.* What is carried over is the whole life, never a sum
//!   of two. An entry is carried only while it is not MOVED, and whoever ends it in the new table
//!   sees to that first.
//! * *A killed helper needs no recovery.* All steps can be done again by anybody, in any order.
//! * *Who still reads the old table alone* learns of the new one by the old one's `retired` flag, which
//!   is set before the first word is frozen.

use super::claim::Settled;
use super::evict::Room;
use super::liveness::Liveness;
use super::lookup::View;
use super::update::Found;
use super::wait::Patience;
use super::{ATTEMPTS, BODY, Change, Place, ReadyAt, Slots, field};
use crate::decision::UnixSeconds;
use crate::network::Network;
use crate::refusal::Refusal;
use crate::sync::{AtomicU64, Ordering, fence};
use crate::word::{Control, FROZEN_CONTROL, FROZEN_LIFE, Mark, State};

/// The slots of the table that is being replaced. Its seed is the new one's.
#[derive(Clone, Copy)]
pub(super) struct Old<'a> {
    controls: &'a [AtomicU64],
    bodies: &'a [[AtomicU64; BODY]],
}

/// What counts beside a table's own entries.
#[derive(Clone, Copy)]
pub(super) enum Beside<'a> {
    /// Nothing, but for the time of a resize.
    Nothing,
    /// The slots that these replace, until all of theirs are settled.
    Old(Old<'a>),
    /// What was carried over from these into a table that cannot be opened here.
    Moved,
}

/// An entry of the old table, frozen.
#[derive(Clone, Copy)]
pub(super) struct Frozen {
    pub(super) slot: usize,
    pub(super) control: Control,
    pub(super) view: View,
}

/// How an attempt to carry an entry over ended.
pub(super) enum Carried {
    /// It is in the new table, or has no place there any more.
    Done,
    /// Others were at it: look again.
    Again,
}

impl<'a> Slots<'a> {
    /// The same slots, which take the place of `old` ones.
    pub(crate) fn replacing(self, old: Option<Slots<'a>>) -> Self {
        let Some(Slots { controls, bodies, .. }) = old else { return self };
        Self { beside: Beside::Old(Old { controls, bodies }), ..self }
    }

    /// The same slots, for look-ups by who cannot open the table that has replaced theirs: what was
    /// carried over is seen here as it was at that moment.
    pub(crate) fn with_moved(self) -> Self {
        Self { beside: Beside::Moved, ..self }
    }

    /// Whether these take the place of others.
    pub(crate) fn is_replacing(&self) -> bool {
        matches!(self.beside, Beside::Old(_))
    }

    /// The slots that these replace.
    pub(crate) fn old(&self) -> Option<Slots<'a>> {
        let Beside::Old(old) = self.beside else { return None };
        Some(Slots::new(old.controls, old.bodies, self.seed))
    }

    /// The key's entry in whichever of the two tables counts.
    #[cold]
    #[inline(never)]
    pub(super) fn lookup_beside(&self, place: &Place) -> Option<View> {
        let in_old = || match self.old() {
            Some(old) => old.lookup_here(&old.place(place.network)),
            None => self.lookup_moved(place),
        };
        // The last look finds what was carried over between the first two. Pairs with the release of
        // `set_moved`: who sees MOVED sees the entry in the new table.
        let again = || {
            fence(Ordering::Acquire);
            self.lookup_here(place)
        };
        self.lookup_here(place).or_else(in_old).or_else(again)
    }

    /// Makes sure that the key's entry is here and no longer in the old table. `on_evicted` is told of
    /// every live entry that has to go, be it the carried one itself: when both buckets are full,
    /// the entry with the least life left goes, as always.
    #[cold]
    #[inline(never)]
    pub(crate) fn enter(
        &self,
        network: Network,
        now: UnixSeconds,
        floor: u32,
        liveness: &Liveness,
        on_evicted: &mut dyn FnMut(Network),
    ) -> Result<(), Refusal> {
        let Some(old) = self.old() else { return Ok(()) };
        let (from, to) = (old.place(network), self.place(network));
        for _ in 0..ATTEMPTS {
            let Some(frozen) = old.freeze(&from) else { return Ok(()) };
            if !frozen.view.life.is_alive(now, floor) {
                old.set_moved(frozen.slot, frozen.control);
                continue;
            }
            match self.find(&to) {
                // This table is being replaced in its turn.
                Found::Frozen => return Err(Refusal::Retired),
                Found::Ready(slot, control, life) if !life.is_of(control) => {
                    self.finish_eviction(slot, control);
                }
                // It was carried over, but whoever did it was killed, or is about to say so.
                Found::Ready(..) => {
                    old.set_moved(frozen.slot, frozen.control);
                }
                Found::Claimed(slot, claim) => {
                    self.wait(slot, claim, Patience::Free, None, liveness);
                }
                Found::Absent(Some((slot, empty))) => {
                    if let Carried::Done = self.carry(&old, &frozen, &to, slot, empty, liveness) {
                        old.set_moved(frozen.slot, frozen.control);
                    }
                }
                Found::Absent(None) => {
                    let life = frozen.view.life;
                    let stays = life.is_white() || life.is_endless();
                    let most = if stays { u32::MAX } else { life.remaining(now) };
                    match self.make_room(&to, now, floor, most, liveness) {
                        Room::Made { evicted } => evicted.into_iter().for_each(&mut *on_evicted),
                        Room::None if stays => return Err(Refusal::Full),
                        Room::None => {
                            if old.set_moved(frozen.slot, frozen.control) {
                                on_evicted(network);
                            }
                        }
                    }
                }
            }
        }
        Err(Refusal::Contention)
    }

    /// Publishes a frozen entry in a free slot of this table, unless somebody else has.
    pub(super) fn carry(
        &self,
        old: &Slots<'_>,
        frozen: &Frozen,
        to: &Place,
        slot: usize,
        empty: Control,
        liveness: &Liveness,
    ) -> Carried {
        let Some(claim) = self.take(to, slot, empty, liveness) else { return Carried::Again };
        match self.settle(to, slot, liveness) {
            // Only now, with a claim that everybody sees: an entry that was ended here after
            // another had carried it over is MOVED, and must not come back.
            Settled::Alone if old.control(frozen.slot) == frozen.control => {}
            Settled::Alone | Settled::Exists => {
                self.undo(slot, claim);
                return Carried::Again;
            }
            Settled::Behind(lower, other) => {
                self.undo(slot, claim);
                self.wait(lower, other, Patience::Free, None, liveness);
                return Carried::Again;
            }
        }
        let (view, generation) = (&frozen.view, claim.generation());
        self.fill(
            to,
            slot,
            [
                (field::FIRST, Mark::new(view.first, generation)),
                (field::REASONS, Mark::new(view.reasons, generation)),
                (field::LAST, Mark::new(view.last, generation)),
                (field::REPORTERS, Mark::new(view.reporters, generation)),
            ],
        );
        if self.publish(to, slot, claim, view.life.carried(generation)) {
            return Carried::Done;
        }
        self.let_go(slot, claim);
        Carried::Again
    }

    /// Freezes one slot's words. Its control word as it is then.
    #[inline(never)]
    pub(crate) fn freeze_slot(&self, slot: usize) -> Control {
        let mut control = self.control(slot);
        if !control.is_frozen() {
            control = Control(self.controls[slot].fetch_or(FROZEN_CONTROL, Ordering::AcqRel));
            control = control.frozen();
            // Pairs with the fence of a writer who has just made marks: see `mark_in_time`.
            fence(Ordering::SeqCst);
        }
        if control.is(State::Ready) && !self.life(slot).is_frozen() {
            self.bodies[slot][field::LIFE].fetch_or(FROZEN_LIFE, Ordering::AcqRel);
        }
        control
    }

    /// Freezes all slots where the key may live; its entry, unless it is MOVED.
    pub(super) fn freeze(&self, place: &Place) -> Option<Frozen> {
        // All of them before any is judged: an entry cannot slip from one to another.
        place.slots().for_each(|slot| _ = self.freeze_slot(slot));
        place.slots().find_map(|slot| match self.ready_at(slot, place) {
            ReadyAt::Entry(control, life) if life.is_of(control) => {
                let view = self.view(slot, control, life, place.network);
                Some(Frozen { slot, control, view })
            }
            _ => None,
        })
    }

    /// Notes that a frozen entry has been dealt with; false if it had been before.
    fn set_moved(&self, slot: usize, control: Control) -> bool {
        let (old, new) = (control.0, control.moved().0);
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.controls[slot].compare_exchange(old, new, success, failure).is_ok()
    }

    /// Before an entry is ended here: what the old table has of it must not come back.
    pub(super) fn leave_behind(&self, slot: usize) {
        let Some(old) = self.old() else { return };
        let Some(view) = self.entry_at(slot) else { return };
        if let Some(frozen) = old.freeze(&old.place(view.network)) {
            old.set_moved(frozen.slot, frozen.control);
        }
    }

    /// Makes the marks of a change that was counted in the old table, of an entry that is here now.
    ///
    /// Should the entry have been ended and begun anew in these microseconds, the new one gets the
    /// mark: it is of the same key, and of a report that was accepted.
    pub(crate) fn remark(&self, place: &Place, change: &Change) {
        if let Some((slot, control, life)) = self.find_ready(place)
            && life.is_of(control)
        {
            self.mark(slot, control.generation(), change);
        }
    }

    /// Freezes a slot of the old table; the key whose entry is still to be carried over.
    pub(crate) fn unsettled(&self, slot: usize) -> Option<Network> {
        let control = self.freeze_slot(slot);
        if control.is(State::Ready) { self.entry_at(slot).map(|view| view.network) } else { None }
    }

    /// Takes back what a resize did to one slot of an old table: its words can be swapped again, and an
    /// entry that was carried over is here again, as it was at that moment.
    pub(crate) fn thaw_slot(&self, slot: usize) {
        let control = self.control(slot);
        if !control.is_frozen() {
            return;
        }
        self.bodies[slot][field::LIFE].fetch_and(!FROZEN_LIFE, Ordering::AcqRel);
        let thawed = control.thawed().0;
        // Fails if somebody else has thawed it.
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.controls[slot].compare_exchange(control.0, thawed, success, failure);
    }

    /// Whether this (old) table has, or had, an entry for the key.
    pub(crate) fn has_had(&self, network: Network) -> bool {
        let place = self.place(network);
        place.slots().any(|slot| {
            let control = self.control(slot);
            let is_its = control.is_ready_with(place.tag) && self.life(slot).is_of(control)
                || control.is_moved_with(place.tag);
            is_its && self.has_key(slot, network)
        })
    }

    /// The key's entry as it was when it was carried over. Its words are there still: nobody swaps a
    /// frozen life, and no slot of an old table is used again.
    fn lookup_moved(&self, place: &Place) -> Option<View> {
        place.slots().find_map(|slot| {
            let control = self.control(slot);
            let is_its = control.is_moved_with(place.tag) && self.has_key(slot, place.network);
            let view = is_its.then(|| self.view(slot, control, self.life(slot), place.network))?;
            view.life.is_of(control).then_some(view)
        })
    }

    /// The key in a slot of an old table, whether it was carried over or not.
    pub(crate) fn key_at(&self, slot: usize) -> Option<Network> {
        // In this order: an entry becomes MOVED, never the other way round.
        self.entry_at(slot).map(|view| view.network).or_else(|| self.moved_at(slot))
    }

    /// The key in a slot of an old table that was carried over.
    pub(crate) fn moved_at(&self, slot: usize) -> Option<Network> {
        let control = self.control(slot);
        let body = &self.bodies[slot];
        let high = body[field::KEY_HIGH].load(Ordering::Relaxed);
        let low = body[field::KEY_LOW].load(Ordering::Relaxed);
        let is_moved = control.is(State::Moved);
        let network = Network::from_words(high, low, control.length()).filter(|_| is_moved)?;
        (control.tag() == self.place(network).tag && !self.changed(slot, control))
            .then_some(network)
    }
}
