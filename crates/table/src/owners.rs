//! Who holds a slot, and whether he is proven gone.
//!
//! A claim is held only inside of a call, by a process that has the table mapped. So its owner is
//! gone if
//!
//! * no process has his pid any more; or
//! * the process that has it does not have the table mapped: the pid was given anew since, or the
//!   claim is from before a reboot; or
//! * no other process of this machine has the table mapped. That serves for claims without a pid,
//!   which processes outside of the table's pid namespace make, and for slots whose word was
//!   damaged. Only root outside of all containers can know it.
//!
//! What cannot be read proves nothing. The proof must be newer than the claim: make an [`Owners`]
//! after the claims were read, and swap the very words that were read.

use std::cell::OnceCell;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::process::pid_namespace;
use crate::slots::Liveness;
use crate::sync::AtomicU64;
use crate::word::Control;

/// Inodes of the machine's first pid and user namespaces (the kernel's PROC_PID_INIT_INO and
/// PROC_USER_INIT_INO, include/linux/proc_ns.h): who is there sees every process.
const FIRST_PID_NAMESPACE: u64 = 0xeffffffc;
const FIRST_USER_NAMESPACE: u64 = 0xeffffffd;
/// Bit of CAP_SYS_PTRACE, by which every process's mappings can be read (capabilities(7)).
const CAP_SYS_PTRACE: u32 = 19;

/// What is known of the owner of a claimed or resting slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// No process has this pid.
    Dead(u32),
    /// The process of this pid does not have the table mapped.
    Another(u32),
    /// Nobody but this process has the table mapped.
    NobodyElse,
    /// The process of this pid has the table mapped.
    Alive(u32),
    /// There is a process of this pid, but its mappings cannot be seen from here.
    Hidden(u32),
    /// The slot does not say, or in pids of another namespace.
    Unknown,
}

impl Owner {
    /// Whether he will never write again.
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Dead(_) | Self::Another(_) | Self::NobodyElse)
    }
}

/// What is known of all owners of one table, at one time.
pub(crate) struct Owners<'a> {
    liveness: &'a Liveness,
    /// How the table shows among a process's mappings; none for one on the heap.
    mapping: Option<Mapping>,
    /// Whether pids in the table and in /proc are this process's.
    shares_pids: bool,
    /// Whether nobody else has the table mapped, once it has been asked.
    nobody_else: OnceCell<bool>,
}

impl<'a> Owners<'a> {
    /// The owners of the table that these words are mapped from.
    pub(crate) fn new(liveness: &'a Liveness, words: &[AtomicU64]) -> Self {
        let in_namespace = pid_namespace() == Some(liveness.namespace);
        Self {
            liveness,
            mapping: Mapping::of(words),
            shares_pids: in_namespace && proc_shows_own_pids(),
            nobody_else: OnceCell::new(),
        }
    }

    /// Who owns a claimed or resting slot.
    pub(crate) fn of(&self, held: Control) -> Owner {
        if let Some(pid) = held.pid()
            && (self.liveness.is_gone)(self.liveness.namespace, pid)
        {
            return Owner::Dead(pid);
        }
        let by_pid = held.pid().filter(|_| self.shares_pids).map(|pid| {
            let process = Path::new("/proc").join(pid.to_string());
            match self.mapping.as_ref().and_then(|mapping| mapping.is_in(&process)) {
                Some(true) => Owner::Alive(pid),
                Some(false) => Owner::Another(pid),
                None => Owner::Hidden(pid),
            }
        });
        match by_pid {
            Some(owner @ (Owner::Alive(_) | Owner::Another(_))) => owner,
            _ if *self.nobody_else.get_or_init(|| self.is_alone()) => Owner::NobodyElse,
            unproven => unproven.unwrap_or(Owner::Unknown),
        }
    }

