//! Reports to the collector, as Exim sends them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::Daemon;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Daemon {
    /// Where reports are collected by this protocol (TCP, UDP, TLS): the first such address.
    pub(crate) fn collecting(&self, protocol: &str) -> SocketAddr {
        let log = self.log();
        let address = log.lines().find_map(|line| {
            let (_, rest) = line.split_once("collecting reports on ")?;
            let (address, of) = rest.split_once(", ")?;
            (of == protocol).then(|| address.parse().unwrap())
        });
        address.unwrap_or_else(|| panic!("no {protocol} in:\n{log}"))
    }

    /// Sends lines by TCP as `${readsocket` does: all at once, then waits for the end. The answer.
    pub(crate) fn report(&self, lines: &str) -> String {
        report_to(self.collecting("TCP"), lines.as_bytes())
    }
}

/// Connects, with a limit to how long reading may take.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes by TCP and says no more; the answer, to the end.
pub(crate) fn report_to(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    answer(&mut stream)
}

/// Sends bytes by TCP, and keeps its own side open as `shutdown=no` does; the answer, to the end.
pub(crate) fn report_and_wait(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    answer(&mut stream)
}

/// The same by the Unix socket.
pub(crate) fn report_by_unix(path: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    answer(&mut stream)
}

/// Sends a datagram.
pub(crate) fn send_datagram(address: SocketAddr, bytes: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(bytes, address).unwrap();
}

/// All that is answered until the other side closes.
pub(crate) fn answer(stream: &mut impl Read) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{error} after {answer:?}"));
    answer
}
