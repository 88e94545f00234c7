//! By which rules an export lists: a zone's, or those of the command line.

use eximrbl_table::{DEFAULT_PATH, Names};
use eximrbl_zone::{Config, DnsName, Zone, ZoneSettings, Zones};

use crate::arguments::{Export, Target};
use crate::failure::Failure;

/// The rules, before the table is known.
pub(super) struct View {
    /// The configuration, and which of its zones is meant.
    config: Option<(Config, DnsName)>,
    /// The name that the zone has in the file.
    pub(super) origin: Option<DnsName>,
}

impl View {
    /// Reads the configuration.
    pub(super) fn new(export: &Export, target: Target) -> Result<Self, Failure> {
        let Some(name) = &export.zone else {
            return Ok(Self { config: None, origin: None });
        };
        let config = match &export.config {
            Some(file) => Config::load(file),
            None => Config::without_file(std::slice::from_ref(name), vec![], DEFAULT_PATH.into()),
        };
        let config = config.map_err(|error| Failure::Configuration(error.to_string()))?;
        let named = |option: &str, text: &str| {
            DnsName::from_text(text)
                .map_err(|error| Failure::Export(format!("{option} {text}: {error}")))
        };
        let name = named("--zone", name)?;
        let Some(settings) = config.zones.iter().find(|zone| zone.name == name) else {
            let known: Vec<_> = config.zones.iter().map(|zone| zone.name.to_string()).collect();
            let known = known.join(", ");
            let problem = format!("the configuration has no zone {name}; it has {known}");
            return Err(Failure::Export(problem));
        };
        let origin = match &export.origin {
            Some(text) => named("--origin", text)?,
            None => name.clone(),
        };
        if target == Target::Bind {
            warn_of_servers(settings, &origin);
        }
        Ok(Self { config: Some((config, name)), origin: Some(origin) })
    }

    /// The zone, its reasons resolved against a table's.
    pub(super) fn zone(&self, reasons: &Names) -> Option<Zone> {
        let (config, name) = self.config.as_ref()?;
        let zones = Zones::read(config, reasons);
        zones.iter().find(|zone| zone.name() == name).cloned()
    }

    /// The zones of the configuration below this one, by the labels before its name, with their
    /// servers.
    pub(super) fn below(&self) -> Vec<(String, Vec<DnsName>)> {
        let Some((config, name)) = &self.config else { return Vec::new() };
        let mut below = Vec::new();
        for zone in &config.zones {
            let text = zone.name.to_string();
            if let Some(labels) = text.strip_suffix(&format!(".{name}")) {
                below.push((labels.to_owned(), zone.ns.clone()));
            }
        }
        below
    }
}

/// BIND alone does not load a zone whose server has a name in it, but no address.
fn warn_of_servers(zone: &ZoneSettings, origin: &DnsName) {
    let within = |server: &&DnsName| {
        *server == origin || server.ancestors().any(|name| name == origin.wire())
    };
    if let Some(server) = zone.ns.iter().find(within) {
        eprintln!(
            "eximrbl: note: {server} is in the zone, which has no address for it: BIND will not \
             load that; name a server outside of the zone as `ns` in its configuration"
        );
    }
}
