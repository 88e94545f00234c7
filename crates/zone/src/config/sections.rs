//! Checks the sections, and makes a valid configuration of them.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use eximrbl_table::{Network, Policy, WEIGHT_MAX};

use super::error::{Key, Wrong};
use super::spec::{DnsSpec, PolicySpec, Spec, TableSpec};
use super::{
    Config, DnsSettings, TTL_MAX, TableSettings, WORKERS_MAX, audit, collector, forward, guard,
    nats, server, zones,
};

// These are the table's own ranges. They stand here too, so that a number which no policy can hold
// (below zero, say) is told the same range as any other.

/// How many entries a table may be told to hold; the upper end takes 64 GB.
const SLOTS: RangeInclusive<u64> = 16..=1 << 30;
/// Seconds of a policy: to a year.
const SECONDS: RangeInclusive<u64> = 1..=31_536_000;
/// Rejections until a listing.
const THRESHOLD: RangeInclusive<u64> = 1..=100_000;
/// What one rejection counts for.
const WEIGHT: RangeInclusive<u64> = 1..=WEIGHT_MAX as u64;
/// Longest text of one string in a TXT record (RFC 1035 section 3.3).
const TEXT_MAX: usize = 255;
/// Longest server identifier: with the longest question and a cookie it still fits into the 512
/// bytes that every client takes, so that a response without records can always be sent.
const NSID_MAX: usize = 128;

/// Checks the whole file.
pub(super) fn check(spec: Spec) -> Result<Config, Wrong> {
    let key = Key::top("version");
    match spec.version {
        Some(1) => {}
        Some(other) => {
            let problem = format!("{other} is not known here; this program reads version = 1");
            return Err(Wrong::new(key, problem));
        }
        None => return Err(Wrong::new(key, "missing; write version = 1 at the top")),
    }
    let table = table(spec.table)?;
    let policy = policy(spec.policy)?;
    let dns = dns(spec.dns)?;
    let control = server::control(spec.control)?;
    let audit = audit::audit(spec.audit)?;
    let zones = zones::check(spec.zone, dns.allow_query.as_deref())?;
    let reporters = collector::reporters(spec.reporter)?;
    let collector = collector::collector(spec.collector, &reporters)?;
    let nats = spec.nats.map(|spec| nats::check(spec, &reporters)).transpose()?;
    let forward = spec.forward.map(|spec| forward::check(spec, &reporters)).transpose()?;
    Ok(Config { table, policy, dns, control, collector, reporters, forward, audit, nats, zones })
}

/// `[table]`
fn table(spec: TableSpec) -> Result<TableSettings, Wrong> {
    let top = Key::top("table");
    let default = TableSettings::default();
    let path = spec.path.map_or(default.path, PathBuf::from);
    absolute(top.name("path"), &path)?;
    let slots = number(&top, "slots", spec.slots, default.slots, SLOTS)?;
    Ok(TableSettings { path, slots })
}

/// Refuses a path that means another file from another directory.
pub(super) fn absolute(key: Key, path: &Path) -> Result<(), Wrong> {
    if path.is_absolute() {
        return Ok(());
    }
    let problem = format!(
        "\"{}\" depends on where the program is started; write the whole path",
        path.display()
    );
    Err(Wrong::new(key, problem))
}

