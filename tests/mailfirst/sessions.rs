//! What the clients say, and what is seen of it.

use std::net::IpAddr;

use crate::harness::{Lan, Smtp};
use crate::server::Server;
use crate::steady::{Told, steady_log, steady_reject_log, steady_transcript, told};

/// A line of a session at which the test may do something; the client waits meanwhile.
pub const MOMENT: &str = "!";

/// What one client says in one connection.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The client's address.
    pub client: &'static str,
    /// Whether any of the calls would change the table.
    pub changes: bool,
    /// Its lines, and [`MOMENT`]s. After an accepted DATA, lines up to `.` are the message.
    pub lines: &'static [&'static str],
}

/// Every kind of acceptance and of rejection, each from a client of its own.
pub const SESSIONS: [Session; 10] = [
    Session {
        client: "203.0.113.1",
        changes: false,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "Subject: good",
            "",
            "text",
            ".",
            "QUIT",
        ],
    },
    Session {
        client: "203.0.113.2",
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<>",
            "RCPT TO:<nobody@example.org>",
            "RCPT TO:<multi@example.org>",
            "RCPT TO:<direct@example.org>",
            "RCPT TO:<good@example.org>",
            "RCPT TO:<code@example.org>",
            "DATA",
            "Subject: some recipients were refused",
            "",
            "text",
            ".",
            "QUIT",
        ],
    },
    Session {
        client: "203.0.113.3",
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<later@example.org>",
            "RCPT TO:<drop@example.org>",
        ],
    },
    Session {
        client: "203.0.113.4",
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<good@example.org>",
            "DATA",
            "Subject: bad",
            "",
            "virus",
            ".",
            "MAIL FROM:<bad@client.example>",
            "QUIT",
        ],
    },
    Session {
        client: "203.0.113.5",
        changes: true,
        lines: &["EHLO badhelo", "EHLO client.example", "QUIT"],
    },
    Session { client: "203.0.113.66", changes: true, lines: &["QUIT"] },
    // Wrong and right passwords: user/wrong, user/pass. The right one forgives and allows.
    Session {
        client: "203.0.113.7",
        changes: true,
        lines: &[
            "EHLO client.example",
            "AUTH PLAIN AHVzZXIAd3Jvbmc=",
            "AUTH PLAIN AHVzZXIAcGFzcw==",
            "MAIL FROM:<user@example.org>",
            "RCPT TO:<good@example.org>",
            "RCPT TO:<nobody@example.org>",
            "QUIT",
        ],
    },
    Session {
        client: "203.0.113.8",
        changes: true,
        lines: &["EHLO client.example", "FOO", "BAR", "BAZ"],
    },
    Session {
        client: "2001:db8:c:9::9",
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<discard@example.org>",
            "RCPT TO:<nobody@example.org>",
            "QUIT",
        ],
    },
    Session {
        client: "203.0.113.10",
        changes: true,
        lines: &[
            "EHLO client.example",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<good@elsewhere.example>",
            "RSET",
            "MAIL FROM:<sender@client.example>",
            "RCPT TO:<postmaster@example.org>",
            "DATA",
            "Subject: good",
            "",
            "text",
            ".",
            "QUIT",
        ],
    },
];

/// What there is to see of a play, without what differs from run to run.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All that was said.
    pub replies: String,
    /// The main log without eximrbl's lines.
    pub main: String,
    /// The reject log.
    pub reject: String,
    /// The panic log.
    pub panic: String,
    /// eximrbl's lines in the main log, and who wrote them.
    pub told: Vec<Told>,
}

/// Lets the clients speak one after the other. `moment` is called at each [`MOMENT`] with the
/// number of the Exim process that serves the client.
#[track_caller]
pub fn play(
    lan: &Lan,
    server: &mut Server,
    sessions: &[Session],
    moment: &mut dyn FnMut(&Server, u32),
) -> Seen {
    server.take_logs();
    let mut replies = String::new();
    for session in sessions {
        let client: IpAddr = session.client.parse().unwrap();
        let said = speak(server.dial(lan, client), session.lines, &mut |id| moment(server, id));
        replies.push_str(&format!("{client}:\n{}", steady_transcript(&said)));
        server.settle();
    }
    let logs = server.take_logs();
    let daemon = server.exim().id();
    Seen {
        replies,
        main: steady_log(&logs.main),
        reject: steady_reject_log(&logs.reject),
        panic: logs.panic,
        told: told(&logs.main, daemon),
    }
}

/// Speaks the lines and reads until the server has closed.
#[track_caller]
pub fn speak(mut smtp: Smtp, lines: &[&str], moment: &mut dyn FnMut(u32)) -> String {
    let greeting = smtp.reply();
    // The configuration's banner ends with it.
    let process = greeting.text().rsplit(' ').next().and_then(|word| word.parse().ok());
    let mut open = !greeting.is_closed();
    // Sent in one piece: single lines would wait for the peer's delayed acknowledgements.
    let mut message: Option<String> = None;
    for line in lines {
        if !open || greeting.code != 220 {
            break;
        }
        if *line == MOMENT {
            moment(process.unwrap_or(0));
            continue;
        }
        if let Some(text) = &mut message {
            text.push_str(line);
            if *line != "." {
                text.push_str("\r\n");
                continue;
            }
        }
        smtp.send(message.as_deref().unwrap_or(line));
        if *line == "QUIT" {
            smtp.hang_up();
        }
        let reply = smtp.reply();
        message = (reply.code == 354).then(String::new);
        open = !reply.is_closed();
    }
    smtp.hang_up();
    while open {
        open = !smtp.reply().is_closed();
    }
    smtp.transcript().to_owned()
}
