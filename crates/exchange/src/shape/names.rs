//! Names and wildcards of a zone file that say what a shape says.
//!
//! A wildcard answers for what has no name of its own, and only below the closest name that exists
//! (RFC 4592 section 3.3.1). So where a name stands below a wildcard, the wildcard is repeated at
//! each step between the two; and where a hole is below one, the wildcard's place is taken by names,
//! or wildcards one step longer, of all others beside the hole.
//!
//! A wildcard lists names of any number of labels below it, and both families share the names: `1.0.2`
//! begins 2.0.1.0/24 as well as 2010::/12. So there are wildcards only where no address of
//! the other family can lie below: of IPv4 below a label of two digits or more, of IPv6 below four
//! labels or more. Elsewhere the next steps are written out.

use std::io;

use eximrbl_table::Network;

use super::{Prefix, Shape};
use crate::span::address;

/// How addresses are made names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// IPv4 by octets (RFC 5782 section 2.1).
    Octets,
    /// IPv6 by nibbles (RFC 5782 section 2.4).
    Nibbles,
    /// IPv4 by the nibbles of `::ffff:a.b.c.d`.
    Mapped,
}

/// A name and what lists it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a, T> {
    /// The labels before the zone's name: `1.2.0.192`, or `*.2.0.192`.
    pub labels: &'a str,
    /// The addresses that it stands for.
    pub network: Network,
    /// What lists it.
    pub value: &'a T,
}

/// A prefix that ends where a label ends; without a value it is a hole.
struct Item<'a, T> {
    prefix: Prefix,
    /// How long the network was that it is a part of; the longest one counts.
    original: u32,
    value: Option<&'a T>,
}

impl<T> Shape<T> {
    /// All names of one kind, each given to `take`.
    ///
    /// # Errors
    ///
    /// The first that `take` says.
    pub fn names(
        &self,
        labels: Labels,
        take: &mut impl FnMut(Piece<'_, T>) -> io::Result<()>,
    ) -> io::Result<()> {
        let tree = Tree(labels);
        let family = self.family(labels != Labels::Nibbles);
        let listed = family.listed.iter().map(|(prefix, value)| (*prefix, Some(value)));
        let holes = family.holes.iter().map(|hole| (*hole, None));
        let mut items = Vec::new();
        for (prefix, value) in listed.chain(holes) {
            tree.align(prefix, value, &mut items);
        }
        items.sort_by_key(|item| {
            (item.prefix, item.value.is_some(), std::cmp::Reverse(item.original))
        });
        items.dedup_by_key(|item| item.prefix);
        tree.walk(tree.root(), None, &items, take)
    }
}

/// The tree of names of one kind.
#[derive(Clone, Copy)]
struct Tree(Labels);

impl Tree {
    /// Bits of a label.
    fn step(self) -> u32 {
        if self.0 == Labels::Octets { 8 } else { 4 }
    }

    /// Bits of an address.
    fn bits(self) -> u32 {
        if self.0 == Labels::Octets { 32 } else { 128 }
    }

    /// What all addresses have in common.
    fn root(self) -> Prefix {
        match self.0 {
            Labels::Octets | Labels::Nibbles => Prefix { first: 0, length: 0 },
            Labels::Mapped => Prefix { first: 0xffff << 32, length: 96 },
        }
    }

    /// Puts a family's prefix into the tree, in as many pieces as end with a label. The whole tree is
    /// never one piece.
    fn align<'a, T>(self, of: Prefix, value: Option<&'a T>, items: &mut Vec<Item<'a, T>>) {
        let root = self.root();
        let (first, original) = (of.first | root.first, of.length + root.length);
        let length = original.max(root.length + 1).next_multiple_of(self.step());
        for index in 0..1_u128 << (length - original) {
            let first = first | index.checked_shl(self.bits() - length).unwrap_or(0);
            items.push(Item { prefix: Prefix { first, length }, original, value });
        }
    }

