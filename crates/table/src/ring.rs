//! The event ring: the last 65,536 changes.
//!
//! A writer takes the next sequence number, marks its place as being written, stores the event,
//! and last the sequence number with a checksum of the event. A writer who dies in between leaves
//! one event that is never complete; one who is stopped until the ring has come round may
//! spoil one event of a later round, which its checksum tells. Readers treat both as lost, and
//! fall back to the table, which is always complete: the ring says *that* something changed, the
//! table says what is.
//!
//! ```text
//! word 0   63..24 sequence (40 bits) · 23..0 checksum; 0 while being written
//! word 1   63..32 time · 31..24 kind · 23..16 reporter · 15..8 reason · 7..0 prefix length
//! word 2, 3   the key
//! word 4   63..32 weight · 31..0 seconds
//! ```

mod check;
#[cfg(all(test, loom))]
mod model;

use crate::event::{Event, EventKind};
use crate::hash::Seed;
use crate::network::Network;
use crate::sync::{AtomicU64, Ordering, fence};

pub(crate) use check::RingSuspects;

/// Events that the ring holds. Miri, which looks at every word of a slice each time that it is lent, is
/// given few.
pub(crate) const EVENTS: usize = if cfg!(miri) { 256 } else { 65_536 };
/// Words of an event.
pub(crate) const EVENT_WORDS: usize = 5;

const SEQUENCE_MASK: u64 = (1 << 40) - 1;

/// The ring of one table.
#[derive(Clone, Copy)]
pub(crate) struct Ring<'a> {
    head: &'a AtomicU64,
    places: &'a [[AtomicU64; EVENT_WORDS]],
    seed: Seed,
}

/// What reading one event gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The event.
    Event(Event),
    /// It has a number, but is not complete (yet).
    Unfinished,
    /// It was overwritten, or spoilt.
    Lost,
}

impl<'a> Ring<'a> {
    /// `words` must hold at least one event; a table's ring has [`EVENTS`].
    pub(crate) fn new(head: &'a AtomicU64, words: &'a [AtomicU64], seed: Seed) -> Self {
        Self { head, places: words.as_chunks().0, seed }
    }

    /// The sequence number of the next event.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Events that the ring can hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.places.len() as u64
    }

    fn place(&self, sequence: u64) -> &'a [AtomicU64; EVENT_WORDS] {
        &self.places[(sequence % self.places.len() as u64) as usize]
    }

    /// The last word to be stored: it makes the event complete.
    fn seal(&self, sequence: u64, words: [u64; 4]) -> u64 {
        let [info, high, low, amount] = words;
        // Against torn events, not against forgers (who could write anything): odd multipliers
        // spread every bit upwards, and the top bits are kept.
        let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let head = mix(mix(self.seed.0, sequence), info).rotate_left(29);
        let sum = mix(mix(mix(head, high), low).rotate_left(29), amount);
        let checksum = sum ^ sum.rotate_left(31);
        (sequence & SEQUENCE_MASK) << 24 | checksum >> 40
    }

    /// Adds an event; its `sequence` is ignored.
    pub(crate) fn publish(&self, event: &Event) {
        let sequence = self.head.fetch_add(1, Ordering::AcqRel);
        let place = self.place(sequence);
        let (high, low) = event.network.words();
        let info = u64::from(event.time) << 32
            | (event.kind as u64) << 24
            | u64::from(event.reporter) << 16
            | u64::from(event.reason) << 8
            | u64::from(event.network.mapped_length());
        let amount = u64::from(event.weight) << 32 | u64::from(event.seconds);
        place[0].store(0, Ordering::Relaxed);
        // Pairs with the reader's fence: who sees any of the stores below sees that the old
        // event is gone.
        fence(Ordering::Release);
        place[1].store(info, Ordering::Relaxed);
        place[2].store(high, Ordering::Relaxed);
        place[3].store(low, Ordering::Relaxed);
        place[4].store(amount, Ordering::Relaxed);
        // Release pairs with the reader's acquire: the event is complete.
        place[0].store(self.seal(sequence, [info, high, low, amount]), Ordering::Release);
    }

    /// Reads the event of one sequence number, which must be below the head.
    pub(crate) fn read(&self, sequence: u64) -> Read {
        if self.head() > sequence.saturating_add(self.capacity()) {
            return Read::Lost;
        }
        let place = self.place(sequence);
        let seal = place[0].load(Ordering::Acquire);
        let words = [1, 2, 3, 4].map(|i| place[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if place[0].load(Ordering::Relaxed) != seal {
            return Read::Unfinished;
        }
        let wanted = sequence & SEQUENCE_MASK;
        if seal >> 24 != wanted || seal == 0 {
            // An older number: its writer has not finished. A newer one: overwritten.
            let is_older = seal == 0 || wanted.wrapping_sub(seal >> 24) & SEQUENCE_MASK < 1 << 39;
            return if is_older { Read::Unfinished } else { Read::Lost };
        }
        if seal != self.seal(sequence, words) {
            return Read::Lost;
        }
        event(sequence, words).map_or(Read::Lost, Read::Event)
    }
}

fn event(sequence: u64, [info, high, low, amount]: [u64; 4]) -> Option<Event> {
    Some(Event {
        sequence,
        time: (info >> 32) as u32,
        kind: EventKind::from_code((info >> 24) as u8)?,
        reporter: (info >> 16) as u8,
        reason: (info >> 8) as u8,
        network: Network::from_words(high, low, info as u8)?,
        weight: (amount >> 32) as u32,
        seconds: amount as u32,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SEED: Seed = Seed(5, 6);

    fn sample(i: u64) -> Event {
        Event {
            sequence: i,
            time: i as u32,
            kind: EventKind::Extended,
            reporter: 1,
            reason: 63,
            network: Network::host(std::net::Ipv4Addr::from(i as u32).into()),
            weight: 3 + i as u32,
            seconds: 7 + i as u32,
        }
    }

    fn words(events: usize) -> Vec<AtomicU64> {
        (0..events * EVENT_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    #[test]
    fn reads_back_what_was_published_until_overwritten() {
        let (head, words) = (AtomicU64::new(0), words(8));
        let ring = Ring::new(&head, &words, SEED);
        for i in 0..20 {
            ring.publish(&sample(i));
        }
        for i in 0..20 {
            let expected = if i < 12 { Read::Lost } else { Read::Event(sample(i)) };
            assert_eq!(ring.read(i), expected, "{i}");
        }
        assert_eq!(ring.head(), 20);
    }

    #[test]
    fn a_writer_who_died_leaves_an_unfinished_event_and_later_ones_are_read() {
        let (head, words) = (AtomicU64::new(0), words(8));
        let ring = Ring::new(&head, &words, SEED);
        ring.publish(&sample(0));
        head.fetch_add(1, Ordering::Relaxed); // took number 1 and died
        ring.publish(&sample(2));
        assert_eq!(ring.read(1), Read::Unfinished);
        assert_eq!(ring.read(2), Read::Event(sample(2)));
    }

    #[test]
    fn a_late_store_of_an_earlier_round_is_found_out() {
        let (head, words) = (AtomicU64::new(0), words(8));
        let ring = Ring::new(&head, &words, SEED);
        for i in 0..9 {
            ring.publish(&sample(i));
        }
        words[2].store(42, Ordering::Relaxed); // a word of event 8, by the stopped writer of 0
        assert_eq!(ring.read(8), Read::Lost);
    }
}
