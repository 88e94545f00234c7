//! The slots: where entries live, and the protocol that keeps them right.
//!
//! Every key has two buckets of [`BUCKET`] slots. A slot is a control word, and a body of seven
//! words: life, the key's two halves, and four marks. Processes share nothing but these words;
//! any of them may be killed, or stopped and go on much later, between any two steps.
//!
//! ```text
//! UPDATE(k): scan both buckets for k
//!   READY, alive                       -> one CAS of life decides
//!   READY, expired or to change colour -> end it (one CAS of life), then as if there were nothing:
//!                                         the new life gets marks of its own. It is never just
//!                                         taken for absent, for a writer may be about to count it
//!   READY, life a generation apart     -> somebody's eviction: finish it; again
//!   CLAIMED for k, perhaps             -> wait for it; again
//!   nothing                            -> claim an EMPTY slot, or evict a victim; again
//! CLAIM: CAS the slot to CLAIMED, look through both buckets again, and yield to an entry for k
//!   or to a lower claim for k. Then fill the body, give it life, make it READY.
//! EVICT: CAS life to dead(g+1), then CAS control READY(g) to EMPTY(g+1); anyone may finish.
//! LOOKUP: control, key, life, marks, control again; nothing is written.
//! ```
//!
//! What holds, and why:
//!
//! * *Two entries for one key never become visible.* Two claims for one key see each other: each
//!   side makes its claim, then a sequentially consistent fence, then looks ([`claim`]). The
//!   higher slot gives way.
//! * *A change that returned is counted exactly once.* It is one CAS of life, whose generation
//!   ties it to this use of the slot.
//! * *Nobody waits without end.* Waiting is bounded; a claim that does not move is taken away
//!   ([`wait`]), and its slot rests until the owner lets go or is proven dead.
//! * *A late store hits nobody.* Life and marks change by CAS only, on words that carry the
//!   generation. The key's two words are stored plainly by the owner of a claim; a slot that was
//!   taken from him is not used again before he has let go or has died. Where death cannot be
//!   proven (another pid namespace) the slot stays out of use, and the tag keeps even a late
//!   key from naming a stranger (see [`crate::word`]).
//!
//! Accepted, and harmless: a writer with a stale clock may revive an entry that has just expired
//! (the listing lasts as if the rejection had come a moment earlier); a writer who is killed after
//! his CAS of life has counted, but not noted his reason; a change of colour, and a claim in a full
//! bucket, are two steps, the old entry's end and the new one's claim: between them, and for good if the
//! writer is killed there, neither counts.

mod change;
mod claim;
mod evict;
#[cfg(not(loom))]
mod hint;
#[cfg(not(loom))]
mod inspect;
mod liveness;
mod lookup;
#[cfg(all(test, loom))]
mod model;
#[cfg(not(loom))]
mod repair;
mod resize;
#[cfg(all(test, loom))]
mod resize_model;
#[cfg(all(test, not(loom)))]
mod resize_traces;
mod sweep;
#[cfg(all(test, not(loom)))]
mod traces;
mod update;
mod wait;

use std::ops::Range;

use crate::hash::{Seed, siphash};
use crate::network::Network;
use crate::sync::{AtomicU64, Ordering};
use crate::word::{Control, Life, Tag};

#[cfg(not(loom))]
pub(crate) use change::Restoration;
pub(crate) use change::{Change, Kind};
#[cfg(not(loom))]
pub(crate) use hint::{Hint, Hinted, NoHint};
#[cfg(not(loom))]
pub(crate) use inspect::{EntryWords, Holds};
pub(crate) use liveness::Liveness;
#[cfg(not(loom))]
pub(crate) use lookup::View;
#[cfg(not(loom))]
pub(crate) use repair::Bits;
use resize::Beside;
#[cfg(not(loom))]
pub(crate) use sweep::Swept;
pub(crate) use update::Applied;

/// Slots in a bucket: their control words fill one cache line of 64 bytes. loom explores
/// buckets of one slot, that is, two slots for every key.
pub(crate) const BUCKET: usize = if cfg!(loom) { 1 } else { 8 };
/// Buckets in a window: the 16 pages that Linux maps around a page fault.
const WINDOW: usize = 1024;
/// Words in a body.
pub(crate) const BODY: usize = 7;

