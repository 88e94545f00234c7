//! Damaged tables, each with a name.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::image::{BODY, DICTIONARY, Image, PAGE, POLICY_COPY, SLOTS, bytes_of, checksum, header};
use crate::is_torture;
use crate::numbers::Numbers;

/// A damaged table.
#[derive(Clone)]
pub(crate) struct Case {
    /// What was done to it.
    pub(crate) name: String,
    /// Places and new values of words.
    patches: Vec<(usize, u64)>,
    /// Whether the header's checksum is made right again.
    is_sealed: bool,
    /// The file's length in bytes, if it is not what it was. Longer files are sparse.
    pub(crate) length: Option<u64>,
}

impl Case {
    fn new(name: impl Into<String>, patches: Vec<(usize, u64)>) -> Self {
        Self { name: name.into(), patches, is_sealed: false, length: None }
    }

    fn sealed(self) -> Self {
        Self { name: format!("{}, sealed", self.name), is_sealed: true, ..self }
    }

    /// The same case under another name.
    pub(crate) fn called(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    /// The words that are other than in a sound table.
    pub(crate) fn damage(&self) -> Vec<(usize, u64)> {
        let mut damage = self.patches.clone();
        if self.is_sealed {
            let mut fixed = Image::sound().words[..header::CHECKSUM].to_vec();
            for &(place, value) in &self.patches {
                if let Some(word) = fixed.get_mut(place) {
                    *word = value;
                }
            }
            damage.push((header::CHECKSUM, checksum(&fixed)));
        }
        damage
    }

    /// Makes the damaged table, as a file.
    pub(crate) fn lay_down(&self, path: &Path) {
        Image::sound().lay_down(path, &self.damage(), self.length);
    }

    /// Does the damage to a sound table that is in use.
    pub(crate) fn scribble(&self, path: &Path) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        for (place, value) in self.damage() {
            file.write_all_at(&value.to_ne_bytes(), 8 * place as u64).unwrap();
        }
    }

    /// Takes the damage back.
    pub(crate) fn heal(&self, path: &Path) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        for (place, _) in self.damage() {
            let word = Image::sound().words[place];
            file.write_all_at(&word.to_ne_bytes(), 8 * place as u64).unwrap();
        }
    }
}

/// All cases that can be given at once: each spoils a sound table in one way.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![Case::new("nothing", vec![])];
    fixed_words(&mut cases);
    geometry(&mut cases);
    changing_words(&mut cases);
    controls(&mut cases);
    lives(&mut cases);
    keys_and_marks(&mut cases);
    names(&mut cases);
    policies(&mut cases);
    events(&mut cases);
    chance(&mut cases);
    cases
}

/// Values that a word must not be trusted with.
fn values(word: u64) -> Vec<u64> {
    let mut values =
        vec![0, 1, word.wrapping_add(1), word.wrapping_sub(1), !word, 1 << 63, u64::MAX];
    values.sort_unstable();
    values.dedup();
    values.retain(|&value| value != word);
    values
}

/// Identity and geometry: without the checksum, and with it.
fn fixed_words(cases: &mut Vec<Case>) {
    for place in 0..=header::CHECKSUM {
        for value in values(Image::sound().words[place]) {
            let case =
                || Case::new(format!("header word {place} is {value:#x}"), vec![(place, value)]);
            cases.push(case());
            if place != header::CHECKSUM {
                cases.push(case().sealed());
            }
        }
    }
}

/// Sizes that disagree with the file, or overflow; all behind a checksum that is right.
fn geometry(cases: &mut Vec<Case>) {
    let slots = SLOTS as u64;
    let length = Image::sound().words[header::BYTES];
    let around_61 = [1 << 61, (1 << 61) - 8, (1 << 61) + 8, (1 << 61) + slots];
    let large = [1 << 28, 1 << 30, (1 << 30) + 8, 1 << 32, 1 << 58, 1 << 60, 1 << 63];
    let odd = [0, 1, 8, 15, 16, slots - 8, slots + 1, slots + 8, 2 * slots, u64::MAX - 7, u64::MAX];
    for claimed in [&around_61[..], &large, &odd].concat() {
        for bytes in [length, bytes_of(claimed), 0, u64::MAX] {
            let patches = vec![(header::SLOTS, claimed), (header::BYTES, bytes)];
            let name = format!("{claimed:#x} slots in {bytes:#x} bytes");
            cases.push(Case::new(name, patches).sealed());
        }
    }
    // Files as long as they say, and as they should not be.
    for file in [4096, 8192, length - 4096, length - 8, length - 1, length + 1, length + 4096] {
        cases.push(Case { length: Some(file), ..Case::new(format!("{file} bytes"), vec![]) });
        let patches = vec![(header::BYTES, file)];
        let case = Case::new(format!("{file} bytes, as it says"), patches).sealed();
        cases.push(Case { length: Some(file), ..case });
    }
    // One that fits: much larger, and mostly a hole.
    let patches = vec![(header::SLOTS, 1 << 16), (header::BYTES, bytes_of(1 << 16))];
    let case = Case::new("grown by a hole", patches).sealed();
    cases.push(Case { length: Some(bytes_of(1 << 16)), ..case });
}

