//! Who is alive.

use crate::word::Control;

/// How processes are told apart, and known to be dead.
///
/// Pids mean something only within one pid namespace. A process outside the namespace that the
/// table was made in claims with pid 0, and can prove nobody's death.
#[derive(Clone, Copy)]
pub(crate) struct Liveness {
    /// The namespace (an inode) in which pids in control words mean something; 0: none.
    pub(crate) namespace: u64,
    /// This process's pid as others in that namespace see it, or 0.
    pub(crate) pid: fn(u64) -> u32,
    /// Whether no process in that namespace has this pid any more (kill(2) says ESRCH).
    pub(crate) is_gone: fn(u64, u32) -> bool,
}

impl Liveness {
    /// Whether the owner of a CLAIMED or QUARANTINED word is proven dead.
    pub(super) fn is_dead(&self, control: Control) -> bool {
        control.pid().is_some_and(|pid| (self.is_gone)(self.namespace, pid))
    }

    /// What to write into a claim.
    pub(super) fn own_pid(&self) -> u32 {
        (self.pid)(self.namespace)
    }
}
