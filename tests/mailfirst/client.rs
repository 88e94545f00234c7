//! A small SMTP client for many sessions at once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::harness::Namespace;

/// How long a reply may take: 200 processes share the machine with whatever else is tested.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets this thread's further sockets belong to a namespace.
pub fn enter(namespace: &Namespace) {
    let namespace = File::open(namespace.path()).unwrap();
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// A connection that the server has greeted.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects from `source`. An error, or an end before the greeting, is what happens to those
    /// who come while Exim closes its sockets to start anew.
    pub fn connect(source: IpAddr, target: SocketAddr) -> io::Result<(Self, String)> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
        bind(&socket, &SocketAddr::new(source, 0))?;
        connect(&socket, &target)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream: BufReader::new(stream) };
        let greeting = client.reply()?;
        Ok((client, greeting))
    }

    /// Sends a line and gives the last line of the reply.
    pub fn command(&mut self, line: &str) -> io::Result<String> {
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends lines without waiting (RFC 2920), and gives the last line of each reply.
    pub fn pipeline(&mut self, lines: &[&str]) -> io::Result<Vec<String>> {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.stream.get_mut().write_all(text.as_bytes())?;
        lines.iter().map(|_| self.reply()).collect()
    }

    /// Says QUIT, gives the reply, and waits until the server closes.
    pub fn quit(mut self) -> io::Result<String> {
        self.stream.get_mut().write_all(b"QUIT\r\n")?;
        // Exim would wait a fifth of a second for it.
        self.stream.get_ref().shutdown(Shutdown::Write)?;
        let reply = self.reply()?;
        let mut rest = String::new();
        self.stream.read_line(&mut rest)?;
        if rest.is_empty() { Ok(reply) } else { Err(io::Error::other(rest)) }
    }

    fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line.trim_end().to_owned());
            }
        }
    }
}
