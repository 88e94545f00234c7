//! Forms that say who is listed: for name servers, firewalls and people.

use std::collections::BTreeSet;
use std::io::{self, Write};

use eximrbl_exchange::master::{self, Soa};
use eximrbl_exchange::rbldnsd::{self, escaped_text};
use eximrbl_exchange::{Format, Labels, Piece, Shape, Span, nftables};
use eximrbl_table::{Entry, Network};
use eximrbl_zone::Zone;
use eximrbl_zone::template::TEXT_MAX;
use eximrbl_zone::zone::{EXPIRE, NS_TTL, REFRESH, RETRY};

use super::Summary;
use super::picture::{ADDRESS, Picture};
use crate::arguments::Target;
use crate::standing::listing_left;
use crate::text::{counted, entries};

/// Writes a picture in one of these forms.
pub(super) fn write(
    target: Target,
    picture: &Picture,
    mapped: bool,
    to: &mut impl Write,
    summary: &mut Summary,
) -> io::Result<()> {
    let shape = &picture.shape;
    summary.lifted = shape.lifted() as u64;
    let (ipv4, ipv6) = (shape.listed(true).count() as u64, shape.listed(false).count() as u64);
    (summary.entries, summary.other_family) = match target {
        Target::Both(Format::Ip4Set | Format::Ip4Trie) => (ipv4, ipv6),
        Target::Both(Format::Ip6Trie) => (ipv6, ipv4),
        _ => (ipv4 + ipv6, 0),
    };
    match target {
        Target::Both(Format::Plain) => plain(picture, to),
        Target::Both(format) => data_set(format, picture, to, summary),
        Target::Bind => zone_file(picture, mapped, to, summary),
        Target::Nftables => sets(picture, to),
    }
}

/// The fewest networks that hold all that is listed.
fn plain(picture: &Picture, to: &mut impl Write) -> io::Result<()> {
    for is_ipv4 in [true, false] {
        let spans = picture.shape.spans(is_ipv4);
        for span in Span::joined(spans.into_iter().map(|(span, _)| span)) {
            for network in span.networks() {
                writeln!(to, "{network}")?;
            }
        }
    }
    Ok(())
}

/// A file of rbldnsd's.
fn data_set(
    format: Format,
    picture: &Picture,
    to: &mut impl Write,
    summary: &mut Summary,
) -> io::Result<()> {
    let is_ipv4 = format != Format::Ip6Trie;
    let mut writer = rbldnsd::Writer::new(to, format);
    if let Some(zone) = &picture.zone {
        let soa = soa(picture, zone);
        let ttl = zone.positive_ttl_max();
        writer.head(&soa, zone.name_servers(), zone.contact(), NS_TTL, ttl)?;
    }
    if is_ipv4 {
        for (code, _, text) in picture.tests() {
            let span = Span::from(Network::host(code.into()));
            writer.listed(span, &[code], &escaped_text(&text, ADDRESS))?;
        }
    }
    let mut several = 0;
    let mut list = |span: Span, entry: &Entry| {
        let codes = picture.codes(entry);
        several += u64::from(codes.len() > 1);
        writer.listed(span, &codes, &escaped_text(&picture.text_of_all(entry, &ADDRESS), ADDRESS))
    };
    let listed = || picture.shape.listed(is_ipv4);
    if format == Format::Ip4Set {
        // In a set no network goes before another one that it lies in: each range stands once.
        for (span, entry) in picture.shape.spans(is_ipv4) {
            list(span, entry)?;
        }
    } else {
        for (network, entry) in listed() {
            list(network.into(), entry)?;
        }
        if several > 0 {
            summary.notes.push(format!(
                "{} with several codes: an {format} has one each, the first",
                entries(several)
            ));
        }
    }
    // All that is white, for who imports it; of the rest what matters to a trie.
    let networks = listed().map(|(network, _)| (network, ()));
    let never = Shape::new(networks.collect(), &picture.never);
    let never = never.holes(is_ipv4).filter(|_| format != Format::Ip4Set);
    let is_asked = |white: &Network| {
        let is_within = picture.within.is_none_or(|within| within.contains(*white));
        white.is_ipv4() == is_ipv4 && is_within
    };
    let whites = picture.whites.iter().copied().filter(is_asked);
    let holes: BTreeSet<Network> = whites.chain(never).collect();
    holes.into_iter().try_for_each(|hole| writer.hole(hole))
}

