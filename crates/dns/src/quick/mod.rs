//! The quick way: plain queries by UDP, as resolvers send them.
//!
//! A query is plain when it is one question of class IN for an ordinary type, with no other record
//! than perhaps an OPT without options. Such a query is answered without allocating, from the same
//! decision as all others; everything else is declined, and so is what would not fit or would need
//! records that are rarely asked for (a zone's own SOA and NS).

mod query;
mod response;

use eximrbl_table::UnixSeconds;
use eximrbl_zone::{Answer, answer};

use crate::content::Content;
use query::Query;
use response::Response;

/// Bytes that the longest response takes.
pub const RESPONSE_MAX: usize = crate::UDP_PAYLOAD as usize;

/// The length of the response, written into `out`; `None` when the query is declined, and `out`
/// then holds nothing of use.
pub fn quick(
    packet: &[u8],
    content: &Content,
    now: UnixSeconds,
    out: &mut [u8; RESPONSE_MAX],
) -> Option<usize> {
    let query = Query::read(packet)?;
    let mut response = Response::to(&query, out)?;
    match answer(query.name, query.query_type, &content.zones, &content.table, now) {
        Answer::Refused => response.refuse(),
        Answer::NxDomain(authority) => {
            response.set_nxdomain();
            response.push_soa(&authority, content)?;
        }
        Answer::NoData(authority) => response.push_soa(&authority, content)?,
        Answer::Apex { .. } => return None,
        Answer::Listed(listing) => {
            if listing.with_codes {
                listing.codes().try_for_each(|code| response.push_code(listing.ttl, code))?;
            }
            if listing.with_text {
                let text = listing.text(&content.table.reasons(), now);
                response.push_text(listing.ttl, text.as_bytes())?;
            }
        }
    }
    response.finish()
}
