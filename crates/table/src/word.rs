//! Encodings of the words that every step of the protocol compares and swaps.
//!
//! ```text
//! control   63..61 state · 60 frozen · 59..32 generation (28) · 31..0 by state:
//!             READY                 31..8 tag (24) · 7..0 prefix length
//!             CLAIMED, QUARANTINED  31..22 short tag (10) · 21..0 owner's pid (0: not known)
//!             EMPTY                 0
//! life      63..34 deadline (30) · 33..16 count (18) · 15 white · 14 frozen · 13..0 generation (14)
//! mark      63..16 payload (48) · 15..0 generation (16)
//! ```
//!
//! An all-zero file is an empty table: state EMPTY is 0, and so is a life that never was.
//!
//! The *tag* is the keyed checksum of the entry's key. A reader compares both the whole key in
//! the body and the tag in the control word, so a key that a stopped former owner stores late
//! into somebody else's slot makes that slot invisible, never another client listed. That is why
//! the body needs no checksum of its own, and has room for the marks' generations instead.

use crate::decision::UnixSeconds;

/// Where deadlines count from: 2026-01-01T00:00:00Z. 30 bits of seconds reach to 2060.
pub(crate) const EPOCH: UnixSeconds = 1_767_225_600;
/// The deadline of an entry that lives until somebody ends it.
pub(crate) const ENDLESS: u32 = (1 << 30) - 1;
/// The longest life in seconds that a policy allows, a year. A listing that ends later was made
/// while the clock was wrong, and counts as expired once the clock is right.
pub(crate) const LIFE_MAX: u32 = 31_536_000;
/// The largest count; it stays there.
pub(crate) const COUNT_MAX: u32 = (1 << 18) - 1;

/// The bit of the administrator in an entry's reporters: his word outlasts that of machines.
pub(crate) const ADMIN: u8 = 1;

/// The frozen bits: a resize sets them, and nobody takes them back.
pub(crate) const FROZEN_CONTROL: u64 = 1 << 60;
/// See [`FROZEN_CONTROL`].
pub(crate) const FROZEN_LIFE: u64 = 1 << 14;

const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;
const LIFE_GENERATION_MASK: u32 = (1 << 14) - 1;
const PID_MASK: u32 = (1 << 22) - 1;

/// What a slot is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    /// Free.
    Empty = 0,
    /// Being filled by its owner, the only one who may write the body.
    Claimed = 1,
    /// Holds an entry, if life's generation agrees.
    Ready = 2,
    /// Taken from an owner who seemed stuck; out of use until he lets go or is proven dead.
    Quarantined = 3,
    /// Carried over into a resized table.
    Moved = 4,
}

/// A slot's control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control(pub(crate) u64);

/// The checksum and prefix length that a READY control word carries, as its low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

impl Tag {
    /// From the key's hash (its low bits; the high ones choose the bucket) and prefix length.
    pub(crate) fn new(hash: u64, length: u8) -> Self {
        Self((hash as u32) << 8 | u32::from(length))
    }

    /// Ten bits of it, for words that also carry a pid. Two keys may share them: waiting for a
    /// stranger's claim costs a little time and nothing else.
    fn short(self) -> u32 {
        self.0 >> 22
    }
}

impl Control {
    fn new(state: State, generation: u32, low: u32) -> Self {
        let generation = u64::from(generation & GENERATION_MASK);
        Self((state as u64) << 61 | generation << 32 | u64::from(low))
    }

    pub(crate) fn empty(generation: u32) -> Self {
        Self::new(State::Empty, generation, 0)
    }

    pub(crate) fn claimed(generation: u32, tag: Tag, pid: u32) -> Self {
        Self::new(State::Claimed, generation, tag.short() << 22 | pid & PID_MASK)
    }

    pub(crate) fn ready(generation: u32, tag: Tag) -> Self {
        Self::new(State::Ready, generation, tag.0)
    }

    /// The same claim, taken from its owner: one generation on, his pid kept.
    pub(crate) fn quarantined(self) -> Self {
        Self::new(State::Quarantined, self.generation() + 1, self.0 as u32)
    }

    /// `None` for the three encodings that no writer makes: the file is damaged there.
    pub(crate) fn state(self) -> Option<State> {
        match self.0 >> 61 {
            0 => Some(State::Empty),
            1 => Some(State::Claimed),
            2 => Some(State::Ready),
            3 => Some(State::Quarantined),
            4 => Some(State::Moved),
            _ => None,
        }
    }

    pub(crate) fn is(self, state: State) -> bool {
        self.0 >> 61 == state as u64
    }

