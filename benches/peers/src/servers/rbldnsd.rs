//! rbldnsd, with `ip4set` and, for IPv6, `ip6tset`.

use anyhow::Result;

use super::{CommandLine, Site, text_of};
use crate::query::ZONE;

/// `bare`: without NS records in the answers.
pub(super) fn prepare(site: &Site, bare: bool) -> Result<CommandLine> {
    let address = format!("{}/{}", site.address.ip(), site.address.port());
    // No daemon; no look whether files have changed.
    let mut arguments: Vec<String> =
        ["-n", "-c", "0", "-t", "300", "-b", &address].map(str::to_owned).into();
    if bare {
        arguments.push("-a".to_owned());
    }
    arguments.push(format!("{ZONE}:ip4set:{}", text_of(&site.data.ip4set()?)));
    arguments.push(format!("{ZONE}:ip6tset:{}", text_of(&site.data.ip6tset()?)));
    Ok(("/usr/sbin/rbldnsd".into(), arguments))
}
