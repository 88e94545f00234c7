//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use eximrbl_table::DEFAULT_PATH;
use eximrbl_zone::{CollectorSettings, Config, ConfigError};

/// What the program was told when it was started.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "eximrbld",
    version,
    about = "Answers DNS queries from Exim's shared table of rejections",
    after_help = "\
Examples:
  eximrbld --config /etc/eximrbl/eximrbl.toml
  eximrbld --check-config --config /etc/eximrbl/eximrbl.toml
  eximrbld --zone rbl.example.org --listen 127.0.0.1:5300 --table ./table --collect 127.0.0.1:4444

Started as root, it binds its ports, makes the table if there is none, and then becomes the
configured user (eximrbl by default). SIGHUP reloads zones, policy, limits, who may ask, and the
secrets of cookies; SIGTERM stops.

Exit status: 0 after SIGTERM or SIGINT, or when the configuration is good; 1 after an error;
2 for a wrong command line."
)]
pub(crate) struct CommandLine {
    /// Configuration file
    #[arg(long, value_name = "FILE", required_unless_present = "zone")]
    config: Option<PathBuf>,

    /// Check the configuration file, say OK or what is wrong, and exit
    #[arg(long, requires = "config")]
    pub(crate) check_config: bool,

    /// Without a file: a zone to serve (may be given several times)
    #[arg(long, value_name = "NAME", conflicts_with = "config", requires = "listen")]
    zone: Vec<String>,

    /// Without a file: address and port to answer on (may be given several times)
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "config", requires = "zone")]
    listen: Vec<SocketAddr>,

    /// Without a file: the table
    #[arg(long, value_name = "PATH", conflicts_with = "config", default_value = DEFAULT_PATH)]
    table: PathBuf,

    /// Without a file: whom to become when started as root [default: eximrbl]
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    user: Option<String>,

    /// Without a file: where the control socket is to be, for `eximrbl info --daemon` [default: none]
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    control: Option<PathBuf>,

    /// Without a file: a loopback address and port to collect reports on, by TCP and UDP (may be given
    /// several times)
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "config")]
    collect: Vec<SocketAddr>,

    /// How much to log: error, warn, info, debug or trace (every query); RUST_LOG overrides it
    #[arg(long, value_name = "LEVEL", default_value_t = tracing::Level::INFO)]
    pub(crate) log: tracing::Level,
}

/// Reads the command line, or ends the program with help, version or an error.
pub(crate) fn parse() -> CommandLine {
    CommandLine::parse()
}

impl CommandLine {
    /// Whether the configuration has a policy. Without a file there is none to put in force, and
    /// the table keeps its own.
    pub(crate) fn has_policy(&self) -> bool {
        self.config.is_some()
    }

    /// Reads the configuration; anew at every call, so that it serves for reloading too.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        if let Some(path) = &self.config {
            return Config::load(path);
        }
        // The process may not be where it was started when the table is opened anew.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let table = absolute(&self.table);
        let mut config = Config::without_file(&self.zone, self.listen.clone(), table)?;
        if let Some(user) = &self.user {
            config.dns.user.clone_from(user);
        }
        config.control.socket = self.control.as_ref().map(absolute);
        if !self.collect.is_empty() {
            let collector = CollectorSettings::at(self.collect.clone())
                .map_err(|problem| ConfigError::Option { option: "--collect", problem })?;
            config.collector = Some(collector);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_file_and_single_settings_exclude_each_other() {
        let parse = |line: &str| CommandLine::try_parse_from(line.split(' '));
        assert!(parse("eximrbld --config f").is_ok());
        assert!(parse("eximrbld --zone a.example --listen 127.0.0.1:0").is_ok());
        assert!(parse("eximrbld").is_err());
        assert!(parse("eximrbld --zone a.example").is_err());
        assert!(parse("eximrbld --listen 127.0.0.1:0").is_err());
        assert!(parse("eximrbld --config f --zone a.example --listen 127.0.0.1:0").is_err());
        assert!(parse("eximrbld --config f --table t").is_err());
        assert!(parse("eximrbld --check-config").is_err());
    }
}
