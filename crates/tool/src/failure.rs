//! Why a command could not be carried out, and what to do.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use eximrbl_table::{CreateError, Network, OpenError, ResizeError, SetPolicyError};

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The table was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The table was not made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The table was not resized.
    #[error(transparent)]
    Resize(#[from] ResizeError),
    /// The table's directory does not exist.
    #[error("{}: no such directory; make it first, writable for eximrbld, or check the path", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// No such user or group.
    #[error("no {kind} is called \"{}\" here: name one of this host, or give its number", name.escape_default())]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// What was given.
        name: String,
    },
    /// A network too wide to be listed or whitelisted by hand.
    #[error("{network}: not {wanted}: too wide, and likely a slip; at most a /8, or a /16 of IPv6")]
    TooWide {
        /// The network.
        network: Network,
        /// `listed` or `whitelisted`.
        wanted: &'static str,
    },
    /// The table refused a change.
    #[error("{subject}: nothing was changed: {cause}")]
    Refused {
        /// Whom it was about.
        subject: String,
        /// Why, and what to do.
        cause: String,
    },
    /// More than a slip of the hand may undo.
    #[error("nothing was changed: this would end {count}; if that is meant, add --yes")]
    Unconfirmed {
        /// `12 listings`, say.
        count: String,
    },
    /// A change of many entries stopped half-way.
    #[error("{}: {cause}", path.display())]
    Interrupted {
        /// The table.
        path: PathBuf,
        /// Why, and what to do.
        cause: String,
    },
    /// Files of an import could not be read, or not to their ends.
    #[error("{unread} of {files} files could not be read to the end: see above")]
    Unread {
        /// How many.
        unread: usize,
        /// Of so many.
        files: usize,
    },
    /// A life that counts as over from the start.
    #[error(
        "--seconds {seconds}: with less life than {floor} s, the policy's floor, an entry counts as gone"
    )]
    Short {
        /// What was given.
        seconds: u32,
        /// The floor.
        floor: u32,
    },
    /// An export cannot be had as it was asked for.
    #[error("nothing was exported: {0}")]
    Export(String),
    /// A file was not written.
    #[error("{}: not written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of rules was not taken.
    #[error("{}: {problem}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        problem: String,
    },
    /// A file of positions was not read or written.
    #[error("{}: {problem}", path.display())]
    Position {
        /// The file.
        path: PathBuf,
        /// What happened, and what to do.
        problem: String,
    },
    /// Signals cannot be waited for.
    #[error("signals cannot be waited for: {0}")]
    Signals(io::Error),
    /// The configuration file was not taken.
    #[error("{0}")]
    Configuration(String),
    /// A setting given to `policy --set` is not one.
    #[error("--set {key}={value}: {problem}", key = key.escape_default(), value = value.escape_default())]
    Setting {
        /// The key as given.
        key: String,
        /// The value as given.
        value: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The policy as a whole does not make sense; the one in force stays.
    #[error("the policy was left as it was: {0}")]
    Policy(#[from] SetPolicyError),
    /// The daemon was not asked.
    #[error("{}: {problem}", path.display())]
    Daemon {
        /// The control socket.
        path: PathBuf,
        /// What happened, and what to do.
        problem: String,
    },
    /// Man pages were not written.
    #[error("{}: man pages not written: {source}", path.display())]
    Man {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The audit trail was not read.
    #[error("{}: the audit trail cannot be read: {source}; eximrbld writes it with [audit] in its \
             configuration, for root and the members of its group", path.display())]
    Trail {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Standard output took no more.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Whether the reader of standard output went away, which is no failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }
}
