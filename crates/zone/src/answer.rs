//! The one decision of what DNS answers.
//!
//! ```text
//! name in no zone, transfer asked for      -> Refused
//! apex:              SOA, NS, ANY          -> Apex
//!                    other types           -> NoData
//! listed address:    A, TXT, ANY           -> Listed
//!                    other types           -> NoData
//! unlisted address, or no address at all   -> NxDomain, but NoData where names may lie below
//! ```
//!
//! Names below which listed addresses may lie ("empty non-terminals": up to three octets, up to
//! 31 nibbles) always exist. A resolver that minimises its queries (RFC 9156) asks for them
//! first, and takes NXDOMAIN to mean that nothing lies below (RFC 8020); it would then never see
//! the listing. They exist even when nothing is listed under them, for that may change within a
//! second, while the negative answer stays in caches.

use std::net::{IpAddr, Ipv4Addr};

use eximrbl_table::{Decision, Filter, Probe, Table, UnixSeconds};

use crate::listing::{Ground, Listing};
use crate::query_name::{Place, QueryName};
use crate::zone::{DEFAULT_CODE, Zone, Zones};

/// The type that a query asks for, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryType(pub u16);

impl QueryType {
    /// An IPv4 address (RFC 1035 section 3.4.1).
    pub const A: Self = Self(1);
    /// A name server (RFC 1035 section 3.3.11).
    pub const NS: Self = Self(2);
    /// The start of a zone of authority (RFC 1035 section 3.3.13).
    pub const SOA: Self = Self(6);
    /// Text (RFC 1035 section 3.3.14).
    pub const TXT: Self = Self(16);
    /// The zone's changes (RFC 1995).
    pub const IXFR: Self = Self(251);
    /// The whole zone (RFC 5936).
    pub const AXFR: Self = Self(252);
    /// Any type (RFC 8482).
    pub const ANY: Self = Self(255);
}

/// A zone's authority: what its SOA record is made from.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'z> {
    /// The zone.
    pub zone: &'z Zone,
    /// The SOA record's serial: the low half of the table's own.
    pub serial: u32,
}

