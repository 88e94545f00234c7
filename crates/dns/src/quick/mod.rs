//! The quick way: plain queries by UDP, as resolvers send them.
//!
//! A query is plain when it is one question of class IN for an ordinary type, with no other record
//! than perhaps an OPT without options. Such a query is answered without allocating, from the same
//! decision as all others; everything else is declined, and so is what would not fit or would need
//! records that are rarely asked for (a zone's own SOA and NS).
//!
//! It goes in three steps, so that who has many queries at hand can take each step for all of them
//! before the next. What is slow about an answer is to wait for main memory; this way the
//! waits for all of them are one.
//!
//! ```text
//! Pending::read    reads the query, finds the zone and the address, asks for the control words
//! Pending::fetch   asks for the entry, if there seems to be one
//! Pending::answer  decides, and writes the response
//! ```

mod query;
mod response;

use eximrbl_table::{Probe, Table, UnixSeconds};
use eximrbl_zone::{Answer, Subject};

use crate::content::Content;
use query::Query;
use response::Response;

/// Bytes that the longest response takes.
pub const RESPONSE_MAX: usize = crate::UDP_PAYLOAD as usize;

/// A plain query that is being answered from some content.
pub struct Pending<'p, 'c> {
    query: Query<'p>,
    subject: Subject<'c>,
    probe: Option<Probe>,
    content: &'c Content,
}

impl<'p, 'c> Pending<'p, 'c> {
    /// Reads a query; `None` when it is declined.
    pub fn read(packet: &'p [u8], content: &'c Content) -> Option<Self> {
        let query = Query::read(packet)?;
        let subject = Subject::of(query.name, query.query_type, &content.zones);
        let probe = subject.client().map(|client| content.table.probe(client));
        Some(Self { query, subject, probe, content })
    }

    /// Asks the memory for what the answer will need.
    pub fn fetch(&self) {
        if let Some(probe) = &self.probe {
            self.content.table.fetch_entry(probe);
        }
    }

    /// The length of the response, written into `out`; `None` when the query is declined, and `out`
    /// then holds nothing of use.
    pub fn answer(&self, now: UnixSeconds, out: &mut [u8; RESPONSE_MAX]) -> Option<usize> {
        let content = self.content;
        let mut response = Response::to(&self.query, out)?;
        match self.decide(&content.table, now) {
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

    fn decide(&self, table: &Table, now: UnixSeconds) -> Answer<'c> {
        match &self.probe {
            Some(probe) => self.subject.answer_at(table, probe, now),
            None => self.subject.answer(table, now),
        }
    }
}

/// All three steps for one query.
pub fn quick(
    packet: &[u8],
    content: &Content,
    now: UnixSeconds,
    out: &mut [u8; RESPONSE_MAX],
) -> Option<usize> {
    Pending::read(packet, content)?.answer(now, out)
}