    pub(crate) fn is_frozen(self) -> bool {
        self.0 & FROZEN_CONTROL != 0
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & GENERATION_MASK
    }

    /// Whether a READY word carries this tag and prefix length.
    pub(crate) fn is_ready_with(self, tag: Tag) -> bool {
        self.is(State::Ready) && self.0 as u32 == tag.0
    }

    /// Whether a MOVED word carries this tag and prefix length.
    pub(crate) fn is_moved_with(self, tag: Tag) -> bool {
        self.is(State::Moved) && self.0 as u32 == tag.0
    }

    /// Whether a CLAIMED word may be a claim for this key. A frozen claim is nobody's any more.
    pub(crate) fn is_claimed_with(self, tag: Tag) -> bool {
        self.is(State::Claimed) && !self.is_frozen() && self.0 as u32 >> 22 == tag.short()
    }

    /// The same word, for good: nobody swaps a frozen word, but to note that it was carried over.
    pub(crate) fn frozen(self) -> Self {
        Self(self.0 | FROZEN_CONTROL)
    }

    /// A frozen READY word, once its entry is in the table that replaces this one. Tag and length
    /// stay, so that the entry can still be named.
    pub(crate) fn moved(self) -> Self {
        Self(self.0 & !(7 << 61) | (State::Moved as u64) << 61).frozen()
    }

    /// The word before it was frozen; a MOVED one is READY again.
    pub(crate) fn thawed(self) -> Self {
        let state =
            if self.is(State::Moved) { (State::Ready as u64) << 61 } else { self.0 & 7 << 61 };
        Self(state | self.0 & !(7 << 61) & !FROZEN_CONTROL)
    }

    /// The prefix length in a READY word.
    pub(crate) fn length(self) -> u8 {
        self.0 as u8
    }

    /// The tag in a READY word.
    pub(crate) fn tag(self) -> Tag {
        Tag(self.0 as u32)
    }

    /// The owner's pid in a CLAIMED or QUARANTINED word; `None` if it was not known.
    pub(crate) fn pid(self) -> Option<u32> {
        Some(self.0 as u32 & PID_MASK).filter(|&pid| pid != 0)
    }
}

/// Whether a pid can be written into a control word.
pub(crate) fn pid_fits(pid: u32) -> bool {
    pid != 0 && pid <= PID_MASK
}

/// A slot's life: how long, how often, and for which generation of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life(pub(crate) u64);

impl Life {
    /// `deadline` in seconds since [`EPOCH`], `count` cut to its largest value.
    pub(crate) fn new(deadline: u32, count: u32, white: bool, generation: u32) -> Self {
        let deadline = u64::from(deadline.min(ENDLESS));
        let count = u64::from(count.min(COUNT_MAX));
        let generation = u64::from(generation & LIFE_GENERATION_MASK);
        Self(deadline << 34 | count << 16 | u64::from(white) << 15 | generation)
    }

    /// No life in this generation.
    pub(crate) fn dead(generation: u32) -> Self {
        Self::new(0, 0, false, generation)
    }

    pub(crate) fn deadline(self) -> u32 {
        (self.0 >> 34) as u32
    }

    pub(crate) fn count(self) -> u32 {
        (self.0 >> 16) as u32 & COUNT_MAX
    }

    pub(crate) fn is_white(self) -> bool {
        self.0 >> 15 & 1 == 1
    }

    pub(crate) fn is_frozen(self) -> bool {
        self.0 & FROZEN_LIFE != 0
    }

    /// The same life for another slot.
    pub(crate) fn carried(self, generation: u32) -> Self {
        Self::new(self.deadline(), self.count(), self.is_white(), generation)
    }

    /// The same life with another end.
    pub(crate) fn ending_at(self, deadline: u32) -> Self {
        let generation = self.0 as u32 & LIFE_GENERATION_MASK;
        Self::new(deadline, self.count(), self.is_white(), generation)
    }

    pub(crate) fn is_endless(self) -> bool {
        self.deadline() == ENDLESS
    }

    /// Whether this life belongs to the slot's present use.
    pub(crate) fn is_of(self, control: Control) -> bool {
        self.0 as u32 & LIFE_GENERATION_MASK == control.generation() & LIFE_GENERATION_MASK
    }

    /// Seconds left at `now`; `u32::MAX` without end. A clock that was stepped back makes lives
    /// longer by as much; the DNS TTL's cap bounds what caches make of it.
    pub(crate) fn remaining(self, now: UnixSeconds) -> u32 {
        if self.is_endless() {
            return u32::MAX;
        }
        self.deadline().saturating_sub(now.saturating_sub(EPOCH))
    }

