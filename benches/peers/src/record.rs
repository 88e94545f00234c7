//! Rejections at a steady rate, as busy Exims would bring them: in a process of its own, through
//! the library that ships.

use std::ffi::CString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::dlfunction::Record;
use crate::entries::ipv4;
use crate::stage::artifact;

/// How often it wakes up.
const BEAT: Duration = Duration::from_millis(1);
/// Clients that were not listed before, of so many, in turn.
const CLIENTS: u32 = 1 << 15;
/// The first one's number: above those of all entries, and of all queries for others.
const FIRST: u32 = 400_000_000;

/// A process that records.
pub(crate) struct Recorder(Child);

impl Recorder {
    /// Starts to record, for so long, so often a second.
    pub(crate) fn start(table: &Path, rate: u32, time: Duration) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("record")
            .arg(artifact("libeximrbl.so"))
            .args([rate.to_string(), time.as_millis().to_string()])
            .env("EXIMRBL_TABLE", table)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start this program again")?;
        let mut line = String::new();
        let output = child.stdout.as_mut().context("no output")?;
        BufReader::with_capacity(1, output).read_line(&mut line)?;
        ensure!(line == "recording\n", "the recorder cannot start");
        Ok(Self(child))
    }

    /// Waits for its end, and gives how many calls it has made.
    pub(crate) fn finish(self) -> Result<u64> {
        let output = self.0.wait_with_output()?;
        ensure!(output.status.success(), "the recorder failed");
        String::from_utf8(output.stdout)?.trim().parse().context("the recorder's count")
    }
}

/// A client that was recorded.
pub(crate) fn recorded_client() -> u32 {
    FIRST
}

/// What that process does: the arguments are the library, calls a second, milliseconds.
pub(crate) fn run(library: &str, rate: &str, milliseconds: &str) -> Result<()> {
    let rate: u64 = rate.parse()?;
    let time = Duration::from_millis(milliseconds.parse()?);
    let record = Record::load(Path::new(library))?;
    // Every other call is for a client that is listed already.
    let addresses = (0..CLIENTS).flat_map(|number| [FIRST + number, number]);
    let addresses: Vec<CString> =
        addresses.map(|number| CString::new(ipv4(number).to_string())).collect::<Result<_, _>>()?;
    record.call(&addresses[0])?;
    println!("recording");
    let start = Instant::now();
    let mut calls = 1;
    while start.elapsed() < time {
        let due = start.elapsed().as_micros() as u64 * rate / 1_000_000;
        while calls < due {
            record.call(&addresses[calls as usize % addresses.len()])?;
            calls += 1;
        }
        std::thread::sleep(BEAT);
    }
    println!("{calls}");
    Ok(())
}
