//! Where things lie in a packet, before anybody reads what they say: its OPT record above all.
//!
//! hickory reads the packet after this, without the OPT record: it takes one with any owner, errs for
//! options that are nothing to us, and takes no notice of options that pass the record's end.

use std::ops::Range;

use crate::edns::Malformed;

/// Length of a DNS header (RFC 1035 section 4.1.1).
pub(crate) const HEADER: usize = 12;
/// The type of OPT records (RFC 6891 section 6.1.2).
const OPT: u16 = 41;
/// Length of what follows a record's name: type, class, TTL, and the length of its data.
const RECORD_HEAD: usize = 10;

/// What a query's OPT record says (RFC 6891 section 6.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opt<'p> {
    /// The largest response, in bytes, that the client can take by UDP.
    pub(crate) payload: u16,
    /// The version of EDNS.
    pub(crate) version: u8,
    /// Repeated in the response (RFC 3225 section 3).
    pub(crate) dnssec_ok: bool,
    /// The options, unread.
    pub(crate) options: &'p [u8],
    /// The record's place in the packet.
    place: Range<usize>,
}

/// What was found in a packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout<'p> {
    /// The OPT record; the first, if there are several.
    pub(crate) opt: Option<Opt<'p>>,
    /// Whether the packet is malformed, by what can be seen without looking into its records: it ends
    /// within one, or its OPT records are not one, in the additional section, and the root's.
    pub(crate) is_malformed: bool,
}

impl<'p> Layout<'p> {
    /// That of a packet which nobody goes through.
    pub(crate) fn malformed() -> Self {
        Self { opt: None, is_malformed: true }
    }

    /// Goes through a packet's questions and records.
    pub(crate) fn read(packet: &'p [u8]) -> Self {
        let mut layout = Self::default();
        layout.is_malformed = layout.walk(packet).is_err();
        layout
    }

    fn walk(&mut self, packet: &'p [u8]) -> Result<(), Malformed> {
        let header: &[u8; HEADER] = packet.first_chunk().ok_or(Malformed)?;
        let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let [questions, answers, authorities, additionals] = [4, 6, 8, 10].map(count);
        let mut at = HEADER;
        for _ in 0..questions {
            at = name_end(packet, at)? + 4;
        }
        for (section, records) in [answers, authorities, additionals].into_iter().enumerate() {
            for _ in 0..records {
                let start = at;
                let head = name_end(packet, at)?;
                let fields: &[u8; RECORD_HEAD] =
                    packet.get(head..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
                let [t0, t1, c0, c1, _, version, flags, _, l0, l1] = *fields;
                let [kind, class, length] = [[t0, t1], [c0, c1], [l0, l1]].map(u16::from_be_bytes);
                at = head + RECORD_HEAD + usize::from(length);
                let data = packet.get(head + RECORD_HEAD..at).ok_or(Malformed)?;
                if kind != OPT {
                    continue;
                }
                let is_root = head == start + 1;
                if section != 2 || !is_root || self.opt.is_some() {
                    return Err(Malformed);
                }
                self.opt = Some(Opt {
                    payload: class,
                    version,
                    dnssec_ok: flags & 0x80 != 0,
                    options: data,
                    place: start..at,
                });
            }
        }
        if at > packet.len() { Err(Malformed) } else { Ok(()) }
    }

    /// The packet without its OPT record.
    pub(crate) fn without_opt(&self, packet: &[u8]) -> Vec<u8> {
        let mut bytes = packet.to_vec();
        if let Some(opt) = &self.opt {
            bytes.drain(opt.place.clone());
            // There was one, so the count is no less.
            let count = u16::from_be_bytes([bytes[10], bytes[11]]).saturating_sub(1);
            bytes[10..HEADER].copy_from_slice(&count.to_be_bytes());
        }
        bytes
    }
}

/// Where a name ends that begins at a place. It may end in a compression pointer, which is not
/// followed.
fn name_end(packet: &[u8], mut at: usize) -> Result<usize, Malformed> {
    loop {
        match *packet.get(at).ok_or(Malformed)? {
            0 => return Ok(at + 1),
            length @ 1..64 => at += usize::from(length) + 1,
            0xc0.. => return Ok(at + 2),
            _ => return Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    const OPTION: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\x04\0\x03\0\0";
    const ADDRESS: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01";

    fn packet(counts: [u8; 3], records: &[&[u8]]) -> Vec<u8> {
        let mut packet = [QUERY, &records.concat()].concat();
        for (section, count) in counts.into_iter().enumerate() {
            packet[7 + 2 * section] = count;
        }
        packet
    }

    /// Caught: an OPT record that is cut out one byte too far; one that another record follows.
    #[test]
    fn the_opt_record_is_found_and_taken_out_wherever_it_stands() {
        for (records, rest) in [
            (&[OPTION][..], &[][..]),
            (&[ADDRESS, OPTION], &[ADDRESS]),
            (&[OPTION, ADDRESS], &[ADDRESS]),
        ] {
            let whole = packet([0, 0, records.len() as u8], records);
            let layout = Layout::read(&whole);
            assert!(!layout.is_malformed);
            let opt = layout.opt.as_ref().unwrap();
            assert_eq!((opt.payload, opt.version, opt.dnssec_ok), (1232, 0, true));
            assert_eq!(opt.options, b"\0\x03\0\0");
            assert_eq!(layout.without_opt(&whole), packet([0, 0, rest.len() as u8], rest));
        }
        let plain = packet([0, 0, 0], &[]);
        assert_eq!(Layout::read(&plain), Layout::default());
        assert_eq!(Layout::read(&plain).without_opt(&plain), plain);
    }

    #[test]
    fn an_opt_record_stands_alone_at_the_root_in_the_additional_section() {
        let named = [b"\x01x", OPTION].concat();
        for (what, packet) in [
            ("two", packet([0, 0, 2], &[OPTION, OPTION])),
            ("answer", packet([1, 0, 0], &[OPTION])),
            ("authority", packet([0, 1, 0], &[OPTION])),
            ("named", packet([0, 0, 1], &[&named])),
            ("pointer", packet([0, 0, 1], &[&[b"\xc0\x0e", &OPTION[1..]].concat()])),
        ] {
            assert!(Layout::read(&packet).is_malformed, "{what}");
        }
        let two = packet([0, 0, 2], &[OPTION, OPTION]);
        assert!(Layout::read(&two).opt.is_some(), "the client knows EDNS");
    }

    #[test]
    fn what_ends_too_early_is_malformed() {
        let whole = packet([0, 0, 2], &[ADDRESS, OPTION]);
        assert!(!Layout::read(&whole).is_malformed);
        for length in 0..whole.len() {
            assert!(Layout::read(&whole[..length]).is_malformed, "{length}");
        }
    }
}
