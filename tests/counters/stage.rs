//! A daemon with a control socket, and packets for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Process, Scratch, artifact, finished, run, set_mode, wait_until};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running daemon, with 192.0.2.1 black and 192.0.2.2 white.
pub(crate) struct Stage {
    scratch: Scratch,
    process: Process,
    address: SocketAddr,
}

/// A plain query of class IN.
pub(crate) fn query(name: &str, query_type: u16) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend_from_slice(label.as_bytes());
    }
    packet.push(0);
    packet.extend_from_slice(&query_type.to_be_bytes());
    packet.extend_from_slice(&[0, 1]);
    packet
}

impl Stage {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new("counters");
        set_mode(scratch.path(), 0o777);
        configure(&scratch, &["rbl.example", "wl.example"]);
        let mut command = Command::new(artifact("eximrbld"));
        command.arg("--config").arg(scratch.join("eximrbl.toml"));
        command.env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        let mut process = Process::start("eximrbld", command, scratch.join("log"));
        process.wait_until_ready(|process| process.output().contains("INFO ready"));
        let log = process.output();
        let address = log.split("listening on ").nth(1).unwrap().split(',').next().unwrap();
        let address = address.parse().unwrap();
        let stage = Self { scratch, process, address };
        stage.tool(&["black", "192.0.2.1"]);
        stage.tool(&["white", "192.0.2.2"]);
        stage
    }

    /// Runs the tool on the daemon's table; what it prints.
    fn tool(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(artifact("eximrbl"));
        command.arg("--table").arg(self.scratch.join("table")).args(arguments);
        run(&mut command)
    }

    fn command_info(&self) -> Command {
        let mut command = Command::new(artifact("eximrbl"));
        command.args(["info", "--daemon", "--control"]).arg(self.scratch.join("control"));
        command
    }

    /// What the daemon says about itself.
    pub(crate) fn info(&self) -> Value {
        serde_json::from_str(&run(self.command_info().arg("--json"))).unwrap()
    }

    /// The same, for people.
    pub(crate) fn info_text(&self) -> String {
        run(&mut self.command_info())
    }

    /// The same, once it is so.
    #[track_caller]
    pub(crate) fn info_when(&self, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut info = Value::Null;
        wait_until("the daemon has counted", || {
            let output = finished(self.command_info().arg("--json"));
            info = serde_json::from_slice(&output.stdout).unwrap_or_default();
            is_so(&info)
        });
        info
    }

    /// Serves these zones from now on.
    pub(crate) fn reload(&self, zones: &[&str]) {
        let reloads = || self.process.output().matches("INFO reloaded").count();
        let before = reloads();
        configure(&self.scratch, zones);
        self.process.signal("HUP");
        wait_until("the daemon has reloaded", || reloads() > before);
    }

    /// Sends a packet that gets no answer.
    pub(crate) fn send_udp(&self, packet: &[u8]) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.send(packet).unwrap();
        socket
    }

    /// Sends a packet, and waits for the answer.
    pub(crate) fn ask_udp(&self, packet: &[u8]) {
        let socket = self.send_udp(packet);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(socket.recv(&mut [0; 1500]).unwrap() >= 12);
    }

    /// The same by a connection of its own.
    pub(crate) fn ask_tcp(&self, packet: &[u8]) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = (packet.len() as u16).to_be_bytes();
        stream.write_all(&[&length[..], packet].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).unwrap();
    }
}

/// Writes the configuration.
fn configure(scratch: &Scratch, zones: &[&str]) {
    let zone = |name: &&str| {
        let list = if name.starts_with("wl.") { "white" } else { "black" };
        format!("[[zone]]\nname = \"{name}\"\nlist = \"{list}\"\n")
    };
    let zones: String = zones.iter().map(zone).collect();
    let (table, control) = (scratch.join("table"), scratch.join("control"));
    scratch.write(
        "eximrbl.toml",
        format!(
            "version = 1\n[table]\npath = {table:?}\nslots = 64\n[control]\nsocket = {control:?}\n\
             [dns]\nlisten = [\"127.0.0.1:0\"]\nuser = \"nobody\"\n{zones}"
        ),
    );
}
