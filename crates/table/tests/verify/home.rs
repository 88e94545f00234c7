//! A table whose words can be written to, and processes that have one open.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use eximrbl_table::dictionary::{ADMIN, LOCAL, REJECT_BIT};
use eximrbl_table::{CreateOptions, Entry, Name, Network, Repair, Report, WritableTable, now};

pub(crate) const EMPTY: u64 = 0;
pub(crate) const CLAIMED: u64 = 1;
pub(crate) const READY: u64 = 2;
pub(crate) const QUARANTINED: u64 = 3;
pub(crate) const MOVED: u64 = 4;

/// Words of the header, as `layout.rs` has them.
pub(crate) const RING_HEAD: u64 = 40;
pub(crate) const LENGTHS: u64 = 24;
/// The first words of the sections that do not depend on the number of slots.
pub(crate) const REASONS: u64 = 512;
pub(crate) const POLICY: u64 = 1536;
pub(crate) const RING: u64 = 10_240;
pub(crate) const CONTROLS: u64 = 344_064;
/// Words of a slot's body.
pub(crate) const LIFE: u64 = 0;
pub(crate) const KEY_LOW: u64 = 2;
pub(crate) const FIRST: u64 = 3;
pub(crate) const MARK_REASONS: u64 = 4;
pub(crate) const MARK_REPORTERS: u64 = 6;

/// Whom the damage is done to.
pub(crate) const VICTIM: &str = "192.0.2.200";

pub(crate) fn network(text: &str) -> Network {
    text.parse().unwrap()
}

pub(crate) fn report(text: &str) -> Report {
    Report {
        network: network(text),
        reason: REJECT_BIT,
        reporter: LOCAL,
        weight: None,
        seconds: None,
    }
}

/// Until a child runs its program, it has all that this process has mapped: held for writing as long
/// as one is being started, and for reading while it is looked who has a table open.
static BIRTHS: RwLock<()> = RwLock::new(());

/// Starts a child, while nobody looks who has a table open.
fn born(command: &mut Command) -> Child {
    let _alone = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn().unwrap()
}

/// A table in a folder of its own, with some entries, and its words. By the size of its mapping, whole
/// pages of 73 slots, a table is feared to be another one: where a process of its own opens one here,
/// it has a size that is nobody else's.
pub(crate) struct Home {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) table: WritableTable,
    pub(crate) file: File,
    pub(crate) slots: u64,
}

impl Home {
    pub(crate) fn new(slots: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let options = CreateOptions { slots, ..CreateOptions::default() };
        let table = WritableTable::create(&path, &options).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Self { _folder: folder, path, table, file, slots }
    }

    pub(crate) fn furnished(slots: u64) -> Self {
        let home = Self::new(slots);
        for reason in ["spamtrap", "a-reason-that-nobody-can-guess", "rcpt"] {
            home.table.reason(Name::new(reason.as_bytes()).unwrap(), true);
        }
        for i in 0..100 {
            home.table.record(&report(&format!("192.0.2.{i}")), now()).unwrap();
        }
        for _ in 0..3 {
            home.table.record(&report(VICTIM), now()).unwrap();
        }
        home.table.record_endless(&report("2001:db8:1::/48"), now()).unwrap();
        home.table.white(network("198.51.100.7"), None, ADMIN, now()).unwrap();
        assert_eq!(home.table.verify_at(now()), []);
        home
    }

    /// Repairs it, while no child is being started.
    pub(crate) fn repair(&self) -> Repair {
        let _no_birth = BIRTHS.read().unwrap_or_else(PoisonError::into_inner);
        self.table.repair(now())
    }

    pub(crate) fn word(&self, place: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, place * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }

    pub(crate) fn poke(&self, place: u64, value: u64) {
        self.file.write_all_at(&value.to_ne_bytes(), place * 8).unwrap();
    }

    pub(crate) fn change(&self, place: u64, change: impl Fn(u64) -> u64) {
        self.poke(place, change(self.word(place)));
    }

    pub(crate) fn body(&self, slot: u64, field: u64) -> u64 {
        let bodies = (CONTROLS + self.slots).next_multiple_of(8192);
        bodies + slot * 7 + field
    }

    pub(crate) fn state(&self, slot: u64) -> u64 {
        self.word(CONTROLS + slot) >> 61
    }

    pub(crate) fn generation(&self, slot: u64) -> u64 {
        self.word(CONTROLS + slot) >> 32 & ((1 << 28) - 1)
    }

    /// The slot of an IPv4 client.
    pub(crate) fn slot_of(&self, client: &str) -> u64 {
        let address: std::net::Ipv4Addr = client.parse().unwrap();
        let low = 0xffff_0000_0000 | u64::from(u32::from(address));
        let holds =
            |&slot: &u64| self.state(slot) == READY && self.word(self.body(slot, KEY_LOW)) == low;
        (0..self.slots).find(holds).unwrap()
    }

    /// A free slot in one of the victim's buckets, or in none of them.
    pub(crate) fn free_slot(&self, at_home: bool) -> u64 {
        let bucket = self.slot_of(VICTIM) / 8;
        let fits = |&slot: &u64| (slot / 8 == bucket) == at_home && self.state(slot) == EMPTY;
        // Above the victim, so that it stays the first.
        (self.slot_of(VICTIM)..self.slots).find(fits).unwrap()
    }

    /// Copies the victim into another slot, control word and body.
    pub(crate) fn copy_victim(&self, to: u64) {
        let from = self.slot_of(VICTIM);
        for field in 0..7 {
            self.poke(self.body(to, field), self.word(self.body(from, field)));
        }
        self.poke(CONTROLS + to, self.word(CONTROLS + from));
    }

    pub(crate) fn entries(&self, but: &str) -> BTreeMap<Network, (u32, u64, u64)> {
        let relevant = |entry: &Entry| entry.network != network(but);
        let entries = self.table.entries(now()).filter(relevant);
        entries.map(|e| (e.network, (e.count, e.reasons, e.reporters))).collect()
    }
}

/// A child process, killed at the end.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// A process that has nothing to do with any table.
    pub(crate) fn stranger() -> Self {
        Self(born(Command::new("sleep").arg("600")))
    }

    /// This test again, in another role, on a table.
    pub(crate) fn role(role: &str, table: &Path) -> Self {
        // So that there is a processor for those who look at a dozen of them.
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "role", "--nocapture"]);
        command.env("EXIMRBL_TEST_ROLE", role).env("EXIMRBL_TEST_TABLE", table);
        Self(born(command.stdout(Stdio::null())))
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u64 {
        self.0.id().into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pid that no process has: that of one which was waited for.
pub(crate) fn dead_pid() -> u64 {
    let mut child = born(&mut Command::new("true"));
    child.wait().unwrap();
    child.id().into()
}

/// Whether this process can prove that nobody else has a table open: it sees every process of the
/// machine, and its mappings. (The tool's tests see to it that they can.)
pub(crate) fn sees_everybody() -> bool {
    let inode = |name: &str| std::fs::metadata(format!("/proc/self/ns/{name}")).unwrap().ino();
    let is_hidden = |entry: std::io::Result<std::fs::DirEntry>| {
        let maps = std::fs::read(entry.unwrap().path().join("maps"));
        maps.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    inode("pid") == 0xefff_fffc
        && inode("user") == 0xefff_fffd
        && !std::fs::read_dir("/proc").unwrap().any(is_hidden)
}

pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
