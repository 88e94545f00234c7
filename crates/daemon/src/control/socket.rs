//! The control socket's place in the file system.
//!
//! It is bound by the user that the daemon has become, before that gives up its rights to files.
//! bind(2) follows no symbolic link at the end of the path and replaces nothing. What is there
//! already is looked at: a socket that nobody listens at was left by a daemon that was killed, and
//! is removed; anything else stays, and is told.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::privileges::Identity;

/// What is left out of the socket's mode: it becomes 0660, as the table's.
const MASK: u32 = 0o117;

/// A bound socket; its file is removed when this is dropped.
pub(crate) struct ControlSocket {
    path: PathBuf,
    /// The file's device and number, by which it is known again.
    file: (u64, u64),
    listener: UnixListener,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("{path}: a running program has it{}", of(*pid), path = path.display())]
    InUse { path: PathBuf, pid: Option<i32> },
    #[error(
        "{path}: not a socket, and left as it is; move it away, or name another path",
        path = path.display()
    )]
    Foreign { path: PathBuf },
    #[error(
        "{path}: {error}; the user that eximrbld runs as must be able to write in its folder",
        path = path.display()
    )]
    Denied { path: PathBuf, error: io::Error },
    #[error("{path}: {error}", path = path.display())]
    System { path: PathBuf, error: io::Error },
}

impl ControlSocket {
    /// Binds it.
    pub(crate) fn bind(path: &Path, identity: &Identity) -> Result<Self, ControlError> {
        if let Ok(metadata) = path.symlink_metadata() {
            make_way(path, &metadata)?;
        }
        let failed = |error| failed(path, error);
        let before = umask(Mode::from_bits_truncate(MASK));
        let bound = UnixListener::bind(path);
        umask(before);
        let listener = bound.map_err(failed)?;
        let metadata = path.symlink_metadata().map_err(failed)?;
        let socket =
            Self { path: path.to_owned(), file: (metadata.dev(), metadata.ino()), listener };
        identity.give_socket_to_exim(path);
        Ok(socket)
    }

    /// The socket, to be served by another thread.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it is in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}

impl Drop for ControlSocket {
    /// Removes the file, if it is still this socket's.
    fn drop(&mut self) {
        let is_ours = |metadata: Metadata| (metadata.dev(), metadata.ino()) == self.file;
        if self.path.symlink_metadata().is_ok_and(is_ours) {
            // What stays is replaced by the next daemon.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens at.
fn make_way(path: &Path, metadata: &Metadata) -> Result<(), ControlError> {
    if !metadata.file_type().is_socket() {
        return Err(ControlError::Foreign { path: path.to_owned() });
    }
    let failed = |error| failed(path, error);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    // A program that does not accept must not make this one wait.
    socket.set_nonblocking(true).map_err(failed)?;
    match socket.connect(&SockAddr::unix(path).map_err(failed)?) {
        Ok(()) => {
            let peer = getsockopt(&socket, sockopt::PeerCredentials);
            let pid = peer.ok().map(|peer| peer.pid());
            Err(ControlError::InUse { path: path.to_owned(), pid })
        }
        // More clients wait than may.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(ControlError::InUse { path: path.to_owned(), pid: None })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(failed)
        }
        // It went away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn failed(path: &Path, error: io::Error) -> ControlError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ControlError::Denied { path, error }
        }
        _ => ControlError::System { path, error },
    }
}

fn of(pid: Option<i32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}
