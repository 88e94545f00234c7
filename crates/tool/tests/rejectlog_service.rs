//! `import --rejectlog --follow` under packaging/eximrbl-rejectlog.service, started by a real systemd: it
//! reads Exim's log, writes the table, and can do nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

#[path = "../../daemon/tests/sandbox/machine.rs"]
mod machine;

use std::path::Path;
use std::time::{Duration, Instant};

use eximrbl_table::{CreateOptions, Table, WritableTable, now};
use machine::Machine;

/// The unit that ships.
const UNIT: &str = include_str!("../../../packaging/eximrbl-rejectlog.service");
const SERVICE: &str = "eximrbl-rejectlog";
const TABLE: &str = "/var/lib/eximrbl/table";
const LOG: &str = "/var/log/exim4/rejectlog";
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("not run: needs root, to start a systemd in namespaces of its own");
    }
    is_root
}

/// Exim writes of a client, as Exim's user, with the rights that Debian's Exim gives its log.
fn reject(machine: &Machine, address: &str) {
    machine.succeed(&format!(
        "echo \"$(date '+%F %T') H=(x) [{address}] F=<a@b> rejected RCPT <c@d>: no\" >> {LOG}; \
         chown Debian-exim:adm {LOG}; chmod 640 {LOG}"
    ));
}

/// Waits until the address is in the table.
#[track_caller]
fn wait_for(machine: &Machine, address: &str) {
    let started = Instant::now();
    let network = address.parse().unwrap();
    while Table::open(&machine.path(TABLE)).unwrap().entry(network, now()).is_none() {
        let waited = started.elapsed() > PATIENCE;
        assert!(!waited, "{address} is not recorded:\n{}", machine.journal(SERVICE));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often systemd has started it again.
fn restarts(machine: &Machine) -> u32 {
    let text = machine.succeed(&format!("systemctl show -P NRestarts {SERVICE}"));
    text.trim().parse().unwrap()
}

/// Caught: a service that is given up before there is a table; a state directory that cannot be
/// written to; the group `adm` left out; a system call that it needs, forbidden; the network left to
/// it.
#[test]
fn it_does_its_work_inside_the_units_sandbox() {
    if !is_root() {
        return;
    }
    let machine = Machine::start();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/eximrbl.sysusers");
    machine.install(file.as_ref(), "/usr/lib/sysusers.d/eximrbl.conf", 0o644);
    machine.succeed("systemd-sysusers eximrbl.conf");
    machine.install(Path::new(env!("CARGO_BIN_EXE_eximrbl")), "/usr/sbin/eximrbl", 0o755);
    machine.write(&format!("/etc/systemd/system/{SERVICE}.service"), UNIT);
    // The daemon, which makes the table, is another test's: here it is only named.
    machine.write(
        "/etc/systemd/system/eximrbld.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
    );
    machine.succeed("install -d -o Debian-exim -g adm -m 2750 /var/log/exim4");
    machine.succeed(&format!("rm -f {LOG}* && systemctl daemon-reload"));
    // It succeeds with unknown settings too, but tells them.
    let told = machine.succeed(&format!("cd / && systemd-analyze verify {SERVICE}.service 2>&1"));
    assert!(!told.contains(SERVICE), "{told}");

    // Before there is a table: it comes again until there is one, also after the five times in ten
    // seconds with which systemd is content by itself.
    reject(&machine, "203.0.113.1");
    let _ = machine.run(&format!("systemctl start {SERVICE}"));
    machine.wait_for_line(SERVICE, "eximrbl create");
    let started = Instant::now();
    while restarts(&machine) < 6 {
        let waited = started.elapsed() > PATIENCE;
        assert!(!waited, "it does not come again:\n{}", machine.journal(SERVICE));
        std::thread::sleep(Duration::from_millis(100));
    }
    machine.succeed("install -d -o eximrbl -g eximrbl -m 755 /var/lib/eximrbl");
    let options = CreateOptions { slots: 4096, ..CreateOptions::default() };
    drop(WritableTable::create(&machine.path(TABLE), &options).unwrap());
    machine.succeed(&format!("chown eximrbl:Debian-exim {TABLE}"));
    wait_for(&machine, "203.0.113.1");

    // Rotation as Debian's logrotate does it, and a restart in between.
    reject(&machine, "203.0.113.2");
    wait_for(&machine, "203.0.113.2");
    machine.succeed(&format!("systemctl reload {SERVICE} && systemctl stop {SERVICE}"));
    assert_eq!(machine.succeed(&format!("systemctl show -P Result {SERVICE}")), "success\n");
    reject(&machine, "203.0.113.3");
    machine.succeed(&format!("mv {LOG} {LOG}.1"));
    reject(&machine, "203.0.113.4");
    machine.succeed(&format!("systemctl start {SERVICE}"));
    for last in ["203.0.113.3", "203.0.113.4"] {
        wait_for(&machine, last);
    }
    let table = Table::open(&machine.path(TABLE)).unwrap();
    let counts: Vec<u32> = table.entries(now()).map(|entry| entry.count).collect();
    assert_eq!(counts, [1; 4], "each once");

    // What it may do.
    let pid = machine.succeed(&format!("systemctl show -P MainPID {SERVICE}"));
    let pid = pid.trim();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let found =
            machine.succeed(&format!("grep -c '^{set}:.0000000000000000$' /proc/{pid}/status"));
        assert_eq!(found, "1\n", "{set}");
    }
    let inside = |command: &str| machine.run(&format!("nsenter -t {pid} -m -n {command}"));
    assert!(!inside("touch /var/log/exim4/x").status.success(), "it could write beside the log");
    assert!(!inside("touch /etc/x").status.success(), "it could write to /etc");
    assert!(inside("touch /var/lib/eximrbl/x").status.success(), "nothing can be written at all");
    let network = |pid: &str| machine.succeed(&format!("readlink /proc/{pid}/ns/net"));
    assert_ne!(network(pid), network("1"), "it has the machine's network");
}

/// The worth of the unit by systemd's own measure, from 0 (best) to 10.
#[test]
fn systemd_finds_next_to_nothing_left_to_forbid() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/eximrbl-rejectlog.service");
    let mut command = std::process::Command::new("systemd-analyze");
    // In tenths.
    command.args(["security", "--offline=yes", "--no-pager", "--threshold=10", unit]);
    let output = command.output().expect("the package systemd is needed (tests/run.sh)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Overall exposure level"), "{text}");
}