/// The places of a body's words.
mod field {
    pub(super) const LIFE: usize = 0;
    pub(super) const KEY_HIGH: usize = 1;
    pub(super) const KEY_LOW: usize = 2;
    /// First seen (32 bits) · reasons 48 to 63.
    pub(super) const FIRST: usize = 3;
    /// Reasons 0 to 47.
    pub(super) const REASONS: usize = 4;
    /// Last seen (32 bits) · reporters 48 to 63.
    pub(super) const LAST: usize = 5;
    /// Reporters 0 to 47.
    pub(super) const REPORTERS: usize = 6;
}

/// Attempts before a change is refused. Every one that fails means that another writer got on
/// with this very key or its last free slot, so more than a few are never seen.
const ATTEMPTS: u32 = if cfg!(loom) { 12 } else { 1000 };

/// What one slot is to a key.
enum ReadyAt {
    /// Its entry.
    Entry(Control, Life),
    /// Anything else.
    Other(Control),
}

/// The slots of one table, in a mapped file or on the heap.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    controls: &'a [AtomicU64],
    bodies: &'a [[AtomicU64; BODY]],
    seed: Seed,
    /// Whether this process has yet to write to a body: see [`Slots::writing_first`].
    writes_first: bool,
    /// What else counts beside them.
    beside: Beside<'a>,
}

/// Where a key may live, and how it is recognised there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    network: Network,
    /// First slots of the two buckets, the lower one first.
    buckets: [usize; 2],
    tag: Tag,
}

impl Place {
    /// All slots of both buckets in ascending order.
    fn slots(&self) -> impl Iterator<Item = usize> + use<> {
        // One loop, not two: the code of each user is half as long.
        let buckets = self.buckets;
        (0..2 * BUCKET).map(move |i| buckets[i / BUCKET] + i % BUCKET)
    }
}

impl<'a> Slots<'a> {
    /// `controls` and `bodies` have one length, a multiple of [`BUCKET`] with two buckets or
    /// more: the layout sees to it.
    pub(crate) fn new(
        controls: &'a [AtomicU64],
        bodies: &'a [[AtomicU64; BODY]],
        seed: Seed,
    ) -> Self {
        debug_assert!(controls.len() == bodies.len() && controls.len() >= 2 * BUCKET);
        Self { controls, bodies, seed, writes_first: false, beside: Beside::Nothing }
    }

    /// The same slots, for a process's first change of an entry: the body is written to before
    /// it is read. To read a page first and write it later costs two page faults instead of
    /// one, and a fault costs more than a thousand instructions; Exim's children, which mostly
    /// make one change in their life, pay it each time.
    pub(crate) fn writing_first(self, writes_first: bool) -> Self {
        Self { writes_first, ..self }
    }

    pub(crate) fn len(&self) -> usize {
        self.controls.len()
    }

