//! A table that is put back to one image again and again, and what is looked at in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use eximrbl_table::{
    Counter, CreateOptions, Entry, EventKind, Expiry, Network, Next, Table, WritableTable,
};
use tempfile::TempDir;

/// All slots of the smallest table: two buckets, and both are every key's.
pub const SLOTS: usize = 16;

/// A table's file, and the table as others see it.
pub struct Stage {
    folder: TempDir,
    file: File,
    /// For the keeper's work, and to prepare.
    pub table: WritableTable,
    /// As the daemon's readers have it: read-only.
    pub reader: Table,
}

/// What a table says to its readers at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// By network. No network is there twice.
    pub entries: BTreeMap<Network, Entry>,
}

/// Colour, count and seconds to live: what is changed by a single step.
pub type Life = (bool, u32, u32);

/// What an entry has of its own.
pub fn life(entry: &Entry) -> Life {
    (entry.white, entry.count, entry.remaining)
}

impl Seen {
    /// Each entry's life.
    pub fn lives(&self) -> BTreeMap<Network, Life> {
        self.entries.iter().map(|(&network, entry)| (network, life(entry))).collect()
    }

    /// The life of one address, as the library keeps it.
    pub fn life(&self, ip: &str) -> Option<Life> {
        self.entries.get(&key(ip)).map(life)
    }
}

/// An address's key under the default policy.
pub fn key(ip: &str) -> Network {
    Network::of_client(ip.parse().unwrap(), 64)
}

/// An event without its number and time.
pub type Happened = (EventKind, Network, u8, u8);

impl Stage {
    /// A table of so many slots, in memory.
    pub fn new(slots: usize) -> Self {
        // In memory if there is such a place: the image is written some ten thousand times.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let path = folder.path().join("table");
        let options = CreateOptions { slots: slots as u64, ..CreateOptions::default() };
        let table = WritableTable::create(&path, &options).unwrap();
        let reader = Table::open(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self { folder, file, table, reader }
    }

    /// Where the table is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("table")
    }

    /// Where the library's log lines go.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The whole file.
    pub fn image(&self) -> Vec<u8> {
        let mut image = vec![0; self.file.metadata().unwrap().len() as usize];
        self.file.read_exact_at(&mut image, 0).unwrap();
        image
    }

    /// Puts an image back, under everybody who has the file mapped.
    pub fn restore(&self, image: &[u8]) {
        self.file.write_all_at(image, 0).unwrap();
    }

    /// All live entries. There must be no second one for any network; nobody may write meanwhile.
    pub fn look(&self, now: u32) -> Seen {
        let mut entries = BTreeMap::new();
        for entry in self.reader.entries(now) {
            let second = entries.insert(entry.network, entry);
            assert!(second.is_none(), "two entries: {entry:?} and {second:?}");
        }
        for (network, entry) in &entries {
            let found = self.reader.entry(*network, now);
            assert_eq!(found.as_ref(), Some(entry), "the look-up of {network} and the scan");
        }
        Seen { entries }
    }

    /// Does what `eximrbl verify` does, which must find nothing harmful; how many slots it found
    /// that wait for something.
    pub fn verify(&self) -> usize {
        let findings = self.reader.verify();
        assert!(!findings.iter().any(|finding| finding.harmful), "{findings:?}");
        findings.iter().filter(|finding| finding.text.starts_with("slot")).count()
    }

    /// Slots that were taken from their owners, and not given back yet.
    pub fn resting(&self, now: u32) -> u64 {
        self.reader.info(now).quarantined
    }

    /// Takes back what dead writers left, as the daemon does; how many slots.
    pub fn sweep(&self, now: u32) -> u64 {
        self.table.sweep(now, Expiry::Held).reclaimed
    }

    /// A counter's value.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.reader.counters().get(counter)
    }

    /// The events from a sequence number on, and how many are lost.
    pub fn events(&self, from: u64, now: u32) -> (Vec<Happened>, u64) {
        let mut reader = self.reader.events(Some(from));
        let (mut events, mut lost) = (Vec::new(), 0);
        loop {
            // The second question comes later than a reader's patience lasts.
            let next = match self.reader.next_event(&mut reader, now) {
                Next::Nothing => self.reader.next_event(&mut reader, now + 5),
                next => next,
            };
            match next {
                Next::Event(event) => {
                    events.push((event.kind, event.network, event.reason, event.reporter));
                }
                Next::Lost(count) => lost += count,
                Next::Nothing => return (events, lost),
            }
        }
    }

    /// Every slot that holds no live entry can be used: newcomers fill them all, and nobody has
    /// to make room for them. For tables of [`SLOTS`].
    pub fn assert_all_slots_usable(&self, now: u32) {
        let evicted = self.counter(Counter::Evicted);
        let live = self.look(now).entries.len();
        for i in live..SLOTS {
            let newcomer = format!("45.0.0.{i}").parse().unwrap();
            let report = eximrbl_table::Report {
                network: newcomer,
                reason: 1,
                reporter: 0,
                weight: None,
                seconds: None,
            };
            self.table.record(&report, now).unwrap();
        }
        assert_eq!(self.look(now).entries.len(), SLOTS, "a slot is out of use");
        assert_eq!(self.counter(Counter::Evicted), evicted, "somebody had to make room");
    }
}
