//! Signals, taken in when there is time for them.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that no longer end the program by themselves.
pub(super) struct Signals(SignalFd);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT: to end.
    End,
    /// SIGHUP: to read the rules anew.
    Reload,
}

impl Signals {
    /// Takes them over from the system.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Waits so long for one.
    pub(super) fn wait(&self, time: Duration) -> std::io::Result<Option<Asked>> {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(None),
            ready => ready?,
        };
        let Some(signal) = self.0.read_signal()? else { return Ok(None) };
        let is_hangup = signal.ssi_signo == Signal::SIGHUP as u32;
        Ok(Some(if is_hangup { Asked::Reload } else { Asked::End }))
    }
}
