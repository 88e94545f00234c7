//! How passing on to each gatherer stands: for the log's readers and `eximrbl info --daemon`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eximrbl_table::UnixSeconds;
use eximrbl_zone::rfc3339;
use parking_lot::Mutex;
use serde::Serialize;

/// Of all gatherers that are configured.
#[derive(Clone, Default)]
pub(crate) struct Standings(Arc<Mutex<Vec<Arc<Standing>>>>);

/// Of one. Counts are from the daemon's start, or from when the gatherer was configured.
pub(super) struct Standing {
    to: String,
    link: Mutex<Link>,
    pub(super) sent: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    /// About networks, and not sent.
    pub(super) networks: AtomicU64,
    /// Not sent, for they had ended here before they could be.
    pub(super) late: AtomicU64,
    /// Changes of the table that were not looked at or not passed on yet.
    pub(super) behind: AtomicU64,
}

/// The way to a gatherer.
#[derive(Clone, Debug)]
struct Link {
    state: State,
    since: UnixSeconds,
    why: String,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// There was none yet.
    Starting,
    /// There is one.
    Connected,
    /// There is none, and none is needed: the next report makes one.
    Idle,
    /// There is none: the reason is told.
    Disconnected,
}

/// For the control socket.
#[derive(Serialize)]
pub(crate) struct Report {
    to: String,
    state: State,
    since: String,
    since_unix: UnixSeconds,
    /// Why there is no connection, or what was refused for now.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    /// Lines, those included that were sent more than once.
    sent: u64,
    accepted: u64,
    /// Refused for good.
    refused: u64,
    networks: u64,
    late: u64,
    behind: u64,
}

impl Standings {
    pub(super) fn set(&self, standings: Vec<Arc<Standing>>) {
        *self.0.lock() = standings;
    }

    /// What there is to say of each gatherer.
    pub(crate) fn report(&self) -> Vec<Report> {
        self.0.lock().iter().map(|standing| standing.report()).collect()
    }
}

impl Standing {
    pub(super) fn new(to: String) -> Self {
        let link = Link { state: State::Starting, since: eximrbl_table::now(), why: String::new() };
        Self {
            to,
            link: Mutex::new(link),
            sent: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            networks: AtomicU64::new(0),
            late: AtomicU64::new(0),
            behind: AtomicU64::new(0),
        }
    }

    /// Says whether there is a connection, and if not, why. The time stays while the state does.
    pub(super) fn is(&self, state: State, why: impl Into<String>) {
        let mut link = self.link.lock();
        if link.state != state {
            link.since = eximrbl_table::now();
        }
        link.state = state;
        link.why = why.into();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.lock().state == State::Connected
    }

    fn report(&self) -> Report {
        let Link { state, since, why } = self.link.lock().clone();
        // Relaxed: counts by themselves.
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Report {
            to: self.to.clone(),
            state,
            since: rfc3339(since).to_string(),
            since_unix: since,
            why,
            sent: count(&self.sent),
            accepted: count(&self.accepted),
            refused: count(&self.refused),
            networks: count(&self.networks),
            late: count(&self.late),
            behind: count(&self.behind),
        }
    }
}
