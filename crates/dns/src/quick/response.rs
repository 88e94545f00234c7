//! Writing a response.

use std::net::Ipv4Addr;

use eximrbl_zone::Authority;

use super::RESPONSE_MAX;
use super::query::{Edns, HEADER, OPT_LENGTH, Query};
use crate::content::Content;
use crate::{PLAIN_PAYLOAD, UDP_PAYLOAD};

/// Of the header's third byte: response, authoritative answer, recursion desired.
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const RECURSION_DESIRED: u8 = 0x01;
/// Of the header's fourth byte: checking disabled, which is repeated (RFC 4035 section 3.2.2).
const CHECKING_DISABLED: u8 = 0x10;
/// Response codes (RFC 1035 section 4.1.1).
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;
/// Where the counts of answers and of authority records end in the header.
const ANSWERS: usize = 7;
const AUTHORITIES: usize = 9;
const ADDITIONALS: usize = 11;

/// A response that is being written.
pub(super) struct Response<'o> {
    out: &'o mut [u8; RESPONSE_MAX],
    length: usize,
    /// How long it may become, without the OPT record.
    limit: usize,
    name_length: usize,
    edns: Option<Edns>,
}

impl<'o> Response<'o> {
    /// Begins a response: no error, authoritative, the question repeated.
    pub(super) fn to(query: &Query<'_>, out: &'o mut [u8; RESPONSE_MAX]) -> Option<Self> {
        let most = match query.edns {
            None => usize::from(PLAIN_PAYLOAD),
            Some(edns) => usize::from(edns.payload.clamp(PLAIN_PAYLOAD, UDP_PAYLOAD)) - OPT_LENGTH,
        };
        let [id_high, id_low, flags, more_flags] = query.header;
        out[..HEADER].copy_from_slice(&[
            id_high,
            id_low,
            RESPONSE | AUTHORITATIVE | flags & RECURSION_DESIRED,
            more_flags & CHECKING_DISABLED,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        let mut response = Self {
            out,
            length: HEADER,
            limit: most,
            name_length: query.name.len(),
            edns: query.edns,
        };
        response.push(query.question)?;
        Some(response)
    }

    /// Says that the name is none of ours.
    pub(super) fn refuse(&mut self) {
        self.out[2] &= !AUTHORITATIVE;
        self.out[3] |= REFUSED;
    }

    /// Says that the name does not exist.
    pub(super) fn set_nxdomain(&mut self) {
        self.out[3] |= NXDOMAIN;
    }

    /// Adds an address record of the name that was asked for.
    pub(super) fn push_code(&mut self, ttl: u32, code: Ipv4Addr) -> Option<()> {
        self.out[ANSWERS] += 1;
        self.push_head(HEADER, 1, ttl, 4)?;
        self.push(&code.octets())
    }

    /// Adds a TXT record of one string, which has at most 255 bytes.
    pub(super) fn push_text(&mut self, ttl: u32, text: &[u8]) -> Option<()> {
        self.out[ANSWERS] += 1;
        let length = u8::try_from(text.len()).ok()?;
        self.push_head(HEADER, 16, ttl, text.len() + 1)?;
        self.push(&[length])?;
        self.push(text)
    }

    /// Adds the zone's SOA record as the authority (RFC 2308).
    pub(super) fn push_soa(&mut self, authority: &Authority<'_>, content: &Content) -> Option<()> {
        let (ttl, names, times) = content.apexes.get(authority.zone.index())?.soa_wire();
        self.out[AUTHORITIES] += 1;
        // The question's name ends in the zone's.
        let owner = HEADER + self.name_length.checked_sub(authority.zone.name().wire().len())?;
        self.push_head(owner, 6, ttl, names.len() + 4 + times.len())?;
        self.push(names)?;
        self.push(&authority.serial.to_be_bytes())?;
        self.push(times)
    }

    /// A record's owner, which begins at a place in this message; its type, class IN, TTL and the
    /// length of what follows.
    fn push_head(&mut self, owner: usize, kind: u8, ttl: u32, length: usize) -> Option<()> {
        // A compression pointer (RFC 1035 section 4.1.4).
        let pointer = u16::try_from(owner).ok()? | 0xc000;
        self.push(&pointer.to_be_bytes())?;
        self.push(&[0, kind, 0, 1])?;
        self.push(&ttl.to_be_bytes())?;
        self.push(&u16::try_from(length).ok()?.to_be_bytes())
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        if end > self.limit {
            return None;
        }
        self.out.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    /// Adds the OPT record, if the query had one. The response's length.
    pub(super) fn finish(mut self) -> Option<usize> {
        if let Some(Edns { dnssec_ok, .. }) = self.edns {
            self.out[ADDITIONALS] = 1;
            self.limit += OPT_LENGTH;
            let [high, low] = UDP_PAYLOAD.to_be_bytes();
            self.push(&[0, 0, 41, high, low, 0, 0, dnssec_ok, 0, 0, 0])?;
        }
        Some(self.length)
    }
}
