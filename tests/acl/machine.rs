//! A mail server with Debian's paths, of which nothing is on the machine itself.
//!
//! Every program of it runs in the host's network namespace and in a mount namespace (which `ip
//! netns exec` makes for it) where the test's folders lie upon the system's. So `/etc/exim4` and
//! `/var/lib/eximrbl/table` are the test's, and Exim is started as the system starts it.
//!
//! `EXIMRBL_EXIM` names another Exim to run the tests with, such as a newer one built with Debian's
//! paths.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eximrbl_table::{CreateOptions, Entry, Table, WritableTable, now};

use crate::document;
use crate::harness::{Host, Lan, Process, Scratch, Smtp, library, listens, run, wait_until};

/// The folders that are laid upon the system's: name in the scratch folder, and place.
const FOLDERS: [(&str, &str); 6] = [
    ("etc", "/etc/exim4"),
    ("usr-lib", "/usr/lib/exim4"),
    ("var-lib", "/var/lib"),
    ("log", "/var/log/exim4"),
    ("spool", "/var/spool/exim4"),
    ("srv", "/srv"),
];

/// Mounts pairs of paths until `--`, then becomes the program that follows.
const MOUNT_AND_RUN: &str = "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\" || exit 99; shift 2; done; shift; exec \"$@\"";

/// A mail server; its Exim ends with it.
#[derive(Debug)]
pub struct Machine {
    exim: Option<Process>,
    host: Host,
    scratch: Scratch,
    /// Further mounts: what, and where.
    mounts: Vec<(PathBuf, PathBuf)>,
    /// Where the table at the installed place really is.
    table: PathBuf,
}

impl Machine {
    /// A server at 198.51.100.`number`, with the library, an empty table and the functions of
    /// examples/exim; no Exim runs yet.
    pub fn new(lan: &Lan, what: &str, number: u8) -> Self {
        let scratch = Scratch::new(what);
        for (name, _) in FOLDERS {
            std::fs::create_dir(scratch.join(name)).unwrap();
        }
        let etc = scratch.join("etc");
        run(Command::new("cp").args(["-a", "/etc/exim4/."]).arg(&etc));
        // A configuration of the machine's own must not come before the test's.
        let _ = std::fs::remove_file(etc.join("exim4.conf"));
        let _ = std::fs::remove_file(etc.join("exim4.conf.localmacros"));
        std::fs::create_dir_all(scratch.join("var-lib/exim4")).unwrap();
        std::fs::create_dir_all(scratch.join("var-lib/eximrbl")).unwrap();
        let owned = ["spool", "log"].map(|name| scratch.join(name));
        run(Command::new("chown").arg("Debian-exim:Debian-exim").args(owned));
        let table = scratch.join("var-lib/eximrbl/table");
        let host = lan.host(what, number);
        let mut machine = Self { exim: None, host, scratch, mounts: Vec::new(), table };
        if let Some(exim) = std::env::var_os("EXIMRBL_EXIM") {
            machine.mount(Path::new(&exim), "/usr/sbin/exim4");
        }
        for name in ["eximrbl.acls", "wrappers.acls"] {
            machine.write(&format!("/etc/exim4/{name}"), &document::example(name));
        }
        machine.install_library();
        machine.create_table();
        machine
    }

    /// Where a path of the server's really is.
    pub fn real(&self, path: &str) -> PathBuf {
        let found = FOLDERS.iter().find_map(|(name, place)| {
            let rest = path.strip_prefix(place)?;
            Some(self.scratch.join(name).join(rest.trim_start_matches('/')))
        });
        found.unwrap_or_else(|| panic!("{path} is in none of the test's folders"))
    }

