//! DNS questions as an administrator asks them.

use std::net::{IpAddr, SocketAddr};

use super::namespace::Namespace;
use super::process::run;

/// What `dig` printed.
#[derive(Clone, Debug)]
pub struct Dig {
    /// The response code, such as `NOERROR`.
    pub status: String,
    /// The flags, such as `qr aa rd`.
    pub flags: String,
    /// The answer section: (TTL, type, data) of each record.
    pub answer: Vec<(u32, String, String)>,
    /// The authority section likewise.
    pub authority: Vec<(u32, String, String)>,
    /// Everything.
    pub text: String,
}

impl Dig {
    /// The data of all answer records of one type, sorted.
    pub fn data(&self, kind: &str) -> Vec<&str> {
        let records = self.answer.iter().filter(|record| record.1 == kind);
        let mut data: Vec<_> = records.map(|record| record.2.as_str()).collect();
        data.sort_unstable();
        data
    }
}

/// Asks `server` from inside a namespace for records of one type.
#[track_caller]
pub fn dig(namespace: &Namespace, server: SocketAddr, name: &str, kind: &str) -> Dig {
    let text = run(namespace.command("dig").args([
        "+tries=3",
        "+timeout=10",
        "+noall",
        "+comments",
        "+answer",
        "+authority",
        "+nocookie",
        &format!("@{}", server.ip()),
        "-p",
        &server.port().to_string(),
        name,
        kind,
    ]));
    let after = |mark: &str, end: char| {
        let rest = text.split_once(mark).map_or("", |parts| parts.1);
        rest.split(end).next().unwrap_or("").trim().to_owned()
    };
    Dig {
        status: after("status: ", ','),
        flags: after("flags: ", ';'),
        answer: section(&text, ";; ANSWER SECTION:"),
        authority: section(&text, ";; AUTHORITY SECTION:"),
        text,
    }
}

/// The name under which a list answers for an address (RFC 5782 sections 2.1 and 2.4).
pub fn query_name(address: IpAddr, zone: &str) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.{zone}")
        }
        IpAddr::V6(v6) => {
            let digits: String = v6.octets().iter().map(|byte| format!("{byte:02x}")).collect();
            let labels: Vec<_> = digits.chars().rev().map(String::from).collect();
            format!("{}.{zone}", labels.join("."))
        }
    }
}

/// The records of one section: `NAME TTL CLASS TYPE DATA…`, up to an empty line.
fn section(text: &str, heading: &str) -> Vec<(u32, String, String)> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let record = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let ttl = fields.next()?.parse().ok()?;
        let kind = fields.nth(1)?.to_owned();
        Some((ttl, kind, fields.collect::<Vec<_>>().join(" ")))
    };
    lines.filter_map(record).collect()
}