    /// Whether it is certain that no other process has the table mapped.
    fn is_alone(&self) -> bool {
        let Some(mapping) = &self.mapping else { return false };
        let user = std::fs::metadata("/proc/self/ns/user").map(|metadata| metadata.ino());
        let sees_all = pid_namespace() == Some(FIRST_PID_NAMESPACE)
            && user.is_ok_and(|inode| inode == FIRST_USER_NAMESPACE)
            && proc_shows_own_pids()
            && proc_hides_nobody()
            && may_read_all();
        // A process that starts or ends meanwhile does not matter: who holds a claim from before
        // was there all the time.
        sees_all
            && other_processes().is_ok_and(|mut all| all.all(|p| mapping.is_in(&p) == Some(false)))
    }
}

/// Whether /proc belongs to this process's own pid namespace, and not to one around it.
fn proc_shows_own_pids() -> bool {
    // One number for each namespace from that of /proc inwards, see proc_pid_status(5).
    let own = std::process::id().to_string();
    status_field("NSpid:").is_some_and(|pids| pids.split_whitespace().eq([own.as_str()]))
}

/// Whether /proc is mounted without `hidepid`: a security module may deny even root a look at a
/// process, and that must not make it invisible.
fn proc_hides_nobody() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo");
    mounts.is_ok_and(|mounts| !mounts.contains("hidepid="))
}

/// Whether this process may read every process's mappings, and is shown every process.
fn may_read_all() -> bool {
    let effective = status_field("CapEff:");
    let bits = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> CAP_SYS_PTRACE & 1 == 1)
}

fn status_field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

/// The folders in /proc of all processes but this one.
fn other_processes() -> io::Result<impl Iterator<Item = std::path::PathBuf>> {
    let own = std::process::id();
    let entries: Vec<_> = std::fs::read_dir("/proc")?.collect::<io::Result<_>>()?;
    let pid = |entry: &std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let others = move |entry: &std::fs::DirEntry| pid(entry).is_some_and(|pid| pid != own);
    Ok(entries.into_iter().filter(others).map(|entry| entry.path()))
}

/// How a mapped file shows in /proc/PID/maps (proc_pid_maps(5)).
///
/// As found in this process's own: stat(2) gives other numbers for files of btrfs and overlayfs.
#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    device: String,
    inode: String,
    bytes: u64,
}

/// One line of it.
struct Area<'a> {
    start: u64,
    end: u64,
    is_shared: bool,
    device: &'a str,
    inode: &'a str,
}

impl<'a> Area<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let permissions = fields.next()?;
        let _offset = fields.next()?;
        Some(Self {
            start: number(start)?,
            end: number(end)?,
            is_shared: permissions.ends_with('s'),
            device: fields.next()?,
            inode: fields.next()?,
        })
    }
}

impl Mapping {
    /// The one that these words lie in.
    fn of(words: &[AtomicU64]) -> Option<Self> {
        let maps = std::fs::read("/proc/self/maps").ok()?;
        Self::at(&String::from_utf8_lossy(&maps), words.as_ptr().addr() as u64)
    }

    fn at(maps: &str, address: u64) -> Option<Self> {
        let mut areas = maps.lines().filter_map(Area::of);
        let area = areas.find(|area| (area.start..area.end).contains(&address))?;
        (area.is_shared && area.inode != "0").then(|| Self {
            device: area.device.to_owned(),
            inode: area.inode.to_owned(),
            bytes: area.end - area.start,
        })
    }

    /// Whether a process, by its folder in /proc, has the file mapped; `None` if that cannot be seen.
    fn is_in(&self, process: &Path) -> Option<bool> {
        match read_maps(process).ok()? {
            Some(maps) => Some(self.is_among(&maps)),
            // It has no memory: a thread of the kernel, or it has ended. But then the others of
            // its threads may live on.
            None => {
                let is_gone = || (!process.exists()).then_some(false);
                let Ok(threads) = std::fs::read_dir(process.join("task")) else {
                    return is_gone();
                };
                for thread in threads {
                    // It may be waited for just now.
                    let Ok(thread) = thread else { return is_gone() };
                    let maps = read_maps(&thread.path()).ok()?;
                    if maps.is_some_and(|maps| self.is_among(&maps)) {
                        return Some(true);
                    }
                }
                Some(false)
            }
        }
    }

