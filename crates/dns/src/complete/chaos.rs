//! What the server tells of itself: TXT records of class CH (RFC 4892).

use std::net::IpAddr;

use hickory_server::proto::op::{LowerQuery, ResponseCode};
use hickory_server::proto::rr::rdata::TXT;
use hickory_server::proto::rr::{DNSClass, RData, Record, RecordType};

use crate::edns::ExtendedError;
use crate::records::Sections;
use crate::service::{Identity, Service};

/// The answer to a question of class CH.
pub(crate) fn chaos(query: &LowerQuery, service: &Service, client: IpAddr) -> Sections {
    let text = text(query, &service.identity);
    let wanted = matches!(query.query_type(), RecordType::TXT | RecordType::ANY);
    let Some(text) = text.filter(|_| wanted) else {
        return Sections::refused(ExtendedError::NotSupported);
    };
    if !service.access.allows_elsewhere(client) {
        return Sections::refused(ExtendedError::Prohibited);
    }
    let data = RData::TXT(TXT::from_bytes(vec![text.as_bytes()]));
    // Nobody should keep it: the next server of the same address may be another.
    let mut record = Record::from_rdata(query.original().name().clone(), 0, data);
    record.dns_class = DNSClass::CH;
    Sections {
        authoritative: true,
        answers: vec![record],
        ..Sections::error(ResponseCode::NoError)
    }
}

/// What is told under a name.
fn text<'s>(query: &LowerQuery, identity: &'s Identity) -> Option<&'s str> {
    let name = query.original().name();
    let mut labels = name.iter();
    let labels = [labels.next()?, labels.next()?, labels.next().unwrap_or_default()];
    let labels = labels.map(<[u8]>::to_ascii_lowercase);
    let text = match labels.each_ref().map(Vec::as_slice) {
        [b"version", b"bind" | b"server", b""] => &identity.version,
        [b"hostname", b"bind", b""] | [b"id", b"server", b""] => &identity.hostname,
        _ => &None,
    };
    text.as_deref()
}
