//! From a request to a reply: EDNS, what is not to be answered, and what the zones say.

use std::net::IpAddr;

use eximrbl_table::UnixSeconds;
use eximrbl_zone::{Answer, QueryType, answer};
use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{Edns, LowerQuery, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::DNSClass;
use hickory_server::proto::rr::rdata::opt::EdnsOption;
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;

use super::chaos::chaos;
use super::layout::Opt;
use crate::UDP_PAYLOAD;
use crate::caught::caught;
use crate::cookie::{COOKIE, Standing};
use crate::counters::{self, Outcome, Question};
use crate::edns::{self, ExtendedError};
use crate::guard::Treatment;
use crate::records::Sections;
use crate::service::Service;

/// The EDNS version that we know (RFC 6891).
pub(crate) const EDNS_VERSION: u8 = 0;

/// What is known of a query beside its question.
pub(crate) struct Circumstances<'p> {
    /// Its OPT record.
    pub(crate) opt: Option<Opt<'p>>,
    /// Whether that holds options that are malformed.
    pub(crate) has_malformed_options: bool,
    /// Whether it is to be told the server's identifier.
    pub(crate) nsid: bool,
    /// Whether it is to be told how long its connection may be idle.
    pub(crate) keepalive: bool,
    /// What its cookie shows.
    pub(crate) standing: Standing,
    /// The cookie to answer with.
    pub(crate) cookie: Option<[u8; COOKIE]>,
    /// What is done with it.
    pub(crate) treatment: Treatment,
}

/// A response, all but the question, which is repeated from the request.
pub(crate) struct Reply {
    metadata: Metadata,
    sections: Sections,
    edns: Option<Edns>,
    /// The question, if it came to one.
    question: Option<Question>,
}

/// Answers one request, which has been read without its OPT record. A panic becomes SERVFAIL.
pub(crate) fn respond(
    request: &Request,
    circumstances: &Circumstances<'_>,
    service: &Service,
    now: UnixSeconds,
) -> Reply {
    let sections = match early(request, circumstances) {
        Some(sections) => (sections, None),
        None => contained(|| sections(request, service, now)),
    };
    reply(request, circumstances, service, sections)
}

/// What `sections` gives; SERVFAIL when it panics.
fn contained(
    sections: impl FnOnce() -> (Sections, Option<Question>),
) -> (Sections, Option<Question>) {
    caught(sections).unwrap_or_else(|| (Sections::error(ResponseCode::ServFail), None))
}

/// What is said without looking at the question.
fn early(request: &Request, circumstances: &Circumstances<'_>) -> Option<Sections> {
    let code = if circumstances.opt.as_ref().is_some_and(|opt| opt.version > EDNS_VERSION) {
        ResponseCode::BADVERS
    } else if request.metadata.op_code != OpCode::Query {
        ResponseCode::NotImp
    } else if circumstances.has_malformed_options {
        ResponseCode::FormErr
    } else if request.queries.queries().is_empty() {
        match circumstances.standing {
            // A client may ask for a cookie alone, or whether its own is good (RFC 7873 section 5.4).
            Standing::New | Standing::Valid => ResponseCode::NoError,
            Standing::Invalid => ResponseCode::BADCOOKIE,
            Standing::Without => ResponseCode::FormErr,
        }
    } else {
        match circumstances.treatment {
            Treatment::Answer => return None,
            Treatment::BadCookie => ResponseCode::BADCOOKIE,
            // Nothing of what would be dropped comes here.
            Treatment::Truncate | Treatment::Drop => return Some(Sections::truncated()),
        }
    };
    Some(Sections::error(code))
}

/// What the zones say, and the question that they were asked.
fn sections(
    request: &Request,
    service: &Service,
    now: UnixSeconds,
) -> (Sections, Option<Question>) {
    let [query] = request.queries.queries() else {
        return (Sections::error(ResponseCode::FormErr), None);
    };
    let client = request.src().ip();
    match query.query_class() {
        DNSClass::IN => internet(query, service, client, now),
        DNSClass::CH => (chaos(query, service, client), None),
        _ => (Sections::refused(ExtendedError::NotSupported), None),
    }
}

/// The answer to a question of class IN.
fn internet(
    query: &LowerQuery,
    service: &Service,
    client: IpAddr,
    now: UnixSeconds,
) -> (Sections, Option<Question>) {
    let owner = query.original().name();
    let query_type = QueryType(query.query_type().into());
    let (wire, length) = wire_form(owner.iter());
    let content = &service.content;
    let decide =
        |query_type| answer(&wire[..length], query_type, &content.zones, &content.table, now);
    let decided = decide(query_type);
    // A transfer is refused whatever the zone; whether it is ours, another question shows.
    let is_transfer = matches!(query_type, QueryType::AXFR | QueryType::IXFR);
    let found = if is_transfer { decide(QueryType::SOA) } else { decided };
    let question = |answer| Question::of(answer, query_type, &content.rows);
    let (sections, question) = match service.access.check(&found, client) {
        Err(error @ ExtendedError::Prohibited) => {
            (Sections::refused(error), question(&found).prohibited())
        }
        Err(error) => (Sections::refused(error), question(&decided)),
        Ok(()) if matches!(decided, Answer::Refused) => {
            (Sections::refused(ExtendedError::NotSupported), question(&decided))
        }
        Ok(()) => {
            let sections = Sections::of(&decided, owner, &content.apexes, &content.table, now);
            (sections, question(&decided))
        }
    };
    (sections, Some(question))
}

