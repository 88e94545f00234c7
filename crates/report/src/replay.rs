//! Signed lines that were taken, for as long as somebody else could send them again.
//!
//! A line is taken when its stamp lies within [`WINDOW`] of the time, so it must be remembered until its
//! stamp is older than that. The memory is parted by stamps: what is too old is dropped a part at a
//! time, and nothing is looked through. The stamps of what was dropped are known by their end alone, and
//! are refused for good: a clock that is set back, or a start, opens no door.

use std::collections::{HashSet, VecDeque};

/// How far a stamp may be from the time, in seconds, to both sides.
pub const WINDOW: u64 = 300;
/// Seconds of stamps that are dropped together.
const PART: u64 = 60;

/// What became of a line that was to be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// It is new.
    New,
    /// It was here before.
    Known,
    /// Its stamp is from a time of which nothing is known any more.
    Forgotten,
    /// There is no room.
    Full,
}

/// The memory of one reporter.
#[derive(Clone, Debug)]
pub(crate) struct Replays {
    /// Lines by their fingerprints, in the order of their stamps.
    parts: VecDeque<(u64, HashSet<u64>)>,
    /// Stamps below are from before the start, or were dropped.
    known_from: u64,
    count: usize,
    room: usize,
}

impl Replays {
    /// Nothing was taken yet; before `start` another process may have taken something.
    pub(crate) fn new(start: u64, room: usize) -> Self {
        Self { parts: VecDeque::new(), known_from: start, count: 0, room }
    }

    /// Takes so many from now on.
    pub(crate) fn change(&mut self, room: usize) {
        self.room = room;
    }

    /// Whether a line could be remembered; changes nothing but for dropping what is too old.
    pub(crate) fn look(&mut self, stamp: u64, fingerprint: u64, now: u64) -> Memory {
        while let Some((part, lines)) = self.parts.front()
            && (part + 1) * PART + WINDOW <= now
        {
            self.known_from = self.known_from.max((part + 1) * PART);
            self.count -= lines.len();
            self.parts.pop_front();
        }
        if stamp < self.known_from {
            return Memory::Forgotten;
        }
        let part = self.parts.iter().find(|(part, _)| *part == stamp / PART);
        match part.is_some_and(|(_, lines)| lines.contains(&fingerprint)) {
            true => Memory::Known,
            false if self.count >= self.room => Memory::Full,
            false => Memory::New,
        }
    }

    /// Forgets a line again that was added.
    pub(crate) fn remove(&mut self, stamp: u64, fingerprint: u64) {
        let part = self.parts.iter_mut().find(|(part, _)| *part == stamp / PART);
        if part.is_some_and(|(_, lines)| lines.remove(&fingerprint)) {
            self.count -= 1;
        }
    }

    /// Remembers a line that is new.
    pub(crate) fn add(&mut self, stamp: u64, fingerprint: u64) {
        let number = stamp / PART;
        let place = self.parts.partition_point(|(part, _)| *part < number);
        if self.parts.get(place).is_none_or(|(part, _)| *part != number) {
            self.parts.insert(place, (number, HashSet::new()));
        }
        if let Some((_, lines)) = self.parts.get_mut(place)
            && lines.insert(fingerprint)
        {
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_326_180;

    fn take(replays: &mut Replays, stamp: u64, fingerprint: u64, now: u64) -> Memory {
        let memory = replays.look(stamp, fingerprint, now);
        if memory == Memory::New {
            replays.add(stamp, fingerprint);
        }
        memory
    }

    /// Caught: a part that is dropped while its last stamps are still within the window.
    #[test]
    fn a_line_is_known_for_as_long_as_it_would_be_taken() {
        for ahead in [0, 59, 60, 299, WINDOW] {
            let mut replays = Replays::new(START, 100);
            let stamp = START + ahead;
            assert_eq!(take(&mut replays, stamp, 1, START), Memory::New);
            for now in START..=stamp + WINDOW {
                assert_eq!(take(&mut replays, stamp, 1, now), Memory::Known, "{ahead} {now}");
            }
        }
    }

    /// Caught: a clock that is set back makes lines new that were dropped.
    #[test]
    fn what_was_dropped_stays_refused() {
        let mut replays = Replays::new(START, 100);
        assert_eq!(take(&mut replays, START, 1, START), Memory::New);
        assert_eq!(take(&mut replays, START + 1000, 2, START + 1000), Memory::New);
        assert_eq!(take(&mut replays, START, 1, START), Memory::Forgotten);
        assert_eq!(take(&mut replays, START + 59, 3, START), Memory::Forgotten);
        assert_eq!(take(&mut replays, START + 60, 3, START), Memory::New);
        assert_eq!(take(&mut replays, START - 1, 4, START), Memory::Forgotten);
    }

    /// Caught: room that is not given back.
    #[test]
    fn a_full_memory_takes_nothing_until_something_is_dropped() {
        let mut replays = Replays::new(START, 2);
        assert_eq!(take(&mut replays, START, 1, START), Memory::New);
        assert_eq!(take(&mut replays, START + 60, 2, START), Memory::New);
        assert_eq!(take(&mut replays, START + 60, 3, START), Memory::Full);
        assert_eq!(take(&mut replays, START + 60, 2, START), Memory::Known);
        let later = START + 60 + WINDOW;
        assert_eq!(take(&mut replays, later, 3, later), Memory::New);
        assert_eq!(take(&mut replays, later, 4, later), Memory::Full);
    }
}