    /// Says what there is in `node`: all `items` are within, and around it `value` is listed.
    fn walk<'a, T>(
        self,
        node: Prefix,
        value: Option<&'a T>,
        items: &[Item<'a, T>],
        take: &mut impl FnMut(Piece<'_, T>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (value, below) = match items {
            [own, below @ ..] if own.prefix == node => (own.value, below),
            below => (value, below),
        };
        if node.length == self.bits() || below.is_empty() && self.may_be_wildcard(node) {
            return value.map_or(Ok(()), |value| self.give(node, value, take));
        }
        let Some(listed) = value else {
            return self
                .each_group(node, below, |child, group| self.walk(child, None, group, take));
        };
        let length = node.length + self.step();
        let is_cut = below.iter().any(|item| item.prefix.length == length && item.value.is_none());
        if !is_cut && self.may_be_wildcard(node) {
            self.give(node, listed, take)?;
            return self
                .each_group(node, below, |child, group| self.walk(child, value, group, take));
        }
        let mut rest = below;
        for index in 0..1 << self.step() {
            let child = Prefix { first: node.first | index << (self.bits() - length), length };
            let end = rest.partition_point(|item| item.prefix.first <= child.last(self.bits()));
            let (group, behind) = rest.split_at(end);
            self.walk(child, value, group, take)?;
            rest = behind;
        }
        Ok(())
    }

