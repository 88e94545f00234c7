//! What the daemon must not be able to do, whoever has taken it over: tried from inside.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::{Group, Pid, chown};

use crate::machine::Machine;
use crate::{can_run, make_user, unit_without};

/// Says to the probe that it is one.
const MARK: &str = "EXIMRBL_PROBE";
/// Where the program of this test lies inside.
const PROGRAM: &str = "/usr/local/libexec/probe";

/// One thing to try.
struct Probe {
    name: &'static str,
    /// The settings of the unit without which it is possible: these and no others forbid it. Empty
    /// where more than one stands in its way, or the user.
    forbidden_by: &'static [&'static str],
    attempt: fn() -> Result<()>,
}

/// What the daemon does need.
const NEEDED: [Probe; 7] = [
    probe("write its folder", &[], || fs::write("/var/lib/eximrbl/probe", "x")),
    probe("write its trail's folder", &[], || fs::write("/var/log/eximrbl/probe", "x")),
    probe("bind port 53", &[], || TcpListener::bind("127.0.0.1:53").map(drop)),
    probe("read its configuration", &[], || fs::read("/etc/eximrbl/eximrbl.toml").map(drop)),
    probe("know its pid namespace", &[], || fs::metadata("/proc/self/ns/pid").map(drop)),
    probe("know who is dead", &[], || match kill(Pid::from_raw(4_194_000), None) {
        Err(Errno::ESRCH) => Ok(()),
        other => Err(Error::other(format!("{other:?}"))),
    }),
    probe("give a table to Exim's group", &[], || {
        fs::write("/var/lib/eximrbl/given", "x")?;
        let exim = Group::from_name("Debian-exim")?.ok_or(ErrorKind::NotFound)?;
        Ok(chown("/var/lib/eximrbl/given", None, Some(exim.gid))?)
    }),
];

const FILTER: &[&str] = &["SystemCallFilter="];