    /// Whether the entry counts: a white one to its last second, a black one while at least
    /// `floor` seconds are left.
    pub(crate) fn is_alive(self, now: UnixSeconds, floor: u32) -> bool {
        let remaining = self.remaining(now);
        if self.is_white() {
            return remaining > 0;
        }
        let is_sane = self.is_endless() || remaining <= LIFE_MAX;
        remaining >= floor.max(1) && is_sane && self.count() > 0
    }
}

/// The deadline that lies `seconds` after `now`.
pub(crate) fn deadline_after(now: UnixSeconds, seconds: u32) -> u32 {
    // One below ENDLESS: an end in 2060 is still an end.
    now.saturating_sub(EPOCH).saturating_add(seconds).min(ENDLESS - 1)
}

/// A word of metadata: 48 bits, and the generation that they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(pub(crate) u64);

impl Mark {
    pub(crate) fn new(payload: u64, generation: u32) -> Self {
        Self(payload << 16 | u64::from(generation as u16))
    }

    /// The payload, if it is about this generation. 16 bits of it would repeat after 65,536
    /// changes of the slot's owner while one writer is stopped between two instructions; what
    /// would be lost then is one wrong reason bit.
    pub(crate) fn payload(self, generation: u32) -> Option<u64> {
        (self.0 as u16 == generation as u16).then_some(self.0 >> 16)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn control_fields_do_not_overlap() {
        let tag = Tag::new(u64::MAX, 128);
        let word = Control::ready(GENERATION_MASK, tag);
        assert_eq!(word.state(), Some(State::Ready));
        assert_eq!((word.generation(), word.length()), (GENERATION_MASK, 128));
        assert!(word.is_ready_with(tag) && !word.is_frozen());

        let claim = Control::claimed(7, tag, PID_MASK);
        assert!(claim.is_claimed_with(tag) && !claim.is_ready_with(tag));
        assert_eq!((claim.pid(), claim.generation()), (Some(PID_MASK), 7));
        let taken = claim.quarantined();
        assert_eq!((taken.pid(), taken.generation()), (Some(PID_MASK), 8));
        assert!(taken.is(State::Quarantined));

        let moved = word.moved();
        assert!(moved.is(State::Moved) && moved.is_moved_with(tag) && moved.is_frozen());
        assert_eq!((moved.generation(), moved.length()), (GENERATION_MASK, 128));
        assert!(word.frozen().is_ready_with(tag), "a frozen entry is still read");
        assert_eq!((moved.thawed(), claim.frozen().thawed()), (word, claim));
        assert!(!claim.frozen().is_claimed_with(tag));
    }

    #[test]
    fn generation_wraps_without_touching_the_state() {
        let claim = Control::claimed(GENERATION_MASK, Tag::new(0, 0), 1);
        assert_eq!(claim.quarantined().generation(), 0);
        assert!(claim.quarantined().is(State::Quarantined));
    }

    #[test]
    fn life_fields_do_not_overlap() {
        for (deadline, count, white, generation) in
            [(0, 0, false, 0), (ENDLESS, COUNT_MAX, true, 0x3fff), (1, COUNT_MAX, false, 1)]
        {
            let life = Life::new(deadline, count, white, generation);
            assert_eq!((life.deadline(), life.count()), (deadline, count));
            assert_eq!((life.is_white(), life.is_frozen()), (white, false));
            assert!(life.is_of(Control::empty(generation)));
        }
        assert_eq!(Life::new(1, u32::MAX, false, 0).count(), COUNT_MAX);
    }

    #[test]
    fn alive_down_to_the_floor_and_no_further() {
        let now = EPOCH + 1000;
        let life = Life::new(deadline_after(now, 60), 1, false, 0);
        assert!(life.is_alive(now, 60));
        assert!(!life.is_alive(now + 1, 60), "59 s left count as gone");
        let white = Life::new(deadline_after(now, 60), 0, true, 0);
        assert!(white.is_alive(now + 59, 60) && !white.is_alive(now + 60, 60));
    }

    #[test]
    fn clocks_before_the_epoch_and_far_after_stay_in_range() {
        assert_eq!(deadline_after(0, 600), 600);
        assert_eq!(deadline_after(u32::MAX, u32::MAX), ENDLESS - 1);
        assert!(!Life::new(deadline_after(u32::MAX, 600), 1, false, 0).is_endless());
    }
}
