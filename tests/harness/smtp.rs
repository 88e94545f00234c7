//! An SMTP client of one's own, line by line, so that tests see exactly what a peer would see.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::namespace::Namespace;
use super::socket::connect_inside;

/// How long a single reply may take. The server may wait for a resolver, several times over.
const PATIENCE: Duration = Duration::from_secs(60);

/// One reply of the server, of one line or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its three digits; 0 when the server closed the connection instead.
    pub code: u16,
    /// The text of each line, without the digits.
    pub lines: Vec<String>,
}

impl Reply {
    /// All lines as one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// True when the text has `part` in it.
    pub fn says(&self, part: &str) -> bool {
        self.text().contains(part)
    }

    /// True when the server closed the connection.
    pub fn is_closed(&self) -> bool {
        self.code == 0
    }
}

/// A connection to a mail server.
#[derive(Debug)]
pub struct Smtp {
    stream: BufReader<TcpStream>,
    transcript: String,
}

impl Smtp {
    /// Connects from `source` inside `namespace`; the greeting is not read yet.
    ///
    /// # Panics
    ///
    /// When there is no connection.
    #[track_caller]
    pub fn connect(namespace: &Namespace, source: IpAddr, target: SocketAddr) -> Self {
        let stream = connect_inside(namespace, source, target)
            .unwrap_or_else(|error| panic!("from {source} to {target}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream), transcript: String::new() }
    }

    /// Reads the next reply; `code` 0 when the server closes the connection.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let mut bytes = Vec::new();
            match self.stream.read_until(b'\n', &mut bytes) {
                Ok(0) => return reply,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return reply,
                Err(error) => panic!("no reply: {error}. So far:\n{}", self.transcript),
            }
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            self.transcript.push_str(&format!("S: {line}\n"));
            reply.code = line.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            reply.lines.push(line.get(4..).unwrap_or("").to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// Sends a line without waiting for its reply.
    pub fn send(&mut self, line: &str) {
        self.transcript.push_str(&format!("C: {line}\n"));
        // A server that has closed is seen when the reply is read.
        let _ = self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes());
    }

    /// Sends a line and reads the reply.
    #[track_caller]
    pub fn command(&mut self, line: &str) -> Reply {
        self.send(line);
        self.reply()
    }

    /// Reads the greeting and says EHLO; gives the greeting.
    #[track_caller]
    pub fn hello(&mut self) -> Reply {
        let greeting = self.reply();
        if greeting.code == 220 {
            self.command("EHLO client.example");
        }
        greeting
    }

    /// Sends a short message to `recipients` in one transaction and gives each one's reply.
    ///
    /// The last reply is that to the message itself, if any recipient was accepted.
    #[track_caller]
    pub fn mail(&mut self, recipients: &[&str]) -> Vec<Reply> {
        let mut replies = Vec::new();
        let sender = self.command("MAIL FROM:<sender@client.example>");
        if sender.code != 250 {
            return vec![sender];
        }
        for recipient in recipients {
            replies.push(self.command(&format!("RCPT TO:<{recipient}>")));
        }
        if replies.iter().any(|reply| reply.code == 250) {
            replies.push(self.data("Subject: test\n\nA message.\n"));
        } else if replies.iter().all(|reply| !reply.is_closed()) {
            self.command("RSET");
        }
        replies
    }

    /// Sends a message's text after DATA and gives the last reply.
    #[track_caller]
    pub fn data(&mut self, text: &str) -> Reply {
        let start = self.command("DATA");
        if start.code != 354 {
            return start;
        }
        for line in text.lines() {
            let dot = if line.starts_with('.') { "." } else { "" };
            self.send(&format!("{dot}{line}"));
        }
        self.command(".")
    }

    /// Says QUIT and waits until the server closes.
    ///
    /// By then the server's process has run its ACLs to the end; that its log line is written too
    /// has to be waited for.
    #[track_caller]
    pub fn quit(mut self) -> String {
        self.send("QUIT");
        while !self.reply().is_closed() {}
        self.transcript
    }

    /// Tells the server that no more will be sent; replies can still be read.
    ///
    /// Exim waits a fifth of a second for that before it ends a connection.
    pub fn hang_up(&mut self) {
        // A server that has closed already is seen when the reply is read.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// All lines so far, `C:` the client's and `S:` the server's.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }
}
