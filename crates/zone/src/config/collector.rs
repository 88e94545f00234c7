//! Settings of the collector, and of those who report to it.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use eximrbl_table::{Name, Network, WEIGHT_MAX};

use super::error::{Key, Wrong};
use super::sections::{absolute, networks, number};
use super::server::socket_path;
use super::spec::{CollectorSpec, ReporterSpec};
use crate::name::DnsName;

/// Most reporters: the table's dictionary has 64 places, and others need some of them.
pub const REPORTERS_MAX: usize = 40;
/// Names that reporters cannot have: the library in Exim, the tool, and unsigned reports of this host.
const RESERVED: [&str; 3] = ["local", "admin", "collector"];
/// What can be reported.
const VERBS: [&str; 3] = ["black", "white", "forgive"];

/// Connections. Each takes a file of the process.
const CONNECTIONS: RangeInclusive<u64> = 1..=60_000;
/// Seconds that a reporter may take.
const PATIENCE: RangeInclusive<u64> = 1..=3600;
/// By how much reports can be multiplied.
const FACTOR: RangeInclusive<u64> = 1..=100;
/// What one report counts for.
const WEIGHT: RangeInclusive<u64> = 1..=WEIGHT_MAX as u64;
/// Seconds of a report: to a year.
const SECONDS: RangeInclusive<u64> = 1..=31_536_000;
/// Reports in a second; 0 sets no limit.
const RATE: RangeInclusive<u64> = 0..=1_000_000;
/// Live entries.
const ENTRIES: RangeInclusive<u64> = 1..=1 << 30;

/// Where reports are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorSettings {
    /// Addresses for connections.
    pub tcp: Vec<SocketAddr>,
    /// Addresses for datagrams.
    pub udp: Vec<SocketAddr>,
    /// Addresses for connections by TLS.
    pub tls: Vec<SocketAddr>,
    /// The Unix socket; `None` for none.
    pub unix: Option<PathBuf>,
    /// Certificate chain and key (PEM); both are there if `tls` has an address.
    pub identity: Option<TlsIdentity>,
    /// Whose client certificates are taken (PEM).
    pub client_ca: Option<PathBuf>,
    /// Connections in all.
    pub connections: u32,
    /// Connections of one client: an IPv4 address, or an IPv6 /64.
    pub connections_per_client: u32,
    /// Seconds that a connection may be idle.
    pub idle_timeout: u32,
    /// Seconds that a line may take from its first byte on.
    pub line_timeout: u32,
}

/// What a server shows by TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, with those between it and its CA.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Who may report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReporterSettings {
    /// His name in the table.
    pub name: Name,
    /// Where he reports from; everywhere when empty.
    pub networks: Vec<Network>,
    /// Where his secret is.
    pub secret_file: Option<PathBuf>,
    /// The name in his client certificate, in small letters.
    pub certificate: Option<String>,
    /// What he may report: `black`, `white`, `forgive`.
    pub verbs: Vec<String>,
    /// What he reports counts so many times as much.
    pub weight: u32,
    /// The most that one report counts for.
    pub weight_max: u32,
    /// The most seconds that one report adds.
    pub seconds_max: u32,
    /// Reports a second, with bursts of ten seconds' worth; 0 for no limit.
    pub rate: u32,
    /// Live entries that bear his mark.
    pub entries: u32,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self {
            tcp: Vec::new(),
            udp: Vec::new(),
            tls: Vec::new(),
            unix: None,
            identity: None,
            client_ca: None,
            connections: 10_000,
            connections_per_client: 1000,
            idle_timeout: 60,
            line_timeout: 3,
        }
    }
}

impl CollectorSettings {
    /// Takes connections and datagrams at these addresses, from programs of this host.
    pub fn at(addresses: Vec<SocketAddr>) -> Result<Self, String> {
        if let Some(other) = addresses.iter().find(|address| !is_loopback(address)) {
            return Err(format!(
                "{other} can be reached by others, and nobody would have to sign; name a loopback \
                 address, such as 127.0.0.1:{}, or use a configuration file with [[reporter]]",
                other.port()
            ));
        }
        Ok(Self { tcp: addresses.clone(), udp: addresses, ..Self::default() })
    }
}

