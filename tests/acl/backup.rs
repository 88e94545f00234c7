//! Refusing and marking by `dnslists`, through a real resolver.

use std::net::SocketAddr;
use std::time::Instant;

use crate::frame::Sections;
use crate::harness::{Daemon, Host, Lan, Unbound, wait_until};
use crate::machine::Machine;
use crate::recording::list;
use crate::transcript::{Session, client, play};

/// The blocks that are run here.
pub const BLOCKS: [&str; 5] =
    ["backup-connect", "backup-rcpt", "backup-warn", "primary-header", "refuse-rcpt-dns"];

const HELLO: &str = "EHLO client.example";
const MAIL: &str = "MAIL FROM:<sender@client.example>";
const GOOD: &str = "RCPT TO:<good@example.org>";
const BAD: &str = "RCPT TO:<nobody@example.org>";

/// A mail server, a resolver on it, and a list at another host whose table is the server's.
struct Site {
    _resolver: Unbound,
    machine: Machine,
    _list: Daemon,
    _list_host: Host,
    lan: Lan,
}

impl Site {
    /// Client 7 is listed.
    fn new() -> Self {
        let lan = Lan::new();
        let mut machine = Machine::new(&lan, "mail", 10);
        let list_host = lan.host("list", 53);
        let daemon = Daemon::start(&list_host, "", None);
        machine.use_table(daemon.table());
        let resolver = Unbound::start(machine.host(), daemon.address(), None);
        machine.ask([127, 0, 0, 1].into());
        list(&machine, 7);
        Self { _resolver: resolver, machine, _list: daemon, _list_host: list_host, lan }
    }

    /// Starts Exim with a block.
    fn start(&mut self, id: &str) {
        self.machine.start_with(&Sections::of_blocks(&[id]).text());
    }

    fn play(&self, client: u8, lines: &'static [&'static str]) -> String {
        play(&self.lan, &self.machine, &[Session { client, lines }])
    }
}

#[test]
fn at_connect() {
    let mut site = Site::new();
    site.start("backup-connect");
    let refused = site.play(7, &[]);
    // The TXT record's text follows; where the reply is folded is each Exim's own affair.
    let start = "blacklisted at rbl.example.org: 203.0.113.7 is listed";
    assert!(refused.starts_with("203.0.113.7:\nS: 550") && refused.contains(start), "{refused}");
    let line =
        "H=[203.0.113.7] rejected connection in \"connect\" ACL: blacklisted at rbl.example.org\n";
    assert!(site.machine.log("reject").contains(line), "{}", site.machine.log("reject"));
    let accepted = site.play(1, &[HELLO, MAIL, GOOD, "QUIT"]);
    assert!(accepted.contains("250 Accepted"), "{accepted}");
    assert_eq!(site.machine.recorded(client(7)), "1 manual", "refusing must not record");
}

#[test]
fn at_connect_without_a_name_server_everybody_may_in() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "backup", 10);
    // Nothing listens there.
    machine.ask(lan.client(53));
    let mut sections = Sections::of_blocks(&["backup-connect"]);
    sections.add("log_selector = +dnslist_defer");
    machine.start_with(&sections.text());
    let session = [Session { client: 7, lines: &[HELLO, MAIL, GOOD, "QUIT"] }];
    let transcript = play(&lan, &machine, &session);
    assert!(transcript.contains("250 Accepted"), "{transcript}");
    let log = machine.log("main");
    assert!(log.contains("DNS list lookup defer"), "{log}");
}

#[test]
fn at_rcpt() {
    let mut site = Site::new();
    site.start("backup-rcpt");
    let refused = site.play(7, &[HELLO, MAIL, GOOD, "RCPT TO:<postmaster@example.org>", "QUIT"]);
    assert!(
        refused.contains("RCPT TO:<good@example.org>\nS: 550-blacklisted at rbl.example.org"),
        "{refused}"
    );
    assert!(refused.contains("RCPT TO:<postmaster@example.org>\nS: 250 Accepted"), "{refused}");
    let line = "rejected RCPT <good@example.org>: blacklisted at rbl.example.org\n";
    assert!(site.machine.log("reject").contains(line), "{}", site.machine.log("reject"));
    let elsewhere = site.play(1, &[HELLO, MAIL, "RCPT TO:<a@elsewhere.example>", GOOD, "QUIT"]);
    assert!(elsewhere.contains("550 relay not permitted"), "{elsewhere}");
    assert!(elsewhere.contains("RCPT TO:<good@example.org>\nS: 250 Accepted"), "{elsewhere}");
}