/// `[policy]`
fn policy(spec: PolicySpec) -> Result<Policy, Wrong> {
    let top = Key::top("policy");
    let setting = |name, value, default: u32, range| {
        number(&top, name, value, u64::from(default), range).map(|n| n as u32)
    };
    let default = Policy::default();
    let never = networks(&top.name("never"), &spec.never)?;
    let mut weights = Vec::with_capacity(spec.weights.len());
    for (reason, weight) in spec.weights {
        let weight = number(&top.name("weights"), &reason, Some(weight), 1, WEIGHT)?;
        weights.push((reason, weight as u32));
    }
    let ipv6_prefix = u64::from(default.ipv6_prefix);
    let policy = Policy {
        base_ttl: setting("base_ttl", spec.base_ttl, default.base_ttl, SECONDS)?,
        max_ttl: setting("max_ttl", spec.max_ttl, default.max_ttl, SECONDS)?,
        floor: setting("floor", spec.floor, default.floor, SECONDS)?,
        threshold: setting("threshold", spec.threshold, default.threshold, THRESHOLD)?,
        ipv6_prefix: number(&top, "ipv6_prefix", spec.ipv6_prefix, ipv6_prefix, 1..=128)? as u8,
        never,
        weights,
    };
    // What settings demand of each other; and the table has the last word.
    match policy.validate() {
        Ok(()) => Ok(policy),
        Err(error) => Err(Wrong::new(top.name(error.key), error.problem)),
    }
}

/// `[dns]`
fn dns(spec: DnsSpec) -> Result<DnsSettings, Wrong> {
    let top = Key::top("dns");
    let default = DnsSettings::default();
    let ttl = |name, value, default| {
        number(&top, name, value, u64::from(default), 1..=u64::from(TTL_MAX)).map(|n| n as u32)
    };
    let user = spec.user.unwrap_or(default.user);
    if user.is_empty() || user == "root" {
        let problem = "DNS is never served as root; name an unprivileged user, such as \"eximrbl\"";
        return Err(Wrong::new(top.name("user"), problem));
    }
    Ok(DnsSettings {
        listen: match spec.listen {
            Some(listen) => addresses(&top.name("listen"), &listen)?,
            None => default.listen,
        },
        workers: match spec.workers {
            None => None,
            Some(_) => {
                Some(number(&top, "workers", spec.workers, 1, 1..=u64::from(WORKERS_MAX))? as u16)
            }
        },
        positive_ttl_max: ttl("positive_ttl_max", spec.positive_ttl_max, default.positive_ttl_max)?,
        negative_ttl: ttl("negative_ttl", spec.negative_ttl, default.negative_ttl)?,
        tcp: server::tcp(&top.name("tcp"), spec.tcp)?,
        user,
        cookies: guard::cookies(&top, spec.cookies.as_deref())?,
        cookie_secret_file: guard::secret_file(&top, spec.cookie_secret_file)?,
        rate_limit: guard::rate_limit(&top.name("rate_limit"), spec.rate_limit)?,
        allow_query: guard::allow_query(&top, spec.allow_query)?,
        nsid: guard::text(&top, "nsid", spec.nsid, NSID_MAX)?,
        version: guard::text(&top, "version", spec.version, TEXT_MAX)?,
        hostname: guard::text(&top, "hostname", spec.hostname, TEXT_MAX)?,
    })
}

/// Addresses to listen on.
fn addresses(key: &Key, texts: &[String]) -> Result<Vec<SocketAddr>, Wrong> {
    if texts.is_empty() {
        return Err(Wrong::new(key.clone(), "empty: nobody could ask; name an address and port"));
    }
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let wrong = |problem: String| Wrong::new(key.index(index), problem);
        let address = text.parse().map_err(|_| {
            wrong(format!("\"{text}\" is not ADDRESS:PORT, as in 192.0.2.1:53 or [2001:db8::1]:53"))
        })?;
        if addresses.contains(&address) {
            return Err(wrong(format!("{address} is here twice")));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// Networks and single addresses.
pub(super) fn networks(key: &Key, texts: &[String]) -> Result<Vec<Network>, Wrong> {
    let read = |(index, text): (usize, &String)| {
        text.parse().map_err(|error| Wrong::new(key.index(index), format!("\"{text}\": {error}")))
    };
    texts.iter().enumerate().map(read).collect()
}

/// A number within its range, or the default.
pub(super) fn number(
    section: &Key,
    name: &str,
    value: Option<i64>,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, Wrong> {
    let Some(value) = value else {
        return Ok(default);
    };
    u64::try_from(value).ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let problem = format!("{value} is out of range: {} to {}", range.start(), range.end());
        Wrong::new(section.name(name), problem)
    })
}
