//! A table for reading and changing: the way in for everybody who writes.
//!
//! A table that was replaced by a resized one is followed by itself: a change that meets a frozen word
//! is made in the new table. `changes` has the changes themselves.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::changes::Changes;
use crate::counters::Counter;
use crate::decision::UnixSeconds;
use crate::dictionary::{Entered, FIRST_REPORTERS, Name, OTHER, OTHER_BIT, REJECT};
use crate::file::{
    Access, Birth, CreateError, CreateOptions, Memory, OpenError, identity_at, make,
};
use crate::layout::header;
use crate::network::Network;
use crate::policy::{Policy, PolicyError};
use crate::refusal::Refusal;
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

impl From<WritableTable> for Table {
    fn from(table: WritableTable) -> Self {
        table.0
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
    /// Seconds to add to the entry's life, up to the policy's `max_ttl`; `None` adds the policy's
    /// `base_ttl` for each rejection.
    pub seconds: Option<u32>,
}

/// What a report led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The entry's count now.
    pub count: u32,
    /// The entry's seconds to live now; `u32::MAX` without end.
    pub remaining: u32,
}

/// An entry that was written down somewhere else, to be put (back) into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Whom: a client (kept by the policy's IPv6 prefix), or a network.
    pub network: Network,
    /// Whether it is white.
    pub white: bool,
    /// Rejections that it counts, at least 1 of a black one.
    pub count: u32,
    /// Seconds of life left; `u32::MAX` without end.
    pub remaining: u32,
    /// When it was first seen.
    pub first: UnixSeconds,
    /// When it was last seen.
    pub last: UnixSeconds,
    /// Bits of the reason dictionary; none stands for `other`.
    pub reasons: u64,
    /// Bits of the reporter dictionary; none stands for `local`.
    pub reporters: u64,
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
    /// Entries whose end was brought forward, for they would have outlived `max_ttl`.
    pub shortened: u64,
}

