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

use eximrbl_table::{Decision, Table, UnixSeconds};

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

/// Decides the answer to one question.
///
/// `name` is the uncompressed wire form in any mix of cases. The same arguments and the same table
/// give the same answer; nothing is allocated.
pub fn answer<'z>(
    name: &[u8],
    query_type: QueryType,
    zones: &'z Zones,
    table: &Table,
    now: UnixSeconds,
) -> Answer<'z> {
    let Some(name) = QueryName::read(name) else {
        return Answer::Refused;
    };
    let Some((zone, labels)) = zones.find(&name) else {
        return Answer::Refused;
    };
    if matches!(query_type, QueryType::AXFR | QueryType::IXFR) {
        return Answer::Refused;
    }
    let authority = || Authority { zone, serial: table.serial() as u32 };
    match name.place(labels) {
        Place::Apex => {
            let any = query_type == QueryType::ANY;
            let soa = any || query_type == QueryType::SOA;
            let ns = any || query_type == QueryType::NS;
            match soa || ns {
                true => Answer::Apex { authority: authority(), soa, ns },
                false => Answer::NoData(authority()),
            }
        }
        Place::Address { address, names_below } => match ground(zone, table, address, now) {
            Some(ground) => match listing(zone, address, ground, query_type) {
                Some(listing) => Answer::Listed(listing),
                None => Answer::NoData(authority()),
            },
            None if names_below => Answer::NoData(authority()),
            None => Answer::NxDomain(authority()),
        },
        Place::Partial => Answer::NoData(authority()),
        Place::Nowhere if zone.is_above_zone(&name) => Answer::NoData(authority()),
        Place::Nowhere => Answer::NxDomain(authority()),
    }
}

/// Why a zone lists an address, if it does.
fn ground(zone: &Zone, table: &Table, address: IpAddr, now: UnixSeconds) -> Option<Ground> {
    // One test address for each code (RFC 5782 section 5); loopback is never listed otherwise.
    if let IpAddr::V4(code) = address
        && code.is_loopback()
        && zone.is_code(code)
    {
        return Some(Ground::Test(code));
    }
    match table.decide(address, zone.filter(), now) {
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
    let ttl = match ground {
        Ground::Entry(entry) => entry.remaining.min(zone.positive_ttl_max()),
        Ground::Test(_) => zone.positive_ttl_max(),
    };
    Some(Listing { zone, client, with_codes, with_text, ttl, ground })
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
