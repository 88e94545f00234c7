//! What a change makes of an entry: the pure half, of values alone. `update` carries it out.

use super::field;
use crate::decision::UnixSeconds;
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
}

impl Change {
    /// The life that follows on `old`, which is alive or absent. The pure heart of every change.
    pub(super) fn next(&self, old: Option<Life>, generation: u32) -> Result<Life, Refusal> {
        let count = old.map_or(0, Life::count);
        let left = old.map_or(0, |life| life.remaining(self.now));
        let by_hand = self.reporter == ADMIN;
        let life = match self.kind {
            // What the administrator set without end, he alone ends.
            Kind::White { .. }
                if !by_hand && old.is_some_and(|o| o.is_endless() && !o.is_white()) =>
            {
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
        };
        Ok(life)
    }

    /// The reason's bit; white entries have none.
    pub(super) fn reason_bits(&self) -> u64 {
        match self.kind {
            Kind::White { .. } => 0,
            Kind::Rejections { .. } | Kind::Endless { .. } => 1 << (self.reason & 63),
        }
    }

    /// The four marks of a new life.
    pub(super) fn first_marks(&self, generation: u32) -> [(usize, Mark); 4] {
        let now = u64::from(self.now) << 16;
        let (reason, reporter) = (self.reason_bits(), 1_u64 << (self.reporter & 63));
        let low = (1 << 48) - 1;
        [
            (field::FIRST, Mark::new(now | reason >> 48, generation)),
            (field::REASONS, Mark::new(reason & low, generation)),
            (field::LAST, Mark::new(now | reporter >> 48, generation)),
            (field::REPORTERS, Mark::new(reporter & low, generation)),
        ]
    }
}
