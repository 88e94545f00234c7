//! The table, opened once and looked after.
//!
//! Which file it is: `EXIMRBL_TABLE`, else what `rbl_preload` was given last, else the installed
//! place. (After a SIGHUP Exim's daemon runs set-uid from its own user, where the variable is not
//! trusted: what has to last is given to `rbl_preload`.)
//!
//! Once a second, at the first call in that second, the file's place is looked at: has the table
//! been replaced, the new one is opened. A table that could not be opened is tried again at the
//! same pace, so that the library heals when the daemon comes up, and costs next to nothing until
//! then. All other calls make no system call here.
//!
//! Nobody waits for a lock. Exim has no threads, so the lock is always free; were it not (another
//! program, or a signal's handler that calls in), the caller opens the table for itself.
//!
//! # A table that is cut short
//!
//! Who touches a page of the mapping that the file has no more is ended by SIGBUS, and that would
//! be a process of Exim's, in silence. A handler is out of the question: signals are Exim's own.
//! Nor does Linux have anything else by which a file with a name, written by many through their
//! mappings, could be kept from being cut by one of them. All of this was tried:
//!
//! | means | why not |
//! |---|---|
//! | seals (`F_SEAL_SHRINK`) | only for a memfd. It can get no name, neither by a link nor by a bind mount: a daemon would have to hand it out, and Exim to wait for that |
//! | leases (`F_SETLEASE`) | refused as soon as two have the file open for writing |
//! | `chattr +a`, `+i` | forbid the shared mapping (`+a`), or the opening for writing (`+i`), itself |
//! | mlock(2) | the pages go all the same |
//! | `MADV_POPULATE_WRITE` before each touch, fstat(2) in each call | tell what was true a moment ago, for 0.8 µs a page, or 150 ns where the whole call takes 90 |
//!
//! So there are, from the outside in:
//!
//! * Rights: the file's owner, Exim's group and root may write it, nobody else (mode 0660, and
//!   one that anybody may write is refused); the folder is its owner's alone.
//! * Nothing of eximrbl ever cuts a table; new ones are made aside and renamed into the place. All
//!   blocks are allocated beforehand, so that a full disk is no cause of SIGBUS.
//! * Each process looks before its first touch, and once in every further second: of a file that
//!   has not the length any more, nothing is touched. So does a child of a daemon that has called
//!   `rbl_preload`. Exim's children, most of which make one call in their life, are exposed for the
//!   microsecond between look and touch.
//! * The daemon looks each second as well, moves a cut table aside and makes a new one.
//!
//! What remains: a process that has made a call dies if it makes another in the same second, and
//! the table was cut in between. The client sees a lost connection and comes again; Exim's daemon
//! and all others go on. `cp`, `>`, `tee`, `dd`, `scp`, `tar --overwrite`, vim and ed cut the file
//! that they write; `mv`, `install`, `ln -f`, `cp --remove-destination`, `sed -i`, tar and git put
//! a new one in its place, which harms nobody.

use std::ffi::{CStr, OsStr};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use eximrbl_table::{OpenError, Table, UnixSeconds, WritableTable};

use crate::contain::unpoisoned;
use crate::exim;
use crate::tell::{self, Cause};

/// Names the table's file. Exim's option `add_environment` sets it.
const VARIABLE: &CStr = c"EXIMRBL_TABLE";

/// A table, open in the best way that its permissions allow.
pub(crate) enum Opened {
    /// As it should be.
    Writable(WritableTable),
    /// Look-ups work; nothing can be recorded.
    ReadOnly(Table),
}

impl Deref for Opened {
    type Target = Table;

    fn deref(&self) -> &Table {
        match self {
            Self::Writable(table) => table,
            Self::ReadOnly(table) => table,
        }
    }
}

impl Opened {
    fn open(path: &Path) -> Result<Self, OpenError> {
        match WritableTable::open(path) {
            Ok(table) => Ok(Self::Writable(table)),
            // May the file be read, that tells more than that it may not be written: of a stranger's
            // file nobody shall be told to let Exim write it.
            Err(error) => Table::open(path).map(Self::ReadOnly).map_err(|read| match read {
                OpenError::Denied { .. } => error,
                other => other,
            }),
        }
    }
}

