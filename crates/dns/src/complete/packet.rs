//! From packet to packet: all that UDP and TCP have in common.

use std::net::{IpAddr, SocketAddr};

use eximrbl_table::UnixSeconds;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::ProtoError;
use hickory_server::server::Request;

use super::layout::{HEADER, Layout, Opt};
use super::responder::{self, Circumstances, EDNS_VERSION, Reply};
use crate::caught::caught;
use crate::cookie::Standing;
use crate::counters::{self, Outcome};
use crate::edns::Options;
use crate::guard::Treatment;
use crate::service::Service;
use crate::{PLAIN_PAYLOAD, UDP_PAYLOAD};

/// The bit that marks a response, in the header's third byte.
const IS_RESPONSE: u8 = 0x80;
/// The bits of the operation, in the header's third byte.
const OPCODE: u8 = 0x78;
/// The bit by which a client wishes for recursion, in the header's third byte; it is repeated.
const RECURSION_DESIRED: u8 = 0x01;
/// The bit by which a client wishes for no checking of signatures, in the header's fourth byte; it is
/// repeated (RFC 4035 section 3.2.2).
const CHECKING_DISABLED: u8 = 0x10;
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
    service: &Service,
    now: UnixSeconds,
) -> Option<Vec<u8>> {
    respond_and_tell(packet, client, transport, service, now).0
}

/// The response to a packet, as by [`respond`], and what there is to count of it.
pub fn respond_and_tell(
    packet: &[u8],
    client: SocketAddr,
    transport: Transport,
    service: &Service,
    now: UnixSeconds,
) -> (Option<Vec<u8>>, Outcome) {
    let header = packet.first_chunk().copied();
    // Responses are never answered, or two servers could talk for ever; nor is port 0.
    let is_query = |header: &[u8; HEADER]| header[2] & IS_RESPONSE == 0 && client.port() != 0;
    let Some(header) = header.filter(is_query) else { return (None, Outcome::IGNORED) };
    let answered = caught(|| answer(packet, header, client, transport, service, now));
    answered.unwrap_or_else(|| {
        let outcome = Outcome { reply: u16::from(SERVFAIL).into(), ..Outcome::IGNORED };
        (Some(bare_response(header, SERVFAIL, None)), outcome)
    })
}

/// The response to a packet that is no response; `None` for silence. And what there is to count.
fn answer(
    packet: &[u8],
    header: [u8; HEADER],
    client: SocketAddr,
    transport: Transport,
    service: &Service,
    now: UnixSeconds,
) -> (Option<Vec<u8>>, Outcome) {
    let is_plausible = has_plausible_counts(header) && has_plain_name(packet);
    let layout = if is_plausible { Layout::read(packet) } else { Layout::malformed() };
    let circumstances = circumstances(&layout, client.ip(), transport, service, now);
    let outcome = Outcome { cookie: circumstances.standing.into(), ..Outcome::IGNORED };
    if circumstances.treatment == Treatment::Drop {
        return (None, Outcome { reply: counters::Reply::Dropped, ..outcome });
    }
    let opt = layout.opt.as_ref();
    let bare = |code| {
        let outcome = Outcome { reply: u16::from(code).into(), ..outcome };
        (Some(bare_response(header, code, opt)), outcome)
    };
    let protocol = match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    let read = || Request::from_bytes(layout.without_opt(packet), client, protocol).ok();
    let Some(request) = (!layout.is_malformed).then(read).flatten() else {
        return bare(if header[2] & OPCODE != 0 { NOTIMP } else { FORMERR });
    };
    let mut reply = responder::respond(&request, &circumstances, service, now);
    match encode(&request, &mut reply, limit(opt, transport)) {
        Ok(bytes) => (Some(bytes), reply.outcome(&circumstances)),
        Err(error) => {
            tracing::debug!("response to {client} not built: {error}");
            bare(SERVFAIL)
        }
    }
}

/// Looks at the options, and decides what is done with the client.
fn circumstances<'p>(
    layout: &Layout<'p>,
    client: IpAddr,
    transport: Transport,
    service: &Service,
    now: UnixSeconds,
) -> Circumstances<'p> {
    let options = match &layout.opt {
        // What options mean in another version is not known.
        Some(opt) if opt.version == EDNS_VERSION && !layout.is_malformed => {
            Options::read(opt.options)
        }
        _ => Ok(Options::default()),
    };
    let judged = options.and_then(|options| {
        let (standing, cookie) = service.guard.judge(options.cookie, client, now)?;
        Ok((options, standing, cookie))
    });
    let has_malformed_options = judged.is_err();
    let (options, standing, cookie) =
        judged.unwrap_or((Options::default(), Standing::Without, None));
    let treatment = service.guard.treat(transport, standing, client, now);
    Circumstances {
        opt: layout.opt.clone(),
        has_malformed_options,
        // Who is not answered is not sent more than he sent, either.
        nsid: options.nsid && treatment == Treatment::Answer,
        // By UDP it means nothing (RFC 7828 section 3.2.1).
        keepalive: options.keepalive && transport == Transport::Tcp,
        standing,
        cookie,
        treatment,
    }
}

/// Whether the header promises what a query can hold. The parser makes room for all that is
/// promised, so that twelve bytes could cost megabytes.
fn has_plausible_counts(header: [u8; HEADER]) -> bool {
    // No more than one question (RFC 9619): a second one is not repeated either, for its name may
    // point into the header, which is another one in the response.
    let questions = u16::from_be_bytes([header[4], header[5]]);
    // And a few records: OPT, a signature, an IXFR query's SOA.
    let (counts, _) = header[4..].as_chunks();
    questions <= 1
        && counts.iter().map(|&count| usize::from(u16::from_be_bytes(count))).sum::<usize>()
            <= RECORDS_MAX
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
fn limit(opt: Option<&Opt<'_>>, transport: Transport) -> u16 {
    match (transport, opt) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_PAYLOAD,
        (Transport::Udp, Some(opt)) => opt.payload.clamp(PLAIN_PAYLOAD, UDP_PAYLOAD),
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

/// A response without a question: the query's ID, operation, RD and CD bits, a response code, and an
/// OPT record, if the query had one, or the client might take us for a server that does not know EDNS
/// (RFC 6891 section 7).
fn bare_response(header: [u8; HEADER], code: u8, opt: Option<&Opt<'_>>) -> Vec<u8> {
    let mut response = vec![0; HEADER];
    response[..2].copy_from_slice(&header[..2]);
    response[2] = IS_RESPONSE | header[2] & (OPCODE | RECURSION_DESIRED);
    response[3] = header[3] & CHECKING_DISABLED | code;
    if let Some(opt) = opt {
        response[HEADER - 1] = 1;
        let [high, low] = UDP_PAYLOAD.to_be_bytes();
        let flags = u8::from(opt.dnssec_ok) << 7;
        response.extend([0, 0, 41, high, low, 0, EDNS_VERSION, flags, 0, 0, 0]);
    }
    response
}
