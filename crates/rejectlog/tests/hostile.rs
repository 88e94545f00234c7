//! Clients who choose their words so that another's address seems to be theirs.
//!
//! Lines are made here as Exim makes them, from its own formats (`smtp_in.c`, `receive.c`, `host.c`,
//! `log.c`), with the client's words in them. Whatever these are, the address that is found is that of
//! the client, or none is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::IpAddr;

use eximrbl_rejectlog::{Line, Peer, Reader, Rules};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// The client's true address in all lines here.
const PEER: &str = "203.0.113.9";

/// What a client can choose.
#[derive(Clone, Debug)]
struct Words {
    helo: Option<String>,
    sender: String,
    recipient: String,
    command: String,
    reason: String,
    ident: Option<String>,
}

/// Where a client was, and what of it the log shows.
#[derive(Clone, Debug)]
struct Place {
    name: Option<&'static str>,
    port: bool,
    interface: bool,
    tls: bool,
    id: &'static str,
    zone: &'static str,
    pid: &'static str,
    syslog: bool,
}

/// As `host_build_sender_fullhost`.
fn full_host(words: &Words, place: &Place) -> String {
    let port = if place.port { ":4711" } else { "" };
    let helo = words.helo.as_ref().map(|helo| format!("({helo}) ")).unwrap_or_default();
    let name = place.name.map(|name| format!("{name} ")).unwrap_or_default();
    format!("{name}{helo}[{PEER}]{port}")
}

/// As `host_and_ident`.
fn host_and_ident(words: &Words, place: &Place, flag: bool) -> String {
    let flag = if flag { "H=" } else { "" };
    let interface = if place.interface { " I=[198.51.100.1]:25" } else { "" };
    let ident = words.ident.as_ref().map(|ident| format!(" U={ident}")).unwrap_or_default();
    format!("{flag}{}{interface}{ident}", full_host(words, place))
}

/// Every text of Exim's in which a client's words stand.
fn texts(words: &Words, place: &Place) -> Vec<String> {
    let Words { helo, sender, recipient, command, reason, .. } = words;
    let (host, bare) = (host_and_ident(words, place, true), host_and_ident(words, place, false));
    let tls = if place.tls { " X=TLS1.3:AES:256 CV=no DN=\"CN=a b\"" } else { "" };
    let helo = helo.as_deref().unwrap_or("");
    vec![
        format!("{host}{tls} F=<{sender}> rejected RCPT <{recipient}>: {reason}"),
        format!("{host}{tls} rejected MAIL <{sender}>: {reason}"),
        format!("{host}{tls} rejected EHLO or HELO {command}: {reason}"),
        format!("{host} rejected connection in \"connect\" ACL: {reason}"),
        format!("{host}{tls} F=<{sender}> A=plain:joe rejected after DATA: {reason}"),
        format!("{host} sender verify fail for <{sender}>: {reason}"),
        format!(" DS{host} rejected ETRN #{command}"),
        format!("rejected EHLO from {bare}: syntactically invalid argument(s): {command}"),
        format!("rejected \"EHLO {helo}\" from {bare}"),
        format!("rejected MAIL from {bare}: no HELO/EHLO given"),
        format!("rejected MAIL command {host}: too many messages in one connection"),
        format!("rejected MAIL FROM:<{sender}> {host}: message too big: size=9 max=1"),
        format!("rejected from <{sender}> {host}: message too big: read=9 max=1"),
        format!("rejected from <{sender}>{host}U=x: Too many \"Received\" headers"),
        format!("refused connection from {bare} (host_reject_connection)"),
        format!("connection from {bare} refused (IP options)"),
        format!(
            "SMTP call from {bare} dropped: too many syntax or protocol errors (last command was \
             \"{command}\", C=EHLO,RSET)"
        ),
        format!(
            "SMTP protocol synchronization error (next input sent too soon: pipelining was not \
             advertised): rejected \"{command}\" {host} next input=\"{reason}\""
        ),
        format!(
            "SMTP protocol synchronization error (input sent without waiting for greeting): \
             rejected connection from {host} input=\"{reason}\""
        ),
        format!("unqualified sender rejected: <{sender}> {host}"),
        format!("unqualified recipient rejected: <{recipient}> {host} (failed to find host name)"),
        format!("too many recipients: message rejected: sender=<{sender}> {host}"),
        format!("plain_server authenticator failed for {bare}: 535 no (set_id={command})"),
        format!("login authenticator failed for {host}: 535 no (set_id={command})"),
        format!("F={sender} {host} P=esmtp rejected by local_scan(): {reason}"),
    ]
}

