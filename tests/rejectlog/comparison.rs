//! What was provoked, and what is in the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::clients::{Client, ambiguous, every_way, hostile, malformed};
use crate::harness::{Host, Lan, Process, Scratch, run, tool, tool_text, wait_until};
use crate::light::light_exim;
use crate::server::Server;

/// A zone that is neither Greenwich nor this machine's, for Exim and for the tool.
const ZONE: &str = "EST5EDT,M3.2.0,M11.1.0";

/// What Exim writes instead of a line that is too long for it.
const OVERFLOWED: &str = "**** log string overflowed log buffer ****";

/// A table, and what is in it.
struct List {
    _scratch: Scratch,
    table: PathBuf,
}

impl List {
    fn new() -> Self {
        let scratch = Scratch::new("rejectlog");
        let table = scratch.join("table");
        tool_text(&table, "create --slots 4096");
        Self { _scratch: scratch, table }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool(&self.table);
        command.args(arguments).env("TZ", ZONE);
        command
    }

    /// Imports a log.
    fn import(&self, log: &Path, more: &[&str]) -> Value {
        let arguments = ["--json", "import", "--rejectlog", log.to_str().unwrap()];
        let said = run(&mut self.command(&[&arguments, more].concat()));
        serde_json::from_str(&said).unwrap()
    }

    /// The entries by their networks.
    fn entries(&self) -> BTreeMap<String, Value> {
        let said = run(&mut self.command(&["--json", "list", "--all"]));
        let entries = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.map(|entry| (entry["network"].as_str().unwrap().to_owned(), entry)).collect()
    }
}

/// Lets all clients speak, one after the other.
fn speak(lan: &Lan, host: &Host, clients: &[Client]) {
    for client in clients {
        client.speak(lan, host);
    }
}

/// Every client that was rejected is there, with its reasons and its count; and nobody else.
#[track_caller]
fn compare(list: &List, clients: &[Client], log: &str) {
    let entries = list.entries();
    let mut expected = BTreeSet::new();
    for client in clients.iter().filter(|client| !client.reasons.is_empty()) {
        let network = match client.address {
            std::net::IpAddr::V4(address) => address.to_string(),
            // The /64 of the one such client.
            std::net::IpAddr::V6(_) => "2001:db8:c:1::/64".to_owned(),
        };
        let entry =
            entries.get(&network).unwrap_or_else(|| panic!("{network} is not there:\n{log}"));
        let reasons: BTreeSet<_> = client.reasons.iter().copied().collect();
        let found = entry["reasons"].as_array().unwrap().iter();
        let found: BTreeSet<_> = found.map(|reason| reason.as_str().unwrap()).collect();
        assert_eq!(found, reasons, "{network}\n{log}");
        assert_eq!(entry["count"], client.reasons.len(), "{network}\n{log}");
        assert_eq!(entry["reporters"], serde_json::json!(["rejectlog"]));
        expected.insert(network);
    }
    let found: BTreeSet<_> = entries.into_keys().collect();
    assert_eq!(found, expected, "{log}");
}

