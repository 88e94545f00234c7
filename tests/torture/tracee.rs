//! A child that makes one call, under ptrace.
//!
//! To stop a writer after its n-th instruction, it is not stepped n times: a path is recorded
//! once, by single steps, and every other run is brought to its place by a breakpoint. The clock
//! stands still and the table is the same each time, so the path is the same as well.

use std::collections::HashMap;
use std::ops::Range;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::is_long;
use crate::writer::{Call, Writer};

/// x86-64's breakpoint instruction.
const INT3: u8 = 0xcc;

/// A stopped child of this thread.
pub struct Tracee {
    pid: Pid,
    code: Range<u64>,
    offset: u64,
    is_over: bool,
}

/// The addresses of all instructions in the library that a call takes, in order.
#[derive(Debug)]
pub struct Path {
    addresses: Vec<u64>,
    /// For each instruction, how often its address was come to before, and how many steps are
    /// left from there: an instruction that repeats itself (`rep movs`) takes several.
    arrivals: Vec<(u32, u32)>,
    /// Which of them are atomic changes of memory, or fences.
    atomic: Vec<bool>,
    /// Where the library's file would begin.
    base: u64,
}

impl Path {
    fn new(instructions: Vec<(u64, bool)>, base: u64) -> Self {
        let (addresses, atomic): (Vec<_>, Vec<_>) = instructions.into_iter().unzip();
        let mut seen: HashMap<u64, u32> = HashMap::new();
        let mut arrivals: Vec<(u32, u32)> = Vec::with_capacity(addresses.len());
        for (i, &address) in addresses.iter().enumerate() {
            if i > 0 && addresses[i - 1] == address {
                let (before, steps) = arrivals[i - 1];
                arrivals.push((before, steps + 1));
            } else {
                let before = seen.entry(address).or_default();
                arrivals.push((*before, 0));
                *before += 1;
            }
        }
        Self { addresses, arrivals, atomic, base }
    }

    /// No instruction.
    pub fn empty() -> Self {
        Self::new(Vec::new(), 0)
    }

    /// Instructions.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Numbers of instructions to stop after: each one in the long form; otherwise those just
    /// before and after atomic instructions, where processes meet, and every `stride`-th.
    pub fn stops(&self, stride: usize) -> Vec<usize> {
        let all = 0..=self.len();
        if is_long() {
            return all.collect();
        }
        let is_near = |n: usize| {
            let near = n.saturating_sub(16)..(n + 8).min(self.len());
            self.atomic[near].contains(&true)
        };
        all.filter(|&n| n % stride == 0 || n == self.len() || is_near(n)).collect()
    }

    /// The address in the library, as objdump shows it, of the instruction after `n` others.
    pub fn address(&self, n: usize) -> u64 {
        self.addresses.get(n).map_or(0, |address| address - self.base)
    }
}

impl Tracee {
    /// Has `writer` make a child for a call. The child stands before it.
    ///
    /// The writer must have been started by the calling thread, which the kernel takes for the
    /// parent, and hence for the tracer.
    pub fn start(writer: &mut Writer, call: &Call) -> Self {
        let pid = writer.child_to_step(call);
        let (code, offset) = writer.code();
        let tracee = Self { pid, code, offset, is_over: false };
        match tracee.wait() {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
            WaitStatus::Exited(_, 92) => panic!(
                "ptrace(2) is forbidden here, and this test cannot do without it: in a container, \
                 allow it (docker run --cap-add SYS_PTRACE, or a seccomp profile with ptrace)"
            ),
            other => panic!("a child that was to stop: {other:?}"),
        }
        ptrace::setoptions(tracee.pid, ptrace::Options::PTRACE_O_EXITKILL).unwrap();
        tracee
    }

