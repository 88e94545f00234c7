//! Checking the places of a dictionary, and mending them beside writers.
//!
//! What makes mending safe: the words of a place follow from its hash, so everybody who stores
//! there stores the same; and a hash is only ever swapped, from the very value that was judged.

use super::{CLOSED, Dictionary, Name, PLACE_WORDS};
use crate::sync::{AtomicU64, Ordering};

/// The hash of a place that is given up: no name has it but by a chance of one in 2^64.
const GIVEN_UP: u64 = 1;

/// Reasons that ACLs give in eximrbl's own examples and by default: if a writer was killed before
/// he stored the text of one, its hash tells it.
const USUAL: [&str; 26] = [
    "other", "reject", "local", "admin", "manual", "spamtrap", "connect", "helo", "mail", "rcpt",
    "data", "mime", "auth", "starttls", "etrn", "vrfy", "expn", "predata", "dkim", "prdr",
    "notsmtp", "quit", "virus", "spam", "relay", "listed",
];

/// What is wrong with a place of a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Its first writer was killed; the next use of the name completes it.
    Unfinished,
    /// It holds what no writer writes.
    Damaged,
    /// A whole name under a hash that is not its own: writers find it, readers do not.
    Mislabelled(Name),
    /// Free, but places after it are in use: their names would be entered once more.
    Gap,
    /// It holds the name of a lower place once more.
    Twice(u8),
}

/// What a place holds, its words belonging together.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held {
    hash: u64,
    words: [u64; PLACE_WORDS - 1],
}

impl Held {
    fn of(place: &[AtomicU64; PLACE_WORDS]) -> Self {
        // The first word of a name is stored last, the hash before all: in this order, what is
        // seen of a later step brings all earlier ones.
        let words = [1, 2, 3, 4].map(|i| place[i].load(Ordering::Acquire));
        Self { hash: place[0].load(Ordering::Acquire), words }
    }

    fn is_free(&self) -> bool {
        self.hash == 0 || self.hash == CLOSED
    }

    fn name(&self) -> Option<Name> {
        Name::from_words(self.words)
    }

    /// A writer who was killed leaves the hash and some whole words of the name, from the last one
    /// on; each of them is text.
    fn is_partial(&self) -> bool {
        !self.is_free() && self.words[0] == 0 && self.words.iter().all(|&word| is_text(word))
    }
}

/// Whether a word could be one of a name.
fn is_text(word: u64) -> bool {
    let bytes = word.to_le_bytes();
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(8);
    let valid = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes[..end].iter().all(valid) && bytes[end..].iter().all(|&b| b == 0)
}