/// As `log_vwrite`: with all that may stand in front, and cut at the end of the buffer.
fn line(text: &str, place: &Place) -> Vec<u8> {
    const BUFFER: usize = 8190;
    const OVERFLOWED: &str = "**** log string overflowed log buffer ****";
    let Place { zone, pid, id, .. } = place;
    let mut line = format!("2026-11-22 05:43:10{zone} {pid}{id}{text}").into_bytes();
    if line.len() > BUFFER {
        line.truncate(BUFFER - OVERFLOWED.len());
        line.extend_from_slice(OVERFLOWED.as_bytes());
    }
    if !place.syslog {
        return line;
    }
    // As `write_syslog`, the first part of it.
    let parts = line.len().div_ceil(870);
    let mut first = b"Nov 22 05:43:10 mx exim[77]: ".to_vec();
    if parts > 1 {
        first.extend_from_slice(format!("[1/{parts}] ").as_bytes());
        line.truncate(870);
    }
    first.extend_from_slice(&line);
    first
}

/// Reads a line; `None` if it is about nobody.
fn read(line: &[u8], plain_helo: bool) -> Option<Peer> {
    match Reader::new(plain_helo).read(line) {
        Line::Entry(entry) => Some(entry.peer),
        Line::Other => None,
    }
}

/// Words that look like what Exim says around an address.
fn words() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => select(vec![
            "[192.0.2.66]", ") [192.0.2.66]", "x) [192.0.2.66] ", " H=[192.0.2.66] ", "H=", " from ",
            "H=(a) [192.0.2.66]:25 ", "\" from [192.0.2.66]", " F=<", "> ", "\"", "\\", "(", ")", "]:",
            "[", "]", " rejected RCPT <a@b>: ", "203.0.113.9", "[203.0.113.9]", ") [203.0.113.9] ",
            " U=", " A=plain:joe ", "temporarily ", "[2001:db8::66] ", " [fe80::1%a]) ", "HOST ",
            "**** log string overflowed log buffer ****", "2026-11-22 05:43:10 ", "\r", "\t", "a",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,8}",
        1 => select(vec![900_usize, 4000, 8190]).prop_map(|length| "y".repeat(length)),
    ];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn places() -> impl Strategy<Value = Place> {
    let name = select(vec![None, Some("mail.example"), Some("1.2.3.4.dsl_x.example")]);
    let id = select(vec!["", "1tEabc-000123-AB ", "1tEabc-00000001234-ABCD "]);
    let zone = select(vec!["", " +0100", ".540 -0330"]);
    let pid = select(vec!["", "[4711] "]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.2));
    (name, id, zone, pid, flags).prop_map(
        |(name, id, zone, pid, (port, interface, tls, syslog))| Place {
            name,
            port,
            interface,
            tls,
            id,
            zone,
            pid,
            syslog,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Caught: the first of several places taken; only the first `H=` looked at; a line that
    /// overflowed taken for whole; the first part of a long syslog message taken for the whole;
    /// an address of a form that is not known passed over.
    #[test]
    fn whatever_the_client_says_no_other_is_taken_for_him(
        helo in proptest::option::of(words()),
        (sender, recipient, command, reason) in (words(), words(), words(), words()),
        ident in proptest::option::weighted(0.2, words()),
        place in places(),
    ) {
        let peer: IpAddr = PEER.parse().unwrap();
        let words = Words { helo, sender, recipient, command, reason, ident };
        for text in texts(&words, &place) {
            // A client who cannot be told is none; what matters is who is.
            let line = line(&text, &place);
            if let Some(Peer::Is(found)) = read(&line, false) {
                prop_assert_eq!(found, peer, "{}", String::from_utf8_lossy(&line));
            }
        }
    }

    /// Caught: a plain HELO name with a space; its end looked for in the sender.
    #[test]
    fn a_plain_helo_leaves_no_doubt(
        helo in proptest::option::of("[a-zA-Z0-9._-]{0,20}|\\[192\\.0\\.2\\.66\\]|\\[IPv6:2001:db8::66\\]"),
        (sender, recipient, reason) in ("[ -~]{0,9}", "[ -~]{0,9}", "[ -~]{0,9}"),
        more in words(),
        place in places(),
    ) {
        let [sender, recipient, reason] = [sender, recipient, reason].map(|text| text + &more);
        let words = Words { helo, sender, recipient, command: "x".into(), reason, ident: None };
        let place = Place { syslog: false, ..place };
        let expected = Some(Peer::Is(PEER.parse().unwrap()));
        for text in texts(&words, &place).iter().take(5) {
            let line = line(text, &place);
            if !text.contains("**** log string overflowed") && line.len() < 8000 {
                prop_assert_eq!(read(&line, true), expected, "{}", String::from_utf8_lossy(&line));
            }
        }
    }

    /// Caught: an index behind the end of a short line.
    #[test]
    fn any_bytes_are_read(lines in vec(vec(any::<u8>(), 0..200), 0..8), plain_helo: bool) {
        let mut reader = Reader::new(plain_helo);
        let rules = Rules::default();
        for line in lines {
            let line = [b"2026-11-22 05:43:10 H=(", &line[..]].concat();
            for start in [0, 20, 22, 23] {
                if let Line::Entry(entry) = reader.read(&line[start..]) {
                    rules.judge(entry.text);
                }
            }
        }
    }
}

/// Caught: each of them, when the place of the address is looked for otherwise than from the left, or
/// a HELO name is believed to end at its first parenthesis.
#[test]
fn words_that_were_chosen_to_deceive() {
    for text in [
        // A HELO name with a whole line in it.
        "H=(x) [192.0.2.66] F=<a@b> rejected RCPT <c@d>: no () [203.0.113.9] F=<e@f> rejected RCPT <g@h>",
        "H=(x) [192.0.2.66]:25 I=[192.0.2.66]) [203.0.113.9] rejected EHLO or HELO x: no",
        "H=mail.example (x) [192.0.2.66] y) [203.0.113.9] rejected MAIL <a@b>",
        // A sender in quotes.
        "H=(x) [203.0.113.9] F=<\"y) [192.0.2.66] F=<z\"@b> rejected RCPT <c@d>",
        // A command that is quoted as it was given.
        "SMTP protocol synchronization error (next input sent too soon: pipelining was advertised): \
         rejected \"EHLO\" H=[192.0.2.66] next input=\"x\" H=(x) [203.0.113.9] next input=\"\"",
        "unqualified sender rejected: <\"> H=[192.0.2.66]\"> H=(x) [203.0.113.9]",
        "too many recipients: message rejected: sender=<\"a H=b [192.0.2.66] \"@c> H=[203.0.113.9]",
        "rejected \"EHLO x\" from [192.0.2.66]\" from (x\" from [192.0.2.66]) [203.0.113.9]",
        "F=\"a H=(b) [192.0.2.66] \"@c H=(x) [203.0.113.9] P=smtp rejected by local_scan(): no",
        "plain authenticator failed for (x) [192.0.2.66]: 535 no) [203.0.113.9]: 535 no",
        "SMTP call from (x) [192.0.2.66] dropped: too many) [203.0.113.9] dropped: too many",
        // So long that Exim cut its own words off.
        "H=(x) [192.0.2.66] F=<a@b> rejected RCPT <c@d>: **** log string overflowed log buffer ****",
    ] {
        let line = format!("2026-11-22 05:43:10 {text}");
        assert_eq!(read(line.as_bytes(), false), Some(Peer::Doubtful), "{text}");
    }
}

/// What clients say every day, brackets and all, leaves no doubt.
#[test]
fn plain_words_are_never_in_doubt() {
    let expected = Some(Peer::Is(PEER.parse().unwrap()));
    for helo in [None, Some("mail.example"), Some("[192.0.2.66]"), Some("[IPv6:::1]"), Some("a_b")]
    {
        for name in [None, Some("mail.example")] {
            let place = Place {
                name,
                port: true,
                interface: true,
                tls: true,
                id: "",
                zone: " +0100",
                pid: "[1] ",
                syslog: false,
            };
            let words = Words {
                helo: helo.map(str::to_owned),
                sender: "joe+x@[192.0.2.66]".into(),
                recipient: "ann@example.org".into(),
                command: "EHLO [192.0.2.66] (x)".into(),
                reason: "see https://rbl.example/?q=[192.0.2.66] (Client host [192.0.2.66])".into(),
                ident: None,
            };
            for text in texts(&words, &place) {
                assert_eq!(read(&line(&text, &place), false), expected, "{text}");
                assert_eq!(read(&line(&text, &place), true), expected, "{text}");
            }
        }
    }
}

/// Caught: a `Received:` line of a header dump, and a folded line that looks like a record, counted.
#[test]
fn a_dump_of_headers_is_nobodys() {
    let mut reader = Reader::new(false);
    let record =
        b"2026-11-22 05:43:10 1tEabc-000123-AB H=(x) [203.0.113.9] F=<a@b> rejected after DATA";
    assert!(matches!(reader.read(record), Line::Entry(_)));
    for line in [
        "Envelope-from: <a@b>",
        "Envelope-to: <c@d>",
        "    <e@f>",
        "P Received: from x ([192.0.2.66])",
        "\tby mx with esmtp; H=[192.0.2.66] rejected RCPT <a@b>",
        " 2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>",
        "\t2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>",
        "  Subject: 2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>",
        "Nov 22 05:43:10 mx exim[7]: H=[192.0.2.66] rejected RCPT <a@b>",
        "*** truncated ***",
        "",
    ] {
        assert_eq!(reader.read(line.as_bytes()), Line::Other, "{line}");
    }
    // In a syslog, the dump is in parts of the same message.
    let mut reader = Reader::new(false);
    let start = "Nov 22 05:43:10 mx exim[7]: ";
    let first =
        format!(r"{start}[1\3] 2026-11-22 05:43:10 H=(x) [203.0.113.9] rejected after DATA");
    assert!(matches!(reader.read(first.as_bytes()), Line::Entry(_)));
    for part in [r"[2\3] 2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>", "[3/3] x"] {
        assert_eq!(reader.read(format!("{start}{part}").as_bytes()), Line::Other, "{part}");
    }
}
