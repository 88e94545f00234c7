//! The quick way: plain queries by UDP, as resolvers send them.
//!
//! A query is plain when it is one question of class IN for an ordinary type, with no other record
//! than perhaps an OPT. Such a query is answered without allocating, from the same
//! decisions as all others; everything else is declined, and so is what would not fit or would need
//! records that are rarely asked for (a zone's own SOA and NS, the server's identifier).
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

use std::net::SocketAddr;

use eximrbl_table::{Glance, Probe, Table, UnixSeconds};
use eximrbl_zone::{Answer, QueryType, Subject};

use crate::Transport;
use crate::cookie::Standing;
use crate::counters::{Outcome, Question, Reply};
use crate::edns::ExtendedError;
use crate::guard::Treatment;
use crate::service::Service;
use query::Query;
use response::Response;

/// Bytes that the longest response takes.
pub const RESPONSE_MAX: usize = crate::UDP_PAYLOAD as usize;

/// A plain query that is being answered.
pub struct Pending<'p, 's> {
    query: Query<'p>,
    client: SocketAddr,
    subject: Subject<'s>,
    probe: Option<Probe<'s>>,
    service: &'s Service,
}

impl<'p, 's> Pending<'p, 's> {
    /// Reads a query; `None` when it is declined. The glance is at the service's table.
    pub fn read(
        packet: &'p [u8],
        client: SocketAddr,
        service: &'s Service,
        glance: &'s Glance<'s>,
    ) -> Option<Self> {
        let query = Query::read(packet)?;
        let wants_nsid = query.edns.is_some_and(|edns| edns.options.nsid);
        if client.port() == 0 || wants_nsid && service.identity.nsid.is_some() {
            return None;
        }
        let content = &service.content;
        let subject = Subject::of_name(&query.name, query.query_type, &content.zones);
        if subject.is_apex() && matches!(query.query_type, QueryType::SOA | QueryType::NS) {
            return None;
        }
        let probe = subject.client().map(|client| glance.probe(client));
        Some(Self { query, client, subject, probe, service })
    }

    /// Asks the memory for what the answer will need.
    pub fn fetch(&mut self) {
        if let Some(probe) = &mut self.probe {
            probe.fetch();
        }
    }

    /// The length of the response, written into `out`, and what there is to count; a length of 0 when
    /// nothing is to be sent. `None` when the query is declined after all; `out` then holds
    /// nothing of use, and a query that counts by the rate limit has been counted.
    pub fn answer(
        &self,
        now: UnixSeconds,
        out: &mut [u8; RESPONSE_MAX],
    ) -> Option<(usize, Outcome)> {
        let Self { query, client, service, .. } = self;
        let client = client.ip();
        let cookie = query.edns.and_then(|edns| edns.options.cookie);
        // What is malformed goes to those who say so.
        let (standing, cookie) = match cookie {
            Some(_) => service.guard.judge(cookie, client, now).ok()?,
            None => (Standing::Without, None),
        };
        let outcome = Outcome { cookie: standing.into(), ..Outcome::IGNORED };
        let treatment = service.guard.treat(Transport::Udp, standing, client, now);
        if treatment == Treatment::Drop {
            return Some((0, Outcome { reply: Reply::Dropped, ..outcome }));
        }
        let mut response = Response::to(query, cookie, out)?;
        let outcome = match treatment {
            Treatment::Answer => {
                let question = self.write(&mut response, now)?;
                Outcome { question: Some(question), reply: question.reply(), ..outcome }
            }
            Treatment::BadCookie => {
                response.demand_cookie();
                Outcome { reply: Reply::BadCookie, ..outcome }
            }
            Treatment::Truncate | Treatment::Drop => {
                response.truncate();
                Outcome { reply: Reply::Slipped, ..outcome }
            }
        };
        Some((response.finish()?, outcome))
    }

    /// Writes what is decided; the question, for counting.
    fn write(&self, response: &mut Response<'_>, now: UnixSeconds) -> Option<Question> {
        let Self { query, client, service, .. } = self;
        let content = &service.content;
        let answer = self.decide(&content.table, now);
        let question = Question::of(&answer, query.query_type, &content.rows);
        if let Err(error) = service.access.check(&answer, client.ip()) {
            response.refuse(error);
            let is_prohibited = error == ExtendedError::Prohibited;
            return Some(if is_prohibited { question.prohibited() } else { question });
        }
        match answer {
            Answer::Refused | Answer::Apex { .. } => return None,
            Answer::NxDomain(authority) => {
                response.set_nxdomain();
                response.push_soa(&authority, content)?;
            }
            Answer::NoData(authority) => response.push_soa(&authority, content)?,
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
        Some(question)
    }

    fn decide(&self, table: &Table, now: UnixSeconds) -> Answer<'s> {
        match &self.probe {
            Some(probe) => self.subject.answer_at(table, probe, now),
            None => self.subject.answer(table, now),
        }
    }
}

/// All three steps for one query; see [`Pending::answer`].
pub fn quick(
    packet: &[u8],
    client: SocketAddr,
    service: &Service,
    now: UnixSeconds,
    out: &mut [u8; RESPONSE_MAX],
) -> Option<(usize, Outcome)> {
    let glance = service.content.table.glance();
    Pending::read(packet, client, service, &glance)?.answer(now, out)
}
