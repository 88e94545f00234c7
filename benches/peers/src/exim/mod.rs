//! A real Exim that refuses recipients: what a session costs, bare, with the library, and with
//! the other ways to tell somebody of a rejection.
//!
//! Every variant has an Exim daemon of its own, all on one processor; the clients, several at a
//! time, are on the other. They take their turns in short runs, since the difference that is looked
//! for is smaller than what an hour changes.

pub(crate) mod configuration;
pub(crate) mod listed;
pub(crate) mod session;
mod variant;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::data::Data;
use crate::process::{CpuTime, Process};
use crate::settings::Settings;
use crate::stage;
use session::Session;
pub(crate) use variant::Variant;

/// Refused recipients in a session.
pub(crate) const RECIPIENTS: [usize; 2] = [1, 20];
/// Sessions at a time.
const CLIENTS: usize = 4;
/// How long a daemon may take to listen, and its last children to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run of sessions shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Sessions a second.
    pub(crate) rate: f64,
    /// Processor time of a session, in milliseconds: Exim's, and its helper's.
    pub(crate) cpu: f64,
    /// Page faults of a session.
    pub(crate) faults: f64,
}

/// A variant's figures.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Which one.
    pub(crate) variant: Variant,
    /// The runs of each of [`RECIPIENTS`], in the order of the rounds.
    pub(crate) runs: [Vec<Run>; RECIPIENTS.len()],
}

/// Measures all that are chosen.
pub(crate) fn run(data: &Data, settings: &Settings) -> Result<Vec<Figures>> {
    let (rounds, time) = (settings.session_rounds, settings.session_time);
    let mut servers = Vec::new();
    for &variant in &settings.variants {
        match Server::start(variant, data) {
            Ok(server) => servers.push(server),
            Err(error) => println!("  {}: LEFT OUT: {error:#}", variant.name()),
        }
    }
    for round in 0..rounds {
        for (place, recipients) in RECIPIENTS.into_iter().enumerate() {
            // The order changes, so that nobody always comes after the same one.
            let count = servers.len();
            for turn in 0..count {
                let server = &mut servers[(turn + round) % count];
                server.resume()?;
                let run = server.measure(recipients, time)?;
                println!(
                    "  {:<34} {recipients:>2} recipients: {:7.1} sessions/s, {:7.3} ms, {:.1} faults",
                    server.figures.variant.name(),
                    run.rate,
                    run.cpu,
                    run.faults
                );
                server.figures.runs[place].push(run);
                server.pause()?;
            }
        }
    }
    servers.into_iter().map(Server::end).collect()
}

/// An Exim that listens, and the program that its configuration talks to, if there is one.
struct Server {
    figures: Figures,
    address: SocketAddr,
    exim: Process,
    helper: Option<Process>,
    folder: PathBuf,
}

impl Server {
    fn start(variant: Variant, data: &Data) -> Result<Self> {
        let address = variant.address();
        let folder = data.folder().join("exim").join(variant.short_name());
        let helper = variant.start_helper(&folder, data)?;
        let exim = start(&folder, address, &variant.configuration(&folder, data)?)?;
        let figures = Figures { variant, runs: [Vec::new(), Vec::new()] };
        let server = Self { figures, address, exim, helper, folder };
        // One session that must go as all will: shows that it works, and loads what stays loaded.
        let session = Session { server: address, client: session::client(0), recipients: 2 };
        session.run().with_context(|| server.logs())?;
        variant.check(&server.folder, data).with_context(|| server.logs())?;
        server.pause()?;
        Ok(server)
    }

    fn logs(&self) -> String {
        logs(&self.folder)
    }

    fn pause(&self) -> Result<()> {
        self.helper.as_ref().map_or(Ok(()), Process::pause)?;
        self.exim.pause()
    }

    fn resume(&self) -> Result<()> {
        self.helper.as_ref().map_or(Ok(()), Process::resume)?;
        self.exim.resume()
    }

    fn measure(&mut self, recipients: usize, time: Duration) -> Result<Run> {
        let before = self.cpu_time();
        let start = Instant::now();
        let sessions = sessions(self.address, recipients, time).with_context(|| self.logs())?;
        let seconds = start.elapsed().as_secs_f64();
        self.exim.wait_for_children(PATIENCE)?;
        let cpu = self.cpu_time().since(before);
        self.exim.check()?;
        let sessions = f64::from(sessions);
        Ok(Run {
            rate: sessions / seconds,
            cpu: cpu.total() * 1e3 / sessions,
            faults: cpu.faults / sessions,
        })
    }

    /// Exim's, and the helper's.
    fn cpu_time(&self) -> CpuTime {
        let helper = self.helper.as_ref().map(Process::cpu_time).unwrap_or_default();
        self.exim.cpu_time().and(helper)
    }

    fn end(self) -> Result<Figures> {
        let panics = std::fs::read_to_string(self.folder.join("log/paniclog")).unwrap_or_default();
        ensure!(panics.is_empty(), "{}: panic log: {panics}", self.figures.variant.name());
        self.exim.end()?;
        self.helper.map_or(Ok(()), Process::end)?;
        Ok(self.figures)
    }
}

/// Starts Exim in a folder of its own.
pub(crate) fn start(folder: &Path, address: SocketAddr, configuration: &str) -> Result<Process> {
    for name in ["spool", "log"] {
        let path = folder.join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        stage::run(Command::new("chown").arg("Debian-exim:Debian-exim").arg(&path))?;
    }
    let file = folder.join("exim.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new("/usr/sbin/exim4");
    command.arg("-C").arg(&file).arg("-bdf");
    let mut exim = Process::start("Exim", command, &folder.join("output"))?;
    let start = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        exim.check().with_context(|| logs(folder))?;
        ensure!(start.elapsed() < PATIENCE, "Exim does not listen: {}", logs(folder));
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(exim)
}

/// The end of what Exim wrote, for the message of an error.
fn logs(folder: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let text = [read("output"), read("log/mainlog"), read("log/paniclog")].concat();
    let lines: Vec<&str> = text.lines().collect();
    format!("Exim wrote: {}", lines[lines.len().saturating_sub(5)..].join(" | "))
}

/// Holds sessions, several at a time, for so long; gives how many.
fn sessions(server: SocketAddr, recipients: usize, time: Duration) -> Result<u32> {
    /// Goes on from run to run, so that clients come back only after all others.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = AtomicU32::new(0);
    let failed = AtomicBool::new(false);
    let start = Instant::now();
    let work = || -> Result<()> {
        while start.elapsed() < time && !failed.load(Ordering::Relaxed) {
            let client = session::client(NEXT.fetch_add(1, Ordering::Relaxed));
            let result = Session { server, client, recipients }.run();
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            result?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))
        })
    })?;
    let sessions = count.load(Ordering::Relaxed);
    ensure!(sessions > 0, "no session came to its end");
    Ok(sessions)
}
