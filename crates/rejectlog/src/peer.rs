//! The one place in a line where Exim puts the client's address.
//!
//! Exim writes a host (`host_build_sender_fullhost` in `host.c`) as one of
//!
//! ```text
//! [ip]                no HELO yet, or HELO and a name that it did not find
//! name [ip]           the name is verified and HELO said the same, or nothing yet
//! (helo) [ip]         no name
//! name (helo) [ip]
//! ```
//!
//! each with `:port` under +incoming_port. A name is of letters, digits, `.`, `-`, `_` and `/`
//! (`dns_check_names_pattern`), so the first two forms leave no doubt. A HELO name is the client's: of the same
//! characters unless `helo_accept_junk_hosts` lets him say anything, `x) [192.0.2.1] F=<` for one.
//! Nothing of it is escaped in the log.
//!
//! The address at its true place stands after `H=`, after a name and a space, or after `) `; and it is
//! followed by the line's end, a space, a colon, or in one message of 4.9x by `U=`. Every such place is
//! looked at unless there is but one that is possible.

use std::net::IpAddr;

use eximrbl_table::parse_address;
use memchr::memmem;

/// Whose rejection a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// This client's, for certain.
    Is(IpAddr),
    /// That of one of several addresses in the line.
    Doubtful,
}

/// Where the host stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) peer: Peer,
    /// From its first character, `H=` left out.
    pub(crate) start: usize,
    /// To behind its address and port.
    pub(crate) end: usize,
}

/// Longest name of a host.
const NAME_MAX: usize = 255;
/// Longest text of an address that is looked at; Exim's are shorter.
const ADDRESS_MAX: usize = 64;
/// What stands between a HELO name and the address.
const AFTER_HELO: &[u8] = b") [";

/// The host that begins at `at`, all before it being Exim's own words.
///
/// With `plain_helo`, Exim is known to take no junk in HELO, so the first end of a HELO name is its
/// end.
pub(crate) fn host_at(text: &[u8], at: usize, plain_helo: bool) -> Option<Host> {
    let place = match place(text, at)? {
        Place::Address(place) => return Some(place.host(at)),
        Place::Helo(open) => open,
    };
    if plain_helo && let Some(found) = plain_address(text, place) {
        return Some(found.host(at));
    }
    let mut sum = Sum::default();
    sum.add_all_after_helo(text, place);
    sum.host(at)
}

/// The host after one of the markers in the text, where the client's words stand before it.
pub(crate) fn host_somewhere(text: &[u8], from: usize, marker: &[u8]) -> Option<Host> {
    let mut sum = Sum::default();
    let (mut start, mut has_helo) = (None, false);
    for found in memmem::find_iter(text.get(from..)?, marker) {
        let at = from + found + marker.len();
        match place(text, at) {
            None => continue,
            Some(Place::Address(address)) => sum.add(address),
            // All ends of HELO names from here on; a later place has no others.
            Some(Place::Helo(open)) if !has_helo => {
                has_helo = true;
                sum.add_all_after_helo(text, open);
            }
            Some(Place::Helo(_)) => {}
        }
        start.get_or_insert(at);
    }
    sum.host(start?)
}

/// What stands where a host begins.
enum Place {
    Address(Address),
    /// The position behind the opening parenthesis.
    Helo(usize),
}

/// An address in brackets.
#[derive(Clone, Copy)]
struct Address {
    /// `None` if it is none that can be read.
    ip: Option<IpAddr>,
    start: usize,
    end: usize,
    /// Whether what follows may follow a host.
    is_followed_well: bool,
}

impl Address {
    fn host(self, start: usize) -> Host {
        Host { peer: self.ip.map_or(Peer::Doubtful, Peer::Is), start, end: self.end }
    }
}

