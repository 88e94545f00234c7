//! A connection for each report, as `readsocket` makes them: connect, send a line, shut down, read the
//! answer to its end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Run;
use super::gatherer::{Gatherer, PORT, far, local};
use super::lines::{Signer, client, unsigned};
use crate::process::{CpuTime, Process};
use crate::stage::FOLDER;

/// Connections at a time.
const AT_ONCE: usize = 64;
/// Lines that are signed in advance, for each second.
const SIGNED: f64 = 60_000.0;
/// How long an answer may take.
const PATIENCE: u16 = 10_000;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Unsigned lines, from the gatherer's host.
    Unsigned,
    /// Signed ones, from others.
    Signed,
}

/// Reports for so long.
pub(super) fn run(gatherer: &Gatherer, load: Load, time: Duration) -> Result<Run> {
    let signer = Signer::new()?;
    let signed: Vec<String> = match load {
        Load::Unsigned => Vec::new(),
        Load::Signed => {
            let count = (SIGNED * time.as_secs_f64()) as usize;
            (0..count).map(|_| signer.line(client().1)).collect()
        }
    };
    let target = match load {
        Load::Unsigned => local,
        Load::Signed => far,
    };
    let line = |number: usize| match load {
        Load::Unsigned => Some(unsigned(client().1)),
        Load::Signed => signed.get(number).cloned(),
    };
    let recorded = gatherer.recorded()?;
    let (reports, run) = reports(target, line, AT_ONCE, Some(b"ok"), time, || gatherer.cpu_time())?;
    ensure!(gatherer.recorded()? - recorded == reports as u64, "not all are counted");
    Ok(run)
}

/// The same to socat, which writes the lines to a file and answers nothing.
pub(super) fn run_socat(time: Duration) -> Result<Run> {
    let folder = Path::new(FOLDER).join("gathering");
    let file = folder.join("karma.log");
    let _ = std::fs::remove_file(&file);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4440));
    let mut command = Command::new("socat");
    command.args(["-u", "TCP4-LISTEN:4440,bind=127.0.0.1,reuseaddr,fork,backlog=1024"]);
    command.arg(format!("OPEN:{},creat,append", file.display()));
    let mut socat = Process::start("socat", command, &folder.join("socat-output"))?;
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        socat.check()?;
        ensure!(start.elapsed() < Duration::from_secs(10), "socat does not listen");
        std::thread::sleep(Duration::from_millis(2));
    }
    let line = |_| Some(unsigned(client().1));
    let (count, run) = reports(|_| address, line, AT_ONCE, None, time, || socat.cpu_time())?;
    socat.wait_for_children(Duration::from_secs(10))?;
    let written = std::fs::read_to_string(&file)?.lines().count();
    ensure!(written == count, "socat has written {written} of {count} lines");
    socat.end()?;
    Ok(run)
}

/// Connections that say nothing, until they are dropped.
pub(super) fn idle(count: usize) -> Result<Vec<TcpStream>> {
    let open = |number: usize| {
        let target = SocketAddr::from(([198, 18, 2, 1 + (number % 100) as u8], PORT));
        TcpStream::connect(target).context("an idle connection")
    };
    (0..count).map(open).collect()
}

/// One that waits for its answer.
struct Waiting {
    stream: TcpStream,
    since: Instant,
    answer: Vec<u8>,
}

/// Makes connections for so long, or as long as there are lines; gives how many were answered, and what
/// there is to say of them. `cpu_time` is that of who answers.
fn reports(
    target: impl Fn(usize) -> SocketAddr,
    line: impl Fn(usize) -> Option<String>,
    at_once: usize,
    expected: Option<&[u8]>,
    time: Duration,
    cpu_time: impl Fn() -> CpuTime,
) -> Result<(usize, Run)> {
    let before = cpu_time();
    let start = Instant::now();
    let (mut started, mut ended) = (0, false);
    let mut waiting: Vec<Waiting> = Vec::new();
    let mut took = Vec::new();
    loop {
        while !ended && waiting.len() < at_once {
            let Some(line) = line(started).filter(|_| start.elapsed() < time) else {
                ended = true;
                break;
            };
            waiting.push(Waiting::start(target(started), &line)?);
            started += 1;
        }
        if waiting.is_empty() {
            break;
        }
        let mut ready: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|waiting| PollFd::new(waiting.stream.as_fd(), PollFlags::POLLIN))
            .collect();
        ensure!(poll(&mut ready, PollTimeout::from(PATIENCE))? > 0, "no answers any more");
        let ready: Vec<bool> = ready.iter().map(|one| one.any().unwrap_or(false)).collect();
        for place in (0..ready.len()).rev().filter(|&place| ready[place]) {
            if waiting[place].is_answered(expected)? {
                took.push(waiting.swap_remove(place).since.elapsed().as_nanos() as u64);
            }
        }
    }
    let (elapsed, cpu) = (start.elapsed(), cpu_time().since(before));
    Ok((took.len(), Run::of(took.len(), elapsed, cpu, &mut took)?))
}

impl Waiting {
    fn start(target: SocketAddr, line: &str) -> Result<Self> {
        let since = Instant::now();
        let mut stream = TcpStream::connect(target).context("cannot connect")?;
        stream.write_all(line.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, since, answer: Vec::new() })
    }

    /// Whether the answer has come to its end.
    fn is_answered(&mut self, expected: Option<&[u8]>) -> Result<bool> {
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.answer.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => bail!("the answer breaks off: {error}"),
            }
        }
        let is_right = expected.is_none_or(|expected| self.answer.starts_with(expected));
        ensure!(is_right, "answered {:?}", String::from_utf8_lossy(&self.answer));
        Ok(true)
    }
}
