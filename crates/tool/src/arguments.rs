//! The command line: one definition for parsing, help, man pages and completions.

mod exchange;
mod rejectlog;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;
use eximrbl_table::{DEFAULT_PATH, Name, Network, WEIGHT_MAX};
use eximrbl_zone::config::CONTROL_PATH;

use crate::help;

pub(crate) use exchange::{Export, Import, Target};
/// Where eximrbld has its configuration.
const CONFIG_PATH: &str = "/etc/eximrbl/eximrbl.toml";
pub(crate) use rejectlog::RejectlogOptions;

/// Inspect and change the shared table of clients that Exim rejects
///
/// eximrbl looks into the table that Exim writes its rejections into and that eximrbld serves
/// as a DNSBL. It shows who is listed and why, and lists, forgives or whitelists by hand. Every
/// change is in force at once, for Exim and in DNS.
///
/// The commands create, black, white, forgive, purge, resize, and policy and verify with an option need
/// the right to write the table: run them as root, or as a member of its group. All others only read it, and
/// never disturb a running system.
#[derive(Parser)]
#[command(name = "eximrbl", version, max_term_width = 100, after_long_help = help::GENERAL)]
pub(crate) struct Arguments {
    /// The table's file [default: what EXIMRBL_TABLE names, else /var/lib/eximrbl/table]
    #[arg(long, global = true, value_name = "PATH")]
    table: Option<PathBuf>,

    /// Print JSON: one object on one line; `list` prints one such line for each entry
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make a new, empty table
    ///
    /// Makes the table's file, with all of its room allocated at once, so that a full disk can
    /// never hurt Exim later. An existing file is never overwritten. eximrbld makes the table by
    /// itself at its first start; this command is for hosts without it, and for tests.
    #[command(after_long_help = help::CREATE)]
    Create(Create),

    /// Show how full the table is, its policy, names and counters
    ///
    /// With --daemon: what the running eximrbld has been asked and has answered, by zone, type and
    /// outcome, since its start.
    #[command(after_long_help = help::INFO)]
    Info(Info),

    /// Show whether an address is listed, and why or why not
    ///
    /// The decision is the one that DNS and Exim's rbl_listed give, taken by the same code.
    #[command(after_long_help = help::SHOW)]
    Show(Show),

    /// List the entries of the table
    ///
    /// Without an option: all that are listed now. The order is that of the table, which is none;
    /// pipe into sort if you want one. Entries are printed as they are read, so a large table
    /// takes no more memory than a small one.
    #[command(after_long_help = help::LIST)]
    List(List),

    /// Record rejections of an address, as if Exim had rejected it
    ///
    /// Adds WEIGHT rejections to the address: each adds base_ttl seconds to its listing, up to
    /// max_ttl. What is listed by hand is listed at once: the policy's threshold is for what Exim
    /// reports. An IPv6 address stands for its prefix (/64 unless the policy says otherwise). A
    /// network is listed as a whole.
    #[command(after_long_help = help::BLACK)]
    Black(Black),

    /// Whitelist an address: it is not listed, and rejections are not counted
    ///
    /// White beats black everywhere and at once: a white network lifts every listing inside it.
    #[command(after_long_help = help::WHITE)]
    White {
        /// The client's address, or a network such as 192.0.2.0/24 (at most a /8, IPv6 a /16)
        #[arg(value_name = "IP")]
        address: Network,
        /// For so many seconds; without it the whitelisting has no end; 0 ends one
        #[arg(value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
        seconds: Option<u32>,
    },

    /// End the listing of an address now, and forget its rejections
    ///
    /// Its next rejection counts as its first. Caches may go on answering for the rest of the
    /// answer's TTL, which is at most positive_ttl_max of eximrbld's configuration.
    #[command(after_long_help = help::FORGIVE)]
    Forgive {
        /// The address or network, as the table has it: see `eximrbl list`
        #[arg(value_name = "IP")]
        address: Network,
    },

    /// Undo what one reporter did, or all listings for a reason, within a network, or at all
    ///
    /// What nobody else reported ends. What others reported, too, goes on without the reporter: a
    /// zone's quorum counts him no more, and what he added to count and life is taken out as far as
    /// that is known.
    #[command(after_long_help = help::PURGE)]
    Purge(Purge),

    /// Check the table's file for damage, and repair it
    #[command(after_long_help = help::VERIFY)]
    Verify {
        /// Mend what can be mended while Exim and eximrbld go on
        #[arg(long)]
        repair: bool,
    },

    /// Change how many entries the table can hold, while everything goes on
    ///
    /// Makes a new file with all live entries, the policy, names and counters, and puts it in the
    /// table's place. Exim and eximrbld move over by themselves; nothing is lost, nobody has to be
    /// stopped or restarted. Interrupted at any point, one of the two files is whole and in place: run it again.
    #[command(after_long_help = help::RESIZE)]
    Resize {
        /// How many entries it shall hold (64 bytes each); K and M stand for 1024 and 1024 x 1024
        #[arg(long, value_name = "N", value_parser = slots, allow_negative_numbers = true)]
        slots: u64,
    },

