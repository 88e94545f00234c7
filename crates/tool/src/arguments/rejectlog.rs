//! What `import --rejectlog` takes.

use std::path::PathBuf;

use clap::Args;

/// Options of `import` for Exim's reject logs.
#[derive(Args)]
#[group(skip)]
pub(crate) struct RejectlogOptions {
    /// Exim's reject logs, or files of a syslog that has them; those that gzip has compressed are
    /// read as they are
    #[arg(long = "rejectlog", value_name = "FILE", num_args = 1..)]
    #[arg(conflicts_with_all = ["print_rules", "files", "format", "reason", "codes", "seconds"])]
    #[arg(conflicts_with_all = ["white", "wide", "dry_run"])]
    pub(crate) logs: Vec<PathBuf>,
    /// Go on with what Exim writes from now on, until SIGTERM or SIGINT; SIGHUP reads the rules anew
    #[arg(long, requires = "logs")]
    pub(crate) follow: bool,
    /// Which lines count, for which reason and how much [default: see --print-rules]
    #[arg(long, value_name = "FILE", requires = "logs")]
    pub(crate) rules: Option<PathBuf>,
    /// Print the rules that hold without --rules, as a start for a file of your own
    #[arg(long, conflicts_with = "files")]
    pub(crate) print_rules: bool,
    /// Where it is kept how far the logs were read: what was read before is not counted again
    #[arg(long, value_name = "FILE", requires = "logs")]
    pub(crate) position: Option<PathBuf>,
    /// This Exim has no helo_accept_junk_hosts, so a HELO name has letters, digits, . - and _ only:
    /// leaves fewer lines in doubt
    #[arg(long, requires = "logs")]
    pub(crate) plain_helo: bool,
}

impl RejectlogOptions {
    /// Whether any of them asks for something.
    pub(crate) fn are_given(&self) -> bool {
        self.print_rules || !self.logs.is_empty()
    }
}
