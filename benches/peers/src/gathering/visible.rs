//! From a report to the first answer in DNS that says listed.

use std::io::Write;
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::gatherer::{PORT, address};
use super::lines::{Signer, client};
use crate::query::{Kind, single};
use crate::stage::server;
use crate::statistics::percentile;

/// Reports, each about a client that was never seen.
pub(super) const REPORTS: u32 = 1000;
/// Between two of them.
pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// On a connection, which is there already.
    Connection,
    /// As a datagram.
    Datagram,
}

impl Way {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Datagram => "datagram",
        }
    }
}

/// Median, 99th of a hundred and longest time from sending the report to the answer.
pub(super) fn run(way: Way) -> Result<[u64; 3]> {
    let signer = Signer::new()?;
    let dns = UdpSocket::bind((crate::saturate::client(0), 0))?;
    dns.connect(server(53))?;
    dns.set_read_timeout(Some(PATIENCE))?;
    let datagrams = UdpSocket::bind((crate::saturate::client(1), 0))?;
    datagrams.connect(address(PORT))?;
    let mut took = Vec::new();
    for _ in 0..REPORTS {
        std::thread::sleep(PAUSE);
        let (number, client) = client();
        let (query, line) = (single(Kind::A, number), signer.line(client));
        ensure!(!is_listed(&dns, &query)?, "{client} was listed before");
        let mut stream = match way {
            Way::Connection => Some(TcpStream::connect(address(PORT))?),
            Way::Datagram => None,
        };
        let start = Instant::now();
        match &mut stream {
            Some(stream) => {
                stream.write_all(line.as_bytes())?;
                stream.shutdown(Shutdown::Write)?;
            }
            None => {
                datagrams.send(line.as_bytes())?;
            }
        }
        while !is_listed(&dns, &query)? {
            ensure!(start.elapsed() < PATIENCE, "{client} is not listed within {PATIENCE:?}");
        }
        took.push(start.elapsed().as_nanos() as u64);
    }
    Ok(summary(&mut took))
}

/// Median, 99th of a hundred, and longest.
pub(super) fn summary(took: &mut [u64]) -> [u64; 3] {
    [50.0, 99.0, 100.0].map(|percent| percentile(took, percent).unwrap_or(0))
}

/// Asks, and waits for the answer.
pub(super) fn is_listed(socket: &UdpSocket, query: &[u8]) -> Result<bool> {
    socket.send(query)?;
    let mut buffer = [0; 1232];
    let length = socket.recv(&mut buffer).context("eximrbld does not answer")?;
    ensure!(length > 12, "eximrbld answers {length} bytes");
    Ok(buffer[3] & 0x0f == 0 && buffer[7] > 0)
}
