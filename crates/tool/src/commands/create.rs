//! `eximrbl create`: makes a table.

use std::io::Write;
use std::path::Path;

use eximrbl_table::{CreateOptions, WritableTable};
use nix::unistd::{Group, User, geteuid};

use super::{Finding, info};
use crate::arguments::Create;
use crate::failure::Failure;
use crate::output::Output;
use crate::text;

/// The daemon's user, who owns the table on a mail server.
const DAEMON_USER: &str = "eximrbl";
/// Exim's group on Debian, who may write it.
const EXIM_GROUP: &str = "Debian-exim";

/// Makes the table, for a mail server when root asks and its user and group exist.
pub(super) fn run(path: &Path, create: &Create, output: &mut Output) -> Result<Finding, Failure> {
    let root = geteuid().is_root();
    let owner = match &create.owner {
        Some(name) => Some(user(name)?.ok_or_else(|| unknown("user", name))?),
        None if root => user(DAEMON_USER)?,
        None => None,
    };
    let group = match &create.group {
        Some(name) => Some(group(name)?.ok_or_else(|| unknown("group", name))?),
        None if root => group(EXIM_GROUP)?,
        None => None,
    };
    let options = CreateOptions { slots: create.slots, owner, group, ..CreateOptions::default() };
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.exists()) {
        return Err(Failure::NoDirectory { path: directory.to_path_buf() });
    }
    let table = WritableTable::create(path, &options)?;
    if output.json() {
        return info::print(path, &table, output);
    }
    let info = table.info(eximrbl_table::now());
    writeln!(
        output,
        "{}: made, with room for {} entries ({})",
        path.display(),
        info.slots,
        text::size(info.bytes)
    )?;
    if root && owner.is_none() {
        writeln!(output, "note: there is no user {DAEMON_USER}, so the file belongs to root")?;
    }
    if root && group.is_none() {
        writeln!(
            output,
            "note: there is no group {EXIM_GROUP}: if Exim runs under another, use --group"
        )?;
    }
    Ok(Finding::Positive)
}

/// A user's number, by number or name.
fn user(name: &str) -> Result<Option<u32>, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    // An error of the look-up itself is not told apart: the remedy is the same, give the number.
    let found = User::from_name(name).map_err(|_| unknown("user", name))?;
    Ok(found.map(|user| user.uid.as_raw()))
}

/// A group's number, by number or name.
fn group(name: &str) -> Result<Option<u32>, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let found = Group::from_name(name).map_err(|_| unknown("group", name))?;
    Ok(found.map(|group| group.gid.as_raw()))
}

fn unknown(kind: &'static str, name: &str) -> Failure {
    Failure::Unknown { kind, name: name.to_owned() }
}
