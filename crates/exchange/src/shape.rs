//! Which entry lists which addresses, in the forms that other servers have.
//!
//! In the table the longest network decides, but a white one, or one of the never-list, lifts
//! everything within it, however long. So what is within such a hole is left out first; what is left
//! can be said
//!
//! * by networks of which the longest decides ([`Shape::listed`] and [`Shape::holes`]): rbldnsd's
//!   tries, and routers;
//! * by ranges that lie beside each other ([`Shape::spans`]): rbldnsd's sets, and nftables;
//! * by names and wildcards (`names`): zone files.

mod names;

use eximrbl_table::Network;

use crate::span::{Span, address, number};

pub use names::{Labels, Piece};

/// What is listed, each with a value, and the holes in it.
#[derive(Clone, Debug)]
pub struct Shape<T> {
    ipv4: Family<T>,
    ipv6: Family<T>,
    lifted: usize,
}

/// One family's part, by numbers of the family.
#[derive(Clone, Debug)]
struct Family<T> {
    /// Ascending; a network stands before those within it.
    listed: Vec<(Prefix, T)>,
    /// Ascending, the fewest that make up all holes.
    holes: Vec<Prefix>,
}

/// A network as a number and a length of its family, or of the space of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    first: u128,
    length: u32,
}

impl<T> Shape<T> {
    /// Of the networks that are listed, none of them twice, and of the holes.
    pub fn new(listed: Vec<(Network, T)>, holes: &[Network]) -> Self {
        let before = listed.len();
        let (v4, v6): (Vec<_>, Vec<_>) = listed.into_iter().partition(|(of, _)| of.is_ipv4());
        let (ipv4, ipv6) = (Family::new(v4, holes, true), Family::new(v6, holes, false));
        let lifted = before - ipv4.listed.len() - ipv6.listed.len();
        Self { ipv4, ipv6, lifted }
    }

    fn family(&self, is_ipv4: bool) -> &Family<T> {
        if is_ipv4 { &self.ipv4 } else { &self.ipv6 }
    }

    /// How many networks were left out, for they lie within a hole.
    pub fn lifted(&self) -> usize {
        self.lifted
    }

    /// The listed networks of a family, ascending, none of them within a hole. Of two that contain
    /// an address the longer one decides.
    pub fn listed(&self, is_ipv4: bool) -> impl Iterator<Item = (Network, &T)> {
        let listed = self.family(is_ipv4).listed.iter();
        listed.filter_map(move |(prefix, value)| Some((prefix.network(is_ipv4)?, value)))
    }

    /// The holes of a family that lie within something listed, ascending.
    pub fn holes(&self, is_ipv4: bool) -> impl Iterator<Item = Network> {
        let family = self.family(is_ipv4);
        let mut around: Vec<Prefix> = Vec::new();
        let mut listed = family.listed.iter().map(|(prefix, _)| *prefix).peekable();
        family.holes.iter().filter_map(move |&hole| {
            while let Some(next) = listed.next_if(|next| next.first <= hole.first) {
                around.retain(|prefix| prefix.contains(next, is_ipv4));
                around.push(next);
            }
            let within = around.iter().any(|prefix| prefix.contains(hole, is_ipv4));
            within.then(|| hole.network(is_ipv4)).flatten()
        })
    }

    /// Ranges of a family that lie beside each other, ascending, each with what lists it.
    pub fn spans(&self, is_ipv4: bool) -> Vec<(Span, &T)> {
        let family = self.family(is_ipv4);
        let bits = family_bits(is_ipv4);
        let mut items: Vec<(Prefix, Option<&T>)> =
            family.listed.iter().map(|(prefix, value)| (*prefix, Some(value))).collect();
        items.extend(family.holes.iter().map(|hole| (*hole, None)));
        items.sort_by_key(|(prefix, _)| *prefix);
        let mut sweep = Sweep { is_ipv4, spans: Vec::new(), around: Vec::new(), from: Some(0) };
        for (prefix, value) in items {
            sweep.close(Some(prefix.first));
            sweep.say(prefix.first.checked_sub(1));
            sweep.from = Some(prefix.first);
            sweep.around.push((prefix.last(bits), value));
        }
        sweep.close(None);
        sweep.spans
    }
}

