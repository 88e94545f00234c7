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
//! Accepted: a table that is cut short while it is in use kills the process that touches the lost
//! part (SIGBUS), within the second before the look finds it out. Nothing of eximrbl ever
//! truncates a table, and a look at every call would cost more than the call itself.

use std::ffi::{CStr, OsStr};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use eximrbl_table::{OpenError, Table, UnixSeconds, WritableTable};
use parking_lot::{RwLock, RwLockWriteGuard};

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
            Err(error) => Table::open(path).map(Self::ReadOnly).map_err(|_| error),
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
            _ => self.opened = open_or_tell(path),
        }
    }
}

static HELD: RwLock<Held> = RwLock::new(Held { opened: None, looked: None });

/// The path that `rbl_preload` was given last.
static GIVEN: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Calls `function` with the table; `None` when there is none (which is told once).
pub(crate) fn with_table<T>(now: UnixSeconds, function: impl FnOnce(&Opened) -> T) -> Option<T> {
    if let Some(held) = HELD.try_read()
        && held.looked == Some(now)
    {
        return held.opened.as_ref().map(function);
    }
    with_path(|path| match HELD.try_write() {
        Some(mut held) => {
            held.look(path, now);
            RwLockWriteGuard::downgrade(held).opened.as_ref().map(function)
        }
        None => open_or_tell(path).as_ref().map(function),
    })?
}

/// Has the next call look at the file again, whatever the second.
pub(crate) fn look_again() {
    if let Some(mut held) = HELD.try_write() {
        held.looked = None;
    }
}

/// Takes another path from now on, unless the environment names one.
pub(crate) fn give_path(path: &[u8]) {
    let path = Path::new(OsStr::from_bytes(path));
    if with_path(|used| used == path || exim::environment(VARIABLE).is_some()) == Some(false)
        && let Some(mut given) = GIVEN.try_write()
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
    let given = GIVEN.try_read()?;
    Some(function(given.as_deref().unwrap_or(Path::new(eximrbl_table::DEFAULT_PATH))))
}

fn open_or_tell(path: &Path) -> Option<Opened> {
    Opened::open(path)
        .map_err(|error| {
            tell::once(Cause::Open, format_args!("{error}; until then, nothing is recorded"));
        })
        .ok()
}
