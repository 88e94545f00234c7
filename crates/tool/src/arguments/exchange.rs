//! What `import` and `export` take.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::Args;
use eximrbl_exchange::Format;
use eximrbl_table::Name;

use super::rejectlog::RejectlogOptions;
use super::{Network, reason, whole};

/// Arguments of `import`.
#[derive(Args)]
pub(crate) struct Import {
    /// The lists; - is standard input. Those that gzip has compressed are read as they are
    #[arg(value_name = "FILE", required_unless_present_any = ["logs", "print_rules"])]
    pub(crate) files: Vec<PathBuf>,
    /// ip4set, ip4trie, ip6trie, plain, csv or json [default: what each file looks like, and told]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Why the addresses are listed [default: import, or what the list says]
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(crate) reason: Option<Name>,
    /// Reasons of rbldnsd's values, as auth=4,virus=127.0.0.8; other values have the one of --reason
    #[arg(long, value_name = "REASON=A", value_parser = code, value_delimiter = ',')]
    pub(crate) codes: Vec<(Name, Ipv4Addr)>,
    /// Who reported them [default: import, or what the list says; rejectlog with --rejectlog]
    #[arg(long, value_name = "NAME", value_parser = reporter)]
    pub(crate) reporter: Option<Name>,
    /// For so many seconds at most [default: until it is ended by hand, or what the list says]
    #[arg(long, value_name = "SECONDS", value_parser = life, allow_negative_numbers = true)]
    pub(crate) seconds: Option<u32>,
    /// Whitelist what the list has
    #[arg(long)]
    pub(crate) white: bool,
    /// Take networks wider than a /8, or a /16 of IPv6, too
    #[arg(long)]
    pub(crate) wide: bool,
    /// Read and judge everything, but change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) rejectlog: RejectlogOptions,
}

/// Arguments of `export`.
#[derive(Args)]
pub(crate) struct Export {
    /// ip4set, ip4trie, ip6trie, plain, csv, json, bind or nftables [default: as the file's name
    /// ends, else json]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Target>,
    /// As this zone lists, with its codes and texts
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// eximrbld's configuration, for the zone's settings; without it they are the defaults
    #[arg(long, value_name = "FILE", requires = "zone")]
    pub(crate) config: Option<PathBuf>,
    /// The zone's name in the file, if it is to be another one there
    #[arg(long, value_name = "NAME", requires = "zone")]
    pub(crate) origin: Option<String>,
    /// Only entries within this network
    #[arg(long, value_name = "NETWORK")]
    pub(crate) within: Option<Network>,
    /// The whitelisted addresses and networks
    #[arg(long, conflicts_with_all = ["zone", "reasons"])]
    pub(crate) white: bool,
    /// Only entries that were given this reason; may be repeated to take any of several
    #[arg(long = "reason", value_name = "REASON", value_parser = reason, conflicts_with = "zone")]
    pub(crate) reasons: Vec<Name>,
    /// bind: the names of ::ffff:a.b.c.d for IPv4 addresses, too
    #[arg(long)]
    pub(crate) mapped: bool,
    /// Write this file, complete or not at all [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// One that is read as well.
    Both(Format),
    /// A zone file.
    Bind,
    /// Sets of nftables.
    Nftables,
}

impl Target {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Both(format) => format.name(),
            Self::Bind => "bind",
            Self::Nftables => "nftables",
        }
    }
}

impl std::str::FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "bind" => Ok(Self::Bind),
            "nftables" => Ok(Self::Nftables),
            _ => text
                .parse()
                .map(Self::Both)
                .map_err(|_| "write ip4set, ip4trie, ip6trie, plain, csv, json, bind or nftables"),
        }
    }
}

/// Reads a reporter's name.
fn reporter(text: &str) -> Result<Name, String> {
    Name::new(text.as_bytes())
        .ok_or_else(|| "write 1 to 32 characters from a-z, 0-9 and -, such as mx2".to_owned())
}

/// Reads the seconds of a life.
fn life(text: &str) -> Result<u32, String> {
    let known = whole(text).filter(|&seconds| seconds > 0 && seconds < u32::MAX);
    known.ok_or_else(|| "write whole seconds without a unit, such as 86400 for a day".to_owned())
}

/// Reads `REASON=A`, with the whole value or its last number.
fn code(text: &str) -> Result<(Name, Ipv4Addr), String> {
    let wrong = || "write REASON=A, such as auth=4 or auth=127.0.0.4".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let name = reason(name)?;
    let short = whole::<u8>(value).map(|last| Ipv4Addr::new(127, 0, 0, last));
    let value = short.or_else(|| value.parse().ok()).ok_or_else(wrong)?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn codes_may_be_short() {
        let (name, value) = code("auth=4").unwrap();
        assert_eq!((name.as_str(), value), ("auth", Ipv4Addr::new(127, 0, 0, 4)));
        assert_eq!(code("a=127.1.2.3").unwrap().1, Ipv4Addr::new(127, 1, 2, 3));
        for bad in ["", "auth", "auth=", "=4", "auth=256", "Auth=4", "auth=+4", "auth=1.2"] {
            assert!(code(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_life_has_a_second_at_least() {
        assert_eq!(life("1"), Ok(1));
        for bad in ["", "0", "-1", "1d", "4294967295"] {
            assert!(life(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn formats_have_names() {
        for name in ["ip4set", "ip4trie", "ip6trie", "plain", "csv", "json", "bind", "nftables"] {
            assert_eq!(name.parse::<Target>().unwrap().name(), name);
        }
        assert!("JSON".parse::<Target>().unwrap_err().contains("nftables"));
    }
}
