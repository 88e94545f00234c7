//! Taking a share out of an entry, or the whole entry.
//!
//! An entry tells who reported it, but not who reported how much. So one that nobody else reported
//! ends; of others the mark goes, and as much of count and life as the caller can prove.
//!
//! ```text
//! PURGE(k): read life, then the marks; by these the caller judges
//!   nobody else's      -> end it: one CAS of the life that was read
//!   others', too       -> take the marks out (CAS); then one CAS of the life that was read, to what
//!                         is left of it, or to itself
//!   that CAS fails     -> put the marks back; again
//! ```
//!
//! What holds beside reports, and why:
//!
//! * *No report of another's ends with the entry.* Who reports notes himself before he swaps life.
//!   So of all reports in the life that was read, the marks were seen; any later one changes life,
//!   and the CAS fails.
//! * *A report that comes after the purge has its mark.* Who swaps life after the purge's CAS has
//!   acquired it, finds his mark gone, and makes it: he looks once more after his swap. Who was
//!   faster made the CAS fail, and his mark is put back.
//!
//! Accepted, and harmless: for some nanoseconds a mark may be missing that is put back; whoever is
//! killed there leaves it so, and so does a resize that carries the entry over just then. What is
//! lost is the name of one who reports at this very moment. And a reporter whose report counted just
//! before the purge may make his mark just after it.

use super::evict::Ended;
use super::update::LOW;
use super::{ATTEMPTS, Place, Slots, field};
use crate::decision::{Entry, UnixSeconds};
use crate::refusal::Refusal;
use crate::word::{Control, Life};

/// What becomes of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Stays,
    /// It ends.
    Ends,
    /// It goes on without this.
    Loses(Loss),
}

/// What is taken out of an entry that goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    /// Marks of reporters.
    pub(crate) reporters: u64,
    /// Marks of reasons.
    pub(crate) reasons: u64,
    /// The life that is left, and since when; as it was if that is not known.
    pub(crate) rest: Option<(Life, UnixSeconds)>,
}

/// What a purge did to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purged {
    /// There was none, or it stays.
    Untouched,
    /// It was ended.
    Ended {
        /// It was white.
        white: bool,
    },
    /// It goes on without a share.
    Reduced {
        /// Count and life are what the others made them.
        exactly: bool,
    },
}

impl Slots<'_> {
    /// Does to the key's entry, if it is alive, what `judge` says; he may be asked again, when others
    /// have changed it meanwhile. Refused where the key belongs to the table that replaces this one.
    pub(crate) fn purge(
        &self,
        place: &Place,
        now: UnixSeconds,
        floor: u32,
        mut judge: impl FnMut(&Entry) -> Verdict,
    ) -> Result<Purged, Refusal> {
        for _ in 0..ATTEMPTS {
            let Some((slot, control, life)) = self.find_ready(place) else {
                let is_frozen = place.slots().any(|slot| self.control(slot).is_frozen());
                return if is_frozen { Err(Refusal::Retired) } else { Ok(Purged::Untouched) };
            };
            if control.is_frozen() || life.is_frozen() {
                return Err(Refusal::Retired);
            }
            if !life.is_of(control) {
                self.finish_eviction(slot, control);
                continue;
            }
            // After life, so that the marks of all who are counted in it are seen.
            let entry = self.view(slot, control, life, place.network).entry(now);
            if !life.is_alive(now, floor) {
                return Ok(Purged::Untouched);
            }
            match judge(&entry) {
                Verdict::Stays => return Ok(Purged::Untouched),
                Verdict::Ends if self.end(slot, control, life) == Ended::Done => {
                    return Ok(Purged::Ended { white: life.is_white() });
                }
                Verdict::Loses(loss) if self.take_out(slot, control, life, &loss) => {
                    return Ok(Purged::Reduced { exactly: loss.rest.is_some() });
                }
                Verdict::Ends | Verdict::Loses(_) => {}
            }
        }
        Err(Refusal::Contention)
    }

    /// Takes a share out of the entry that was seen with this life; false, and all is as it was, if
    /// that has changed since.
    pub(super) fn take_out(&self, slot: usize, control: Control, life: Life, loss: &Loss) -> bool {
        let generation = control.generation();
        let taken = self.unmark(slot, generation, loss);
        let next = loss.rest.map_or(life, |(rest, _)| rest.carried(generation));
        // To itself, too: this swap is what the next report acquires.
        if !self.swap_life(slot, life, next) {
            self.put_back(slot, generation, &taken);
            return false;
        }
        if let Some((_, first)) = loss.rest {
            self.swap_mark(slot, field::FIRST, generation, |bits| {
                u64::from(first) << 16 | bits & 0xffff
            });
        }
        true
    }

    /// Takes marks out; says which of them were there.
    fn unmark(&self, slot: usize, generation: u32, loss: &Loss) -> Loss {
        let remove = |low: usize, high: usize, bits: u64| {
            let (mut low_taken, mut high_taken) = (0, 0);
            if bits & LOW != 0 {
                self.swap_mark(slot, low, generation, |old| {
                    low_taken = old & bits & LOW;
                    old & !(bits & LOW)
                });
            }
            if bits >> 48 != 0 {
                self.swap_mark(slot, high, generation, |old| {
                    high_taken = old & bits >> 48;
                    old & !(bits >> 48)
                });
            }
            high_taken << 48 | low_taken
        };
        Loss {
            reporters: remove(field::REPORTERS, field::LAST, loss.reporters),
            reasons: remove(field::REASONS, field::FIRST, loss.reasons),
            rest: None,
        }
    }

    fn put_back(&self, slot: usize, generation: u32, taken: &Loss) {
        let add = |field: usize, bits: u64| {
            if bits != 0 {
                self.swap_mark(slot, field, generation, |old| old | bits);
            }
        };
        self.mark_reporters(slot, generation, taken.reporters);
        add(field::REASONS, taken.reasons & LOW);
        add(field::FIRST, taken.reasons >> 48);
    }
}
