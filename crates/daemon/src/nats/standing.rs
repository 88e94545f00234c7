//! How the exchange stands: for the log's readers and `eximrbl info --daemon`.

use std::sync::atomic::{AtomicU64, Ordering};

use eximrbl_table::Name;
use eximrbl_zone::NatsSettings;
use serde::Serialize;

use crate::standing::{Link, LinkReport};

/// Numbers are from the daemon's start.
pub(crate) struct Standing {
    site: Name,
    url: Vec<String>,
    pub(super) link: Link,
    /// Changes, and entries told as they are, that the server has.
    pub(super) published: AtomicU64,
    /// Changes and entries of other sites that are a part of this table now.
    pub(super) taken: AtomicU64,
    /// Those that cannot be, of which the log tells the reason; what had run out before it came is
    /// not among them.
    pub(super) left_out: AtomicU64,
    /// Changes of this table that were not read or not published yet.
    pub(super) waiting: AtomicU64,
    /// Messages of the stream that were not read yet.
    pub(super) behind: AtomicU64,
}

/// For the control socket.
#[derive(Serialize)]
pub(crate) struct Report {
    site: String,
    url: Vec<String>,
    #[serde(flatten)]
    link: LinkReport,
    published: u64,
    taken: u64,
    left_out: u64,
    waiting: u64,
    behind: u64,
}

impl Standing {
    /// Of an exchange that begins.
    pub(crate) fn new(settings: &NatsSettings) -> Self {
        Self {
            site: settings.site,
            url: settings.servers.clone(),
            link: Link::new(),
            published: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            behind: AtomicU64::new(0),
        }
    }

    /// What there is to say.
    pub(crate) fn report(&self) -> Report {
        // Relaxed: counts by themselves.
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Report {
            site: self.site.to_string(),
            url: self.url.clone(),
            link: self.link.report(),
            published: count(&self.published),
            taken: count(&self.taken),
            left_out: count(&self.left_out),
            waiting: count(&self.waiting),
            behind: count(&self.behind),
        }
    }
}
