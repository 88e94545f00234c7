//! Reports from other hosts: what the collector takes, beside socat, and what Exim waits for.
//!
//! * [`gatherer`]: the eximrbld under measurement; [`lines`]: what it is told.
//! * [`stream`]: one connection by TLS; [`connections`]: a connection for each report, and idle ones
//!   beside; [`visible`]: how soon DNS answers from a report.
//! * [`site`]: another host's eximrbld that passes reports on, as a forwarder or over NATS.
//! * [`mail`]: how long Exim's client waits, while the gatherer works or does not.
//! * [`tables`]: all of that as Markdown.

mod connections;
mod gatherer;
mod lines;
mod mail;
mod site;
mod stream;
mod tables;
mod visible;

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::process::CpuTime;
use crate::settings::Settings;
use connections::Load;
use gatherer::Gatherer;
pub(crate) use mail::Waits;
pub(crate) use tables::{limits, waits};
use visible::Way;

/// Idle connections beside.
const IDLE: usize = 5000;
/// Files that this program and the gatherer may open.
const FILES: u64 = 16_384;

/// What a run of reports shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Reports a second that were taken.
    pub(crate) rate: f64,
    /// Processor time of a report, in microseconds: the gatherer's own, and the kernel's for it.
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// From connecting to the end of the answer, in nanoseconds; 0 where that is not measured.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

/// All figures.
#[derive(Debug)]
pub(crate) struct Figures {
    /// One connection by TLS.
    pub(crate) stream: Vec<Run>,
    /// The same from eximrbld's own forwarder, which follows a table.
    pub(crate) forwarder: Vec<Run>,
    /// A connection each, from this host, unsigned.
    pub(crate) unsigned: Vec<Run>,
    /// A connection each, signed.
    pub(crate) signed: Vec<Run>,
    /// The same, beside [`IDLE`] connections.
    pub(crate) beside_idle: Vec<Run>,
    /// The same to socat, which only writes them down.
    pub(crate) socat: Vec<Run>,
    /// Median, 99th of a hundred, longest time until DNS shows a report, in nanoseconds, by way.
    pub(crate) visible: Vec<(&'static str, [u64; 3])>,
}

/// Measures what the collector takes.
pub(crate) fn run(settings: &Settings) -> Result<Figures> {
    raise_limit()?;
    // A port is free again only after a second.
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65535")?;
    let (rounds, time) = (settings.rounds, settings.gathering_time);
    let mut figures = Figures {
        stream: Vec::new(),
        forwarder: Vec::new(),
        unsigned: Vec::new(),
        signed: Vec::new(),
        beside_idle: Vec::new(),
        socat: Vec::new(),
        visible: Vec::new(),
    };
    let gatherer = Gatherer::start()?;
    let show = |name: &str, run: Run| {
        println!(
            "  {name:<36} {:9.0} reports/s, {:.2} + {:.2} µs, p50 {} µs, p99 {} µs",
            run.rate,
            run.user,
            run.system,
            run.p50 / 1000,
            run.p99 / 1000
        );
        run
    };
    for _ in 0..rounds {
        figures.stream.push(show("one connection by TLS", stream::run(&gatherer, time)?));
        let load = Load::Unsigned;
        figures.unsigned.push(show("a connection each", connections::run(&gatherer, load, time)?));
        let signed = connections::run(&gatherer, Load::Signed, time)?;
        figures.signed.push(show("a connection each, signed", signed));
        let idle = connections::idle(IDLE)?;
        let beside = connections::run(&gatherer, Load::Signed, time)?;
        figures.beside_idle.push(show("the same, beside idle ones", beside));
        drop(idle);
    }
    let mut visible = |way, took| {
        println!("  visible, by {way}: {took:?} ns");
        figures.visible.push((way, took));
    };
    for way in [Way::Connection, Way::Datagram] {
        visible(way.name(), visible::run(way)?);
    }
    let (runs, took) = site::forwarder(&gatherer, rounds, time)?;
    visible("forwarder", took);
    gatherer.end()?;
    visible("NATS, at another site", site::over_nats()?);
    for run in runs {
        figures.forwarder.push(show("a forwarder by TLS", run));
    }
    for _ in 0..rounds {
        figures.socat.push(show("a connection each, to socat", connections::run_socat(time)?));
    }
    Ok(figures)
}

/// Measures what Exim waits for.
pub(crate) fn run_mail() -> Result<Vec<Waits>> {
    raise_limit()?;
    mail::run()
}

/// Connections take files, also of programs that are started from here.
fn raise_limit() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(hard >= FILES, "at most {hard} files may be opened; {FILES} are needed");
    Ok(setrlimit(Resource::RLIMIT_NOFILE, soft.max(FILES), hard)?)
}

impl Run {
    /// Of so many reports in that time.
    fn of(reports: usize, time: Duration, cpu: CpuTime, took: &mut [u64]) -> Result<Self> {
        ensure!(reports > 0, "no report was taken");
        let of_one = |seconds: f64| seconds * 1e6 / reports as f64;
        let mut at = |percent| crate::statistics::percentile(took, percent).unwrap_or(0);
        Ok(Self {
            rate: reports as f64 / time.as_secs_f64(),
            user: of_one(cpu.user),
            system: of_one(cpu.system),
            p50: at(50.0),
            p99: at(99.0),
        })
    }
}