fn place(text: &[u8], at: usize) -> Option<Place> {
    let rest = text.get(at..)?;
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-_/".contains(byte);
    let name = rest.iter().take(NAME_MAX).take_while(is_name).count();
    let at = match (name, rest.get(name)) {
        (0, _) => at,
        (_, Some(b' ')) => at + name + 1,
        _ => return None,
    };
    match text.get(at)? {
        b'[' => address(text, at).map(Place::Address),
        b'(' => Some(Place::Helo(at + 1)),
        _ => None,
    }
}

/// The address whose bracket opens at `at`; `None` if no address can stand there.
fn address(text: &[u8], at: usize) -> Option<Address> {
    let inside = text.get(at + 1..)?;
    let length = inside.iter().take(ADDRESS_MAX).position(|byte| *byte == b']')?;
    let (inside, rest) = (&inside[..length], &inside[length + 1..]);
    // More than an address has; but a form of address that is not known here must not be overlooked.
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b":.%_-".contains(byte);
    if length == 0 || !inside.iter().all(is_known) {
        return None;
    }
    let port = match rest.strip_prefix(b":") {
        Some(digits) => digits.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        None => 0,
    };
    let rest = if port > 0 { &rest[port + 1..] } else { rest };
    let is_followed_well = matches!(rest.first(), None | Some(b' ' | b':' | b'U'));
    let end = text.len() - rest.len();
    Some(Address { ip: parse_address(inside), start: at, end, is_followed_well })
}

/// The address behind a HELO name that `open` begins, if the name is one that Exim takes by default:
/// letters, digits, `.`, `-`, `_` (a usual `helo_allow_chars`), or an address in brackets.
fn plain_address(text: &[u8], open: usize) -> Option<Address> {
    let rest = text.get(open..)?;
    let is_plain = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let is_literal = |byte: &&u8| byte.is_ascii_hexdigit() || b":.IPVipv".contains(byte);
    let length = match rest.strip_prefix(b"[") {
        Some(literal) => {
            let length = literal.iter().take_while(is_literal).count();
            literal[length..].starts_with(b"]").then_some(length + 2)?
        }
        None => rest.iter().take_while(is_plain).count(),
    };
    rest[length..].starts_with(AFTER_HELO).then(|| address(text, open + length + 2)).flatten()
}

/// The addresses of a line that may be the client's, taken together.
#[derive(Default)]
struct Sum {
    first: Option<Address>,
    is_doubtful: bool,
}

impl Sum {
    fn add(&mut self, address: Address) {
        match &mut self.first {
            None => self.first = Some(address),
            Some(first) => {
                self.is_doubtful |= first.ip != address.ip;
                if address.start < first.start {
                    *first = address;
                }
            }
        }
    }

    fn add_all_after_helo(&mut self, text: &[u8], open: usize) {
        for found in memmem::find_iter(&text[open..], AFTER_HELO) {
            let found = address(text, open + found + 2).filter(|address| address.is_followed_well);
            if let Some(address) = found {
                self.add(address);
            }
        }
    }

