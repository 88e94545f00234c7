//! A table, zones over it, and questions in plain text.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::OnceLock;

use eximrbl_table::{
    CreateOptions, Name, Network, Policy, Report, Table, UnixSeconds, WritableTable, dictionary,
};
use eximrbl_zone::{Answer, Config, QueryType, ZoneError, Zones, answer};

/// 2026-11-22T05:43:10Z
pub(crate) const NOW: UnixSeconds = 1_795_326_190;

/// A table with zones.
pub(crate) struct Fixture {
    /// None under Miri, which maps no files.
    _directory: Option<tempfile::TempDir>,
    pub(crate) table: WritableTable,
    zones: Zones,
}

impl Fixture {
    /// An empty table under these `[[zone]]` sections.
    pub(crate) fn new(zones: &str) -> Self {
        let (directory, table) = if cfg!(miri) {
            (None, WritableTable::on_heap(64).unwrap())
        } else {
            let directory = tempfile::tempdir().unwrap();
            let options = CreateOptions { slots: 1024, ..CreateOptions::default() };
            let table = WritableTable::create(&directory.path().join("table"), &options).unwrap();
            (Some(directory), table)
        };
        table.set_policy(&Policy::default()).unwrap();
        let zones = Zones::resolve(&config(zones), &table).unwrap();
        Self { _directory: directory, table, zones }
    }

    /// One table for all properties, with some listings and nested zones.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Fixture> = OnceLock::new();
        SHARED.get_or_init(|| {
            let fixture = Self::new(
                "[[zone]]\nname = \"rbl.example\"\ncodes = { auth = 4 }\n\
                 [[zone]]\nname = \"a1.b1.rbl.example\"\n",
            );
            for client in ["192.0.2.1", "1.2.3.4", "2001:db8::1", "8.8.8.8"] {
                fixture.record(client, "auth", 1);
            }
            let wide: Network = "128.0.0.0/1".parse().unwrap();
            let report = Report {
                network: wide,
                reason: fixture.reason("rcpt"),
                reporter: dictionary::ADMIN,
                weight: Some(1),
                seconds: None,
            };
            fixture.table.record(&report, NOW).unwrap();
            fixture
        })
    }

    pub(crate) fn resolve(&self, zones: &str) -> Result<Zones, ZoneError> {
        Zones::resolve(&config(zones), &self.table)
    }

    pub(crate) fn reason(&self, reason: &str) -> u8 {
        self.table.reason(Name::new(reason.as_bytes()).unwrap(), true)
    }

    pub(crate) fn report(&self, client: &str, reason: &str, weight: u32, reporter: u8) -> Report {
        let client: IpAddr = client.parse().unwrap();
        Report {
            network: Network::of_client(client, 64),
            reason: self.reason(reason),
            reporter,
            weight: Some(weight),
            seconds: None,
        }
    }

    pub(crate) fn record(&self, client: &str, reason: &str, weight: u32) {
        self.record_by(client, reason, weight, dictionary::LOCAL);
    }

    pub(crate) fn record_by(&self, client: &str, reason: &str, weight: u32, reporter: u8) {
        // Refusals are seen in the answers.
        let _ = self.table.record(&self.report(client, reason, weight, reporter), NOW);
    }

    pub(crate) fn answer_wire(
        &self,
        name: &[u8],
        query_type: QueryType,
        now: UnixSeconds,
    ) -> Answer<'_> {
        answer(name, query_type, &self.zones, &self.table, now)
    }

    pub(crate) fn answer(&self, name: &str, query_type: QueryType, now: UnixSeconds) -> Answer<'_> {
        self.answer_wire(&wire(name), query_type, now)
    }

    pub(crate) fn ask_at(&self, name: &str, query_type: QueryType, now: UnixSeconds) -> String {
        outcome(&self.answer(name, query_type, now), &self.table, now)
    }

    pub(crate) fn ask(&self, name: &str, query_type: QueryType) -> String {
        self.ask_at(name, query_type, NOW)
    }
}

fn config(zones: &str) -> Config {
    Config::parse(&format!("version = 1\n{zones}"), Path::new("test.toml")).unwrap()
}

/// An answer in words.
pub(crate) fn outcome(answer: &Answer<'_>, table: &Table, now: UnixSeconds) -> String {
    match answer {
        Answer::Refused => "REFUSED".to_owned(),
        Answer::NxDomain(_) => "NXDOMAIN".to_owned(),
        Answer::NoData(_) => "NODATA".to_owned(),
        Answer::Apex { soa, ns, .. } => {
            format!("APEX{}{}", if *soa { " soa" } else { "" }, if *ns { " ns" } else { "" })
        }
        Answer::Listed(listing) => {
            let mut words = Vec::new();
            if listing.with_codes {
                words.push(format!("A {}", listing.ttl));
                words.extend(listing.codes().map(|code| code.to_string()));
            }
            if listing.with_text {
                let text = listing.text(&table.reasons(), now);
                words.push(format!("TXT {} {text:?}", listing.ttl));
            }
            words.join(" ")
        }
    }
}

/// A name in wire form.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// An IPv6 address as 32 reversed nibbles (RFC 5782 section 2.4).
pub(crate) fn nibbles(address: &str) -> String {
    let address: Ipv6Addr = address.parse().unwrap();
    let digits = format!("{:032x}", u128::from(address));
    digits.chars().rev().map(String::from).collect::<Vec<_>>().join(".")
}
