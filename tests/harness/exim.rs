//! A real Exim: as a server in a host's namespace, and for single commands.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::clock::Clock;
use super::exim_configuration::EximConfiguration;
use super::namespace::{Host, Lan, Namespace};
use super::process::{Process, finished, run};
use super::scratch::{Scratch, set_mode, text_of};
use super::smtp::Smtp;
use super::wait::wait_until;

/// Debian's name of the binary.
pub const EXIM: &str = "exim4";

/// The folder and configuration file of an Exim, for commands such as `-be`, `-bV` and `-bh`.
///
/// An [`Exim`] has one too: commands then see the running server's spool and logs.
#[derive(Debug)]
pub struct EximCommand {
    scratch: Scratch,
    configuration: PathBuf,
}

impl EximCommand {
    /// Writes the configuration, and makes spool, logs and mailboxes that Exim's user owns.
    pub fn new(configuration: &EximConfiguration, hostname: &str) -> Self {
        let scratch = Scratch::new("exim");
        let text = configuration.text(scratch.path(), hostname);
        let mailboxes: Vec<&str> = configuration.users().iter().map(String::as_str).collect();
        Self::make(scratch, &text, &mailboxes)
    }

    /// The same with a complete configuration of the test's own; `FOLDER` in it stands for the
    /// folder that has `spool`, `log` and `mail`.
    pub fn with_text(text: &str) -> Self {
        let scratch = Scratch::new("exim");
        let text = text.replace("FOLDER", &scratch.path().display().to_string());
        Self::make(scratch, &text, &[])
    }

    fn make(scratch: Scratch, text: &str, mailboxes: &[&str]) -> Self {
        for folder in ["spool", "log", "mail"] {
            std::fs::create_dir(scratch.join(folder)).unwrap();
            set_mode(&scratch.join(folder), 0o755);
        }
        for mailbox in mailboxes {
            std::fs::write(scratch.join("mail").join(mailbox), "").unwrap();
        }
        let folders = ["spool", "log", "mail"].map(|folder| scratch.join(folder));
        run(Command::new("chown").args(["-R", "Debian-exim:Debian-exim"]).args(folders));
        let configuration = scratch.write("exim.conf", text);
        Self { scratch, configuration }
    }

    /// A command line `exim4 -C FILE` that waits for its further arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(EXIM);
        command.arg("-C").arg(&self.configuration);
        command
    }

    /// The same inside a namespace.
    pub fn command_inside(&self, namespace: &Namespace) -> Command {
        let mut command = namespace.command(EXIM);
        command.arg("-C").arg(&self.configuration);
        command
    }

    /// What Exim expands a string to (`exim4 -be`), without the end of line.
    #[track_caller]
    pub fn expand(&self, text: &str) -> String {
        let output = run(self.command().args(["-be", text]));
        output.strip_suffix('\n').unwrap_or(&output).to_owned()
    }

    /// Asks Exim to read the configuration (`-bV`); the error is what it wrote.
    pub fn check(&self) -> Result<(), String> {
        let Output { status, stdout, stderr } = finished(self.command().arg("-bV"));
        let text = [stdout, stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if status.success() { Ok(()) } else { Err(text) }
    }

    /// The folder with `spool`, `log` and `mail`.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The configuration file.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The main log so far.
    pub fn main_log(&self) -> String {
        self.log("main")
    }

    /// The reject log so far.
    pub fn reject_log(&self) -> String {
        self.log("reject")
    }

    /// The panic log so far; a healthy Exim has none.
    pub fn panic_log(&self) -> String {
        self.log("panic")
    }

    /// One of the logs by its name (`main`, `reject`, `panic`).
    fn log(&self, name: &str) -> String {
        text_of(&self.scratch.join(format!("log/{name}log")))
    }

    /// Waits for a line of the main log with this text in it, and gives the line.
    #[track_caller]
    pub fn wait_for_log(&self, part: &str) -> String {
        let find = || self.main_log().lines().find(|line| line.contains(part)).map(str::to_owned);
        if !super::wait::holds_soon(|| find().is_some()) {
            panic!("no line with {part:?} in the main log:\n{}", self.main_log());
        }
        find().unwrap()
    }

    /// The messages in a user's mailbox so far, as one text.
    pub fn mailbox(&self, user: &str) -> String {
        text_of(&self.scratch.join("mail").join(user))
    }

    /// Waits until a user's mailbox has this text in it, and gives the whole mailbox.
    #[track_caller]
    pub fn wait_for_mail(&self, user: &str, part: &str) -> String {
        wait_until(&format!("{user}'s mailbox has {part:?}"), || self.mailbox(user).contains(part));
        self.mailbox(user)
    }
}

/// An Exim that listens on port 25 of a host.
#[derive(Debug)]
pub struct Exim {
    process: Process,
    command: EximCommand,
    v4: IpAddr,
    v6: IpAddr,
}

/// Logs, mailboxes and commands of the running server.
impl std::ops::Deref for Exim {
    type Target = EximCommand;

    fn deref(&self) -> &EximCommand {
        &self.command
    }
}

impl Exim {
    /// Starts it on a host and waits until it takes connections.
    #[track_caller]
    pub fn start(host: &Host, configuration: &EximConfiguration) -> Self {
        let name = host.name().rsplit('-').next().unwrap_or("mail");
        let command = EximCommand::new(configuration, &format!("{name}.example.org"));
        Self::start_from(host, command, None)
    }

    /// The same with its time ruled by `clock`.
    #[track_caller]
    pub fn start_at(host: &Host, configuration: &EximConfiguration, clock: &Clock) -> Self {
        let name = host.name().rsplit('-').next().unwrap_or("mail");
        let command = EximCommand::new(configuration, &format!("{name}.example.org"));
        Self::start_from(host, command, Some(clock))
    }

    /// Starts it with a configuration that is already written.
    #[track_caller]
    pub fn start_from(host: &Host, command: EximCommand, clock: Option<&Clock>) -> Self {
        let mut line = command.command_inside(host);
        line.args(["-bdf", "-oX", "25"]);
        if let Some(clock) = clock {
            clock.rule(&mut line);
        }
        let mut process = Process::start("exim", line, command.scratch.join("exim.out"));
        process.wait_until_ready(|_| listens(host, 25));
        Self { process, command, v4: host.v4.into(), v6: host.v6.into() }
    }

    /// Connects to it from a client of the network, over the client's address family.
    #[track_caller]
    pub fn dial(&self, lan: &Lan, client: IpAddr) -> Smtp {
        let server = if client.is_ipv4() { self.v4 } else { self.v6 };
        Smtp::connect(lan.internet(), client, SocketAddr::new(server, 25))
    }

    /// Sends one message from `client` and gives the replies (see [`Smtp::mail`]).
    #[track_caller]
    pub fn mail(&self, lan: &Lan, client: IpAddr, recipients: &[&str]) -> Vec<super::smtp::Reply> {
        let mut smtp = self.dial(lan, client);
        let greeting = smtp.hello();
        if greeting.code != 220 {
            return vec![greeting];
        }
        let replies = smtp.mail(recipients);
        smtp.quit();
        replies
    }

    /// The running program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- main log of {}:\n{}", self.folder().display(), self.main_log());
            eprintln!("--- panic log:\n{}", self.panic_log());
        }
    }
}

/// True when something in the namespace listens on this TCP port.
pub fn listens(namespace: &Namespace, port: u16) -> bool {
    let found = run(namespace.command("ss").args(["-Hltn", &format!("sport = :{port}")]));
    !found.trim().is_empty()
}
