//! Zones: views of the table under a name.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use eximrbl_table::{Entry, Filter, Name, Names, WritableTable, dictionary};

use crate::config::{Config, ZoneSettings};
use crate::listing::{Ground, Listing};
use crate::name::DnsName;
use crate::query_name::QueryName;
use crate::template::Template;

/// The value of address records whose reason has no code of its own (RFC 5782 section 2.1).
pub const DEFAULT_CODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// For how many seconds caches may keep the zone's NS records.
pub const NS_TTL: u32 = 3600;
/// How often secondaries ask whether the zone changed, in seconds (RFC 1035 section 3.3.13).
pub const REFRESH: u32 = 3600;
/// When they ask again after a failure.
pub const RETRY: u32 = 600;
/// When they give up the zone.
pub const EXPIRE: u32 = 604_800;

/// One zone, its reasons resolved to the bits of one table's dictionary.
#[derive(Clone, Debug)]
pub struct Zone {
    name: DnsName,
    /// Its place among all zones.
    index: usize,
    filter: Filter,
    /// Reasons whose code is [`DEFAULT_CODE`].
    default_reasons: u64,
    /// The other codes, ascending, each with its reasons.
    codes: Box<[(Ipv4Addr, u64)]>,
    template: Template,
    name_servers: Box<[DnsName]>,
    contact: DnsName,
    positive_ttl_max: u32,
    negative_ttl: u32,
    /// Names in this zone that exist because another zone lies below them.
    names_above_zones: Box<[Box<[u8]>]>,
}

impl Zone {
    /// The zone's name.
    pub fn name(&self) -> &DnsName {
        &self.name
    }

    /// The zone's place in [`Zones::iter`], for what servers keep ready for each zone.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Which entries of the table the zone lists.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The names of the zone's NS records; the first is also the SOA record's primary.
    pub fn name_servers(&self) -> &[DnsName] {
        &self.name_servers
    }

    /// The mailbox in the SOA record.
    pub fn contact(&self) -> &DnsName {
        &self.contact
    }

    /// The longest time, in seconds, that caches may keep a positive answer.
    pub fn positive_ttl_max(&self) -> u32 {
        self.positive_ttl_max
    }

    /// The SOA record's TTL and MINIMUM: the time, in seconds, that caches may keep a negative
    /// answer (RFC 2308 section 5).
    pub fn negative_ttl(&self) -> u32 {
        self.negative_ttl
    }

    /// What the zone says about an address that this entry lists, if its filter takes the entry.
    pub fn listing(&self, client: IpAddr, entry: Entry) -> Listing<'_> {
        Listing::of(self, client, Ground::Entry(entry))
    }

    /// What it says about the addresses that are listed for tests (RFC 5782 section 5).
    pub fn tests(&self) -> impl Iterator<Item = Listing<'_>> {
        let own = self.codes.iter().map(|&(code, _)| code);
        let codes = std::iter::once(DEFAULT_CODE).chain(own);
        codes.map(|code| Listing::of(self, code.into(), Ground::Test(code)))
    }

    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// The reasons of an entry that this zone is about.
    pub(crate) fn shown_reasons(&self, entry: &Entry) -> u64 {
        entry.reasons & self.filter.reasons
    }

    /// The codes of some reasons: every reason gives its own, or the default code.
    ///
    /// A client that waits for 127.0.0.2 therefore keeps seeing an entry when one more reason,
    /// with a code of its own, is added to it.
    pub(crate) fn codes_of(&self, reasons: u64) -> impl Iterator<Item = Ipv4Addr> + use<'_> {
        let default = reasons == 0 || reasons & self.default_reasons != 0;
        let own = self.codes.iter().filter(move |(_, of)| reasons & of != 0).map(|&(code, _)| code);
        default.then_some(DEFAULT_CODE).into_iter().chain(own)
    }

    /// Whether an address is one that shows a code (RFC 5782 section 5: one for each code).
    pub(crate) fn is_code(&self, address: Ipv4Addr) -> bool {
        self.codes.iter().any(|&(code, _)| code == address)
    }

    /// Whether another zone lies below this name.
    pub(crate) fn is_above_zone(&self, name: &QueryName<'_>) -> bool {
        self.names_above_zones.iter().any(|above| name.is(above))
    }
}