/// What this process holds.
struct Held {
    opened: Option<Opened>,
    /// The second of the last look at the file.
    looked: Option<UnixSeconds>,
}

impl Held {
    /// Sees to it that the newest table is held, if there is one.
    fn look(&mut self, path: &Path, now: UnixSeconds) {
        self.looked = Some(now);
        match &self.opened {
            Some(Opened::Writable(table)) if table.is_current(path) => {}
            // Has it become writable? Otherwise it serves on as it is.
            Some(Opened::ReadOnly(table)) if table.is_current(path) => {
                if let Ok(table) = WritableTable::open(path) {
                    self.opened = Some(Opened::Writable(table));
                }
            }
            held => {
                // What a resize has replaced is read until the new one can be opened.
                let is_kept = held.as_ref().is_some_and(|table| table.is_succeeded_at(path));
                let opened = open_or_tell(path);
                if opened.is_some() || !is_kept {
                    self.opened = opened;
                }
            }
        }
    }
}

static HELD: RwLock<Held> = RwLock::new(Held { opened: None, looked: None });

/// The path that `rbl_preload` was given last.
static GIVEN: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Calls `function` with the table; `None` when there is none (which is told once).
pub(crate) fn with_table<T>(now: UnixSeconds, function: impl FnOnce(&Opened) -> T) -> Option<T> {
    let fresh = unpoisoned(HELD.try_read()).filter(|held| held.looked == Some(now));
    match fresh.or_else(|| looked_at(now)) {
        Some(held) => held.opened.as_ref().map(function),
        None => opened_aside().as_ref().map(function),
    }
}

/// What is held, after a look at the file; `None` if another is at it.
#[cold]
#[inline(never)]
fn looked_at(now: UnixSeconds) -> Option<RwLockReadGuard<'static, Held>> {
    with_path(|path| {
        let mut held = unpoisoned(HELD.try_write())?;
        held.look(path, now);
        Some(RwLockWriteGuard::downgrade(held))
    })?
}

/// The table, opened for this one call.
#[cold]
#[inline(never)]
fn opened_aside() -> Option<Opened> {
    with_path(open_or_tell)?
}

/// Has the next call look at the file again, whatever the second.
pub(crate) fn look_again() {
    if let Some(mut held) = unpoisoned(HELD.try_write()) {
        held.looked = None;
    }
}

/// Takes another path from now on, unless the environment names one.
pub(crate) fn give_path(path: &[u8]) {
    let path = Path::new(OsStr::from_bytes(path));
    if with_path(|used| used == path || exim::environment(VARIABLE).is_some()) == Some(false)
        && let Some(mut given) = unpoisoned(GIVEN.try_write())
    {
        *given = Some(path.to_owned());
        look_again();
    }
}

/// Calls `function` with the path in force; `None` if that is being changed at this moment.
pub(crate) fn with_path<T>(function: impl FnOnce(&Path) -> T) -> Option<T> {
    if let Some(path) = exim::environment(VARIABLE) {
        return Some(function(Path::new(OsStr::from_bytes(path))));
    }
    let given = unpoisoned(GIVEN.try_read())?;
    Some(function(given.as_deref().unwrap_or(Path::new(eximrbl_table::DEFAULT_PATH))))
}

fn open_or_tell(path: &Path) -> Option<Opened> {
    Opened::open(path)
        .map_err(|error| {
            let remedy = remedy(&error);
            tell::once(
                Cause::Open,
                format_args!("{error}{remedy}; until then, nothing is recorded"),
            );
        })
        .ok()
}

/// What to do about a failure of the system, whose own words do not say it.
fn remedy(error: &OpenError) -> &'static str {
    let OpenError::System { error, .. } = error else { return "" };
    match error.raw_os_error() {
        Some(libc::ELOOP | libc::ENOTDIR | libc::ENAMETOOLONG) => "; check the path",
        Some(libc::EMFILE | libc::ENFILE) => "; raise the limit of open files",
        Some(libc::ENOMEM) => "; free memory, or raise Exim's limit of it (ulimit -v)",
        Some(libc::EIO) => "; check the disk",
        _ => "",
    }
}
