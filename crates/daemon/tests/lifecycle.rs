//! Start, reload and stop; a table that is damaged, replaced or gone; whom the process is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use common::{Daemon, PLAIN, Place, command, fails, is_root, record, wait_until};
use eximrbl_table::{CreateOptions, Table, WritableTable};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use nix::unistd::{Group, User};

const A: u16 = 1;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// A small table that the daemon, as `nobody`, can write to.
fn small() -> CreateOptions {
    let nobody = User::from_name("nobody").unwrap().unwrap().uid.as_raw();
    let owner = is_root().then_some(nobody);
    CreateOptions { slots: 64, owner, ..CreateOptions::default() }
}

#[test]
fn it_serves_without_a_file() {
    let place = Place::new();
    let table = place.table();
    let daemon = Daemon::run(&[
        "--zone",
        "rbl.example",
        "--zone",
        "second.example",
        "--listen",
        "127.0.0.1:0",
        "--table",
        table.to_str().unwrap(),
        "--user",
        "nobody",
    ]);
    for zone in ["rbl.example", "second.example"] {
        let response = daemon.ask(&format!("2.0.0.127.{zone}"), A);
        assert_eq!(response.addresses(), [[127, 0, 0, 2]]);
    }
}

#[test]
fn sigterm_and_sigint_end_it_with_status_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let mut daemon = Daemon::start(&place, PLAIN);
        // An idle connection does not delay the end.
        let _idle = daemon.connect_tcp();
        daemon.signal(signal);
        assert_eq!(daemon.ended().code(), Some(0), "{signal}");
        daemon.wait_for(&format!("stopping on {signal}"));
        assert!(place.table().exists());
    }
}

#[test]
fn sighup_takes_over_zones_and_policy() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &format!("[policy]\nthreshold = 2\n{PLAIN}"));
    assert_eq!(Table::open(&place.table()).unwrap().policy().threshold, 2);
    record(&place.table(), "192.0.2.1", "rcpt");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).code(), NXDOMAIN);
    assert_eq!(daemon.ask("1.2.0.192.new.example", A).code(), REFUSED);
    place.configure(
        "negative_ttl = 30\n[policy]\nthreshold = 1\n\
         [[zone]]\nname = \"new.example\"\ncodes = { rcpt = 9 }\n",
    );
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("reloaded; zones: 1");
    assert_eq!(Table::open(&place.table()).unwrap().policy().threshold, 1);
    assert_eq!(daemon.ask("1.2.0.192.new.example", A).addresses(), [[127, 0, 0, 9]]);
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).code(), REFUSED);
    assert_eq!(daemon.ask("2.2.0.192.new.example", A).negative_ttl(), (30, 30));
}

#[test]
fn a_bad_file_keeps_the_old_configuration_and_says_so() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &format!("[policy]\nthreshold = 2\n{PLAIN}"));
    let path = place.configure("[policy]\nthreshold = 5\n[[zone]]\nname = \"new..example\"\n");
    let text = fs::read_to_string(&path).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("new..example")).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for(&format!(
        "ERROR not reloaded, the old configuration stays: {}:{line}: zone[0].name: \"new..example\"",
        path.display()
    ));
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    assert_eq!(Table::open(&place.table()).unwrap().policy().threshold, 2);
    fs::remove_file(path).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("cannot read the configuration");
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn what_needs_a_restart_is_named() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let path = place.configure(PLAIN);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("127.0.0.1:0", "127.0.0.1:1")).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("WARN dns.listen has changed; restart eximrbld for that");
    daemon.wait_for("reloaded; zones: 1");
    assert!(!daemon.log().contains("table.path has changed"));
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn dns_goes_on_while_a_reload_waits_for_the_tables_lock() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let told = |line: &str| daemon.log().matches(line).count();
    // After two seconds a reload waits no more, and says so. That is seen where a machine is slow.
    let given_up = || told("another process is changing the policy and does not finish");
    for tries in 1..10 {
        // As another administrator's program does that changes the policy, and is slow.
        let file = fs::File::open(place.table()).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        place.configure(&format!("[policy]\nthreshold = 2\n{PLAIN}"));
        daemon.signal(Signal::SIGHUP);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
        }
        assert_eq!(told("INFO reloaded"), 0, "{}", daemon.log());
        drop(lock);
        wait_until(|| told("INFO reloaded; zones: 1") + given_up() == tries, || daemon.log());
        if given_up() < tries {
            assert_eq!(Table::open(&place.table()).unwrap().policy().threshold, 2);
            return;
        }
    }
    panic!("never waited for:\n{}", daemon.log());
}

