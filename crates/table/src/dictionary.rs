//! Names of reasons and reporters, so that an entry can hold them as bits.
//!
//! A dictionary has 64 places of five words: the name's hash, and its 32 bytes. To enter a name
//! is one CAS of a free place's hash from 0: that decides everything. The bytes follow by plain
//! stores, by whoever enters or uses the name next, should the first one have died: all of them
//! store the same bytes. So there is nothing to lock, to wait for or to repair, and no name can
//! get two places.
//!
//! Places are never freed. Reasons come from ACLs, but an ACL may pass on something that an SMTP
//! client chose; so the library may only use the first 48 places, and the last 16 stay for what
//! the administrator names in the configuration.

mod check;
#[cfg(all(test, loom))]
mod model;

use std::fmt;

use crate::hash::{Seed, siphash};
use crate::sync::{AtomicU64, Ordering};

pub(crate) use check::Flaw;

/// Reason 0 of every table: what a reason becomes that is malformed, or finds no room.
pub const OTHER: &str = "other";
/// Reason 1 of every table: the default of `rbl_record`.
pub const REJECT: &str = "reject";
/// Bit of the reason [`OTHER`].
pub const OTHER_BIT: u8 = 0;
/// Bit of the reason [`REJECT`].
pub const REJECT_BIT: u8 = 1;
/// Reporter 0: the library, within Exim on this host.
pub const LOCAL: u8 = 0;
/// Reporter 1: the administrator, by the tool.
pub const ADMIN: u8 = crate::word::ADMIN;
/// Names of the first two reporters.
pub(crate) const FIRST_REPORTERS: [&str; 2] = ["local", "admin"];

/// Places in a dictionary; also the bits in an entry's bitmap.
pub(crate) const PLACES: usize = 64;
/// Places that the library may fill.
const COMMON_PLACES: usize = 48;
/// Words of a place: hash, then 32 bytes of name.
const PLACE_WORDS: usize = 5;
/// The hash of a free place in a table that is being replaced: no name comes here any more.
const CLOSED: u64 = u64::MAX;
/// Words of a dictionary.
pub(crate) const DICTIONARY_WORDS: usize = PLACES * PLACE_WORDS;

/// A reason's or reporter's name: 1 to 32 of `[a-z0-9-]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    bytes: [u8; 32],
    length: u8,
}

impl Name {
    /// `None` unless `text` is a name as it stands.
    pub fn new(text: &[u8]) -> Option<Self> {
        Self::folded(text).filter(|name| name.as_str().as_bytes() == text)
    }

    /// As [`Name::new`], after folding what people write: capitals become small letters;
    /// a space, dot, slash or underscore becomes a hyphen. Anything else (control characters,
    /// quotes, 8-bit text, more than 32 bytes) is not guessed at.
    pub fn folded(text: &[u8]) -> Option<Self> {
        folded_words(text).and_then(Self::from_words)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets in, so the empty string is never seen.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }

    fn words(&self) -> [u64; 4] {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(self.bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }

    /// From a place's words; `None` if they are no name.
    fn from_words(words: [u64; 4]) -> Option<Self> {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        let length = bytes.iter().position(|&b| b == 0).unwrap_or(32);
        let (name, rest) = bytes.split_at(length);
        let valid = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        let is_name = length > 0 && name.iter().all(valid) && rest.iter().all(|&b| b == 0);
        is_name.then_some(Self { bytes, length: length as u8 })
    }

    /// The keyed hash that stands for the name; never 0 or [`CLOSED`]. Two names would share it once in 2^64
    /// pairs, and only the table's seed tells which.
    fn hash(&self, seed: Seed) -> u64 {
        let [a, b, c, d] = self.words();
        let inner = siphash(seed, [a, b, c]);
        siphash(seed, [inner, d, u64::from(self.length)]).clamp(1, CLOSED - 1)
    }
}

/// The words of a folded name; `None` if `text` cannot be folded to one.
///
/// The hot path of `rbl_record` compares these with the dictionary's and never makes a [`Name`]:
/// bytes that are stored one by one and loaded as words cost the processor more than all the
/// rest of the comparison.
fn folded_words(text: &[u8]) -> Option<[u64; 4]> {
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(text.chunks(8)) {
        let mut packed = 0_u64;
        for (i, &byte) in bytes.iter().enumerate() {
            let folded = match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'-' => byte,
                b'A'..=b'Z' => byte.to_ascii_lowercase(),
                b' ' | b'.' | b'/' | b'_' => b'-',
                _ => return None,
            };
            packed |= u64::from(folded) << (8 * i);
        }
        *word = packed;
    }
    Some(words)
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// All names of one dictionary, by bit number, taken at one instant.
#[derive(Clone, Debug)]
pub struct Names {
    names: [Option<Name>; PLACES],
}

impl Names {
    /// These names, and for places without one those of `others`.
    pub(crate) fn or(self, others: &Self) -> Self {
        Self { names: std::array::from_fn(|bit| self.names[bit].or(others.names[bit])) }
    }

