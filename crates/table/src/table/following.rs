//! Following a table that is resized: from the old one to its successor, and, while entries are still being
//! brought over, from the new one to its predecessor. `resize` has the files, `slots::resize` the rules.

use std::path::Path;

use super::Table;
use crate::file::{FileIdentity, OpenError, identity_at};
use crate::layout::header;
use crate::resize;
use crate::sync::{Ordering, fence};

impl Table {
    /// Calls `function` with the table that counts.
    ///
    /// Of a table that was replaced in the middle of it, an answer may be out of date; so the flag
    /// is looked at afterwards. It is set before the first change in the new table.
    pub(crate) fn read<T>(&self, function: impl Fn(&Self) -> T) -> T {
        let mut table = self;
        loop {
            let taken = function(table);
            // What was read above was read before the flag is.
            fence(Ordering::Acquire);
            if !table.is_retired() {
                return taken;
            }
            match table.successor() {
                Some(next) => table = next,
                // Once more: only now it is known that what was carried over is to be read here.
                None => return function(table),
            }
        }
    }

    /// The table that has replaced this one, and is not replaced itself; or this one.
    #[inline]
    pub(crate) fn latest(&self) -> &Self {
        if self.is_retired() { self.latest_after() } else { self }
    }

    #[cold]
    #[inline(never)]
    fn latest_after(&self) -> &Self {
        let mut table = self;
        while table.is_retired()
            && let Some(next) = table.successor()
        {
            table = next;
        }
        table
    }

    /// The table that has replaced this one, opened as this one was. `None` if it cannot be opened:
    /// then this one serves on for reading, with the entries as they were when they were carried over,
    /// and another try is made each second.
    #[cold]
    #[inline(never)]
    pub(crate) fn successor(&self) -> Option<&Self> {
        if let Some(next) = self.successor.get() {
            return Some(next);
        }
        let second = u64::from(crate::now());
        if self.tried.load(Ordering::Relaxed) == second {
            return None;
        }
        match Self::open_for(&self.path, self.access) {
            // The very same file is no successor: its flag, or its frozen words, are damage.
            Ok(next) if next.identity != self.identity => {
                // Two threads may both open it; the second one's is closed again.
                let _ = self.successor.set(Box::new(next));
                self.successor.get()
            }
            _ => {
                self.tried.store(second, Ordering::Relaxed);
                self.is_paired.store(true, Ordering::Relaxed);
                None
            }
        }
    }

    /// The table that this one replaces, as long as a resize is under way.
    pub(crate) fn unsettled(&self) -> Option<&Self> {
        let old = self.predecessor.as_deref()?;
        (self.words()[header::PREDECESSOR].load(Ordering::Acquire) != 0).then_some(old)
    }

    /// Whether this table is replacing another at this moment.
    pub fn is_resizing(&self) -> bool {
        self.latest().unsettled().is_some()
    }

    /// Whether the table from before a resize that is over is still mapped beside this one: to open
    /// the table again frees that memory.
    pub fn holds_old(&self) -> bool {
        self.predecessor.is_some() && self.unsettled().is_none()
    }

    /// Opens the table that this one replaces, if there is one.
    pub(super) fn find_predecessor(&mut self) -> Result<(), OpenError> {
        let identity = self.words()[header::PREDECESSOR].load(Ordering::Acquire);
        if identity != 0 {
            self.predecessor = resize::open_predecessor(self, identity)?.map(Box::new);
            self.is_paired = (self.predecessor.is_some()).into();
        }
        Ok(())
    }

    /// Whether another file is at `path`, and is the resized table that has taken this one's place, as
    /// far as can be seen without opening it. Then this one is whole, and worth reading until
    /// that other one can be opened.
    pub fn is_succeeded_at(&self, path: &Path) -> bool {
        let other = |this: FileIdentity| identity_at(path).is_some_and(|at| !at.is_same_file(this));
        self.identity.is_some_and(other) && self.is_retired()
    }

    /// Whether a resized table has taken this one's place.
    pub fn is_retired(&self) -> bool {
        self.words()[header::RETIRED].load(Ordering::Acquire) != 0
    }
}
