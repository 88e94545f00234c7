//! Reading a plain query.

use eximrbl_zone::{QueryName, QueryType};

use crate::edns::Options;

/// Length of a DNS header (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;
/// Of the header's third byte: response, operation, authoritative answer, truncation. All of them are 0
/// in a plain query.
const NOT_PLAIN: u8 = 0b1111_1110;
/// Of the header's fourth byte: recursion available, the reserved bit, response code. A query has no
/// use for them.
const NOT_PLAIN_EITHER: u8 = 0b1100_1111;
/// Class IN (RFC 1035 section 3.2.4).
const IN: [u8; 2] = [0, 1];
/// An OPT record's name and type (RFC 6891 section 6.1.2).
const OPT: [u8; 3] = [0, 0, 41];
/// Length of an OPT record without options.
pub(super) const OPT_LENGTH: usize = 11;
/// Length of the head of an option (RFC 6891 section 6.1.2).
pub(super) const OPTION_HEAD: usize = 4;

/// A plain query.
pub(super) struct Query<'p> {
    /// ID and flags.
    pub(super) header: [u8; 4],
    /// Name, type and class, as they came.
    pub(super) question: &'p [u8],
    pub(super) name: QueryName<'p>,
    pub(super) query_type: QueryType,
    pub(super) edns: Option<Edns<'p>>,
}

/// What an OPT record says (RFC 6891).
#[derive(Clone, Copy)]
pub(super) struct Edns<'p> {
    /// The largest response, in bytes, that the client can take.
    pub(super) payload: u16,
    /// The DO bit, which a response repeats (RFC 3225 section 3).
    pub(super) dnssec_ok: u8,
    pub(super) options: Options<'p>,
}

impl<'p> Query<'p> {
    /// `None` unless the packet is a plain query, and nothing follows it.
    pub(super) fn read(packet: &'p [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = packet.first_chunk()?;
        let [_, _, flags, more_flags, counts @ ..] = *header;
        if flags & NOT_PLAIN != 0 || more_flags & NOT_PLAIN_EITHER != 0 {
            return None;
        }
        let additional = match counts {
            [0, 1, 0, 0, 0, 0, 0, additional @ (0 | 1)] => additional,
            _ => return None,
        };
        let (name, rest) = QueryName::read_first(&packet[HEADER..])?;
        let (&[high, low, class @ ..], rest) = rest.split_first_chunk::<4>()?;
        if class != IN {
            return None;
        }
        let question = &packet[HEADER..HEADER + name.wire().len() + 4];
        let query_type = u16::from_be_bytes([high, low]);
        // Types of messages, not of records, are left to those who know what to say to them, and so
        // are OPT and the types that ask for several (RFC 6895 section 3.1).
        if query_type == 0 || query_type == 41 || (128..=255).contains(&query_type) {
            return None;
        }
        let edns = match additional {
            0 if rest.is_empty() => None,
            1 => Some(Edns::read(rest)?),
            _ => return None,
        };
        let header = [header[0], header[1], flags, more_flags];
        Some(Self { header, question, name, query_type: QueryType(query_type), edns })
    }
}

impl<'p> Edns<'p> {
    /// `None` unless these bytes are an OPT record of version 0 with sound options.
    fn read(record: &'p [u8]) -> Option<Self> {
        let (head, options) = record.split_first_chunk::<OPT_LENGTH>()?;
        let [a, b, c, high, low, 0, 0, flags, 0, l0, l1] = *head else { return None };
        let is_whole = usize::from(u16::from_be_bytes([l0, l1])) == options.len();
        // Flags other than DO are not defined yet.
        if [a, b, c] != OPT || flags & 0x7f != 0 || !is_whole {
            return None;
        }
        Some(Self {
            payload: u16::from_be_bytes([high, low]),
            dnssec_ok: flags,
            options: Options::read(options).ok()?,
        })
    }
}
