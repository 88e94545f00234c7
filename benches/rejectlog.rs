//! What an import of a reject log costs: a million lines, through the program that ships, in time and
//! processor time, with the memory that it takes. `cargo build --release` first; EXIMRBL_ARTIFACTS names another folder.
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
        ("of the last eight minutes, all recorded", 480, LINES),
        ("the same, a tenth of it", 480, LINES / 10),
        ("of a week, most of it over by now", 604_800, LINES),
    ] {
        let log = folder.path().join("log");
        write_log(&log, lines, ago);
        let size = log.metadata().unwrap().len();
        let mut runs: Vec<_> = (0..RUNS).map(|_| import(folder.path(), &log)).collect();
        runs.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        let median = &runs[RUNS / 2];
        let processor = runs.iter().map(|run| run.processor).fold(f64::MAX, f64::min);
        println!(
            "  {lines} lines ({} MB) {what}: {:.2} s, least {:.2} s ({processor:.2} s of processor \
             time): {:.0} lines a second, {:.1} MB",
            size / 1_000_000,
            median.seconds,
            runs[0].seconds,
            f64::from(lines) / median.seconds,
            median.kilobytes as f64 / 1000.0,
        );
    }
}

/// What one import took.
struct Cost {
    /// By the clock.
    seconds: f64,
    /// In the program and in the kernel for it.
    processor: f64,
    /// The most memory that it had, the pages of the table and of the program left out: they are
    /// shared with everybody.
    kilobytes: u64,
}

/// Imports into a new table.
fn import(folder: &Path, log: &Path) -> Cost {
    let table = folder.join("table");
    let _ = std::fs::remove_file(&table);
    run(&table, &["create", "--slots", "1M"]);
    let (start, before) = (Instant::now(), processor_time_of_children());
    let mut command = tool(&table);
    command.args(["import", "--rejectlog"]).arg(log);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut kilobytes = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let now = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes = kilobytes.max(now.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let seconds = start.elapsed().as_secs_f64();
    Cost { seconds, processor: processor_time_of_children() - before, kilobytes }
}

/// Seconds that children which have ended have run.
fn processor_time_of_children() -> f64 {
    // Ticks of a hundredth of a second: fields 16 and 17 of proc(5)'s stat, behind the name.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
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
