//! From a request to a reply: EDNS, what is not to be answered, and what the zones say.

use eximrbl_table::UnixSeconds;
use eximrbl_zone::{QueryType, answer};
use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_server::proto::rr::DNSClass;
use hickory_server::proto::serialize::binary::BinEncoder;
use hickory_server::server::Request;
use hickory_server::zone_handler::MessageResponseBuilder;

use crate::UDP_PAYLOAD;
use crate::caught::caught;
use crate::content::Content;
use crate::counters::{Outcome, Question};
use crate::records::Sections;

/// The EDNS version that we know (RFC 6891).
const EDNS_VERSION: u8 = 0;

/// A response, all but the question, which is repeated from the request.
pub(crate) struct Reply {
    metadata: Metadata,
    sections: Sections,
    edns: Option<Edns>,
    /// The question, if it came to one.
    question: Option<Question>,
}

/// Answers one request. A panic becomes SERVFAIL.
pub(crate) fn respond(request: &Request, content: &Content, now: UnixSeconds) -> Reply {
    reply(request, || sections(request, content, now))
}

/// What the zones say, and the question that they were asked.
fn sections(
    request: &Request,
    content: &Content,
    now: UnixSeconds,
) -> (Sections, Option<Question>) {
    let [query] = request.queries.queries() else {
        return (Sections::error(ResponseCode::FormErr), None);
    };
    if query.query_class() != DNSClass::IN {
        return (Sections::error(ResponseCode::Refused), None);
    }
    let owner = query.original().name();
    let query_type = QueryType(query.query_type().into());
    let (wire, length) = wire_form(owner.iter());
    let decided = answer(&wire[..length], query_type, &content.zones, &content.table, now);
    let question = Question::of(&decided, query_type, &content.rows);
    (Sections::of(&decided, owner, &content.apexes, &content.table, now), Some(question))
}

/// Makes the response's head, and asks `sections` for its content if the request's head is good.
fn reply(request: &Request, sections: impl FnOnce() -> (Sections, Option<Question>)) -> Reply {
    let mut edns = request.edns.as_ref().map(|asked| {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        edns.set_version(EDNS_VERSION);
        // RFC 3225 section 3: the bit is copied.
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        edns
    });
    let (sections, question) = if request.version() > EDNS_VERSION {
        if let Some(edns) = &mut edns {
            edns.set_rcode_high(ResponseCode::BADVERS.high());
        }
        (Sections::error(ResponseCode::BADVERS), None)
    } else if request.metadata.op_code != OpCode::Query {
        (Sections::error(ResponseCode::NotImp), None)
    } else {
        caught(sections).unwrap_or_else(|| (Sections::error(ResponseCode::ServFail), None))
    };
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.authoritative = sections.authoritative;
    metadata.response_code = sections.code;
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
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            question: self.question,
            reply: u16::from(self.metadata.response_code).into(),
            truncated: self.metadata.truncation,
            ..Outcome::IGNORED
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
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use hickory_server::net::xfer::Protocol;

    #[test]
    fn a_panic_becomes_servfail() {
        let query = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x01a\x00\x00\x01\x00\x01".to_vec();
        let client = "127.0.0.1:5353".parse().unwrap();
        let request = Request::from_bytes(query, client, Protocol::Udp).unwrap();
        let reply = reply(&request, || panic!("on purpose"));
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert_eq!(reply.metadata.id, 0x1234);
        assert!(!reply.metadata.authoritative);
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
