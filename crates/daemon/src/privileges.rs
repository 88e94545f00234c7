//! Whom the process is, and what it does while it is still root.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use eximrbl_table::{CreateError, CreateOptions, WritableTable};
use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgroups, setgroups, setresgid, setresuid,
};

/// The group that Exim runs as on Debian; the table belongs to it, so that Exim can write.
const EXIM_GROUP: &str = "Debian-exim";
/// The table's mode: owner and Exim's group, nobody else.
const TABLE_MODE: u32 = 0o660;
/// The mode of the table's directory: everybody may pass, only the owner may make files.
const DIRECTORY_MODE: u32 = 0o755;

/// Whom the process is to be.
pub(crate) struct Identity {
    /// The user to become; `None` when the process is unprivileged already.
    user: Option<User>,
    /// Exim's group, when it exists and can be given to files.
    exim: Option<Gid>,
}

/// What can go wrong with users and rights.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    #[error(
        "user \"{user}\" does not exist, and DNS is never served as root; make it: \
         adduser --system --group --no-create-home --home /nonexistent {user}"
    )]
    NoUser { user: String },
    #[error("user \"{user}\" is root itself, and DNS is never served as root; name another")]
    Root { user: String },
    #[error("cannot look up {what}: {error}")]
    LookUp { what: String, error: Errno },
    #[error("cannot become user \"{user}\": {error}")]
    Become { user: String, error: Errno },
    #[error("root's rights could be taken back after becoming \"{user}\"; this is a fault")]
    NotDropped { user: String },
    #[error("{path}: cannot make the table's directory: {error}", path = path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Table(#[from] CreateError),
}

impl Identity {
    /// Finds out whom the process is, and whom it is to become if that is root.
    pub(crate) fn find(user: &str) -> Result<Self, PrivilegeError> {
        let exim = Group::from_name(EXIM_GROUP)
            .map_err(|error| PrivilegeError::LookUp { what: format!("group {EXIM_GROUP}"), error })?
            .map(|group| group.gid);
        if !geteuid().is_root() {
            // Files can be given to one's own groups only.
            let mine = getgroups().unwrap_or_default();
            let exim = exim.filter(|gid| mine.contains(gid) || getegid() == *gid);
            return Ok(Self { user: None, exim });
        }
        let found = User::from_name(user)
            .map_err(|error| PrivilegeError::LookUp { what: format!("user {user}"), error })?
            .ok_or_else(|| PrivilegeError::NoUser { user: user.to_owned() })?;
        if found.uid.is_root() {
            return Err(PrivilegeError::Root { user: user.to_owned() });
        }
        Ok(Self { user: Some(found), exim })
    }

    /// How the table is to be made.
    pub(crate) fn table_options(&self, slots: u64) -> CreateOptions {
        CreateOptions {
            slots,
            mode: TABLE_MODE,
            owner: self.uid().map(Uid::as_raw),
            group: self.group().map(Gid::as_raw),
        }
    }

    /// Makes the table, and its directory if need be. `false` when there is a table already.
    pub(crate) fn make_table(&self, path: &Path, slots: u64) -> Result<bool, PrivilegeError> {
        if path.try_exists().unwrap_or(true) {
            return Ok(false);
        }
        if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
            self.make_directory(directory)
                .map_err(|error| PrivilegeError::Directory { path: directory.to_owned(), error })?;
        }
        match WritableTable::create(path, &self.table_options(slots)) {
            Ok(_) => Ok(true),
            // Another process was faster.
            Err(CreateError::Exists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the table's directory, in which the daemon must be able to make a new table later.
    fn make_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        // Whatever the umask is.
        std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE))?;
        if self.user.is_some() {
            // Its group as systemd's StateDirectory= has it: when that finds another, it changes
            // the table's too, and Exim could not write any more.
            let group = self.user.as_ref().map(|user| user.gid);
            nix::unistd::chown(path, self.uid(), group)?;
        }
        Ok(())
    }

    /// Gives a table to Exim's group, if it is ours to give and not Exim's yet; says so.
    pub(crate) fn give_to_exim(&self, path: &Path) {
        let Some(exim) = self.exim else { return };
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.gid() == exim.as_raw() || metadata.uid() != geteuid().as_raw() {
            return;
        }
        match nix::unistd::chown(path, None, Some(exim)) {
            Ok(()) => tracing::warn!("{}: given to group {EXIM_GROUP}", path.display()),
            Err(error) => {
                let path = path.display();
                tracing::warn!("{path}: cannot be given to group {EXIM_GROUP}: {error}");
            }
        }
    }

    fn uid(&self) -> Option<Uid> {
        self.user.as_ref().map(|user| user.uid)
    }

    fn group(&self) -> Option<Gid> {
        self.exim.or_else(|| self.user.as_ref().map(|user| user.gid))
    }

    /// Becomes the unprivileged user, for good. Must come before any other thread is started.
    ///
    /// Exim's group stays among the groups: a table that is made anew must be given to it.
    pub(crate) fn drop_privileges(&self) -> Result<(), PrivilegeError> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let name = || user.name.clone();
        let groups: Vec<Gid> = [Some(user.gid), self.exim].into_iter().flatten().collect();
        setgroups(&groups)
            .and_then(|()| setresgid(user.gid, user.gid, user.gid))
            .and_then(|()| setresuid(user.uid, user.uid, user.uid))
            .and_then(|()| nix::sys::prctl::set_no_new_privs())
            .map_err(|error| PrivilegeError::Become { user: name(), error })?;
        let back = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0));
        if back.is_ok() || geteuid().is_root() {
            return Err(PrivilegeError::NotDropped { user: name() });
        }
        tracing::info!("running as user {}", user.name);
        Ok(())
    }
}