impl ReporterSettings {
    /// Whether he can show who he is.
    pub fn can_authenticate(&self) -> bool {
        self.secret_file.is_some() || self.certificate.is_some()
    }
}

/// `[collector]`
pub(super) fn collector(
    spec: Option<CollectorSpec>,
    reporters: &[ReporterSettings],
) -> Result<Option<CollectorSettings>, Wrong> {
    let Some(spec) = spec else { return Ok(None) };
    let top = Key::top("collector");
    let default = CollectorSettings::default();
    let setting = |name, value, default: u32, range| {
        number(&top, name, value, u64::from(default), range).map(|n| n as u32)
    };
    let signing = reporters.iter().any(ReporterSettings::can_authenticate);
    let listen = |name, texts: Option<Vec<String>>| {
        addresses(&top.name(name), &texts.unwrap_or_default(), signing)
    };
    let (tcp, udp, tls) =
        (listen("tcp", spec.tcp)?, listen("udp", spec.udp)?, listen("tls", spec.tls)?);
    let unix = spec.unix.map(|path| socket_path(top.name("unix"), &path)).transpose()?;
    if tcp.is_empty() && udp.is_empty() && tls.is_empty() && unix.is_none() {
        let problem = "nothing to listen on: name tcp, udp, tls or unix, or leave the section out";
        return Err(Wrong::new(top, problem));
    }
    if let Some(index) = tls.iter().position(|address| tcp.contains(address) && address.port() != 0)
    {
        let problem = format!("{} is under tcp too; TLS needs a port of its own", tls[index]);
        return Err(Wrong::new(top.name("tls").index(index), problem));
    }
    let identity = identity(&top, spec.certificate, spec.key, !tls.is_empty())?;
    let client_ca = spec.client_ca.map(|path| file(top.name("client_ca"), path)).transpose()?;
    if let Some(index) = reporters.iter().position(|reporter| reporter.certificate.is_some())
        && (client_ca.is_none() || tls.is_empty())
    {
        let key = Key::top("reporter").index(index).name("certificate");
        let problem =
            "needs tls and client_ca in [collector]: no client certificate is taken without";
        return Err(Wrong::new(key, problem));
    }
    let (all, of_client) = (default.connections, default.connections_per_client);
    Ok(Some(CollectorSettings {
        tcp,
        udp,
        tls,
        unix,
        identity,
        client_ca,
        connections: setting("connections", spec.connections, all, CONNECTIONS)?,
        connections_per_client: setting(
            "connections_per_client",
            spec.connections_per_client,
            of_client,
            CONNECTIONS,
        )?,
        idle_timeout: setting("idle_timeout", spec.idle_timeout, default.idle_timeout, PATIENCE)?,
        line_timeout: setting("line_timeout", spec.line_timeout, default.line_timeout, PATIENCE)?,
    }))
}