    /// Take lists of addresses into the table
    ///
    /// Reads rbldnsd's ip4set, ip4trie and ip6trie files, plain lists, CSV and JSON lines, compressed
    /// by gzip or not, a line after the other: a large list takes no more memory than a small one. What
    /// is in the table already stays as it is, or is prolonged; what a later list lacks stays as well.
    ///
    /// With --rejectlog: rejections out of Exim's own log, for hosts whose Exim has no dlfunc.
    #[command(after_long_help = help::IMPORT)]
    Import(Import),

    /// Write the table as a list for other programs
    ///
    /// For rbldnsd, BIND, NSD and Knot (bind), nftables, and as plain list: what is listed now, whites
    /// and the never-list taken out. As CSV and JSON lines: every entry as it is, for `eximrbl import`.
    #[command(after_long_help = help::EXPORT)]
    Export(Export),

    /// Show or change how rejections turn into listings
    ///
    /// Without an option: shows the policy in force. eximrbld writes its configuration's `[policy]`
    /// into the table when it starts and when it reloads: put lasting settings there.
    #[command(after_long_help = help::POLICY)]
    Policy(Policy),

    /// Print the completion script for a shell
    #[command(after_long_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the man page, or write one for each command into a directory
    #[command(after_long_help = help::MAN)]
    Man {
        /// Write eximrbl.8, eximrbl-show.8 and so on into this directory
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// Arguments of `create`.
#[derive(Args)]
pub(crate) struct Create {
    /// How many entries the table can hold (64 bytes each); K and M stand for 1024 and 1024 x 1024
    #[arg(long, value_name = "N", default_value = "1M", value_parser = slots)]
    #[arg(allow_negative_numbers = true)]
    pub(crate) slots: u64,
    /// Who owns the file, by name or number [default for root: eximrbl, if there is such a user]
    #[arg(long, value_name = "USER")]
    pub(crate) owner: Option<String>,
    /// The file's group, by name or number; its members may write: Exim must be one
    /// [default for root: Debian-exim, if there is such a group]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
}

/// Arguments of `info`.
#[derive(Args)]
pub(crate) struct Info {
    /// Ask the running eximrbld about itself, instead of reading the table
    #[arg(long)]
    pub(crate) daemon: bool,
    /// The control socket of eximrbld: `socket` in `[control]` of its configuration
    #[arg(long, value_name = "PATH", requires = "daemon", default_value = CONTROL_PATH)]
    pub(crate) control: PathBuf,
}

/// Arguments of `show`.
#[derive(Args)]
pub(crate) struct Show {
    /// The client's address, or a network such as 192.0.2.0/24
    #[arg(value_name = "IP")]
    pub(crate) address: Network,
    /// Show what was done about it as well, by whom and why: from the audit trail of eximrbld
    #[arg(long)]
    pub(crate) history: bool,
    #[command(flatten)]
    pub(crate) trail: Trail,
}

/// Where the audit trail is.
#[derive(Args)]
pub(crate) struct Trail {
    /// The audit trail's file [default: the one that the configuration names]
    #[arg(long, value_name = "FILE", requires = "history", conflicts_with = "config")]
    pub(crate) audit: Option<PathBuf>,
    /// The configuration of eximrbld, whose section [audit] names the trail
    #[arg(long, value_name = "FILE", requires = "history", default_value = CONFIG_PATH)]
    pub(crate) config: PathBuf,
}

/// Arguments of `list`.
#[derive(Args)]
pub(crate) struct List {
    /// Only entries within this network
    #[arg(value_name = "NETWORK")]
    pub(crate) within: Option<Network>,
    /// The whitelisted addresses and networks instead
    #[arg(long, conflicts_with = "all")]
    pub(crate) white: bool,
    /// Every living entry: listed, white, under the threshold, and lifted by a white network
    #[arg(long)]
    pub(crate) all: bool,
    /// Only entries that were given this reason; may be repeated to take any of several
    #[arg(long = "reason", value_name = "REASON", value_parser = reason)]
    pub(crate) reasons: Vec<Name>,
    /// Only entries that this reporter reported; may be repeated to take any of several
    #[arg(long = "reporter", value_name = "NAME", value_parser = name)]
    pub(crate) reporters: Vec<Name>,
    /// Leave out the line of column titles
    #[arg(short, long)]
    pub(crate) no_header: bool,
}

/// Arguments of `black`.
#[derive(Args)]
pub(crate) struct Black {
    /// The client's address, or a network such as 192.0.2.0/24 (at most a /8, IPv6 a /16)
    #[arg(value_name = "IP")]
    pub(crate) address: Network,
    /// Why: a word of at most 32 characters from a-z, 0-9 and -
    #[arg(value_name = "REASON", default_value = "manual", value_parser = reason)]
    pub(crate) reason: Name,
    /// How many rejections it counts for [default: the policy's weight of the reason, else 1]
    #[arg(value_name = "WEIGHT", value_parser = weight, allow_negative_numbers = true)]
    pub(crate) weight: Option<u32>,
    /// List until it is ended by hand, whatever the policy's times
    #[arg(long)]
    pub(crate) endless: bool,
}

/// Arguments of `purge`.
#[derive(Args)]
#[command(group = ArgGroup::new("part").required(true).multiple(true)
    .args(["reporter", "reason", "network", "all"]))]
