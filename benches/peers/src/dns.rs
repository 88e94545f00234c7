//! All name servers, in turns, on the same entries and the same queries.
//!
//! All are started first and stopped (SIGSTOP) while another is asked. In each round every server
//! has its turn before the next round, so that whatever the machine does meanwhile meets all of them.
//! A server that fails is reported and left out from there on.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::data::Data;
use crate::dnsperf;
use crate::paced::{self, Latency};
use crate::process::{Memory, Process};
use crate::query::{Kind, Queries, single};
use crate::record::{Recorder, recorded_client};
use crate::saturate::{self, Answers};
use crate::servers::{Server, Which};
use crate::settings::Settings;

/// Calls of `rbl_record` a second, in the variant with live writes.
pub(crate) const RECORD_RATE: u32 = 10_000;
/// Queries a second, where latency is measured.
pub(crate) const RATES: [u32; 2] = [1_000, 50_000];
/// How long a server may take to start.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// Load before what is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// Between two looks whether it answers.
const START_POLL: Duration = Duration::from_millis(1);

/// What one run under saturating load shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Answers a second.
    pub(crate) rate: f64,
    /// Processor time of an answer, in microseconds: the program's.
    pub(crate) user: f64,
    /// The kernel's, for the program.
    pub(crate) system: f64,
    /// Part of the processor's time that the server used. Below 0.97 or so, the load was not more
    /// than it could take.
    pub(crate) busy: f64,
    /// Part of the queries that were lost.
    pub(crate) lost: f64,
}

/// All that is known of a server with so many entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Under saturating load, by what was asked.
    pub(crate) runs: BTreeMap<&'static str, Vec<Run>>,
    /// At fixed rates, by the rate.
    pub(crate) latency: BTreeMap<u32, Vec<Latency>>,
    /// From start to first right answer, in seconds.
    pub(crate) start: Vec<f64>,
    /// After the load.
    pub(crate) memory: Memory,
    /// Answers a second by dnsperf.
    pub(crate) dnsperf: Option<f64>,
    /// With and without live writes, in turns.
    pub(crate) live: Option<Live>,
}

/// What live writes change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    /// Runs without them.
    pub(crate) without: Vec<Run>,
    /// Runs with them.
    pub(crate) with: Vec<Run>,
    /// Latency at the higher rate, without.
    pub(crate) latency_without: Vec<Latency>,
    /// With.
    pub(crate) latency_with: Vec<Latency>,
    /// Calls a second that were made.
    pub(crate) calls: f64,
}

/// The name under which [`Figures::runs`] has a kind.
pub(crate) fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::A => "A",
        Kind::AEdns => "A, EDNS",
        Kind::Txt => "TXT",
        Kind::Ipv6 => "IPv6",
    }
}

/// All servers' figures for so many entries.
pub(crate) struct Comparison {
    /// IPv4 addresses listed.
    pub(crate) entries: u32,
    /// In the order of the tables; those that failed are not there.
    pub(crate) figures: Vec<(Which, Figures)>,
}

/// Measures all of them.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Comparison>> {
    settings.entries.iter().map(|&entries| compare(settings, entries)).collect()
}

fn compare(settings: &Settings, entries: u32) -> Result<Comparison> {
    println!("\n{entries} entries");
    let data = Data::new(entries)?;
    let mut servers = Servers(Vec::new());
    for which in settings.servers_for(entries) {
        match Running::start(which, &data, settings.rounds) {
            Ok(server) => servers.0.push(server),
            Err(error) => report_failure(which, &error),
        }
    }
    let few = entries == settings.entries[0];
    let kinds: &[Kind] =
        if few { &[Kind::A, Kind::AEdns, Kind::Txt, Kind::Ipv6] } else { &[Kind::A] };
    for &kind in kinds {
        let mut queries =
            Queries::new(kind, if kind == Kind::Ipv6 { data.networks() } else { entries });
        // The plain queries are what is compared; the others have shorter runs.
        let time = if kind == Kind::A { settings.time } else { settings.time / 3 };
        for _ in 0..settings.rounds {
            servers.each(|server| {
                if kind != Kind::Ipv6 || server.which().is_for_ipv6() {
                    let run = server.saturate(&mut queries, kind, time)?;
                    server.figures.runs.entry(label(kind)).or_default().push(run);
                }
                Ok(())
            });
        }
    }
    let mut queries = Queries::new(Kind::A, entries);
    for rate in RATES {
        for _ in 0..settings.rounds {
            servers.each(|server| server.pace(&mut queries, rate, settings.time / 3));
        }
    }
    if few {
        servers.each(|server| server.write_live(&mut queries, &data, settings));
        let file = dnsperf::queries(&data)?;
        servers.each(|server| server.ask_by_dnsperf(&file, settings.time));
    }
    servers.each(|server| {
        server.figures.memory = server.process.memory();
        Ok(())
    });
    let mut figures = Vec::new();
    for server in servers.0 {
        figures.push((server.which(), server.figures));
        if let Err(error) = server.process.end() {
            println!("  {error:#}");
        }
    }
    Ok(Comparison { entries, figures })
}

