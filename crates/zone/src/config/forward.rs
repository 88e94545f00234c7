//! `[forward]`: to whom this host's reports are passed on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use eximrbl_table::Name;

use super::collector::ReporterSettings;
use super::error::{Key, Wrong};
use super::sections::{absolute, number};
use super::spec::ForwardSpec;
use crate::name::DnsName;

/// Where Debian keeps the certificates of all authorities that it trusts.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Reporters whose reports are this host's own, and may be passed on. What others reported never
/// is: it would come back.
const OWN: [&str; 4] = ["local", "collector", "rejectlog", "admin"];
/// Those that are passed on when nothing is said: what this host's programs have seen. What the
/// administrator decides is for his own host.
const OWN_BY_DEFAULT: [&str; 3] = ["local", "collector", "rejectlog"];
/// Names that no reporter at a gatherer has.
const RESERVED: [&str; 3] = ["local", "admin", "collector"];
/// Most gatherers.
const GATHERERS_MAX: usize = 16;
/// Lines that may wait for their answer.
const BUFFER: RangeInclusive<u64> = 1..=65_536;

/// To whom this host's reports are passed on, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardSettings {
    /// The gatherers; at least one, none twice.
    pub to: Vec<Gatherer>,
    /// The reporter's name there; there is one where there is a secret.
    pub name: Option<Name>,
    /// Where the secret is that it proves this name with. There is this, or a certificate, or both.
    pub secret_file: Option<PathBuf>,
    /// The client certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The certificates of the authorities that the gatherer's may be signed by.
    pub ca: PathBuf,
    /// Whether the way there is encrypted; if not, all gatherers are at loopback addresses.
    pub tls: bool,
    /// Whose reports are passed on.
    pub reporters: Vec<Name>,
    /// Most lines that wait for their answer.
    pub buffer: u32,
}

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gatherer {
    /// The host.
    pub host: GathererHost,
    /// The TCP port.
    pub port: u16,
}

/// The host of a collector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GathererHost {
    /// By name, looked up anew for each connection.
    Name(DnsName),
    /// By address.
    Address(IpAddr),
}

impl Gatherer {
    /// Reads `HOST:PORT`, as in `gatherer.example.org:4445`, `192.0.2.1:4445`, `[2001:db8::1]:4445`.
    fn read(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            let host = GathererHost::Address(address.ip().to_canonical());
            return (address.port() != 0).then_some(Self { host, port: address.port() });
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|&port| port != 0)?;
        // What ends in a number is a mistyped address (RFC 3696 section 2).
        let last = host.trim_end_matches('.').rsplit('.').next()?;
        let is_name = !last.bytes().all(|byte| byte.is_ascii_digit());
        let name = DnsName::from_text(host).ok().filter(|_| is_name)?;
        Some(Self { host: GathererHost::Name(name), port })
    }
}

impl fmt::Display for GathererHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            GathererHost::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            GathererHost::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// `[forward]`
pub(super) fn check(
    spec: ForwardSpec,
    others: &[ReporterSettings],
) -> Result<ForwardSettings, Wrong> {
    let top = Key::top("forward");
    let to = gatherers(&top.name("to"), spec.to.unwrap_or_default())?;
    let tls = spec.tls.unwrap_or(true);
    if !tls && let Some((index, far)) = to.iter().enumerate().find(|(_, to)| !is_loopback(to)) {
        let problem = format!(
            "{far} is not a loopback address, so whoever is on the way could read and change the \
             reports; leave tls = false out"
        );
        return Err(Wrong::new(top.name("to").index(index), problem));
    }
    let path = |name, text: Option<String>| {
        let path = text.map(PathBuf::from);
        path.as_ref().map_or(Ok(()), |path| absolute(top.name(name), path)).map(|()| path)
    };
    let secret_file = path("secret_file", spec.secret_file)?;
    let certificate = match (path("certificate", spec.certificate)?, path("key", spec.key)?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(Wrong::new(top.name("key"), "missing; name the certificate's key"));
        }
        (None, Some(_)) => {
            return Err(Wrong::new(top.name("certificate"), "missing; name the key's certificate"));
        }
    };
    if certificate.is_some() && !tls {
        let problem = "of use with TLS only; take it out, or tls = false";
        return Err(Wrong::new(top.name("certificate"), problem));
    }
    if secret_file.is_none() && certificate.is_none() {
        let problem = "missing: a gatherer takes reports of those only who prove who they are; \
                       name the file of the secret, or a certificate and its key";
        return Err(Wrong::new(top.name("secret_file"), problem));
    }
    let name = name(&top, spec.name, secret_file.is_some())?;
    Ok(ForwardSettings {
        to,
        name,
        secret_file,
        certificate,
        ca: path("ca", spec.ca)?.unwrap_or_else(|| SYSTEM_CA.into()),
        tls,
        reporters: reporters(&top.name("reporters"), spec.reporters, others)?,
        buffer: number(&top, "buffer", spec.buffer, 1000, BUFFER)? as u32,
    })
}

/// `to`
fn gatherers(key: &Key, texts: Vec<String>) -> Result<Vec<Gatherer>, Wrong> {
    if texts.is_empty() {
        let problem = "missing; name a gatherer, as in [\"gatherer.example.org:4445\"]";
        return Err(Wrong::new(key.clone(), problem));
    }
    if texts.len() > GATHERERS_MAX {
        let problem = format!("{} gatherers: at most {GATHERERS_MAX}", texts.len());
        return Err(Wrong::new(key.clone(), problem));
    }
    let mut gatherers = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let wrong = |problem: String| Wrong::new(key.index(index), problem);
        let gatherer = Gatherer::read(text).ok_or_else(|| {
            wrong(format!(
                "\"{text}\" is not HOST:PORT, as in gatherer.example.org:4445 or \
                 [2001:db8::1]:4445"
            ))
        })?;
        if gatherers.contains(&gatherer) {
            return Err(wrong(format!("{gatherer} is here twice")));
        }
        gatherers.push(gatherer);
    }
    Ok(gatherers)
}