/// A zone file.
fn zone_file(
    picture: &Picture,
    mapped: bool,
    to: &mut impl Write,
    summary: &mut Summary,
) -> io::Result<()> {
    let (Some(zone), Some(origin)) = (&picture.zone, &picture.origin) else { return Ok(()) };
    let soa = soa(picture, zone);
    master::write_head(to, origin, &soa, zone.name_servers(), zone.contact(), NS_TTL)?;
    for (labels, servers) in &picture.below {
        for server in servers {
            writeln!(to, "{labels} {NS_TTL} IN NS {server}.")?;
        }
    }
    let kinds: &[Labels] = if mapped {
        &[Labels::Octets, Labels::Mapped, Labels::Nibbles]
    } else {
        &[Labels::Octets, Labels::Nibbles]
    };
    let mut wildcards = 0;
    for &labels in kinds {
        let mut take = |piece: Piece<'_, Entry>| {
            let entry = piece.value;
            let text = if piece.network.is_host() {
                picture.text(entry, piece.network.address())
            } else {
                let text = picture.text_of_all(entry, &ADDRESS);
                wildcards += u64::from(text.contains(ADDRESS));
                cut(&text.replace(ADDRESS, &entry.network.to_string()))
            };
            let (ttl, codes) = (picture.ttl(entry), picture.codes(entry));
            master::write_records(to, piece.labels, ttl, &codes, &text)
        };
        picture.shape.names(labels, &mut take)?;
    }
    for (code, ttl, text) in picture.tests() {
        let of_code: Shape<()> = Shape::new(vec![(Network::host(code.into()), ())], &[]);
        for &labels in kinds.iter().filter(|labels| **labels != Labels::Nibbles) {
            of_code.names(labels, &mut |piece| {
                master::write_records(to, piece.labels, ttl, &[code], &cut(&text))
            })?;
        }
    }
    if wildcards > 0 {
        summary.notes.push(format!(
            "{}: their texts have the network in the address's place",
            counted(wildcards, "wildcard")
        ));
    }
    Ok(())
}

/// Sets of nftables, one for each family.
fn sets(picture: &Picture, to: &mut impl Write) -> io::Result<()> {
    let colour = if picture.white { "white" } else { "black" };
    let mut writer = nftables::Writer::new(to)?;
    for is_ipv4 in [true, false] {
        writer.set(&format!("{colour}{}", if is_ipv4 { 4 } else { 6 }), is_ipv4)?;
        for (span, left) in longest_lives(picture, is_ipv4).spans(is_ipv4) {
            writer.element(span, *left)?;
        }
    }
    writer.finish()
}

/// What is listed, each with the seconds that it stays so. A network that another one outlives, in
/// which it lies, is left out: in a set nothing goes before another element.
fn longest_lives(picture: &Picture, is_ipv4: bool) -> Shape<Option<u32>> {
    let holes = [picture.whites.as_slice(), picture.never.as_slice()].concat();
    let mut around: Vec<(Network, Option<u32>)> = Vec::new();
    let mut lives = Vec::new();
    for (network, entry) in picture.shape.listed(is_ipv4) {
        let left = match entry.white {
            true => (!entry.is_endless()).then_some(entry.remaining),
            false => listing_left(entry, &picture.policy),
        };
        around.retain(|(other, _)| other.contains(network));
        let outlives = |(_, other): &(Network, Option<u32>)| match (other, left) {
            (None, _) => true,
            (Some(other), Some(left)) => *other >= left,
            (Some(_), None) => false,
        };
        if !around.iter().any(outlives) {
            lives.push((network, left));
        }
        around.push((network, left));
    }
    Shape::new(lives, &holes)
}

/// The numbers of the zone's SOA record, as eximrbld has them.
fn soa(picture: &Picture, zone: &Zone) -> Soa {
    Soa {
        negative_ttl: zone.negative_ttl(),
        serial: picture.serial,
        refresh: REFRESH,
        retry: RETRY,
        expire: EXPIRE,
    }
}

/// A text as one character-string holds it.
fn cut(text: &str) -> Vec<u8> {
    let printable =
        |character: char| if matches!(character, ' '..='~') { character as u8 } else { b'?' };
    text.chars().map(printable).take(TEXT_MAX).collect()
}