/// What to answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'z> {
    /// Not our name, or not to be had: response code REFUSED, no records, not authoritative.
    Refused,
    /// The name does not exist, nor does any below it: NXDOMAIN with the SOA record (RFC 2308).
    NxDomain(Authority<'z>),
    /// The name exists without records of that type: no error, with the SOA record (RFC 2308).
    NoData(Authority<'z>),
    /// The zone's own records.
    Apex {
        /// Where they come from.
        authority: Authority<'z>,
        /// Whether to answer with the SOA record.
        soa: bool,
        /// Whether to answer with the NS records.
        ns: bool,
    },
    /// A listed address.
    Listed(Listing<'z>),
}

/// What a question is about: all that can be said of it without a look at the table.
///
/// Apart from the answer so that a server which has many questions at hand can ask the memory for
/// the table's words of all of them first ([`Subject::client`]), and only then wait for any.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'z> {
    matter: Matter<'z>,
    query_type: QueryType,
}

#[derive(Clone, Copy, Debug)]
enum Matter<'z> {
    /// None of ours, or not to be had.
    Refused,
    /// The zone's own name.
    Apex { zone: &'z Zone },
    /// An address; see [`Place::Address`].
    Address { zone: &'z Zone, address: IpAddr, names_below: bool },
    /// A name without records, but with names below it.
    Partial { zone: &'z Zone },
    /// A name that cannot exist.
    Nowhere { zone: &'z Zone },
}

impl<'z> Subject<'z> {
    /// Finds what a question is about. `name` is the uncompressed wire form in any mix of cases.
    /// Nothing is allocated.
    pub fn of(name: &[u8], query_type: QueryType, zones: &'z Zones) -> Self {
        match QueryName::read(name) {
            Some(name) => Self::of_name(&name, query_type, zones),
            None => Self { matter: Matter::Refused, query_type },
        }
    }

    /// The same, of a name that has been read.
    pub fn of_name(name: &QueryName<'_>, query_type: QueryType, zones: &'z Zones) -> Self {
        Self { matter: matter(name, query_type, zones), query_type }
    }

    /// Whether it is the zone's own name.
    pub fn is_apex(&self) -> bool {
        matches!(self.matter, Matter::Apex { .. })
    }

    /// The client that the table will be asked about, if it will be.
    pub fn client(&self) -> Option<IpAddr> {
        match self.matter {
            Matter::Address { address, .. } => Some(address),
            _ => None,
        }
    }

    /// The answer. The same subject and the same table give the same answer; nothing is allocated.
    pub fn answer(&self, table: &Table, now: UnixSeconds) -> Answer<'z> {
        self.answer_by(table, |address, filter| table.decide(address, filter, now))
    }

    /// The answer, when the client's look-up ([`Subject::client`]) has begun before.
    pub fn answer_at(&self, table: &Table, probe: &Probe<'_>, now: UnixSeconds) -> Answer<'z> {
        self.answer_by(table, |_, filter| probe.decide(filter, now))
    }

    fn answer_by(
        &self,
        table: &Table,
        decide: impl FnOnce(IpAddr, &Filter) -> Decision,
    ) -> Answer<'z> {
        let authority = |zone| Authority { zone, serial: table.serial() as u32 };
        match self.matter {
            Matter::Refused => Answer::Refused,
            Matter::Apex { zone } => {
                let any = self.query_type == QueryType::ANY;
                let soa = any || self.query_type == QueryType::SOA;
                let ns = any || self.query_type == QueryType::NS;
                match soa || ns {
                    true => Answer::Apex { authority: authority(zone), soa, ns },
                    false => Answer::NoData(authority(zone)),
                }
            }
            Matter::Address { zone, address, names_below } => match ground(zone, address, decide) {
                Some(ground) => match listing(zone, address, ground, self.query_type) {
                    Some(listing) => Answer::Listed(listing),
                    None => Answer::NoData(authority(zone)),
                },
                None if names_below => Answer::NoData(authority(zone)),
                None => Answer::NxDomain(authority(zone)),
            },
            Matter::Partial { zone } => Answer::NoData(authority(zone)),
            Matter::Nowhere { zone } => Answer::NxDomain(authority(zone)),
        }
    }
}

/// Decides the answer to one question, from its name to the end: [`Subject::of`] and
/// [`Subject::answer`].
pub fn answer<'z>(
    name: &[u8],
    query_type: QueryType,
    zones: &'z Zones,
    table: &Table,
    now: UnixSeconds,
) -> Answer<'z> {
    Subject::of(name, query_type, zones).answer(table, now)
}

fn matter<'z>(name: &QueryName<'_>, query_type: QueryType, zones: &'z Zones) -> Matter<'z> {
    let Some((zone, labels)) = zones.find(name) else {
        return Matter::Refused;
    };
    if matches!(query_type, QueryType::AXFR | QueryType::IXFR) {
        return Matter::Refused;
    }
    match name.place(labels) {
        Place::Apex => Matter::Apex { zone },
        Place::Address { address, names_below } => Matter::Address { zone, address, names_below },
        Place::Partial => Matter::Partial { zone },
        Place::Nowhere if zone.is_above_zone(name) => Matter::Partial { zone },
        Place::Nowhere => Matter::Nowhere { zone },
    }
}

/// Why a zone lists an address, if it does.
fn ground(
    zone: &Zone,
    address: IpAddr,
    decide: impl FnOnce(IpAddr, &Filter) -> Decision,
) -> Option<Ground> {
    // One test address for each code (RFC 5782 section 5); loopback is never listed otherwise.
    if let IpAddr::V4(code) = address
        && code.is_loopback()
        && zone.is_code(code)
    {
        return Some(Ground::Test(code));
    }
    match decide(address, zone.filter()) {
        Decision::Listed(entry) => Some(Ground::Entry(entry)),
        Decision::Test => Some(Ground::Test(DEFAULT_CODE)),
        Decision::Never | Decision::White(_) | Decision::Below(_) | Decision::Unknown => None,
    }
}

/// The records of a listed address, if there are any of that type.
fn listing<'z>(
    zone: &'z Zone,
    client: IpAddr,
    ground: Ground,
    query_type: QueryType,
) -> Option<Listing<'z>> {
    let (with_codes, with_text) = match query_type {
        QueryType::A => (true, false),
        QueryType::TXT => (false, true),
        // Both and no more: a subset is what RFC 8482 section 4.1 allows, and what is asked for.
        QueryType::ANY => (true, true),
        _ => return None,
    };
    Some(Listing { with_codes, with_text, ..Listing::of(zone, client, ground) })
}

/// Whether a code may be given to a reason: 127/8 without the network's first two addresses,
/// which say "not listed" (RFC 5782 section 5), and without 127.255.255.0/24, which other lists
/// use for errors.
pub(crate) fn is_usable_code(code: Ipv4Addr) -> bool {
    let octets = code.octets();
    code.is_loopback()
        && !matches!(octets, [127, 0, 0, 0 | 1])
        && !matches!(octets, [127, 255, 255, _])
}
