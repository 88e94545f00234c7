//! The ways to record a rejection that are compared.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eximrbl_table::{Counter, CreateOptions, Network, Table, WritableTable};

use super::configuration::{Extra, text};
use super::session;
use crate::data::{Data, EXIMRBLD_USER};
use crate::process::Process;
use crate::query::ZONE;
use crate::stage::{self, artifact, run};

/// The port of socat.
const SOCAT: u16 = 4440;
/// The collector's place: unsigned reports are taken from this host.
const COLLECTOR: &str = "127.0.0.1:4441";
/// Room for all clients of the sessions.
const COLLECTOR_SLOTS: u64 = 1 << 16;
/// How long a helper may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing is recorded.
    Bare,
    /// Nothing, once more: how far two equal Exims are apart in this run.
    BareAgain,
    /// A C function that does nothing, which the daemon has loaded: the floor of `dlfunc`.
    Nothing,
    /// The library, which the daemon has loaded.
    Preloaded,
    /// The same, called through the ACLs of `examples/exim/eximrbl.acls`.
    PreloadedAcl,
    /// The library, which each child loads.
    Cold,
    /// A line to socat, as the first document has it.
    ReadSocket,
    /// The same line to eximrbld's collector.
    Collector,
    /// The cheapest program there is.
    Run,
    /// A row in SQLite.
    Sqlite,
}

impl Variant {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 10] = [
        Self::Bare,
        Self::BareAgain,
        Self::Nothing,
        Self::Preloaded,
        Self::PreloadedAcl,
        Self::Cold,
        Self::ReadSocket,
        Self::Collector,
        Self::Run,
        Self::Sqlite,
    ];

    /// For files.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareAgain => "bare-again",
            Self::Nothing => "nothing",
            Self::Preloaded => "preloaded",
            Self::PreloadedAcl => "preloaded-acl",
            Self::Cold => "cold",
            Self::ReadSocket => "readsocket",
            Self::Collector => "collector",
            Self::Run => "run",
            Self::Sqlite => "sqlite",
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareAgain => "bare, once more",
            Self::Nothing => "a C function that does nothing",
            Self::Preloaded => "eximrbl.so, preloaded",
            Self::PreloadedAcl => "eximrbl.so, preloaded, by ${acl}",
            Self::Cold => "eximrbl.so, loaded by each child",
            Self::ReadSocket => "${readsocket} to socat",
            Self::Collector => "${readsocket} to eximrbld",
            Self::Run => "${run{/bin/true}}",
            Self::Sqlite => "${lookup sqlite{INSERT …}}",
        }
    }

    /// For a Markdown table.
    pub(crate) fn title(self) -> String {
        match (self, self.name()) {
            (Self::PreloadedAcl, _) => "eximrbl.so, preloaded, by `${acl}`".to_owned(),
            (Self::ReadSocket, _) => "`${readsocket}` to socat".to_owned(),
            (Self::Collector, _) => "`${readsocket}` to eximrbld's collector".to_owned(),
            (_, name) if name.starts_with('$') => format!("`{name}`"),
            (_, name) => name.to_owned(),
        }
    }

    /// Whether it calls the library.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Preloaded | Self::PreloadedAcl | Self::Cold)
    }

    /// Where its Exim listens.
    pub(super) fn address(self) -> SocketAddr {
        let place = Self::ALL.iter().position(|&other| other == self).unwrap_or(0);
        stage::server(2500 + place as u16)
    }

    /// Exim's configuration.
    pub(super) fn configuration(self, folder: &Path, data: &Data) -> Result<String> {
        let address = self.address();
        let extra = match self {
            Self::Bare | Self::BareAgain => Extra::default(),
            Self::Nothing => nothing(),
            Self::Preloaded => preloaded(data)?,
            Self::PreloadedAcl => Extra {
                call: "${acl{rbl_record}{rcpt}}".to_owned(),
                acls: format!(".include {}", stage::checkout("examples/exim/eximrbl.acls")?),
                ..preloaded(data)?
            },
            Self::Cold => Extra {
                main: format!(
                    "{}\nadd_environment = EXIMRBL_TABLE={}",
                    macro_line(),
                    data.table()?.display()
                ),
                ..preloaded(data)?
            },
            Self::ReadSocket => told(&stage::server(SOCAT).to_string()),
            Self::Collector => told(COLLECTOR),
            Self::Run => Extra { call: "${run{/bin/true}}".to_owned(), ..Extra::default() },
            Self::Sqlite => Extra {
                main: format!("sqlite_dbfile = {}", folder.join("state/database").display()),
                // The number, since Exim does not repeat a query that it has asked before.
                call: "${lookup sqlite{INSERT INTO seen VALUES \
                       ('$sender_host_address', $rcpt_count, $tod_epoch)}}"
                    .to_owned(),
                ..Extra::default()
            },
        };
        Ok(text(folder, address, &extra))
    }

    /// Starts the program, or makes the database, that the configuration needs.
    pub(super) fn start_helper(self, folder: &Path, data: &Data) -> Result<Option<Process>> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        match self {
            Self::ReadSocket => start_socat(folder).map(Some),
            Self::Collector => start_collector(folder).map(Some),
            Self::Sqlite => make_database(folder).map(|()| None),
            Self::Preloaded | Self::PreloadedAcl | Self::Cold => {
                // Exim's children must be able to write into the table.
                let table = data.table()?;
                run(Command::new("chgrp").arg("Debian-exim").arg(&table))?;
                Ok(None)
            }
            Self::Bare | Self::BareAgain | Self::Nothing | Self::Run => Ok(None),
        }
    }

    /// Makes sure that the first session was recorded: what does nothing costs nothing.
    pub(super) fn check(self, folder: &Path, data: &Data) -> Result<()> {
        let recorded = match self {
            Self::Bare | Self::BareAgain | Self::Nothing | Self::Run => true,
            Self::Preloaded | Self::PreloadedAcl | Self::Cold => is_recorded(&data.table()?)?,
            Self::Collector => is_recorded(&collector_folder(folder).join("table"))?,
            Self::ReadSocket => std::fs::metadata(folder.join("karma.log"))?.len() > 0,
            Self::Sqlite => {
                let database = folder.join("state/database");
                let count =
                    run(Command::new("sqlite3").arg(database).arg("SELECT count(*) FROM seen"))?;
                count.trim() == "2"
            }
        };
        ensure!(recorded, "the first session was not recorded");
        Ok(())
    }
}

