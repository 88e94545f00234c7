//! What the table needs to know of processes.

use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;

use once_cell::race::OnceNonZeroUsize;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::slots::Liveness;
use crate::word::pid_fits;

/// Inode of this process's pid namespace; `None` where /proc is not to be seen.
pub(crate) fn pid_namespace() -> Option<u64> {
    std::fs::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())
}

/// The same, looked up at the first use: in a fresh process it costs the kernel several
/// microseconds, which a report about a known client need not pay. Children inherit the answer;
/// a process that leaves its namespace is not one that Exim makes.
fn own_namespace() -> Option<u64> {
    // Not std's cell: that one makes a second caller wait, and nothing here may wait.
    static CACHE: OnceNonZeroUsize = OnceNonZeroUsize::new();
    const NONE: NonZeroUsize = NonZeroUsize::MAX;
    let found = CACHE.get_or_init(|| {
        let inode = pid_namespace().and_then(|inode| usize::try_from(inode).ok());
        inode.and_then(NonZeroUsize::new).unwrap_or(NONE)
    });
    (found != NONE).then_some(found.get() as u64)
}

/// How processes judge each other in a table whose pids are of this namespace.
pub(crate) fn liveness(namespace: u64) -> Liveness {
    Liveness { namespace, pid: own_pid, is_gone }
}

/// Read anew each time: a table that was opened before a fork is used after it. 0 outside the
/// namespace, where nobody could find the process by its pid.
fn own_pid(namespace: u64) -> u32 {
    let pid = std::process::id();
    if pid_fits(pid) && own_namespace() == Some(namespace) { pid } else { 0 }
}

/// Only "no such process" proves death; "not permitted" is a living process of somebody else.
fn is_gone(namespace: u64, pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    own_namespace() == Some(namespace) && test_kill_process(pid) == Err(Errno::SRCH)
}