/// What it must not do.
const FORBIDDEN: [Probe; 34] = [
    probe("write elsewhere", &["ProtectSystem="], || fs::write("/srv/open/new", "x")),
    probe("write its configuration", &[], || append("/etc/eximrbl/eximrbl.toml")),
    probe("read homes", &["ProtectHome="], || fs::read("/home/open").map(drop)),
    probe("see others' temporary files", &["PrivateTmp="], || fs::read("/tmp/open").map(drop)),
    probe("open a device", &["PrivateDevices="], || append("/dev/open")),
    probe("read Exim's configuration", &["InaccessiblePaths="], || read("/etc/exim4/open")),
    probe("read Exim's spool", &["InaccessiblePaths="], || read("/var/spool/exim4/open")),
    probe("read Exim's log", &["InaccessiblePaths="], || read("/var/log/exim4/open")),
    probe("see others' processes", &["ProtectProc="], || read("/proc/1/stat")),
    probe("see the kernel's settings", &["ProcSubset="], || read("/proc/sys/kernel/ostype")),
    probe("make a setuid file", &["RestrictSUIDSGID="], || {
        fs::write("/var/lib/eximrbl/suid", "x")?;
        fs::set_permissions("/var/lib/eximrbl/suid", Permissions::from_mode(0o4755))
    }),
    probe("gain rights by a setuid program", &[], || {
        let output = Command::new("/usr/local/bin/setuid-id").arg("-u").output()?;
        if output.stdout == b"0\n" { Ok(()) } else { Err(Errno::EPERM.into()) }
    }),
    probe("become root", &[], || call(libc::SYS_setuid, [0; 6])),
    probe("make a user namespace", &["RestrictNamespaces="], || {
        let status = Command::new("unshare").args(["--user", "/bin/true"]).status()?;
        if status.success() { Ok(()) } else { Err(Errno::EPERM.into()) }
    }),
    probe("enter a namespace", &[], || natural(libc::SYS_setns, [-1, 0, 0, 0, 0, 0], Errno::EBADF)),
    probe("map memory to write and execute", &["MemoryDenyWriteExecute="], || {
        let rights = libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        call(libc::SYS_mmap, [0, 4096, rights.into(), flags.into(), -1, 0])
    }),
    probe("make memory executable", &["MemoryDenyWriteExecute="], || {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = value(libc::SYS_mmap, [0, 4096, libc::PROT_WRITE.into(), flags.into(), -1, 0])?;
        call(libc::SYS_mprotect, [page, 4096, libc::PROT_EXEC.into(), 0, 0, 0])
    }),
    probe("talk to the kernel by netlink", &["RestrictAddressFamilies="], || {
        socket(libc::AF_NETLINK, libc::SOCK_RAW)
    }),
    probe("read the network's packets", &[], || socket(libc::AF_PACKET, libc::SOCK_RAW)),
    probe("send raw packets", &[], || {
        let raw = [libc::AF_INET.into(), libc::SOCK_RAW.into(), libc::IPPROTO_ICMP.into()];
        call(libc::SYS_socket, [raw[0], raw[1], raw[2], 0, 0, 0])
    }),
    probe("change its personality", &["LockPersonality="], || {
        call(libc::SYS_personality, [8, 0, 0, 0, 0, 0])
    }),
    probe("run in real time", &[], || {
        let priority = 1_i32;
        let (fifo, priority) = (libc::SCHED_FIFO.into(), (&raw const priority) as i64);
        call(libc::SYS_sched_setscheduler, [0, fifo, priority, 0, 0, 0])
    }),
    probe("read another's memory", FILTER, || {
        // Its own number: where that is allowed, it reads nothing from nowhere.
        call(libc::SYS_process_vm_readv, [std::process::id().into(), 0, 0, 0, 0, 0])
    }),
    probe("measure the processor", FILTER, || {
        natural(libc::SYS_perf_event_open, [0; 6], Errno::EFAULT)
    }),
    probe("use io_uring", FILTER, || {
        natural(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0], Errno::EFAULT)
    }),
    probe("keep keys in the kernel", FILTER, || {
        // KEYCTL_GET_KEYRING_ID of the session's.
        call(libc::SYS_keyctl, [0, -3, 1, 0, 0, 0])
    }),
    probe("lock memory", FILTER, || {
        let place = 0_u64;
        call(libc::SYS_mlock, [(&raw const place) as i64, 8, 0, 0, 0, 0])
    }),
    probe("change its priority", FILTER, || call(libc::SYS_setpriority, [0, 0, 19, 0, 0, 0])),
    probe("set the clock", &[], || natural(libc::SYS_clock_settime, [0; 6], Errno::EFAULT)),
    probe("mount", &[], || {
        let (kind, place) = (c"tmpfs".as_ptr() as i64, c"/mnt".as_ptr() as i64);
        call(libc::SYS_mount, [kind, place, kind, 0, 0, 0])
    }),
    probe("load a module", &[], || {
        natural(libc::SYS_init_module, [0, 0, c"".as_ptr() as i64, 0, 0, 0], Errno::ENOEXEC)
    }),
    probe("restart the machine", &[], || natural(libc::SYS_reboot, [0; 6], Errno::EINVAL)),
    probe("rename the machine", &[], || {
        call(libc::SYS_sethostname, [c"probe".as_ptr() as i64, 5, 0, 0, 0, 0])
    }),
    probe("make a device", &[], || {
        let mode = i64::from(libc::S_IFCHR | 0o666);
        let device = libc::makedev(1, 5) as i64;
        call(
            libc::SYS_mknodat,
            [-100, c"/var/lib/eximrbl/zero".as_ptr() as i64, mode, device, 0, 0],
        )
    }),
];

const fn probe(
    name: &'static str,
    forbidden_by: &'static [&'static str],
    attempt: fn() -> Result<()>,
) -> Probe {
    Probe { name, forbidden_by, attempt }
}

fn read(path: &str) -> Result<()> {
    fs::read(path).map(drop)
}

fn append(path: &str) -> Result<()> {
    OpenOptions::new().append(true).open(path).map(drop)
}

fn socket(family: i32, kind: i32) -> Result<()> {
    call(libc::SYS_socket, [family.into(), kind.into(), 0, 0, 0, 0])
}

/// Makes a system call, and gives its value.
#[allow(unsafe_code)]
fn value(number: libc::c_long, arguments: [i64; 6]) -> Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the calls above get numbers, null, or the addresses of literals and of variables
    // that live longer; none writes into this process's memory, but mmap and mprotect, which get a
    // page of their own.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => Err(Error::last_os_error()),
        value => Ok(value),
    }
}

/// Makes a system call that succeeds where it is allowed.
fn call(number: libc::c_long, arguments: [i64; 6]) -> Result<()> {
    value(number, arguments).map(drop)
}

/// Makes a system call with arguments that do no harm: where it is allowed, it fails in this way,
/// or because the kernel was built without it.
fn natural(number: libc::c_long, arguments: [i64; 6], allowed: Errno) -> Result<()> {
    let natural = [Some(allowed as i32), Some(Errno::ENOSYS as i32)];
    match call(number, arguments) {
        Err(error) if natural.contains(&error.raw_os_error()) => Ok(()),
        other => other,
    }
}