/// Why zones could not be resolved against a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The reason dictionary takes no more names.
    #[error(
        "zone {zone}: the table knows 64 reasons already and cannot take \"{reason}\"; use a \
         reason that it knows, or make a new table"
    )]
    DictionaryFull {
        /// The zone.
        zone: DnsName,
        /// The reason without a place.
        reason: String,
    },
}

/// All zones that are served.
#[derive(Clone, Debug)]
pub struct Zones {
    /// Longest name first, so that the first match is the closest.
    zones: Box<[Zone]>,
}

impl Zones {
    /// Resolves a configuration's zones against a table. Reasons that the table does not know
    /// yet are entered into its dictionary.
    pub fn resolve(config: &Config, table: &WritableTable) -> Result<Self, ZoneError> {
        let bit = |settings: &ZoneSettings, reason: &String| {
            let full = || ZoneError::DictionaryFull {
                zone: settings.name.clone(),
                reason: reason.clone(),
            };
            let name = Name::new(reason.as_bytes()).ok_or_else(full)?;
            match table.reason(name, true) {
                // No room: what would be filtered then is every odd reason, not this one.
                0 if reason != dictionary::OTHER => Err(full()),
                bit => Ok(1 << bit),
            }
        };
        Self::resolve_by(config, bit)
    }

    /// Resolves a configuration's zones against a table that is only read, by its reasons. One that
    /// it does not know yet stands for no entry.
    pub fn read(config: &Config, reasons: &Names) -> Self {
        let bit = |_: &ZoneSettings, reason: &String| {
            Ok::<_, Infallible>(reasons.bit(reason).map_or(0, |bit| 1 << bit))
        };
        match Self::resolve_by(config, bit) {
            Ok(zones) => zones,
            Err(never) => match never {},
        }
    }

    fn resolve_by<E>(
        config: &Config,
        bit: impl Fn(&ZoneSettings, &String) -> Result<u64, E>,
    ) -> Result<Self, E> {
        let mut zones = Vec::with_capacity(config.zones.len());
        for settings in &config.zones {
            zones.push(resolve_zone(settings, config, &|reason| bit(settings, reason))?);
        }
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.name.wire().len()));
        for (index, zone) in zones.iter_mut().enumerate() {
            zone.index = index;
        }
        Ok(Self { zones: zones.into() })
    }

    /// All zones, in the order of their [`Zone::index`].
    pub fn iter(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter()
    }

    /// The closest zone that a name is in, and how many labels stand before that zone's name.
    pub(crate) fn find(&self, name: &QueryName<'_>) -> Option<(&Zone, usize)> {
        self.zones.iter().find_map(|zone| Some((zone, name.labels_before(zone.name.wire())?)))
    }
}

/// Resolves one zone.
fn resolve_zone<E>(
    settings: &ZoneSettings,
    config: &Config,
    bit: &dyn Fn(&String) -> Result<u64, E>,
) -> Result<Zone, E> {
    let reasons = match &settings.reasons {
        None => u64::MAX,
        Some(reasons) => reasons.iter().try_fold(0, |bits, reason| Ok(bits | bit(reason)?))?,
    };
    let mut codes: Vec<(Ipv4Addr, u64)> = Vec::new();
    for (reason, code) in &settings.codes {
        let bit = bit(reason)?;
        match codes.iter_mut().find(|(known, _)| known == code) {
            Some((_, bits)) => *bits |= bit,
            None => codes.push((*code, bit)),
        }
    }
    codes.retain(|&(code, _)| code != DEFAULT_CODE);
    codes.sort_unstable();
    let own = codes.iter().fold(0, |bits, (_, of)| bits | of);
    let within = |name: &[u8]| name.len() > settings.name.wire().len();
    let names_above_zones = config
        .zones
        .iter()
        .filter(|other| other.name.ancestors().any(|name| name == settings.name.wire()))
        .flat_map(|other| other.name.ancestors().filter(|name| within(name)))
        .map(Into::into)
        .collect();
    Ok(Zone {
        name: settings.name.clone(),
        index: 0,
        filter: Filter { white: settings.white, reasons, quorum: settings.quorum },
        default_reasons: !own,
        codes: codes.into(),
        template: settings.txt.clone(),
        name_servers: settings.ns.clone().into(),
        contact: settings.contact.clone(),
        positive_ttl_max: config.dns.positive_ttl_max,
        negative_ttl: config.dns.negative_ttl,
        names_above_zones,
    })
}
