//! A server under measurement: started in a process group of its own, so that all that it forks
//! can be counted, stopped and ended together.

use std::collections::BTreeMap;
use std::fs::{File, read_dir, read_to_string};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// The processor of the servers.
pub(crate) const SERVER: usize = 0;
/// The processor of the load.
pub(crate) const LOAD: usize = 1;

/// Ticks of /proc's times in a second; the same on every Linux (USER_HZ).
const TICKS: f64 = 100.0;
/// How long a server may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps this thread, and what it starts from now on, on one processor.
pub(crate) fn pin(processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot use processor {processor}; this needs two"))
}

/// A running program and all that it has forked.
pub(crate) struct Process {
    name: String,
    child: Child,
}

/// Processor time in seconds, and what takes much of it in short-lived processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    /// In the program itself.
    pub(crate) user: f64,
    /// In the kernel, for it.
    pub(crate) system: f64,
    /// Page faults that needed no disk.
    pub(crate) faults: f64,
}

impl CpuTime {
    /// What has passed since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
            faults: self.faults - earlier.faults,
        }
    }

    /// This and another process's.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            faults: self.faults + other.faults,
        }
    }

    /// User's and system's.
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// Resident, counted once for each process that has it.
    pub(crate) rss: u64,
    /// Resident, what is shared counted in parts.
    pub(crate) pss: u64,
    /// Of the resident: pages of files and of shared memory, which others that map them share.
    pub(crate) files: u64,
}

impl Process {
    /// Starts it on the servers' processor; what it writes goes to the file `output`.
    pub(crate) fn start(name: &str, mut command: Command, output: &Path) -> Result<Self> {
        let file = File::create(output).with_context(|| format!("{}", output.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        pin(SERVER)?;
        let child = command.spawn();
        pin(LOAD)?;
        let program = command.get_program().display();
        let child = child.with_context(|| format!("{program} cannot be started"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// An error when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended with {status}", self.name),
        }
    }

    /// Stops all of it, so that it takes no time from another's measurement.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Waits until all its children have ended. It need not have waited for them: Exim's daemon sometimes
    /// does so at the next connection only, and [`Self::cpu_time`] counts them all the same.
    pub(crate) fn wait_for_children(&self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut others = self.processes();
            others.retain(|&id| id != self.child.id() && !has_ended(id));
            if others.is_empty() {
                return Ok(());
            }
            ensure!(start.elapsed() < patience, "{}'s children {others:?} do not end", self.name);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Processor time of all its processes, and of those that they have waited for.
    pub(crate) fn cpu_time(&self) -> CpuTime {
        let mut sum = CpuTime::default();
        for id in self.processes() {
            let fields = stat(id);
            let field = |name| fields.get(name).map_or(0.0, |&number| number as f64);
            sum.user += (field("utime") + field("cutime")) / TICKS;
            sum.system += (field("stime") + field("cstime")) / TICKS;
            sum.faults += field("minflt") + field("cminflt");
        }
        sum
    }

    /// Memory of all its processes.
    pub(crate) fn memory(&self) -> Memory {
        let mut sum = Memory::default();
        let mut anonymous = 0;
        for id in self.processes() {
            let text = read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
            for line in text.lines() {
                let mut words = line.split_whitespace();
                let (Some(key), Some(Ok(kilobytes))) =
                    (words.next(), words.next().map(str::parse::<u64>))
                else {
                    continue;
                };
                match key {
                    "Rss:" => sum.rss += kilobytes << 10,
                    "Pss:" => sum.pss += kilobytes << 10,
                    "Anonymous:" => anonymous += kilobytes << 10,
                    _ => {}
                }
            }
        }
        sum.files = sum.rss.saturating_sub(anonymous);
        sum
    }

    /// Ends it, and waits for that.
    pub(crate) fn end(mut self) -> Result<()> {
        self.resume()?;
        self.signal(Signal::SIGTERM)?;
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > PATIENCE {
                bail!("{} does not end", self.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The processes of its group.
    fn processes(&self) -> Vec<u32> {
        let group = i64::from(self.child.id());
        let Ok(entries) = read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&id| stat(id).get("pgrp") == Some(&group))
            .collect()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let group = Pid::from_raw(self.child.id().cast_signed());
        killpg(group, signal).with_context(|| format!("{} cannot be sent {signal}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// The fields of /proc/PID/stat (proc(5)) that come after the name; none if the process is gone.
fn fields(id: u32) -> Vec<String> {
    let text = read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name, in parentheses, may have anything in it.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().map(str::to_owned).collect()
}

/// Whether a process is gone, or only waits to be waited for.
fn has_ended(id: u32) -> bool {
    fields(id).first().is_none_or(|state| matches!(state.as_str(), "Z" | "X"))
}

/// Some of those fields, by their names.
fn stat(id: u32) -> BTreeMap<&'static str, i64> {
    let fields = fields(id);
    // Numbers of the manual page, less the three before the field that comes first here.
    let names = ["minflt", "cminflt", "utime", "stime", "cutime", "cstime"];
    [5, 10, 11, 14, 15, 16, 17]
        .into_iter()
        .zip(["pgrp"].into_iter().chain(names))
        .filter_map(|(number, name): (usize, _)| {
            Some((name, fields.get(number - 3)?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Caught: the fields of the manual page taken one too far; time of children left out.
    #[test]
    fn the_time_of_all_processes_of_the_group_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // One child that has ended, one that runs, both of the group.
        command.args([
            "-c",
            "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); echo done; sleep 600",
        ]);
        let output = folder.path().join("output");
        let mut process = Process::start("sh", command, &output).unwrap();
        let start = Instant::now();
        while !read_to_string(&output).unwrap().contains("done") {
            assert!(start.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(10));
        }
        process.check().unwrap();
        // `sleep` goes on, once it has begun.
        while process.wait_for_children(Duration::ZERO).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(60), "no child is seen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let time = process.cpu_time();
        assert!(time.user > 0.0, "{time:?}");
        let memory = process.memory();
        assert!(memory.rss >= memory.pss && memory.pss > 100_000, "{memory:?}");
        process.pause().unwrap();
        process.end().unwrap();
    }

    /// Caught: children waited for that have ended already.
    #[test]
    fn children_that_nobody_waits_for_have_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // What replaces the shell does not know of the child.
        command.args(["-c", "sleep 0.1 & exec sleep 60"]);
        let process = Process::start("sh", command, &folder.path().join("output")).unwrap();
        process.wait_for_children(Duration::from_secs(60)).unwrap();
        process.end().unwrap();
    }
}
