//! `[nats]`: changes exchanged with other sites over NATS JetStream.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use eximrbl_table::Name;

use super::collector::ReporterSettings;
use super::error::{Key, Wrong};
use super::sections::{absolute, number};
use super::spec::NatsSpec;

/// Copies that a JetStream cluster can keep of a stream.
const REPLICAS: RangeInclusive<u64> = 1..=5;
/// Seconds that changes are kept in the stream.
const MAX_AGE: RangeInclusive<u64> = 3600..=31_536_000;
/// Longest name of a stream, and longest subject.
const TEXT_MAX: usize = 128;
/// Names that reports of this host bear, so that no site can have them.
const TAKEN: [&str; 3] = ["local", "admin", "collector"];

/// How changes are exchanged with other sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsSettings {
    /// URLs of servers of one cluster, `nats://` or `tls://`; at least one.
    pub servers: Vec<String>,
    /// How the server is told who this is.
    pub login: NatsLogin,
    /// Certificates of the authorities that the server's certificate may come from; `None` for the
    /// system's.
    pub ca: Option<PathBuf>,
    /// Certificate and key to show to the server.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// This site's name: the last part of its subject, and the reporter at the other sites.
    pub site: Name,
    /// The JetStream stream.
    pub stream: String,
    /// What all sites' subjects begin with.
    pub subject: String,
    /// Copies of the stream that the cluster keeps, when it is made.
    pub replicas: u8,
    /// Seconds that changes stay in the stream, when it is made; `None` for the policy's `max_ttl`.
    pub max_age: Option<u32>,
    /// Whose changes are published; `None` for all but the administrator's and other sites'.
    pub reporters: Option<Vec<Name>>,
}

/// How a NATS server is told who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NatsLogin {
    /// Not at all, or by the certificate alone.
    Nobody,
    /// By a credentials file, as `nsc` makes it.
    Credentials(PathBuf),
    /// By a name and a password, which is the first line of a file.
    Password {
        /// The name.
        user: String,
        /// The file.
        file: PathBuf,
    },
    /// By a file that has the seed of an NKey.
    Nkey(PathBuf),
}

/// `[nats]`
pub(super) fn check(spec: NatsSpec, others: &[ReporterSettings]) -> Result<NatsSettings, Wrong> {
    let top = Key::top("nats");
    let servers = servers(&top.name("url"), spec.url.as_ref())?;
    let file = |name: &str, path: &Option<String>| match path {
        None => Ok(None),
        Some(path) => {
            let path = PathBuf::from(path);
            absolute(top.name(name), &path)?;
            Ok(Some(path))
        }
    };
    let credentials = file("credentials", &spec.credentials)?;
    let password = file("password_file", &spec.password_file)?;
    let nkey = file("nkey_file", &spec.nkey_file)?;
    let wrong = |name: &str, problem: &str| Err(Wrong::new(top.name(name), problem));
    let login = match (credentials, spec.user, password, nkey) {
        (None, None, None, None) => NatsLogin::Nobody,
        (Some(file), None, None, None) => NatsLogin::Credentials(file),
        (None, Some(user), Some(file), None) => NatsLogin::Password { user, file },
        (None, None, None, Some(file)) => NatsLogin::Nkey(file),
        (None, Some(_), None, None) => return wrong("user", "needs a password_file beside it"),
        (None, None, Some(_), None) => return wrong("password_file", "needs a user beside it"),
        (Some(_), ..) => {
            return wrong("credentials", "stands alone: leave out user, password_file, nkey_file");
        }
        (None, ..) => return wrong("nkey_file", "stands alone: leave out user and password_file"),
    };
    let certificate = file("certificate", &spec.certificate)?;
    let identity = match (certificate, file("key", &spec.key)?) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => return wrong("certificate", "needs a key beside it"),
        (None, Some(_)) => return wrong("key", "needs a certificate beside it"),
    };
    let Some(site) = spec.site else {
        return wrong("site", "missing; name this site, as in site = \"paris\"");
    };
    let site_name = name(top.name("site"), &site)?;
    if TAKEN.contains(&site.as_str()) {
        let problem = format!("\"{site}\" is the name of this host's own reports; choose another");
        return Err(Wrong::new(top.name("site"), problem));
    }
    if others.iter().any(|reporter| reporter.name == site_name) {
        let problem = format!(
            "\"{site}\" is a [[reporter]] as well, whose reports would be taken for another \
             site's; choose another"
        );
        return Err(Wrong::new(top.name("site"), problem));
    }
    let stream = spec.stream.unwrap_or_else(|| "EXIMRBL".to_owned());
    if stream.contains('.') || !is_subject(&stream) {
        let problem = format!("\"{stream}\": letters, digits, - and _, at most {TEXT_MAX}");
        return Err(Wrong::new(top.name("stream"), problem));
    }
    let subject = spec.subject.unwrap_or_else(|| "eximrbl.reports".to_owned());
    if !is_subject(&subject) {
        let problem = format!(
            "\"{subject}\": words of letters, digits, - and _ with a dot between two, at most \
             {TEXT_MAX} in all"
        );
        return Err(Wrong::new(top.name("subject"), problem));
    }
    Ok(NatsSettings {
        servers,
        login,
        ca: file("ca", &spec.ca)?,
        identity,
        site: site_name,
        stream,
        subject,
        replicas: number(&top, "replicas", spec.replicas, 1, REPLICAS)? as u8,
        max_age: match spec.max_age {
            None => None,
            Some(_) => Some(number(&top, "max_age", spec.max_age, 0, MAX_AGE)? as u32),
        },
        reporters: spec
            .reporters
            .map(|names| reporters(&top.name("reporters"), &names, site_name))
            .transpose()?,
    })
}