fn is_loopback(gatherer: &Gatherer) -> bool {
    matches!(gatherer.host, GathererHost::Address(address) if address.is_loopback())
}

/// `name`
fn name(top: &Key, text: Option<String>, is_needed: bool) -> Result<Option<Name>, Wrong> {
    let wrong = |problem: String| Err(Wrong::new(top.name("name"), problem));
    let Some(text) = text else {
        return match is_needed {
            true => wrong("missing; write this host's reporter name at the gatherer".to_owned()),
            false => Ok(None),
        };
    };
    match Name::new(text.as_bytes()) {
        Some(_) if RESERVED.contains(&&text[..]) => wrong(format!(
            "\"{text}\" is the name of what a host reports itself; use the one that the gatherer \
             knows this host by"
        )),
        Some(name) => Ok(Some(name)),
        None => wrong(format!("\"{text}\" is no name of a reporter: 1 to 32 of a-z, 0-9 and -")),
    }
}

/// `reporters`; `others` are those who report to this host.
fn reporters(
    key: &Key,
    texts: Option<Vec<String>>,
    others: &[ReporterSettings],
) -> Result<Vec<Name>, Wrong> {
    let texts = texts.unwrap_or_else(|| OWN_BY_DEFAULT.map(str::to_owned).into());
    if texts.is_empty() {
        return Err(Wrong::new(key.clone(), "empty: nothing would be passed on"));
    }
    let mut names = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let wrong = |problem: String| Wrong::new(key.index(index), problem);
        let own = OWN.iter().find(|own| *own == text);
        let name = own.and_then(|own| Name::new(own.as_bytes())).ok_or_else(|| {
            let own = OWN.map(|own| format!("\"{own}\"")).join(", ");
            wrong(format!(
                "\"{text}\" is none of this host's own ({own}); what others reported is not passed \
                 on, for it would come back"
            ))
        })?;
        if names.contains(&name) {
            return Err(wrong(format!("{name} is here twice")));
        }
        if others.iter().any(|other| other.name == name) {
            return Err(wrong(format!(
                "{name} is a [[reporter]] as well; what others reported is not passed on, for it \
                 would come back"
            )));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Config, ConfigError};
    use std::path::Path;

    fn parse(forward: &str) -> Result<super::ForwardSettings, ConfigError> {
        let text =
            format!("version = 1\n[[zone]]\nname = \"rbl.example.org\"\n[forward]\n{forward}\n");
        Config::parse(&text, Path::new("test.toml")).map(|config| config.forward.unwrap())
    }

    const SMALLEST: &str = "to = [\"gatherer.example.org:4445\"]\nname = \"mx1\"\n\
                            secret_file = \"/etc/eximrbl/mx1.secret\"";

    /// Caught: the administrator's reports among the defaults; TLS left out by default.
    #[test]
    fn defaults_are_encrypted_and_this_hosts_own() {
        let forward = parse(SMALLEST).unwrap();
        assert_eq!(forward.to[0].to_string(), "gatherer.example.org:4445");
        assert_eq!(forward.name.unwrap().as_str(), "mx1");
        assert!(forward.tls && forward.certificate.is_none());
        assert_eq!(forward.ca, Path::new("/etc/ssl/certs/ca-certificates.crt"));
        let reporters: Vec<_> = forward.reporters.iter().map(|name| name.as_str()).collect();
        assert_eq!(
            (&reporters[..], forward.buffer),
            (&["local", "collector", "rejectlog"][..], 1000)
        );
    }

    #[test]
    fn every_setting_is_taken_over() {
        let forward = parse(
            "to = [\"127.0.0.1:4444\", \"[::1]:4444\", \"[::ffff:127.0.0.2]:4444\"]\n\
             name = \"mx1\"\nsecret_file = \"/s\"\nca = \"/ca\"\ntls = false\n\
             reporters = [\"admin\", \"local\"]\nbuffer = 7",
        )
        .unwrap();
        let to: Vec<_> = forward.to.iter().map(ToString::to_string).collect();
        assert_eq!(to, ["127.0.0.1:4444", "[::1]:4444", "127.0.0.2:4444"]);
        assert!(!forward.tls && forward.buffer == 7 && forward.ca == Path::new("/ca"));
        assert_eq!(forward.reporters.len(), 2);
        let forward = parse("to = [\"a.example:1\"]\ncertificate = \"/c\"\nkey = \"/k\"").unwrap();
        assert_eq!(forward.certificate, Some(("/c".into(), "/k".into())));
        assert_eq!((forward.name, forward.secret_file), (None, None));
    }

    /// Caught: a reader that takes the last group of an IPv6 address for a port.
    #[test]
    fn what_is_no_host_and_port_is_refused() {
        for text in [
            "",
            "a.example",
            "a.example:",
            "a.example:0",
            "a.example:65536",
            ":4445",
            "::1:4445",
            "[::1]",
            "192.0.2.1",
            "192.0.2:4445",
            "192.0.2.256:4445",
            "a b:1",
            "127.0.0.1:0",
        ] {
            let error = parse(&format!("to = [\"{text}\"]")).unwrap_err().to_string();
            let expected = format!("test.toml:5: forward.to[0]: \"{text}\" is not HOST:PORT");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
