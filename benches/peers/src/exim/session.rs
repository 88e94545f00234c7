//! An SMTP session whose recipients are all refused.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Socket, Type};

use crate::entries::ipv4;

/// Different clients of the sessions, before they start over.
const CLIENTS: u32 = 4096;
/// The first one's number, above those of all entries, and of all that are recorded otherwise.
const FIRST: u32 = 420_000_000;
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The address of the client of this number.
pub(crate) fn client(number: u32) -> IpAddr {
    ipv4(FIRST + number % CLIENTS).into()
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) server: SocketAddr,
    pub(crate) client: IpAddr,
    pub(crate) recipients: usize,
}

impl Session {
    /// Goes through the session. Does not wait for the reply to QUIT: Exim holds it back for
    /// 200 ms, waiting for the client to close the connection.
    pub(crate) fn run(self) -> Result<()> {
        let mut connection = Connection::open(self.server, self.client)?;
        for number in 0..self.recipients {
            connection.refused_recipient(number)?;
        }
        connection.send("QUIT")
    }
}

/// A connection on which MAIL was accepted.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects from this address, and goes as far as MAIL.
    pub(crate) fn open(server: SocketAddr, client: IpAddr) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket
            .bind(&SocketAddr::new(client, 0).into())
            .with_context(|| format!("from {client}"))?;
        socket.connect(&server.into()).context("cannot connect to Exim")?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut connection = Self(BufReader::new(stream));
        connection.expect("220")?;
        connection.send("EHLO client.example")?;
        connection.expect("250")?;
        connection.send("MAIL FROM:<sender@client.example>")?;
        connection.expect("250")?;
        Ok(connection)
    }

    /// Names a recipient, who is refused.
    pub(crate) fn refused_recipient(&mut self, number: usize) -> Result<()> {
        self.send(&format!("RCPT TO:<nobody{number}@example.org>"))?;
        self.expect("550")
    }

    fn send(&mut self, line: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{line}\r\n").as_bytes())?)
    }

    /// Reads a reply, which must have this code.
    fn expect(&mut self, code: &str) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).context("no reply")?;
            ensure!(line.starts_with(code), "Exim replied {line:?}, not {code}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
