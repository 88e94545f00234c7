//! The name servers that are compared: each with its configuration, its data, its command.
//!
//! All run with one worker, for one processor, without logging of queries and without rate limits
//! that would cut the measurement short; else with what they come with.

mod eximrbld;
mod knot;
mod nsd;
mod powerdns;
mod rbldnsd;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::data::Data;
use crate::stage;

/// Which server, in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Which {
    /// The floor.
    Echo,
    /// Ours.
    Eximrbld,
    /// The same with its table in huge pages, on a tmpfs.
    EximrbldHuge,
    /// rbldnsd with NS records in its answers, as it comes.
    Rbldnsd,
    /// rbldnsd without them (`-a`).
    RbldnsdBare,
    /// NSD.
    Nsd,
    /// Knot DNS.
    Knot,
    /// `PowerDNS` with SQLite.
    PowerDns,
}

impl Which {
    /// All, in the order of the tables.
    pub(crate) const ALL: [Self; 8] = [
        Self::Echo,
        Self::Eximrbld,
        Self::EximrbldHuge,
        Self::RbldnsdBare,
        Self::Rbldnsd,
        Self::Nsd,
        Self::Knot,
        Self::PowerDns,
    ];

    /// For `EXIMRBL_BENCH_SERVERS`, and for files.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Eximrbld => "eximrbld",
            Self::EximrbldHuge => "eximrbld-huge",
            Self::Rbldnsd => "rbldnsd",
            Self::RbldnsdBare => "rbldnsd-a",
            Self::Nsd => "nsd",
            Self::Knot => "knot",
            Self::PowerDns => "powerdns",
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "UDP echo (the floor)",
            Self::Eximrbld => "eximrbld",
            Self::EximrbldHuge => "eximrbld, huge pages",
            Self::Rbldnsd => "rbldnsd",
            Self::RbldnsdBare => "rbldnsd -a",
            Self::Nsd => "NSD",
            Self::Knot => "Knot DNS",
            Self::PowerDns => "PowerDNS, SQLite",
        }
    }

    /// Whether it is asked about ten million entries. The others need gigabytes or minutes.
    pub(crate) fn is_for_many(self) -> bool {
        !matches!(self, Self::Nsd | Self::Knot | Self::PowerDns)
    }

    /// Whether it is asked about IPv6 networks. The others would need a wildcard for each.
    pub(crate) fn is_for_ipv6(self) -> bool {
        self.is_for_many()
    }

    /// The version that is measured.
    pub(crate) fn version(self) -> String {
        use crate::machine::version;
        match self {
            Self::Echo => String::new(),
            Self::Eximrbld | Self::EximrbldHuge => env!("CARGO_PKG_VERSION").to_owned(),
            Self::Rbldnsd | Self::RbldnsdBare => version("rbldnsd"),
            Self::Nsd => version("nsd"),
            Self::Knot => version("knot"),
            Self::PowerDns => version("pdns-server"),
        }
    }

    /// Makes its files, and says how to start it.
    pub(crate) fn prepare(self, data: &Data) -> Result<Server> {
        let place = Self::ALL.iter().position(|&which| which == self).unwrap_or(0);
        let address = stage::server(5300 + place as u16);
        let folder = data.folder().join(self.short_name());
        std::fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        let site = Site { data, address, folder };
        let (program, arguments) = match self {
            Self::Echo => site.echo()?,
            Self::Eximrbld => eximrbld::prepare(&site)?,
            Self::EximrbldHuge => eximrbld::prepare_huge(&site)?,
            Self::Rbldnsd => rbldnsd::prepare(&site, false)?,
            Self::RbldnsdBare => rbldnsd::prepare(&site, true)?,
            Self::Nsd => nsd::prepare(&site)?,
            Self::Knot => knot::prepare(&site)?,
            Self::PowerDns => powerdns::prepare(&site)?,
        };
        let output = site.folder.join("output");
        Ok(Server { which: self, address, program, arguments, output })
    }
}

/// A server that can be started.
#[derive(Debug)]
pub(crate) struct Server {
    /// Which one.
    pub(crate) which: Which,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// What it writes.
    pub(crate) output: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Server {
    /// The command that starts it, in the foreground.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// A program and its arguments.
type CommandLine = (PathBuf, Vec<String>);

/// Where a server is to be, with what.
struct Site<'a> {
    data: &'a Data,
    address: SocketAddr,
    /// Of its own, for its configuration and state.
    folder: PathBuf,
}

impl Site<'_> {
    /// Writes a file into the server's folder.
    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
        Ok(text_of(&path))
    }

    /// This very program, as the echo server.
    fn echo(&self) -> Result<CommandLine> {
        let program = std::env::current_exe().context("cannot find this program")?;
        Ok((program, vec!["echo".into(), self.address.to_string()]))
    }
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}
