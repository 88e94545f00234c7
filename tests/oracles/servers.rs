//! NSD and Knot, serving master files on a host beside eximrbld.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::harness::{Host, Process, Scratch, run};
use crate::master::Master;

/// A name server that serves master files, on the host's loopback.
#[derive(Debug)]
pub struct NameServer {
    _process: Process,
    _scratch: Scratch,
    /// Which.
    pub name: &'static str,
    /// Where it answers.
    pub address: SocketAddr,
}

impl NameServer {
    /// Starts NSD. Its defaults hide what is to be compared: it refuses
    /// ANY by UDP, and limits the rate of responses.
    pub fn nsd(host: &Host, masters: &[Master]) -> Self {
        let scratch = files("nsd", masters);
        let folder = scratch.path().display();
        let mut text = format!(
            "server:\n ip-address: 127.0.0.1@5301\n username: \"\"\n chroot: \"\"\n \
             zonesdir: \"{folder}\"\n database: \"\"\n pidfile: \"{folder}/pid\"\n \
             zonelistfile: \"{folder}/list\"\n xfrdfile: \"{folder}/xfrd\"\n xfrdir: \"{folder}\"\n \
             server-count: 1\n minimal-responses: no\n refuse-any: no\n rrl-ratelimit: 0\n \
             verbosity: 1\nremote-control:\n control-enable: no\n"
        );
        for master in masters {
            let name = master.zone.name;
            let _ = write!(text, "zone:\n name: {name}\n zonefile: {name}.zone\n");
        }
        let configuration = scratch.write("nsd.conf", text);
        let mut command = host.command("nsd");
        command.arg("-d").arg("-c").arg(configuration);
        Self::start("nsd", host, command, scratch, 5301)
    }

    /// Starts Knot.
    pub fn knot(host: &Host, masters: &[Master]) -> Self {
        let scratch = files("knot", masters);
        let folder = scratch.path().display();
        let mut text = format!(
            "server:\n  rundir: \"{folder}\"\n  listen: 127.0.0.1@5302\n  udp-workers: 1\n  \
             tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{folder}\"\n\
             log:\n  - target: stderr\n    any: info\n\
             template:\n  - id: default\n    storage: \"{folder}\"\n    zonefile-load: whole\n    \
             zonefile-sync: -1\n    journal-content: none\nzone:\n"
        );
        for master in masters {
            let name = master.zone.name;
            let _ = write!(text, "  - domain: {name}\n    file: {name}.zone\n");
        }
        let configuration = scratch.write("knot.conf", text);
        let mut command = host.command("knotd");
        command.arg("-c").arg(configuration);
        Self::start("knotd", host, command, scratch, 5302)
    }

    #[track_caller]
    fn start(
        name: &'static str,
        host: &Host,
        command: std::process::Command,
        scratch: Scratch,
        port: u16,
    ) -> Self {
        let mut process = Process::start(name, command, scratch.join("output"));
        process.wait_until_ready(|_| {
            let found = run(host.command("ss").args(["-Hlun", &format!("sport = :{port}")]));
            !found.trim().is_empty()
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { _process: process, _scratch: scratch, name, address }
    }
}

/// A folder with the zones' files.
fn files(server: &str, masters: &[Master]) -> Scratch {
    let scratch = Scratch::new(server);
    for master in masters {
        scratch.write(&format!("{}.zone", master.zone.name), &master.text);
    }
    scratch
}
