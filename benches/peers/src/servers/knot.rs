//! Knot DNS, with one UDP worker and without a journal.

use anyhow::Result;

use super::{CommandLine, Site, text_of};
use crate::query::ZONE;

pub(super) fn prepare(site: &Site) -> Result<CommandLine> {
    let (folder, address) = (text_of(&site.folder), site.address);
    let zone = text_of(&site.data.zone_file()?);
    let configuration = format!(
        "server:\n  listen: {}@{}\n  rundir: {folder}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n\
         log:\n  - target: stderr\n    any: warning\n\
         database:\n  storage: {folder}\n\
         zone:\n  - domain: {ZONE}\n    file: {zone}\n    journal-content: none\n    \
         zonefile-sync: -1\n    semantic-checks: off\n",
        address.ip(),
        address.port()
    );
    let file = site.write("knot.conf", &configuration)?;
    Ok(("/usr/sbin/knotd".into(), vec!["-c".into(), file]))
}