#[test]
fn without_a_file_the_tables_policy_stays() {
    let place = Place::new();
    let path = place.table();
    let table = WritableTable::create(&path, &small()).unwrap();
    let policy = eximrbl_table::Policy { threshold: 7, ..eximrbl_table::Policy::default() };
    table.set_policy(&policy).unwrap();
    let _daemon = Daemon::run(&[
        "--zone",
        "rbl.example",
        "--listen",
        "127.0.0.1:0",
        "--table",
        path.to_str().unwrap(),
        "--user",
        "nobody",
    ]);
    assert_eq!(table.policy().threshold, 7);
}

#[test]
fn a_table_that_is_replaced_or_gone_is_opened_or_made_anew() {
    let place = Place::new();
    let zone = "[policy]\nthreshold = 2\n[[zone]]\nname = \"rbl.example\"\nreasons = [\"auth\"]\n";
    let daemon = Daemon::start(&place, zone);
    let path = place.table();
    // Another table, in whose dictionary the reason has another place.
    let aside = place.path("aside");
    let other = WritableTable::create(&aside, &small()).unwrap();
    for reason in ["one", "two", "three"] {
        other.reason(eximrbl_table::Name::new(reason.as_bytes()).unwrap(), false);
    }
    fs::rename(&aside, &path).unwrap();
    daemon.wait_for("was replaced; reopened");
    record(&path, "192.0.2.1", "two");
    record(&path, "192.0.2.1", "three");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).code(), NXDOMAIN);
    record(&path, "192.0.2.1", "auth");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    assert_eq!(Table::open(&path).unwrap().policy().threshold, 2, "policy in the new table");

    fs::remove_file(&path).unwrap();
    daemon.wait_for("was gone; made an empty one");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).code(), NXDOMAIN);
    record(&path, "192.0.2.1", "auth");
    record(&path, "192.0.2.1", "auth");
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn a_replacement_that_is_no_table_is_told_once_and_the_old_one_served() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    record(&place.table(), "192.0.2.1", "rcpt");
    let aside = place.path("aside");
    fs::write(&aside, "not a table at all").unwrap();
    fs::rename(&aside, place.table()).unwrap();
    daemon.wait_for("ERROR still serving the table as it was: ");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(daemon.log().matches("still serving").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.ask("1.2.0.192.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn a_damaged_table_is_refused_at_start_and_left_alone() {
    let place = Place::new();
    let config = place.configure(PLAIN);
    fs::write(place.table(), vec![0x5a; 100_000]).unwrap();
    let (status, error) = fails(&["--config", config.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(error.contains(place.table().to_str().unwrap()), "{error}");
    assert_eq!(fs::read(place.table()).unwrap(), vec![0x5a; 100_000]);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let table = place.table();
    let listen = taken.local_addr().unwrap().to_string();
    let (status, error) = fails(&[
        "--zone",
        "rbl.example",
        "--listen",
        &listen,
        "--table",
        table.to_str().unwrap(),
        "--user",
        "nobody",
    ]);
    assert_eq!(status, Some(1));
    assert!(error.contains(&format!("cannot listen on {listen} (UDP): ")), "{error}");
    assert!(error.contains("another program has it"), "{error}");
}

#[test]
fn expired_entries_are_swept() {
    let place = Place::new();
    let _daemon = Daemon::start(&place, &format!("[policy]\nbase_ttl = 2\nfloor = 1\n{PLAIN}"));
    let table = Table::open(&place.table()).unwrap();
    let before = table.serial();
    record(&place.table(), "192.0.2.1", "rcpt");
    // One event of the rejection, and one of the removal; nothing else changes the table.
    wait_until(|| table.serial() > before + 1, || "never swept".to_owned());
    assert_eq!(table.serial(), before + 2);
    assert_eq!(table.info(eximrbl_table::now()).expired, 0);
}

#[test]
fn the_log_is_quiet_unless_asked() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let lines = daemon.log().lines().count();
    assert!(lines <= 8, "{}", daemon.log());
    for _ in 0..10 {
        daemon.ask("2.0.0.127.rbl.example", A);
        daemon.ask("nowhere.else", A);
        daemon.exchange(b"not a DNS packet at all");
        daemon.exchange_tcp(&common::framed(&common::query(1, "2.0.0.127.rbl.example", A)), 1);
    }
    assert_eq!(daemon.log().lines().count(), lines, "{}", daemon.log());
    drop(daemon);
    let config = place.configure(PLAIN);
    let daemon = Daemon::run(&["--log", "trace", "--config", config.to_str().unwrap()]);
    daemon.ask("2.0.0.127.rbl.example", A);
    daemon.wait_for("TRACE query client=127.0.0.1:");
}

#[test]
fn a_log_that_nobody_reads_does_no_harm() {
    let place = Place::new();
    let mut daemon = Daemon::start(&place, PLAIN);
    daemon.stop_reading();
    // A line from the serving thread, and one from the keeper.
    daemon.signal(Signal::SIGHUP);
    fs::remove_file(place.table()).unwrap();
    wait_until(|| place.table().exists(), || "the keeper has ended".to_owned());
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn systemd_is_told() {
    let place = Place::new();
    let socket_path = place.path("notify");
    let socket = UnixDatagram::bind(&socket_path).unwrap();
    fs::set_permissions(&socket_path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let told = || {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).expect("systemd is told nothing");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let config = place.configure(PLAIN);
    let mut command = command(&["--config", config.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", &socket_path);
    let mut daemon = Daemon::run_command(command);
    assert_eq!(told().trim(), "READY=1");
    daemon.signal(Signal::SIGHUP);
    let reloading = told();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told().trim(), "READY=1");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(told().trim(), "STOPPING=1");
    assert_eq!(daemon.ended().code(), Some(0));
}

#[test]
fn root_becomes_the_user_and_gives_exim_the_table() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let place = Place::new();
    let directory = place.path("made/for/it");
    let table = directory.join("table");
    let daemon = Daemon::run(&[
        "--zone",
        "rbl.example",
        "--listen",
        "127.0.0.1:0",
        "--table",
        table.to_str().unwrap(),
        "--user",
        "nobody",
    ]);
    assert!(!daemon.log().contains("given to group"), "made with the wrong group");
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let exim = Group::from_name("Debian-exim").unwrap().map(|group| group.gid);
    let group = exim.unwrap_or(nobody.gid).as_raw();
    let made = fs::metadata(&table).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (nobody.uid.as_raw(), group, 0o660));
    let made = fs::metadata(&directory).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o7777),
        (nobody.uid.as_raw(), nobody.gid.as_raw(), 0o755)
    );

    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(field("Gid:"), vec![nobody.gid.to_string(); 4]);
    let mut groups = vec![nobody.gid.to_string()];
    groups.extend(exim.map(|gid| gid.to_string()));
    groups.sort();
    let mut found = field("Groups:");
    found.sort();
    assert_eq!(found, groups);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("NoNewPrivs:"), ["1"]);

    // What the unprivileged daemon makes anew belongs to Exim too.
    fs::remove_file(&table).unwrap();
    daemon.wait_for("made an empty one");
    let made = fs::metadata(&table).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (nobody.uid.as_raw(), group, 0o660));
}

