//! What an import of a reject log costs: a million lines, through the program that ships, with the memory
//! that it takes. `cargo build --release` first; EXIMRBL_ARTIFACTS names another folder.
//!
//! Figures are printed, with the machine and the date; nothing is judged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Lines of the larger log.
const LINES: u32 = 1_000_000;
const RUNS: usize = 5;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    println!("{}", measure::machine());
    println!("eximrbl import --rejectlog (median and least of {RUNS}; peak memory):");
    for (what, ago, lines) in [
        ("of the last ten minutes, all recorded", 540, LINES),
        ("the same, a tenth of it", 540, LINES / 10),
        ("of a week, most of it over by now", 604_800, LINES),
    ] {
        let log = folder.path().join("log");
        write_log(&log, lines, ago);
        let size = log.metadata().unwrap().len();
        let mut runs: Vec<(f64, u64)> = (0..RUNS).map(|_| import(folder.path(), &log)).collect();
        runs.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (middle, memory) = runs[RUNS / 2];
        println!(
            "  {lines} lines ({} MB) {what:<38} {middle:.2} s, least {:.2} s: {:.0} lines a second, \
             {} MB",
            size / 1_000_000,
            runs[0].0,
            f64::from(lines) / middle,
            memory / 1024,
        );
    }
}

/// Seconds of one import into a new table, and the most memory that it had, in kB: the table's pages
/// that it touched, which are shared with everybody, left out.
fn import(folder: &Path, log: &Path) -> (f64, u64) {
    let table = folder.join("table");
    let _ = std::fs::remove_file(&table);
    run(&table, &["create", "--slots", "1M"]);
    let start = Instant::now();
    let mut command = tool(&table);
    command.args(["import", "--rejectlog"]).arg(log);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut anonymous = 0;
    loop {
        // Until it is gone.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        anonymous = anonymous.max(kilobytes.unwrap_or(0));
        if child.try_wait().unwrap().is_some() {
            return (start.elapsed().as_secs_f64(), anonymous);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn tool(table: &Path) -> Command {
    let folder = std::env::var_os("EXIMRBL_ARTIFACTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release"),
        PathBuf::from,
    );
    let mut command = Command::new(folder.join("eximrbl"));
    command.arg("--table").arg(table).env("TZ", "UTC");
    command
}

fn run(table: &Path, arguments: &[&str]) {
    let output = tool(table).args(arguments).output().expect("cargo build --release");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A log as a busy host has it: recipients for the most part, some logins, some with a header dump, from
/// 65,536 clients.
fn write_log(path: &Path, lines: u32, ago: u32) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut random = 1_u64;
    let mut line = String::new();
    let mut written = 0;
    while written < lines {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let time = now - u64::from(ago) + u64::from(ago) * u64::from(written) / u64::from(lines);
        let client = random >> 48;
        let (a, b) = (client >> 8, client & 255);
        line.clear();
        stamp(&mut line, time);
        let host = format!("(mail{b}.example.com) [203.0.{a}.{b}]");
        written += 1;
        let _ = match random >> 32 & 15 {
            0..=10 => writeln!(
                line,
                "H={host} F=<news{written}@example.com> rejected RCPT <user{b}@example.org>: relay \
                 not permitted"
            ),
            11 | 12 => writeln!(
                line,
                "H=host-{a}-{b}.example.net {host}:4711 I=[198.51.100.1]:25 \
                 X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no F=<a@example.com> \
                 rejected RCPT <c@example.org>: Unrouteable address"
            ),
            13 | 14 => writeln!(
                line,
                "login_server authenticator failed for {host}: 535 Incorrect authentication data \
                 (set_id=joe)"
            ),
            _ => {
                written += 4;
                writeln!(
                    line,
                    "1tEabc-000123-AB H={host} F=<a@example.com> rejected after DATA: spam\n\
                     Envelope-from: <a@example.com>\nEnvelope-to: <c@example.org>\n\
                     P Received: from x ([192.0.2.77])\n  Subject: buy"
                )
            }
        };
        file.write_all(line.as_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// Exim's form of a time, in UTC. Days from civil: Howard Hinnant's algorithm, the other way round.
fn stamp(line: &mut String, time: u64) {
    let (days, second) = (time / 86_400 + 719_468, time % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(line, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} ");
}
