//! eximrbld, with everything on that it has.

use std::process::Command;

use anyhow::{Result, bail};

use super::{CommandLine, Site, text_of};
use crate::data::EXIMRBLD_USER;
use crate::query::ZONE;
use crate::stage::{artifact, run};

/// Settings of `[dns]` that are wanted; what this eximrbld does not know is left out.
const WANTED: [&str; 2] = [
    "workers = 1",
    // On, but higher than any load here.
    "rate_limit = { responses_per_second = 10000000, exempt = [] }",
];

pub(super) fn prepare(site: &Site) -> Result<CommandLine> {
    let table = text_of(&site.data.table()?);
    let text = |wanted: &[&str]| {
        format!(
            "version = 1\n[table]\npath = \"{table}\"\n\
             [dns]\nlisten = [\"{}\"]\nuser = \"{EXIMRBLD_USER}\"\n{}\n\
             [[zone]]\nname = \"{ZONE}\"\nns = [\"{ZONE}\"]\ntxt = \"{{ip}} was rejected here\"\n",
            site.address,
            wanted.join("\n")
        )
    };
    let program = artifact("eximrbld");
    let check = |wanted: &[&str]| {
        let file = site.write("eximrbl.toml", &text(wanted))?;
        run(Command::new(&program).args(["--check-config", "--config", &file]))
    };
    let mut known = Vec::new();
    for setting in WANTED {
        known.push(setting);
        if check(&known).is_err() {
            eprintln!("this eximrbld knows no {setting:?}");
            known.pop();
        }
    }
    if let Err(error) = check(&known) {
        bail!("eximrbld's configuration: {error:#}");
    }
    let file = site.write("eximrbl.toml", &text(&known))?;
    Ok((program, vec!["--config".into(), file]))
}