/// Puts the response's head before its content.
fn reply(
    request: &Request,
    circumstances: &Circumstances<'_>,
    service: &Service,
    (sections, question): (Sections, Option<Question>),
) -> Reply {
    let edns = circumstances.opt.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        edns.set_version(EDNS_VERSION);
        // RFC 3225 section 3: the bit is copied.
        edns.set_dnssec_ok(asked.dnssec_ok);
        edns.set_rcode_high(sections.code.high());
        let mut add = |code, data| edns.options_mut().insert(EdnsOption::Unknown(code, data));
        if let Some(cookie) = circumstances.cookie {
            add(edns::COOKIE, cookie.to_vec());
        }
        if let Some(nsid) = service.identity.nsid.as_ref().filter(|_| circumstances.nsid) {
            add(edns::NSID, nsid.clone().into_bytes());
        }
        if circumstances.keepalive {
            // In tenths of a second (RFC 7828 section 3.1).
            let tenths = service.identity.tcp_idle_timeout.saturating_mul(10);
            let tenths = u16::try_from(tenths).unwrap_or(u16::MAX);
            add(edns::TCP_KEEPALIVE, tenths.to_be_bytes().to_vec());
        }
        if let Some(error) = sections.extended {
            add(edns::EXTENDED_ERROR, error.code().to_be_bytes().to_vec());
        }
        edns
    });
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.authoritative = sections.authoritative;
    metadata.response_code = sections.code;
    metadata.truncation = sections.is_truncated;
    tracing::trace!(client = %request.src(), queries = ?request.queries.queries(),
        code = %sections.code, answers = sections.answers.len(), "query");
    Reply { metadata, sections, edns, question }
}

impl Reply {
    /// Leaves the records out and says so, for the client to ask again by TCP (RFC 2181 section 9).
    pub(crate) fn truncate(&mut self) {
        self.metadata.truncation = true;
        self.sections.answers.clear();
        self.sections.authorities.clear();
    }

    /// What there is to count.
    pub(crate) fn outcome(&self, circumstances: &Circumstances<'_>) -> Outcome {
        let is_slipped = circumstances.treatment == Treatment::Truncate && self.question.is_none();
        let code = u16::from(self.metadata.response_code).into();
        Outcome {
            question: self.question,
            cookie: circumstances.standing.into(),
            reply: if is_slipped { counters::Reply::Slipped } else { code },
            truncated: self.metadata.truncation && !is_slipped,
        }
    }

    /// The response in wire form, however long.
    pub(crate) fn encode(&self, request: &Request) -> Result<Vec<u8>, ProtoError> {
        let mut bytes = Vec::with_capacity(512);
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_max_size(u16::MAX);
        MessageResponseBuilder::new(&request.queries, self.edns.as_ref())
            .build(self.metadata, &self.sections.answers, &self.sections.authorities, [], [])
            .destructive_emit(&mut encoder)?;
        Ok(bytes)
    }
}

/// A name's wire form and its length, without the heap. hickory's names are never too long; a
/// label that did not fit would be left out, and the name then be in no zone.
fn wire_form<'n>(labels: impl Iterator<Item = &'n [u8]>) -> ([u8; 256], usize) {
    let mut wire = [0; 256];
    let mut at = 0;
    for label in labels {
        // One byte stays for the root.
        let Some(place) = wire[..255].get_mut(at..at + 1 + label.len()) else {
            break;
        };
        place[0] = label.len() as u8;
        place[1..].copy_from_slice(label);
        at += 1 + label.len();
    }
    (wire, at + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn a_panic_becomes_servfail() {
        let (sections, _) = contained(|| panic!("on purpose"));
        assert_eq!(sections.code, ResponseCode::ServFail);
        assert!(!sections.authoritative && sections.answers.is_empty());
    }

    #[test]
    fn names_take_their_wire_form() {
        let (wire, length) = wire_form([&b"rbl"[..], b"example"].into_iter());
        assert_eq!(&wire[..length], b"\x03rbl\x07example\x00");
        let (_, length) = wire_form(std::iter::repeat_n(&b"a"[..], 127));
        assert_eq!(length, 255);
        let (_, length) = wire_form(std::iter::repeat_n(&b"a"[..], 500));
        assert!(length <= 255);
    }
}