    /// Whether there is no other table beside this one.
    #[cfg(not(loom))]
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.beside, Beside::Nothing)
    }

    /// Finds a key's buckets and tag.
    pub(crate) fn place(&self, network: Network) -> Place {
        let (high, low) = network.words();
        let length = network.mapped_length();
        let hash = siphash(self.seed, [high, low, u64::from(length)]);
        // The product's high half maps a hash evenly onto 0..count without a division.
        let choose = |hash: u64, count: usize| ((u128::from(hash) * count as u128) >> 64) as usize;
        let first = choose(hash, self.controls.len() / BUCKET);
        let window = self.window(first);
        // From the hash's low half, multiplied up so that all its bits count.
        let second = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
        let second = match window.start + choose(second, window.len()) {
            same if same == first && same + 1 < window.end => same + 1,
            same if same == first => window.start,
            other => other,
        };
        let buckets = [first.min(second) * BUCKET, first.max(second) * BUCKET];
        Place { network, buckets, tag: Tag::new(hash, length) }
    }

    /// The buckets from which a key's second one is chosen, given its first.
    ///
    /// Not the whole table: the control words of one window are 64 KiB, which the kernel maps at
    /// one page fault, and every Exim child has its own faults to pay for. Windows of 8,192 slots
    /// fill as evenly as the whole table does, within two per cent.
    fn window(&self, bucket: usize) -> Range<usize> {
        let count = self.controls.len() / BUCKET;
        let start = bucket / WINDOW * WINDOW;
        // A rest that is no whole window goes with the window before it.
        let is_last = start + 2 * WINDOW > count;
        let start = if start + WINDOW > count { start.saturating_sub(WINDOW) } else { start };
        start..if is_last { count } else { start + WINDOW }
    }

    fn control(&self, slot: usize) -> Control {
        Control(self.controls[slot].load(Ordering::Acquire))
    }

    /// Swaps a control word, unless it is frozen. Release: what was stored before is seen by whoever
    /// acquires the new word. Acquire: what the previous holder stored is seen here.
    fn swap_control(&self, slot: usize, old: Control, new: Control) -> bool {
        if old.is_frozen() {
            return false;
        }
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.controls[slot].compare_exchange(old.0, new.0, success, failure).is_ok()
    }

    fn life(&self, slot: usize) -> Life {
        Life(self.bodies[slot][field::LIFE].load(Ordering::Acquire))
    }

    /// Swaps a life word, unless it is frozen: the step that decides every change.
    fn swap_life(&self, slot: usize, old: Life, new: Life) -> bool {
        if old.is_frozen() {
            return false;
        }
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let word = &self.bodies[slot][field::LIFE];
        word.compare_exchange(old.0, new.0, success, failure).is_ok()
    }

    /// Whether the body holds this key. Only a control word that is the same before and after
    /// makes the answer count.
    fn has_key(&self, slot: usize, network: Network) -> bool {
        let (high, low) = network.words();
        let body = &self.bodies[slot];
        body[field::KEY_LOW].load(Ordering::Relaxed) == low
            && body[field::KEY_HIGH].load(Ordering::Relaxed) == high
    }

    /// The key's READY slot, whether alive, expired, or with its eviction begun.
    fn find_ready(&self, place: &Place) -> Option<(usize, Control, Life)> {
        place.slots().find_map(|slot| match self.ready_at(slot, place) {
            ReadyAt::Entry(control, life) => Some((slot, control, life)),
            ReadyAt::Other(_) => None,
        })
    }

    /// Whether one slot holds the key, judged at an instant at which its control word stood still.
    #[inline(never)]
    fn ready_at(&self, slot: usize, place: &Place) -> ReadyAt {
        loop {
            let control = self.control(slot);
            if !control.is_ready_with(place.tag) {
                return ReadyAt::Other(control);
            }
            if self.writes_first {
                // Writes nothing new, whatever is there; but the processor asks for the page as
                // for a store.
                let word = &self.bodies[slot][field::LIFE];
                let _ = word.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
            let same = self.has_key(slot, place.network);
            let life = self.life(slot);
            // Each repetition means that the slot changed hands in these nanoseconds, between
            // two keys of one tag.
            if !self.changed(slot, control) {
                return if same { ReadyAt::Entry(control, life) } else { ReadyAt::Other(control) };
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Two different buckets, in the table, near each other, and every bucket used.
    #[test]
    fn every_key_has_two_buckets_in_one_window() {
        for buckets in [2, 3, 64, 1023, 1024, 1025, 2047, 2048, 2049, 5000] {
            let controls: Vec<_> = (0..buckets * BUCKET).map(|_| AtomicU64::new(0)).collect();
            let bodies: Vec<_> =
                (0..buckets * BUCKET).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
            let slots = Slots::new(&controls, &bodies, Seed(1, 2));
            let mut used = vec![[false; 2]; buckets];
            for i in 0..40 * buckets as u32 {
                let client = std::net::Ipv4Addr::from(0x2d00_0000 + i);
                let place = slots.place(Network::host(client.into()));
                let [low, high] = place.buckets.map(|slot| slot / BUCKET);
                assert!(low < high && high < buckets, "{buckets}: {low}, {high}");
                assert!(high - low < 2 * WINDOW);
                used[low][0] = true;
                used[high][1] = true;
            }
            assert!(used.iter().all(|[low, high]| *low || *high), "{buckets}: one is never used");
        }
    }
}
