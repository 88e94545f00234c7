//! NSD, without a database and without its response rate limit.

use anyhow::Result;

use super::{CommandLine, Site, text_of};
use crate::query::ZONE;

pub(super) fn prepare(site: &Site) -> Result<CommandLine> {
    let (folder, address) = (text_of(&site.folder), site.address);
    let zone = text_of(&site.data.zone_file()?);
    let configuration = format!(
        "server:\n  server-count: 1\n  ip-address: {}@{}\n  username: \"\"\n  database: \"\"\n  \
         pidfile: \"\"\n  zonesdir: \"{folder}\"\n  xfrdfile: \"{folder}/xfrd.state\"\n  \
         zonelistfile: \"{folder}/zone.list\"\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: \"{ZONE}\"\n  zonefile: \"{zone}\"\n",
        address.ip(),
        address.port()
    );
    let file = site.write("nsd.conf", &configuration)?;
    Ok(("/usr/sbin/nsd".into(), vec!["-d".into(), "-c".into(), file]))
}
