//! The control socket: who can ask it, what it says, and what stands in its way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use common::{Daemon, PLAIN, Place, Statistics, ask_control, control_section, is_root, wait_until};
use nix::sys::signal::Signal;
use nix::unistd::{Group, User};

const A: u16 = 1;
const TEST: &str = "2.0.0.127.rbl.example";

fn daemon(place: &Place) -> Daemon {
    Daemon::start(place, &format!("{}{PLAIN}", control_section(place)))
}

/// DNS is served, whatever the control socket does.
#[track_caller]
fn assert_serves(daemon: &Daemon) {
    assert_eq!(daemon.ask(TEST, A).addresses(), [[127, 0, 0, 2]]);
}

/// Caught: a socket that everybody can use; one that Exim's group cannot.
#[test]
fn it_is_as_the_table_is_and_says_what_the_daemon_is() {
    let place = Place::new();
    let daemon = daemon(&place);
    let socket = fs::symlink_metadata(place.path("control")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    if is_root() {
        assert_eq!(socket.uid(), User::from_name("nobody").unwrap().unwrap().uid.as_raw());
        let exim = Group::from_name("Debian-exim").unwrap();
        assert!(exim.is_none_or(|exim| socket.gid() == exim.gid.as_raw()));
        assert_eq!(socket.gid(), fs::metadata(place.table()).unwrap().gid());
    }
    assert!(daemon.log().contains(&format!("control socket {}", place.path("control").display())));
    let now = Statistics::of(&place);
    assert_eq!(now.number(&["format"]), 1);
    assert_eq!(now.number(&["pid"]), daemon.pid().as_raw() as u64);
    assert_eq!(now.0["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(now.0["table"], place.table().to_str().unwrap());
    assert_eq!(now.0["listen"][0], daemon.address.to_string());
    assert_eq!(now.0["zones"][0]["name"], "rbl.example");
    let started = now.number(&["started_unix"]);
    assert!(started.abs_diff(eximrbl_table::now().into()) < 3600 && now.number(&["uptime"]) < 3600);
    assert_eq!(now.0["started"], eximrbl_zone::rfc3339(started as u32).to_string());
}

/// Caught: a line whose end is no bare newline; whatever begins like `stats` taken for it.
#[test]
fn what_is_not_understood_is_told_so() {
    let place = Place::new();
    let daemon = daemon(&place);
    let path = place.path("control");
    let error = |request: &[u8]| {
        let answer: serde_json::Value =
            serde_json::from_str(&ask_control(&path, request).unwrap()).unwrap();
        assert_eq!(answer["format"], 1);
        answer["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(error(b"stat\n"), "\"stat\" is not known here; ask: stats");
    assert_eq!(error(b""), "\"\" is not known here; ask: stats");
    assert_eq!(error(b"\xff\0\n"), "\"\\xff\\x00\" is not known here; ask: stats");
    assert!(error(&[b'a'; 64]).starts_with("\"aaaa"));
    for request in [&b"stats"[..], b"stats\r\n", b" stats \nmore"] {
        assert!(ask_control(&path, request).unwrap().contains("\"uptime\""), "{request:?}");
    }
    assert_serves(&daemon);
}

/// Caught: a socket that a killed daemon has left, and that its successor stumbles upon.
#[test]
fn what_a_killed_daemon_has_left_is_replaced() {
    let place = Place::new();
    let mut first = daemon(&place);
    first.signal(Signal::SIGKILL);
    first.ended();
    assert!(ask_control(&place.path("control"), b"stats\n").is_err(), "left, and nobody there");
    let second = daemon(&place);
    assert_eq!(Statistics::of(&place).number(&["pid"]), second.pid().as_raw() as u64);
}

/// Caught: a socket that is taken away from a daemon that runs.
#[test]
fn a_socket_in_use_stays_with_its_daemon() {
    let place = Place::new();
    let first = daemon(&place);
    let path = place.path("control").display().to_string();
    let mut second = daemon(&place);
    let line = format!(
        "WARN no control socket, DNS is served without: {path}: a running program has it (process \
         {})",
        first.pid()
    );
    second.wait_for(&line);
    assert_serves(&second);
    second.signal(Signal::SIGTERM);
    assert!(second.ended().success());
    assert_eq!(Statistics::of(&place).number(&["pid"]), first.pid().as_raw() as u64);
}

/// Puts something in a place.
type Make = fn(&Path);

/// Caught: a path that is followed or cleared, whatever is there.
#[test]
fn nothing_but_a_dead_socket_is_replaced() {
    let left: [(&str, Make); 4] = [
        ("a file", |path| fs::write(path, "kept").unwrap()),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link to nothing", |path| symlink(path.with_extension("gone"), path).unwrap()),
        ("a link to a dead socket", |path| {
            let dead = path.with_extension("dead");
            drop(UnixListener::bind(&dead).unwrap());
            symlink(dead, path).unwrap();
        }),
    ];
    for (what, make) in left {
        let place = Place::new();
        let path = place.path("control");
        make(&path);
        let before = fs::symlink_metadata(&path).unwrap();
        let mut daemon = daemon(&place);
        let shown = path.display();
        daemon.wait_for(&format!(
            "WARN no control socket, DNS is served without: {shown}: not a socket, and left as it \
             is; move it away, or name another path"
        ));
        assert_eq!(daemon.log().matches("WARN").count(), 1, "{what}: {}", daemon.log());
        assert_serves(&daemon);
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.ended().success());
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before.ino(), "{what}");
        assert!(!path.with_extension("gone").exists());
    }
}

/// Caught: a start that fails for want of a control socket.
#[test]
fn where_it_cannot_be_made_dns_is_served_without() {
    let place = Place::new();
    let closed = place.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o555)).unwrap();
    if !is_root() {
        // Root's daemon becomes another user, who has no right there; nobody else's does.
        return;
    }
    let path = closed.join("control");
    let section = format!("[control]\nsocket = {path:?}\n");
    let daemon = Daemon::start(&place, &format!("{section}{PLAIN}"));
    let log = daemon.log();
    let line = format!(
        "WARN no control socket, DNS is served without: {}: Permission denied (os error 13); the \
         user that eximrbld runs as must be able to write in its folder",
        path.display()
    );
    assert!(log.contains(&line) && log.matches("WARN").count() == 1, "{log}");
    assert_serves(&daemon);
}

