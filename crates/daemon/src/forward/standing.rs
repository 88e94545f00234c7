//! How passing on to each gatherer stands: for the log's readers and `eximrbl info --daemon`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use crate::standing::{Link, LinkReport};

/// Of all gatherers that are configured.
#[derive(Clone, Default)]
pub(crate) struct Standings(Arc<Mutex<Vec<Arc<Standing>>>>);

/// Of one. Counts are from the daemon's start, or from when the gatherer was configured.
pub(super) struct Standing {
    to: String,
    pub(super) link: Link,
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

/// For the control socket.
#[derive(Serialize)]
pub(crate) struct Report {
    to: String,
    #[serde(flatten)]
    link: LinkReport,
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
        Self {
            to,
            link: Link::new(),
            sent: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            networks: AtomicU64::new(0),
            late: AtomicU64::new(0),
            behind: AtomicU64::new(0),
        }
    }

    fn report(&self) -> Report {
        // Relaxed: counts by themselves.
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Report {
            to: self.to.clone(),
            link: self.link.report(),
            sent: count(&self.sent),
            accepted: count(&self.accepted),
            refused: count(&self.refused),
            networks: count(&self.networks),
            late: count(&self.late),
            behind: count(&self.behind),
        }
    }
}
