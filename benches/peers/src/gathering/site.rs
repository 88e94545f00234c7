//! Mail servers whose own eximrbld passes on what Exim records: by a forwarder, or over NATS.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eximrbl_table::dictionary::{LOCAL, REJECT_BIT};
use eximrbl_table::{CreateOptions, Network, Report, WritableTable, now};

use super::Run;
use super::gatherer::{Gatherer, SLOTS, TLS_PORT};
use super::lines::{NAME, SECRET, client};
use super::visible::{PAUSE, REPORTS, is_listed, summary};
use crate::data::EXIMRBLD_USER;
use crate::process::Process;
use crate::query::{Kind, ZONE, single};
use crate::stage::{FOLDER, artifact, run, server};

/// Where the sites answer DNS, the first and the second.
const DNS_PORTS: [u16; 2] = [5301, 5302];
/// Where the NATS server listens.
const NATS: &str = "127.0.0.1:4222";
/// Reports that the gatherer has not counted yet, at most: half of what the table's ring keeps.
const UNDER_WAY: u64 = 1 << 15;
/// How long something may take to begin.
const PATIENCE: Duration = Duration::from_secs(30);

/// An eximrbld with a table of its own, into which this program writes as Exim would.
struct Site {
    process: Process,
    table: WritableTable,
    dns: SocketAddr,
}

impl Site {
    /// Starts one. `rest` ends its configuration; `FOLDER` in it is the site's folder, with the
    /// gatherer's secret and certificate.
    fn start(name: &str, dns_port: u16, rest: &str, certificate: &str) -> Result<Self> {
        let folder = Path::new(FOLDER).join("gathering-sites").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let secret = folder.join("secret");
        std::fs::write(&secret, format!("{SECRET}\n"))?;
        std::fs::write(folder.join("gatherer.ca"), certificate)?;
        run(Command::new("chmod").arg("0400").arg(&secret))?;
        run(Command::new("chown").arg(EXIMRBLD_USER).args([&folder, &secret]))?;
        let table = folder.join("table");
        let owner = crate::data::eximrbld_user();
        let options = CreateOptions { slots: SLOTS, owner, ..CreateOptions::default() };
        WritableTable::create(&table, &options)?;
        let file = folder.join("eximrbl.toml");
        let dns = server(dns_port);
        let rest = rest.replace("FOLDER", &folder.display().to_string());
        let text = format!(
            r#"version = 1
[table]
path = "{}"
[control]
socket = ""
[dns]
listen = ["{dns}"]
user = "{EXIMRBLD_USER}"
workers = 1
rate_limit = {{ responses_per_second = 0 }}
[[zone]]
name = "{ZONE}"
ns = ["{ZONE}"]
{rest}
"#,
            table.display()
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(artifact("eximrbld"));
        command.arg("--config").arg(&file);
        let output = folder.join("output");
        let mut process = Process::start(name, command, &output)?;
        wait(&mut process, &output, "INFO ready")?;
        Ok(Self { process, table: WritableTable::open(&table)?, dns })
    }

    /// Records a rejection, as Exim does.
    fn record(&self, client: Network) -> Result<()> {
        let report = Report {
            network: client,
            reason: REJECT_BIT,
            reporter: LOCAL,
            weight: None,
            seconds: None,
        };
        self.table.record(&report, now()).map(drop).context("the site's table takes no report")
    }
}

/// What one forwarder passes on to the gatherer by TLS, and the time until DNS shows it there.
pub(super) fn forwarder(
    gatherer: &Gatherer,
    rounds: usize,
    time: Duration,
) -> Result<(Vec<Run>, [u64; 3])> {
    let rest = format!(
        "[forward]\nto = [\"{}\"]\nname = \"{NAME}\"\nsecret_file = \"FOLDER/secret\"\n\
         ca = \"FOLDER/gatherer.ca\"\n",
        server(TLS_PORT)
    );
    let site = Site::start("forwarder", DNS_PORTS[0], &rest, gatherer.certificate_pem())?;
    let runs = (0..rounds).map(|_| forward(&site, gatherer, time)).collect::<Result<_>>()?;
    let took = visible(&site, server(53))?;
    site.process.end()?;
    Ok((runs, took))
}

fn forward(site: &Site, gatherer: &Gatherer, time: Duration) -> Result<Run> {
    let first = gatherer.recorded()?;
    let before = gatherer.cpu_time();
    let start = Instant::now();
    let mut made = 0;
    while start.elapsed() < time {
        // So that nothing is overwritten before it is passed on.
        while first + made > gatherer.recorded()? + UNDER_WAY {
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..256 {
            site.record(Network::host(client().1.into()))?;
        }
        made += 256;
    }
    while gatherer.recorded()? < first + made {
        ensure!(start.elapsed() < time + PATIENCE, "not all reports were passed on");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (took, cpu) = (start.elapsed(), gatherer.cpu_time().since(before));
    ensure!(gatherer.recorded()? == first + made, "some reports were passed on twice");
    Run::of(made as usize, took, cpu, &mut [])
}

/// The time until DNS of one site shows what another one has recorded, over a NATS server of this host.
pub(super) fn over_nats() -> Result<[u64; 3]> {
    let folder = Path::new(FOLDER).join("gathering-sites/nats");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("nats.conf");
    let text = format!(
        "listen: \"{NATS}\"\njetstream {{ store_dir: {:?} }}\n",
        folder.join("store").display().to_string()
    );
    std::fs::write(&file, text)?;
    let mut command = Command::new("nats-server");
    command.arg("-c").arg(&file);
    let output = folder.join("output");
    let mut nats = Process::start("nats-server", command, &output)?;
    wait(&mut nats, &output, "Server is ready")?;
    let site = |name: &str, port| {
        let rest = format!("[nats]\nurl = \"nats://{NATS}\"\nsite = \"{name}\"\n");
        Site::start(name, port, &rest, "")
    };
    let (here, there) = (site("here", DNS_PORTS[0])?, site("there", DNS_PORTS[1])?);
    let took = visible(&here, there.dns)?;
    here.process.end()?;
    there.process.end()?;
    nats.end()?;
    Ok(took)
}

/// The time from a record at a site until this DNS says listed.
fn visible(site: &Site, dns: SocketAddr) -> Result<[u64; 3]> {
    let asking = UdpSocket::bind((crate::saturate::client(0), 0))?;
    asking.connect(dns)?;
    asking.set_read_timeout(Some(PATIENCE))?;
    let one = || {
        let (number, client) = client();
        let query = single(Kind::A, number);
        ensure!(!is_listed(&asking, &query)?, "{client} was listed before");
        let start = Instant::now();
        site.record(Network::host(client.into()))?;
        while !is_listed(&asking, &query)? {
            ensure!(start.elapsed() < PATIENCE, "{client} is not listed within {PATIENCE:?}");
        }
        Ok(start.elapsed().as_nanos() as u64)
    };
    // Until the connection is made.
    one()?;
    let mut took = Vec::new();
    for _ in 0..REPORTS {
        std::thread::sleep(PAUSE);
        took.push(one()?);
    }
    Ok(summary(&mut took))
}

/// Waits until a process has written a text.
fn wait(process: &mut Process, output: &Path, text: &str) -> Result<()> {
    let start = Instant::now();
    loop {
        let wrote = std::fs::read_to_string(output).unwrap_or_default();
        if wrote.contains(text) {
            return Ok(());
        }
        process.check().with_context(|| wrote.clone())?;
        ensure!(start.elapsed() < PATIENCE, "never ready: {wrote}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
