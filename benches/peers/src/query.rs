//! The queries: made before the clock starts, always the same ones, half of them for listed
//! addresses. And the check of what is answered.

use std::fmt;

use crate::entries::{Random, ipv4, ipv6};

/// The zone that all servers serve.
pub(crate) const ZONE: &str = "rbl.example.org";
/// Queries before they start over.
const COUNT: u32 = 1 << 20;
const SEED: u64 = 20_040_609;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_TXT: u16 = 16;
const NXDOMAIN: u8 = 3;
/// What a listed address has (RFC 5782, section 2.1).
const LISTED: [u8; 4] = [127, 0, 0, 2];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The A record of an IPv4 address.
    A,
    /// The same, with EDNS and DO, as resolvers ask.
    AEdns,
    /// The TXT record of an IPv4 address.
    Txt,
    /// The A record of an IPv6 address.
    Ipv6,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::A => "A, IPv4",
            Self::AEdns => "A, IPv4, with EDNS",
            Self::Txt => "TXT, IPv4",
            Self::Ipv6 => "A, IPv6",
        })
    }
}

/// Queries in random order.
pub(crate) struct Queries {
    kind: Kind,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    listed: Vec<bool>,
    echoed: bool,
}

impl Queries {
    /// Half of them for one of the first `entries` addresses, which are listed, half for others.
    pub(crate) fn new(kind: Kind, entries: u32) -> Self {
        Self::some(kind, entries, COUNT)
    }