fn report_failure(which: Which, error: &anyhow::Error) {
    println!("  {}: LEFT OUT from here on: {error:#}", which.name());
}

/// Those that have not failed.
struct Servers(Vec<Running>);

impl Servers {
    /// Gives each its turn, alone.
    fn each(&mut self, mut work: impl FnMut(&mut Running) -> Result<()>) {
        self.0.retain_mut(|server| {
            let result = server.process.resume().and_then(|()| work(server));
            let result = result.and_then(|()| server.process.check());
            let result = result.and_then(|()| server.process.pause());
            if let Err(error) = &result {
                report_failure(server.which(), error);
            }
            result.is_ok()
        });
    }
}

/// A server that was started.
struct Running {
    server: Server,
    process: Process,
    figures: Figures,
}

impl Running {
    fn which(&self) -> Which {
        self.server.which
    }

    /// Starts it so often, and leaves it stopped.
    fn start(which: Which, data: &Data, rounds: usize) -> Result<Self> {
        let server = which.prepare(data)?;
        let mut start = Vec::new();
        loop {
            let (process, seconds) = start_and_wait(&server).with_context(|| {
                let output = std::fs::read_to_string(&server.output).unwrap_or_default();
                let last: Vec<&str> = output.lines().rev().take(3).collect();
                format!("it wrote {last:?}")
            })?;
            start.push(seconds);
            println!("  {:<22} answers {seconds:.4} s after its start", which.name());
            if start.len() == rounds {
                process.pause()?;
                let figures = Figures { start, ..Figures::default() };
                return Ok(Self { server, process, figures });
            }
            process.end()?;
        }
    }

    /// One run under saturating load, after a short one that is not counted.
    fn saturate(&mut self, queries: &mut Queries, kind: Kind, time: Duration) -> Result<Run> {
        queries.set_echoed(self.which() == Which::Echo);
        saturate::warm_up(self.server.address, queries, WARM_UP)?;
        let before = self.process.cpu_time();
        let answers = saturate::run(self.server.address, queries, time)?;
        let cpu = self.process.cpu_time().since(before);
        let Answers { right, wrong, lost, seconds, listed } = answers;
        ensure!(wrong == 0, "{wrong} of {} answers were wrong", right + wrong);
        let share = listed as f64 / right as f64;
        ensure!((0.4..0.6).contains(&share), "{share} of the answers said listed, not a half");
        let each = |seconds: f64| seconds * 1e6 / right as f64;
        let run = Run {
            rate: right as f64 / seconds,
            user: each(cpu.user),
            system: each(cpu.system),
            busy: cpu.total() / seconds,
            lost: lost as f64 / (right + lost) as f64,
        };
        println!(
            "  {:<22} {:<8} {:>9.0}/s  {:6.2} us (user {:5.2})  busy {:.3}  lost {:.5}",
            self.which().name(),
            label(kind),
            run.rate,
            run.user + run.system,
            run.user,
            run.busy,
            run.lost
        );
        Ok(run)
    }

    fn pace(&mut self, queries: &mut Queries, rate: u32, time: Duration) -> Result<()> {
        let latency = self.latency(queries, rate, time)?;
        self.figures.latency.entry(rate).or_default().push(latency);
        Ok(())
    }