/// All other words that the header has or may have: flags, bitmaps, sequences, counters.
fn changing_words(cases: &mut Vec<Case>) {
    for place in header::CHECKSUM + 1..header::COUNTERS {
        let word = Image::sound().words[place];
        let ring = [word.wrapping_add(1 << 16), word.wrapping_add(1 << 40), u64::MAX - 3];
        let more = if place == header::RING_HEAD { &ring[..] } else { &[] };
        for value in values(word).into_iter().chain(more.iter().copied()) {
            cases.push(Case::new(
                format!("header word {place} is {value:#x}"),
                vec![(place, value)],
            ));
        }
    }
    for value in [1, 1 << 63, u64::MAX] {
        let counters = (header::COUNTERS..PAGE).map(|place| (place, value)).collect();
        cases.push(Case::new(format!("counters are {value:#x}"), counters));
    }
    let lengths = |value| (0..3).map(|i| (header::LENGTHS + i, value)).collect();
    cases.push(Case::new("all lengths in use", lengths(u64::MAX)));
    cases.push(Case::new("no length in use", lengths(0)));
}

/// Every state, the three that no writer makes included; frozen or not; of the present generation,
/// the next, the first and the last one; on entries and on free slots.
fn controls(cases: &mut Vec<Case>) {
    let image = Image::sound();
    let start = image.controls().start;
    let own = u64::from(std::process::id());
    for state in 0..8_u64 {
        for frozen in [0, 1_u64] {
            for shift in [0, 1, 7] {
                let patch = |slot: usize| {
                    let old = image.words[start + slot];
                    let generation = match shift {
                        7 => [0, (1 << 28) - 1][slot % 2],
                        shift => (old >> 32).wrapping_add(shift) & ((1 << 28) - 1),
                    };
                    (
                        start + slot,
                        state << 61 | frozen << 60 | generation << 32 | old & 0xffff_ffff,
                    )
                };
                let name = format!("all slots in state {state}, frozen {frozen}, +{shift}");
                cases.push(Case::new(name, (0..SLOTS).map(patch).collect()));
                let few = image.entries().step_by(3).map(patch).collect();
                let name = format!("some entries in state {state}, frozen {frozen}, +{shift}");
                cases.push(Case::new(name, few));
            }
        }
        // Owners: none, init, ourselves, nobody, and the largest number.
        for pid in [0, 1, own, 3_999_999, (1 << 22) - 1] {
            let words = (0..SLOTS).map(|i| (start + i, state << 61 | (i as u64) << 32 | pid));
            cases.push(Case::new(format!("state {state}, owned by {pid}"), words.collect()));
        }
        // Lengths and tags of other keys.
        for low in [0, 0xff, 0x81, 0xffff_ffff_u64] {
            let patch = |slot| (start + slot, image.words[start + slot] >> 32 << 32 | low);
            let words = image.entries().map(patch).collect();
            cases.push(Case::new(format!("tag and length {low:#x}"), words));
        }
    }
}

/// The words that decide every change.
fn lives(cases: &mut Vec<Case>) {
    let image = Image::sound();
    let mut each = |name: &str, change: &dyn Fn(u64) -> u64| {
        let patch = |slot| {
            let place = image.body(slot).start;
            (place, change(image.words[place]))
        };
        cases.push(Case::new(format!("lives: {name}"), image.entries().map(patch).collect()));
        cases.push(Case::new(format!("all lives: {name}"), (0..SLOTS).map(patch).collect()));
    };
    each("zero", &|_| 0);
    each("all ones", &|_| u64::MAX);
    each("frozen", &|life| life | 1 << 14);
    each("white or black", &|life| life ^ 1 << 15);
    each("the next generation", &|life| life + 1);
    each("the generation before", &|life| life.wrapping_sub(1));
    each("endless", &|life| life | !0 << 34);
    each("expired", &|life| life & ((1 << 34) - 1));
    each("no rejections", &|life| life & !(((1 << 18) - 1) << 16));
    each("most rejections", &|life| life | ((1 << 18) - 1) << 16);
    each("begun eviction", &|life| (life & ((1 << 14) - 1)) + 1);
}

/// Whom an entry is about, and what is noted of it.
fn keys_and_marks(cases: &mut Vec<Case>) {
    let image = Image::sound();
    for word in 1..BODY {
        for value in [0, 1, u64::MAX, 1 << 63, 0xffff_0000_0000] {
            let patch = |slot| (image.body(slot).start + word, value);
            let name = format!("word {word} of each body is {value:#x}");
            cases.push(Case::new(name, image.entries().map(patch).collect()));
        }
    }
    // An entry once more in each slot of the table: at home in some of them, a second one there.
    let slot = image.entries().next().unwrap();
    let (start, control) = (image.controls().start, image.words[image.controls().start + slot]);
    let copies = (0..SLOTS).flat_map(|other| {
        let body = image.body(slot).zip(image.body(other));
        let body = body.map(|(from, to)| (to, image.words[from])).collect::<Vec<_>>();
        body.into_iter().chain([(start + other, control)])
    });
    cases.push(Case::new("one entry in every slot", copies.collect()));
}