    fn host(self, start: usize) -> Option<Host> {
        let host = self.first?.host(start);
        Some(if self.is_doubtful { Host { peer: Peer::Doubtful, ..host } } else { host })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn peer(text: &str, plain_helo: bool) -> Option<Peer> {
        host_at(text.as_bytes(), 0, plain_helo).map(|host| host.peer)
    }

    fn is(text: &str) -> Option<Peer> {
        Some(Peer::Is(text.parse().unwrap()))
    }

    /// Caught: the bracket inside the HELO name taken.
    #[test]
    fn each_form_of_a_host() {
        for (text, expected) in [
            ("[203.0.113.9]", is("203.0.113.9")),
            ("[203.0.113.9]:25", is("203.0.113.9")),
            ("[203.0.113.9]: 535", is("203.0.113.9")),
            ("[203.0.113.9] [192.0.2.1]", is("203.0.113.9")),
            ("[203.0.113.9] (x) [192.0.2.1]", is("203.0.113.9")),
            ("a-b.example [203.0.113.9] (x) [192.0.2.1]", is("203.0.113.9")),
            ("(x) [203.0.113.9]", is("203.0.113.9")),
            ("([192.0.2.1]) [203.0.113.9]:4711 I=[198.51.100.1]:25", is("203.0.113.9")),
            ("a.example (x) [2001:db8::9]:1 F=<a@[192.0.2.1]>", is("2001:db8::9")),
            ("(IPv6:) [::ffff:203.0.113.9]", is("203.0.113.9")),
            ("(x [192.0.2.1] y) [203.0.113.9]", is("203.0.113.9")),
            ("(x)[192.0.2.1]) [203.0.113.9] F", is("203.0.113.9")),
            // Not followed as a host is.
            ("(x) [203.0.113.9] F=<\"y) [192.0.2.1]\"@d>", is("203.0.113.9")),
            ("(x) [192.0.2.1] y) [203.0.113.9]", Some(Peer::Doubtful)),
            ("(x) [203.0.113.9] y) [203.0.113.9]", is("203.0.113.9")),
            ("(x) [fe80::1%eth0] y", Some(Peer::Doubtful)),
            ("(x) [fe80::1%eth0] y) [192.0.2.1]", Some(Peer::Doubtful)),
            ("(x) [300.0.0.1] y) [192.0.2.1] ", Some(Peer::Doubtful)),
            ("(x", None),
            ("(x) 203.0.113.9", None),
            ("a", None),
            ("a ", None),
            ("a b [203.0.113.9]", None),
            ("U=root", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(peer(text, false), expected, "{text}");
        }
    }

    /// Caught: a HELO name with a space taken for a plain one.
    #[test]
    fn a_plain_helo_ends_at_its_first_end() {
        for (text, expected) in [
            ("(x) [203.0.113.9] F=<\"y) [192.0.2.1] \"@d>", is("203.0.113.9")),
            ("(x_1.example-2) [203.0.113.9] y) [192.0.2.1]", is("203.0.113.9")),
            ("([192.0.2.7]) [203.0.113.9] y) [192.0.2.1]", is("203.0.113.9")),
            ("([IPv6:2001:db8::1]) [203.0.113.9] y) [192.0.2.1]", is("203.0.113.9")),
            ("() [203.0.113.9] y) [192.0.2.1]", is("203.0.113.9")),
            ("(x y) [203.0.113.9] y) [192.0.2.1]", Some(Peer::Doubtful)),
            ("([192.0.2.7] ) [203.0.113.9] y) [192.0.2.1]", Some(Peer::Doubtful)),
            ("(x) [203.0.113.900] y) [192.0.2.1]", Some(Peer::Doubtful)),
        ] {
            assert_eq!(peer(text, true), expected, "{text}");
        }
    }

    /// Caught: only the first `H=` looked at.
    #[test]
    fn after_the_clients_words_every_place_counts() {
        let find = |text: &str| host_somewhere(text.as_bytes(), 0, b"H=").map(|host| host.peer);
        for (text, expected) in [
            ("<a> H=(x) [203.0.113.9]", is("203.0.113.9")),
            ("<a H=[192.0.2.1]> H=(x) [203.0.113.9]", Some(Peer::Doubtful)),
            ("<a H=[203.0.113.9]> H=(x) [203.0.113.9]", is("203.0.113.9")),
            ("<a H=y> H=(x) [203.0.113.9]", is("203.0.113.9")),
            ("<a H=(> H=(x) [203.0.113.9]", is("203.0.113.9")),
            ("<a H=(y) [192.0.2.1]> H=(x) [203.0.113.9]", is("203.0.113.9")),
            ("<a H=(y) [192.0.2.1] > H=(x) [203.0.113.9]", Some(Peer::Doubtful)),
            ("<a> H=x.example [203.0.113.9] next input=\"H=[192.0.2.1]\"", Some(Peer::Doubtful)),
            ("<a> U=root", None),
        ] {
            assert_eq!(find(text), expected, "{text}");
        }
    }
}
