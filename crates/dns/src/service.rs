//! All that a response is made from.

use std::sync::Arc;

use eximrbl_table::Table;
use eximrbl_zone::{Config, Zones};

use crate::access::Access;
use crate::content::Content;
use crate::guard::Guard;

/// What there is to answer, to whom, how often, and who answers.
pub struct Service {
    /// The table and its zones.
    pub content: Content,
    /// Cookies and the rate limit.
    pub guard: Arc<Guard>,
    /// Who may ask for what.
    pub access: Access,
    /// What the server tells of itself.
    pub identity: Identity,
}

impl Service {
    /// Puts a configuration into service; `zones` were resolved from it against the table.
    pub fn new(config: &Config, table: Arc<Table>, zones: Zones, guard: Arc<Guard>) -> Self {
        Self {
            access: Access::new(config, &zones),
            content: Content::new(table, zones),
            guard,
            identity: Identity {
                nsid: config.dns.nsid.clone(),
                version: config.dns.version.clone(),
                hostname: config.dns.hostname.clone(),
                tcp_idle_timeout: config.dns.tcp.idle_timeout,
            },
        }
    }

    /// A service that answers everybody without a limit, without cookies, and tells nothing of itself:
    /// for measuring and comparing answers alone.
    pub fn open(content: Content) -> Self {
        let mut settings = eximrbl_zone::DnsSettings::default();
        settings.rate_limit.responses_per_second = 0;
        let guard = Arc::new(Guard::new(&settings, &[], [0; 16], None));
        Self { content, guard, access: Access::default(), identity: Identity::default() }
    }
}

/// What the server tells of itself, to who asks; nothing of what is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// For the NSID option (RFC 5001).
    pub nsid: Option<String>,
    /// For version.bind and version.server, class CH.
    pub version: Option<String>,
    /// For hostname.bind and id.server, class CH (RFC 4892).
    pub hostname: Option<String>,
    /// Seconds that a TCP connection may be idle (RFC 7828).
    pub tcp_idle_timeout: u32,
}