impl WritableTable {
    /// Opens a table for reading and writing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Table::open_for(path, Access::Write).map(Self)
    }

    /// Makes a table with the default policy, and opens it. The file is made aside, complete and
    /// with all its blocks, then renamed into place; an existing file is left as it is.
    pub fn create(path: &Path, options: &CreateOptions) -> Result<Self, CreateError> {
        if path.symlink_metadata().is_ok() {
            // Only to say so early; `put` decides.
            return Err(CreateError::Exists { path: path.to_path_buf() });
        }
        let made = make(path, options, Birth::new(crate::now()), |aside| {
            Self::open(aside)?.furnish();
            Ok(())
        })?;
        made.put(path)?;
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
            Name::new(reason.as_bytes()).map(|name| self.reason(name, true));
        }
        for reporter in FIRST_REPORTERS {
            Name::new(reporter.as_bytes()).map(|name| self.reporter(name));
        }
        self.policy_block().write(&Policy::default(), |_| None);
    }

    /// Adds rejections. The never-list and white entries are respected; the threshold decides
    /// later, when somebody asks.
    pub fn record(&self, report: &Report, now: UnixSeconds) -> Result<Recorded, Refusal> {
        self.change(|changes| changes.report(report, false, now))
    }

    /// As [`WritableTable::record`], but the entry lives until it is ended by hand, and is never
    /// evicted.
    pub fn record_endless(&self, report: &Report, now: UnixSeconds) -> Result<Recorded, Refusal> {
        self.change(|changes| changes.report(report, true, now))
    }

    /// Notes a reason and a reporter with a live listing whose count has his report already, for it was
    /// learnt from somebody else first. Whether there is such a listing. No event, for nothing is
    /// listed by it.
    pub fn attest(
        &self,
        network: Network,
        reason: u8,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<bool, Refusal> {
        self.change(|changes| changes.attest(network, reason, reporter, now))
    }

    /// Whitelists a client or network for so many seconds (`None`: without end). It takes the
    /// place of a black entry. 0 seconds end a whitelisting.
    ///
    /// What the administrator ([`ADMIN`](crate::dictionary::ADMIN)) set, other reporters do not
    /// undo: they only lengthen a whitelisting, end none that he made, and leave a listing of his as
    /// it is ([`Refusal::Endless`]). Exim on this host
    /// ([`LOCAL`](crate::dictionary::LOCAL)) spares only his listings without end: it speaks for
    /// a client that has logged in.
    pub fn white(
        &self,
        network: Network,
        seconds: Option<u32>,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<(), Refusal> {
        self.change(|changes| changes.white(network, seconds, reporter, now))
    }

    /// Ends the black entry of a client or of exactly this network, whoever reported it; false if there
    /// was none that may be ended. White entries stay. Of the administrator's listings, Exim on this
    /// host ends those that have an end, other reporters none. Of an IPv6 client, entries by another
    /// prefix, from an earlier policy, end as well; networks that were listed by hand stay.
    pub fn forgive(
        &self,
        network: Network,
        reporter: u8,
        now: UnixSeconds,
    ) -> Result<bool, Refusal> {
        let ended = Cell::new(false);
        self.change(|changes| changes.forgive(network, reporter, now, &ended))?;
        Ok(ended.get())
    }

    /// Makes an entry as it was elsewhere: what [`Entry`](crate::Entry) told of it comes back. A black
    /// one lives for `max_ttl` at most, if it ends at all. What has run out, or has less than the
    /// policy's floor left, is not made: then `remaining` is 0.
    ///
    /// With an entry that is there it is joined: the larger count, the later end, the earlier
    /// beginning, the reasons and reporters of both. Nothing is turned black that is white
    /// ([`Refusal::White`]), nor white that the administrator listed or that has no end
    /// ([`Refusal::Endless`]); other black entries become white. A white network around it does not
    /// matter: it lifts the entry, as it did before. The event and its reporter are the
    /// administrator's: nobody reported anything just now.
    pub fn restore(&self, restored: &Restored, now: UnixSeconds) -> Result<Recorded, Refusal> {
        self.change(|changes| changes.restore(restored, now))
    }

    /// Makes a change where it counts: in this table, or in the one that has replaced it.
    pub(crate) fn change<T>(
        &self,
        change: impl Fn(Changes<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut table = self.latest();
        loop {
            match change(Changes::new(table)) {
                Err(Refusal::Retired) => table = table.successor().ok_or(Refusal::Retired)?,
                done => return done,
            }
        }
    }

    /// The bit of a reason, entering it if it is new; that of `other` (0) when there is no room.
    /// Only `administrator` may use the last 16 of the 64 places.
    pub fn reason(&self, name: Name, administrator: bool) -> u8 {
        let bit = self.entered(|table| table.reason_dictionary().enter(&name, administrator));
        self.or_other(bit)
    }

    /// The bit of the reason that a text folds to (see [`Name::folded`]), for reports of
    /// machines; `None` if no name can be made of it.
    pub fn folded_reason(&self, text: &[u8]) -> Option<u8> {
        let mut is_name = true;
        let bit = self.entered(|table| {
            table.reason_dictionary().enter_folded(text, false).unwrap_or_else(|()| {
                is_name = false;
                Entered::NoRoom
            })
        });
        is_name.then(|| self.or_other(bit))
    }

    fn or_other(&self, bit: Option<u8>) -> u8 {
        bit.unwrap_or_else(|| {
            self.count(Counter::OtherReasons);
            OTHER_BIT
        })
    }

    /// Enters a name where it counts; `None` when there is no room.
    fn entered(&self, mut enter: impl FnMut(&Table) -> Entered) -> Option<u8> {
        let mut table = &self.0;
        loop {
            match enter(table) {
                Entered::Bit(bit) => return Some(bit),
                Entered::NoRoom => return None,
                Entered::Closed => table = table.successor()?,
            }
        }
    }

    /// The bit of a reporter, entering it if it is new; `None` when there is no room.
    pub fn reporter(&self, name: Name) -> Option<u8> {
        self.entered(|table| table.reporter_dictionary().enter(&name, true))
    }

    /// Puts a policy in force, for every process at once.
    pub fn set_policy(&self, policy: &Policy) -> Result<(), SetPolicyError> {
        policy.validate()?;
        let table = self.latest();
        let _lock = lock(table)?;
        table.policy_block().write(policy, |reason| {
            let name = Name::new(reason.as_bytes())?;
            self.entered(|table| table.reason_dictionary().enter(&name, true))
        });
        Ok(())
    }

    /// Removes what has expired, if that is due, with an event each, and takes back slots of dead
    /// writers. For the daemon, now and then: it reads every slot and every entry, which takes a tenth of a
    /// second for a million of them.
    ///
    /// What was reported while the clock was ahead, or before `max_ttl` was lowered, may be listed for
    /// longer than `max_ttl`: its end is brought forward. Nothing is removed or shortened by a policy
    /// that is damaged.
    pub fn sweep(&self, now: UnixSeconds, expiry: Expiry) -> Swept {
        Changes::new(self.latest()).sweep(now, expiry)
    }

    /// Adds one to a counter.
    pub fn count(&self, counter: Counter) {
        Changes::new(self).count(counter);
    }
}

/// A table's file, locked.
pub(crate) struct Locked(std::fs::File);

impl Drop for Locked {
    fn drop(&mut self) {
        // To close it would not do while a child has it that another thread is just starting.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Keeps other administrators away until what is returned is dropped; the kernel does that if this
/// process dies. Exim's processes never lock anything.
pub(crate) fn lock(table: &Table) -> Result<Option<Locked>, SetPolicyError> {
    let Some(identity) = table.identity() else {
        return Ok(None);
    };
    let path = || table.path().to_path_buf();
    let failed = |error| SetPolicyError::Lock { path: path(), error };
    let opened = OpenOptions::new().read(true).write(true).open(table.path());
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
    let locked = Locked(file);
    if identity_at(table.path()) != Some(identity) {
        return Err(SetPolicyError::Replaced { path: path() });
    }
    Ok(Some(locked))
}