#[test]
fn at_rcpt_on_the_host_with_the_table_each_failure_lengthens() {
    let mut site = Site::new();
    site.start("refuse-rcpt-dns");
    let begun = Instant::now();
    let before = site.machine.entry(client(7)).unwrap();
    let refused = site.play(7, &[HELLO, MAIL, GOOD, GOOD, "QUIT"]);
    assert_eq!(refused.matches("S: 550 blacklisted at rbl.example.org").count(), 2, "{refused}");
    let line = "rejected RCPT <good@example.org>: blacklisted at rbl.example.org\n";
    assert_eq!(site.machine.log("reject").matches(line).count(), 2);
    assert_eq!(site.machine.recorded(client(7)), "3 listed,manual");
    let after = site.machine.entry(client(7)).unwrap();
    // Two rejections more: twice base_ttl, less what has passed meanwhile.
    let passed = begun.elapsed().as_secs() as u32 + 1;
    let gained = after.remaining - before.remaining;
    assert!((1_200 - passed..=1_200).contains(&gained), "{before:?} {after:?}");
    site.play(1, &[HELLO, MAIL, BAD, "QUIT"]);
    assert_eq!(site.machine.recorded(client(1)), "1 rcpt");
}

#[test]
fn only_a_header() {
    let mut site = Site::new();
    site.start("backup-warn");
    let message: &[&str] = &[
        HELLO,
        MAIL,
        GOOD,
        "DATA",
        "X-RBL: forged once",
        "Subject: one",
        "X-RBL: forged twice",
        "",
        "text",
        ".",
        "QUIT",
    ];
    let transcript = site.play(7, message);
    assert!(transcript.contains("S: 250 OK id="), "{transcript}");
    wait_until("the mail is there", || site.machine.mailbox().contains("text"));
    let mail = site.machine.mailbox();
    let headers: Vec<&str> = mail.lines().filter(|line| line.starts_with("X-RBL:")).collect();
    assert_eq!(headers.len(), 1, "{mail}");
    let start = "X-RBL: 203.0.113.7 listed at rbl.example.org (127.0.0.2) ";
    assert!(headers[0].len() > start.len() && headers[0].starts_with(start), "{mail}");

    site.play(1, message);
    wait_until("the second mail is there", || site.machine.mailbox().matches("text").count() == 2);
    assert_eq!(site.machine.mailbox().matches("X-RBL").count(), 1, "{}", site.machine.mailbox());
}

#[test]
fn the_primary_believes_the_header_only_from_the_backup() {
    let lan = Lan::new();
    let mut machine = Machine::new(&lan, "primary", 10);
    let backup = lan.host("backup", 20);
    machine.start_with(&Sections::of_blocks(&["primary-header"]).text());
    let session = [Session {
        client: 1,
        lines: &[HELLO, MAIL, GOOD, "DATA", "X-RBL: forged", "", "text", ".", "QUIT"],
    }];
    play(&lan, &machine, &session);
    wait_until("the mail is there", || machine.mailbox().contains("text"));
    assert!(!machine.mailbox().contains("X-RBL"), "{}", machine.mailbox());

    let server = SocketAddr::new(machine.host().v4.into(), 25);
    let mut smtp = crate::harness::Smtp::connect(&backup, backup.v4.into(), server);
    smtp.hello();
    for line in [MAIL, GOOD] {
        assert_eq!(smtp.command(line).code, 250);
    }
    assert_eq!(smtp.data("X-RBL: true\n\ntext").code, 250);
    smtp.quit();
    wait_until("the backup's mail is there", || machine.mailbox().matches("text").count() == 2);
    assert!(machine.mailbox().contains("X-RBL: true"), "{}", machine.mailbox());
}