/// Texts that would reach a terminal, a log, a line of JSON, a TXT record.
fn names(cases: &mut Vec<Case>) {
    let image = Image::sound();
    let texts: [&[u8; 8]; 6] = [
        b"\x1b[31m\x07\n\r",
        b"\"},{\"x\":",
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
        b"\0\0\0\0aaaa",
        b"AAAAAAAA",
        b"%n%n%n%n",
    ];
    for (what, dictionary) in [("reasons", image.reasons()), ("reporters", image.reporters())] {
        let places = || (0..64).map(|place| dictionary.start + 5 * place);
        for text in texts {
            let word = u64::from_le_bytes(*text);
            let name = format!("{what} called {:?}", String::from_utf8_lossy(text));
            let all = places().flat_map(|at| (1..5).map(move |i| (at + i, word)));
            cases.push(Case::new(name, all.collect()));
            let name = format!("{what} that end in {:?}", String::from_utf8_lossy(text));
            cases.push(Case::new(name, places().map(|at| (at + 4, word)).collect()));
        }
        let first_words = |value| places().map(|at| (at + 1, value)).collect();
        cases.push(Case::new(format!("unfinished {what}"), first_words(0)));
        for value in [0, 1, u64::MAX] {
            let hashes = places().map(|at| (at, value)).collect();
            cases.push(Case::new(format!("hashes of {what} are {value:#x}"), hashes));
        }
        let first = image.words[dictionary.start];
        let same = places().map(|at| (at, first)).collect();
        cases.push(Case::new(format!("all {what} have one hash"), same));
        let filled = |value: u64| (0..DICTIONARY).map(|i| (dictionary.start + i, value)).collect();
        cases.push(Case::new(format!("{what} of zeros"), filled(0)));
        cases.push(Case::new(format!("{what} of ones"), filled(u64::MAX)));
    }
}

/// Settings out of their range, never-lists that are too long, reversed, or everything.
fn policies(cases: &mut Vec<Case>) {
    let image = Image::sound();
    let copies = [image.policies().start, image.policies().start + POLICY_COPY];
    let both = |place: usize, value| copies.map(|copy| (copy + place, value));
    for place in (0..12).chain([71]) {
        for value in [0, 1, 2, 128, 129, 1 << 31, 1 << 32, 1 << 63, u64::MAX] {
            let name = format!("policy word {place} is {value:#x}");
            cases.push(Case::new(name, both(place, value).to_vec()));
        }
    }
    for count in [0, 1, 1023, 1024, 1025, 1 << 20, 1 << 61, 1 << 62, u64::MAX] {
        for range in
            [[0, 0, u64::MAX, u64::MAX], [u64::MAX, u64::MAX, 0, 0], [0, 1, u64::MAX, u64::MAX - 1]]
        {
            let ranges = (0..1024).flat_map(|i| (0..4).map(move |j| (72 + 4 * i + j, range[j])));
            let mut patches: Vec<_> =
                ranges.flat_map(|(place, value)| both(place, value)).collect();
            patches.extend(both(6, count));
            cases.push(Case::new(format!("{count:#x} never-ranges {range:x?}"), patches));
        }
    }
}

/// The ring's head far off, and events that are none.
fn events(cases: &mut Vec<Case>) {
    let image = Image::sound();
    let head = image.words[header::RING_HEAD] as usize % (1 << 16);
    for word in 0..5 {
        for value in [0, 1, u64::MAX, 0xff00_ffff, 1 << 63] {
            let place = |back: usize| (head + (1 << 16) - back) % (1 << 16);
            let patches = (1..30).map(|back| (image.ring().start + 5 * place(back) + word, value));
            cases
                .push(Case::new(format!("word {word} of events is {value:#x}"), patches.collect()));
        }
    }
}

/// A sprinkle of chance in one section, or in all of the file.
fn chance(cases: &mut Vec<Case>) {
    let image = Image::sound();
    let sections = [
        ("header", header::CHECKSUM + 1..PAGE),
        ("names", image.reasons().start..image.reporters().end),
        ("policy", image.policies()),
        ("ring", image.ring()),
        ("controls", image.controls()),
        ("bodies", image.body(0).start..image.body(SLOTS - 1).end),
        ("file", header::CHECKSUM + 1..image.words.len()),
    ];
    for round in 0..if is_torture() { 600 } else { 6 } {
        for (i, (what, section)) in sections.iter().enumerate() {
            let mut numbers = Numbers::new(1 + round * 10 + i as u64);
            let count = 1 << numbers.below(10);
            let patches = (0..count)
                .map(|_| (section.start + numbers.below(section.len()), numbers.value()))
                .collect();
            cases.push(Case::new(format!("chance {round} in {what}"), patches));
        }
    }
}