    /// The names of the set bits of an entry's bitmap, lowest bit first. A bit without a name
    /// (the writer was killed before he could store it) is called `unknown`.
    pub fn of(&self, bits: u64) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .enumerate()
            .filter(move |(bit, _)| bits >> bit & 1 == 1)
            .map(|(_, name)| name.as_ref().map_or("unknown", Name::as_str))
    }

    /// The bit (0 to 63) of a name.
    pub fn bit(&self, name: &str) -> Option<u8> {
        let place = self.names.iter().position(|n| n.is_some_and(|n| n.as_str() == name))?;
        u8::try_from(place).ok()
    }

    /// Bit and name of every place in use.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        let named = self.names.iter().enumerate();
        named.filter_map(|(bit, name)| Some((u8::try_from(bit).ok()?, name.as_ref()?.as_str())))
    }
}

/// What became of a name that was to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It has this bit.
    Bit(u8),
    /// There is no room.
    NoRoom,
    /// New names are taken by the table that replaces this one alone.
    Closed,
}

/// A dictionary in the table.
#[derive(Clone, Copy)]
pub(crate) struct Dictionary<'a> {
    places: &'a [[AtomicU64; PLACE_WORDS]],
    seed: Seed,
}

impl<'a> Dictionary<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], seed: Seed) -> Self {
        Self { places: words.as_chunks().0, seed }
    }

    /// The bit of a text's folded name, entered if it is new: `Err` when no name can be made of
    /// the text.
    pub(crate) fn enter_folded(&self, text: &[u8], all_places: bool) -> Result<Entered, ()> {
        let words = folded_words(text).ok_or(())?;
        if let Some(bit) = self.find(words) {
            return Ok(Entered::Bit(bit));
        }
        let name = Name::from_words(words).ok_or(())?;
        Ok(self.enter(&name, all_places))
    }

    /// The bit of a name that is there, whole, which it nearly always is: a comparison is faster
    /// than a hash.
    fn find(&self, words: [u64; 4]) -> Option<u8> {
        for (bit, place) in self.places.iter().enumerate() {
            if matches!(place[0].load(Ordering::Acquire), 0 | CLOSED) {
                return None;
            }
            // Acquire pairs with the release of the first word, which is stored last.
            if place[1].load(Ordering::Acquire) == words[0]
                && place[2..]
                    .iter()
                    .zip(&words[1..])
                    .all(|(have, want)| have.load(Ordering::Relaxed) == *want)
            {
                return u8::try_from(bit).ok();
            }
        }
        None
    }

    /// The name's bit, entered if it is new.
    pub(crate) fn enter(&self, name: &Name, all_places: bool) -> Entered {
        let words = name.words();
        if let Some(bit) = self.find(words) {
            return Entered::Bit(bit);
        }
        let hash = name.hash(self.seed);
        let limit = if all_places { PLACES } else { COMMON_PLACES };
        for (bit, place) in (0_u8..).zip(self.places) {
            let mut found = place[0].load(Ordering::Acquire);
            if found == 0 {
                if usize::from(bit) >= limit {
                    return Entered::NoRoom;
                }
                let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
                match place[0].compare_exchange(0, hash, success, failure) {
                    Ok(_) => found = hash,
                    Err(other) => found = other,
                }
            }
            if found == CLOSED {
                return Entered::Closed;
            }
            if found == hash {
                self.spell(usize::from(bit), name);
                return Entered::Bit(bit);
            }
        }
        Entered::NoRoom
    }

    /// Takes over the names of the table that this one replaces, each at its place, so that the
    /// bits in entries keep their meaning. If `close`, the old dictionary takes no new ones from
    /// now on. Whoever opens the new table does this before he enters a name of his own; doing it again
    /// changes nothing.
    #[inline(never)]
    pub(crate) fn take_over(&self, old: &Dictionary<'_>, close: bool) {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        for (from, to) in old.places.iter().zip(self.places) {
            let hash = match close {
                true => from[0].compare_exchange(0, CLOSED, success, failure).unwrap_or_else(|h| h),
                false => from[0].load(Ordering::Acquire),
            };
            if hash == 0 || hash == CLOSED {
                continue;
            }
            let _ = to[0].compare_exchange(0, hash, success, failure);
            // A name whose first word, the last to be stored, is not there yet is completed here by
            // its next use. Otherwise all of it is there, and goes the same way as in `enter`.
            if from[1].load(Ordering::Acquire) != 0 {
                for (from, to) in from[1..].iter().zip(&to[1..]).rev() {
                    to.store(from.load(Ordering::Relaxed), Ordering::Release);
                }
            }
        }
    }

    /// Takes new names again, should a resize have closed this dictionary.
    pub(crate) fn reopen(&self) {
        for place in self.places {
            let _ = place[0].compare_exchange(CLOSED, 0, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// All names, for showing. A place whose bytes do not give its hash has no name (yet).
    pub(crate) fn names(&self) -> Names {
        let mut names = [None; PLACES];
        for (name, place) in names.iter_mut().zip(self.places) {
            let hash = place[0].load(Ordering::Acquire);
            let word = |i: usize| place[i].load(Ordering::Acquire);
            if hash != 0 {
                *name = Name::from_words([word(1), word(2), word(3), word(4)])
                    .filter(|name| name.hash(self.seed) == hash);
            }
        }
        Names { names }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(1, 2);

    fn words() -> Vec<AtomicU64> {
        (0..DICTIONARY_WORDS).map(|_| AtomicU64::new(0)).collect()
    }

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_checked_and_folded() {
        let longest = "a".repeat(32);
        for good in ["a", "rcpt", "bad-helo", "x2", &longest] {
            assert_eq!(name(good).as_str(), good);
        }
        let too_long = "a".repeat(33);
        for bad in ["", "Rcpt", "a b", "a_b", "a\0", "\u{e9}", "a\"b", &too_long] {
            assert!(Name::new(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert_eq!(
            Name::folded(b"Bad_HELO/x y").map(|n| n.to_string()),
            Some("bad-helo-x-y".into())
        );
        for bad in [&b""[..], b"a\nb", b"\"a\"", b"a\xff", too_long.as_bytes()] {
            assert!(Name::folded(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_keeps_its_bit() {
        let words = words();
        let dictionary = Dictionary::new(&words, SEED);
        assert_eq!(dictionary.enter(&name("other"), true), Entered::Bit(0));
        assert_eq!(dictionary.enter(&name("rcpt"), false), Entered::Bit(1));
        assert_eq!(dictionary.enter(&name("rcpt"), false), Entered::Bit(1));
        let names = dictionary.names();
        assert_eq!(names.of(0b11).collect::<Vec<_>>(), ["other", "rcpt"]);
        assert_eq!(names.bit("rcpt"), Some(1));
        assert_eq!(names.iter().collect::<Vec<_>>(), [(0, "other"), (1, "rcpt")]);
    }

    #[test]
    fn the_library_cannot_fill_the_administrators_places() {
        let words = words();
        let dictionary = Dictionary::new(&words, SEED);
        for i in 0..COMMON_PLACES {
            assert_eq!(dictionary.enter(&name(&format!("r{i}")), false), Entered::Bit(i as u8));
        }
        assert_eq!(dictionary.enter(&name("one-more"), false), Entered::NoRoom);
        assert_eq!(dictionary.enter(&name("mine"), true), Entered::Bit(COMMON_PLACES as u8));
        assert_eq!(dictionary.enter(&name("mine"), false), Entered::Bit(COMMON_PLACES as u8));
    }

    #[test]
    fn a_name_whose_first_writer_died_is_completed_by_the_next() {
        let words = words();
        let dictionary = Dictionary::new(&words, SEED);
        // He died between the CAS of the hash and the name's bytes.
        words[0].store(name("rcpt").hash(SEED), Ordering::Relaxed);
        assert_eq!(dictionary.names().of(1).collect::<Vec<_>>(), ["unknown"]);
        assert_eq!(dictionary.flaws(), [(0, Flaw::Unfinished)]);
        assert_eq!(dictionary.enter(&name("rcpt"), false), Entered::Bit(0));
        assert_eq!(dictionary.names().of(1).collect::<Vec<_>>(), ["rcpt"]);
        assert_eq!(dictionary.flaws(), []);
    }

    #[test]
    fn a_half_stored_name_passes_for_nobody() {
        let words = words();
        let dictionary = Dictionary::new(&words, SEED);
        assert_eq!(dictionary.enter(&name("greylisted"), false), Entered::Bit(0));
        // As its first writer leaves it when he is killed before the last of his stores.
        words[1].store(0, Ordering::Relaxed);
        assert_eq!(dictionary.flaws(), [(0, Flaw::Unfinished)]);
        assert_eq!(dictionary.enter_folded(b"greylist", false), Ok(Entered::Bit(1)));
        assert_eq!(dictionary.enter_folded(b"greylisted", false), Ok(Entered::Bit(0)));
        assert_eq!(dictionary.names().of(3).collect::<Vec<_>>(), ["greylisted", "greylist"]);
    }

    #[test]
    fn damaged_names_are_not_shown() {
        let words = words();
        let dictionary = Dictionary::new(&words, SEED);
        dictionary.enter(&name("rcpt"), false);
        words[1].store(u64::from_le_bytes(*b"\x1b[31mred"), Ordering::Relaxed);
        assert_eq!(dictionary.names().of(1).collect::<Vec<_>>(), ["unknown"]);
        assert_eq!(dictionary.flaws(), [(0, Flaw::Damaged)]);
    }
}
