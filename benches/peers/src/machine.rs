//! What the figures were measured on.

use std::fs::read_to_string;
use std::process::Command;

use crate::stage::run;

/// Processors, kernel, distribution, date, in a line.
pub(crate) fn describe() -> String {
    let read = |path| read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let names: Vec<_> = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .collect();
    let release = read("/etc/os-release");
    let distribution =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    format!(
        "{} × {}, Linux {}, {}, {}",
        names.len(),
        names.first().map_or("unknown processor", |(_, name)| name),
        read("/proc/sys/kernel/osrelease").trim(),
        distribution.trim_matches('"'),
        run(Command::new("date").arg("+%F")).unwrap_or_default().trim()
    )
}

/// The version of a Debian package, without Debian's own part.
pub(crate) fn version(package: &str) -> String {
    let format = "-f=${Version}";
    let version = run(Command::new("dpkg-query").args(["-W", format, package])).unwrap_or_default();
    let version = version.rsplit_once('-').map_or(version.as_str(), |(upstream, _)| upstream);
    version.rsplit_once(':').map_or(version, |(_, rest)| rest).to_owned()
}
