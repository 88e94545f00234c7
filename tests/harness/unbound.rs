//! A real recursive resolver between a mail server and eximrbld.

use std::net::{IpAddr, SocketAddr};

use super::clock::Clock;
use super::namespace::Host;
use super::process::Process;
use super::scratch::Scratch;

/// An unbound on port 53 of a host's loopback, which the host's programs ask.
#[derive(Debug)]
pub struct Unbound {
    process: Process,
    _scratch: Scratch,
}

impl Unbound {
    /// Starts it with the stub zone of `examples/unbound/eximrbl.conf`, asked at `server`.
    ///
    /// QNAME minimisation is on and strict, so that a server which answers NXDOMAIN for an empty
    /// non-terminal is found out (RFC 9156, RFC 8020).
    #[track_caller]
    pub fn start(host: &Host, server: SocketAddr, clock: Option<&Clock>) -> Self {
        let sample = include_str!("../../examples/unbound/eximrbl.conf");
        let address = format!("{}@{}", server.ip(), server.port());
        let stub = sample.replace("stub-addr: 192.0.2.10\n", &format!("stub-addr: {address}\n"));
        assert!(stub.contains(&address), "the example has no stub-addr 192.0.2.10 any more");
        Self::start_with(host, &stub, clock)
    }

    /// Starts it with configuration text of the test's own after the common part.
    #[track_caller]
    pub fn start_with(host: &Host, text: &str, clock: Option<&Clock>) -> Self {
        let scratch = Scratch::new("unbound");
        let configuration = scratch.write("unbound.conf", format!("{COMMON}{text}"));
        let mut command = host.command("unbound");
        command.arg("-d").arg("-c").arg(configuration);
        if let Some(clock) = clock {
            clock.rule(&mut command);
        }
        let mut process = Process::start("unbound", command, scratch.join("unbound.out"));
        process.wait_until_ready(|process| process.output().contains("start of service"));
        host.set_resolver(IpAddr::from([127, 0, 0, 1]));
        Self { process, _scratch: scratch }
    }
}

/// No root servers, no DNSSEC (the stub zone is unsigned and the chain to it can't be had here),
/// no files of Debian's, no cache times but those of the answers.
const COMMON: &str = "\
server:
  interface: 127.0.0.1
  access-control: 127.0.0.0/8 allow
  username: \"\"
  chroot: \"\"
  directory: \"/\"
  pidfile: \"\"
  use-syslog: no
  logfile: \"\"
  verbosity: 1
  num-threads: 1
  module-config: \"iterator\"
  qname-minimisation: yes
  qname-minimisation-strict: yes
  harden-below-nxdomain: yes
  target-fetch-policy: \"0 0 0 0 0\"
remote-control:
  control-enable: no
";
