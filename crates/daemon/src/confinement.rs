//! Rights that the daemon gives up once it has its sockets, whoever started it.
//!
//! By Landlock (Linux 5.13; Debian 12 has it), so that it holds without systemd's sandbox too, and
//! for what that cannot say: nothing is cut short by this process, not even its own table, whose
//! missing pages would end Exim's processes by SIGBUS. It writes in the table's folder alone, and
//! in those that the configuration names, starts no program, listens at no more TCP sockets, connects to
//! nobody unless the configuration wants it, and signals nobody.
//!
//! Each kernel takes what it knows; one without Landlock takes nothing, and all works as before.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// The newest set of rights that is known here (Linux 6.12).
const NEWEST: ABI = ABI::V6;

/// The rights that are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept<'a> {
    /// Folders, beside the table's, in which files are made, written, renamed and removed.
    pub(crate) writes: &'a [&'a Path],
    /// Folders that sockets are removed from at the end.
    pub(crate) removes: &'a [&'a Path],
    /// Whether TCP connections to others are made.
    pub(crate) connects: bool,
}

/// Gives the rights up, for good. Must come before any other thread is started, for it is the
/// calling thread that gives them up, with all that it starts.
pub(crate) fn confine(table: &Path, kept: Kept<'_>) {
    let folders = [&[table.parent().unwrap_or(table)], kept.writes].concat();
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let folders = folders.join(", ");
    match try_confine(table, kept) {
        Ok(RulesetStatus::FullyEnforced) => {
            tracing::info!("writes in {folders} alone, by Landlock");
        }
        Ok(RulesetStatus::PartiallyEnforced) => {
            tracing::info!("writes in {folders} alone, by Landlock as far as this kernel has it");
        }
        Ok(RulesetStatus::NotEnforced) => tracing::debug!("this kernel has no Landlock"),
        Err(error) => tracing::warn!("not confined by Landlock: {error}"),
    }
}

fn try_confine(table: &Path, kept: Kept<'_>) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // What a table that is made, and one that is moved aside or away, needs. No Truncate.
    let files = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile;
    // A table may be reached by a symbolic link: then it is written where that leads, and made
    // anew where the link is, which is moved aside.
    let keep = read | files | AccessFs::MakeSym;
    let real = table.canonicalize().ok();
    let folders = [Some(table), real.as_deref()].into_iter().flatten().filter_map(Path::parent);
    let mut network = AccessNet::from_all(NEWEST);
    if kept.connects {
        network.remove(AccessNet::ConnectTcp);
    }
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(network)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(["/"], read))?
        .add_rules(path_beneath_rules(folders, keep))?
        .add_rules(path_beneath_rules(kept.removes, AccessFs::RemoveFile))?
        .add_rules(path_beneath_rules(kept.writes, read | files))?;
    Ok(created.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::fs::{self, File, OpenOptions};
    use std::io::ErrorKind;
    use std::net::TcpListener;

    use eximrbl_table::{CreateOptions, Table, WritableTable};

    /// What works in a confined thread, and what is refused. The other threads stay free.
    fn confined(table: &Path, control: &Path, probe: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                match try_confine(table, Kept { removes: &[control], ..Kept::default() }).unwrap() {
                    RulesetStatus::NotEnforced => eprintln!("not run: this kernel has no Landlock"),
                    RulesetStatus::FullyEnforced => probe(),
                    // What was asked for and is missing depends on the kernel's age.
                    RulesetStatus::PartiallyEnforced => {
                        eprintln!("not run: this kernel's Landlock is older than Linux 6.12");
                    }
                }
            });
            thread.join().unwrap();
        });
    }

    fn refused<T>(what: &str, result: std::io::Result<T>) {
        match result {
            Ok(_) => panic!("{what} was not refused"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}"),
        }
    }

    /// Caught: the right to truncate in the table's folder; no word of TCP.
    #[test]
    fn the_tables_folder_takes_all_but_truncation_and_elsewhere_nothing_is_written() {
        let folder = || tempfile::tempdir().unwrap();
        let (state, other, control) = (folder(), folder(), folder());
        let table = state.path().join("table");
        let options = CreateOptions { slots: 64, ..CreateOptions::default() };
        drop(WritableTable::create(&table, &options).unwrap());
        let foreign = other.path().join("foreign");
        fs::write(&foreign, "somebody's").unwrap();
        let socket = control.path().join("socket");
        fs::write(&socket, "").unwrap();
        confined(&table, control.path(), || {
            fs::remove_file(&socket).unwrap();
            refused("a new file beside the socket", fs::write(&socket, ""));
            let open = || OpenOptions::new().write(true).open(&table);
            assert!(WritableTable::open(&table).unwrap().set_policy(&Default::default()).is_ok());
            refused("truncating the table", open().and_then(|file| file.set_len(4096)));
            refused("truncating at opening", File::create(&table));
            refused("truncating by name", nix::unistd::truncate(&table, 0).map_err(Into::into));
            // As the keeper does: aside, away, anew.
            fs::rename(&table, state.path().join("aside")).unwrap();
            fs::remove_file(state.path().join("aside")).unwrap();
            WritableTable::create(&table, &options).unwrap();
            Table::open(&table).unwrap();

            assert_eq!(fs::read(&foreign).unwrap(), b"somebody's");
            refused("writing elsewhere", OpenOptions::new().append(true).open(&foreign));
            refused("a new file elsewhere", fs::write(other.path().join("new"), ""));
            refused("removing elsewhere", fs::remove_file(&foreign));
            refused("moving in", fs::rename(&foreign, state.path().join("foreign")));
            refused("a folder", fs::create_dir(state.path().join("folder")));
            refused("a program", std::process::Command::new("/bin/true").status());
            refused("a TCP port", TcpListener::bind("127.0.0.1:0"));
        });
        assert!(foreign.exists());
    }

    /// Caught: rights in the link's folder alone.
    #[test]
    fn a_table_behind_a_link_is_written_where_it_is() {
        let (state, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (real, table) = (other.path().join("real"), state.path().join("table"));
        let options = CreateOptions { slots: 64, ..CreateOptions::default() };
        drop(WritableTable::create(&real, &options).unwrap());
        std::os::unix::fs::symlink(&real, &table).unwrap();
        confined(&table, state.path(), || {
            WritableTable::open(&table).unwrap();
            fs::rename(&table, state.path().join("aside")).unwrap();
        });
    }
}
