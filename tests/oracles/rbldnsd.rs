//! rbldnsd, serving files of its own formats.

use std::net::SocketAddr;

use crate::harness::{Namespace, Process, Scratch, set_mode};

/// A running rbldnsd.
#[derive(Debug)]
pub struct Rbldnsd {
    _process: Process,
    _scratch: Scratch,
    /// Where it answers.
    pub address: SocketAddr,
}

impl Rbldnsd {
    /// Serves data sets: the zone's name, the format, and the file's text.
    pub fn start(namespace: &Namespace, port: u16, sets: &[(String, &str, &str)]) -> Self {
        let scratch = Scratch::new("rbldnsd");
        // It refuses to be root, and reads the files as its own user.
        set_mode(scratch.path(), 0o755);
        let mut command = namespace.command("rbldnsd");
        command.args(["-n", "-u", "rbldns", "-c", "0", "-t", "4000", "-w"]).arg(scratch.path());
        command.arg("-b").arg(format!("127.0.0.1/{port}"));
        for (zone, format, text) in sets {
            let file = format!("{zone}.{format}");
            set_mode(&scratch.write(&file, text), 0o644);
            command.arg(format!("{zone}:{format}:{file}"));
        }
        let mut process = Process::start("rbldnsd", command, scratch.join("output"));
        process.wait_until_ready(|process| process.output().contains("started"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { _process: process, _scratch: scratch, address }
    }
}