    /// So many of them.
    pub(crate) fn some(kind: Kind, entries: u32, count: u32) -> Self {
        let mut random = Random::new(SEED);
        let (mut bytes, mut ends, mut listed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..count {
            let is_listed = random.below(2) == 1;
            let number = random.below(entries) + if is_listed { 0 } else { entries };
            append(kind, number, &mut bytes);
            ends.push(bytes.len() as u32);
            listed.push(is_listed);
        }
        Self { kind, bytes, ends, listed, echoed: false }
    }

    /// A single query, for the first of the listed addresses.
    pub(crate) fn first_listed() -> Self {
        let bytes = single(Kind::A, 0);
        let ends = vec![bytes.len() as u32];
        Self { kind: Kind::A, bytes, ends, listed: vec![true], echoed: false }
    }

    /// Whether the queries go to the echo server, whose right answer is the query itself.
    pub(crate) fn set_echoed(&mut self, echoed: bool) {
        self.echoed = echoed;
    }

    /// How many there are before they start over.
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// The query's bytes, with an identifier of 0.
    pub(crate) fn get(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[start as usize..self.ends[place] as usize]
    }

    /// Whether the address is listed.
    pub(crate) fn is_listed(&self, place: usize) -> bool {
        self.listed[place]
    }

    /// Whether this is the right answer. `closely`: looks at the question and at the record, too.
    pub(crate) fn is_right(&self, place: usize, answer: &[u8], closely: bool) -> bool {
        let query = self.get(place);
        if self.echoed {
            return answer.get(2..) == Some(&query[2..]);
        }
        let &[_, _, high, low, _, _, answers_high, answers_low, ..] = answer else { return false };
        let (is_response, rcode) = (high & 0x80 != 0, low & 0x0f);
        let has_answer = (answers_high, answers_low) != (0, 0);
        let (right_rcode, right_answer) =
            if self.is_listed(place) { (0, true) } else { (NXDOMAIN, false) };
        is_response
            && rcode == right_rcode
            && has_answer == right_answer
            && (!closely || self.is_right_closely(place, answer))
    }

    /// The question is the query's, and the first record says what it should.
    fn is_right_closely(&self, place: usize, answer: &[u8]) -> bool {
        let query = self.get(place);
        let question = HEADER..question_end(query);
        if answer.get(question.clone()) != query.get(question.clone()) {
            return false;
        }
        if !self.is_listed(place) {
            return true;
        }
        match (self.kind, first_record(answer, question.end)) {
            (Kind::Txt, Some((TYPE_TXT, text))) => text.len() > 1,
            (Kind::A | Kind::AEdns | Kind::Ipv6, Some((TYPE_A, address))) => address == LISTED,
            _ => false,
        }
    }
}

/// The type and data of the record that starts here.
fn first_record(message: &[u8], start: usize) -> Option<(u16, &[u8])> {
    let mut at = start;
    // The owner's name: labels, then a null or a pointer.
    loop {
        match *message.get(at)? {
            0 => break at += 1,
            length if length & 0xc0 == 0xc0 => break at += 2,
            length => at += 1 + usize::from(length),
        }
    }
    let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let length = usize::from(number(at + 8)?);
    Some((number(at)?, message.get(at + 10..at + 10 + length)?))
}

/// Where a query's question ends; its name is written out.
fn question_end(query: &[u8]) -> usize {
    let name = query[HEADER..].iter().position(|&byte| byte == 0).unwrap_or(0);
    HEADER + name + 1 + 4
}

/// One query.
fn append(kind: Kind, number: u32, out: &mut Vec<u8>) {
    let edns = kind == Kind::AEdns;
    // No identifier yet, opcode QUERY, RD as dnsperf and stub resolvers set it; one question.
    out.extend([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns.into()]);
    let mut label = |text: &str| {
        out.push(text.len() as u8);
        out.extend(text.as_bytes());
    };
    if kind == Kind::Ipv6 {
        // Some host in the /64.
        let address = u128::from(ipv6(number)) | u128::from(number.wrapping_mul(0x9e37_79b1));
        for nibble in (0..32).map(|place| address >> (4 * place) & 15) {
            label(&format!("{nibble:x}"));
        }
    } else {
        for octet in ipv4(number).octets().iter().rev() {
            label(&octet.to_string());
        }
    }
    ZONE.split('.').for_each(label);
    out.push(0);
    let kind = if kind == Kind::Txt { TYPE_TXT } else { TYPE_A };
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    if edns {
        // The root's name, OPT, 1232 bytes, version 0, DO, no options (RFC 6891, section 6.1).
        out.extend([0, 0, 41, 4, 208, 0, 0, 128, 0, 0, 0]);
    }
}

/// The name that is asked for when the IPv4 address of this number is.
pub(crate) fn name(number: u32) -> String {
    let [a, b, c, d] = ipv4(number).octets();
    format!("{d}.{c}.{b}.{a}.{ZONE}")
}

/// A single query for the address of this number.
pub(crate) fn single(kind: Kind, number: u32) -> Vec<u8> {
    let mut query = Vec::new();
    append(kind, number, &mut query);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as servers give it, with a pointer for the owner's name.
    fn answer(query: &[u8], rcode: u8, record: Option<(u16, &[u8])>) -> Vec<u8> {
        let mut answer = query[..question_end(query)].to_vec();
        answer[2] |= 0x84;
        answer[3] = rcode;
        answer[11] = 0;
        if let Some((kind, data)) = record {
            answer[7] = 1;
            answer.extend([0xc0, 12]);
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 1, 44, 0, data.len() as u8]);
            answer.extend(data);
        }
        answer
    }

    /// Caught: the octets in the order of writing, not reversed.
    #[test]
    fn a_query_asks_for_the_reversed_address() {
        let query = single(Kind::A, 7);
        let octets = ipv4(7).octets().map(|octet| octet.to_string());
        let mut labels = Vec::new();
        let mut rest = &query[HEADER..];
        while rest[0] != 0 {
            let (label, after) = rest[1..].split_at(rest[0].into());
            labels.push(String::from_utf8_lossy(label).into_owned());
            rest = after;
        }
        assert_eq!(rest, [0, 0, 1, 0, 1]);
        let reversed: Vec<_> = octets.into_iter().rev().collect();
        assert_eq!(labels[..4], reversed);
        assert_eq!(labels[4..].join("."), ZONE);
        assert_eq!(name(7), labels.join("."));
    }

    /// Caught: the count of answers left out of the check.
    #[test]
    fn right_and_wrong_answers_are_told_apart() {
        for kind in [Kind::A, Kind::AEdns, Kind::Txt, Kind::Ipv6] {
            let queries = Queries::some(kind, 100, 50);
            let right: (u16, &[u8]) = match kind {
                Kind::Txt => (TYPE_TXT, b"\x04text"),
                _ => (TYPE_A, &LISTED),
            };
            for place in 0..queries.count() {
                let query = queries.get(place);
                let listed = answer(query, 0, Some(right));
                let unlisted = answer(query, NXDOMAIN, None);
                let is_listed = queries.is_listed(place);
                for closely in [false, true] {
                    assert_eq!(queries.is_right(place, &listed, closely), is_listed);
                    assert_eq!(queries.is_right(place, &unlisted, closely), !is_listed);
                    assert!(!queries.is_right(place, query, closely), "no response");
                    assert!(!queries.is_right(place, &answer(query, 0, None), closely));
                    assert!(!queries.is_right(place, &answer(query, 5, Some(right)), closely));
                    assert!(!queries.is_right(place, &[], closely));
                }
            }
        }
    }

    /// Caught: the close look at the record's data left out.
    #[test]
    fn a_close_look_finds_a_wrong_record_and_a_wrong_question() {
        let queries = Queries::some(Kind::A, 100, 50);
        let place = (0..50).find(|&place| queries.is_listed(place)).unwrap();
        let query = queries.get(place);
        let wrong = answer(query, 0, Some((TYPE_A, &[127, 0, 0, 3])));
        assert!(queries.is_right(place, &wrong, false));
        assert!(!queries.is_right(place, &wrong, true));
        let mut other = answer(query, 0, Some((TYPE_A, &LISTED)));
        assert!(queries.is_right(place, &other, true));
        other[HEADER + 1] ^= 1;
        assert!(!queries.is_right(place, &other, true));
        other.truncate(question_end(query) + 3);
        assert!(!queries.is_right(place, &other, true));
    }

    /// Caught: all addresses taken from the listed ones.
    #[test]
    fn half_of_the_queries_are_for_listed_addresses() {
        let queries = Queries::some(Kind::A, 1000, 10_000);
        let listed = (0..queries.count()).filter(|&place| queries.is_listed(place)).count();
        assert!((4_500..5_500).contains(&listed));
        let entries: std::collections::HashSet<_> =
            (0..1000).map(|number| single(Kind::A, number)).collect();
        for place in 0..queries.count() {
            assert_eq!(entries.contains(queries.get(place)), queries.is_listed(place));
        }
    }
}
