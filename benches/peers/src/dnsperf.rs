//! A second opinion: dnsperf, one processor, at its own saturation.

use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::data::Data;
use crate::entries::Random;
use crate::query::name;
use crate::saturate::{SOCKETS, WINDOW, client};
use crate::stage::run;

/// Queries in its file, before it starts over.
const QUERIES: u32 = 1 << 18;
const SEED: u64 = 5782;

/// Writes the file of its queries: half of them for listed addresses.
pub(crate) fn queries(data: &Data) -> Result<PathBuf> {
    let path = data.folder().join("dnsperf-queries");
    let mut out = BufWriter::new(std::fs::File::create(&path)?);
    let mut random = Random::new(SEED);
    for _ in 0..QUERIES {
        writeln!(out, "{} A", name(random.below(2 * data.entries)))?;
    }
    out.flush()?;
    Ok(path)
}

/// Answers a second.
pub(crate) fn measure(server: SocketAddr, queries: &Path, time: Duration) -> Result<f64> {
    let output = run(Command::new("dnsperf")
        .args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()])
        .args(["-a", &client(0).to_string(), "-d"])
        .arg(queries)
        .args(["-l", &time.as_secs().max(1).to_string(), "-c", &SOCKETS.to_string()])
        .args(["-q", &(SOCKETS * WINDOW).to_string(), "-T", "1", "-t", "1"]))?;
    rate(&output).with_context(|| format!("dnsperf says: {output}"))
}

fn rate(output: &str) -> Option<f64> {
    let line = output.lines().find_map(|line| line.trim().strip_prefix("Queries per second:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: the line looked for without the blanks that stand before it.
    #[test]
    fn the_rate_is_found_in_the_output() {
        let output = "Statistics:\n\n  Queries sent: 7\n  Queries per second:   123456.789\n";
        assert_eq!(rate(output), Some(123_456.789));
        assert_eq!(rate("nothing"), None);
    }
}
