//! From a query name to an answer: the configuration file, the zones it describes, and the one
//! pure function that decides what DNS says.
//!
//! ```text
//! configuration file ─► Config ─┐
//!                               ├─► Zones ─┐
//! reason dictionary of the table┘          ├─► answer(name, type, zones, table, now) ─► Answer
//!                            query name ───┘
//! ```
//!
//! Nothing here opens a socket, reads a clock or knows a DNS library: names are uncompressed
//! wire-format bytes, times are arguments, and an [`Answer`] is turned into packets elsewhere.
//! Whoever serves DNS, by whatever means, therefore gives the same answers.
//!
//! Not promised: DNSSEC, zone transfer, and names with escapes in the configuration file.

#![forbid(unsafe_code)]

pub mod answer;
pub mod config;
pub mod listing;
pub mod name;
mod query_name;
pub mod template;
mod time;
pub mod zone;

pub use answer::{Answer, Authority, QueryType, Subject, answer};
pub use config::{
    AuditSettings, CollectorSettings, Config, ConfigError, ControlSettings, CookieUse, DnsSettings,
    ForwardSettings, Gatherer, GathererHost, NatsLogin, NatsSettings, RateLimit, ReporterSettings,
    TableSettings, TcpSettings, TlsIdentity, ZoneSettings,
};
pub use listing::Listing;
pub use name::{DnsName, NameError};
pub use query_name::QueryName;
pub use template::{Template, TemplateError, Text};
pub use time::rfc3339;
pub use zone::{Zone, ZoneError, Zones};
