//! What systemd is told, if it wants to know (`Type=notify`).

use sd_notify::NotifyState;

/// Tells systemd; without systemd, nothing.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("systemd not told: {error}");
    }
}

/// Tells systemd that a reload begins; [`NotifyState::Ready`] ends it.
pub(crate) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}
