//! The configuration file: what it may say, and what it means.
//!
//! Reading goes in three steps, each of which can name the line and the key of what is wrong:
//! the text becomes a `Spec` (the file's shape, unknown keys refused), the `Spec` is checked
//! key by key, and a [`Config`] comes out in which everything is valid.
//!
//! ```toml
//! version = 1                     # required; of this description
//!
//! [table]
//! path = "/var/lib/eximrbl/table"
//! slots = 1048576                 # entries; only when the table is made
//!
//! [policy]                        # written into the table, for the library too
//! base_ttl = 600
//! max_ttl = 604800
//! floor = 60
//! threshold = 1
//! ipv6_prefix = 64
//! never = ["192.0.2.0/24"]
//! weights = { auth = 3 }
//!
//! [dns]
//! listen = ["0.0.0.0:53", "[::]:53"]
//! workers = 2                     # threads for each address; one for each processor when left out
//! positive_ttl_max = 300
//! negative_ttl = 60
//! user = "eximrbl"
//! cookies = "on"                  # or "off", or "required" (RFC 7873)
//! cookie_secret_file = "/etc/eximrbl/cookie-secrets"
//! allow_query = ["192.0.2.0/24"]  # for zones without their own; all when left out
//! nsid = "ns1"                    # not told when left out (RFC 5001)
//! version = "eximrbl"             # version.bind, class CH; the same
//! hostname = "mail.example.org"   # hostname.bind, class CH; the same
//!
//! [dns.rate_limit]                # by client network
//! responses_per_second = 1000     # 0 for no limit
//! ipv4_prefix = 24
//! ipv6_prefix = 56
//! slip = 1
//! exempt = ["127.0.0.0/8", "::1"]
//!
//! [dns.tcp]
//! connections = 256
//! connections_per_client = 32
//! idle_timeout = 10
//! io_timeout = 10
//!
//! [control]
//! socket = "/run/eximrbl/control" # "" for none
//!
//! [collector]                     # reports of others; none are taken when left out
//! tcp = ["127.0.0.1:4444"]        # other addresses than loopback need a reporter who can sign
//! udp = ["127.0.0.1:4444"]
//! tls = ["0.0.0.0:4445"]
//! unix = "/run/eximrbl/report"
//! certificate = "/etc/eximrbl/collector.crt"  # PEM; needed for tls
//! key = "/etc/eximrbl/collector.key"
//! client_ca = "/etc/eximrbl/reporters.ca"     # client certificates of this CA are taken
//! connections = 10000
//! connections_per_client = 1000
//! idle_timeout = 60
//! line_timeout = 3
//!
//! [[reporter]]                    # at most 40
//! name = "mx2"
//! networks = ["192.0.2.0/24"]     # required without secret_file and certificate
//! secret_file = "/etc/eximrbl/mx2.secret"
//! certificate = "mx2.example.org" # the name in its client certificate
//! verbs = ["black", "forgive"]    # or "white"
//! weight = 1                      # times what it reports
//! weight_max = 10
//! seconds_max = 86400
//! rate = 100                      # reports a second; 0 for no limit
//! entries = 100000
//!
//! [forward]                       # nothing is passed on when left out
//! to = ["gatherer.example.org:4445"]
//! name = "mx1"                    # this host's reporter name there
//! secret_file = "/etc/eximrbl/mx1.secret"
//! certificate = "/etc/eximrbl/mx1.crt" # instead of the secret, or beside it
//! key = "/etc/eximrbl/mx1.key"
//! ca = "/etc/ssl/certs/ca-certificates.crt"
//! tls = true                      # false to loopback addresses only
//! reporters = ["local", "collector", "rejectlog"] # and "admin"
//! buffer = 1000                   # lines that wait for their answer
//!
//! [audit]                         # no trail without this section
//! file = "/var/log/eximrbl/audit.jsonl"
//! size = "64M"                    # then it becomes an older one; 0 where logrotate sees to it
//! keep = 5                        # older ones
//!
//! [nats]                          # changes exchanged with other sites; not without this section
//! url = "tls://nats.example.org:4222" # or a list of servers of one cluster
//! site = "paris"                  # required; the reporter's name at the other sites
//! credentials = "/etc/eximrbl/nats.creds" # or user and password_file, or nkey_file
//! ca = "/etc/eximrbl/nats-ca.crt" # the system's authorities when left out
//! certificate = "/etc/eximrbl/nats.crt" # to show to the server, with its key
//! key = "/etc/eximrbl/nats.key"
//! stream = "EXIMRBL"
//! subject = "eximrbl.reports"     # this site publishes to eximrbl.reports.paris
//! replicas = 1                    # when the stream is made
//! max_age = 604800                # the same; the policy's max_ttl when left out
//! reporters = ["local", "mx2"]    # all of this site's, but the administrator, when left out
//!
//! [[zone]]                        # at least one
//! name = "rbl.example.org"
//! list = "black"                  # or "white"
//! reasons = ["rcpt", "auth"]      # all when left out
//! quorum = 1                      # so many reporters, or the administrator alone
//! codes = { auth = 4 }            # 127.0.0.4; or a whole address in quotes
//! txt = "{ip}: {reason}"
//! ns = ["mail.example.org"]
//! contact = "postmaster@example.org"
//! allow_query = ["192.0.2.0/24"]
//! ```

