//! From packet to packet: all that UDP and TCP have in common.

use std::net::SocketAddr;

use eximrbl_table::UnixSeconds;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::ProtoError;
use hickory_server::server::Request;

use super::responder::{self, Reply};
use crate::caught::caught;
use crate::content::Content;
use crate::counters::Outcome;
use crate::{PLAIN_PAYLOAD, UDP_PAYLOAD};

/// Length of a DNS header.
const HEADER: usize = 12;
/// The bit that marks a response, in the header's third byte.
const IS_RESPONSE: u8 = 0x80;
/// The bits of the operation, in the header's third byte.
const OPCODE: u8 = 0x78;
/// The bit by which a client wishes for recursion, in the header's third byte; it is repeated.
const RECURSION_DESIRED: u8 = 0x01;
/// Most questions and records of a request that are looked at.
const RECORDS_MAX: usize = 16;
/// Response codes (RFC 1035 section 4.1.1).
const FORMERR: u8 = 1;
const SERVFAIL: u8 = 2;
const NOTIMP: u8 = 4;

/// What a packet came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: responses may be cut.
    Udp,
    /// A connection.
    Tcp,
}

/// The response to a packet, whatever it is; `None` for silence. A panic becomes SERVFAIL.
pub fn respond(
    packet: &[u8],
    client: SocketAddr,
    transport: Transport,
    content: &Content,
    now: UnixSeconds,
) -> Option<Vec<u8>> {
    respond_and_tell(packet, client, transport, content, now).0
}

/// The response to a packet, as by [`respond`], and what there is to count of it.
pub fn respond_and_tell(
    packet: &[u8],
    client: SocketAddr,
    transport: Transport,
    content: &Content,
    now: UnixSeconds,
) -> (Option<Vec<u8>>, Outcome) {
    let header = packet.first_chunk().copied();
    // Responses are never answered, or two servers could talk for ever; nor is port 0.
    let is_query = |header: &[u8; HEADER]| header[2] & IS_RESPONSE == 0 && client.port() != 0;
    let Some(header) = header.filter(is_query) else { return (None, Outcome::IGNORED) };
    let response = caught(|| {
        if !has_plausible_counts(header) || !has_plain_name(packet) {
            return None;
        }
        let protocol = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let request = Request::from_bytes(packet.to_vec(), client, protocol).ok()?;
        let mut reply = responder::respond(&request, content, now);
        let bytes = encode(&request, &mut reply, limit(&request, transport));
        Some(bytes.map(|bytes| (bytes, reply.outcome())))
    });
    let code = match response {
        Some(Some(Ok((bytes, outcome)))) => return (Some(bytes), outcome),
        Some(Some(Err(error))) => {
            tracing::debug!("response to {client} not built: {error}");
            SERVFAIL
        }
        Some(None) if header[2] & OPCODE != 0 => NOTIMP,
        Some(None) => FORMERR,
        None => SERVFAIL,
    };
    let outcome = Outcome { reply: u16::from(code).into(), ..Outcome::IGNORED };
    (Some(bare_response(header, code)), outcome)
}

/// Whether the header promises what a query can hold. The parser makes room for all that is
/// promised, so that twelve bytes could cost megabytes.
fn has_plausible_counts(header: [u8; HEADER]) -> bool {
    // One question (RFC 9619), and a few records: OPT, a signature, an IXFR query's SOA.
    let (counts, _) = header[4..].as_chunks();
    counts.iter().map(|&count| usize::from(u16::from_be_bytes(count))).sum::<usize>() <= RECORDS_MAX
}

/// Whether the question's name, if there is one, is written out. Nothing stands before it that a
/// compression pointer could point to, but the header; and that is another one in the response,
/// where the question is repeated as it came.
fn has_plain_name(packet: &[u8]) -> bool {
    let mut at = HEADER;
    while let Some(&length) = packet.get(at) {
        match length {
            0 => break,
            1..64 => at += 1 + usize::from(length),
            _ => return false,
        }
    }
    true
}

/// How long the response may be.
fn limit(request: &Request, transport: Transport) -> u16 {
    match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_PAYLOAD,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_PAYLOAD, UDP_PAYLOAD),
    }
}

/// The response within the limit.
///
/// hickory's encoder can stop at a limit too, but leaves a part of the record that did not fit
/// at the end of the packet, and the OPT record out. So what is too long is made anew without any.
fn encode(request: &Request, reply: &mut Reply, limit: u16) -> Result<Vec<u8>, ProtoError> {
    let bytes = reply.encode(request)?;
    if bytes.len() <= usize::from(limit) {
        return Ok(bytes);
    }
    reply.truncate();
    reply.encode(request)
}

/// A response that is a header alone: the query's ID, operation and RD bit, and a response code.
fn bare_response(header: [u8; HEADER], code: u8) -> Vec<u8> {
    let mut response = vec![0; HEADER];
    response[..2].copy_from_slice(&header[..2]);
    response[2] = IS_RESPONSE | header[2] & (OPCODE | RECURSION_DESIRED);
    response[3] = code;
    response
}
