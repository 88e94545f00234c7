//! Turns answers into DNS records.

use eximrbl_table::{Table, UnixSeconds};
use eximrbl_zone::zone::{EXPIRE, NS_TTL, REFRESH, RETRY};
use eximrbl_zone::{Answer, Authority, DnsName, Listing, Zone, Zones};
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::rdata::{A, NS, SOA, TXT};
use hickory_server::proto::rr::{Name, RData, Record};

use crate::edns::ExtendedError;

/// What goes into a response beside the question.
#[derive(Debug)]
pub(crate) struct Sections {
    pub(crate) code: ResponseCode,
    /// Whether the name is in one of our zones.
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// Whether the records were left out, for the client to ask again by TCP.
    pub(crate) is_truncated: bool,
    /// Why there is an error, for who knows EDNS.
    pub(crate) extended: Option<ExtendedError>,
}

impl Sections {
    /// An error without records.
    pub(crate) fn error(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            is_truncated: false,
            extended: None,
        }
    }

    /// REFUSED, and why.
    pub(crate) fn refused(error: ExtendedError) -> Self {
        Self { extended: Some(error), ..Self::error(ResponseCode::Refused) }
    }

    /// Nothing, but the word to ask again by TCP.
    pub(crate) fn truncated() -> Self {
        Self { is_truncated: true, ..Self::error(ResponseCode::NoError) }
    }

    /// The records of an answer; `owner` is the question's name as it was written.
    pub(crate) fn of(
        answer: &Answer<'_>,
        owner: &Name,
        apexes: &[Apex],
        table: &Table,
        now: UnixSeconds,
    ) -> Self {
        let soa = |authority: &Authority<'_>| {
            apexes.get(authority.zone.index()).map(|apex| apex.soa(authority.serial))
        };
        let negative = |authority| Vec::from_iter(soa(authority));
        let (code, answers, authorities) = match answer {
            Answer::Refused => return Self::error(ResponseCode::Refused),
            Answer::NxDomain(authority) => (ResponseCode::NXDomain, vec![], negative(authority)),
            Answer::NoData(authority) => (ResponseCode::NoError, vec![], negative(authority)),
            Answer::Apex { authority, soa: with_soa, ns } => {
                let mut answers = Vec::new();
                if *with_soa {
                    answers.extend(soa(authority));
                }
                if *ns && let Some(apex) = apexes.get(authority.zone.index()) {
                    answers.extend_from_slice(&apex.name_servers);
                }
                (ResponseCode::NoError, answers, vec![])
            }
            Answer::Listed(listing) => {
                (ResponseCode::NoError, listed(listing, owner, table, now), vec![])
            }
        };
        Self { authoritative: true, answers, authorities, ..Self::error(code) }
    }
}

/// The records at a zone's own name, made once, for every negative answer needs them.
pub(crate) struct Apex {
    zone: Name,
    ttl: u32,
    soa: SOA,
    name_servers: Vec<Record>,
    /// The SOA record's data in wire form, with a serial of 0.
    soa_data: Box<[u8]>,
}

impl Apex {
    /// Those of all zones, by their index.
    pub(crate) fn all(zones: &Zones) -> Vec<Self> {
        zones.iter().map(Self::of).collect()
    }

    fn of(zone: &Zone) -> Self {
        let owner = name(zone.name());
        let ttl = zone.negative_ttl();
        let primary = zone.name_servers().first().unwrap_or_else(|| zone.name());
        let contact = name(zone.contact());
        let times = [REFRESH, RETRY, EXPIRE].map(|seconds| seconds as i32);
        let [refresh, retry, expire] = times;
        let soa = SOA::new(name(primary), contact, 0, refresh, retry, expire, ttl);
        let server =
            |server| Record::from_rdata(owner.clone(), NS_TTL, RData::NS(NS(name(server))));
        let name_servers = zone.name_servers().iter().map(server).collect();
        let mut data = [primary.wire(), zone.contact().wire(), &[0; 4]].concat();
        for time in [REFRESH, RETRY, EXPIRE] {
            data.extend_from_slice(&time.to_be_bytes());
        }
        data.extend_from_slice(&ttl.to_be_bytes());
        Self { zone: owner, ttl, soa, name_servers, soa_data: data.into() }
    }

    /// The SOA record's TTL, and its data before and after the serial, in wire form.
    pub(crate) fn soa_wire(&self) -> (u32, &[u8], &[u8]) {
        // Serial, three times and the negative TTL: five numbers of four bytes.
        let (names, numbers) = self.soa_data.split_at(self.soa_data.len() - 20);
        (self.ttl, names, &numbers[4..])
    }

    /// The SOA record. Its TTL and MINIMUM are both the negative TTL (RFC 2308 section 5).
    fn soa(&self, serial: u32) -> Record {
        let mut soa = self.soa.clone();
        soa.serial = serial;
        Record::from_rdata(self.zone.clone(), self.ttl, RData::SOA(soa))
    }
}

/// The records of a listed address.
fn listed(listing: &Listing<'_>, owner: &Name, table: &Table, now: UnixSeconds) -> Vec<Record> {
    let mut records = Vec::new();
    let mut push = |data| records.push(Record::from_rdata(owner.clone(), listing.ttl, data));
    if listing.with_codes {
        listing.codes().for_each(|code| push(RData::A(A(code))));
    }
    if listing.with_text {
        let text = listing.text(&table.reasons(), now);
        push(RData::TXT(TXT::from_bytes(vec![text.as_bytes()])));
    }
    records
}

/// A name in hickory's form. Ours are valid by their type, so the root never shows up.
fn name(name: &DnsName) -> Name {
    let mut name = Name::from_labels(name.labels()).unwrap_or_default();
    name.set_fqdn(true);
    name
}
