//! A table of another size in the place of one that is in use, while everybody goes on.
//!
//! The new file is made aside, with the policy and the names of the old one, then renamed into its
//! place; the old one gets another name beside it, `table.old-` and its identity, by which the new one
//! names it. From then on whoever opens the table maps both, and brings each entry over before he
//! changes it (`slots/resize.rs` has the rules); who still has the old one alone meets its `retired`
//! flag, or a frozen word, and opens the new one. Meanwhile this goes through all entries; when
//! nothing is left to be brought over, the old file is removed.
//!
//! Interrupted at any point, one of the two files is whole and in place:
//! * before the rename, the old one is, untouched; what lies beside it is a leftover;
//! * after it, the new one is, and the old one is its other half, in which nothing but the frozen
//!   bits changes. Anybody can go on from there, in any order ([`WritableTable::finish_resize`]).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use crate::changes::Changes;
use crate::counters;
use crate::file::{Access, Birth, CreateError, CreateOptions, OpenError, Retired, make, old_path};
use crate::layout::{Layout, header};
use crate::refusal::Refusal;
use crate::ring::EVENTS;
use crate::sync::Ordering;
use crate::table::Table;
use crate::writable::{SetPolicyError, WritableTable, lock};

/// A resized table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resized {
    /// Slots before.
    pub before: u64,
    /// Slots now.
    pub slots: u64,
    /// Live entries that had to go because their places in the new table were full.
    pub evicted: u64,
}

/// Why a table was not resized; what was there goes on as it was, unless the text says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    /// More entries than a table of that size holds well.
    #[error("{slots} slots are too few for {live} live entries; take {least} or more")]
    TooSmall {
        /// What was asked for, rounded up to whole buckets.
        slots: u64,
        /// Live entries.
        live: u64,
        /// The fewest slots that will do.
        least: u64,
    },
    /// The file of the new table was not made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The new table was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Others change the table's policy or size just now.
    #[error(transparent)]
    Lock(#[from] SetPolicyError),
    /// White entries, or entries without end, fill all places of one that must stay.
    #[error(
        "{path}: {left} entries find no place among white and endless ones in the new table; they still \
         count, and {old} stays with them; resize again, to more slots"
    )]
    Left {
        /// The table.
        path: PathBuf,
        /// The file of the old one.
        old: PathBuf,
        /// Entries that are still there.
        left: u64,
    },
    /// Any other failure of the system.
    #[error("{path}: cannot {step}: {error}")]
    System {
        /// The file.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl WritableTable {
    /// Puts a table of another size in this one's place: policy, names, counters and all live entries
    /// go over, and nobody has to stop. Processes that have the old one open find the new one
    /// by themselves, this one included.
    ///
    /// A resize that was interrupted earlier is finished first.
    pub fn resize(&self, slots: u64) -> Result<Resized, ResizeError> {
        self.finish_resize()?;
        let old = self.latest();
        let wanted = slots.checked_next_multiple_of(8).and_then(Layout::of);
        let slots = wanted.ok_or(CreateError::Slots { slots })?.slots as u64;
        let live = old.entries(crate::now()).count() as u64;
        let least = (live + live / 3).next_multiple_of(8);
        if slots < least {
            return Err(ResizeError::TooSmall { slots, live, least });
        }
        let before = old.layout().slots as u64;
        let evicted = || self.latest().counters().get(counters::Counter::Evicted);
        let evicted_before = evicted();
        // From here on no policy is written into the old table.
        let locked = lock(old)?;
        self.replace(old, slots)?;
        drop(locked);
        // Not by way of `latest`, which keeps the reason to itself when it cannot.
        Self::open(old.path())?.finish_resize()?;
        Ok(Resized { before, slots, evicted: evicted().saturating_sub(evicted_before) })
    }

    /// Makes the new file and puts it in the old one's place: the step that decides.
    fn replace(&self, old: &Table, slots: u64) -> Result<(), ResizeError> {
        let at = |step| {
            move |path: &Path| {
                let path = path.to_path_buf();
                move |error| ResizeError::System { path, step, error }
            }
        };
        let path = old.path().canonicalize().map_err(at("find the file")(old.path()))?;
        let metadata = fs::metadata(&path).map_err(at("look at the file")(&path))?;
        let options = CreateOptions {
            slots,
            mode: metadata.mode() & 0o7777,
            owner: Some(metadata.uid()),
            group: Some(metadata.gid()),
        };
        let word = |place: usize| old.words()[place].load(Ordering::Acquire);
        let birth = Birth {
            now: crate::now(),
            seed: Some(old.seed()),
            pid_namespace: Some(word(header::PID_NAMESPACE)),
            // Far enough for events that slow writers still add to the old one: the serial never
            // falls back, and readers of events see that they have missed some.
            first_event: word(header::RING_HEAD).saturating_add(EVENTS as u64 + 1),
        };
        let made = make(&path, &options, birth, |aside| {
            inherit(&Table::open_alone(aside, Access::Write, Retired::Refused)?, old);
            Ok(())
        })?;
        let old_name = old_path(&path, word(header::IDENTITY));
        match fs::hard_link(&path, &old_name) {
            // Of an attempt that was interrupted here.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => linked.map_err(at("give the old table another name")(&old_name))?,
        }
        sync_folder(&path).map_err(at("write the folder to the disk")(&path))?;
        made.replace(&path).map_err(at("put the new table in its place")(&path))?;
        // Before anything is frozen: should the power fail, the disk must not have the old table in
        // its place, and frozen.
        sync_folder(&path).map_err(at("write the folder to the disk")(&path))?;
        old.words()[header::RETIRED].store(1, Ordering::SeqCst);
        Ok(())
    }

    /// Finishes a resize that is under way, whoever began it; false if none is. Others may do the same
    /// at the same time.
    pub fn finish_resize(&self) -> Result<bool, ResizeError> {
        let table = self.latest();
        let Some(old) = table.unsettled() else { return Ok(false) };
        let changes = Changes::new(table);
        let (slots, old_slots) = (table.slots(), old.slots());
        let (now, floor) = (crate::now(), table.policy_block().terms().floor);
        let mut left = 0;
        for slot in 0..old_slots.len() {
            let Some(key) = old_slots.unsettled(slot) else { continue };
            table.lengths().add(key);
            let evicted = |victim| changes.tell_evicted(victim, 0, now);
            match slots.enter(key, now, floor, table.liveness(), evicted) {
                Ok(()) => {}
                // Replaced in its turn: whoever did that had finished this first.
                Err(Refusal::Retired) => return Ok(true),
                Err(_) => left += 1,
            }
        }
        let identity = old.words()[header::IDENTITY].load(Ordering::Relaxed);
        let path = table.path().canonicalize().unwrap_or_else(|_| table.path().to_path_buf());
        let old_name = old_path(&path, identity);
        if left > 0 {
            return Err(ResizeError::Left { path, old: old_name, left });
        }
        counters::move_over(old.counter_words(), table.counter_words());
        let system = |step| {
            let path = path.clone();
            move |error| ResizeError::System { path, step, error }
        };
        // The old file may only go once the disk has what came from it.
        let file = File::open(&path).map_err(system("open the file"))?;
        file.sync_all().map_err(system("write to the disk"))?;
        let word = &table.words()[header::PREDECESSOR];
        let _ = word.compare_exchange(identity, 0, Ordering::AcqRel, Ordering::Acquire);
        match fs::remove_file(&old_name) {
            // Another who finished it was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It does no harm: the next clean-up of who may remove it does.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            removed => removed.map_err(system("remove the old table"))?,
        }
        Ok(true)
    }
}

