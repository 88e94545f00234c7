//! eximrbld, with everything on that it has.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{CommandLine, Site, text_of};
use crate::data::EXIMRBLD_USER;
use crate::query::ZONE;
use crate::stage::{artifact, run};

/// Settings of `[dns]` that are wanted; what this eximrbld does not know is left out.
const WANTED: [&str; 2] = [
    "workers = 1",
    // On, nobody exempt, but higher than any load here.
    "rate_limit = { responses_per_second = 1000000, exempt = [] }",
];

/// Bytes of a huge page, on most machines.
const HUGE_PAGE: u64 = 2 << 20;

pub(super) fn prepare(site: &Site) -> Result<CommandLine> {
    with_table(site, &site.data.table()?)
}

/// With a copy of the table on a tmpfs that gives huge pages, of this program's mount namespace.
pub(super) fn prepare_huge(site: &Site) -> Result<CommandLine> {
    let folder = site.folder.join("memory");
    std::fs::create_dir_all(&folder)?;
    let original = site.data.table()?;
    // Whole huge pages, and one more.
    let size = original.metadata()?.len().next_multiple_of(HUGE_PAGE) + HUGE_PAGE;
    let options = format!("huge=always,mode=755,size={size}");
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder))
        .context("no tmpfs with huge pages")?;
    run(Command::new("cp").arg("-p").arg(original).arg(&folder))?;
    run(Command::new("chown").arg(EXIMRBLD_USER).arg(&folder))?;
    with_table(site, &folder.join("table"))
}

fn with_table(site: &Site, table: &Path) -> Result<CommandLine> {
    let table = text_of(table);
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