/// The probe itself: run by the services below, and by nobody else.
#[test]
#[ignore = "runs inside a service of the other tests"]
fn attempts() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    for Probe { name, attempt, .. } in NEEDED.iter().chain(&FORBIDDEN) {
        match attempt() {
            Ok(()) => println!("\nprobe {name}: allowed"),
            Err(error) => println!("\nprobe {name}: refused: {error}"),
        }
    }
}

/// Runs the probe in a service with this unit; what it may do, and what not, by name.
fn run(machine: &Machine, unit: &str) -> BTreeMap<String, String> {
    machine.write("/etc/systemd/system/probe.service", unit);
    // What the last one has left.
    machine.succeed(
        "rm -rf /run/probe.out /var/lib/eximrbl /srv/open/*; umount -q /mnt || true
         install -d -o eximrbl -g eximrbl /var/lib/eximrbl
         systemctl daemon-reload; systemctl start probe",
    );
    let output = fs::read_to_string(machine.path("/run/probe.out")).unwrap();
    assert!(output.contains("test result: ok. 1 passed"), "{output}");
    let lines = output.lines().filter_map(|line| line.strip_prefix("probe "));
    let results = lines.filter_map(|line| line.split_once(": "));
    results.map(|(name, result)| (name.to_owned(), result.to_owned())).collect()
}

/// The unit that ships with the probe in the daemon's place, less some of its settings.
fn unit(less: &[&str]) -> String {
    let ours = ["Type=", "ExecReload=", "Restart=", "RestartSec=", "WatchdogSec="];
    let text = unit_without(&[&ours, less].concat());
    let start = text.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
    text.replace(start, &service())
}

/// The lines that make a service of the probe.
fn service() -> String {
    format!(
        "Type=oneshot\nExecStart={PROGRAM} --ignored --exact probe::attempts --nocapture\n\
         Environment={MARK}=1\nStandardOutput=file:/run/probe.out"
    )
}

/// Puts into the machine what the probe is to try its hands on, open to everybody but for the unit.
fn lay_out(machine: &Machine) {
    make_user(machine);
    machine.install(&std::env::current_exe().unwrap(), PROGRAM, 0o755);
    machine.write("/etc/eximrbl/eximrbl.toml", "");
    machine.succeed(
        "for folder in /etc/exim4 /var/spool/exim4 /var/log/exim4; do
             mkdir -p $folder; echo secret >$folder/open; chmod 644 $folder/open; chmod 755 $folder
         done
         echo secret >/home/open; echo secret >/tmp/open; chmod 644 /home/open /tmp/open
         chmod 755 /home; mkdir -p /srv/open; chmod 777 /srv/open
         mknod -m 666 /dev/open c 1 5
         install -m 4755 /usr/bin/id /usr/local/bin/setuid-id",
    );
}

/// Caught, each by its probe: every setting of the unit that `forbidden_by` names, left out.
#[test]
fn what_the_daemon_does_not_need_is_refused_and_by_the_setting_that_is_there_for_it() {
    if !can_run() {
        return;
    }
    let machine = Machine::start();
    lay_out(&machine);

    let inside = run(&machine, &unit(&[]));
    for Probe { name, .. } in &NEEDED {
        assert_eq!(inside[*name], "allowed", "{name}");
    }
    for Probe { name, .. } in &FORBIDDEN {
        assert!(inside[*name].starts_with("refused"), "{name}: {}", inside[*name]);
    }

    // Without any restriction all of it is possible, so it is the unit that forbids.
    let free = run(&machine, &format!("[Service]\n{}\n", service()));
    for Probe { name, .. } in NEEDED.iter().chain(&FORBIDDEN) {
        assert_eq!(free[*name], "allowed", "{name}, without any restriction");
    }

    // And it is the setting that is meant to.
    let mut settings: Vec<_> = FORBIDDEN.iter().map(|probe| probe.forbidden_by).collect();
    settings.retain(|settings| !settings.is_empty());
    settings.sort_unstable();
    settings.dedup();
    for settings in settings {
        let opened = run(&machine, &unit(settings));
        for Probe { name, forbidden_by, .. } in &FORBIDDEN {
            if *forbidden_by == settings {
                assert_eq!(opened[*name], "allowed", "{name}, without {settings:?}");
            }
        }
    }
    let bind = run(&machine, &unit(&["AmbientCapabilities="]));
    assert!(bind["bind port 53"].starts_with("refused"), "it needs no capability");
}
