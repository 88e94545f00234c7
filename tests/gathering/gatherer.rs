//! The eximrbld that takes reports.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use eximrbl_table::{Table, now};

use crate::harness::{Host, Process, Scratch, artifact, listens, run, set_mode, text_of};

/// The last number of the address that it has in ACL.md, 198.51.100.30.
pub const NUMBER: u8 = 30;
/// The name by which ACL.md knows it.
pub const NAME: &str = "gatherer.example.org";
/// The secret that it shares with the reporter `mx2`.
pub const SECRET: &str = "b2ZmIHRvIHNlZSB0aGUgd2l6YXJk";

/// An eximrbld that takes reports in every way.
#[derive(Debug)]
pub struct Gatherer {
    process: Process,
    scratch: Scratch,
}

impl Gatherer {
    /// Starts it on a host, and waits until it takes reports. It knows the reporter `mx2`.
    #[track_caller]
    pub fn start(host: &Host) -> Self {
        Self::start_with(host, "")
    }

    /// The same, with further lines for the reporter.
    #[track_caller]
    pub fn start_with(host: &Host, reporter: &str) -> Self {
        let scratch = Scratch::new("gatherer");
        // The folder that is a host's /run, where Exim has one of its own.
        for folder in ["state", "run", "run/eximrbl", "run/exim4"] {
            std::fs::create_dir(scratch.join(folder)).unwrap();
            set_mode(&scratch.join(folder), 0o755);
        }
        scratch.write("mx2.secret", format!("{SECRET}\n"));
        set_mode(&scratch.join("mx2.secret"), 0o400);
        let (certificate, key) = certificate();
        scratch.write("certificate.pem", certificate);
        scratch.write("key.pem", key);
        set_mode(&scratch.join("key.pem"), 0o400);
        let owned =
            ["state", "run/eximrbl", "mx2.secret", "key.pem"].map(|name| scratch.join(name));
        run(Command::new("chown").arg("nobody:nogroup").args(owned));
        run(Command::new("chown").arg("Debian-exim:Debian-exim").arg(scratch.join("run/exim4")));
        let folder = scratch.path().display();
        let text = CONFIGURATION.replace("FOLDER", &folder.to_string()) + reporter;
        scratch.write("eximrbl.toml", text);
        let mut command = host.command(artifact("eximrbld"));
        command.arg("--config").arg(scratch.join("eximrbl.toml"));
        let mut process = Process::start("eximrbld", command, scratch.join("eximrbld.out"));
        process.wait_until_ready(|process| process.output().contains("INFO ready"));
        assert!(listens(host, 4444) && listens(host, 4445), "{}", process.output());
        assert!(scratch.join("run/eximrbl/report").exists(), "{}", process.output());
        Self { process, scratch }
    }

    /// The running program.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it without a chance to clean up, stopped or not. What it has written stays.
    pub fn kill(&self) {
        self.process.signal("KILL");
    }

    /// What is to be /run on its host, with its Unix socket.
    pub fn run_folder(&self) -> PathBuf {
        self.scratch.join("run")
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        text_of(&self.scratch.join("eximrbld.out"))
    }

    /// What it knows of a client: `2 rcpt by mx2`, or `0`.
    pub fn recorded(&self, client: IpAddr) -> String {
        let table = match Table::open(&self.scratch.join("state/table")) {
            Ok(table) => table,
            Err(error) => return error.to_string(),
        };
        let Some(entry) = table.entry(table.client_network(client), now()) else {
            return "0".to_owned();
        };
        let (reasons, reporters) = (table.reasons(), table.reporters());
        let reasons: Vec<&str> = reasons.of(entry.reasons).collect();
        let reporters: Vec<&str> = reporters.of(entry.reporters).collect();
        format!("{} {} by {}", entry.count, reasons.join(","), reporters.join(","))
    }
}

/// A certificate for [`NAME`] that no authority has signed, for Exim does not look, and its key.
pub fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// `FOLDER` stands for the scratch folder.
const CONFIGURATION: &str = r#"version = 1
[table]
path = "FOLDER/state/table"
slots = 4096
[control]
socket = ""
[dns]
listen = ["0.0.0.0:53"]
user = "nobody"
[[zone]]
name = "rbl.example.org"
[collector]
tcp = ["0.0.0.0:4444"]
udp = ["0.0.0.0:4444"]
tls = ["0.0.0.0:4445"]
unix = "FOLDER/run/eximrbl/report"
certificate = "FOLDER/certificate.pem"
key = "FOLDER/key.pem"
[[reporter]]
name = "mx2"
secret_file = "FOLDER/mx2.secret"
"#;
