//! A table for reading.

mod around;
mod deciding;
mod following;
mod glance;
mod reporters;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use once_cell::race::OnceBox;

use crate::counters::{COUNTERS, Counters};
use crate::decision::{Entry, UnixSeconds};
use crate::dictionary::{Dictionary, Names};
use crate::event::{EventReader, Next};
use crate::file::{Access, FileIdentity, Memory, OpenError, Retired, identity_at, open};
use crate::hash::{Seed, siphash};
use crate::layout::{self, Layout, header};
use crate::lengths::Lengths;
use crate::network::Network;
use crate::policy::Policy;
use crate::policy_block::PolicyBlock;
use crate::process;
use crate::ring::{Read, Ring};
use crate::slots::{Liveness, Slots, View};
use crate::sync::{AtomicU64, Ordering};

pub use glance::{Glance, Probe};

use deciding::counts;

/// Files that are opened one after the other, each replaced at that very moment, before the last one
/// is taken for damaged.
const RETIRED_TRIES: u32 = 8;

/// A table that is only read; the file may be read-only, and nothing is ever written to it.
pub struct Table {
    memory: Memory,
    layout: Layout,
    seed: Seed,
    liveness: Liveness,
    path: PathBuf,
    access: Access,
    /// The file that was opened; none for a table on the heap.
    identity: Option<FileIdentity>,
    /// The header's checksum at that time.
    checksum: u64,
    /// The table that this one replaces, if a resize was under way when it was opened.
    predecessor: Option<Box<Table>>,
    /// The table that has replaced this one; opened when that is first noticed.
    successor: OnceBox<Table>,
    /// The second of the last vain try to open it.
    tried: AtomicU64,
    /// Whether look-ups take more than a look at this table's entries: it replaces another, or was
    /// replaced by one that could not be opened.
    is_paired: AtomicBool,
    /// Whether this process has changed an entry yet.
    has_written: AtomicBool,
}

/// Sizes and uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Places for entries.
    pub slots: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// When the table was made.
    pub created: UnixSeconds,
    /// Live black entries that list their network.
    pub listed: u64,
    /// Live black entries that would, but lie under a white network or in the never-list.
    pub lifted: u64,
    /// Live black entries under the threshold.
    pub below: u64,
    /// Live white entries.
    pub white: u64,
    /// Ended entries whose slots are not yet reused.
    pub expired: u64,
    /// Slots out of use until their owner lets go or is known to be dead.
    pub quarantined: u64,
}

