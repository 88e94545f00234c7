//! From Exim's 550 on the wire to a listed answer in DNS.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::session::Connection;
use super::variant::Variant;
use crate::data::Data;
use crate::dns;
use crate::entries::ipv4;
use crate::query::{Kind, single};
use crate::servers::Which;
use crate::statistics::percentile;

/// Sessions, each of a client that was never seen.
const SESSIONS: u32 = 500;
/// The first client's number, above those of all other measurements.
const FIRST: u32 = 440_000_000;
/// How long it may take until the client is listed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// Sessions.
    pub(crate) sessions: u32,
    /// Half of them took no longer.
    pub(crate) p50: u64,
    /// 99 of 100 took no longer.
    pub(crate) p99: u64,
    /// The longest.
    pub(crate) longest: u64,
    /// Sessions in which the first answer said listed.
    pub(crate) at_once: u32,
}

/// Lets Exim reject a client, and asks eximrbld about it as soon as the 550 is here.
pub(crate) fn run(data: &Data) -> Result<Listed> {
    let which = Which::Eximrbld.prepare(data)?;
    let (eximrbld, _) = dns::start_and_wait(&which)?;
    let variant = Variant::Preloaded;
    let folder = data.folder().join("exim").join("listed");
    let address = variant.address();
    variant.start_helper(&folder, data)?;
    let configuration = variant.configuration(&folder, data)?;
    let exim = super::start(&folder, address, &configuration)?;

    let socket = UdpSocket::bind((crate::saturate::client(0), 0))?;
    socket.connect(which.address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A number of its own for each run, since the table keeps what earlier ones recorded.
    let first = FIRST + (eximrbl_table::now() % 100_000) * SESSIONS;
    let mut took = Vec::new();
    let mut at_once = 0;
    for number in first..first + SESSIONS {
        let query = single(Kind::A, number);
        let mut connection = Connection::open(address, ipv4(number).into())?;
        ensure!(!is_listed(&socket, &query)?, "the client was listed before");
        connection.refused_recipient(0)?;
        let start = Instant::now();
        let mut asked = 1;
        while !is_listed(&socket, &query)? {
            asked += 1;
            ensure!(start.elapsed() < PATIENCE, "not listed within {PATIENCE:?}");
        }
        took.push(start.elapsed().as_nanos() as u64);
        at_once += u32::from(asked == 1);
    }
    exim.end()?;
    eximrbld.end()?;
    let mut at = |percent| percentile(&mut took, percent).unwrap_or(0);
    Ok(Listed { sessions: SESSIONS, p50: at(50.0), p99: at(99.0), longest: at(100.0), at_once })
}

/// Asks, and waits for the answer.
fn is_listed(socket: &UdpSocket, query: &[u8]) -> Result<bool> {
    socket.send(query)?;
    let mut buffer = [0; 1232];
    let length = socket.recv(&mut buffer).context("eximrbld does not answer")?;
    ensure!(length > 12, "eximrbld answers {length} bytes");
    Ok(buffer[3] & 0x0f == 0 && buffer[7] > 0)
}
