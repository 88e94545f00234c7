//! Whom the process is, and what it does while it is still root.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use eximrbl_table::CreateOptions;
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
    /// Exim's group, if there is one on this host.
    exim: Option<Gid>,
    /// Whether files can be given to Exim's group: root can, others only if they are members.
    can_give_to_exim: bool,
}

/// What can go wrong with users and rights.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    #[error(
        "user \"{user}\" does not exist, and DNS is never served as root; make it: {}",
        command_that_makes(user)
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
            let is_mine = |gid| mine.contains(&gid) || getegid() == gid;
            return Ok(Self { user: None, exim, can_give_to_exim: exim.is_some_and(is_mine) });
        }
        let found = User::from_name(user)
            .map_err(|error| PrivilegeError::LookUp { what: format!("user {user}"), error })?
            .ok_or_else(|| PrivilegeError::NoUser { user: user.to_owned() })?;
        if found.uid.is_root() {
            return Err(PrivilegeError::Root { user: user.to_owned() });
        }
        Ok(Self { user: Some(found), exim, can_give_to_exim: exim.is_some() })
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

    /// Makes the table's directory, in which the daemon must be able to make a new table later.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<()> {
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

    /// Gives a table to Exim's group, so that Exim can write it. Says so; and when it cannot be
    /// done, what is left to do.
    ///
    /// Must be called for files only that are known to be tables: the path may be mistaken.
    pub(crate) fn give_to_exim(&self, path: &Path) {
        let shown = path.display();
        let Some(exim) = self.exim else {
            tracing::debug!("{shown}: its group stays, there is no group {EXIM_GROUP} here");
            return;
        };
        let Ok(metadata) = std::fs::metadata(path) else { return };
        if metadata.gid() == exim.as_raw() {
            return;
        }
        match nix::unistd::chown(path, None, Some(exim)) {
            Ok(()) => tracing::warn!("{shown}: given to group {EXIM_GROUP}"),
            Err(error) => {
                let group = metadata.gid();
                tracing::warn!(
                    "{shown}: Exim cannot write this table: its group is {group}, and eximrbld \
                     cannot give it to {EXIM_GROUP} ({}); as root, run: chgrp {EXIM_GROUP} {shown} \
                     && chmod 0660 {shown}",
                    error.desc()
                );
            }
        }
    }

    /// Gives the control socket to Exim's group, as the table is. Where that cannot be done, it stays
    /// this user's alone.
    pub(crate) fn give_socket_to_exim(&self, path: &Path) {
        let Some(exim) = self.exim.filter(|_| self.can_give_to_exim) else { return };
        if let Err(error) = std::os::unix::fs::lchown(path, None, Some(exim.as_raw())) {
            tracing::debug!("{}: not given to group {EXIM_GROUP}: {error}", path.display());
        }
    }

    fn uid(&self) -> Option<Uid> {
        self.user.as_ref().map(|user| user.uid)
    }

    fn group(&self) -> Option<Gid> {
        let exim = self.exim.filter(|_| self.can_give_to_exim);
        exim.or_else(|| self.user.as_ref().map(|user| user.gid))
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

/// What to say of a user that does not exist here. The file may be meant for another host, and an
/// unprivileged daemon becomes nobody, so this is no error of the configuration.
pub(crate) fn user_warning(user: &str) -> Option<String> {
    let is_missing = matches!(User::from_name(user), Ok(None));
    is_missing.then(|| {
        format!(
            "user \"{user}\" does not exist on this host; as root the daemon will not start; \
             make it: {}",
            command_that_makes(user)
        )
    })
}

/// The command that makes a user for the daemon (Debian).
pub(crate) fn command_that_makes(user: &str) -> String {
    format!("adduser --system --group --no-create-home --home /nonexistent {user}")
}