/// The way from the first address to the last.
struct Sweep<'a, T> {
    is_ipv4: bool,
    spans: Vec<(Span, &'a T)>,
    /// Last addresses and values of what is around, the widest first.
    around: Vec<(u128, Option<&'a T>)>,
    /// The first address about which nothing has been said yet; none behind the last one.
    from: Option<u128>,
}

impl<T> Sweep<'_, T> {
    /// Says all that there is up to an address.
    fn say(&mut self, to: Option<u128>) {
        if let (Some(from), Some(to), Some((_, value))) = (self.from, to, self.around.last())
            && from <= to
        {
            if let Some(value) = value {
                self.spans.push((Span::of(self.is_ipv4, from, to), *value));
            }
            self.from = to.checked_add(1);
        }
    }

    /// Comes to the ends of all that ends before an address, or of all.
    fn close(&mut self, before: Option<u128>) {
        while let Some(&(last, _)) = self.around.last() {
            if before.is_some_and(|before| last >= before) {
                return;
            }
            self.say(Some(last));
            self.around.pop();
        }
    }
}

impl<T> Family<T> {
    fn new(listed: Vec<(Network, T)>, holes: &[Network], is_ipv4: bool) -> Self {
        let mut all: Vec<Prefix> = holes
            .iter()
            .filter(|hole| hole.is_ipv4() == is_ipv4)
            .map(|hole| (*hole).into())
            .collect();
        all.sort_unstable();
        let holes = fewest(&all, is_ipv4);
        let mut listed: Vec<(Prefix, T)> = listed
            .into_iter()
            .map(|(network, value)| (network.into(), value))
            .filter(|(prefix, _)| !is_within(&holes, *prefix, is_ipv4))
            .collect();
        listed.sort_by_key(|(prefix, _)| *prefix);
        listed.dedup_by_key(|(prefix, _)| *prefix);
        Self { listed, holes }
    }
}

/// The fewest prefixes that make up the same addresses as these, which ascend.
fn fewest(all: &[Prefix], is_ipv4: bool) -> Vec<Prefix> {
    let mut fewest: Vec<Prefix> = Vec::new();
    for &prefix in all {
        if fewest.last().is_some_and(|last| last.contains(prefix, is_ipv4)) {
            continue;
        }
        fewest.push(prefix);
        // Two halves are a whole.
        while let [.., low, high] = fewest.as_slice()
            && low.length == high.length
            && low.length > 0
            && low.first ^ high.first == 1 << (family_bits(is_ipv4) - low.length)
        {
            let whole = Prefix { first: low.first, length: low.length - 1 };
            fewest.truncate(fewest.len() - 2);
            fewest.push(whole);
        }
    }
    fewest
}

/// Whether a prefix lies within one of these, which ascend beside each other.
fn is_within(holes: &[Prefix], prefix: Prefix, is_ipv4: bool) -> bool {
    let behind = holes.partition_point(|hole| hole.first <= prefix.first);
    behind > 0 && holes[behind - 1].contains(prefix, is_ipv4)
}

fn family_bits(is_ipv4: bool) -> u32 {
    if is_ipv4 { 32 } else { 128 }
}

impl Prefix {
    /// Its last number, of a space of so many bits.
    fn last(self, bits: u32) -> u128 {
        self.first | 1_u128.checked_shl(bits - self.length).map_or(u128::MAX, |count| count - 1)
    }

    fn contains(self, other: Self, is_ipv4: bool) -> bool {
        let bits = family_bits(is_ipv4);
        self.length <= other.length && self.first <= other.first && other.first <= self.last(bits)
    }

    fn network(self, is_ipv4: bool) -> Option<Network> {
        Network::new(address(is_ipv4, self.first), u8::try_from(self.length).ok()?)
    }
}

