//! A table's file as words, and where in it things lie.
//!
//! The places are worked out here anew, from the layout's description in crates/table, and proved
//! right by a table with known contents ([`Image::sound`]): a test that damaged the wrong words
//! would prove nothing.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::LazyLock;

use eximrbl_table::{
    CreateOptions, Name, Network, Policy, Report, UnixSeconds, WritableTable, dictionary, now,
};

use crate::harness::Scratch;

/// Words of a page.
pub(crate) const PAGE: usize = 512;
/// Words that start where the kernel maps 64 KiB around a page fault.
const AROUND: usize = 16 * PAGE;
/// Words of a body; of one copy of the policy; of a dictionary; of the ring.
pub(crate) const BODY: usize = 7;
pub(crate) const POLICY_COPY: usize = 8 + 64 + 4 * 1024;
pub(crate) const DICTIONARY: usize = 64 * 5;
pub(crate) const RING: usize = 5 << 16;

/// Entries that the table has room for.
pub(crate) const SLOTS: usize = 64;

/// Places of header words.
pub(crate) mod header {
    pub(crate) const SLOTS: usize = 3;
    pub(crate) const BYTES: usize = 4;
    pub(crate) const SEED: usize = 5;
    pub(crate) const CREATED: usize = 7;
    pub(crate) const IDENTITY: usize = 8;
    /// Over the words before it.
    pub(crate) const CHECKSUM: usize = 10;
    pub(crate) const RETIRED: usize = 16;
    pub(crate) const PREDECESSOR: usize = 17;
    pub(crate) const LENGTHS: usize = 24;
    pub(crate) const POLICY_SEQUENCE: usize = 32;
    pub(crate) const RING_HEAD: usize = 40;
    /// From here to the page's end.
    pub(crate) const COUNTERS: usize = 64;
}

/// Clients that the sound table lists.
pub(crate) const LISTED: [&str; 3] = ["192.0.2.1", "2001:db8::1", "203.0.113.200"];
/// Clients that it knows, or knows nothing of.
pub(crate) const OTHERS: [&str; 5] =
    ["203.0.113.9", "192.0.2.130", "2001:db8:1:5::9", "198.51.100.1", "192.0.2.250"];

/// A file's words.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) words: Vec<u64>,
}

