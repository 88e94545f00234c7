//! Checks the `[[zone]]` sections.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use eximrbl_table::{Name, Network};

use super::error::{Key, Wrong};
use super::guard;
use super::sections::number;
use super::spec::ZoneSpec;
use super::{ZONE_NAME_MAX, ZoneSettings};
use crate::answer::is_usable_code;
use crate::name::{DnsName, NameError};
use crate::template::{self, Template};

/// Checks all zones, each by itself and against the others. `allow_query` is for those that do not
/// say themselves who may ask.
pub(super) fn check(
    specs: Vec<ZoneSpec>,
    allow_query: Option<&[Network]>,
) -> Result<Vec<ZoneSettings>, Wrong> {
    let top = Key::top("zone");
    if specs.is_empty() {
        return Err(Wrong::new(top, "missing; add a [[zone]] section with a name"));
    }
    let mut zones: Vec<ZoneSettings> = Vec::with_capacity(specs.len());
    for (index, spec) in specs.into_iter().enumerate() {
        zones.push(zone(&top.index(index), spec, allow_query)?);
    }
    for (index, zone) in zones.iter().enumerate() {
        let others = zones.iter().enumerate().filter(|&(other, _)| other != index);
        for (other, known) in others {
            let wrong = |problem| Wrong::new(top.index(index).name("name"), problem);
            if other < index && known.name == zone.name {
                return Err(wrong(format!("{} is the name of two zones", zone.name)));
            }
            if let Some(label) = label_below(&zone.name, &known.name) {
                let problem = format!(
                    "\"{label}\", just below {}, could be part of an address; use two characters \
                     or more, one of them not a digit (RFC 5782 section 4)",
                    known.name
                );
                return Err(wrong(problem));
            }
        }
    }
    Ok(zones)
}

/// Zones of which only the names are given.
pub(super) fn named(names: &[String]) -> Result<Vec<ZoneSettings>, Wrong> {
    let spec = |name: &String| ZoneSpec { name: Some(name.clone()), ..ZoneSpec::default() };
    check(names.iter().map(spec).collect(), None)
}

/// Checks one zone.
fn zone(top: &Key, spec: ZoneSpec, allow_query: Option<&[Network]>) -> Result<ZoneSettings, Wrong> {
    let Some(text) = spec.name else {
        return Err(Wrong::new(top.name("name"), "missing; every [[zone]] needs a name"));
    };
    let name = name(top.name("name"), &text, DnsName::from_text)?;
    let length = name.wire().len();
    if length > ZONE_NAME_MAX {
        let problem = format!(
            "{length} bytes in wire form: at most {ZONE_NAME_MAX}, or IPv6 addresses do not fit"
        );
        return Err(Wrong::new(top.name("name"), problem));
    }
    let white = match spec.list.as_deref() {
        None | Some("black") => false,
        Some("white") => true,
        Some(other) => {
            let problem = format!("\"{other}\" is no list: \"black\" or \"white\"");
            return Err(Wrong::new(top.name("list"), problem));
        }
    };
    let reasons = match spec.reasons {
        Some(reasons) => Some(reasons_filter(&top.name("reasons"), white, reasons)?),
        None => None,
    };
    let codes = codes(&top.name("codes"), white, reasons.as_deref(), spec.codes)?;
    let default_text = if white { template::DEFAULT_WHITE } else { template::DEFAULT_BLACK };
    let txt = Template::parse(spec.txt.as_deref().unwrap_or(default_text))
        .map_err(|error| Wrong::new(top.name("txt"), error.to_string()))?;
    let contact = match &spec.contact {
        Some(text) => self::name(top.name("contact"), text, DnsName::from_mailbox)?,
        None => name.child("hostmaster").unwrap_or_else(|| name.clone()),
    };
    Ok(ZoneSettings {
        white,
        quorum: number(top, "quorum", spec.quorum, 1, 1..=64)? as u32,
        ns: name_servers(&top.name("ns"), spec.ns.as_deref(), &name)?,
        allow_query: guard::allow_query(top, spec.allow_query)?
            .or_else(|| allow_query.map(<[_]>::to_vec)),
        reasons,
        codes,
        txt,
        contact,
        name,
    })
}

