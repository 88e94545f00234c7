//! NATS servers and sites.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eximrbl_table::dictionary::{LOCAL, REJECT_BIT};
use eximrbl_table::{Entry, Name, Report, Table, WritableTable, now};

use crate::harness::{Host, Lan, Process, Scratch, artifact, run, set_mode, tool_text, wait_until};

/// Where a server listens on its host.
pub(crate) const PORT: u16 = 4222;

/// How long sites may take to agree. A cluster that lost a server needs some seconds to elect who leads
/// it, several times over; and what the log has told of a cause is told again after a minute.
const ELECTIONS: Duration = Duration::from_secs(120);

/// Waits until it is so, as long as sites may take to agree.
#[track_caller]
pub(crate) fn wait_long(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + ELECTIONS;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {ELECTIONS:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A NATS server.
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) process: Process,
    scratch: Scratch,
}

impl Server {
    /// Starts one with JetStream, and further lines of configuration; `FOLDER` in them is a folder
    /// of its own, in which `files` are.
    pub(crate) fn start(host: Host, name: &str, rest: &str, files: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new("nats");
        for (file, text) in files {
            scratch.write(file, text);
        }
        let text = format!(
            "server_name: {name}\nlisten: \"0.0.0.0:{PORT}\"\n\
             jetstream {{ store_dir: \"FOLDER/store\", max_memory_store: 64MB, max_file_store: 256MB }}\n{rest}\n"
        );
        scratch.write("nats.conf", text.replace("FOLDER", &scratch.path().display().to_string()));
        let process = launch(&host, &scratch);
        let mut server = Self { host, process, scratch };
        server.wait();
        server
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.signal("KILL");
        wait_until("the server is dead", || !self.process.is_running());
    }

    /// Starts it again, with what it had stored.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(&self.host, &self.scratch);
        self.wait();
    }

    fn wait(&mut self) {
        self.process.wait_until_ready(|server| server.output().contains("Server is ready"));
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}:{PORT}", self.host.v4)
    }
}

fn launch(host: &Host, scratch: &Scratch) -> Process {
    let mut command = host.command("nats-server");
    command.arg("-c").arg(scratch.join("nats.conf"));
    Process::start("nats-server", command, scratch.join("nats.out"))
}

/// A site: an eximrbld with a table of its own.
pub(crate) struct Site {
    pub(crate) host: Host,
    process: Option<Process>,
    pub(crate) scratch: Scratch,
    pub(crate) name: &'static str,
}

impl Site {
    /// Sets one up, without starting it. `nats` are further lines of its `[nats]`; `FOLDER` in them
    /// stands for its folder.
    pub(crate) fn new(host: Host, name: &'static str, nats: &str) -> Self {
        let scratch = Scratch::new(name);
        let state = scratch.join("state");
        std::fs::create_dir(&state).unwrap();
        set_mode(&state, 0o755);
        run(std::process::Command::new("chown").arg("nobody").arg(&state));
        let text = format!(
            "version = 1\n[table]\npath = \"FOLDER/state/table\"\nslots = 65536\n[control]\n\
             socket = \"FOLDER/state/control\"\n\
             [dns]\nlisten = [\"0.0.0.0:53\"]\nworkers = 1\nuser = \"nobody\"\n[[zone]]\nname = \"rbl.example.org\"\n\
             [nats]\nsite = \"{name}\"\n{nats}\n"
        );
        scratch
            .write("eximrbl.toml", text.replace("FOLDER", &scratch.path().display().to_string()));
        Self { host, process: None, scratch, name }
    }

    /// One that runs.
    pub(crate) fn start(host: Host, name: &'static str, nats: &str) -> Self {
        let mut site = Self::new(host, name, nats);
        site.go();
        site
    }

    /// Starts it, or starts it again, and waits until it serves.
    pub(crate) fn go(&mut self) {
        let mut command = self.host.command(artifact("eximrbld"));
        command.arg("--config").arg(self.scratch.join("eximrbl.toml"));
        let mut process = Process::start(self.name, command, self.scratch.join("eximrbld.out"));
        process.wait_until_ready(|daemon| daemon.output().contains("INFO ready"));
        self.process = Some(process);
    }

