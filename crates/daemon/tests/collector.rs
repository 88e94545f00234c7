//! The collector: lines in by TCP, UDP and the Unix socket, listings out by DNS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{
    Daemon, PLAIN, Place, Statistics, control_section, fails, report_and_wait, report_by_unix,
    reporters_of, send_datagram, timeless, wait_until,
};
const A: u16 = 1;

/// Lines whose end is the connection's may wait long for it.
const COLLECTOR: &str =
    "[collector]\ntcp = [\"127.0.0.1:0\"]\nudp = [\"127.0.0.1:0\"]\nline_timeout = 60\n";

fn daemon(place: &Place) -> Daemon {
    Daemon::start(place, &format!("{}{COLLECTOR}{PLAIN}", control_section(place)))
}

/// Whether a client is listed, by DNS.
fn is_listed(daemon: &Daemon, client: [u8; 4]) -> bool {
    let [a, b, c, d] = client;
    !daemon.ask(&format!("{d}.{c}.{b}.{a}.rbl.example"), A).addresses().is_empty()
}

/// The seed's `${readsocket{inet:127.0.0.1:4444}{black $sender_host_address\n}}`, with and without the
/// client's end. Caught: a connection that stays open; a line without its end left out.
#[test]
fn a_line_of_readsocket_lists_at_once() {
    let place = Place::new();
    let daemon = daemon(&place);
    assert!(!is_listed(&daemon, [192, 0, 2, 1]));
    assert_eq!(daemon.report("black 192.0.2.1\n"), "ok count 1 seconds 600\n");
    assert!(is_listed(&daemon, [192, 0, 2, 1]));
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["collector"]);
    let tcp = daemon.collecting("TCP");
    assert_eq!(timeless(&report_and_wait(tcp, b"black 192.0.2.1 auth 2\n")), "ok count 3");
    assert_eq!(report_and_wait(tcp, b"forgive 192.0.2.1\n"), "ok forgiven\n");
    assert!(!is_listed(&daemon, [192, 0, 2, 1]));
    assert_eq!(daemon.report("forgive 192.0.2.1\n"), "ok nothing to forgive\n");
    assert_eq!(daemon.report("white 192.0.2.1"), "ok white seconds 86400\n");
    assert!(daemon.report("black 192.0.2.1").starts_with("error white: "));
    assert_eq!(daemon.report("white 192.0.2.1 0"), "ok not white\n");
    assert_eq!(daemon.report("black 192.0.2.1 - - 7200"), "ok count 1 seconds 7200\n");
}

/// Caught: a last line without its end left out.
#[test]
fn several_lines_are_answered_in_their_order() {
    let place = Place::new();
    let daemon = daemon(&place);
    let lines = "black 192.0.2.1\r\nblack 127.0.0.1\nwhat 192.0.2.2\n black 192.0.2.3";
    let answers = daemon.report(lines);
    let answers: Vec<_> = answers.lines().collect();
    assert_eq!(answers[0], "ok count 1 seconds 600");
    assert!(answers[1].starts_with("error never-listed: "), "{answers:?}");
    assert!(answers[2].starts_with("error verb: "), "{answers:?}");
    assert_eq!(answers[3], "ok count 1 seconds 600");
    assert_eq!(answers.len(), 4);
    assert_eq!(daemon.report(""), "");
    // More than what is read at once, in any number of pieces.
    let many: String =
        (0..3000).map(|n| format!("black 198.51.{}.{}\n", n / 250, n % 250)).collect();
    let answers = daemon.report(&many);
    assert_eq!(answers.lines().filter(|line| *line == "ok count 1 seconds 600").count(), 3000);
}

/// As Exim's `udpsend` sends it: with a blank in front. Caught: the blank taken for a word.
#[test]
fn datagrams_are_taken_and_not_answered() {
    let place = Place::new();
    let daemon = daemon(&place);
    let udp = daemon.collecting("UDP");
    send_datagram(udp, b" black 192.0.2.1 rcpt");
    send_datagram(udp, b"black 192.0.2.2\nblack 192.0.2.3\r\n");
    send_datagram(udp, b" what\n\xff\0");
    let counts = || Statistics::of(&place);
    wait_until(|| counts().number(&["collector", "events", "datagrams"]) == 3, || daemon.log());
    for last in 1..=3 {
        assert!(is_listed(&daemon, [192, 0, 2, last]), "{last}");
    }
    let counts = counts();
    assert_eq!(counts.number(&["collector", "accepted", "collector", "black"]), 3);
    assert_eq!(counts.number(&["collector", "refused", "verb"]), 1);
    assert_eq!(counts.number(&["collector", "refused", "line"]), 1);
}

/// Caught: a socket that everybody can use.
#[test]
fn programs_of_this_host_report_by_a_unix_socket() {
    let place = Place::new();
    let path = place.path("report");
    let collector = format!("[collector]\nunix = {path:?}\n");
    let daemon = Daemon::start(&place, &format!("{collector}{PLAIN}"));
    assert_eq!(report_by_unix(&path, b"black 192.0.2.1\n"), "ok count 1 seconds 600\n");
    assert!(is_listed(&daemon, [192, 0, 2, 1]));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    drop(daemon);
    // What a daemon that was killed has left is replaced.
    let _again = Daemon::start(&place, &format!("{collector}{PLAIN}"));
    assert_eq!(timeless(&report_by_unix(&path, b"black 192.0.2.1\n")), "ok count 2");
}

/// Caught: an address that others can reach taken without a word.
#[test]
fn without_a_file_reports_are_collected_on_loopback_alone() {
    let place = Place::new();
    let table = place.table();
    let common =
        ["--zone", "rbl.example", "--listen", "127.0.0.1:0", "--user", "nobody", "--table"];
    let arguments =
        |collect| [&common[..], &[table.to_str().unwrap(), "--collect", collect]].concat();
    let daemon = Daemon::run(&arguments("127.0.0.1:0"));
    assert_eq!(daemon.report("black 192.0.2.1\n"), "ok count 1 seconds 600\n");
    let (status, error) = fails(&arguments("0.0.0.0:4444"));
    assert_eq!(status, Some(1));
    assert!(error.contains("--collect: 0.0.0.0:4444 can be reached by others"), "{error}");
}
