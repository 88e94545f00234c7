//! What examples/unbound/eximrbl.conf says, asked of unbound itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::process::{Child, Command, Stdio};

use common::{Daemon, Place, free_port, record, wait_until};

const SAMPLE: &str = include_str!("../../../examples/unbound/eximrbl.conf");
const HINTS: [&str; 2] = ["do-not-query-localhost: no", "private-domain: \"rbl.example.org\""];

/// How many ports are tried.
const PORT_TRIES: usize = 5;

/// A running unbound; killed at the end of the test, whatever happens.
struct Unbound {
    child: Child,
    port: u16,
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Unbound {
    /// Starts it on the loopback with the sample, in which these hints are taken up.
    fn start(place: &Place, daemon: &Daemon, before: &str, hints: &[&str]) -> Self {
        // Should another program have taken the port a moment later, unbound ends.
        let started = (0..PORT_TRIES).find_map(|_| Self::try_start(place, daemon, before, hints));
        started.expect("unbound (package unbound) does not start")
    }

    /// `None` when it ended before it answered.
    fn try_start(place: &Place, daemon: &Daemon, before: &str, hints: &[&str]) -> Option<Self> {
        let port = free_port();
        let stub = format!("stub-addr: {}@{}\n", daemon.address.ip(), daemon.address.port());
        let mut sample = SAMPLE.replace("stub-addr: 192.0.2.10\n", &stub);
        assert!(sample.contains(&stub));
        for hint in hints {
            assert!(sample.contains(&format!("    #{hint}\n")), "{hint}");
            sample = sample.replace(&format!("#{hint}\n"), &format!("{hint}\n"));
        }
        let path = place.path("unbound.conf");
        let text = format!(
            "server:\n interface: 127.0.0.1@{port}\n chroot: \"\"\n username: \"\"\n \
             directory: \"/\"\n pidfile: \"\"\n use-syslog: no\n module-config: \"iterator\"\n \
             {before}\nremote-control:\n control-enable: no\n{sample}"
        );
        fs::write(&path, text).unwrap();
        let mut command = Command::new("unbound");
        command.arg("-d").arg("-c").arg(path).stderr(Stdio::null());
        let child = command.spawn().expect("unbound (package unbound) is needed");
        let mut unbound = Self { child, port };
        let mut has_ended = false;
        wait_until(
            || {
                let answers = unbound.dig("version.bind", &["CH", "TXT"]).contains("status: ");
                has_ended = unbound.child.try_wait().unwrap().is_some();
                answers || has_ended
            },
            || "unbound does not answer".to_owned(),
        );
        (!has_ended).then_some(unbound)
    }

    fn dig(&self, name: &str, more: &[&str]) -> String {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &self.port.to_string(), "+tries=3", "+time=10", name]);
        let output = command.args(more).output().expect("dig (package bind9-dnsutils) is needed");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The codes that the list gives for an address.
    fn codes(&self, name: &str) -> String {
        let text = self.dig(name, &["A", "+short"]);
        // A try that was in vain is told in between.
        let lines = text.lines().filter(|line| !line.starts_with(";;"));
        lines.flat_map(|line| [line, "\n"]).collect()
    }
}

#[test]
fn the_samples_hints_are_needed_where_they_say_so_and_help_there() {
    const PRIVATE: &str = "private-address: 127.0.0.0/8";
    let [localhost, private] = HINTS;
    let place = Place::new();
    let daemon = Daemon::start(&place, "[[zone]]\nname = \"rbl.example.org\"\n");
    for (before, hints, expected) in [
        // The daemon is on the loopback.
        ("", vec![], ""),
        ("", vec![localhost], "127.0.0.2\n"),
        (PRIVATE, vec![localhost], ""),
        (PRIVATE, vec![localhost, private], "127.0.0.2\n"),
    ] {
        let unbound = Unbound::start(&place, &daemon, before, &hints);
        assert_eq!(unbound.codes("2.0.0.127.rbl.example.org"), expected, "{before:?} {hints:?}");
    }
}

/// A resolver that sends no cookies, and is told to use TCP for each of its queries, or for most, finds every
/// listing. Caught: silence over the limit; TCP that is limited as UDP is.
#[test]
fn a_limited_resolver_misses_no_listing() {
    let zone = "[[zone]]\nname = \"rbl.example.org\"\n";
    for settings in
        ["cookies = \"required\"\n", "rate_limit = { responses_per_second = 1, exempt = [] }\n"]
    {
        let place = Place::new();
        let daemon = Daemon::start(&place, &format!("{settings}{zone}"));
        let unbound = Unbound::start(&place, &daemon, "", &HINTS[..1]);
        for last in 1..=30 {
            record(&place.table(), &format!("192.0.2.{last}"), "rcpt");
            let name = format!("{last}.2.0.192.rbl.example.org");
            assert_eq!(unbound.codes(&name), "127.0.0.2\n", "{settings}{name}");
        }
    }
}
