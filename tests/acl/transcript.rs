//! Sessions of a client, and what of their records must be equal from run to run.

use std::net::IpAddr;

use crate::harness::{Lan, Smtp};
use crate::machine::Machine;

/// What one client says in one connection.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The last number of its address in 203.0.113.0/24.
    pub client: u8,
    /// Its lines. After an accepted DATA, lines up to `.` are the message. The connection must end
    /// with them: by QUIT, or because the server closes it.
    pub lines: &'static [&'static str],
}

/// Lets the clients speak one after the other and gives all that was said, without what differs
/// from run to run.
pub fn play(lan: &Lan, machine: &Machine, sessions: &[Session]) -> String {
    let record = |session: &Session| {
        let said = speak(machine.dial(lan, client(session.client)), session.lines);
        format!("{}:\n{}", client(session.client), steady_transcript(&said))
    };
    let record = sessions.iter().map(record).collect();
    machine.settle();
    record
}

/// Speaks the lines and reads until the server has closed.
fn speak(mut smtp: Smtp, lines: &[&str]) -> String {
    let mut open = smtp.reply().code == 220;
    let mut message = false;
    for line in lines {
        if !open {
            break;
        }
        if message && *line != "." {
            smtp.send(line);
            continue;
        }
        let reply = smtp.command(line);
        message = reply.code == 354;
        open = !reply.is_closed();
    }
    while open {
        open = !smtp.reply().is_closed();
    }
    smtp.transcript().to_owned()
}

/// A transcript without the time in the greeting, message identifiers and challenges.
pub fn steady_transcript(text: &str) -> String {
    let steady = |line: &str| {
        let cut = [" ESMTP", " id=", "S: 334 "]
            .iter()
            .find_map(|mark| line.find(mark).map(|at| &line[..at + mark.len()]));
        format!("{}\n", cut.unwrap_or(line))
    };
    text.lines().map(steady).collect()
}

/// A log without times and message identifiers, and without lines that tell of eximrbl alone.
pub fn steady_log(text: &str) -> String {
    let identifier = |word: &str| {
        let lengths: Vec<usize> = word.split('-').map(str::len).collect();
        // Until 4.96, and since.
        lengths == [6, 6, 2] || lengths == [6, 11, 4]
    };
    let steady = |line: &str| {
        let line = if line.starts_with("20") { line.get(20..).unwrap_or("") } else { line };
        let words: Vec<&str> = line.split(' ').filter(|word| !identifier(word)).collect();
        words.join(" ")
    };
    // The dump of headers after a rejection at DATA has times of its own.
    let told = |line: &&str| line.starts_with("20") && line.contains("H=");
    text.lines().filter(told).map(|line| steady(line) + "\n").collect()
}

/// The address of client `number`.
pub fn client(number: u8) -> IpAddr {
    IpAddr::from([203, 0, 113, number])
}
