//! The table's file: opened, or made anew when it is gone, or when it is not whole any more.
//!
//! A file with a table's sound header whose length alone is wrong was ours, and is of no use to
//! anybody: who touches a page that is gone is killed by SIGBUS. The daemon would be, at the next
//! query or sweep, as would each Exim process at its next rejection; so the file is moved aside,
//! where it can be looked into, and an empty table takes its place. Until the keeper sees it (it
//! looks every second) the pages stay missing: when a query is faster, SIGBUS ends the daemon,
//! systemd starts it again after a second (`Restart=on-failure`), and that start comes by here.
//!
//! Nothing else that stands in the table's place is touched: the path may be mistaken, and name
//! somebody else's file.

use std::io;
use std::path::{Path, PathBuf};

use eximrbl_table::{CreateError, OpenError, Table, WritableTable};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::privileges::Identity;

/// Where an opened table comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was there.
    Found,
    /// There was none; it is new and empty.
    Made,
    /// There was one that was cut short or enlarged; it is new and empty.
    Remade,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error("{path}: cannot make the table's directory: {error}", path = path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error(
        "{path}: {damage}, and it cannot be moved aside: {error}; move it away, and eximrbld \
         makes a new one",
        path = path.display()
    )]
    MoveAside { path: PathBuf, damage: String, error: io::Error },
}

/// Opens the table for reading. Makes one, and its directory if need be, where there is none; and
/// where it was cut short or enlarged, after it has been moved aside.
pub(crate) fn open_or_make(
    path: &Path,
    slots: u64,
    identity: &Identity,
) -> Result<(Table, Origin), TableError> {
    match Table::open(path) {
        Ok(table) => Ok((table, Origin::Found)),
        Err(OpenError::Missing { .. }) => make(path, slots, identity, Origin::Made),
        Err(error) => {
            let Some(damage) = damage(&error) else { return Err(error.into()) };
            let aside = aside(path);
            if let Err(error) = rename_without_replacing(path, &aside) {
                return Err(TableError::MoveAside { path: path.to_owned(), damage, error });
            }
            tracing::error!(
                "table {path}: {damage}; moved to {aside}, to be looked into or removed",
                path = path.display(),
                aside = aside.display()
            );
            make(path, slots, identity, Origin::Remade)
        }
    }
}

/// What is wrong with a file that can only be what is left of a table, or hold nothing.
fn damage(error: &OpenError) -> Option<String> {
    match error {
        OpenError::Length { found, expected, .. } => Some(format!(
            "{found} bytes, but its header needs {expected}: it was cut short or enlarged"
        )),
        OpenError::Empty { .. } => Some("empty: it was cut to nothing".to_owned()),
        _ => None,
    }
}

/// Makes a table where there is none.
fn make(
    path: &Path,
    slots: u64,
    identity: &Identity,
    origin: Origin,
) -> Result<(Table, Origin), TableError> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        identity
            .make_directory(directory)
            .map_err(|error| TableError::Directory { path: directory.to_owned(), error })?;
    }
    match WritableTable::create(path, &identity.table_options(slots)) {
        Ok(_) => Ok((Table::open(path)?, origin)),
        // Another process was faster.
        Err(CreateError::Exists { .. }) => Ok((Table::open(path)?, Origin::Found)),
        Err(error) => Err(error.into()),
    }
}

/// The name for a table that is of no use any more, beside its old one.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".damaged-{}", eximrbl_table::now()));
    path.with_file_name(name)
}

/// Renames; a file of the new name stays as it is, and that is an error. On file systems that
/// cannot do this in one step, in two.
fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
}