    /// Goes through those one step below `node` in which there is something.
    fn each_group<'i, 'a, T>(
        self,
        node: Prefix,
        mut items: &'i [Item<'a, T>],
        mut visit: impl FnMut(Prefix, &'i [Item<'a, T>]) -> io::Result<()>,
    ) -> io::Result<()> {
        let length = node.length + self.step();
        while let [next, ..] = items {
            let low = 1_u128.checked_shl(self.bits() - length).map_or(u128::MAX, |count| count - 1);
            let child = Prefix { first: next.prefix.first & !low, length };
            let end = items.partition_point(|item| item.prefix.first <= child.last(self.bits()));
            let (group, behind) = items.split_at(end);
            visit(child, group)?;
            items = behind;
        }
        Ok(())
    }

    /// Whether no address of the other family lies below a name.
    fn may_be_wildcard(self, node: Prefix) -> bool {
        match self.0 {
            Labels::Octets => {
                let octets = node.length / 8;
                (0..octets).any(|place| (node.first >> (24 - 8 * place)) as u8 > 9)
            }
            Labels::Nibbles => node.length >= 16,
            Labels::Mapped => true,
        }
    }

    fn give<T>(
        self,
        node: Prefix,
        value: &T,
        take: &mut impl FnMut(Piece<'_, T>) -> io::Result<()>,
    ) -> io::Result<()> {
        use std::fmt::Write;
        let (bits, step) = (self.bits(), self.step());
        let mut labels = String::with_capacity(64);
        if node.length < bits {
            labels.push('*');
        }
        for place in (0..node.length / step).rev() {
            let dot = if labels.is_empty() { "" } else { "." };
            let label = node.first >> (bits - step * (place + 1)) & ((1 << step) - 1);
            // Writing into a String cannot fail.
            let _ = match self.0 {
                Labels::Octets => write!(labels, "{dot}{label}"),
                Labels::Nibbles | Labels::Mapped => write!(labels, "{dot}{label:x}"),
            };
        }
        let (is_ipv4, length) = match self.0 {
            Labels::Octets => (true, node.length),
            Labels::Nibbles => (false, node.length),
            Labels::Mapped => (true, node.length - 96),
        };
        match Network::new(address(is_ipv4, node.first), length as u8) {
            Some(network) => take(Piece { labels: &labels, network, value }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::super::tests::{networks, shape};
    use super::*;

    fn names(shape: &Shape<String>, labels: Labels) -> Vec<String> {
        let mut names = Vec::new();
        let mut take = |piece: Piece<'_, String>| {
            names.push(format!("{} {}", piece.labels, piece.value));
            Ok(())
        };
        shape.names(labels, &mut take).unwrap();
        names
    }

    #[test]
    fn wildcards_are_repeated_on_the_way_to_a_name() {
        let shape = shape(&["77.88.0.0/16", "77.88.9.9"], &[]);
        let expected = ["*.88.77 77.88.0.0/16", "*.9.88.77 77.88.0.0/16", "9.9.88.77 77.88.9.9"];
        assert_eq!(names(&shape, Labels::Octets), expected);
        assert_eq!(
            names(&shape, Labels::Mapped)[0],
            "*.8.5.d.4.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 77.88.0.0/16"
        );
        assert_eq!(names(&shape, Labels::Nibbles), [""; 0]);
    }

    #[test]
    fn holes_are_left_out_and_all_around_them_is_named() {
        let shape = shape(&["77.88.0.0/16"], &["77.88.9.9"]);
        let names = names(&shape, Labels::Octets);
        assert_eq!(names.len(), 1 + 255);
        assert!(names.contains(&"*.88.77 77.88.0.0/16".to_owned()));
        assert!(names.contains(&"8.9.88.77 77.88.0.0/16".to_owned()));
        assert!(!names.iter().any(|name| name.starts_with("9.9.") || name.starts_with("*.9.")));
    }

    /// Caught: `*.0.2` for 2.0.0.0/16, which lists all of 2001::/16.
    #[test]
    fn no_wildcard_answers_for_the_other_family() {
        let names4 = names(&shape(&["2.0.0.0/16"], &[]), Labels::Octets);
        assert!(
            !names4.iter().any(|name| name.starts_with("*.0.2 ") || name.starts_with("*.1.0.2 "))
        );
        assert!(names4.contains(&"*.10.0.2 2.0.0.0/16".to_owned()));
        assert!(names4.contains(&"77.1.0.2 2.0.0.0/16".to_owned()));
        assert_eq!(names4.len(), 246 + 10 * 256);
        let names6 = names(&shape(&["2000::/12", "2a0b::/32"], &[]), Labels::Nibbles);
        assert_eq!(names6.len(), 16 + 1);
        assert!(names6.contains(&"*.5.0.0.2 2000::/12".to_owned()));
        assert!(names6.contains(&"*.0.0.0.0.b.0.a.2 2a0b::/32".to_owned()));
    }

    #[test]
    fn what_ends_within_a_label_is_several() {
        let names4 = names(&shape(&["91.92.80.0/20", "0.0.0.0/0"], &[]), Labels::Octets);
        assert_eq!(names4.iter().filter(|name| name.ends_with(" 91.92.80.0/20")).count(), 16);
        assert!(names4.contains(&"*.80.92.91 91.92.80.0/20".to_owned()));
        assert!(names4.contains(&"*.92.91 0.0.0.0/0".to_owned()));
    }

    /// Looks a name up as RFC 4592 says.
    fn look_up<'a>(
        zone: &'a BTreeMap<String, Network>,
        existing: &BTreeSet<String>,
        name: &str,
    ) -> Option<&'a Network> {
        if let Some(found) = zone.get(name) {
            return Some(found);
        }
        let mut encloser = name;
        loop {
            if existing.contains(encloser) {
                return zone.get(&format!("*.{encloser}"));
            }
            encloser = encloser.split_once('.')?.1;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Caught: a wildcard that is not repeated where a longer name exists; a wildcard beside a
        /// hole; a hole made of two halves that is taken for none.
        #[test]
        fn a_zone_of_these_names_says_what_the_ranges_say(
            mut listed in networks(),
            holes in networks(),
            probes in prop::collection::vec(0_u32..1 << 16, 100),
        ) {
            listed.sort_unstable();
            listed.dedup();
            let shape = Shape::new(listed.iter().map(|one| (*one, *one)).collect(), &holes);
            let spans = shape.spans(true);
            for labels in [Labels::Octets, Labels::Mapped] {
                let mut zone = BTreeMap::new();
                let mut existing = BTreeSet::new();
                shape.names(labels, &mut |piece| {
                    assert!(piece.value.contains(piece.network));
                    assert!(zone.insert(piece.labels.to_owned(), *piece.value).is_none());
                    let mut name = piece.labels;
                    existing.insert(name.to_owned());
                    while let Some((_, above)) = name.split_once('.') {
                        existing.insert(above.to_owned());
                        name = above;
                    }
                    Ok(())
                }).unwrap();
                for &low in &probes {
                    let address = 0xc000_0000 | low;
                    let number = u128::from(address);
                    let holding = |(span, _): &&(crate::Span, &Network)| {
                        span.numbers().0 <= number && number <= span.numbers().1
                    };
                    let expected = spans.iter().find(holding).map(|(_, value)| *value);
                    let octets = Ipv4Addr::from(address).octets();
                    let name = match labels {
                        Labels::Octets => octets.iter().rev().map(u8::to_string).collect::<Vec<_>>().join("."),
                        _ => {
                            let bits = 0xffff_0000_0000 | number;
                            (0..32).map(|place| format!("{:x}", bits >> (4 * place) & 15)).collect::<Vec<_>>().join(".")
                        }
                    };
                    prop_assert_eq!(look_up(&zone, &existing, &name), expected, "{}", name);
                }
            }
        }
    }
}
