//! Writing a response.

use std::net::Ipv4Addr;

use eximrbl_zone::Authority;

use super::RESPONSE_MAX;
use super::query::{HEADER, OPT_LENGTH, OPTION_HEAD, Query};
use crate::content::Content;
use crate::cookie::COOKIE;
use crate::edns::{self, ExtendedError};
use crate::{PLAIN_PAYLOAD, UDP_PAYLOAD};

/// Of the header's third byte: response, authoritative answer, truncation, recursion desired.
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
/// Of the header's fourth byte: checking disabled, which is repeated (RFC 4035 section 3.2.2).
const CHECKING_DISABLED: u8 = 0x10;
/// Response codes (RFC 1035 section 4.1.1).
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;
/// BADCOOKIE is 23 (RFC 7873 section 8): its low four bits, and those that the OPT record has.
const BADCOOKIE: [u8; 2] = [7, 1];
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
    opt: Option<Opt>,
}

/// The OPT record that goes with it.
struct Opt {
    /// The response code's upper bits.
    code: u8,
    dnssec_ok: u8,
    cookie: Option<[u8; COOKIE]>,
    error: Option<ExtendedError>,
}

impl<'o> Response<'o> {
    /// Begins a response: no error, authoritative, the question repeated.
    pub(super) fn to(
        query: &Query<'_>,
        cookie: Option<[u8; COOKIE]>,
        out: &'o mut [u8; RESPONSE_MAX],
    ) -> Option<Self> {
        let most = match query.edns {
            None => usize::from(PLAIN_PAYLOAD),
            Some(edns) => {
                let cookie = cookie.map_or(0, |cookie| OPTION_HEAD + cookie.len());
                let payload = edns.payload.clamp(PLAIN_PAYLOAD, UDP_PAYLOAD);
                usize::from(payload) - OPT_LENGTH - cookie
            }
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
        let opt = query.edns.map(|edns| {
            let dnssec_ok = edns.dnssec_ok;
            Opt { code: 0, dnssec_ok, cookie, error: None }
        });
        let name_length = query.name.wire().len();
        let mut response = Self { out, length: HEADER, limit: most, name_length, opt };
        response.push(query.question)?;
        Some(response)
    }

    /// Says that there is no answer, and why.
    pub(super) fn refuse(&mut self, error: ExtendedError) {
        self.out[2] &= !AUTHORITATIVE;
        self.out[3] |= REFUSED;
        if let Some(opt) = &mut self.opt {
            opt.error = Some(error);
        }
    }

    /// Tells the client to come again by TCP.
    pub(super) fn truncate(&mut self) {
        self.out[2] &= !AUTHORITATIVE;
        self.out[2] |= TRUNCATED;
    }

    /// Tells the client to come again with the cookie that goes with this.
    pub(super) fn demand_cookie(&mut self) {
        self.out[2] &= !AUTHORITATIVE;
        let [low, high] = BADCOOKIE;
        self.out[3] |= low;
        if let Some(opt) = &mut self.opt {
            opt.code = high;
        }
    }

    /// Says that the name does not exist.
    pub(super) fn set_nxdomain(&mut self) {
        self.out[3] |= NXDOMAIN;
    }

    /// Adds an address record of the name that was asked for.
    pub(super) fn push_code(&mut self, ttl: u32, code: Ipv4Addr) -> Option<()> {
        self.out[ANSWERS] += 1;
        self.push(&record_head(HEADER, 1, ttl, 4)?)?;
        self.push(&code.octets())
    }

    /// Adds a TXT record of one string, which has at most 255 bytes.
    pub(super) fn push_text(&mut self, ttl: u32, text: &[u8]) -> Option<()> {
        self.out[ANSWERS] += 1;
        let length = u8::try_from(text.len()).ok()?;
        self.push(&record_head(HEADER, 16, ttl, text.len() + 1)?)?;
        self.push(&[length])?;
        self.push(text)
    }

    /// Adds the zone's SOA record as the authority (RFC 2308).
    pub(super) fn push_soa(&mut self, authority: &Authority<'_>, content: &Content) -> Option<()> {
        let (ttl, names, times) = content.apexes.get(authority.zone.index())?.soa_wire();
        self.out[AUTHORITIES] += 1;
        // The question's name ends in the zone's.
        let owner = HEADER + self.name_length.checked_sub(authority.zone.name().wire().len())?;
        self.push(&record_head(owner, 6, ttl, names.len() + 4 + times.len())?)?;
        self.push(names)?;
        self.push(&authority.serial.to_be_bytes())?;
        self.push(times)
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
        let Some(Opt { code, dnssec_ok, cookie, error }) = self.opt.take() else {
            return Some(self.length);
        };
        self.out[ADDITIONALS] = 1;
        // What is added has its place: what went before kept to the limit, and an error has no records.
        self.limit = RESPONSE_MAX;
        let cookie_length = cookie.map_or(0, |cookie| OPTION_HEAD + cookie.len());
        let error_length = error.map_or(0, |_| OPTION_HEAD + 2);
        let [high, low] = UDP_PAYLOAD.to_be_bytes();
        let options = (cookie_length + error_length) as u8;
        self.push(&[0, 0, 41, high, low, code, 0, dnssec_ok, 0, 0, options])?;
        if let Some(cookie) = cookie {
            self.push_option_head(edns::COOKIE, cookie.len())?;
            self.push(&cookie)?;
        }
        if let Some(error) = error {
            self.push_option_head(edns::EXTENDED_ERROR, 2)?;
            self.push(&error.code().to_be_bytes())?;
        }
        Some(self.length)
    }

    fn push_option_head(&mut self, code: u16, length: usize) -> Option<()> {
        self.push(&code.to_be_bytes())?;
        self.push(&(length as u16).to_be_bytes())
    }
}

/// A record's owner, which begins at a place in this message; its type, class IN, TTL and the length of
/// what follows.
fn record_head(owner: usize, kind: u8, ttl: u32, length: usize) -> Option<[u8; 12]> {
    // A compression pointer (RFC 1035 section 4.1.4).
    let [a, b] = (u16::try_from(owner).ok()? | 0xc000).to_be_bytes();
    let [c, d, e, f] = ttl.to_be_bytes();
    let [g, h] = u16::try_from(length).ok()?.to_be_bytes();
    Some([a, b, 0, kind, 0, 1, c, d, e, f, g, h])
}