/// Waits until Exim has written what these clients provoked: its children write it after the reply.
fn wait_for_log(server: &Server, clients: &[Client]) {
    for client in clients.iter().filter(|client| !client.reasons.is_empty()) {
        let address = format!("[{}]", client.address);
        wait_until(&format!("the log has {address}"), || {
            // The sender's verification is a line of its own, before the one that counts.
            let lines = server.log_text();
            let lines = lines.lines().filter(|line| !line.contains("sender verify fail"));
            lines.filter(|line| line.contains(&address)).count() >= client.reasons.len()
        });
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Caught: the host's zone not taken for Exim's, which makes all of it hours older than it is.
#[test]
fn each_rejection_of_a_real_exim_is_its_clients() {
    let lan = Lan::new();
    let host = lan.host("mx", 10);
    let server = Server::start(Path::new("exim4"), &host, &format!("timezone = {ZONE}"));
    let clients = [every_way(), malformed()].concat();
    let before = seconds();
    speak(&lan, &host, &clients);
    wait_for_log(&server, &clients);
    let after = seconds();

    let list = List::new();
    let account = list.import(&server.log(), &[]);
    let log = server.log_text();
    compare(&list, &clients, &log);
    let rejections: usize = clients.iter().map(|client| client.reasons.len()).sum();
    assert_eq!(account["recorded"], rejections, "{account}\n{log}");
    assert_eq!(account["doubtful"], 0, "{account}\n{log}");
    for entry in list.entries().values() {
        let first = entry["first_unix"].as_u64().unwrap();
        assert!((before..=after).contains(&first), "{first} is not in {before}..{after}: {entry}");
    }
    // The decoys of the message, which is in the log.
    assert!(log.contains("[192.0.2.66]"), "{log}");
}

/// All that Exim can add to its lines: time zone, milliseconds, process, port, interface.
///
/// Caught: the number of the process taken for a part of the text; the zone of a line left out, which
/// makes it hours older than it is.
#[test]
fn whatever_is_added_to_the_lines() {
    let lan = Lan::new();
    let host = lan.host("mx", 10);
    let server = Server::start(
        Path::new("exim4"),
        &host,
        "timezone = WST11\nlog_timezone = true\n\
             log_selector = +millisec +pid +incoming_port +incoming_interface +sender_verify_fail",
    );
    let clients = [every_way(), malformed(), vec![ambiguous()]].concat();
    let before = seconds();
    speak(&lan, &host, &clients);
    wait_for_log(&server, &clients);
    let after = seconds();
    let list = List::new();
    let account = list.import(&server.log(), &["--plain-helo"]);
    let log = server.log_text();
    assert!(log.contains(" -1100 [") && log.contains(" I=[198.51.100.10]:25"), "{log}");
    compare(&list, &clients, &log);
    assert_eq!(account["doubtful"], 0, "{account}\n{log}");
    for entry in list.entries().values() {
        let first = entry["first_unix"].as_u64().unwrap();
        assert!((before..=after).contains(&first), "{first} is not in {before}..{after}: {entry}");
    }
}

/// Caught: the first of several addresses in a line taken.
#[test]
fn no_client_has_another_listed_in_its_place() {
    let lan = Lan::new();
    let host = lan.host("mx", 10);
    for more in ["", "log_selector = +incoming_port +incoming_interface\n"] {
        let options = format!("timezone = {ZONE}\nhelo_accept_junk_hosts = *\n{more}");
        let server = Server::start(Path::new("exim4"), &host, &options);
        let clients = hostile();
        speak(&lan, &host, &clients);
        // Of the last one's line, Exim leaves nothing.
        let tells = |line: &&str| line.contains("[192.0.2.66]") || line.contains(OVERFLOWED);
        let lines = |log: &str| log.lines().filter(tells).count();
        wait_until("the log has a line of each", || {
            let log = server.log_text();
            lines(&log) >= clients.len() && log.contains(OVERFLOWED)
        });

        let list = List::new();
        let account = list.import(&server.log(), &[]);
        let log = server.log_text();
        let theirs: BTreeSet<_> = clients.iter().map(|client| client.address.to_string()).collect();
        for network in list.entries().into_keys() {
            assert!(theirs.contains(&network), "{network} is no client:\n{log}");
        }
        let doubtful = account["doubtful"].as_u64().unwrap();
        assert!(doubtful >= 6, "{account}\n{log}");
        // Exim took the names as they are.
        assert!(log.contains("H=(x) [192.0.2.66]) [203.0.113.41]"), "{log}");
        assert!(log.contains(OVERFLOWED), "{log}");
    }
}

/// The Exim that this is for, and a log that is followed while it is written.
///
/// Caught: what is written after the start left out.
#[test]
fn an_exim_without_dlfunc_takes_part() {
    let lan = Lan::new();
    let host = lan.host("mx", 10);
    let server = Server::start(light_exim(), &host, &format!("timezone = {ZONE}"));
    let list = List::new();
    let scratch = Scratch::new("follower");
    let (log, position) = (server.log(), scratch.join("position"));
    let mut command = list.command(&["--json", "import", "--follow", "--rejectlog"]);
    command.arg(&log).arg("--position").arg(&position);
    let mut follower = Process::start("eximrbl", command, scratch.join("out"));

    let clients = [every_way(), malformed()].concat();
    let rejections: u64 = clients.iter().map(|client| client.reasons.len() as u64).sum();
    speak(&lan, &host, &clients);
    wait_until("all of it is in the table", || {
        let counts = list.entries().into_values().map(|entry| entry["count"].as_u64().unwrap());
        counts.sum::<u64>() >= rejections
    });
    assert!(follower.stop().success(), "{}", follower.output());
    compare(&list, &clients, &server.log_text());
    // Nothing is counted again.
    let again = list.import(&log, &["--position", position.to_str().unwrap()]);
    assert_eq!(again["recorded"], 0, "{again}");
}
