//! `PowerDNS` with its SQLite backend, as the first eximrbl of 2004 had it; with its caches, as
//! they come.

use anyhow::Result;

use super::{CommandLine, Site, text_of};

pub(super) fn prepare(site: &Site) -> Result<CommandLine> {
    let folder = text_of(&site.folder);
    let database = text_of(&site.data.database()?);
    let configuration = format!(
        "launch=gsqlite3\ngsqlite3-database={database}\nlocal-address={}\nlocal-port={}\n\
         socket-dir={folder}\ndaemon=no\nguardian=no\nwrite-pid=no\nwebserver=no\n\
         receiver-threads=1\nsecurity-poll-suffix=\nquery-logging=no\nloglevel=3\n",
        site.address.ip(),
        site.address.port()
    );
    site.write("pdns.conf", &configuration)?;
    Ok(("/usr/sbin/pdns_server".into(), vec![format!("--config-dir={folder}")]))
}
