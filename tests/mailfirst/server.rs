//! An Exim with Debian's paths in a network of its own, under limits or another clock if wanted.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use eximrbl_table::{CreateOptions, WritableTable};

use crate::configuration::LIBRARY;
use crate::harness::{Clock, Host, Lan, Process, Scratch, Smtp, library, listens, run, text_of};
use crate::harness::{set_mode, wait_until};

/// The folders that are laid upon the system's: name in the scratch folder, and place.
const FOLDERS: [(&str, &str); 5] = [
    ("etc", "/etc/exim4"),
    ("usr-lib", "/usr/lib/exim4"),
    ("var-lib", "/var/lib"),
    ("log", "/var/log/exim4"),
    ("spool", "/var/spool/exim4"),
];

/// Mounts pairs of paths until `--`, then becomes the program that follows.
const MOUNT_AND_RUN: &str = "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\" || exit 99; \
                             shift 2; done; shift; exec \"$@\"";

/// What the server's Exim is started with, beside its configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances<'a> {
    /// Words in front of its command line, such as `prlimit --nofile=20`.
    pub wrapper: &'a [String],
    /// Its time.
    pub clock: Option<&'a Clock>,
}

/// What was written to Exim's logs.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// Lines of the main log.
    pub main: String,
    /// Lines of the reject log.
    pub reject: String,
    /// Lines of the panic log.
    pub panic: String,
}

/// A mail server; its Exim ends with it.
#[derive(Debug)]
pub struct Server {
    exim: Option<Process>,
    host: Host,
    scratch: Scratch,
    /// How much of each log was taken already.
    taken: [usize; 3],
}

impl Server {
    /// A server at 198.51.100.`number` with the library and no table; no Exim runs yet.
    pub fn new(lan: &Lan, number: u8) -> Self {
        let scratch = Scratch::new("mailfirst");
        for (name, _) in FOLDERS {
            std::fs::create_dir(scratch.join(name)).unwrap();
            set_mode(&scratch.join(name), 0o755);
        }
        std::fs::create_dir(scratch.join("var-lib/eximrbl")).unwrap();
        let owned = ["spool", "log"].map(|name| scratch.join(name));
        run(Command::new("chown").arg("Debian-exim:Debian-exim").args(owned));
        let server = Self { exim: None, host: lan.host("mx", number), scratch, taken: [0; 3] };
        std::fs::copy(library(), server.real(LIBRARY)).unwrap();
        server
    }

    /// Where a path of the server's really is.
    pub fn real(&self, path: &str) -> PathBuf {
        let found = FOLDERS.iter().find_map(|(name, place)| {
            let rest = path.strip_prefix(place)?;
            Some(self.scratch.join(name).join(rest.trim_start_matches('/')))
        });
        found.unwrap_or_else(|| panic!("{path} is in none of the test's folders"))
    }

    /// Where the table of the installed place really is.
    pub fn table(&self) -> PathBuf {
        self.real(eximrbl_table::DEFAULT_PATH)
    }

    /// Lets another folder, a daemon's, be the one of the table.
    pub fn use_folder_of(&self, table: &Path) {
        let folder = self.scratch.join("var-lib/eximrbl");
        std::fs::remove_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(table.parent().unwrap(), folder).unwrap();
    }

    /// A command that runs on the server.
    fn command(&self) -> Command {
        let mut command = self.host.command("sh");
        command.args(["-c", MOUNT_AND_RUN, "sh"]);
        for (name, place) in FOLDERS {
            command.arg(self.scratch.join(name)).arg(place);
        }
        command.arg("--");
        command
    }

    /// A command line that runs Exim on the server, waiting for its arguments.
    pub fn exim_command(&self) -> Command {
        let mut command = self.command();
        command.arg("exim4");
        command
    }

    /// Starts Exim with this configuration, instead of the one that runs.
    #[track_caller]
    pub fn start(&mut self, configuration: &str, circumstances: Circumstances<'_>) {
        self.exim = None;
        std::fs::write(self.real("/etc/exim4/exim4.conf"), configuration).unwrap();
        for name in ["mainlog", "rejectlog", "paniclog"] {
            let _ = std::fs::remove_file(self.scratch.join("log").join(name));
        }
        self.taken = [0; 3];
        let mut command = self.command();
        command.args(circumstances.wrapper).args(["exim4", "-bdf", "-oX", "25"]);
        if let Some(clock) = circumstances.clock {
            clock.rule(&mut command);
        }
        let mut process = Process::start("exim4", command, self.scratch.join("exim.out"));
        process.wait_until_ready(|_| self.main_log().contains("daemon started"));
        process.wait_until_ready(|_| listens(&self.host, 25));
        self.exim = Some(process);
        self.take_logs();
    }

    /// Ends Exim.
    pub fn stop(&mut self) {
        self.exim = None;
    }

    /// Exim's daemon.
    pub fn exim(&self) -> &Process {
        self.exim.as_ref().expect("Exim was started")
    }

    /// The host that it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Where it takes mail from clients of this address's family.
    pub fn address(&self, client: IpAddr) -> SocketAddr {
        match client {
            IpAddr::V4(_) => SocketAddr::new(self.host.v4.into(), 25),
            IpAddr::V6(_) => SocketAddr::new(self.host.v6.into(), 25),
        }
    }

    /// A connection from a client.
    #[track_caller]
    pub fn dial(&self, lan: &Lan, client: IpAddr) -> Smtp {
        Smtp::connect(lan.internet(), client, self.address(client))
    }

    /// Waits until Exim's processes for connections have ended: some write their last log lines
    /// after the client has seen the end.
    #[track_caller]
    pub fn settle(&self) {
        let children = format!("/proc/{0}/task/{0}/children", self.exim().id());
        // One that has ended may stay in the list until the daemon looks.
        let works = |id: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
        };
        // The kernel may leave one out while another one ends.
        let none_works = || {
            let children = std::fs::read_to_string(&children).unwrap_or_default();
            !children.split_whitespace().any(works)
        };
        wait_until("Exim's processes for connections have ended", || none_works() && none_works());
    }

    /// The whole main log so far.
    pub fn main_log(&self) -> String {
        text_of(&self.real("/var/log/exim4/mainlog"))
    }

    /// What Exim wrote to its logs since the last time.
    pub fn take_logs(&mut self) -> Logs {
        let mut texts = ["mainlog", "rejectlog", "paniclog"]
            .map(|name| text_of(&self.scratch.join("log").join(name)));
        for (text, taken) in texts.iter_mut().zip(&mut self.taken) {
            let new = text.split_off((*taken).min(text.len()));
            *taken += new.len();
            *text = new;
        }
        let [main, reject, panic] = texts;
        Logs { main, reject, panic }
    }

    /// Makes an empty table of so many slots, instead of whatever is in its place.
    pub fn create_table(&self, slots: u64) {
        self.clear();
        let options = CreateOptions { slots, ..CreateOptions::default() };
        WritableTable::create(&self.table(), &options).unwrap();
        run(Command::new("chown").arg("root:Debian-exim").arg(self.table()));
    }

    /// Takes away whatever is in the table's place, folder included, and makes the folder anew.
    pub fn clear(&self) {
        let folder = self.scratch.join("var-lib/eximrbl");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o755);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() && self.exim.is_some() {
            for name in ["mainlog", "paniclog"] {
                let text = text_of(&self.scratch.join("log").join(name));
                let lines: Vec<&str> = text.lines().collect();
                let last = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
                eprintln!("--- {name}, its end:\n{}", last.join("\n"));
            }
        }
    }
}
