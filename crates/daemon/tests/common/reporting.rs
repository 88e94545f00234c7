//! Reports to the collector, as Exim sends them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eximrbl_report::{Algorithm, Secret};
use eximrbl_table::{Name, Network, Table, now};

use super::{Daemon, Place};

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

/// The time in microseconds, as `$tod_epoch_l` has it; another one at each call.
pub(crate) fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    LAST.fetch_max(now, Ordering::Relaxed);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A signed line with its end, at that time.
pub(crate) fn signed_at(stamp: u64, secret: &str, name: &str, order: &str) -> String {
    let secret = Secret::read_all(secret.as_bytes()).unwrap().remove(0);
    let name = Name::new(name.as_bytes()).unwrap();
    let line = eximrbl_report::signed(&secret, Algorithm::Sha3, name, stamp, order);
    line + "\n"
}

/// A signed line with its end.
pub(crate) fn signed(secret: &str, name: &str, order: &str) -> String {
    signed_at(stamp(), secret, name, order)
}

/// The line that makes a connection a reporter's, with its end.
pub(crate) fn auth(secret: &str, name: &str) -> String {
    let secret = Secret::read_all(secret.as_bytes()).unwrap().remove(0);
    let name = Name::new(name.as_bytes()).unwrap();
    eximrbl_report::auth(&secret, Algorithm::HmacSha1, name, stamp()) + "\n"
}

/// A connection on which lines are sent one by one.
pub(crate) struct Talk<S> {
    pub(crate) stream: BufReader<S>,
}

impl Talk<TcpStream> {
    pub(crate) fn with(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(connect(address)) }
    }
}

impl<S: Read + Write> Talk<S> {
    /// Sends something, and reads one answer; empty at the end.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
        self.stream.get_mut().flush().unwrap();
        self.next()
    }

    /// Reads one more answer; empty at the end.
    pub(crate) fn next(&mut self) -> String {
        let mut answer = String::new();
        self.stream.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

/// The names of those who reported a client.
pub(crate) fn reporters_of(place: &Place, client: &str) -> Vec<String> {
    let table = Table::open(&place.table()).unwrap();
    let network: Network = client.parse().unwrap();
    let entry = table.entry(network, now()).unwrap();
    table.reporters().of(entry.reporters).map(str::to_owned).collect()
}

/// Answers without the seconds that are left, which depend on how fast the test runs.
pub(crate) fn timeless(answers: &str) -> String {
    let timeless = |line: &str| match line.split_once(" seconds ") {
        Some((count, _)) if line.starts_with("ok count ") => count.to_owned(),
        _ => line.to_owned(),
    };
    answers.lines().map(timeless).collect::<Vec<_>>().join("\n")
}
