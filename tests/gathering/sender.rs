//! The mail server that reports.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use crate::document;
use crate::frame::Sections;
use crate::gatherer::{NAME, NUMBER, SECRET};
use crate::harness::{Lan, Reply, Smtp, run};
use crate::machine::Machine;

/// Where its secret is, as ACL.md has it.
pub const KEY: &str = "/etc/exim4/eximrbl.secret";

/// A mail server at 198.51.100.10 with all that ACL.md's blocks need to report.
pub fn machine(lan: &Lan) -> Machine {
    let machine = Machine::new(lan, "mx2", 10);
    machine.write("/etc/exim4/report.acls", &document::example("report.acls"));
    machine.write(KEY, &format!("{SECRET}\n"));
    run(Command::new("chown").arg("root:Debian-exim").arg(machine.real(KEY)));
    run(Command::new("chmod").arg("0640").arg(machine.real(KEY)));
    machine.host().etc_file("hosts", &format!("127.0.0.1 localhost\n198.51.100.{NUMBER} {NAME}\n"));
    machine
}

/// The complete configuration around a block of ACL.md, or one of [`WARNED_OF`].
pub fn configuration(id: &str) -> String {
    let (to, how) = match id {
        "tls" => ("inet:gatherer.example.org:4445", "3s:tls=yes"),
        "unix" => ("/run/eximrbl/report", "3s"),
        _ => return around(&document::block(id).text),
    };
    let text = document::block("report").text;
    let text = text.replace("inet:198.51.100.30:4444", to).replace("= 3s", &format!("= {how}"));
    around(&text)
}

/// Ways that ACL.md warns of, and as whom two refused recipients then count.
pub const WARNED_OF: [(&str, &str); 2] = [("tls", "2 rcpt by mx2"), ("unix", "2 rcpt by mx2")];

/// The same around a text of the test's own.
pub fn around(text: &str) -> String {
    let mut sections = Sections::default();
    sections.add(text);
    sections.text()
}

/// A client names two recipients that are refused, and one that is not; gives the replies.
#[track_caller]
pub fn be_refused(lan: &Lan, machine: &Machine, client: IpAddr) -> Vec<Reply> {
    be_refused_often(lan, machine, client, 1)
}

/// The same for so many messages in one connection.
#[track_caller]
pub fn be_refused_often(
    lan: &Lan,
    machine: &Machine,
    client: IpAddr,
    messages: usize,
) -> Vec<Reply> {
    let host = machine.host();
    let server: IpAddr = if client.is_ipv4() { host.v4.into() } else { host.v6.into() };
    let mut smtp = Smtp::connect(lan.internet(), client, SocketAddr::new(server, 25));
    smtp.hello();
    let recipients = ["nobody@example.org", "other@example.org", "good@example.org"];
    let replies = (0..messages).flat_map(|_| smtp.mail(&recipients)).collect();
    smtp.quit();
    machine.settle();
    replies
}