/// Its folder is made by root, for the user; what is left of it at the end is nothing.
///
/// Caught: Landlock in the way of the removal.
#[test]
fn it_comes_and_goes_with_the_daemon() {
    // Where the table is, the daemon may write anyhow.
    let (place, elsewhere) = (Place::new(), Place::new());
    let path = elsewhere.path("made/for/it/control");
    let section = format!("[control]\nsocket = {path:?}\n");
    let mut daemon = Daemon::start(&place, &format!("{section}{PLAIN}"));
    assert!(ask_control(&path, b"stats\n").unwrap().starts_with('{'));
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
    assert!(!path.exists() && path.parent().unwrap().exists());
}

/// Caught: the file of another removed at the end.
#[test]
fn at_the_end_only_its_own_socket_is_removed() {
    let place = Place::new();
    let path = place.path("control");
    let mut daemon = daemon(&place);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.ended().success());
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
}

/// Caught: a changed path that is passed over in silence.
#[test]
fn another_path_takes_a_restart() {
    let place = Place::new();
    let daemon = daemon(&place);
    place.configure(&format!("[control]\nsocket = {:?}\n{PLAIN}", place.path("other")));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("WARN control.socket has changed; restart eximrbld for that");
    daemon.wait_for("INFO reloaded; zones: 1");
    assert!(!place.path("other").exists());
    assert_eq!(Statistics::of(&place).number(&["pid"]), daemon.pid().as_raw() as u64);
}

/// Clients that say nothing, that go at once, that read nothing: hundreds of them. They delay DNS
/// not at all, and who wants to know the numbers for a second or so.
///
/// Caught: clients that may be silent for ever.
#[test]
fn clients_that_only_hold_it_up_are_left() {
    let place = Place::new();
    let daemon = daemon(&place);
    let path = place.path("control");
    // More than are served at once; the others wait in the kernel's queue.
    let silent: Vec<_> = (0..60).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for _ in 0..20 {
        drop(UnixStream::connect(&path).unwrap());
        let mut deaf = UnixStream::connect(&path).unwrap();
        deaf.write_all(b"stats\n").unwrap();
    }
    assert_serves(&daemon);
    assert_eq!(Statistics::of(&place).number(&["pid"]), daemon.pid().as_raw() as u64);
    assert_serves(&daemon);
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0, "it is still served");
    }
}

/// Caught: counters that begin anew with a reload; a zone counted where another was.
#[test]
fn a_reload_keeps_the_counts_by_the_zones_names() {
    let place = Place::new();
    let daemon = daemon(&place);
    let zones = |names: &[&str]| {
        let zones = names.iter().map(|name| format!("[[zone]]\nname = \"{name}\"\n"));
        place.configure(&format!("{}{}", control_section(&place), zones.collect::<String>()));
        let reloads = || daemon.log().matches("INFO reloaded").count();
        let before = reloads();
        daemon.signal(Signal::SIGHUP);
        wait_until(|| reloads() > before, || daemon.log());
    };
    let ask = |zone: &str| assert_eq!(daemon.ask(&format!("2.0.0.127.{zone}"), A).code(), 0);
    let counts = || {
        let now = Statistics::of(&place).0;
        let zones = now["zones"].as_array().unwrap().clone();
        let of = |zone: &serde_json::Value| {
            let listed = zone["queries"]["a"]["listed"].as_u64().unwrap();
            (zone["name"].as_str().unwrap().to_owned(), listed, zone["served"] == true)
        };
        zones.iter().map(of).collect::<Vec<_>>()
    };
    let zone = |name: &str, listed, served| (name.to_owned(), listed, served);
    ask("rbl.example");
    zones(&["a-longer-name.example", "rbl.example"]);
    ask("rbl.example");
    ask("a-longer-name.example");
    assert_eq!(counts(), [zone("rbl.example", 2, true), zone("a-longer-name.example", 1, true)]);
    zones(&["a-longer-name.example"]);
    assert_eq!(daemon.ask(TEST, A).code(), 5);
    assert_eq!(counts(), [zone("rbl.example", 2, false), zone("a-longer-name.example", 1, true)]);
    zones(&["rbl.example"]);
    ask("rbl.example");
    assert_eq!(counts(), [zone("rbl.example", 3, true), zone("a-longer-name.example", 1, false)]);
    assert_eq!(Statistics::of(&place).number(&["replies", "refused"]), 1);
}