    /// Writes a file of the server's.
    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.real(path), text).unwrap();
        run(Command::new("chmod").arg("0644").arg(self.real(path)));
    }

    /// The text of a file of the server's; empty if there is none.
    pub fn read(&self, path: &str) -> String {
        std::fs::read(self.real(path))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Lays a file or folder of the machine's upon a path of the server's.
    pub fn mount(&mut self, what: &Path, place: &str) {
        self.mounts.push((what.to_owned(), place.into()));
    }

    /// Takes the last such mount away, for programs started from now on.
    pub fn unmount(&mut self, place: &str) {
        let last = self.mounts.iter().rposition(|(_, at)| at == Path::new(place));
        self.mounts.remove(last.expect("something was mounted there"));
    }

    /// Puts the built library into its installed place.
    pub fn install_library(&self) {
        // The name is taken away first: processes may have the old file mapped.
        let place = self.real("/usr/lib/exim4/eximrbl.so");
        let _ = std::fs::remove_file(&place);
        std::fs::copy(library(), place).unwrap();
    }

    /// Makes an empty table at the installed place, instead of the one that is there.
    pub fn create_table(&self) {
        self.create_table_at("/var/lib/eximrbl/table");
    }

    /// The same at another path of the server's.
    pub fn create_table_at(&self, path: &str) {
        let real = self.real(path);
        let _ = std::fs::remove_file(&real);
        let options = CreateOptions { slots: 1024, ..CreateOptions::default() };
        WritableTable::create(&real, &options).unwrap();
        run(Command::new("chown").arg("root:Debian-exim").arg(&real));
    }

    /// Lets the table at the installed place be this one, a daemon's.
    pub fn use_table(&mut self, table: PathBuf) {
        let folder = table.parent().expect("a table is in a folder").to_owned();
        run(Command::new("chgrp").arg("Debian-exim").arg(&table));
        std::fs::write(self.real("/var/lib/eximrbl/table"), "").unwrap();
        self.mount(&folder, "/var/lib/eximrbl");
        self.table = table;
    }

    /// The table at the installed place, for changes by hand.
    pub fn table(&self) -> WritableTable {
        WritableTable::open(&self.table).unwrap()
    }

    /// The entry of a client, if there is one.
    pub fn entry(&self, client: IpAddr) -> Option<Entry> {
        entry_in(&self.table, client)
    }

    /// How often the client was recorded, and why: `6 data,rcpt`, or `0`.
    pub fn recorded(&self, client: IpAddr) -> String {
        recorded_in(&self.table, client)
    }

    /// The same in the table at another path of the server's.
    pub fn recorded_at(&self, path: &str, client: IpAddr) -> String {
        recorded_in(&self.real(path), client)
    }

    /// A command that runs on the server.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.host.command("sh");
        command.args(["-c", MOUNT_AND_RUN, "sh"]);
        for (name, place) in FOLDERS {
            command.arg(self.scratch.join(name)).arg(place);
        }
        for (what, place) in &self.mounts {
            command.arg(what).arg(place);
        }
        command.arg("--").arg(program);
        command
    }

    /// Starts Exim with the configuration that it finds, as the system does.
    #[track_caller]
    pub fn start(&mut self) {
        self.stop();
        let logs = self.scratch.join("log");
        for log in std::fs::read_dir(logs).unwrap().flatten() {
            std::fs::remove_file(log.path()).unwrap();
        }
        let mut command = self.command("exim4");
        command.args(["-bdf", "-oX", "25"]);
        let mut process = Process::start("exim4", command, self.scratch.join("exim.out"));
        let host = &self.host;
        process.wait_until_ready(|_| listens(host, 25));
        self.exim = Some(process);
    }

    /// Starts Exim with this configuration file.
    #[track_caller]
    pub fn start_with(&mut self, configuration: &str) {
        self.write("/etc/exim4/exim4.conf", configuration);
        self.start();
    }

    /// Ends Exim, if it runs.
    pub fn stop(&mut self) {
        self.exim = None;
    }

    /// The process number of Exim's daemon.
    pub fn exim_id(&self) -> u32 {
        self.exim.as_ref().expect("Exim was started").id()
    }

    /// Lets Exim's daemon execute itself anew (SIGHUP), and waits until it has.
    #[track_caller]
    pub fn reload(&self) {
        let starts = || self.log("main").matches("daemon started").count();
        let before = starts();
        self.exim.as_ref().expect("Exim was started").signal("HUP");
        wait_until("Exim started again", || starts() > before);
        wait_until("Exim listens again", || listens(&self.host, 25));
    }

    /// Waits until Exim's processes for connections have ended: some write their last log lines after
    /// the client has seen the end.
    #[track_caller]
    pub fn settle(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.exim_id());
        // One that has ended may stay in the list until the daemon looks.
        let works = |id: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
        };
        // The kernel may leave one out while another one ends.
        let none_works =
            || !std::fs::read_to_string(&children).unwrap().split_whitespace().any(works);
        wait_until("Exim's processes for connections have ended", || none_works() && none_works());
    }

    /// A connection from a client; it is tried for a while, for a reloaded daemon may be slow.
    #[track_caller]
    pub fn dial(&self, lan: &Lan, client: IpAddr) -> Smtp {
        Smtp::connect(lan.internet(), client, SocketAddr::new(self.host.v4.into(), 25))
    }

    /// One of the logs by its name (`main`, `reject`, `panic`).
    pub fn log(&self, name: &str) -> String {
        self.read(&format!("/var/log/exim4/{name}log"))
    }

    /// The mail that was delivered, all in one.
    pub fn mailbox(&self) -> String {
        self.read("/var/spool/exim4/mailbox")
    }

    /// Lets its programs ask this resolver.
    pub fn ask(&self, resolver: IpAddr) {
        self.host.set_resolver(resolver);
    }

    /// The network that it stands in.
    pub fn host(&self) -> &Host {
        &self.host
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["main", "panic"] {
                eprintln!("--- {name} log:\n{}", self.log(name));
            }
        }
        self.stop();
        // Deliveries that are still on their way write into the spool.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The entry of a client in a table.
fn entry_in(table: &Path, client: IpAddr) -> Option<Entry> {
    let table = Table::open(table).unwrap();
    table.entry(table.client_network(client), now())
}

/// What [`Machine::recorded`] says, of a table.
fn recorded_in(table: &Path, client: IpAddr) -> String {
    let Some(entry) = entry_in(table, client) else { return "0".to_owned() };
    let names = Table::open(table).unwrap().reasons();
    let mut reasons: Vec<&str> = names.of(entry.reasons).collect();
    reasons.sort_unstable();
    format!("{} {}", entry.count, reasons.join(","))
}