    fn is_among(&self, maps: &str) -> bool {
        maps.lines().filter_map(Area::of).any(|area| {
            // A shared mapping of the same size is taken for the table, too: through another layer
            // of a stacked file system one file has two numbers.
            area.device == self.device && area.inode == self.inode
                || area.is_shared && area.end - area.start == self.bytes
        })
    }
}

/// The mappings of a process or thread; `None` if it has no memory any more.
fn read_maps(process: &Path) -> io::Result<Option<String>> {
    match std::fs::read(process.join("maps")) {
        Ok(maps) if maps.is_empty() => Ok(None),
        Ok(maps) => Ok(Some(String::from_utf8_lossy(&maps).into_owned())),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0a0000000-55d0a0001000 r--p 00000000 fd:01 77                         /usr/sbin/some program
7f0000000000-7f0000100000 rw-s 00000000 00:1c 4711                       /var/lib/eximrbl/table
7f0000200000-7f0000300000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn a_mapping_is_known_by_file_and_feared_by_size() {
        let table = Mapping::at(MAPS, 0x7f00_0004_2000).unwrap();
        let expected = Mapping { device: "00:1c".into(), inode: "4711".into(), bytes: 1 << 20 };
        assert_eq!(table, expected);
        assert_eq!(Mapping::at(MAPS, 0x7f00_0010_0000), None, "past its end");
        assert_eq!(Mapping::at(MAPS, 0x7f00_0020_0000), None, "memory of no file");
        assert!(table.is_among(MAPS));
        let other = |line: &str| table.is_among(line);
        assert!(other("1000-2000 r--s 00000000 00:1c 4711 /x"), "a part of it");
        assert!(other("7f0000000000-7f0000100000 rw-s 00000000 08:01 5 /x"), "of its size");
        assert!(!other("7f0000000000-7f0000100000 rw-p 00000000 08:01 5 /x"), "but not shared");
        assert!(!other("1000-2000 rw-s 00000000 00:1c 471 /x"));
        assert!(!other("1000-2000 rw-s 00000000 00:1d 4711 /x"));
        assert!(!other("") && !other("rubbish of no kind"));
    }

    #[test]
    fn what_cannot_be_seen_proves_nothing() {
        let table = Mapping::at(MAPS, 0x7f00_0000_0000).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let process = folder.path().join("4711");
        assert_eq!(table.is_in(&process), Some(false), "there is none");
        std::fs::create_dir_all(process.join("task/4712")).unwrap();
        std::fs::write(process.join("maps"), "").unwrap();
        assert_eq!(table.is_in(&process), Some(false), "it has ended");
        std::fs::write(process.join("task/4712/maps"), MAPS).unwrap();
        assert_eq!(table.is_in(&process), Some(true), "one of its threads lives on");
        std::fs::remove_file(process.join("maps")).unwrap();
        std::fs::create_dir(process.join("maps")).unwrap();
        assert_eq!(table.is_in(&process), None, "an error");
    }

    #[test]
    fn the_own_mapping_is_found() {
        let folder = tempfile::tempdir().unwrap();
        // Of a size of its own: by that it is feared where others look who has theirs mapped.
        let options = crate::CreateOptions { slots: 1288, ..crate::CreateOptions::default() };
        let table = crate::WritableTable::create(&folder.path().join("table"), &options).unwrap();
        let mapping = Mapping::of(table.words()).unwrap();
        assert_eq!(mapping.is_in(Path::new("/proc/self")), Some(true));
        drop(table);
        assert_eq!(mapping.is_in(Path::new("/proc/self")), Some(false));
        let heap = crate::WritableTable::on_heap(64).unwrap();
        assert_eq!(Mapping::of(heap.words()), None);
    }
}
