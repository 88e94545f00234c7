//! A real Postfix, unpacked and not installed, on a host of the test's network.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::wait_until;
use crate::harness::{Host, Process, Scratch, Smtp, listens, root, run, set_mode, text_of};
use crate::site::{Client, Site};

/// Numbers for the user `postfix` and the groups `postfix` and `postdrop`, which are on the host's
/// lists alone.
const USER: u32 = 64_901;
const DROP_GROUP: u32 = 64_902;

/// Where tests/postfix.sh unpacks it.
fn unpacked() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = root().join(target).join("postfix");
    run(Command::new(root().join("tests/postfix.sh")).arg(&folder));
    folder
}

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    _process: Process,
    scratch: Scratch,
    v4: IpAddr,
    v6: IpAddr,
}

impl Postfix {
    /// Starts it with these services on port 25 and lines of `main.cf`; takes mail for
    /// `good@example.org`.
    #[track_caller]
    pub fn start(site: &Site, services: &str, main: &str) -> Self {
        let host = &site.host;
        users(host);
        let scratch = Scratch::new("postfix");
        // A copy: a checkout may lie where the user `postfix` cannot reach it.
        let program = scratch.join("program");
        run(Command::new("cp").arg("-a").arg(unpacked()).arg(&program));
        let own = scratch.path().display();
        let text = MAIN.replace("PROGRAM", &program.display().to_string());
        folders(&scratch);
        std::fs::create_dir(scratch.join("etc")).unwrap();
        set_mode(&scratch.join("etc"), 0o755);
        scratch.write("etc/main.cf", format!("{}{main}", text.replace("FOLDER", &own.to_string())));
        scratch.write("etc/master.cf", format!("{services}{SERVICES}"));
        let mut command = host.command(program.join("usr/lib/postfix/sbin/master"));
        command.arg("-d").arg("-c").arg(scratch.join("etc"));
        command.env("LD_LIBRARY_PATH", program.join("usr/lib/postfix"));
        let mut process = Process::start("postfix", command, scratch.join("output"));
        process.wait_until_ready(|_| listens(host, 25));
        Self { _process: process, scratch, v4: host.v4.into(), v6: host.v6.into() }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        text_of(&self.scratch.join("maillog"))
    }

    /// Waits for a line of the log that holds all of these.
    #[track_caller]
    pub fn wait_for_log(&self, parts: &[&str]) {
        wait_until(&format!("the log of postfix has a line with {parts:?}"), || {
            self.log().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Connections from all these clients at the same time.
    pub fn dial(&self, site: &Site, clients: &[Client]) -> Vec<(Client, Smtp)> {
        let dial = |client: &Client| {
            let address = client.address();
            let server = SocketAddr::new(if address.is_ipv4() { self.v4 } else { self.v6 }, 25);
            (*client, Smtp::connect(site.lan.internet(), address, server))
        };
        clients.iter().map(dial).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- maillog:\n{}", self.log());
        }
    }
}

/// What the reply to RCPT is.
#[track_caller]
pub fn reply_to_recipient(smtp: &mut Smtp) -> String {
    assert_eq!(smtp.hello().code, 220, "{}", smtp.transcript());
    assert_eq!(smtp.command("MAIL FROM:<sender@client.example>").code, 250);
    let reply = smtp.command("RCPT TO:<good@example.org>");
    format!("{} {}", reply.code, reply.text())
}

/// Lets the host know the users, which are not on the machine.
fn users(host: &Host) {
    let with = |path: &str, lines: String| std::fs::read_to_string(path).unwrap() + &lines;
    let user = format!("postfix:x:{USER}:{USER}::/nonexistent:/usr/sbin/nologin\n");
    host.etc_file("passwd", &with("/etc/passwd", user));
    let groups = format!("postfix:x:{USER}:\npostdrop:x:{DROP_GROUP}:\n");
    host.etc_file("group", &with("/etc/group", groups));
}

/// Makes the queue as Postfix wants it.
fn folders(scratch: &Scratch) {
    for name in ["data", "queue", "queue/pid", "queue/private", "queue/public", "queue/incoming"] {
        std::fs::create_dir(scratch.join(name)).unwrap();
        set_mode(&scratch.join(name), 0o755);
    }
    for (name, group, mode) in [
        ("data", USER, 0o700),
        ("queue/private", USER, 0o700),
        ("queue/public", DROP_GROUP, 0o710),
        ("queue/incoming", USER, 0o700),
    ] {
        chown(scratch.join(name), Some(USER), Some(group)).unwrap();
        set_mode(&scratch.join(name), mode);
    }
}

/// Whatever is not under test. postscreen judges by the answers that it has after greet_wait: the
/// machine may be busy.
const MAIN: &str = "\
compatibility_level = 3.6
mail_owner = postfix
setgid_group = postdrop
queue_directory = FOLDER/queue
data_directory = FOLDER/data
daemon_directory = PROGRAM/usr/lib/postfix/sbin
command_directory = PROGRAM/usr/sbin
meta_directory = PROGRAM/etc/postfix
shlib_directory = no
import_environment = MAIL_CONFIG TZ LANG=C LD_LIBRARY_PATH
maillog_file = FOLDER/maillog
maillog_file_prefixes = FOLDER
inet_interfaces = all
inet_protocols = all
myhostname = mx2.example.org
mydestination = example.org
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
postscreen_greet_wait = 20s
";

/// The services that those on port 25 call.
const SERVICES: &str = "\
smtpd     pass  -       -       n       -       -       smtpd
dnsblog   unix  -       -       n       -       0       dnsblog
postlog   unix-dgram n  -       n       -       1       postlogd
anvil     unix  -       -       n       -       1       anvil
cleanup   unix  n       -       n       -       0       cleanup
rewrite   unix  -       -       n       -       -       trivial-rewrite
proxymap  unix  -       -       n       -       -       proxymap
";
