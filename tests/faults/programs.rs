//! The daemon and the tool, where a fault concerns them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::{artifact, finished, tool};
use crate::stage::{Stage, wait_until};

/// What a program that ran to its end left: exit status, standard output, standard error.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs the tool on a table, with arguments as one would type them.
pub(crate) fn run_tool(table: &Path, arguments: &str) -> Ended {
    run(tool(table).args(arguments.split(' ')))
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = finished(command);
    Ended {
        status: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The daemon's command: a small table in the stage's place, one zone, served as `nobody`.
pub(crate) fn daemon_command(stage: &Stage, table: &Path) -> Command {
    let configuration = stage.path("eximrbl.toml");
    let text = format!(
        "version = 1\n[table]\npath = {table:?}\nslots = 1024\n[control]\nsocket = \"\"\n[dns]\nlisten = [\"127.0.0.1:0\"]\n\
         user = \"nobody\"\n[[zone]]\nname = \"rbl.example\"\n"
    );
    fs::write(&configuration, text).unwrap();
    let mut command = Command::new(artifact("eximrbld"));
    command.arg("--config").arg(configuration);
    command.env_remove("NOTIFY_SOCKET").env_remove("RUST_LOG");
    command
}

/// Starts a daemon that must not start; what it wrote. It is killed after a minute.
#[track_caller]
pub(crate) fn daemon_fails(stage: &Stage, table: &Path) -> String {
    let daemon = daemon_command(stage, table);
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "60"]).arg(daemon.get_program()).args(daemon.get_args());
    let ended = run(&mut command);
    let text = ended.output + &ended.errors;
    assert_eq!(ended.status, Some(1), "{text}");
    text
}

/// A running eximrbld; killed at the end, whatever happens.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    address: SocketAddr,
}

impl Daemon {
    /// Starts it on the stage's table and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(stage: &Stage) -> Self {
        Self::start_on(stage, &stage.table_path())
    }

    /// The same with a log that tells of sweeps, for [`Self::after_a_sweep`].
    #[track_caller]
    pub(crate) fn start_talkative(stage: &Stage) -> Self {
        let mut command = daemon_command(stage, &stage.table_path());
        command.args(["--log", "debug"]);
        Self::run(command)
    }

    /// The same with its table elsewhere.
    #[track_caller]
    pub(crate) fn start_on(stage: &Stage, table: &Path) -> Self {
        Self::run(daemon_command(stage, table))
    }

    #[track_caller]
    fn run(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut daemon = Self { child, log, address: ([0, 0, 0, 0], 0).into() };
        daemon.wait_for("INFO ready");
        let log = daemon.log();
        let listening = log.split("listening on ").nth(1).unwrap();
        daemon.address = listening.split(',').next().unwrap().trim().parse().unwrap();
        daemon
    }

    /// All log lines so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a log line holds `text`.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(&format!("the daemon said {text:?}:\n{}", self.log()), || {
            self.log().contains(text)
        });
    }

    /// Waits until a sweep is over: for seconds from now on, the daemon reads no page of the table by
    /// itself before it has looked at the file.
    #[track_caller]
    pub(crate) fn after_a_sweep(&self) {
        let swept = || self.log().matches("DEBUG swept").count();
        let before = swept();
        wait_until("the daemon has swept the table", || swept() > before);
    }

    /// Whether it answers that an IPv4 client is listed; `None` when it does not answer.
    pub(crate) fn lists(&self, client: &str) -> Option<bool> {
        let reversed: Vec<&str> = client.rsplit('.').collect();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let query = query(&format!("{}.rbl.example", reversed.join(".")));
        socket.send_to(&query, self.address).unwrap();
        let mut answer = [0; 1500];
        let length = loop {
            match socket.recv(&mut answer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                received => break received.ok()?,
            }
        };
        assert!(length > 12 && answer[..2] == query[..2], "not an answer to the query");
        // The number of answer records (RFC 1035 section 4.1.1).
        Some(answer[6..8] != [0, 0])
    }

    /// How it ended, once it has.
    pub(crate) fn has_ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- eximrbld wrote:\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A query for the A records of a name (RFC 1035 section 4.1).
fn query(name: &str) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    packet
}
