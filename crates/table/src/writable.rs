//! A table for reading and changing.

use std::fs::OpenOptions;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::counters::{self, Counter};
use crate::decision::{Entry, UnixSeconds};
use crate::dictionary::{ADMIN, FIRST_REPORTERS, Name, OTHER, OTHER_BIT, REJECT};
use crate::event::{Event, EventKind};
use crate::file::{Access, CreateError, CreateOptions, Memory, OpenError, create, identity_at};
use crate::layout::header;
use crate::network::{Network, bits_of};
use crate::policy::{Policy, PolicyError, WEIGHT_MAX};
use crate::refusal::Refusal;
use crate::slots::{Applied, Change, Kind, Swept as SlotSwept};
use crate::sync::Ordering;
use crate::table::Table;

/// A table that is read and changed. Any number of processes may do so at once.
#[derive(Debug)]
pub struct WritableTable(Table);

impl Deref for WritableTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

/// One report of rejections.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Whom: a client (kept by the policy's IPv6 prefix), or a network.
    pub network: Network,
    /// Bit number in the reason dictionary.
    pub reason: u8,
    /// Bit number in the reporter dictionary.
    pub reporter: u8,
    /// Rejections to add, cut to 1 to 10,000; `None` takes the policy's weight of the reason.
    pub weight: Option<u32>,
}

/// What a report led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The entry's count now.
    pub count: u32,
    /// The entry's seconds to live now; `u32::MAX` without end.
    pub remaining: u32,
}

/// Why a policy was not put in force; the old one stays.
#[derive(Debug, thiserror::Error)]
pub enum SetPolicyError {
    /// It would not do what its author wants.
    #[error(transparent)]
    Invalid(#[from] PolicyError),
    /// The file could not be locked against other administrators.
    #[error("{path}: cannot lock the table: {error}")]
    Lock {
        /// The table's path.
        path: std::path::PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another administrator's process has held the lock for two seconds.
    #[error(
        "{path}: another process is changing the policy and does not finish (lslocks shows it)"
    )]
    Busy {
        /// The table's path.
        path: std::path::PathBuf,
    },
    /// The path names another file by now.
    #[error("{path}: the table has been replaced by a new one; open it again")]
    Replaced {
        /// The table's path.
        path: std::path::PathBuf,
    },
}

/// A policy is written in microseconds; who holds the lock for longer than these tries is stopped.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Whether a sweep may end entries. What the clock of a moment says cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The clock is right: what has run out is removed.
    Due,
    /// The clock cannot be trusted: entries stay, and only slots of dead writers are taken back.
    Held,
}

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries removed because their life had run out.
    pub expired: u64,
    /// Slots taken back from dead writers.
    pub reclaimed: u64,
}