#[test]
fn a_table_that_lost_exims_group_gets_it_back() {
    let exim = Group::from_name("Debian-exim").unwrap();
    let (true, Some(exim)) = (is_root(), exim) else {
        eprintln!("not run: needs root, and the group Debian-exim");
        return;
    };
    let place = Place::new();
    drop(Daemon::start(&place, PLAIN));
    std::os::unix::fs::chown(place.table(), None, Some(0)).unwrap();
    let daemon = Daemon::start(&place, PLAIN);
    daemon.wait_for("given to group Debian-exim");
    assert_eq!(fs::metadata(place.table()).unwrap().gid(), exim.gid.as_raw());
}

#[test]
fn the_watchdog_is_answered() {
    let place = Place::new();
    let socket_path = place.path("notify");
    let socket = UnixDatagram::bind(&socket_path).unwrap();
    fs::set_permissions(&socket_path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let config = place.configure(PLAIN);
    let mut command = command(&["--config", config.to_str().unwrap()]);
    command.env("NOTIFY_SOCKET", &socket_path).env("WATCHDOG_USEC", "200000");
    let _daemon = Daemon::run_command(command);
    let mut told = Vec::new();
    while told.len() < 4 {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).expect("systemd is told nothing");
        told.push(String::from_utf8(buffer[..length].to_vec()).unwrap().trim().to_owned());
    }
    assert_eq!(told, ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
}

#[test]
fn root_never_serves_as_root() {
    if !is_root() {
        eprintln!("not run: needs root");
        return;
    }
    let place = Place::new();
    let table = place.table();
    for (user, expected) in [
        ("no-such-user", "make it: adduser --system --group"),
        ("root", "is root itself, and DNS is never served as root"),
    ] {
        let (status, error) = fails(&[
            "--zone",
            "rbl.example",
            "--listen",
            "127.0.0.1:0",
            "--table",
            table.to_str().unwrap(),
            "--user",
            user,
        ]);
        assert_eq!(status, Some(1), "{user}");
        assert!(error.contains(expected), "{user}: {error}");
        assert!(!table.exists());
    }
}
