//! Starts the real daemon, and speaks DNS to it in raw packets.
// Every test program uses a part of this.
#![allow(dead_code, unused_imports)]

mod opt;
mod packet;
mod reporting;
mod statistics;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eximrbl_table::{Name, Network, Report, WritableTable, dictionary, now};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, geteuid};

pub(crate) use opt::*;
pub(crate) use packet::{Response, query, question};
pub(crate) use reporting::*;
pub(crate) use statistics::{Statistics, ask_control, control_section};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long silence must last to count.
pub(crate) const SILENCE: Duration = Duration::from_millis(300);

/// A directory that the daemon can use when it has become `nobody`.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn table(&self) -> PathBuf {
        self.path("table")
    }

    /// Writes a configuration: the head that all tests share, then `rest`. Without `[control]` there
    /// is no control socket, for its default place is one that only one daemon can have.
    pub(crate) fn configure(&self, rest: &str) -> PathBuf {
        let path = self.path("eximrbl.toml");
        let no_control = "[control]\nsocket = \"\"\n";
        let control = if rest.contains("[control]") { "" } else { no_control };
        let head = format!(
            "version = 1\n[table]\npath = {:?}\nslots = 4096\n{control}[dns]\nlisten = [\"127.0.0.1:0\"]\n\
             user = \"nobody\"\n",
            self.table()
        );
        fs::write(&path, head + rest).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        path
    }
}

/// One zone, `rbl.example`, with nothing special.
pub(crate) const PLAIN: &str = "[[zone]]\nname = \"rbl.example\"\n";

/// A running daemon; killed at the end of the test, whatever happens.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Mutex<String>>,
    reading: Arc<AtomicBool>,
    pub(crate) address: SocketAddr,
}

impl Daemon {
    /// Starts the daemon with a configuration file and waits until it is ready.
    pub(crate) fn start(place: &Place, rest: &str) -> Self {
        let config = place.configure(rest);
        Self::run(&["--config", config.to_str().unwrap()])
    }

    /// Starts the daemon with these arguments and waits until it is ready.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        Self::run_command(command(arguments))
    }

    pub(crate) fn run_command(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = log.clone();
        let reading = Arc::new(AtomicBool::new(true));
        let reads = reading.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if !reads.load(Ordering::Relaxed) {
                    return;
                }
                let mut log = lines.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut daemon = Self { child, log, reading, address: ([0, 0, 0, 0], 0).into() };
        daemon.wait_for("INFO ready");
        let log = daemon.log();
        let listening = log.split("listening on ").nth(1).unwrap();
        daemon.address = listening.split(',').next().unwrap().parse().unwrap();
        daemon
    }

    /// All log lines so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a log line holds `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(|| self.log().contains(text), || format!("no {text:?} in:\n{}", self.log()));
    }

    /// Closes the log's reading end, at the next line.
    pub(crate) fn stop_reading(&mut self) {
        self.reading.store(false, Ordering::Relaxed);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Stops it, and waits until none of its threads does anything more: the signal comes to one of
    /// them, which tells the others when it gets a processor.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let flags = WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG;
        let is_stopped =
            || matches!(waitpid(self.pid(), Some(flags)).unwrap(), WaitStatus::Stopped(..));
        wait_until(is_stopped, || "the daemon goes on".to_owned());
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(
            || {
                status = self.child.try_wait().unwrap();
                status.is_some()
            },
            || "the daemon goes on".to_owned(),
        );
        status.unwrap()
    }

    /// Sends a packet by UDP; `None` when no response comes for a long time.
    pub(crate) fn exchange(&self, packet: &[u8]) -> Option<Response> {
        receive(&self.send(packet), PATIENCE)
    }

    /// Sends a packet by UDP, and whether nothing comes back: neither before the response to a
    /// query that is sent after it, nor for some time after that.
    pub(crate) fn is_silent(&self, packet: &[u8]) -> bool {
        let socket = self.send(packet);
        let id = 0x7777;
        socket.send(&query(id, "2.0.0.127.rbl.example", 1)).unwrap();
        let first = receive(&socket, PATIENCE).unwrap();
        first.id() == id && receive(&socket, SILENCE).is_none()
    }

    /// Asks by UDP; a response must come.
    pub(crate) fn ask(&self, name: &str, query_type: u16) -> Response {
        receive(&self.send(&query(7, name, query_type)), PATIENCE).expect("no response")
    }

    /// Sends a packet by UDP, from a socket of its own.
    fn send(&self, packet: &[u8]) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.send(packet).unwrap();
        socket
    }

    /// Sends bytes by TCP as they are, and reads so many responses.
    pub(crate) fn exchange_tcp(&self, bytes: &[u8], responses: usize) -> Vec<Response> {
        let mut stream = self.connect_tcp();
        stream.write_all(bytes).unwrap();
        (0..responses).map(|_| read_tcp(&mut stream)).collect()
    }

    pub(crate) fn connect_tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's command; without a file, root becomes `nobody`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eximrbld"));
    command.args(arguments).stdin(Stdio::null());
    command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
    command
}

/// Runs the daemon to its end; its exit status and standard error.
pub(crate) fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = command(arguments).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it runs, though it should fail: {arguments:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

/// Reads one datagram; `None` after a silence.
pub(crate) fn receive(socket: &UdpSocket, patience: Duration) -> Option<Response> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut buffer = [0; 65_535];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => return Some(Response::new(&buffer[..length])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Reads one response from a TCP connection.
pub(crate) fn read_tcp(stream: &mut TcpStream) -> Response {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes).unwrap();
    Response::new(&bytes)
}

/// A packet with its length in front, as TCP wants it (RFC 1035 section 4.2.2).
pub(crate) fn framed(packet: &[u8]) -> Vec<u8> {
    let mut framed = (packet.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(packet);
    framed
}

/// A port that nobody has, of all addresses, by UDP and TCP. Below those that the kernel gives to whoever
/// asks for any, and each process looks elsewhere: so nobody takes it in the next instant.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = std::process::id() as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + first.wrapping_mul(97).wrapping_add(step) % 20_000;
        let is_free = |ip: IpAddr| {
            TcpListener::bind((ip, port)).is_ok() && UdpSocket::bind((ip, port)).is_ok()
        };
        if is_free(Ipv4Addr::UNSPECIFIED.into()) && is_free(Ipv6Addr::UNSPECIFIED.into()) {
            return port;
        }
    }
}

/// Waits until something is so.
pub(crate) fn wait_until(mut so: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < PATIENCE, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Records rejections as the library would.
pub(crate) fn record(table: &Path, client: &str, reason: &str) {
    let table = WritableTable::open(table).unwrap();
    let reason = table.reason(Name::new(reason.as_bytes()).unwrap(), true);
    let network = Network::of_client(client.parse().unwrap(), 64);
    let report =
        Report { network, reason, reporter: dictionary::LOCAL, weight: Some(1), seconds: None };
    table.record(&report, now()).unwrap();
}

/// Whether the tests run as root, and the daemon therefore as `nobody`.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}