    fn latency(&mut self, queries: &mut Queries, rate: u32, time: Duration) -> Result<Latency> {
        queries.set_echoed(self.which() == Which::Echo);
        let latency = paced::run(self.server.address, queries, rate, time)?;
        println!(
            "  {:<22} {rate:>6}/s: p50 {:7.1} us, p99 {:7.1} us, {} without answer",
            self.which().name(),
            latency.p50 as f64 / 1e3,
            latency.p99 as f64 / 1e3,
            latency.missing
        );
        Ok(latency)
    }

    /// Load with and without rejections being recorded meanwhile, in turns.
    fn write_live(
        &mut self,
        queries: &mut Queries,
        data: &Data,
        settings: &Settings,
    ) -> Result<()> {
        if self.which() != Which::Eximrbld {
            return Ok(());
        }
        let table = data.table()?;
        let mut live = Live::default();
        let rate = RATES[1];
        let short = settings.time / 3;
        let counted = || -> Result<u64> {
            let counters = eximrbl_table::Table::open(&table)?.counters();
            Ok(counters.get(eximrbl_table::Counter::Records))
        };
        for _ in 0..settings.rounds {
            live.without.push(self.saturate(queries, Kind::A, settings.time)?);
            live.latency_without.push(self.latency(queries, rate, short)?);
            let before = counted()?;
            // As long as both runs, and what is before and between them.
            let time = settings.time + WARM_UP + short + Duration::from_millis(300);
            let recorder = Recorder::start(&table, RECORD_RATE, time)?;
            live.with.push(self.saturate(queries, Kind::A, settings.time)?);
            live.latency_with.push(self.latency(queries, rate, short)?);
            let calls = recorder.finish()?;
            live.calls = calls as f64 / time.as_secs_f64();
            println!("  {:<22} {calls} calls of rbl_record meanwhile", "");
            ensure!(counted()? - before == calls, "not all calls were counted");
            ensure!(
                answers(self.server.address, recorded_client())?,
                "a new listing is not served"
            );
        }
        self.figures.live = Some(live);
        Ok(())
    }

    fn ask_by_dnsperf(&mut self, queries: &Path, time: Duration) -> Result<()> {
        // It judges no answers, but it wants DNS.
        if self.which() != Which::Echo {
            let rate = dnsperf::measure(self.server.address, queries, time)?;
            println!("  {:<22} dnsperf {rate:>9.0}/s", self.which().name());
            self.figures.dnsperf = Some(rate);
        }
        Ok(())
    }
}

/// Starts a server, and gives the seconds until its first right answer.
pub(crate) fn start_and_wait(server: &Server) -> Result<(Process, f64)> {
    let socket = UdpSocket::bind((saturate::client(0), 0))?;
    socket.connect(server.address)?;
    socket.set_nonblocking(true)?;
    let mut queries = Queries::first_listed();
    queries.set_echoed(server.which == Which::Echo);
    let command = server.command();
    let start = Instant::now();
    let mut process = Process::start(server.which.name(), command, &server.output)?;
    let mut asked = start;
    let mut buffer = [0; 1232];
    loop {
        // Nobody listens yet, or nothing has come yet: both are no answer.
        if let Ok(length) = socket.recv(&mut buffer)
            && queries.is_right(0, &buffer[..length], true)
        {
            return Ok((process, start.elapsed().as_secs_f64()));
        }
        if asked.elapsed() >= START_POLL {
            process.check()?;
            ensure!(start.elapsed() < START_PATIENCE, "no answer in {START_PATIENCE:?}");
            let _ = socket.send(queries.get(0));
            asked = Instant::now();
        }
    }
}

/// Whether the address of this number is listed.
fn answers(server: std::net::SocketAddr, number: u32) -> Result<bool> {
    let socket = UdpSocket::bind((saturate::client(0), 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send_to(&single(Kind::A, number), server)?;
    let mut buffer = [0; 1232];
    let length = socket.recv(&mut buffer).context("no answer")?;
    // NOERROR, with an answer.
    Ok(length > 12 && buffer[3] & 0x0f == 0 && buffer[7] > 0)
}