impl WritableTable {
    /// Opens a table for reading and writing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Table::open_for(path, Access::Write).map(Self)
    }

    /// Makes a table with the default policy, and opens it. The file is made aside, complete and
    /// with all its blocks, then renamed into place; an existing file is left as it is.
    pub fn create(path: &Path, options: &CreateOptions) -> Result<Self, CreateError> {
        create(path, options, crate::now(), |aside| -> Result<(), CreateError> {
            let table = Self::open(aside)?;
            table.furnish();
            Ok(())
        })?;
        Ok(Self::open(path)?)
    }

    /// A table on the heap, of this process alone: for tests under Miri, and for benchmarks.
    /// `None` if the number of slots cannot be had.
    pub fn on_heap(slots: u64) -> Option<Self> {
        let layout = crate::layout::Layout::of(slots)?;
        let words: Vec<_> = (0..layout.words()).map(|_| crate::sync::AtomicU64::new(0)).collect();
        // Any seed will do for a table that no client can reach.
        words[header::SEED.start].store(0x5eed, Ordering::Relaxed);
        let table = Self(Table::from_memory(Memory::Heap(words), layout));
        table.furnish();
        Some(table)
    }

    /// First names and the default policy, before anybody else sees the table.
    fn furnish(&self) {
        for reason in [OTHER, REJECT] {
            Name::new(reason.as_bytes()).map(|name| self.reason_dictionary().enter(&name, true));
        }
        for reporter in FIRST_REPORTERS {
            Name::new(reporter.as_bytes()).map(|name| self.reporter(name));
        }
        self.policy_block().write(&Policy::default(), |_| None);
    }

    /// Adds rejections. The never-list and white entries are respected; the threshold decides
    /// later, when somebody asks.
    pub fn record(&self, report: &Report, now: UnixSeconds) -> Result<Recorded, Refusal> {
        self.report(report, false, now)
    }

    /// As [`WritableTable::record`], but the entry lives until it is ended by hand, and is never
    /// evicted.
    pub fn record_endless(&self, report: &Report, now: UnixSeconds) -> Result<Recorded, Refusal> {
        self.report(report, true, now)
    }

    fn report(
        &self,
        report: &Report,
        endless: bool,
        now: UnixSeconds,
    ) -> Result<Recorded, Refusal> {
        let first = bits_of(report.network.address());
        let (terms, mut is_never, usual) = self.policy_block().terms_for(first, report.reason);
        if is_never && !report.network.is_host() {
            // A network is refused only if all of it is never listed.
            let last = report.network.range().1;
            is_never = self.policy_block().terms_for(last, report.reason).1;
        }
        if is_never {
            return self.refuse(Refusal::NeverListed);
        }
        let key = match report.network {
            host if host.is_host() => Network::of_client(host.address(), terms.ipv6_prefix),
            network => network,
        };
        // The key's own entry is seen when the change is made.
        if self.is_under_white(key, terms.floor, now) {
            return self.refuse(Refusal::White);
        }
        let weight = report.weight.unwrap_or(usual).clamp(1, WEIGHT_MAX);
        let kind = if endless {
            Kind::Endless { weight }
        } else {
            let seconds = terms.base_ttl.saturating_mul(weight);
            Kind::Rejections { weight, seconds, most: terms.max_ttl }
        };
        let Report { reason, reporter, .. } = *report;
        let change = Change { kind, reason, reporter, now, floor: terms.floor };
        let applied = self.apply(key, &change)?;
        self.count(Counter::Records);
        let kind = if applied.is_new { EventKind::Added } else { EventKind::Extended };
        self.publish(kind, key, reason, reporter, now);
        let (count, remaining) = (applied.life.count(), applied.life.remaining(now));
        Ok(Recorded { count, remaining })
    }

    /// Makes a change to a key's entry, and counts what happened on the way.
    fn apply(&self, key: Network, change: &Change) -> Result<Applied, Refusal> {
        if self.is_retired() {
            return Err(Refusal::Retired);
        }
        self.lengths().add(key);
        let slots = self.slots_to_change();
        let applied = slots
            .update(&slots.place(key), change, self.liveness(), |victim| {
                self.count(Counter::Evicted);
                self.publish(EventKind::Evicted, victim, OTHER_BIT, change.reporter, change.now);
            })
            .or_else(|refusal| self.refuse(refusal))?;
        if applied.retries > 0 {
            counters::add(self.counter_words(), Counter::InsertRetries, applied.retries.into());
        }
        Ok(applied)
    }

    fn refuse<T>(&self, refusal: Refusal) -> Result<T, Refusal> {
        match refusal {
            Refusal::NeverListed => self.count(Counter::RefusedNever),
            Refusal::White => self.count(Counter::RefusedWhite),
            Refusal::Full => self.count(Counter::RefusedFull),
            Refusal::Contention => self.count(Counter::RefusedContention),
            Refusal::Endless => self.count(Counter::RefusedEndless),
            // The caller opens the new table and comes again.
            Refusal::Retired => {}
        }
        Err(refusal)
    }

    /// Whitelists a client or network for so many seconds (`None`: without end). It takes the
    /// place of a black entry. 0 seconds end a whitelisting.
    ///
    /// What the administrator ([`ADMIN`](crate::dictionary::ADMIN)) set, other reporters do not
    /// undo: they only lengthen a whitelisting, end none that he made, and leave a listing
    /// without end as it is ([`Refusal::Endless`]).
    pub fn white(
        &self,
        network: Network,
        seconds: Option<u32>,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        let key = self.key(network);
        let floor = self.policy_block().terms().floor;
        if seconds == Some(0) {
            let is_his = |entry: &Entry| entry.is_endless() || entry.reporters >> ADMIN & 1 == 1;
            let may_end = |entry: &Entry| entry.white && (reporter == ADMIN || !is_his(entry));
            if self.end(key, floor, now, may_end)? {
                self.count(Counter::WhiteEnded);
                self.publish(EventKind::WhiteEnded, key, OTHER_BIT, reporter, now);
            }
            return Ok(());
        }
        let kind = Kind::White { seconds };
        self.apply(key, &Change { kind, reason: OTHER_BIT, reporter, now, floor })?;
        self.count(Counter::Whitened);
        self.publish(EventKind::Whitened, key, OTHER_BIT, reporter, now);
        Ok(())
    }

    /// Ends the black entry of a client or of exactly this network; false if there was none.
    /// White entries stay, and so does a listing without end unless the administrator himself
    /// forgives. Of an IPv6 client, entries by another prefix, from an earlier policy, end as
    /// well; networks that were listed by hand stay.
    pub fn forgive(
        &self,
        network: Network,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<bool, Refusal> {
        let (key, floor) = (self.key(network), self.policy_block().terms().floor);
        let by_hand = |entry: &Entry| entry.is_endless() || entry.reporters >> ADMIN & 1 == 1;
        // Of an IPv6 client, entries under an earlier policy's prefix are his as well.
        let others = self.lengths().around(network);
        let others = others.filter(|other| network.is_host() && *other != key);
        let mut ended = false;
        for other in std::iter::once(key).chain(others) {
            let is_wider = other.mapped_length() < key.mapped_length();
            let ends = self.end(other, floor, now, |entry| {
                !entry.white
                    && !(is_wider && (other.is_ipv4() || by_hand(entry)))
                    && (reporter == ADMIN || !entry.is_endless())
            })?;
            if ends {
                ended = true;
                self.count(Counter::Forgiven);
                self.publish(EventKind::Forgiven, other, OTHER_BIT, reporter, now);
            }
        }
        Ok(ended)
    }

    fn end(
        &self,
        key: Network,
        floor: u32,
        now: UnixSeconds,
        may_end: impl Fn(&Entry) -> bool,
    ) -> Result<bool, Refusal> {
        if self.is_retired() {
            return Err(Refusal::Retired);
        }
        let slots = self.slots();
        Ok(slots.forget(&slots.place(key), now, floor, may_end))
    }

    /// The bit of a reason, entering it if it is new; that of `other` (0) when there is no room.
    /// Only `administrator` may use the last 16 of the 64 places.
    pub fn reason(&self, name: Name, administrator: bool) -> u8 {
        self.reason_dictionary().enter(&name, administrator).unwrap_or_else(|| {
            self.count(Counter::OtherReasons);
            OTHER_BIT
        })
    }

    /// The bit of the reason that a text folds to (see [`Name::folded`]), for reports of
    /// machines; `None` if no name can be made of it.
    pub fn folded_reason(&self, text: &[u8]) -> Option<u8> {
        let bit = self.reason_dictionary().enter_folded(text, false).ok()?;
        Some(bit.unwrap_or_else(|| {
            self.count(Counter::OtherReasons);
            OTHER_BIT
        }))
    }

    /// The bit of a reporter, entering it if it is new; `None` when there is no room.
    pub fn reporter(&self, name: Name) -> Option<u8> {
        self.reporter_dictionary().enter(&name, true)
    }

    /// Puts a policy in force, for every process at once.
    pub fn set_policy(&self, policy: &Policy) -> Result<(), SetPolicyError> {
        policy.validate()?;
        let _lock = self.lock()?;
        self.policy_block().write(policy, |reason| {
            let name = Name::new(reason.as_bytes())?;
            self.reason_dictionary().enter(&name, true)
        });
        Ok(())
    }

    /// Keeps other administrators away until the returned file is closed; the kernel closes it
    /// if this process dies. Exim's processes never lock anything.
    fn lock(&self) -> Result<Option<std::fs::File>, SetPolicyError> {
        let Some(identity) = self.identity() else {
            return Ok(None);
        };
        let path = || self.path().to_path_buf();
        let failed = |error| SetPolicyError::Lock { path: path(), error };
        let opened = OpenOptions::new().read(true).write(true).open(self.path());
        let file = opened.map_err(failed)?;
        let mut left = LOCK_TRIES;
        while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(failed(errno.into()));
            }
            if left == 0 {
                return Err(SetPolicyError::Busy { path: path() });
            }
            left -= 1;
            std::thread::sleep(LOCK_PAUSE);
        }
        if identity_at(self.path()) != Some(identity) {
            return Err(SetPolicyError::Replaced { path: path() });
        }
        Ok(Some(file))
    }

    /// Removes what has expired, if that is due, with an event each, and takes back slots of dead
    /// writers. For the daemon, every few seconds: 1 ms for a million slots.
    pub fn sweep(&self, now: UnixSeconds, expiry: Expiry) -> Swept {
        let (slots, floor) = (self.slots(), self.policy_block().terms().floor);
        let mut swept = Swept::default();
        for slot in 0..slots.len() {
            let due = (expiry == Expiry::Due).then_some((now, floor));
            match slots.sweep(slot, due, self.liveness()) {
                SlotSwept::Nothing => {}
                SlotSwept::Reclaimed => swept.reclaimed += 1,
                SlotSwept::Expired(network) => {
                    swept.expired += 1;
                    self.publish(EventKind::Expired, network, OTHER_BIT, 0, now);
                }
            }
        }
        counters::add(self.counter_words(), Counter::Expired, swept.expired);
        counters::add(self.counter_words(), Counter::Reclaimed, swept.reclaimed);
        swept
    }

    /// Adds one to a counter.
    pub fn count(&self, counter: Counter) {
        counters::add(self.counter_words(), counter, 1);
    }

    fn publish(
        &self,
        kind: EventKind,
        network: Network,
        reason: u8,
        reporter: u8,
        time: UnixSeconds,
    ) {
        self.ring().publish(&Event { sequence: 0, time, kind, reporter, reason, network });
    }
}