    /// Writes a file into its folder that the daemon alone may read; whole, or not at all.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        let aside = self.scratch.write("aside", text);
        set_mode(&aside, 0o600);
        run(std::process::Command::new("chown").arg("nobody").arg(&aside));
        std::fs::rename(aside, self.scratch.join(name)).unwrap();
    }

    /// Waits until the log has a text.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        wait_long(&format!("{} says {text:?}:\n{}", self.name, self.log()), || {
            self.log().contains(text)
        });
    }

    /// What `eximrbl info --daemon` says of its exchange.
    pub(crate) fn standing(&self) -> serde_json::Value {
        let control = self.scratch.join("state/control");
        let arguments = format!("--json info --daemon --control {}", control.display());
        let text = tool_text(&self.table(), &arguments);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["nats"].clone()
    }

    /// Whether it has a connection to a server.
    pub(crate) fn is_connected(&self) -> bool {
        let mut command = self.host.command("ss");
        let port = format!(":{PORT}");
        !run(command.args(["-Htn", "state", "established", "dport", "=", &port])).is_empty()
    }

    /// What the daemon has logged since it was started last.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map_or(String::new(), Process::output)
    }

    /// Ends it as the system does.
    pub(crate) fn stop(&mut self) {
        self.process.take().unwrap().stop();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let process = self.process.as_mut().unwrap();
        process.signal("KILL");
        wait_until("the daemon is dead", || !process.is_running());
        self.process = None;
    }

    pub(crate) fn table(&self) -> PathBuf {
        self.scratch.join("state/table")
    }

    /// Opens its table as Exim's library does.
    pub(crate) fn writable(&self) -> WritableTable {
        WritableTable::open(&self.table()).unwrap()
    }

    /// A rejection, as Exim's library records it.
    pub(crate) fn reject(&self, client: Ipv4Addr, weight: u32) {
        reject(&self.writable(), client, weight);
    }

    pub(crate) fn white(&self, client: Ipv4Addr, seconds: u32) {
        let network = eximrbl_table::Network::host(client.into());
        self.writable().white(network, Some(seconds), LOCAL, now()).unwrap();
    }

    pub(crate) fn forgive(&self, client: Ipv4Addr) {
        let network = eximrbl_table::Network::host(client.into());
        assert!(self.writable().forgive(network, LOCAL, now()).unwrap(), "nothing to forgive");
    }

    /// What its table has about a client.
    pub(crate) fn entry(&self, client: Ipv4Addr) -> Option<Entry> {
        let table = Table::open(&self.table()).unwrap();
        table.entry(eximrbl_table::Network::host(client.into()), now())
    }

    /// How often a client was rejected; 0 when it is not listed.
    pub(crate) fn count(&self, client: Ipv4Addr) -> u32 {
        self.entry(client).filter(|entry| !entry.white).map_or(0, |entry| entry.count)
    }

    pub(crate) fn is_white(&self, client: Ipv4Addr) -> bool {
        self.entry(client).is_some_and(|entry| entry.white)
    }

    /// Who reported a client.
    pub(crate) fn reporters(&self, client: Ipv4Addr) -> Vec<String> {
        let bits = self.entry(client).map_or(0, |entry| entry.reporters);
        let table = Table::open(&self.table()).unwrap();
        let mut names: Vec<_> = table.reporters().of(bits).map(str::to_owned).collect();
        names.sort_unstable();
        names
    }
}

/// Records a rejection.
pub(crate) fn reject(table: &WritableTable, client: Ipv4Addr, weight: u32) {
    let network = eximrbl_table::Network::host(client.into());
    let reason = table.reason(Name::new(b"rcpt").unwrap(), false);
    let reason = if reason == 0 { REJECT_BIT } else { reason };
    let report = Report { network, reason, reporter: LOCAL, weight: Some(weight), seconds: None };
    table.record(&report, now()).unwrap();
}

/// Waits until all sites say of a client that it was rejected so often.
#[track_caller]
pub(crate) fn agree(sites: &[&Site], client: Ipv4Addr, count: u32) {
    for site in sites {
        let name = site.name;
        let deadline = Instant::now() + ELECTIONS;
        while site.count(client) != count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if site.count(client) != count {
            let logs: Vec<_> = sites.iter().map(|s| format!("{}:\n{}", s.name, s.log())).collect();
            panic!(
                "{name} counts {} of {client}, not {count}\n{}",
                site.count(client),
                logs.join("\n")
            );
        }
    }
}

/// Waits until every site has made what all have told so far: what each tells last is everywhere.
/// `round` must be another one each time.
#[track_caller]
pub(crate) fn settle(sites: &[&Site], round: u8) {
    for (index, site) in sites.iter().enumerate() {
        site.reject(Ipv4Addr::new(203, 0, 113, round * 10 + index as u8), 1);
    }
    for index in 0..sites.len() {
        agree(sites, Ipv4Addr::new(203, 0, 113, round * 10 + index as u8), 1);
    }
}

/// A network with one server in it.
pub(crate) fn one_server() -> (Lan, Server) {
    let lan = Lan::new();
    let server = Server::start(lan.host("nats", 2), "n1", "", &[]);
    (lan, server)
}

/// Pulls a host's cable, or puts it back.
pub(crate) fn set_cable(lan: &Lan, number: u8, is_in: bool) {
    let state = if is_in { "up" } else { "down" };
    lan.internet().ip(&format!("link set port{number} {state}"));
}

/// Runs openssl, in a folder.
pub(crate) fn openssl(scratch: &Scratch, arguments: &str) {
    let mut command = std::process::Command::new("openssl");
    run(command.args(arguments.split(' ')).current_dir(scratch.path()));
}