pub(crate) struct Purge {
    /// What this reporter did: its listings, and its whitelistings
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) reporter: Option<Name>,
    /// Listings for this reason
    #[arg(long, value_name = "REASON", value_parser = reason, conflicts_with = "reporter")]
    pub(crate) reason: Option<Name>,
    /// Only entries within this network; alone: all listings there
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<Network>,
    /// All listings of the table
    #[arg(long, conflicts_with_all = ["reporter", "reason", "network"])]
    pub(crate) all: bool,
    /// With --network or --all: the whitelistings instead
    #[arg(long, conflicts_with_all = ["reporter", "reason"])]
    pub(crate) white: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do it without being asked back: for --all, --reporter admin, and very wide networks
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Arguments of `policy`.
#[derive(Args)]
pub(crate) struct Policy {
    /// Put the `[policy]` of this configuration file in force, in the table that it names
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change one setting, as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

impl Arguments {
    /// The table that was named; the command line goes before the environment.
    ///
    /// An empty variable names none, as in Exim's library. (Read here, since clap would refuse it
    /// as an empty `--table`, which nobody has written.)
    pub(crate) fn named_table(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os("EXIMRBL_TABLE").filter(|value| !value.is_empty());
        self.table.clone().or_else(|| variable().map(PathBuf::from))
    }

    /// The table to work on.
    pub(crate) fn table(&self) -> PathBuf {
        self.named_table().unwrap_or_else(|| DEFAULT_PATH.into())
    }
}

/// Reads a number of slots: digits, and perhaps K or M.
fn slots(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| "write a number, such as 65536, 64K or 4M")?;
    match number.checked_mul(unit) {
        Some(0) => Err("a table needs at least one slot".to_owned()),
        Some(slots) => Ok(slots),
        None => Err("too large a number".to_owned()),
    }
}

/// Reads a weight.
fn weight(text: &str) -> Result<u32, String> {
    let known = whole(text).filter(|weight| (1..=WEIGHT_MAX).contains(weight));
    known.ok_or_else(|| format!("write a whole number from 1 to {WEIGHT_MAX}, such as 3"))
}

/// Reads seconds.
fn seconds(text: &str) -> Result<u32, String> {
    let problem = "write whole seconds without a unit, 0 to 4294967295, such as 86400 for a day";
    whole(text).ok_or_else(|| problem.to_owned())
}

/// Digits alone: the standard parser takes a sign too.
fn whole<N: FromStr>(text: &str) -> Option<N> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads a reason. An administrator's slip is refused, not folded as Exim's input is: a misspelt
/// reason would go unnoticed into the table, and stay in its dictionary.
fn reason(text: &str) -> Result<Name, String> {
    Name::new(text.as_bytes())
        .ok_or_else(|| "write 1 to 32 characters from a-z, 0-9 and -, such as spamtrap".to_owned())
}

/// Reads a reporter's name.
fn name(text: &str) -> Result<Name, String> {
    Name::new(text.as_bytes())
        .ok_or_else(|| "write 1 to 32 characters from a-z, 0-9 and -, such as mx2".to_owned())
}

/// Splits `KEY=VALUE`.
fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write KEY=VALUE, such as base_ttl=600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_is_explained() {
        for command in Arguments::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(command.get_after_long_help().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn slots_take_binary_units() {
        assert_eq!(slots("4096"), Ok(4096));
        assert_eq!(slots("64K"), Ok(65_536));
        assert_eq!(slots("2m"), Ok(2_097_152));
        for bad in
            ["", "K", "0", "0M", "-1", "1G", "1.5M", "99999999999999999999", "99999999999999999M"]
        {
            assert!(slots(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn weights_and_seconds_are_whole_numbers_within_their_range() {
        assert_eq!((weight("1"), weight("10000")), (Ok(1), Ok(10_000)));
        for bad in ["", "0", "10001", "-1", "+1", "2.5", "1d", "99999999999999999999"] {
            let problem = weight(bad).unwrap_err();
            assert_eq!(problem, "write a whole number from 1 to 10000, such as 3", "{bad}");
        }
        assert_eq!((seconds("0"), seconds("4294967295")), (Ok(0), Ok(u32::MAX)));
        for bad in ["", "-1", "+1", "1d", "1.5", "4294967296", "for ever"] {
            assert!(seconds(bad).unwrap_err().contains("86400 for a day"), "{bad}");
        }
    }

    #[test]
    fn help_names_the_place_where_the_table_is() {
        let mut command = Arguments::command();
        let help = command.render_long_help().to_string();
        assert!(help.contains(&format!("else {DEFAULT_PATH}]")), "{help}");
    }

    #[test]
    fn settings_are_split_at_the_first_equals_sign() {
        assert_eq!(setting("never=::/0").unwrap(), ("never".to_owned(), "::/0".to_owned()));
        assert_eq!(setting("never=").unwrap(), ("never".to_owned(), String::new()));
        assert!(setting("base_ttl").is_err());
        assert!(setting("=5").is_err());
    }
}