impl From<Network> for Prefix {
    fn from(network: Network) -> Self {
        Self { first: number(network.address()), length: network.length().into() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    pub(super) fn shape(listed: &[&str], holes: &[&str]) -> Shape<String> {
        let listed = listed.iter().map(|text| (text.parse().unwrap(), (*text).to_owned()));
        let holes: Vec<Network> = holes.iter().map(|text| text.parse().unwrap()).collect();
        Shape::new(listed.collect(), &holes)
    }

    fn spans(shape: &Shape<String>, is_ipv4: bool) -> Vec<String> {
        let spans = shape.spans(is_ipv4).into_iter();
        spans.map(|(span, value)| format!("{}-{} {value}", span.first(), span.last())).collect()
    }

    #[test]
    fn holes_take_out_what_is_within_and_cut_what_is_around() {
        let shape = shape(
            &["10.0.0.0/8", "10.1.0.0/16", "10.2.3.4", "192.0.2.0/24"],
            &["10.1.2.0/25", "10.1.2.128/25", "10.2.0.0/16", "172.16.0.0/12"],
        );
        assert_eq!(shape.lifted(), 1);
        let holes: Vec<_> = shape.holes(true).map(|hole| hole.to_string()).collect();
        assert_eq!(holes, ["10.1.2.0/24", "10.2.0.0/16"]);
        assert_eq!(
            spans(&shape, true),
            [
                "10.0.0.0-10.0.255.255 10.0.0.0/8",
                "10.1.0.0-10.1.1.255 10.1.0.0/16",
                "10.1.3.0-10.1.255.255 10.1.0.0/16",
                "10.3.0.0-10.255.255.255 10.0.0.0/8",
                "192.0.2.0-192.0.2.255 192.0.2.0/24",
            ]
        );
    }

    #[test]
    fn the_ends_of_the_space_are_no_trouble() {
        let everything = shape(&["0.0.0.0/0", "::/0"], &["255.255.255.255", "0.0.0.0", "::"]);
        assert_eq!(spans(&everything, true), ["0.0.0.1-255.255.255.254 0.0.0.0/0"]);
        assert_eq!(spans(&everything, false), ["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ::/0"]);
        let nothing = shape(&["192.0.2.1"], &["0.0.0.0/1", "128.0.0.0/1"]);
        assert_eq!((nothing.lifted(), spans(&nothing, true).len()), (1, 0));
    }

    /// What the table says, by its own rule.
    fn decides<'a>(listed: &'a [Network], holes: &[Network], address: u32) -> Option<&'a Network> {
        let client = Network::host(Ipv4Addr::from(address).into());
        if holes.iter().any(|hole| hole.contains(client)) {
            return None;
        }
        let around = listed.iter().filter(|network| network.contains(client));
        around.max_by_key(|network| network.length())
    }

    /// Networks that overlap a lot.
    pub(super) fn networks() -> impl Strategy<Value = Vec<Network>> {
        let network = (0_u32..1 << 11, 18_u8..=32).prop_map(|(number, length)| {
            Network::new(Ipv4Addr::from(0xc000_0000 | number << 5 | number & 31).into(), length)
                .unwrap()
        });
        prop::collection::vec(network, 0..20)
    }

    proptest! {
        /// Caught: a hole that lifts only what is wider; a range that goes on behind the network
        /// within it; halves of a hole that are not joined.
        #[test]
        fn all_forms_say_what_the_table_says(
            mut listed in networks(),
            holes in networks(),
            probes in prop::collection::vec(0_u32..1 << 16, 200),
        ) {
            listed.sort_unstable();
            listed.dedup();
            let shape = Shape::new(listed.iter().map(|one| (*one, *one)).collect(), &holes);
            let spans = shape.spans(true);
            for pair in spans.windows(2) {
                prop_assert!(pair[0].0.numbers().1 < pair[1].0.numbers().0);
            }
            let ends = spans.iter().flat_map(|(span, _)| {
                let (first, last) = span.numbers();
                [first as u32, (first as u32).wrapping_sub(1), last as u32, last as u32 + 1]
            });
            let trie: Vec<Network> = shape.listed(true).map(|(network, _)| network).collect();
            let cut: Vec<Network> = shape.holes(true).collect();
            for address in probes.into_iter().map(|low| 0xc000_0000 | low).chain(ends) {
                let expected = decides(&listed, &holes, address);
                let number = u128::from(address);
                let holding = |(span, _): &&(Span, &Network)| {
                    span.numbers().0 <= number && number <= span.numbers().1
                };
                let by_span = spans.iter().find(holding).map(|(_, value)| *value);
                prop_assert_eq!(by_span, expected);
                // The longest of networks and holes together decides.
                let client = Network::host(Ipv4Addr::from(address).into());
                let longest = trie.iter().chain(&cut).filter(|one| one.contains(client)).max_by_key(|one| one.length());
                let by_trie = longest.filter(|one| !cut.contains(one));
                prop_assert_eq!(by_trie, expected);
            }
        }
    }
}
