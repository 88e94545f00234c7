//! What the daemon must be able to do inside.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::{Duration, Instant};

use eximrbl_table::{CreateOptions, Name, Report, Table, WritableTable, dictionary, now};
use eximrbl_zone::config::AUDIT_PATH;

use crate::machine::Machine;
use crate::{UNIT, can_run, make_user};

const CONFIGURATION: &str = "version = 1\n[dns]\nlisten = [\"127.0.0.1:53\", \"[::1]:53\"]\n\
    [policy]\nbase_ttl = 600\n[table]\nslots = 4096\n[audit]\n\
    [collector]\ntcp = [\"127.0.0.1:4444\"]\nunix = \"/run/eximrbl/report\"\n";
const ZONE: &str = "[[zone]]\nname = \"rbl.example\"\n";
/// Names a table to the program of this test when it is run to resize it.
const MARK: &str = "EXIMRBL_RESIZE";
const PATH: &str = "/var/lib/eximrbl/table";
const CONTROL: &str = "/run/eximrbl/control";
const REPORT: &str = "/run/eximrbl/report";
/// What the running daemon says of a new table in the place of one that was cut short.
const MADE_ANEW: &str = "was damaged; made an empty one";

/// Asks the daemon from inside, as a resolver's host does.
fn dig(machine: &Machine, arguments: &str) -> String {
    let text = machine.succeed(&format!("dig +short +tries=3 +time=10 {arguments}"));
    // A try that was in vain is told in between.
    let lines = text.lines().filter(|line| !line.starts_with(";;"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Records a rejection as Exim's processes do, for so many seconds at least.
fn record(path: &Path, client: &str, reason: &str) {
    let table = WritableTable::open(path).unwrap();
    let reason = table.reason(Name::new(reason.as_bytes()).unwrap(), true);
    let network = client.parse().unwrap();
    table
        .record(
            &Report { network, reason, reporter: dictionary::LOCAL, weight: None, seconds: None },
            now(),
        )
        .unwrap();
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The fields of `/proc/PID/status`.
fn status(machine: &Machine, field: &str) -> String {
    let pid = machine.succeed("systemctl show -P MainPID eximrbld");
    let text = machine.succeed(&format!("cat /proc/{}/status", pid.trim()));
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_daemon_does_all_its_work_inside_the_units_sandbox() {
    if !can_run() {
        return;
    }
    let machine = Machine::start();
    make_user(&machine);
    machine.install(Path::new(env!("CARGO_BIN_EXE_eximrbld")), "/usr/sbin/eximrbld", 0o755);
    machine.write("/etc/systemd/system/eximrbld.service", UNIT);
    machine.succeed("systemctl daemon-reload");
    comes_again(&machine);

    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{CONFIGURATION}{ZONE}"));
    // Type=notify: this returns when the daemon has said that it is ready; the line comes right after.
    machine.succeed("systemctl restart eximrbld");
    machine.wait_for_line("eximrbld", "INFO ready");
    let journal = machine.journal("eximrbld");
    let (_, journal) = journal.rsplit_once("INFO eximrbld ").unwrap();
    let writes = "writes in /var/lib/eximrbl, /var/log/eximrbl alone, by Landlock";
    assert!(journal.contains(writes), "{journal}");
    assert!(!journal.contains("WARN") && !journal.contains("ERROR"), "{journal}");
    let made = machine.succeed(&format!("stat -c '%a %U:%G' /var/lib/eximrbl {PATH}"));
    assert_eq!(made, "755 eximrbl:eximrbl\n660 eximrbl:Debian-exim\n");

    // "Empty capability set but the bind": number 10 is CAP_NET_BIND_SERVICE.
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(status(&machine, set), "0000000000000400", "{set}");
    }
    assert_eq!(status(&machine, "NoNewPrivs:"), "1");
    assert_eq!(status(&machine, "Seccomp:"), "2", "no filter of system calls");
    let user = machine.succeed("id -u eximrbl").trim().to_owned();
    assert_eq!(status(&machine, "Uid:"), [&user[..]; 4].join(" "));

    // Port 53, by both protocols and both families, reader of what others write.
    let table = machine.path(PATH);
    record(&table, "192.0.2.1", "rcpt");
    for way in ["@127.0.0.1", "+tcp @127.0.0.1", "@::1", "+tcp @::1"] {
        assert_eq!(dig(&machine, &format!("{way} 1.2.0.192.rbl.example")), "127.0.0.2\n", "{way}");
    }

    controlled(&machine);
    audited(&machine);
    collected(&machine);
    reload(&machine);
    replaced(&machine);
    swept(&machine);
    resized(&machine);
    passed_on(&machine);
    exchanged(&machine);
    died(&machine);

    machine.succeed("systemctl stop eximrbld");
    assert_eq!(machine.succeed("systemctl show -P Result eximrbld"), "success\n");
    assert!(!machine.path(CONTROL).exists() && !machine.path(REPORT).exists());
}

/// What keeps it from starting may be gone in a moment. Caught: systemd's own five tries.
fn comes_again(machine: &Machine) {
    machine.write("/etc/eximrbl/eximrbl.toml", "version = 1\n");
    let started = machine.run("systemctl start eximrbld");
    assert!(!started.status.success(), "there is no zone");
    wait_until("systemd has tried it seven times", || {
        let restarts = machine.succeed("systemctl show -P NRestarts eximrbld");
        restarts.trim().parse::<u32>().unwrap() > 6
    });
}

/// The trail in its default place, for nobody but the daemon's group; and renamed, as logrotate does.
fn audited(machine: &Machine) {
    let trail = machine.path(AUDIT_PATH);
    let text = || fs::read_to_string(&trail).unwrap_or_default();
    wait_until("the trail has the first entry", || text().contains("\"network\":\"192.0.2.1\""));
    let folder = Path::new(AUDIT_PATH).parent().unwrap().display();
    let made = machine.succeed(&format!("stat -c '%a %U:%G' {folder} {AUDIT_PATH}"));
    assert_eq!(made, "750 eximrbl:eximrbl\n640 eximrbl:eximrbl\n");
    machine.succeed(&format!("mv {AUDIT_PATH} {AUDIT_PATH}.1"));
    record(&machine.path(PATH), "192.0.2.11", "rcpt");
    wait_until("there is a new file", || text().contains("\"network\":\"192.0.2.11\""));
}

/// The control socket in its default place, for Exim's group.
fn controlled(machine: &Machine) {
    let folder = Path::new(CONTROL).parent().unwrap().display();
    let made = machine.succeed(&format!("stat -c '%a %U:%G' {folder} {CONTROL}"));
    assert_eq!(made, "755 eximrbl:eximrbl\n660 eximrbl:Debian-exim\n");
    let answer = ask(machine, CONTROL, "stats\n");
    assert!(answer.contains("\"tcp_accepted\":2,"), "{answer}");
}

/// Sends a line to a Unix socket inside; the answer.
fn ask(machine: &Machine, socket: &str, line: &str) -> String {
    // The way to it is longer than a socket's path may be; a short name leads there.
    let scratch = tempfile::tempdir().unwrap();
    let near = scratch.path().join("s");
    std::os::unix::fs::symlink(machine.path(socket), &near).unwrap();
    let started = Instant::now();
    // Who asks too late, on a machine that is busy elsewhere, gets no answer, and nothing was done.
    loop {
        let mut stream = std::os::unix::net::UnixStream::connect(&near).unwrap();
        let mut answer = String::new();
        let sent = stream.write_all(line.as_bytes());
        let read = sent.and_then(|()| stream.read_to_string(&mut answer));
        if !answer.is_empty() {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no answer: {read:?}");
    }
}

/// Reports by TCP, and by the Unix socket for Exim's group.
fn collected(machine: &Machine) {
    let made = machine.succeed(&format!("stat -c '%a %U:%G' {REPORT}"));
    assert_eq!(made, "660 eximrbl:Debian-exim\n");
    assert_eq!(ask(machine, REPORT, "black 192.0.2.77\n"), "ok count 1 seconds 600\n");
    let by_tcp = "exec 3<>/dev/tcp/127.0.0.1/4444; echo black 192.0.2.78 >&3; cat <&3";
    let answer = machine.succeed(&format!("bash -c '{by_tcp}'"));
    assert_eq!(answer, "ok count 1 seconds 600\n");
    assert_eq!(dig(machine, "@127.0.0.1 78.2.0.192.rbl.example"), "127.0.0.2\n");
}

/// `systemctl reload`: zones and policy; a bad file is refused and the old one stays.
fn reload(machine: &Machine) {
    let codes = "codes = { rcpt = 9 }\n";
    let policy = CONFIGURATION.replace("base_ttl = 600", "base_ttl = 601");
    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{policy}{ZONE}{codes}"));
    machine.succeed("systemctl reload eximrbld");
    machine.wait_for_line("eximrbld", "INFO reloaded; zones: 1");
    assert_eq!(dig(machine, "@127.0.0.1 1.2.0.192.rbl.example"), "127.0.0.9\n");
    assert_eq!(Table::open(&machine.path(PATH)).unwrap().policy().base_ttl, 601);
    machine.write("/etc/eximrbl/eximrbl.toml", "version = 2\n");
    assert!(!machine.run("systemctl reload eximrbld").status.success());
    assert_eq!(dig(machine, "@127.0.0.1 1.2.0.192.rbl.example"), "127.0.0.9\n");
    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{CONFIGURATION}{ZONE}"));
    machine.succeed("systemctl reload eximrbld");
    wait_until("the first policy is back", || {
        Table::open(&machine.path(PATH)).unwrap().policy().base_ttl == 600
    });
}

/// Another table in the place of the served one; one that is gone; one that was cut short.
fn replaced(machine: &Machine) {
    let table = machine.path(PATH);
    let numbers = machine.succeed("id -u eximrbl; getent group Debian-exim | cut -d : -f 3");
    let numbers: Vec<u32> = numbers.lines().map(|line| line.parse().unwrap()).collect();
    let aside = machine.path("/var/lib/eximrbl/other");
    let options = CreateOptions { slots: 64, ..CreateOptions::default() };
    drop(WritableTable::create(&aside, &options).unwrap());
    chown(&aside, Some(numbers[0]), Some(numbers[1])).unwrap();
    record(&aside, "192.0.2.2", "rcpt");
    fs::rename(&aside, &table).unwrap();
    machine.wait_for_line("eximrbld", "was replaced; reopened");
    assert_eq!(dig(machine, "@127.0.0.1 2.2.0.192.rbl.example"), "127.0.0.2\n");

    fs::remove_file(&table).unwrap();
    machine.wait_for_line("eximrbld", "was gone; made an empty one");
    let made = machine.succeed(&format!("stat -c '%a %U:%G' {PATH}"));
    assert_eq!(made, "660 eximrbl:Debian-exim\n", "Exim could not write it");

    cut_short(machine);
    record(&table, "192.0.2.3", "rcpt");
    assert_eq!(dig(machine, "@127.0.0.1 3.2.0.192.rbl.example"), "127.0.0.2\n");
}

/// A table that is cut short, and made anew by the daemon as it runs.
fn cut_short(machine: &Machine) {
    for _ in 0..10 {
        let before = tables_made(machine);
        let table = fs::OpenOptions::new().write(true).open(machine.path(PATH)).unwrap();
        table.set_len(4096).unwrap();
        wait_until("there is a new table", || tables_made(machine) > before);
        if machine.journal("eximrbld").contains(MADE_ANEW) {
            return;
        }
        // A sweep was about to begin, and met what is missing before a look at the file did: it was the next start
        // that made the new table. The names of those that are moved aside have seconds in them.
        wait_until_it_runs(machine);
        std::thread::sleep(Duration::from_millis(1100));
    }
    panic!("the daemon never makes a new table as it runs");
}

/// How often a table was made in the place of one that was cut short, and is served.
fn tables_made(machine: &Machine) -> usize {
    let journal = machine.journal("eximrbld");
    [MADE_ANEW, "newly made"].map(|line| journal.matches(line).count()).iter().sum()
}

fn wait_until_it_runs(machine: &Machine) {
    wait_until("the daemon runs", || {
        machine.run("systemctl is-active eximrbld").stdout == b"active\n"
    });
}

/// The keeper writes: what has expired goes.
fn swept(machine: &Machine) {
    let path = machine.path(PATH);
    let table = WritableTable::open(&path).unwrap();
    let policy = table.policy();
    let short = eximrbl_table::Policy { base_ttl: 1, floor: 1, ..policy.clone() };
    table.set_policy(&short).unwrap();
    let before = table.serial();
    record(&path, "192.0.2.4", "rcpt");
    // One event of the rejection, and one of the removal.
    wait_until("the entry is swept", || table.serial() > before + 1);
    table.set_policy(&policy).unwrap();
}

/// A table of another size, and a service that notices it.
fn resized(machine: &Machine) {
    let path = machine.path(PATH);
    record(&path, "192.0.2.5", "rcpt");
    // From inside, where the path has no way round by /proc.
    machine.install(&std::env::current_exe().unwrap(), "/usr/local/libexec/resize", 0o755);
    machine.succeed(&format!(
        "{MARK}={PATH} /usr/local/libexec/resize --ignored --exact service::resize"
    ));
    machine.wait_for_line("eximrbld", "was resized to 8192 slots");
    assert_eq!(dig(machine, "@127.0.0.1 5.2.0.192.rbl.example"), "127.0.0.2\n");
}

/// The name of a gatherer is looked up, here by the daemon's own DNS, and a connection tried: what
/// stands in the way is not the sandbox. The place among the changes is kept.
///
/// Caught: connections that are given up although reports are to be passed on.
fn passed_on(machine: &Machine) {
    let forward = "[forward]\nto = [\"2.0.0.127.rbl.example:4445\", \"none.rbl.example:4445\"]\nname = \"mx1\"\n\
                   secret_file = \"/etc/eximrbl/mx1.secret\"\nca = \"/etc/eximrbl/ca\"\n";
    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{CONFIGURATION}{forward}{ZONE}"));
    machine.succeed(
        "rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf
         echo 'hosts: files dns' >/etc/nsswitch.conf
         echo 0123456789abcdef | install -m 640 -g eximrbl /dev/stdin /etc/eximrbl/mx1.secret",
    );
    let ca = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    machine.write("/etc/eximrbl/ca", &ca.cert.pem());
    machine.succeed("systemctl restart eximrbld");
    machine.wait_for_line(
        "eximrbld",
        "reports are not passed on to 2.0.0.127.rbl.example:4445: 127.0.0.2:4445: Connection refused",
    );
    machine.wait_for_line(
        "eximrbld",
        "reports are not passed on to none.rbl.example:4445: its name cannot be looked up",
    );
    let positions = machine.path("/var/lib/eximrbl/table.forward");
    wait_until("the place among the changes is kept", || positions.exists());
    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{CONFIGURATION}{ZONE}"));
    machine.succeed("systemctl restart eximrbld");
}

/// Changes are published over NATS, and where that stands is kept.
///
/// Caught: connections that are given up although changes are to be exchanged.
fn exchanged(machine: &Machine) {
    let nats = "[nats]\nurl = \"nats://127.0.0.1:4222\"\nsite = \"paris\"\n";
    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{CONFIGURATION}{nats}{ZONE}"));
    machine.succeed("systemd-run -q --unit=nats nats-server -js -a 127.0.0.1 -sd /tmp/nats");
    machine.succeed("systemctl restart eximrbld");
    machine.wait_for_line("eximrbld", "INFO NATS: connected to ");
    record(&machine.path(PATH), "192.0.2.8", "rcpt");
    wait_until("it is published", || {
        let standing: serde_json::Value =
            serde_json::from_str(&ask(machine, CONTROL, "stats\n")).unwrap();
        standing["nats"]["published"].as_u64() > Some(0)
    });
    let positions = machine.path("/var/lib/eximrbl/nats-paris.json");
    wait_until("where that stands is kept", || positions.exists());
    machine.write("/etc/eximrbl/eximrbl.toml", &format!("{CONFIGURATION}{ZONE}"));
    machine.succeed("systemctl stop nats; systemctl restart eximrbld");
    // All these restarts are no reason not to start it any more.
    machine.succeed("systemctl reset-failed eximrbld");
}

/// Resizes a table: run inside by the test above, and by nobody else.
#[test]
#[ignore = "runs inside the machine of another test"]
fn resize() {
    if let Some(path) = std::env::var_os(MARK) {
        WritableTable::open(path.as_ref()).unwrap().resize(8192).unwrap();
    }
}

/// A table that is cut short, and touched before the daemon has seen that: the kernel ends it by
/// SIGBUS, systemd starts it again, and the start puts a new table in the place of what is left.
fn died(machine: &Machine) {
    let pid = || machine.succeed("systemctl show -P MainPID eximrbld").trim().to_owned();
    for _ in 0..10 {
        let (before, made) = (pid(), tables_made(machine));
        // The question waits for the daemon when that goes on; to make a new table takes longer.
        machine.succeed(&format!(
            "kill -STOP {before}; truncate -s 4096 {PATH}
             dig +short +tries=1 +time=1 @127.0.0.1 5.2.0.192.rbl.example || true
             kill -CONT {before}"
        ));
        wait_until("there is a new table", || tables_made(machine) > made);
        wait_until_it_runs(machine);
        record(&machine.path(PATH), "192.0.2.6", "rcpt");
        assert_eq!(dig(machine, "@127.0.0.1 6.2.0.192.rbl.example"), "127.0.0.2\n");
        // Else it has looked at the file in the instant before it was asked; the names of tables
        // that are moved aside have seconds in them.
        if pid() != before {
            assert!(machine.journal("eximrbld").contains("status=7/BUS"), "it ended otherwise");
            return;
        }
        std::thread::sleep(Duration::from_millis(1100));
    }
    panic!("the daemon is never ended by SIGBUS");
}

/// The worth of the unit by systemd's own measure, from 0 (best) to 10. What is left is what the
/// daemon needs: the network, its port, Exim's group, chown(2).
#[test]
fn systemd_finds_little_left_to_forbid() {
    let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/eximrbld.service");
    let mut command = std::process::Command::new("systemd-analyze");
    // In tenths; 19 of them.
    command.args(["security", "--offline=yes", "--no-pager", "--threshold=20", unit]);
    let output = command.output().expect("the package systemd is needed (tests/run.sh)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Overall exposure level"), "{text}");
}
