//! What DNS says about a listed address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use eximrbl_table::{Entry, Names, UnixSeconds};

use crate::template::{Text, Values};
use crate::zone::Zone;

/// A listed address, as one zone shows it.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'z> {
    /// The zone that was asked.
    pub zone: &'z Zone,
    /// The address that was asked for.
    pub client: IpAddr,
    /// Whether address records are wanted.
    pub with_codes: bool,
    /// Whether the text is wanted.
    pub with_text: bool,
    /// For how many seconds caches may keep the answer.
    pub ttl: u32,
    /// What it rests on.
    pub(crate) ground: Ground,
}

/// Why an address is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ground {
    /// An entry of the table.
    Entry(Entry),
    /// A test address (RFC 5782 section 5), answered with this code.
    Test(Ipv4Addr),
}

impl<'z> Listing<'z> {
    /// All that a zone says about an address.
    pub(crate) fn of(zone: &'z Zone, client: IpAddr, ground: Ground) -> Self {
        let ttl = match ground {
            Ground::Entry(entry) => entry.remaining.min(zone.positive_ttl_max()),
            Ground::Test(_) => zone.positive_ttl_max(),
        };
        Self { zone, client, with_codes: true, with_text: true, ttl, ground }
    }

    /// The address records' values, each once, the lowest first; at least one.
    pub fn codes(&self) -> impl Iterator<Item = Ipv4Addr> + use<'z> {
        let (test, reasons) = match self.ground {
            Ground::Test(code) => (Some(code), None),
            Ground::Entry(entry) => (None, Some(self.zone.shown_reasons(&entry))),
        };
        let coded = reasons.map(|reasons| self.zone.codes_of(reasons));
        test.into_iter().chain(coded.into_iter().flatten())
    }

    /// The text, from the zone's template. `reasons` is the table's dictionary.
    pub fn text(&self, reasons: &Names, now: UnixSeconds) -> Text {
        let mut text = Text::new();
        // Writing fails only when the text is full, and then the rest is left out on purpose.
        let _ = self.write_text(&mut text, &self.client, reasons, now);
        text
    }

    /// Writes the text with something else in the address's place: what stands for all addresses of
    /// a network. It is neither cut nor made printable.
    ///
    /// # Errors
    ///
    /// What `text` says.
    pub fn write_text(
        &self,
        text: &mut impl fmt::Write,
        ip: &dyn fmt::Display,
        reasons: &Names,
        now: UnixSeconds,
    ) -> fmt::Result {
        let (template, zone) = (self.zone.template(), self.zone.name());
        match self.ground {
            Ground::Entry(entry) => template.write(
                text,
                Values {
                    ip,
                    count: entry.count,
                    reasons: || reasons.of(self.zone.shown_reasons(&entry)),
                    ttl: entry.remaining,
                    first: entry.first,
                    last: entry.last,
                    zone,
                },
            ),
            Ground::Test(_) => template.write(
                text,
                Values {
                    ip,
                    count: 0,
                    reasons: || std::iter::once("test"),
                    ttl: self.ttl,
                    first: now,
                    last: now,
                    zone,
                },
            ),
        }
    }
}