    fn wait(&self) -> WaitStatus {
        loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                status => return status.unwrap(),
            }
        }
    }

    /// Steps to the call's end, and tells its path. The call is made.
    pub fn record(mut self) -> Path {
        let mut instructions = Vec::new();
        while let Some(address) = self.address() {
            if self.code.contains(&address) {
                instructions.push((address, self.is_atomic(address)));
            }
            self.step();
        }
        assert!(!instructions.is_empty(), "no instruction of the library was met");
        Path::new(instructions, self.code.start - self.offset)
    }

    /// Whether the instruction at an address has a lock prefix, or is `xchg` or `mfence`.
    fn is_atomic(&self, address: u64) -> bool {
        let bytes = ptrace::read(self.pid, address as ptrace::AddressType).unwrap().to_ne_bytes();
        matches!(bytes, [0xf0 | 0x86 | 0x87, ..] | [0x0f, 0xae, 0xf0, ..] | [0x48, 0x87, ..])
    }

    /// Runs the first `n` instructions of a path; all of them, if it has no more.
    pub fn run(&mut self, path: &Path, n: usize) {
        let is_there = self.run_about(path, n);
        assert_eq!(is_there, n < path.len(), "the path is not what it was");
    }

    /// As [`Tracee::run`], when others may have made the path another one: to the same place in
    /// the code. False if the call ended before that.
    pub fn run_about(&mut self, path: &Path, n: usize) -> bool {
        let Some(&address) = path.addresses.get(n) else {
            self.finish();
            return false;
        };
        let (before, steps) = path.arrivals[n];
        for i in 0..=before {
            if !self.run_to(address) {
                return false;
            }
            if i < before {
                // Over it, with all its repetitions, so that the breakpoint can come back.
                while self.address() == Some(address) {
                    self.step();
                }
            }
        }
        for _ in 0..steps {
            self.step();
        }
        !self.is_over
    }

    /// Goes on to an address, by a breakpoint there; false if the call ended before.
    fn run_to(&mut self, address: u64) -> bool {
        let word = address & !7;
        let place = word as ptrace::AddressType;
        let old = ptrace::read(self.pid, place).unwrap();
        let mut bytes = old.to_ne_bytes();
        bytes[(address - word) as usize] = INT3;
        ptrace::write(self.pid, place, i64::from_ne_bytes(bytes)).unwrap();
        ptrace::cont(self.pid, None).unwrap();
        match self.wait() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Exited(_, 0) => {
                self.is_over = true;
                return false;
            }
            other => panic!("on the way to a breakpoint: {other:?}"),
        }
        ptrace::write(self.pid, place, old).unwrap();
        let mut registers = ptrace::getregs(self.pid).unwrap();
        assert_eq!(registers.rip, address + 1, "another trap than the breakpoint");
        registers.rip = address;
        ptrace::setregs(self.pid, registers).unwrap();
        true
    }

    /// One instruction, wherever it is.
    fn step(&mut self) {
        ptrace::step(self.pid, None).unwrap();
        match self.wait() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            WaitStatus::Exited(_, 0) => self.is_over = true,
            other => panic!("a step led to {other:?}"),
        }
    }

    /// Where it stands; `None` once it is over.
    fn address(&self) -> Option<u64> {
        (!self.is_over).then(|| ptrace::getregs(self.pid).unwrap().rip)
    }

    /// Kills it with SIGKILL, and reaps it.
    pub fn kill(&mut self) {
        if !self.is_over {
            self.kill_unreaped();
            assert!(matches!(self.wait(), WaitStatus::Signaled(_, Signal::SIGKILL, _)));
            self.is_over = true;
        }
    }

    /// Kills it, and leaves it to its parent: [`Tracee::kill`] or the end of this value reaps it.
    pub fn kill_unreaped(&self) {
        kill(self.pid, Signal::SIGKILL).unwrap();
        waitid(Id::Pid(self.pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    }

    /// Lets it go on to its end, where the call must have returned OK, with nothing logged.
    pub fn finish(&mut self) {
        if !self.is_over {
            ptrace::cont(self.pid, None).unwrap();
            let status = self.wait();
            self.is_over = true;
            assert!(matches!(status, WaitStatus::Exited(_, 0)), "it ended with {status:?}");
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
