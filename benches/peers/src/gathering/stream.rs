//! One connection by TLS, as a forwarder has it: lines without a pause, answers as they come.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConnection, StreamOwned};

use super::Run;
use super::gatherer::{Gatherer, HOST, TLS_PORT, address};
use super::lines::{Signer, client, unsigned};

/// Lines that are sent at a time.
const BATCH: usize = 256;
/// Lines that are not answered yet, at most. Their answers fit into the socket's room.
const UNDER_WAY: usize = 4096;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reports for so long.
pub(super) fn run(gatherer: &Gatherer, time: Duration) -> Result<Run> {
    let socket = TcpStream::connect(address(TLS_PORT))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let connection = ClientConnection::new(gatherer.tls()?, HOST.try_into()?)?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(Signer::new()?.auth().as_bytes())?;
    let mut answers = Answers::default();
    answers.read(&mut stream)?;
    ensure!(answers.right == 1, "not taken for the reporter");

    let recorded = gatherer.recorded()?;
    let before = gatherer.cpu_time();
    let start = Instant::now();
    let mut sent = 1;
    let mut batch = Vec::new();
    while start.elapsed() < time {
        batch.clear();
        for _ in 0..BATCH {
            batch.extend_from_slice(unsigned(client().1).as_bytes());
        }
        stream.write_all(&batch)?;
        sent += BATCH;
        while sent - answers.right > UNDER_WAY - BATCH {
            answers.read(&mut stream)?;
        }
    }
    while answers.right < sent {
        answers.read(&mut stream)?;
    }
    let (took, cpu) = (start.elapsed(), gatherer.cpu_time().since(before));
    let reports = sent - 1;
    ensure!(gatherer.recorded()? - recorded == reports as u64, "not all are counted");
    Run::of(reports, took, cpu, &mut [])
}

/// Answers so far.
#[derive(Default)]
struct Answers {
    right: usize,
    /// The beginning of one that is not complete.
    rest: Vec<u8>,
}

impl Answers {
    fn read(&mut self, stream: &mut impl Read) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        let length = stream.read(&mut buffer).context("no answers")?;
        ensure!(length > 0, "the gatherer has closed the connection");
        self.rest.extend_from_slice(&buffer[..length]);
        let end = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        for line in self.rest[..end].split_inclusive(|&byte| byte == b'\n') {
            ensure!(line.starts_with(b"ok"), "{}", String::from_utf8_lossy(line));
            self.right += 1;
        }
        self.rest.drain(..end);
        Ok(())
    }
}