/// `certificate` and `key`
fn identity(
    top: &Key,
    certificate: Option<String>,
    key: Option<String>,
    is_needed: bool,
) -> Result<Option<TlsIdentity>, Wrong> {
    let certificate = certificate.map(|path| file(top.name("certificate"), path)).transpose()?;
    let key = key.map(|path| file(top.name("key"), path)).transpose()?;
    let missing = |name| Err(Wrong::new(top.name(name), "missing; TLS needs certificate and key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsIdentity { certificate, key })),
        (Some(_), None) => missing("key"),
        (None, Some(_)) => missing("certificate"),
        (None, None) if is_needed => missing("certificate"),
        (None, None) => Ok(None),
    }
}

/// Addresses to listen on. Where others can reach them, somebody has to be able to sign.
fn addresses(key: &Key, texts: &[String], signing: bool) -> Result<Vec<SocketAddr>, Wrong> {
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let wrong = |problem: String| Wrong::new(key.index(index), problem);
        let address: SocketAddr = text.parse().map_err(|_| {
            wrong(format!(
                "\"{text}\" is not ADDRESS:PORT, as in 127.0.0.1:4444 or [2001:db8::1]:4445"
            ))
        })?;
        if addresses.contains(&address) && address.port() != 0 {
            return Err(wrong(format!("{address} is here twice")));
        }
        if !is_loopback(&address) && !signing {
            return Err(wrong(format!(
                "{address} can be reached by others, and nobody could sign: give a [[reporter]] a \
                 secret_file or a certificate, or listen on 127.0.0.1"
            )));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// `[[reporter]]`
pub(super) fn reporters(specs: Vec<ReporterSpec>) -> Result<Vec<ReporterSettings>, Wrong> {
    let mut reporters: Vec<ReporterSettings> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.into_iter().enumerate() {
        let key = Key::top("reporter").index(index);
        if index >= REPORTERS_MAX {
            let problem =
                format!("more than {REPORTERS_MAX} reporters: a table has no room for them");
            return Err(Wrong::new(key, problem));
        }
        let reporter = reporter(&key, spec)?;
        let twice = |problem: String, name| Err(Wrong::new(key.name(name), problem));
        if reporters.iter().any(|other| other.name == reporter.name) {
            return twice(format!("\"{}\" is the name of two reporters", reporter.name), "name");
        }
        if let Some(name) = &reporter.certificate
            && reporters.iter().any(|other| other.certificate.as_ref() == Some(name))
        {
            return twice(format!("\"{name}\" is the certificate of two reporters"), "certificate");
        }
        reporters.push(reporter);
    }
    Ok(reporters)
}

fn reporter(key: &Key, spec: ReporterSpec) -> Result<ReporterSettings, Wrong> {
    let Some(text) = spec.name else {
        return Err(Wrong::new(key.name("name"), "missing; each reporter needs a name"));
    };
    let name = Name::new(text.as_bytes()).ok_or_else(|| {
        let problem = format!("\"{text}\" is no reporter's name: 1 to 32 of a-z, 0-9 and '-'");
        Wrong::new(key.name("name"), problem)
    })?;
    if RESERVED.contains(&name.as_str()) {
        let problem =
            format!("\"{name}\" is taken: {} have a meaning of their own", RESERVED.join(", "));
        return Err(Wrong::new(key.name("name"), problem));
    }
    let setting = |name, value, default: u32, range| {
        number(key, name, value, u64::from(default), range).map(|n| n as u32)
    };
    let secret_file =
        spec.secret_file.map(|path| file(key.name("secret_file"), path)).transpose()?;
    let certificate = spec.certificate.map(|text| certificate(key, &text)).transpose()?;
    let networks = networks(&key.name("networks"), &spec.networks)?;
    if networks.is_empty() && secret_file.is_none() && certificate.is_none() {
        let problem = "missing; a reporter needs networks, a secret_file or a certificate";
        return Err(Wrong::new(key.name("networks"), problem));
    }
    Ok(ReporterSettings {
        name,
        networks,
        secret_file,
        certificate,
        verbs: verbs(&key.name("verbs"), spec.verbs)?,
        weight: setting("weight", spec.weight, 1, FACTOR)?,
        weight_max: setting("weight_max", spec.weight_max, 10, WEIGHT)?,
        seconds_max: setting("seconds_max", spec.seconds_max, 86_400, SECONDS)?,
        rate: setting("rate", spec.rate, 100, RATE)?,
        entries: setting("entries", spec.entries, 100_000, ENTRIES)?,
    })
}

/// `certificate` of a reporter
fn certificate(key: &Key, text: &str) -> Result<String, Wrong> {
    let name = DnsName::from_text(text).map_err(|error| {
        Wrong::new(key.name("certificate"), format!("\"{text}\": {error}; write mx2.example.org"))
    })?;
    Ok(name.to_string().to_ascii_lowercase())
}

fn verbs(key: &Key, texts: Option<Vec<String>>) -> Result<Vec<String>, Wrong> {
    let Some(texts) = texts else { return Ok(vec!["black".to_owned(), "forgive".to_owned()]) };
    if texts.is_empty() {
        return Err(Wrong::new(key.clone(), "empty: he could report nothing; leave him out"));
    }
    for (index, text) in texts.iter().enumerate() {
        if !VERBS.contains(&text.as_str()) {
            let problem = format!("\"{text}\" is none of \"black\", \"white\" and \"forgive\"");
            return Err(Wrong::new(key.index(index), problem));
        }
    }
    Ok(texts)
}

fn file(key: Key, path: String) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(path);
    absolute(key, &path)?;
    Ok(path)
}
