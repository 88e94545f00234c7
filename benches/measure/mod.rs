//! What all benchmarks share: medians, the processor's clock, and a line about the machine.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::read_to_string;
use std::process::Command;

/// The middle one; the values are sorted afterwards, so the first is the least.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds that this thread has run, in the kernel's calls and out of them. On an idle machine it
/// is the time of the clock, for nothing here waits; on a busy one, others' work does not count.
pub(crate) fn processor_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in the structure, which is ours.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Median and least nanoseconds of one step of `work`, which does `steps` of them, over `runs`.
pub(crate) fn nanoseconds(runs: usize, steps: u32, mut work: impl FnMut()) -> (f64, f64) {
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = processor_time();
            work();
            (processor_time() - start) * 1e9 / f64::from(steps)
        })
        .collect();
    (median(&mut times), times[0])
}

/// Processor, kernel, and date, in a line.
pub(crate) fn machine() -> String {
    let read = |path| read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let names: Vec<_> = processors
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .collect();
    let date = Command::new("date").arg("+%F").output().map(|o| o.stdout).unwrap_or_default();
    format!(
        "{} x {}, Linux {}, {}",
        names.len(),
        names.first().map_or("unknown processor", |(_, name)| name),
        read("/proc/sys/kernel/osrelease").trim(),
        String::from_utf8_lossy(&date).trim()
    )
}