/// Gives a new table what the old one has beside its entries.
fn inherit(new: &Table, old: &Table) {
    new.reason_dictionary().take_over(&old.reason_dictionary(), false);
    new.reporter_dictionary().take_over(&old.reporter_dictionary(), false);
    let copy = |range: std::ops::Range<usize>| {
        for (to, from) in new.words()[range.clone()].iter().zip(&old.words()[range]) {
            to.store(from.load(Ordering::Acquire), Ordering::Relaxed);
        }
    };
    copy(header::LENGTHS);
    copy(header::POLICY_SEQUENCE..header::POLICY_SEQUENCE + 1);
    // The same place in both: it follows from nothing but the sections before it.
    copy(new.layout().policy.clone());
    let identity = old.words()[header::IDENTITY].load(Ordering::Relaxed);
    new.words()[header::PREDECESSOR].store(identity, Ordering::Release);
}

/// Opens the table that `new` replaces, which has this identity; `None` if it is not to be found, for
/// then there is nothing that could still be brought over.
pub(crate) fn open_predecessor(new: &Table, identity: u64) -> Result<Option<Table>, OpenError> {
    let Ok(path) = new.path().canonicalize() else { return Ok(None) };
    let old = match Table::open_alone(&old_path(&path, identity), new.access(), Retired::Taken) {
        Ok(old) => old,
        // Who may not read what is left of the old table cannot change the new one without loss.
        Err(error @ OpenError::Denied { .. }) if new.access() == Access::Write => {
            return Err(error);
        }
        Err(_) => return Ok(None),
    };
    let is_it = old.words()[header::IDENTITY].load(Ordering::Relaxed) == identity;
    if !is_it || old.seed() != new.seed() {
        return Ok(None);
    }
    if new.access() == Access::Write {
        // Before anything of it is frozen, for those who have it alone.
        old.words()[header::RETIRED].store(1, Ordering::SeqCst);
        new.reason_dictionary().take_over(&old.reason_dictionary(), true);
        new.reporter_dictionary().take_over(&old.reporter_dictionary(), true);
    }
    Ok(Some(old))
}

/// Removes files that interrupted attempts to make or resize a table have left beside `path`, and
/// returns their names. Nothing that a process is still at work on is touched.
pub fn remove_leftovers(path: &Path) -> io::Result<Vec<PathBuf>> {
    /// A file that nobody has locked for so long belongs to nobody.
    const YOUNG: Duration = Duration::from_secs(60);
    let path = path.canonicalize()?;
    let Some((folder, name)) = path.parent().zip(path.file_name().and_then(|n| n.to_str())) else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    let table = Table::open(&path).ok();
    // Nobody replaces the table meanwhile.
    let locked = table.as_ref().map(lock).transpose().map_err(io::Error::other)?;
    for found in fs::read_dir(folder)? {
        let found = found?;
        let (file_name, metadata) = (found.file_name(), found.metadata()?);
        let Some(ending) = file_name.to_str().and_then(|n| n.strip_prefix(name)) else { continue };
        let number = |kind| {
            let digits: &str = ending.strip_prefix(kind)?;
            (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
        };
        let is_leftover = if number(".new-").is_some() {
            let age =
                metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            age.is_some_and(|age| age > YOUNG) && !is_locked(&found.path())
        } else if let (Some(identity), Some(table)) = (number(".old-"), &table) {
            table.words()[header::PREDECESSOR].load(Ordering::Acquire) != identity
        } else {
            false
        };
        if metadata.is_file() && is_leftover {
            fs::remove_file(found.path())?;
            removed.push(found.path());
        }
    }
    drop(locked);
    Ok(removed)
}

/// Whether a process has locked a file; also when that cannot be found out.
fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return true };
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_err()
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}
