//! What a configuration file may say, and what is said of one that does not.
#![allow(clippy::unwrap_used)]

mod refusals;
mod samples;
mod settings;

use super::*;

const SMALLEST: &str = "version = 1\n[[zone]]\nname = \"rbl.example.org\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("test.toml"))
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn tcp(connections: u32, of_client: u32, idle_timeout: u32, io_timeout: u32) -> TcpSettings {
    TcpSettings { connections, connections_per_client: of_client, idle_timeout, io_timeout }
}

fn networks<const N: usize>(texts: [&str; N]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
