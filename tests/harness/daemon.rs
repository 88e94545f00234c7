//! `eximrbld`, serving a table on a host's port 53.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::artifacts::artifact;
use super::clock::Clock;
use super::namespace::Host;
use super::process::Process;
use super::scratch::{Scratch, set_mode};

/// The zone that a daemon serves when a test says no other.
pub const ZONE: &str = "rbl.example.org";

/// A running eximrbld.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    scratch: Scratch,
    address: IpAddr,
}

impl Daemon {
    /// Starts it with the zone [`ZONE`] and `[policy]` lines; waits until it answers.
    #[track_caller]
    pub fn start(host: &Host, policy: &str, clock: Option<&Clock>) -> Self {
        let zones = format!("[[zone]]\nname = \"{ZONE}\"\n");
        Self::start_with(host, policy, &zones, clock)
    }

    /// Starts it with `[policy]` lines and `[[zone]]` tables of the test's own.
    #[track_caller]
    pub fn start_with(host: &Host, policy: &str, zones: &str, clock: Option<&Clock>) -> Self {
        let scratch = Scratch::new("eximrbld");
        // A place for the table where a program without root's rights may work.
        let state = scratch.join("state");
        std::fs::create_dir(&state).unwrap();
        set_mode(&state, 0o755);
        scratch.write("eximrbl.toml", configuration(&state.join("table"), policy, zones));
        let mut daemon =
            Self { process: launch(host, &scratch, clock), scratch, address: host.v4.into() };
        daemon.wait_until_it_answers();
        daemon
    }

    /// Writes another configuration and lets the daemon read it.
    pub fn reload(&self, policy: &str, zones: &str) {
        self.scratch.write("eximrbl.toml", configuration(&self.table(), policy, zones));
        self.process.signal("HUP");
    }

    /// Starts it again after it was stopped, upon the same table and configuration.
    #[track_caller]
    pub fn start_again(&mut self, host: &Host, clock: Option<&Clock>) {
        self.process = launch(host, &self.scratch, clock);
        self.wait_until_it_answers();
    }

    /// The table that it serves.
    pub fn table(&self) -> PathBuf {
        self.scratch.join("state/table")
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.address, 53)
    }

    /// The running program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    #[track_caller]
    fn wait_until_it_answers(&mut self) {
        // Its socket takes queries before that, but a SIGHUP would end it.
        self.process.wait_until_ready(|process| process.output().contains("INFO ready"));
    }
}

/// The configuration file's text.
fn configuration(table: &Path, policy: &str, zones: &str) -> String {
    let table = table.display();
    format!(
        "version = 1\n[table]\npath = \"{table}\"\nslots = 4096\n[policy]\n{policy}\n\
         [control]\nsocket = \"\"\n[dns]\nlisten = [\"0.0.0.0:53\", \"[::]:53\"]\nuser = \"nobody\"\n{zones}"
    )
}

/// Starts the program on the host.
fn launch(host: &Host, scratch: &Scratch, clock: Option<&Clock>) -> Process {
    let mut command: Command = host.command(artifact("eximrbld"));
    command.arg("--config").arg(scratch.join("eximrbl.toml"));
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    if let Some(clock) = clock {
        clock.rule(&mut command);
    }
    Process::start("eximrbld", command, scratch.join("eximrbld.out"))
}