/// Whether the first session's client is in a table.
fn is_recorded(table: &Path) -> Result<bool> {
    let table = Table::open(table)?;
    let network = Network::host(session::client(0));
    let is_there = table.entry(network, eximrbl_table::now()).is_some();
    Ok(is_there && table.counters().get(Counter::Records) > 0)
}

/// Each rejection told as a line, as the first document has it.
fn told(address: &str) -> Extra {
    Extra {
        call: format!(
            "${{readsocket{{inet:{address}}}{{black $sender_host_address\\n}}{{3s}}{{}}{{}}}}"
        ),
        ..Extra::default()
    }
}

/// The name that the configurations of `examples/exim` have for the library.
fn macro_line() -> String {
    format!("EXIMRBL_SO = {}", artifact("libeximrbl.so").display())
}

/// As ACL.md has it.
fn preloaded(data: &Data) -> Result<Extra> {
    Ok(Extra {
        main: format!(
            "{}\nsmtp_accept_max_per_host = ${{if exists{{EXIMRBL_SO}}\
             {{${{dlfunc{{EXIMRBL_SO}}{{rbl_preload}}{{{}}}}}}}}}0",
            macro_line(),
            data.table()?.display()
        ),
        call: "${if exists{EXIMRBL_SO}{${dlfunc{EXIMRBL_SO}{rbl_record}\
               {$sender_host_address}{rcpt}}}}"
            .to_owned(),
        acls: String::new(),
    })
}

/// The same with a function that does nothing, at both places.
fn nothing() -> Extra {
    let call =
        "${if exists{NOTHING_SO}{${dlfunc{NOTHING_SO}{nothing}{$sender_host_address}{rcpt}}}}";
    Extra {
        main: format!(
            "NOTHING_SO = {}\nsmtp_accept_max_per_host = ${{if exists{{NOTHING_SO}}\
             {{${{dlfunc{{NOTHING_SO}}{{nothing}}{{path}}}}}}}}0",
            artifact("nothing.so").display()
        ),
        call: call.to_owned(),
        acls: String::new(),
    }
}

fn start_socat(folder: &Path) -> Result<Process> {
    let address = stage::server(SOCAT);
    let mut command = Command::new("socat");
    let file = folder.join("karma.log");
    let _ = std::fs::remove_file(&file);
    command.arg("-u");
    command.arg(format!("TCP4-LISTEN:{SOCAT},bind={},reuseaddr,fork", address.ip()));
    command.arg(format!("OPEN:{},creat,append", file.display()));
    let mut socat = Process::start("socat", command, &folder.join("socat-output"))?;
    wait_to_connect(&mut socat, address)?;
    Ok(socat)
}

/// Where the collector's eximrbld has its files.
fn collector_folder(folder: &Path) -> PathBuf {
    folder.join("gatherer")
}

fn start_collector(folder: &Path) -> Result<Process> {
    let folder = collector_folder(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder)?;
    run(Command::new("chown").arg(EXIMRBLD_USER).arg(&folder))?;
    let owner = crate::data::eximrbld_user();
    let options = CreateOptions { slots: COLLECTOR_SLOTS, owner, ..CreateOptions::default() };
    WritableTable::create(&folder.join("table"), &options)?;
    let file = folder.join("eximrbl.toml");
    let configuration = format!(
        r#"version = 1
[table]
path = "{}"
[control]
socket = ""
[dns]
listen = ["127.0.0.1:53"]
user = "{EXIMRBLD_USER}"
workers = 1
[[zone]]
name = "{ZONE}"
ns = ["{ZONE}"]
[collector]
tcp = ["{COLLECTOR}"]
"#,
        folder.join("table").display()
    );
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(artifact("eximrbld"));
    command.arg("--config").arg(&file);
    let mut eximrbld = Process::start("eximrbld", command, &folder.join("output"))?;
    wait_to_connect(&mut eximrbld, COLLECTOR.parse()?)?;
    Ok(eximrbld)
}

fn wait_to_connect(process: &mut Process, address: SocketAddr) -> Result<()> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        process.check()?;
        ensure!(start.elapsed() < PATIENCE, "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn make_database(folder: &Path) -> Result<()> {
    let state = folder.join("state");
    let _ = std::fs::remove_dir_all(&state);
    std::fs::create_dir(&state)?;
    let database = state.join("database");
    run(Command::new("sqlite3")
        .arg(&database)
        .arg("CREATE TABLE seen (address TEXT, number INTEGER, time INTEGER)"))?;
    run(Command::new("chown").args(["-R", "Debian-exim:Debian-exim"]).arg(&state))?;
    Ok(())
}