/// `url`, one or several.
fn servers(key: &Key, value: Option<&toml::Value>) -> Result<Vec<String>, Wrong> {
    let wrong = |key: Key, problem: String| Err(Wrong::new(key, problem));
    let texts: Vec<(Key, &toml::Value)> = match value {
        None => {
            let problem = "missing; name the server, as in \"tls://nats.example.org:4222\"";
            return Err(Wrong::new(key.clone(), problem));
        }
        Some(toml::Value::Array(values)) if values.is_empty() => {
            return wrong(key.clone(), "empty: name at least one server".to_owned());
        }
        Some(toml::Value::Array(values)) => {
            values.iter().enumerate().map(|(index, value)| (key.index(index), value)).collect()
        }
        Some(value) => vec![(key.clone(), value)],
    };
    let mut servers = Vec::with_capacity(texts.len());
    for (key, value) in texts {
        let Some(text) = value.as_str() else {
            return wrong(key, "not a text in quotes, nor a list of them in [ ]".to_owned());
        };
        let address = text.strip_prefix("nats://").or_else(|| text.strip_prefix("tls://"));
        if text.contains('@') {
            let problem = "names a user: write user and password_file instead, this file is no \
                           place for secrets";
            return wrong(key, problem.to_owned());
        }
        if !address.is_some_and(is_address) {
            let problem = format!(
                "\"{text}\" is not nats://HOST:PORT or tls://HOST:PORT, as in \
                 \"tls://nats.example.org:4222\""
            );
            return wrong(key, problem);
        }
        servers.push(text.to_owned());
    }
    Ok(servers)
}

/// Whether a text is HOST or HOST:PORT, with an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, rest))) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').unwrap_or("")) })
        }
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    !host.is_empty() && host.chars().all(plain) && port.is_none_or(is_port)
}

/// Whether a text can be a subject without wildcards.
fn is_subject(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_word = |word: &str| !word.is_empty() && word.chars().all(plain);
    text.len() <= TEXT_MAX && text.split('.').all(is_word)
}

/// The name of a reporter.
fn name(key: Key, text: &str) -> Result<Name, Wrong> {
    Name::new(text.as_bytes()).ok_or_else(|| {
        Wrong::new(key, format!("\"{text}\" is no name: [a-z0-9-], 1 to 32 characters"))
    })
}

/// `reporters`
fn reporters(key: &Key, texts: &[String], site: Name) -> Result<Vec<Name>, Wrong> {
    if texts.is_empty() {
        let problem = "empty: nothing would be published; leave it out for all of this site's";
        return Err(Wrong::new(key.clone(), problem));
    }
    let mut names = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let name = name(key.index(index), text)?;
        if name == site {
            let problem = format!("\"{text}\" is this site itself; name its reporters");
            return Err(Wrong::new(key.index(index), problem));
        }
        names.push(name);
    }
    Ok(names)
}
