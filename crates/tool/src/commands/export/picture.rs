//! Who is listed, taken at one instant.

use std::net::{IpAddr, Ipv4Addr};

use eximrbl_exchange::Shape;
use eximrbl_table::{Entry, Filter, Network, Policy, Table, UnixSeconds};
use eximrbl_zone::zone::DEFAULT_CODE;
use eximrbl_zone::{DnsName, Listing, Zone};

use super::complete::reason_bits;
use super::view::View;
use crate::arguments::Export;
use crate::json::Dictionaries;
use crate::standing::never_list;

/// Stands for the address in a text that is made for all addresses of a network.
pub(super) const ADDRESS: char = '\u{1}';

/// The listed networks with their entries, and what is needed to say what they say.
pub(super) struct Picture {
    /// The zone by whose rules it is listed.
    pub(super) zone: Option<Zone>,
    /// The zone's name in the file.
    pub(super) origin: Option<DnsName>,
    /// Zones below, each with its servers.
    pub(super) below: Vec<(String, Vec<DnsName>)>,
    /// Whether it is the list of white entries.
    pub(super) white: bool,
    /// Whom which entry lists.
    pub(super) shape: Shape<Entry>,
    /// The network that it is about, if it is one.
    pub(super) within: Option<Network>,
    /// White networks that lift listings, ascending.
    pub(super) whites: Vec<Network>,
    /// What is never listed.
    pub(super) never: Vec<Network>,
    pub(super) policy: Policy,
    pub(super) serial: u32,
    pub(super) now: UnixSeconds,
    names: Dictionaries,
}

impl Picture {
    /// Reads the whole table.
    pub(super) fn new(table: &Table, view: &View, export: &Export) -> Self {
        let (names, now) = (Dictionaries::of(table), eximrbl_table::now());
        let zone = view.zone(&names.reasons);
        let filter = match &zone {
            Some(zone) => *zone.filter(),
            None => Filter {
                white: export.white,
                reasons: reason_bits(export, &names).unwrap_or(u64::MAX),
                ..Filter::default()
            },
        };
        // Before the entries: what changes meanwhile makes a later serial.
        let serial = table.serial() as u32;
        let policy = table.policy();
        let never = never_list(&policy);
        let (mut listed, mut whites) = (Vec::new(), Vec::new());
        for entry in table.entries(now) {
            if entry.white && !filter.white {
                whites.push(entry.network);
            }
            let is_within = export.within.is_none_or(|within| within.contains(entry.network));
            if is_within && filter.takes(&entry) && (entry.white || table.is_counted(&entry)) {
                listed.push((entry.network, entry));
            }
        }
        whites.sort_unstable();
        let holes = [whites.as_slice(), never.as_slice()].concat();
        let shape = Shape::new(listed, &holes);
        let (origin, below) = (view.origin.clone(), view.below());
        let (white, within) = (filter.white, export.within);
        Self {
            zone,
            origin,
            below,
            white,
            shape,
            within,
            whites,
            never,
            policy,
            serial,
            now,
            names,
        }
    }

    /// The codes of an entry.
    pub(super) fn codes(&self, entry: &Entry) -> Vec<Ipv4Addr> {
        match &self.zone {
            Some(zone) => zone.listing(entry.network.address(), *entry).codes().collect(),
            None => vec![DEFAULT_CODE],
        }
    }

    /// The longest time that caches may keep what an entry says.
    pub(super) fn ttl(&self, entry: &Entry) -> u32 {
        let zone = self.zone.as_ref();
        zone.map_or(entry.remaining, |zone| zone.listing(entry.network.address(), *entry).ttl)
    }

    /// The text for one client; nothing without a zone.
    pub(super) fn text(&self, entry: &Entry, client: IpAddr) -> Vec<u8> {
        let zone = self.zone.as_ref();
        let text =
            zone.map(|zone| zone.listing(client, *entry).text(&self.names.reasons, self.now));
        text.map(|text| text.as_bytes().to_vec()).unwrap_or_default()
    }

    /// The text for all clients of an entry, with something in the address's place.
    pub(super) fn text_of_all(&self, entry: &Entry, ip: &dyn std::fmt::Display) -> String {
        let listing = |zone: &Zone| self.with(&zone.listing(entry.network.address(), *entry), ip);
        self.zone.as_ref().map(listing).unwrap_or_default()
    }

    /// A listing's text, with something in the address's place.
    fn with(&self, listing: &Listing<'_>, ip: &dyn std::fmt::Display) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = listing.write_text(&mut text, ip, &self.names.reasons, self.now);
        text
    }

    /// Addresses that are listed for tests, each with its TTL and text.
    pub(super) fn tests(&self) -> Vec<(Ipv4Addr, u32, String)> {
        let mut tests = Vec::new();
        for listing in self.zone.iter().flat_map(Zone::tests) {
            if let IpAddr::V4(code) = listing.client {
                tests.push((code, listing.ttl, self.with(&listing, &code)));
            }
        }
        tests
    }
}
