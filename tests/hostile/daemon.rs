//! The daemon on damaged tables: it refuses them with a reason, or serves.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cases;
use crate::dns::{A, SOA, TXT, ask, name_of};
use crate::guard::guard;
use crate::harness::{Process, Scratch, artifact, set_mode};
use crate::image::{LISTED, OTHERS};
use crate::is_torture;

/// Response codes (RFC 1035 section 4.1.1).
const NO_ERROR: u8 = 0;
const NX_DOMAIN: u8 = 3;

/// How long it may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Every eighth case, or every one: the daemon ends with status 1 and an error, or answers.
///
/// Caught: a number of never-ranges that is not clamped (an internal error in the log).
#[test]
fn every_damage_is_survived_at_a_start() {
    let place = Place::new();
    let (mut refused, mut served) = (0, 0);
    for case in cases::all().iter().step_by(if is_torture() { 1 } else { 8 }) {
        case.lay_down(&place.table());
        match Daemon::start(&place) {
            Ok(mut daemon) => {
                daemon.answers(&case.name);
                daemon.ends_well(&case.name);
                served += 1;
            }
            Err((status, log)) => {
                assert_eq!(status, Some(1), "{}:\n{log}", case.name);
                assert!(
                    log.contains("ERROR") && !log.contains("internal"),
                    "{}:\n{log}",
                    case.name
                );
                refused += 1;
            }
        }
    }
    eprintln!("{} damaged tables at a start of the daemon, {refused} refused", refused + served);
    assert!(refused > 10 && served > 10);
}

/// A daemon that runs takes every damage that can be done in place, one after the other.
///
/// Caught: a number of never-ranges that is not clamped.
#[test]
fn every_damage_is_survived_while_it_serves() {
    let place = Place::new();
    let sound = &cases::all()[0];
    sound.lay_down(&place.table());
    let mut daemon = Daemon::start(&place).unwrap();
    daemon.answers("nothing");
    assert!(place.scratch.join("mark").exists(), "it is guarded");
    let mut count = 0;
    for case in cases::all().iter().filter(|case| case.length.is_none()) {
        case.scribble(&place.table());
        daemon.answers(&case.name);
        case.heal(&place.table());
        count += 1;
    }
    // What the keeper does every few seconds, it has done in between, or does now.
    eprintln!("{count} tables damaged under the running daemon");
    daemon.ends_well("all of them");
}

/// A folder where the daemon may make files when it has become `nobody`.
pub(crate) struct Place {
    scratch: Scratch,
}

impl Place {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new("daemon");
        set_mode(scratch.path(), 0o777);
        let config = format!(
            "version = 1\n[table]\npath = {:?}\nslots = 64\n[policy]\nthreshold = 2\n\
             [control]\nsocket = \"\"\n[dns]\nlisten = [\"127.0.0.1:0\"]\nuser = \"nobody\"\n\
             [[zone]]\nname = \"rbl.example\"\ncodes = {{ auth = 4 }}\n\
             [[zone]]\nname = \"wl.example\"\nlist = \"white\"\n",
            scratch.join("table")
        );
        scratch.write("eximrbl.toml", config);
        Self { scratch }
    }

    pub(crate) fn table(&self) -> std::path::PathBuf {
        self.scratch.join("table")
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    process: Process,
    address: SocketAddr,
}

impl Daemon {
    /// Starts it; its exit status and its log if it refuses.
    pub(crate) fn start(place: &Place) -> Result<Self, (Option<i32>, String)> {
        let mut command = Command::new(artifact("eximrbld"));
        command.arg("--config").arg(place.scratch.join("eximrbl.toml"));
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        guard(&mut command, &place.scratch.join("mark"));
        let mut process = Process::start("eximrbld", command, place.scratch.join("log"));
        let start = Instant::now();
        loop {
            let is_running = process.is_running();
            let log = process.output();
            if !is_running {
                return Err((process.stop().code(), log));
            }
            if log.contains("INFO ready") {
                let rest = log.split("listening on ").nth(1).unwrap();
                let address = rest.split([',', '\n']).next().unwrap().trim().parse().unwrap();
                return Ok(Self { process, address });
            }
            assert!(start.elapsed() < PATIENCE, "neither ready nor ended:\n{log}");
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Every question is answered, and not with a failure. The test address is listed whatever
    /// the table says.
    pub(crate) fn answers(&self, name: &str) {
        let asked = |question: &str, kind| {
            let answer = ask(self.address, question, kind);
            answer.unwrap_or_else(|error| {
                panic!("{name}: no answer: {error}\n{}", self.process.output())
            })
        };
        assert_eq!(asked("2.0.0.127.rbl.example", A), (NO_ERROR, 1), "{name}");
        assert_eq!(asked("rbl.example", SOA), (NO_ERROR, 1), "{name}");
        for (i, client) in LISTED.into_iter().chain(OTHERS).enumerate() {
            let zone = ["rbl.example", "rbl.example", "wl.example"][i % 3];
            let (code, answers) = asked(&name_of(client, zone), [A, TXT][i % 2]);
            let is_listed = code == NO_ERROR && answers > 0;
            assert!(is_listed || code == NX_DOMAIN && answers == 0, "{name}: {client}: {code}");
        }
    }

    /// SIGTERM ends it with status 0, and no panic had to be caught.
    pub(crate) fn ends_well(&mut self, name: &str) {
        let status = self.process.stop();
        let log = self.process.output();
        assert_eq!(status.code(), Some(0), "{name}:\n{log}");
        assert!(!log.contains("internal error"), "{name}:\n{log}");
    }
}