impl Image {
    /// A sound table of [`SLOTS`] places with entries of every kind, made for this run.
    pub(crate) fn sound() -> &'static Self {
        static SOUND: LazyLock<Image> = LazyLock::new(make);
        &SOUND
    }

    pub(crate) fn reasons(&self) -> Range<usize> {
        PAGE..PAGE + DICTIONARY
    }

    pub(crate) fn reporters(&self) -> Range<usize> {
        2 * PAGE..2 * PAGE + DICTIONARY
    }

    /// Both copies of the policy.
    pub(crate) fn policies(&self) -> Range<usize> {
        3 * PAGE..3 * PAGE + 2 * POLICY_COPY
    }

    pub(crate) fn ring(&self) -> Range<usize> {
        let start = self.policies().end.next_multiple_of(PAGE);
        start..start + RING
    }

    pub(crate) fn controls(&self) -> Range<usize> {
        let start = self.ring().end.next_multiple_of(AROUND);
        start..start + SLOTS
    }

    /// The body of one slot.
    pub(crate) fn body(&self, slot: usize) -> Range<usize> {
        let start = self.controls().end.next_multiple_of(AROUND) + slot * BODY;
        start..start + BODY
    }

    /// Slots that hold an entry.
    pub(crate) fn entries(&self) -> impl Iterator<Item = usize> + '_ {
        (0..SLOTS).filter(|slot| self.words[self.controls().start + slot] >> 61 == 2)
    }

    /// Lays it down with other words here and there, and maybe another length, as a file that all
    /// programs under test may write, whoever they run as. In the place of another one, never into
    /// it: that would cut it short under whoever has it mapped.
    ///
    /// Pages of zeros, which are most, become holes: so a table is made in no time.
    pub(crate) fn lay_down(&self, path: &Path, damage: &[(usize, u64)], length: Option<u64>) {
        static FILLED: LazyLock<Vec<(u64, Vec<u8>)>> =
            LazyLock::new(|| filled_pages(&Image::sound().words));
        let _ = std::fs::remove_file(path);
        let file = File::create(path).unwrap();
        let put = |bytes: &[u8], offset| file.write_all_at(bytes, offset).unwrap();
        FILLED.iter().for_each(|(offset, page)| put(page, *offset));
        damage.iter().for_each(|(place, word)| put(&word.to_ne_bytes(), 8 * *place as u64));
        file.set_len(length.unwrap_or(8 * self.words.len() as u64)).unwrap();
        file.set_permissions(PermissionsExt::from_mode(0o660)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// Offset and bytes of each page that is not all zeros.
fn filled_pages(words: &[u64]) -> Vec<(u64, Vec<u8>)> {
    let pages = words.chunks(PAGE).enumerate();
    let filled = pages.filter(|(_, page)| page.iter().any(|&word| word != 0));
    let bytes = |page: &[u64]| page.iter().flat_map(|word| word.to_ne_bytes()).collect();
    filled.map(|(i, page)| (8 * (i * PAGE) as u64, bytes(page))).collect()
}

/// The checksum of the header's fixed words: SipHash-1-3 under a key of zeros, as std's hasher is.
pub(crate) fn checksum(fixed: &[u64]) -> u64 {
    fixed.iter().fold(0_u64, |sum, word| {
        let mut hasher = DefaultHasher::new();
        for part in [sum, *word, 0] {
            hasher.write(&part.to_le_bytes());
        }
        hasher.finish()
    })
}

/// User and group without rights, whom the daemon becomes.
const NOBODY: u32 = 65_534;

/// Bytes of a table of so many slots by the layout's rule, in numbers that may overflow.
pub(crate) fn bytes_of(slots: u64) -> u64 {
    let round = |words: u64, to: u64| words.wrapping_add(to - 1) / to * to;
    let ring_end = Image { words: vec![] }.ring().end as u64;
    let controls = round(ring_end, AROUND as u64);
    let bodies = round(controls.wrapping_add(slots), AROUND as u64);
    let end = bodies.wrapping_add(slots.wrapping_mul(BODY as u64));
    round(end, PAGE as u64).wrapping_mul(8)
}

fn make() -> Image {
    let scratch = Scratch::new("sound");
    let path = scratch.join("table");
    let options = CreateOptions { slots: SLOTS as u64, ..CreateOptions::default() };
    let table = WritableTable::create(&path, &options).unwrap();
    fill(&table, now());
    assert_eq!(table.verify(), []);
    let listed = table.entries(now()).count();
    drop(table);
    let bytes = std::fs::read(&path).unwrap();
    let words = bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    let image = Image { words };
    // The places are where they are thought to be.
    assert_eq!(image.words[header::SLOTS], SLOTS as u64);
    assert_eq!(image.words[header::BYTES], bytes.len() as u64);
    assert_eq!(bytes_of(SLOTS as u64), bytes.len() as u64);
    assert_eq!(image.entries().count(), listed);
    assert!(image.words[header::CREATED].abs_diff(now().into()) < 60);
    assert_ne!(image.words[header::LENGTHS + 1], 0, "the networks' lengths");
    assert!(image.words[header::RING_HEAD] > image.words[header::CREATED]);
    assert_eq!(image.words[header::POLICY_SEQUENCE], 2, "the first policy, and another");
    assert_eq!(image.words[image.policies().start + 4], 2, "its threshold, in the first copy");
    let other = u64::from_le_bytes(*b"other\0\0\0");
    assert_eq!(image.words[image.reasons().start + 1], other);
    let local = u64::from_le_bytes(*b"local\0\0\0");
    assert_eq!(image.words[image.reporters().start + 1], local);
    let sum = checksum(&image.words[..header::CHECKSUM]);
    assert_eq!(sum, image.words[header::CHECKSUM], "made as the table makes it");
    image
}

fn fill(table: &WritableTable, now: UnixSeconds) {
    let network = |text: &str| text.parse::<Network>().unwrap();
    let policy = Policy {
        threshold: 2,
        never: vec![network("198.51.100.0/24"), network("2001:db8:ff::/48")],
        weights: vec![("auth".to_owned(), 3)],
        ..Policy::default()
    };
    table.set_policy(&policy).unwrap();
    let reason = |name: &str| table.reason(Name::new(name.as_bytes()).unwrap(), true);
    let record = |text: &str, name: &str, reporter| {
        let report = Report {
            network: network(text),
            reason: reason(name),
            reporter,
            weight: Some(100),
            seconds: None,
        };
        table.record(&report, now).unwrap();
    };
    for client in LISTED {
        record(client, "rcpt", dictionary::LOCAL);
        record(client, "auth", dictionary::LOCAL);
    }
    for i in 0..20 {
        record(&format!("192.0.2.{}", 10 + i), "rcpt", dictionary::LOCAL);
    }
    record("203.0.113.0/24", "spam", dictionary::ADMIN);
    let report = Report {
        network: network("2001:db8:1::/48"),
        reason: reason("manual"),
        reporter: dictionary::ADMIN,
        weight: None,
        seconds: None,
    };
    table.record_endless(&report, now).unwrap();
    table.white(network("203.0.113.9"), Some(360_000), dictionary::ADMIN, now).unwrap();
    table.white(network("192.0.2.128/25"), None, dictionary::ADMIN, now).unwrap();
}
