//! The eximrbld under measurement.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eximrbl_table::{Counter, CreateOptions, Table, WritableTable};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::lines::{NAME, SECRET, Signer, client};
use crate::data::EXIMRBLD_USER;
use crate::process::{CpuTime, Process};
use crate::query::ZONE;
use crate::stage::{self, FOLDER, artifact, run, server};

/// For lines.
pub(super) const PORT: u16 = 4444;
/// For TLS.
pub(super) const TLS_PORT: u16 = 4445;
/// The name in its certificate.
pub(super) const HOST: &str = "gatherer.example.org";
/// Room for all that is reported.
pub(super) const SLOTS: u64 = 1 << 22;
/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running eximrbld.
pub(super) struct Gatherer {
    process: Process,
    table: PathBuf,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Gatherer {
    /// Starts it upon an empty table.
    pub(super) fn start() -> Result<Self> {
        let folder = Path::new(FOLDER).join("gathering");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let made = rcgen::generate_simple_self_signed([
            HOST.to_owned(),
            address(TLS_PORT).ip().to_string(),
        ])?;
        std::fs::write(folder.join("certificate.pem"), made.cert.pem())?;
        std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
        std::fs::write(folder.join("secret"), format!("{SECRET}\n"))?;
        let secret = ["key.pem", "secret"].map(|name| folder.join(name));
        run(Command::new("chmod").arg("0400").args(&secret))?;
        run(Command::new("chown").arg(EXIMRBLD_USER).arg(&folder).args(&secret))?;
        let table = folder.join("table");
        let owner = crate::data::eximrbld_user();
        let options = CreateOptions { slots: SLOTS, owner, ..CreateOptions::default() };
        WritableTable::create(&table, &options)?;
        let file = folder.join("eximrbl.toml");
        std::fs::write(&file, configuration(&folder))?;
        let mut command = Command::new(artifact("eximrbld"));
        command.arg("--config").arg(&file);
        let output = folder.join("output");
        let mut process = Process::start("eximrbld", command, &output)?;
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, TLS_PORT)).is_err() {
            let wrote = || std::fs::read_to_string(&output).unwrap_or_default();
            process.check().with_context(wrote)?;
            ensure!(start.elapsed() < PATIENCE, "eximrbld takes no reports: {}", wrote());
            std::thread::sleep(Duration::from_millis(2));
        }
        // With the first one it looks through the table for how many entries the reporter has.
        report_once()?;
        Ok(Self { process, table, certificate: made.cert.der().clone(), pem: made.cert.pem() })
    }

    /// Processor time.
    pub(super) fn cpu_time(&self) -> CpuTime {
        self.process.cpu_time()
    }

    /// Reports that the table has counted.
    pub(super) fn recorded(&self) -> Result<u64> {
        Ok(Table::open(&self.table)?.counters().get(Counter::Records))
    }

    /// How to speak TLS with it.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// Its certificate, in PEM form: its own authority.
    pub(super) fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Stops it, as if it hung.
    pub(super) fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// Lets it go on.
    pub(super) fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// Ends it.
    pub(super) fn end(self) -> Result<()> {
        self.process.end()
    }
}

/// Makes one report, and waits until it is taken.
fn report_once() -> Result<()> {
    let mut stream = TcpStream::connect(far(0))?;
    stream.write_all(Signer::new()?.line(client().1).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("ok"), "the first report is answered {answer:?}");
    Ok(())
}

/// Where others reach it.
pub(super) fn address(port: u16) -> SocketAddr {
    stage::server(port)
}

fn configuration(folder: &Path) -> String {
    let (folder, dns) = (folder.display(), server(53));
    let local: Vec<String> =
        (0..ADDRESSES).map(|number| format!("\"{}\"", local(number))).collect();
    let local = local.join(", ");
    format!(
        r#"version = 1
[table]
path = "{folder}/table"
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
[collector]
tcp = ["0.0.0.0:{PORT}", {local}]
udp = ["0.0.0.0:{PORT}"]
tls = ["0.0.0.0:{TLS_PORT}"]
certificate = "{folder}/certificate.pem"
key = "{folder}/key.pem"
[[reporter]]
name = "{NAME}"
secret_file = "{folder}/secret"
rate = 0
entries = 1000000000
"#
    )
}

/// Addresses that are taken in turn, since each has ports of its own for those who connect.
pub(super) const ADDRESSES: usize = 16;

/// One of the addresses for unsigned lines, which are taken where only this host can reach.
pub(super) fn local(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1 + (number % ADDRESSES) as u8], PORT + 2))
}

/// One of the addresses for signed lines.
pub(super) fn far(number: usize) -> SocketAddr {
    SocketAddr::from(([198, 18, 1, 1 + (number % ADDRESSES) as u8], PORT))
}
