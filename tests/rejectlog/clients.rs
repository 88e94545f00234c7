//! Clients that get themselves rejected, each from an address of its own.

use std::net::{IpAddr, SocketAddr};

use crate::harness::{Host, Lan, Smtp};

/// What a client says, line by line, and why it is rejected.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: IpAddr,
    lines: Vec<String>,
    /// The reasons of the rejections that count, in any order.
    pub reasons: Vec<&'static str>,
}

impl Client {
    fn new(address: &str, lines: &[&str], reasons: &[&'static str]) -> Self {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Self { address: address.parse().unwrap(), lines, reasons: reasons.to_vec() }
    }

    /// Says it all. The server may close whenever it likes.
    pub fn speak(&self, lan: &Lan, host: &Host) {
        let server: IpAddr = if self.address.is_ipv4() { host.v4.into() } else { host.v6.into() };
        let mut smtp = Smtp::connect(lan.internet(), self.address, SocketAddr::new(server, 25));
        if smtp.reply().code != 220 {
            return;
        }
        for line in &self.lines {
            let reply = match line.strip_prefix("MESSAGE ") {
                Some(text) => smtp.data(text),
                None => smtp.command(line),
            };
            if reply.is_closed() {
                return;
            }
        }
        smtp.quit();
    }
}

/// One for each way of being rejected.
pub fn every_way() -> Vec<Client> {
    let from = "MAIL FROM:<a@client.example>";
    let ehlo = "EHLO client.example";
    let wrong = "AUTH PLAIN AGpvZQB3cm9uZw==";
    let right = "AUTH PLAIN AGpvZQByaWdodA==";
    let message = "MESSAGE Received: from x ([192.0.2.66])\n\tby [192.0.2.66]; \
                   2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>\n\
                   \t2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>\n\
                   Subject: bad\n\n2026-11-22 05:43:10 H=[192.0.2.66] rejected RCPT <a@b>\n";
    let unknown = "RCPT TO:<unknown@example.org>";
    vec![
        Client::new("203.0.113.1", &[], &["connect"]),
        Client::new("203.0.113.2", &[], &["connect"]),
        // Its name cannot be verified without DNS, which is temporary; then it counts as no name.
        Client::new("203.0.113.3", &["EHLO somebody.else.example", from], &["helo"]),
        Client::new("203.0.113.4", &["EHLO bad.example"], &["helo"]),
        Client::new("203.0.113.5", &[ehlo, "MAIL FROM:<bad@example.net>"], &["mail"]),
        Client::new(
            "203.0.113.6",
            &["EHLO [192.0.2.66]", from, unknown, unknown],
            &["rcpt", "rcpt"],
        ),
        Client::new(
            "203.0.113.7",
            &[ehlo, from, "RCPT TO:<good@example.org>", "DATA"],
            &["predata"],
        ),
        Client::new("203.0.113.8", &[ehlo, from, "RCPT TO:<good@example.org>", message], &["data"]),
        Client::new("203.0.113.9", &[ehlo, wrong], &["auth"]),
        Client::new("203.0.113.10", &[ehlo, wrong, wrong], &["auth", "auth"]),
        // In one segment, so that the second line is there while the first is dealt with.
        Client::new("203.0.113.11", &["HELO x\r\nMAIL FROM:<>"], &["synchronization-error"]),
        Client::new("203.0.113.12", &["A", "B", "C", "D", "E"], &["bad-commands"]),
        Client::new(
            "203.0.113.13",
            &[ehlo, "MAIL FROM:<joe>", from, "RCPT TO:<joe>"],
            &["mail", "rcpt"],
        ),
        // Two lines for the one rejection.
        Client::new("203.0.113.14", &[ehlo, "MAIL FROM:<nobody@example.org>", unknown], &["rcpt"]),
        Client::new("203.0.113.15", &[ehlo, "STARTTLS"], &["starttls"]),
        Client::new(
            "203.0.113.16",
            &[ehlo, "ETRN #x", "EXPN x", "VRFY x@example.org", "VRFY x"],
            &["etrn", "expn", "vrfy", "vrfy"],
        ),
        // A family of its own, kept by /64.
        Client::new("2001:db8:c:1::17", &["EHLO [IPv6:2001:db8::66]", from, unknown], &["rcpt"]),
        // What does not count.
        Client::new("203.0.113.18", &[ehlo, from, "RCPT TO:<later@example.org>"], &[]),
        Client::new("203.0.113.19", &[ehlo, right, from, unknown], &[]),
        Client::new("203.0.113.20", &[ehlo, "MAIL FROM:<a@client.example> SIZE=99999"], &[]),
        Client::new(
            "203.0.113.21",
            &[ehlo, from, "RCPT TO:<good@example.org>", "MESSAGE Subject: x\n\nx\n"],
            &[],
        ),
    ]
}

/// Clients whose HELO Exim does not take unless it is told to take anything.
pub fn malformed() -> Vec<Client> {
    vec![
        Client::new("203.0.113.30", &["EHLO a b(c"], &["helo"]),
        Client::new("203.0.113.31", &["HELO x) [192.0.2.66]: syntactically invalid"], &["helo"]),
    ]
}

/// A client whose line is certain only where Exim is known to take no junk in HELO.
pub fn ambiguous() -> Client {
    Client::new("203.0.113.32", &["EHLO client.example", "EHLO ) [192.0.2.66] "], &["helo"])
}

/// Clients that would have another listed in their place. Exim is told to take any HELO name.
pub fn hostile() -> Vec<Client> {
    let from = "MAIL FROM:<a@client.example>";
    let unknown = "RCPT TO:<unknown@example.org>";
    let long = format!("EHLO x) [192.0.2.66] F=<a@b> rejected RCPT <c@d>: {}", "y".repeat(9000));
    let sessions: [&[&str]; 12] = [
        &["EHLO x) [192.0.2.66] F=<a@b> rejected RCPT <c@d>: no (", from, unknown],
        &["EHLO x) [192.0.2.66]", from, unknown],
        &["EHLO [192.0.2.66]) [192.0.2.66]:25 I=[192.0.2.66]:25 rejected RCPT", from, unknown],
        &["EHLO (x) [192.0.2.66] ", from, unknown],
        &["EHLO H=[192.0.2.66] rejected RCPT", from, unknown],
        &["EHLO \x1b[2J\t) [192.0.2.66]\t", from, unknown],
        &["EHLO x", "MAIL FROM:<\"y) [192.0.2.66] F=<z\"@client.example>", unknown],
        &["EHLO x", from, "RCPT TO:<\"z) [192.0.2.66] F=<a@b> rejected RCPT <c\"@example.org>"],
        &["EHLO x", "MAIL FROM:<\"a> H=[192.0.2.66] \">"],
        &["EHLO x", "EHLO\" H=[192.0.2.66] next input=\"\r\nMAIL FROM:<>"],
        &["EHLO x) [192.0.2.66]", "AUTH PLAIN AGpvZQB3cm9uZw=="],
        &[&long, from, unknown],
    ];
    let addresses = (40..).map(|last| format!("203.0.113.{last}"));
    addresses.zip(sessions).map(|(address, lines)| Client::new(&address, lines, &[])).collect()
}
