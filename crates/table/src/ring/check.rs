//! Checking the ring's events against their numbers.

use super::{EVENT_WORDS, Ring, SEQUENCE_MASK, event};
use crate::sync::Ordering;

/// How far ahead of the head an event is believed. A zone's serial may not jump farther (RFC 1982),
/// and a larger distance is more likely damage.
const AHEAD_MAX: u64 = 1 << 31;

/// What is not as it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingState {
    /// Events whose writers took a number and never finished.
    pub(crate) unfinished: u64,
    /// Events that somebody wrote into.
    pub(crate) spoilt: u64,
    /// Where the head should be at least, if there are complete events past it.
    pub(crate) behind: Option<u64>,
}

/// Places that looked wrong, with their words.
#[derive(Debug)]
pub(crate) struct RingSuspects(Vec<(usize, [u64; EVENT_WORDS])>);

impl RingSuspects {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What one place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The event that belongs here, or nothing yet.
    Good,
    Unfinished,
    Spoilt,
    /// A whole event, which the head should be past: at this number.
    Ahead(u64),
}

impl Ring<'_> {
    /// The places that look wrong. Events are being written, so look at them again later.
    pub(crate) fn suspects(&self) -> RingSuspects {
        let looks = (0..self.places.len()).map(|index| (index, self.look(index)));
        let wrong = looks.filter(|(_, (place, _))| *place != Place::Good);
        RingSuspects(wrong.map(|(index, (_, words))| (index, words)).collect())
    }

    /// What is wrong still, in the very words of the first look.
    pub(crate) fn confirm(&self, suspects: &RingSuspects) -> RingState {
        let mut state = RingState::default();
        for &(index, words) in &suspects.0 {
            match self.look(index) {
                (_, now) if now != words => {}
                (Place::Good, _) => {}
                (Place::Unfinished, _) => state.unfinished += 1,
                (Place::Spoilt, _) => state.spoilt += 1,
                (Place::Ahead(past), _) => state.behind = state.behind.max(Some(past)),
            }
        }
        state
    }

    /// Moves the head past all complete events. The numbers in between count as events that were
    /// never finished: followers look at the whole table then. Never back, so writers may go on.
    pub(crate) fn advance(&self, to: u64) {
        self.head.fetch_max(to, Ordering::AcqRel);
    }

    fn look(&self, index: usize) -> (Place, [u64; EVENT_WORDS]) {
        let place = &self.places[index];
        // Acquire pairs with the release of the seal: whoever sees an event sees the head past it.
        let words = [0, 1, 2, 3, 4].map(|i| place[i].load(Ordering::Acquire));
        (self.judge(index as u64, words, self.head()), words)
    }

    fn judge(&self, index: u64, words: [u64; EVENT_WORDS], head: u64) -> Place {
        let [seal, event_words @ ..] = words;
        if words == [0; EVENT_WORDS] {
            // Nothing was ever written here: the ring's first round.
            return Place::Good;
        }
        if seal == 0 {
            return Place::Unfinished;
        }
        let ahead = (seal >> 24).wrapping_sub(head) & SEQUENCE_MASK;
        let ago = head.wrapping_sub(seal >> 24) & SEQUENCE_MASK;
        let number =
            if ahead < AHEAD_MAX { head.checked_add(ahead) } else { head.checked_sub(ago) };
        let is_whole = |number: &u64| {
            number % self.capacity() == index
                && seal == self.seal(*number, event_words)
                && event(*number, event_words).is_some()
        };
        match number.filter(is_whole) {
            None => Place::Spoilt,
            Some(number) if ahead < AHEAD_MAX => Place::Ahead(number + 1),
            // An event of an earlier round: the writer of this round's has not come.
            Some(number) if head - number > self.capacity() => Place::Unfinished,
            Some(_) => Place::Good,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind};
    use crate::hash::Seed;
    use crate::sync::AtomicU64;

    fn publish(ring: &Ring<'_>) {
        let network = crate::Network::host(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
        let (kind, sequence) = (EventKind::Added, 0);
        ring.publish(&Event {
            sequence,
            time: 1,
            kind,
            reporter: 0,
            reason: 1,
            network,
            weight: 1,
            seconds: 0,
        });
    }

    #[test]
    fn every_flaw_is_told_from_what_is_sound() {
        for start in [0, 1000, (1 << 40) - 20] {
            let words: Vec<_> = (0..8 * EVENT_WORDS).map(|_| AtomicU64::new(0)).collect();
            let head = AtomicU64::new(start);
            let ring = Ring::new(&head, &words, Seed(5, 6));
            let check = || ring.confirm(&ring.suspects());
            assert_eq!(check(), RingState::default());
            for _ in 0..21 {
                publish(&ring);
                assert_eq!(check(), RingState::default(), "from {start}");
            }
            // Two writers took a number and died, one of them in the middle.
            head.fetch_add(2, Ordering::Relaxed);
            let second = (head.load(Ordering::Relaxed) - 1) % 8;
            ring.places[second as usize][0].store(0, Ordering::Relaxed);
            assert_eq!(check(), RingState { unfinished: 2, ..RingState::default() });
            publish(&ring);
            let spoilt = (head.load(Ordering::Relaxed) - 1) % 8;
            ring.places[spoilt as usize][3].fetch_xor(1, Ordering::Relaxed);
            assert_eq!(check(), RingState { unfinished: 2, spoilt: 1, behind: None });
            ring.places[spoilt as usize][3].fetch_xor(1, Ordering::Relaxed);
            // The head's page was lost, the events' was not.
            head.fetch_sub(3, Ordering::Relaxed);
            let state = check();
            assert_eq!(state.behind, Some(head.load(Ordering::Relaxed) + 3), "{state:?}");
            ring.advance(state.behind.unwrap_or(0));
            assert_eq!(check(), RingState { unfinished: 2, ..RingState::default() });
        }
    }

    #[test]
    fn an_event_is_not_believed_far_ahead_or_in_another_place() {
        let words: Vec<_> = (0..8 * EVENT_WORDS).map(|_| AtomicU64::new(0)).collect();
        let head = AtomicU64::new(1 << 35);
        let ring = Ring::new(&head, &words, Seed(5, 6));
        publish(&ring);
        head.store(8, Ordering::Relaxed);
        let state = ring.confirm(&ring.suspects());
        assert_eq!(state, RingState { spoilt: 1, ..RingState::default() });
    }
}