/// Checks a name.
fn name(
    key: Key,
    text: &str,
    read: fn(&str) -> Result<DnsName, NameError>,
) -> Result<DnsName, Wrong> {
    read(text).map_err(|error| Wrong::new(key, format!("\"{text}\": {error}")))
}

/// Name servers; by default the zone's own name, which does as long as nobody follows it.
fn name_servers(
    key: &Key,
    texts: Option<&[String]>,
    zone: &DnsName,
) -> Result<Vec<DnsName>, Wrong> {
    match texts {
        None => Ok(vec![zone.clone()]),
        Some([]) => Err(Wrong::new(key.clone(), "empty: leave it out, or name a server")),
        Some(texts) => texts
            .iter()
            .enumerate()
            .map(|(index, text)| name(key.index(index), text, DnsName::from_text))
            .collect(),
    }
}

/// The reasons that a zone is about.
fn reasons_filter(key: &Key, white: bool, reasons: Vec<String>) -> Result<Vec<String>, Wrong> {
    if white {
        return Err(Wrong::new(key.clone(), "white entries have no reasons; leave it out"));
    }
    if reasons.is_empty() {
        return Err(Wrong::new(
            key.clone(),
            "empty: nothing would be listed; leave it out for all",
        ));
    }
    for (index, reason) in reasons.iter().enumerate() {
        reason_name(key.index(index), reason)?;
    }
    Ok(reasons)
}

/// Checks a reason's name.
fn reason_name(key: Key, reason: &str) -> Result<(), Wrong> {
    match Name::new(reason.as_bytes()) {
        Some(_) => Ok(()),
        None => {
            let problem = format!("\"{reason}\" is no reason: 1 to 32 of a-z, 0-9 and '-'");
            Err(Wrong::new(key, problem))
        }
    }
}

/// Reasons with codes of their own.
fn codes(
    key: &Key,
    white: bool,
    reasons: Option<&[String]>,
    codes: BTreeMap<String, toml::Value>,
) -> Result<Vec<(String, Ipv4Addr)>, Wrong> {
    if white && !codes.is_empty() {
        return Err(Wrong::new(key.clone(), "white entries have no reasons; leave it out"));
    }
    let mut read = Vec::with_capacity(codes.len());
    for (reason, value) in codes {
        let key = key.name(&reason);
        reason_name(key.clone(), &reason)?;
        if reasons.is_some_and(|reasons| !reasons.contains(&reason)) {
            let problem = "not among the zone's reasons, so it would never be shown";
            return Err(Wrong::new(key, problem));
        }
        let code = match &value {
            toml::Value::Integer(octet) => {
                u8::try_from(*octet).ok().map(|octet| Ipv4Addr::new(127, 0, 0, octet))
            }
            toml::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let Some(code) = code.filter(|&code| is_usable_code(code)) else {
            let shown = match &value {
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::String(text) => format!("{text:?}"),
                other => format!("a value of type {}", other.type_str()),
            };
            let problem = format!(
                "{shown} is no code: 2 to 255 for 127.0.0.2 to 127.0.0.255, or an address of \
                 127/8 in quotes, but for 127.0.0.0, 127.0.0.1 and 127.255.255.*"
            );
            return Err(Wrong::new(key, problem));
        };
        read.push((reason, code));
    }
    Ok(read)
}

/// The label just below `zone` of a name within it, if it could be part of an address.
fn label_below(name: &DnsName, zone: &DnsName) -> Option<String> {
    let mut steps = name.labels().zip(name.ancestors());
    let (label, _) = steps.find(|(_, above)| *above == zone.wire())?;
    let could_be = label.len() == 1 || label.iter().all(u8::is_ascii_digit);
    could_be.then(|| String::from_utf8_lossy(label).into_owned())
}
