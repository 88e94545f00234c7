//! The file's shape: which sections and keys there are, and of what kind their values are.
//! What the values may be is checked in the modules beside this one.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    pub(super) version: Option<i64>,
    #[serde(default)]
    pub(super) table: TableSpec,
    #[serde(default)]
    pub(super) policy: PolicySpec,
    #[serde(default)]
    pub(super) dns: DnsSpec,
    #[serde(default)]
    pub(super) control: ControlSpec,
    pub(super) collector: Option<CollectorSpec>,
    #[serde(default)]
    pub(super) reporter: Vec<ReporterSpec>,
    pub(super) forward: Option<ForwardSpec>,
    pub(super) audit: Option<AuditSpec>,
    pub(super) nats: Option<NatsSpec>,
    #[serde(default)]
    pub(super) zone: Vec<ZoneSpec>,
}

/// `[table]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableSpec {
    pub(super) path: Option<String>,
    pub(super) slots: Option<i64>,
}

/// `[policy]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicySpec {
    pub(super) base_ttl: Option<i64>,
    pub(super) max_ttl: Option<i64>,
    pub(super) floor: Option<i64>,
    pub(super) threshold: Option<i64>,
    pub(super) ipv6_prefix: Option<i64>,
    #[serde(default)]
    pub(super) never: Vec<String>,
    #[serde(default)]
    pub(super) weights: BTreeMap<String, i64>,
}

/// `[dns]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DnsSpec {
    pub(super) listen: Option<Vec<String>>,
    pub(super) workers: Option<i64>,
    pub(super) positive_ttl_max: Option<i64>,
    pub(super) negative_ttl: Option<i64>,
    #[serde(default)]
    pub(super) tcp: TcpSpec,
    pub(super) user: Option<String>,
    pub(super) cookies: Option<String>,
    pub(super) cookie_secret_file: Option<String>,
    #[serde(default)]
    pub(super) rate_limit: RateLimitSpec,
    pub(super) allow_query: Option<Vec<String>>,
    pub(super) nsid: Option<String>,
    pub(super) version: Option<String>,
    pub(super) hostname: Option<String>,
}

/// `rate_limit` of `[dns]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitSpec {
    pub(super) responses_per_second: Option<i64>,
    pub(super) ipv4_prefix: Option<i64>,
    pub(super) ipv6_prefix: Option<i64>,
    pub(super) slip: Option<i64>,
    pub(super) exempt: Option<Vec<String>>,
}

/// `[dns.tcp]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TcpSpec {
    pub(super) connections: Option<i64>,
    pub(super) connections_per_client: Option<i64>,
    pub(super) idle_timeout: Option<i64>,
    pub(super) io_timeout: Option<i64>,
}

/// `[control]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ControlSpec {
    pub(super) socket: Option<String>,
}

/// `[collector]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectorSpec {
    pub(super) tcp: Option<Vec<String>>,
    pub(super) udp: Option<Vec<String>>,
    pub(super) tls: Option<Vec<String>>,
    pub(super) unix: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) connections: Option<i64>,
    pub(super) connections_per_client: Option<i64>,
    pub(super) idle_timeout: Option<i64>,
    pub(super) line_timeout: Option<i64>,
}

/// `[[reporter]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReporterSpec {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) networks: Vec<String>,
    pub(super) secret_file: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) verbs: Option<Vec<String>>,
    pub(super) weight: Option<i64>,
    pub(super) weight_max: Option<i64>,
    pub(super) seconds_max: Option<i64>,
    pub(super) rate: Option<i64>,
    pub(super) entries: Option<i64>,
}

/// `[forward]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForwardSpec {
    pub(super) to: Option<Vec<String>>,
    pub(super) name: Option<String>,
    pub(super) secret_file: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) tls: Option<bool>,
    pub(super) reporters: Option<Vec<String>>,
    pub(super) buffer: Option<i64>,
}

/// `[audit]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditSpec {
    pub(super) file: Option<String>,
    /// Bytes as a number, or as text with a unit.
    pub(super) size: Option<toml::Value>,
    pub(super) keep: Option<i64>,
}

/// `[nats]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NatsSpec {
    /// One text, or a list of them.
    pub(super) url: Option<toml::Value>,
    pub(super) credentials: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) nkey_file: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) site: Option<String>,
    pub(super) stream: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) replicas: Option<i64>,
    pub(super) max_age: Option<i64>,
    pub(super) reporters: Option<Vec<String>>,
}

/// `[[zone]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ZoneSpec {
    pub(super) name: Option<String>,
    pub(super) list: Option<String>,
    pub(super) reasons: Option<Vec<String>>,
    pub(super) quorum: Option<i64>,
    /// The last octet as a number, or the whole address as text.
    #[serde(default)]
    pub(super) codes: BTreeMap<String, toml::Value>,
    pub(super) txt: Option<String>,
    pub(super) ns: Option<Vec<String>>,
    pub(super) contact: Option<String>,
    pub(super) allow_query: Option<Vec<String>>,
}