mod audit;
mod collector;
mod document;
mod error;
mod forward;
mod guard;
mod nats;
mod sections;
mod server;
mod spec;
mod zones;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use eximrbl_table::{CreateOptions, DEFAULT_PATH, Network, Policy};

pub use audit::{AUDIT_PATH, AuditSettings};
pub use collector::{CollectorSettings, REPORTERS_MAX, ReporterSettings, TlsIdentity};
pub use error::ConfigError;
pub use forward::{ForwardSettings, Gatherer, GathererHost};
pub use nats::{NatsLogin, NatsSettings};
pub use server::{CONTROL_PATH, ControlSettings, TcpSettings};

use crate::name::DnsName;
use crate::template::Template;
use document::Document;

/// Longest `positive_ttl_max` and `negative_ttl`: a day. What sits in caches cannot be recalled.
pub const TTL_MAX: u32 = 86_400;
/// Most threads that serve UDP on one address.
pub const WORKERS_MAX: u16 = 256;
/// Longest zone name in wire form. An IPv6 address takes 64 bytes before it, of 255 in all.
pub const ZONE_NAME_MAX: usize = 191;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[table]`
    pub table: TableSettings,
    /// `[policy]`, valid by [`Policy::validate`].
    pub policy: Policy,
    /// `[dns]`
    pub dns: DnsSettings,
    /// `[control]`
    pub control: ControlSettings,
    /// `[collector]`, if reports of others are taken.
    pub collector: Option<CollectorSettings>,
    /// `[[reporter]]`, no name twice.
    pub reporters: Vec<ReporterSettings>,
    /// `[forward]`; `None` when it is left out.
    pub forward: Option<ForwardSettings>,
    /// `[audit]`; `None` for no trail.
    pub audit: Option<AuditSettings>,
    /// `[nats]`; `None` without that section.
    pub nats: Option<NatsSettings>,
    /// `[[zone]]`, at least one, no name twice.
    pub zones: Vec<ZoneSettings>,
}

/// Where the table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// The file.
    pub path: PathBuf,
    /// Entries it can hold, when it is made.
    pub slots: u64,
}

/// How DNS is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// Addresses to answer on, by UDP and TCP; at least one.
    pub listen: Vec<SocketAddr>,
    /// Threads that serve UDP on each address, 1 to [`WORKERS_MAX`]; as many as there are processors
    /// when left out.
    pub workers: Option<u16>,
    /// Longest TTL of a positive answer, in seconds.
    pub positive_ttl_max: u32,
    /// TTL of negative answers, in seconds.
    pub negative_ttl: u32,
    /// `[dns.tcp]`
    pub tcp: TcpSettings,
    /// Whom the daemon becomes when it was started as root.
    pub user: String,
    /// What DNS cookies are used for.
    pub cookies: CookieUse,
    /// Where the secrets are that cookies are made with; `None` draws one at every start.
    pub cookie_secret_file: Option<PathBuf>,
    /// How often a network is answered by UDP.
    pub rate_limit: RateLimit,
    /// Who may ask for what is in no zone; `None` for all.
    pub allow_query: Option<Vec<Network>>,
    /// What is told to who asks for the server's identifier (RFC 5001).
    pub nsid: Option<String>,
    /// What is told to who asks for version.bind.
    pub version: Option<String>,
    /// What is told to who asks for hostname.bind.
    pub hostname: Option<String>,
}

/// What DNS cookies (RFC 7873) are used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieUse {
    /// They are not answered.
    Off,
    /// They are answered, and a client with a valid one is not limited.
    #[default]
    On,
    /// Without a valid one there is no answer by UDP.
    Required,
}

/// How often a network is answered by UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Responses in a second; 0 for no limit.
    pub responses_per_second: u32,
    /// Length of IPv4 networks that are counted as one.
    pub ipv4_prefix: u8,
    /// Length of IPv6 networks that are counted as one.
    pub ipv6_prefix: u8,
    /// Every so many-th response over the limit is an empty one that tells to ask again by TCP, the
    /// others are left out; 0 leaves out all.
    pub slip: u32,
    /// Networks that are never limited.
    pub exempt: Vec<Network>,
}

/// One zone, its reasons still by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
    /// The zone's name; at most [`ZONE_NAME_MAX`] bytes.
    pub name: DnsName,
    /// Whether it lists white entries instead of black ones.
    pub white: bool,
    /// Lists entries with one of these reasons only; `None` lists all.
    pub reasons: Option<Vec<String>>,
    /// Lists entries of at least so many reporters only.
    pub quorum: u32,
    /// Reasons with an answer of their own.
    pub codes: Vec<(String, Ipv4Addr)>,
    /// The text of TXT answers.
    pub txt: Template,
    /// The zone's name servers; at least one.
    pub ns: Vec<DnsName>,
    /// The mailbox of its administrator, as a name.
    pub contact: DnsName,
    /// Who may ask; `None` for all.
    pub allow_query: Option<Vec<Network>>,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self { path: DEFAULT_PATH.into(), slots: CreateOptions::default().slots }
    }
}

impl Default for DnsSettings {
    fn default() -> Self {
        let listen = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        Self {
            listen: listen.map(|address| SocketAddr::new(address, 53)).to_vec(),
            workers: None,
            positive_ttl_max: 300,
            negative_ttl: 60,
            tcp: TcpSettings::default(),
            user: "eximrbl".to_owned(),
            cookies: CookieUse::default(),
            cookie_secret_file: None,
            rate_limit: RateLimit::default(),
            allow_query: None,
            nsid: None,
            version: None,
            hostname: None,
        }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        let loopback = [(IpAddr::from([127, 0, 0, 0]), 8), (Ipv6Addr::LOCALHOST.into(), 128)];
        Self {
            responses_per_second: 1000,
            ipv4_prefix: 24,
            ipv6_prefix: 56,
            slip: 1,
            exempt: loopback.iter().filter_map(|&(of, bits)| Network::new(of, bits)).collect(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        match str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, path),
            Err(error) => Err(ConfigError::Syntax {
                path: path.to_owned(),
                line: document::line_at(&bytes, error.valid_up_to()),
                problem: "not UTF-8 text here".to_owned(),
            }),
        }
    }

    /// Checks a file's text; `path` is for the messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = Document::parse(text, path)?;
        let spec = document.spec()?;
        sections::check(spec).map_err(|wrong| document.error(wrong))
    }

    /// A configuration without a file: these zones on these addresses, all else by default.
    /// What is wrong is told by the name of the command-line option. There is no control socket:
    /// its default place is one that only one daemon of a host can have.
    pub fn without_file(
        zones: &[String],
        listen: Vec<SocketAddr>,
        table: PathBuf,
    ) -> Result<Self, ConfigError> {
        let zones = zones::named(zones)
            .map_err(|wrong| ConfigError::Option { option: "--zone", problem: wrong.problem })?;
        Ok(Self {
            table: TableSettings { path: table, ..TableSettings::default() },
            policy: Policy::default(),
            dns: DnsSettings { listen, ..DnsSettings::default() },
            control: ControlSettings { socket: None },
            collector: None,
            reporters: Vec::new(),
            forward: None,
            audit: None,
            nats: None,
            zones,
        })
    }
}

#[cfg(test)]
mod tests;