impl Dictionary<'_> {
    /// Places that do not hold what they should.
    pub(crate) fn flaws(&self) -> Vec<(usize, Flaw)> {
        let held: Vec<Held> = self.places.iter().map(Held::of).collect();
        let in_use = held.iter().rposition(|held| !held.is_free()).map_or(0, |last| last + 1);
        let flaw = |(place, this): (usize, &Held)| {
            if this.hash == GIVEN_UP && this.words == [0; 4] {
                return None;
            }
            let flaw = match this.name() {
                Some(name) if name.hash(self.seed) == this.hash => {
                    let lower = held[..place].iter().position(|lower| lower == this)?;
                    Flaw::Twice(u8::try_from(lower).ok()?)
                }
                _ if this.is_partial() => Flaw::Unfinished,
                Some(name) => Flaw::Mislabelled(name),
                None if this.is_free() && place < in_use => Flaw::Gap,
                None if this.is_free() && this.words == [0; 4] => return None,
                None => Flaw::Damaged,
            };
            Some((place, flaw))
        };
        held.iter().enumerate().filter_map(flaw).collect()
    }

    /// Which places are in use, a bit each.
    pub(crate) fn used(&self) -> u64 {
        let used = self.places.iter().map(|place| !Held::of(place).is_free());
        used.enumerate().fold(0, |bits, (place, used)| bits | u64::from(used) << place)
    }

    /// Whether a place holds this name, or is about to.
    pub(crate) fn is_for(&self, place: usize, name: &Name) -> bool {
        self.places[place][0].load(Ordering::Acquire) == name.hash(self.seed)
    }

    /// Whether [`Dictionary::mend`] knows how.
    pub(crate) fn is_mendable(&self, place: usize, flaw: Flaw) -> bool {
        match flaw {
            Flaw::Unfinished => self.usual(Held::of(&self.places[place]).hash).is_some(),
            Flaw::Mislabelled(name) => !self.has(&name),
            Flaw::Damaged => true,
            // A place of a table that is being replaced gets no name any more.
            Flaw::Gap => self.places[place][0].load(Ordering::Acquire) == 0,
            Flaw::Twice(_) => false,
        }
    }

    /// The usual name that has this hash.
    fn usual(&self, hash: u64) -> Option<Name> {
        let names = USUAL.iter().filter_map(|text| Name::new(text.as_bytes()));
        names.into_iter().find(|name| name.hash(self.seed) == hash)
    }

    /// Whether a place is for this name.
    fn has(&self, name: &Name) -> bool {
        (0..self.places.len()).any(|place| self.is_for(place, name))
    }

    /// Mends a place, if that can be done while others go on; says how.
    pub(crate) fn mend(&self, place: usize, flaw: Flaw) -> Option<String> {
        let held = Held::of(&self.places[place]);
        match flaw {
            Flaw::Unfinished | Flaw::Damaged => {
                if let Some(name) = self.usual(held.hash) {
                    self.spell(place, &name);
                    return Some(format!("completed as \"{name}\""));
                }
                (flaw == Flaw::Damaged && self.unspell(place, &held))
                    .then(|| "cleared; the next use of its name completes it".to_owned())
            }
            Flaw::Mislabelled(name) => {
                let done = !self.has(&name) && self.relabel(place, held.hash, name.hash(self.seed));
                done.then(|| format!("put right as \"{name}\""))
            }
            // Whatever name it had is gone. As a free place it would get another, and the bits
            // in entries a meaning that nobody gave them.
            Flaw::Gap => {
                let done = held.hash == 0 && self.relabel(place, 0, GIVEN_UP);
                done.then(|| {
                    self.unspell(place, &held);
                    "given up; its name gets another place".to_owned()
                })
            }
            Flaw::Twice(_) => None,
        }
    }

    /// Whether [`Dictionary::restore`] would not destroy another name.
    pub(crate) fn is_restorable(&self, place: usize, name: &Name) -> bool {
        let is_other = |other: &Name| other != name;
        Held::of(&self.places[place]).name().filter(is_other).is_none() && !self.has(name)
    }

    /// Gives a place the name that it must have, unless it has another whole one.
    pub(crate) fn restore(&self, place: usize, name: &Name) -> bool {
        let held = Held::of(&self.places[place]);
        let done =
            self.is_restorable(place, name) && self.relabel(place, held.hash, name.hash(self.seed));
        if done {
            self.spell(place, name);
        }
        done
    }

    /// Stores a name's text at its place, unless it is there.
    pub(super) fn spell(&self, place: usize, name: &Name) {
        // The last word first: a name that is only half stored then has no first word, which every
        // name has, and passes for nobody. Every writer of this place stores the same; most find it
        // done.
        for (word, bytes) in self.places[place][1..].iter().zip(name.words()).rev() {
            if word.load(Ordering::Relaxed) != bytes {
                word.store(bytes, Ordering::Release);
            }
        }
    }

    fn relabel(&self, place: usize, old: u64, new: u64) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.places[place][0].compare_exchange(old, new, success, failure).is_ok()
    }

    /// Makes an unfinished name of what is none; false if somebody is completing it.
    fn unspell(&self, place: usize, held: &Held) -> bool {
        // By CAS, from the first word on, and words that could be right stay: who is about to
        // store the name's words stores them over zeros, or has stored them already.
        (1..).zip(held.words).filter(|&(i, word)| i == 1 || !is_text(word)).all(|(i, word)| {
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            self.places[place][i].compare_exchange(word, 0, success, failure).is_ok()
        })
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{DICTIONARY_WORDS, Seed};
    use super::*;

    const SEED: Seed = Seed(1, 2);

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    /// A dictionary with a few names, damaged, then mended: what was wrong, and what it reads like
    /// afterwards.
    fn mended(damage: impl Fn(&[[AtomicU64; PLACE_WORDS]])) -> (Vec<(usize, Flaw)>, Vec<String>) {
        let words: Vec<_> = (0..DICTIONARY_WORDS).map(|_| AtomicU64::new(0)).collect();
        let dictionary = Dictionary::new(&words, SEED);
        for text in ["other", "reject", "rcpt", "a-long-name-of-many-letters"] {
            let _ = dictionary.enter(&name(text), true);
        }
        assert_eq!(dictionary.flaws(), []);
        assert_eq!(dictionary.used(), 0b1111);
        damage(dictionary.places);
        let flaws = dictionary.flaws();
        for &(place, flaw) in &flaws {
            dictionary.mend(place, flaw);
        }
        let left = dictionary.flaws();
        assert!(left.iter().all(|(_, flaw)| matches!(flaw, Flaw::Unfinished | Flaw::Twice(_))));
        (flaws, dictionary.names().of(0b11111).map(str::to_owned).collect())
    }

    #[test]
    fn names_are_mended_as_far_as_their_text_is_known() {
        let long = "a-long-name-of-many-letters";
        let whole = ["other", "reject", "rcpt", long];
        let store = |place: &[AtomicU64; PLACE_WORDS], i: usize, value: u64| {
            place[i].store(value, Ordering::Relaxed);
        };
        // Only the hash is there: one of the usual names.
        let (flaws, names) = mended(|places| store(&places[2], 1, 0));
        assert_eq!(
            (flaws, &names[..4]),
            (vec![(2, Flaw::Unfinished)], &whole.map(str::to_owned)[..])
        );
        // One that nobody can guess stays as it is until its next use.
        let (flaws, names) = mended(|places| store(&places[3], 1, 0));
        assert_eq!((flaws[0].1, names[3].as_str()), (Flaw::Unfinished, "unknown"));
        // Damaged words under a good hash.
        let (flaws, names) = mended(|places| store(&places[2], 3, !0));
        assert_eq!((flaws, names[2].as_str()), (vec![(2, Flaw::Damaged)], "rcpt"));
        let (flaws, names) = mended(|places| store(&places[3], 2, !0));
        assert_eq!((flaws[0].1, names[3].as_str()), (Flaw::Damaged, "unknown"));
        // A damaged or lost hash over good words.
        for hash in [0, 7, 1] {
            let (flaws, names) = mended(|places| store(&places[3], 0, hash));
            assert_eq!(
                (flaws, names[3].as_str()),
                (vec![(3, Flaw::Mislabelled(name(long)))], long)
            );
        }
        // A lost place: never again another name's.
        let (flaws, names) = mended(|places| (0..5).for_each(|i| store(&places[2], i, 0)));
        assert_eq!((flaws, names[2].as_str()), (vec![(2, Flaw::Gap)], "unknown"));
        // A name in two places cannot be mended, for both bits are in use.
        let (flaws, _) = mended(|places| {
            for i in 0..5 {
                store(&places[4], i, places[2][i].load(Ordering::Relaxed));
            }
        });
        assert_eq!(flaws, [(4, Flaw::Twice(2))]);
    }

    #[test]
    fn a_name_that_was_cleared_is_completed_by_its_next_use_at_its_place() {
        let words: Vec<_> = (0..DICTIONARY_WORDS).map(|_| AtomicU64::new(0)).collect();
        let dictionary = Dictionary::new(&words, SEED);
        for text in ["other", "greylisted-by-somebody", "last"] {
            let _ = dictionary.enter(&name(text), true);
        }
        words[PLACE_WORDS + 2].store(!0, Ordering::Relaxed);
        assert!(dictionary.mend(1, Flaw::Damaged).is_some());
        assert_eq!(dictionary.flaws(), [(1, Flaw::Unfinished)]);
        let _ = dictionary.enter(&name("greylisted-by-somebody"), true);
        assert_eq!(dictionary.flaws(), []);
        assert_eq!(dictionary.names().bit("greylisted-by-somebody"), Some(1));
    }

    #[test]
    fn a_gap_is_not_filled_by_the_next_name() {
        let words: Vec<_> = (0..DICTIONARY_WORDS).map(|_| AtomicU64::new(0)).collect();
        let dictionary = Dictionary::new(&words, SEED);
        for text in ["other", "lost", "rcpt"] {
            let _ = dictionary.enter(&name(text), true);
        }
        words[PLACE_WORDS..2 * PLACE_WORDS]
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        assert!(dictionary.mend(1, Flaw::Gap).is_some());
        for text in ["rcpt", "lost"] {
            let _ = dictionary.enter(&name(text), true);
        }
        let names = dictionary.names();
        assert_eq!(names.iter().collect::<Vec<_>>(), [(0, "other"), (2, "rcpt"), (3, "lost")]);
        assert_eq!(dictionary.flaws(), []);
    }
}
