//! What a change makes of an entry: the pure half, of values alone. `update` carries it out.

use super::field;
use super::update::LOW;
use crate::decision::UnixSeconds;
use crate::dictionary::LOCAL;
use crate::refusal::Refusal;
use crate::word::{ADMIN, ENDLESS, Life, Mark, deadline_after};

/// What to do to a key's entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    /// Bit number of the reason given.
    pub(crate) reason: u8,
    /// Bit number of who reports.
    pub(crate) reporter: u8,
    pub(crate) now: UnixSeconds,
    /// Seconds under which an entry counts as gone.
    pub(crate) floor: u32,
}

/// How the entry's life goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// `weight` rejections more: `seconds` are added to the remaining life, up to `most`.
    Rejections { weight: u32, seconds: u32, most: u32 },
    /// `weight` rejections, and no end.
    Endless { weight: u32 },
    /// White, for so many seconds, or without end.
    White { seconds: Option<u32> },
    /// As it was when it was written down somewhere else.
    Restored(Restoration),
}

/// An entry that comes from somewhere else as a whole: its life and its marks. What is there already
/// takes over what is more of each: the larger count, the later end, all marks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restoration {
    pub(crate) white: bool,
    pub(crate) count: u32,
    /// Without end if `None`.
    pub(crate) seconds: Option<u32>,
    /// When it was first seen.
    pub(crate) first: UnixSeconds,
    /// When it was last seen; not before `first`.
    pub(crate) last: UnixSeconds,
    pub(crate) reasons: u64,
    pub(crate) reporters: u64,
}

impl Change {
    /// The life that follows on `old`, which is alive or absent. The pure heart of every change.
    pub(super) fn next(&self, old: Option<Life>, generation: u32) -> Result<Life, Refusal> {
        let count = old.map_or(0, Life::count);
        let left = old.map_or(0, |life| life.remaining(self.now));
        let by_hand = self.reporter == ADMIN;
        let turns_white = old.is_some_and(|old| !old.is_white());
        let life = match self.kind {
            // What the administrator set without end, he alone ends.
            Kind::White { .. } if !by_hand && turns_white && old.is_some_and(Life::is_endless) => {
                return Err(Refusal::Endless);
            }
            Kind::Rejections { .. } | Kind::Endless { .. } if old.is_some_and(Life::is_white) => {
                return Err(Refusal::White);
            }
            Kind::Rejections { weight, .. } if old.is_some_and(Life::is_endless) => {
                return Ok(Life::new(ENDLESS, count.saturating_add(weight), false, generation));
            }
            Kind::Rejections { weight, seconds, most } => {
                let deadline = deadline_after(self.now, left.saturating_add(seconds).min(most));
                // Never shorter than it was: `most` may have been lowered since.
                let deadline = deadline.max(old.map_or(0, Life::deadline));
                Life::new(deadline, count.saturating_add(weight), false, generation)
            }
            Kind::Endless { weight } => {
                Life::new(ENDLESS, count.saturating_add(weight), false, generation)
            }
            Kind::White { seconds: Some(seconds) } => {
                // A machine (a login, say) only ever lengthens what somebody else allowed.
                let kept = old.filter(|o| o.is_white() && !by_hand).map_or(0, Life::deadline);
                let deadline = deadline_after(self.now, seconds).max(kept);
                Life::new(deadline, 0, true, generation)
            }
            Kind::White { seconds: None } => Life::new(ENDLESS, 0, true, generation),
            Kind::Restored(Restoration { white: true, .. })
                if turns_white && old.is_some_and(Life::is_endless) =>
            {
                return Err(Refusal::Endless);
            }
            Kind::Restored(Restoration { white: false, .. }) if old.is_some_and(Life::is_white) => {
                return Err(Refusal::White);
            }
            Kind::Restored(Restoration { white, count, seconds, .. }) => {
                let same = old.filter(|old| old.is_white() == white);
                let deadline = seconds.map_or(ENDLESS, |left| deadline_after(self.now, left));
                let deadline = deadline.max(same.map_or(0, Life::deadline));
                let count = count.max(same.map_or(0, Life::count));
                Life::new(deadline, if white { 0 } else { count }, white, generation)
            }
        };
        Ok(life)
    }

    /// Whether this may not take the place of what the administrator listed, even if that has an end.
    /// Exim on this host may: whoever has logged in is let out.
    pub(super) fn spares_the_administrators(&self) -> bool {
        match self.kind {
            Kind::White { .. } => self.reporter != ADMIN && self.reporter != LOCAL,
            Kind::Restored(_) => true,
            Kind::Rejections { .. } | Kind::Endless { .. } => false,
        }
    }

    /// Whether it comes from somewhere else as a whole.
    pub(super) fn is_restored(&self) -> bool {
        matches!(self.kind, Kind::Restored(_))
    }

    /// The reasons' bits; white entries have none.
    pub(super) fn reason_bits(&self) -> u64 {
        match self.kind {
            Kind::White { .. } => 0,
            Kind::Rejections { .. } | Kind::Endless { .. } => 1 << (self.reason & 63),
            Kind::Restored(restored) => restored.reasons,
        }
    }

    /// The reporters' bits.
    pub(super) fn reporter_bits(&self) -> u64 {
        match self.kind {
            Kind::Restored(restored) => restored.reporters,
            _ => 1 << (self.reporter & 63),
        }
    }

    /// When it was seen, first and last.
    pub(super) fn times(&self) -> (UnixSeconds, UnixSeconds) {
        match self.kind {
            Kind::Restored(Restoration { first, last, .. }) => (first, last),
            _ => (self.now, self.now),
        }
    }

    /// The four marks of a new life.
    pub(super) fn first_marks(&self, generation: u32) -> [(usize, Mark); 4] {
        let (first, last) = self.times();
        let (first, last) = (u64::from(first) << 16, u64::from(last) << 16);
        let (reasons, reporters) = (self.reason_bits(), self.reporter_bits());
        [
            (field::FIRST, Mark::new(first | reasons >> 48, generation)),
            (field::REASONS, Mark::new(reasons & LOW, generation)),
            (field::LAST, Mark::new(last | reporters >> 48, generation)),
            (field::REPORTERS, Mark::new(reporters & LOW, generation)),
        ]
    }
}