impl Table {
    /// Opens a table for reading.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_for(path, Access::Read)
    }

    pub(crate) fn open_for(path: &Path, access: Access) -> Result<Self, OpenError> {
        for _ in 0..RETIRED_TRIES {
            match Self::open_alone(path, access, Retired::Refused) {
                // Replaced between open(2) and the look at the flag: the path names the new one.
                Err(OpenError::Retired { .. }) => {}
                opened => {
                    let mut table = opened?;
                    table.find_predecessor()?;
                    return Ok(table);
                }
            }
        }
        Err(OpenError::Retired { path: path.to_path_buf() })
    }

    /// Opens a table without the one that it replaces.
    pub(crate) fn open_alone(
        path: &Path,
        access: Access,
        retired: Retired,
    ) -> Result<Self, OpenError> {
        let opened = open(path, access, retired)?;
        let mut table = Self::from_memory(opened.memory, opened.layout);
        table.path = path.to_path_buf();
        table.access = access;
        table.identity = Some(opened.identity);
        Ok(table)
    }

    /// Over words whose header has been checked.
    pub(crate) fn from_memory(memory: Memory, layout: Layout) -> Self {
        let word = |place: usize| memory.words()[place].load(Ordering::Relaxed);
        let seed = Seed(word(header::SEED.start), word(header::SEED.start + 1));
        let liveness = process::liveness(word(header::PID_NAMESPACE));
        let checksum = word(header::CHECKSUM);
        Self {
            memory,
            layout,
            seed,
            liveness,
            path: PathBuf::new(),
            access: Access::Write,
            identity: None,
            checksum,
            predecessor: None,
            successor: OnceBox::new(),
            tried: AtomicU64::new(0),
            is_paired: AtomicBool::new(false),
            has_written: AtomicBool::new(false),
        }
    }

    /// The network under which a client is kept: IPv4 by address, IPv6 by the policy's prefix.
    pub fn client_network(&self, client: IpAddr) -> Network {
        Network::of_client(client, self.policy_block().terms().ipv6_prefix)
    }

    /// The key of what was asked for: clients by the policy's prefix, networks as they are.
    pub(crate) fn key(&self, network: Network) -> Network {
        if network.is_host() { self.client_network(network.address()) } else { network }
    }

    /// The live entry of exactly this network (of a client's, if it is a single address).
    pub fn entry(&self, network: Network, now: UnixSeconds) -> Option<Entry> {
        self.read(|table| {
            let floor = table.policy_block().terms().floor;
            let view = table.lookup(table.key(network))?;
            view.life.is_alive(now, floor).then(|| view.entry(now))
        })
    }

    fn lookup(&self, key: Network) -> Option<View> {
        let slots = self.slots();
        slots.lookup(&slots.place(key))
    }

    /// All live entries, streamed in no order. An entry that is made or ended meanwhile may or
    /// may not be seen.
    pub fn entries(&self, now: UnixSeconds) -> impl Iterator<Item = Entry> + '_ {
        let table = self.latest();
        let floor = table.policy_block().terms().floor;
        let alive = table.views().filter(move |view| view.life.is_alive(now, floor));
        alive.map(move |view| view.entry(now))
    }

    /// All entries, alive or not, each once.
    fn views(&self) -> impl Iterator<Item = View> + '_ {
        let slots = self.slots();
        let old = slots.old();
        // First what the old table has or had, wherever it is by now; then what came since.
        let older = old.into_iter().flat_map(move |old| {
            (0..old.len())
                .filter_map(move |slot| old.key_at(slot))
                .filter_map(move |key| slots.lookup(&slots.place(key)))
        });
        let newer = (0..slots.len()).filter_map(move |slot| {
            slots.entry_at(slot).or_else(|| {
                // Carried over into a table that replaces this one in the middle of the scan.
                let key = slots.moved_at(slot)?;
                self.latest().lookup(key)
            })
        });
        let is_new = move |view: &View| !old.is_some_and(|old| old.has_had(view.network));
        older.chain(newer.filter(is_new))
    }

    /// The policy in force.
    pub fn policy(&self) -> Policy {
        let table = self.latest();
        let names = table.reasons();
        table.policy_block().policy(|bit| names.of(1 << bit).next().map(str::to_owned))
    }

    /// Grows with every change of the policy.
    pub fn policy_sequence(&self) -> u64 {
        self.latest().policy_block().sequence()
    }

    /// Whether the policy in force is as it was written: a power loss may have spoilt it. Who asks is
    /// the daemon, now and then, for it can write it again. Look-ups and changes do not: each value is
    /// kept within its bounds when it is read, and is all that there is.
    pub fn is_policy_sound(&self) -> bool {
        self.latest().policy_block().is_sound()
    }

    /// The reason dictionary.
    pub fn reasons(&self) -> Names {
        self.latest().names(Self::reason_dictionary)
    }

    /// The reporter dictionary.
    pub fn reporters(&self) -> Names {
        self.latest().names(Self::reporter_dictionary)
    }

    fn names(&self, dictionary: impl Fn(&Self) -> Dictionary<'_>) -> Names {
        let names = dictionary(self).names();
        match self.unsettled() {
            Some(old) => names.or(&dictionary(old).names()),
            None => names,
        }
    }

    /// The counters.
    pub fn counters(&self) -> Counters {
        let table = self.latest();
        let counters = Counters::read(table.counter_words());
        match table.unsettled() {
            Some(old) => counters.plus(&Counters::read(old.counter_words())),
            None => counters,
        }
    }

    /// When the table was made.
    pub fn created(&self) -> UnixSeconds {
        self.latest().words()[header::CREATED].load(Ordering::Relaxed) as u32
    }

    /// Sizes and uses; scans the whole table.
    pub fn info(&self, now: UnixSeconds) -> Info {
        self.latest().info_here(now)
    }

    fn info_here(&self, now: UnixSeconds) -> Info {
        let (slots, terms) = (self.slots(), self.policy_block().terms());
        let mut info = Info {
            slots: slots.len() as u64,
            bytes: self.layout.bytes(),
            created: self.created(),
            listed: 0,
            lifted: 0,
            below: 0,
            white: 0,
            expired: 0,
            quarantined: (0..slots.len()).filter(|&slot| slots.is_quarantined(slot)).count() as u64,
        };
        for view in self.views() {
            let entry = view.entry(now);
            let kind = if !view.life.is_alive(now, terms.floor) {
                &mut info.expired
            } else if entry.white {
                &mut info.white
            } else if !counts(&entry, terms.threshold) {
                &mut info.below
            } else if self.is_lifted(&entry, terms.floor, now) {
                &mut info.lifted
            } else {
                &mut info.listed
            };
            *kind += 1;
        }
        info
    }

    /// Grows with every change: the sequence of the next event. Its low 32 bits serve as the
    /// zones' SOA serial (RFC 1982).
    pub fn serial(&self) -> u64 {
        self.latest().ring().head()
    }

    /// Tells the stream of this table's events from that of any other. A table that took this one's
    /// place by a resize goes on with the same stream, and its numbers.
    pub fn stream(&self) -> u64 {
        // The seed goes over to the new table, and nobody may learn it.
        siphash(self.seed, [u64::from_be_bytes(*b"events\0\0"), 0, 0])
    }

    /// A reader of the events from now on, or from an earlier sequence number on.
    pub fn events(&self, from: Option<u64>) -> EventReader {
        EventReader { next: from.unwrap_or_else(|| self.serial()), stalled: None }
    }

    /// How many events are to be had from a number on. Those that were overwritten are not among them.
    pub fn events_after(&self, next: u64) -> u64 {
        let table = self.latest();
        let head = table.ring().head();
        head.saturating_sub(table.oldest_event(head).max(next))
    }

    /// The number of the oldest event that the ring still has, if its head is this.
    fn oldest_event(&self, head: u64) -> u64 {
        let first = self.words()[header::RING_FIRST].load(Ordering::Relaxed).min(head);
        head.saturating_sub(self.ring().capacity()).max(first)
    }

    /// The next event for this reader.
    pub fn next_event(&self, reader: &mut EventReader, now: UnixSeconds) -> Next {
        let table = self.latest();
        let ring = table.ring();
        let head = ring.head();
        if reader.next >= head {
            // Also a reader from another table's life: he starts from here.
            reader.next = head;
            return Next::Nothing;
        }
        let oldest = table.oldest_event(head);
        if reader.next < oldest {
            let lost = oldest - reader.next;
            reader.next = oldest;
            return Next::Lost(lost);
        }
        let read = ring.read(reader.next);
        if read == Read::Unfinished {
            let (since, known) = *reader.stalled.get_or_insert((now, head));
            // An absolute difference: a clock that is stepped back must not prolong the wait.
            if now.abs_diff(since) < EventReader::PATIENCE {
                return Next::Nothing;
            }
            // All that had numbers when the wait began has been waited for.
            if reader.next + 1 >= known {
                reader.stalled = None;
            }
        } else {
            reader.stalled = None;
        }
        reader.next += 1;
        match read {
            Read::Event(event) => Next::Event(event),
            Read::Unfinished | Read::Lost => Next::Lost(1),
        }
    }

    /// False once the file at `path` is no longer this table: replaced, deleted, retired, cut
    /// short, or overwritten. One stat(2).
    pub fn is_current(&self, path: &Path) -> bool {
        // The file first: of one that was cut short not even the header may be touched.
        self.identity.is_some()
            && identity_at(path) == self.identity
            && self.has_its_header()
            && !self.is_retired()
    }

    /// Whether the header is the one that was opened. `cp` upon a table, to name one, puts another
    /// one into the very same file, of the same length, but with another seed; by the old one
    /// nobody would be found.
    fn has_its_header(&self) -> bool {
        let word = |place: usize| self.words()[place].load(Ordering::Relaxed);
        // The checksum covers the rest, with the random number that each table has.
        word(header::MAGIC) == layout::MAGIC && word(header::CHECKSUM) == self.checksum
    }

    /// Where the table was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn access(&self) -> Access {
        self.access
    }

    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        self.identity
    }

    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    pub(crate) fn slots(&self) -> Slots<'_> {
        let words = self.words();
        let controls = &words[self.layout.controls.clone()];
        let bodies = words[self.layout.bodies.clone()].as_chunks().0;
        let slots = Slots::new(controls, bodies, self.seed);
        // Relaxed: a hint of this process to itself; what it stands for is looked at then.
        if self.is_paired.load(Ordering::Relaxed) { self.beside(slots) } else { slots }
    }

    #[cold]
    #[inline(never)]
    fn beside<'a>(&'a self, slots: Slots<'a>) -> Slots<'a> {
        match self.unsettled() {
            None if self.is_retired() => slots.with_moved(),
            old => slots.replacing(old.map(Self::slots)),
        }
    }

    /// The slots, for a change of an entry.
    pub(crate) fn slots_to_change(&self) -> Slots<'_> {
        // Relaxed: a hint of this process to itself. A child inherits it with the mapping, and
        // the parent that preloads changes nothing.
        let has_written = self.has_written.load(Ordering::Relaxed);
        if !has_written {
            self.has_written.store(true, Ordering::Relaxed);
        }
        self.slots().writing_first(!has_written)
    }

    pub(crate) fn lengths(&self) -> Lengths<'_> {
        let old = self.predecessor.as_ref().and_then(|_| self.old_lengths());
        Lengths::new(&self.words()[header::LENGTHS]).replacing(old)
    }

    #[cold]
    #[inline(never)]
    fn old_lengths(&self) -> Option<&[AtomicU64]> {
        self.unsettled().map(|old| &old.words()[header::LENGTHS])
    }

    pub(crate) fn policy_block(&self) -> PolicyBlock<'_> {
        let words = self.words();
        let copies = &words[self.layout.policy.clone()];
        PolicyBlock::new(&words[header::POLICY_SEQUENCE], copies, self.seed)
    }

    pub(crate) fn reason_dictionary(&self) -> Dictionary<'_> {
        Dictionary::new(&self.words()[self.layout.reasons.clone()], self.seed)
    }

    pub(crate) fn reporter_dictionary(&self) -> Dictionary<'_> {
        Dictionary::new(&self.words()[self.layout.reporters.clone()], self.seed)
    }

    pub(crate) fn ring(&self) -> Ring<'_> {
        let words = self.words();
        let events = &words[self.layout.ring.clone()];
        Ring::new(&words[header::RING_HEAD], events, self.seed)
    }

    pub(crate) fn counter_words(&self) -> &[AtomicU64] {
        &self.words()[header::COUNTERS..header::COUNTERS + COUNTERS]
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Table");
        debug.field("path", &self.path).field("slots", &self.layout.slots).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::writable::{Report, WritableTable};

    const NOW: UnixSeconds = 1_795_000_000;

    /// A floor of a year, as a power loss might leave it: all entries seem to have expired. They stay,
    /// and are back with the policy. Caught: a sweep that does not look at the checksum.
    #[test]
    fn a_damaged_policy_removes_nothing() {
        let table = WritableTable::on_heap(64).unwrap();
        let network = "192.0.2.1".parse().unwrap();
        let report = Report { network, reason: 1, reporter: 0, weight: None, seconds: None };
        table.record(&report, NOW).unwrap();
        let words = &table.words()[table.layout.policy.clone()];
        for copy in [0, words.len() / 2] {
            words[copy + 3].store(u64::MAX, Ordering::Relaxed);
        }
        assert!(!table.is_policy_sound());
        assert_eq!(table.entry(network, NOW), None, "each value within its bounds");
        assert_eq!(table.sweep(NOW, crate::Expiry::Due), crate::Swept::default());
        table.set_policy(&Policy::default()).unwrap();
        assert!(table.is_policy_sound());
        assert_eq!(table.entry(network, NOW).unwrap().count, 1);
        assert_eq!(table.sweep(NOW + 600, crate::Expiry::Due).expired, 1);
    }

    /// Numbers that writers took before they died hold a reader up once, for two seconds, however
    /// many they are and whatever the clock does meanwhile.
    #[test]
    fn unfinished_events_are_given_up_together() {
        let table = WritableTable::on_heap(64).unwrap();
        let record = || {
            let network = "192.0.2.1".parse().unwrap();
            table
                .record(
                    &Report { network, reason: 1, reporter: 0, weight: None, seconds: None },
                    NOW,
                )
                .unwrap();
        };
        let mut reader = table.events(None);
        table.words()[header::RING_HEAD].fetch_add(3, Ordering::Relaxed);
        record();
        assert_eq!(table.next_event(&mut reader, NOW), Next::Nothing);
        assert_eq!(table.next_event(&mut reader, NOW + 1), Next::Nothing);
        // An hour back: far from the moment at which the wait began, so the wait is over.
        for _ in 0..3 {
            assert_eq!(table.next_event(&mut reader, NOW - 3600), Next::Lost(1));
        }
        assert!(matches!(table.next_event(&mut reader, NOW - 3600), Next::Event(_)));
        assert_eq!(table.next_event(&mut reader, NOW), Next::Nothing);
    }
}
