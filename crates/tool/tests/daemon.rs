//! `info --daemon`: what it says when it is not answered, or by somebody else. What it says of the
//! real eximrbld is in tests/counters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use support::{Home, Ran, text};

/// Answers one client with these bytes; yields what was asked.
fn answering(home: &Home, answer: &'static [u8]) -> (PathBuf, JoinHandle<Vec<u8>>) {
    let path = home.directory.path().join("control");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 6];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(answer).unwrap();
        // A child that another test is just starting may hold it open for a moment longer.
        stream.shutdown(Shutdown::Write).unwrap();
        request
    });
    (path, server)
}

/// Caught: a panic, or a table of zeros, for an answer that is none.
#[test]
fn strange_answers_are_told() {
    let home = Home::empty();
    for (answer, problem) in [
        (&b""[..], "closed without an answer: too many ask eximrbld at once; try again"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the answer is no JSON: expected value at line 1"),
        (b"{\"format\":2}", "the answer has a form that is not known here; is that eximrbld, of"),
        (b"{}", "the answer has a form that is not known here"),
        (b"[1]", "the answer has a form that is not known here"),
        (b"{\"format\":1,\"error\":\"no \\u001b[2J\"}", "eximrbld refused: \"no \\u001b[2J\""),
        (b"{\"format\":1,\"version\":\"1\"}", "the answer lacks something: missing field"),
        (b"{\"format\":1,\"version\":7}", "the answer lacks something: invalid type"),
    ] {
        let (path, server) = answering(&home, answer);
        let complaint = home.failed(&["info", "--daemon", "--control", text(&path)]);
        let start = format!("eximrbl: {}: {problem}", path.display());
        assert!(complaint.starts_with(&start), "{complaint}");
        assert_eq!(server.join().unwrap(), b"stats\n");
    }
}

/// Caught: keys that this version does not know left out.
#[test]
fn json_is_passed_on_as_it_is() {
    let home = Home::empty();
    let answer = b"{\"format\":1,\"later\":[1,{\"more\":2}],\"pid\":3}\n";
    let (path, server) = answering(&home, answer);
    let (status, json) = home.json(&["info", "--daemon", "--control", text(&path)]);
    assert_eq!(status, 0);
    assert_eq!(json, serde_json::from_slice::<serde_json::Value>(answer).unwrap());
    server.join().unwrap();
}

/// Caught: text that moves the cursor of who looks at it.
#[test]
fn names_are_printed_harmlessly() {
    let home = Home::empty();
    let answer = br#"{"format":1,"version":"1\u001b[2J","pid":3,"started_unix":0,"uptime":1,
        "table":"/t\n","listen":["\u0007"],"queries":{"\u001b":1},"replies":{},"cookies":{},
        "events":{},"workers":[],"zones":[{"name":"\u001b[0m","served":true,"queries":{"a":{}}}],
        "no_zone":{},"other_zones":{},"collector":{"listen":["\u0007"],
        "accepted":{"\u001b[1m":{"\u001b":1}},"refused":{"\u0008":1},"events":{},"open":1},
        "forward":[{"to":"\u001b[2m","state":"\u0007","since_unix":1,"why":"\u001b[0m","sent":1,
        "accepted":2,"refused":3,"behind":4}],"nats":{"site":"\u001b[3m","url":[],"state":"\u0007",
        "since_unix":1,"why":"\u001b[0m","published":5,"taken":6,"left_out":7,"waiting":8,
        "behind":9}}"#;
    let (path, server) = answering(&home, answer);
    let printed = home.done(&["info", "--daemon", "--control", text(&path)]);
    assert!(printed.lines().count() > 5, "{printed}");
    assert!(printed.contains("sent 1, accepted 2, refused 3, behind 4"), "{printed}");
    let exchange = "published 5, waiting 8; of others taken 6, left out 7, behind 9";
    assert!(printed.contains(exchange), "{printed}");
    assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "{printed:?}");
    server.join().unwrap();
}

/// Caught: "no such file or directory", and no more.
#[test]
fn no_daemon_is_told_with_what_to_do() {
    let home = Home::empty();
    let path = home.directory.path().join("control");
    let asked = ["info", "--daemon", "--control", text(&path)];
    let shown = path.display();
    assert_eq!(
        home.failed(&asked),
        format!(
            "eximrbl: {shown}: no such socket: eximrbld is not running, or its configuration has \
             another `socket` in [control]; name that by --control\n"
        )
    );
    drop(UnixListener::bind(&path).unwrap());
    // The same with a listener: until that child runs its program, somebody answers.
    let started = Instant::now();
    while UnixStream::connect(&path).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(60), "somebody still listens");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        home.failed(&asked),
        format!(
            "eximrbl: {shown}: nobody answers: eximrbld has ended; see journalctl -u eximrbld\n"
        )
    );
    // The default place, where no test has a daemon.
    let elsewhere = home.run(&["info", "--daemon"]);
    let place = "eximrbl: /run/eximrbl/control: ";
    assert!(elsewhere.status == 0 || elsewhere.stderr.starts_with(place), "{elsewhere:?}");
}

/// Caught: "permission denied", and no more.
#[test]
fn who_has_no_right_is_told_who_has() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not run: needs root, to become somebody else");
        return;
    }
    let home = Home::empty();
    let path = home.directory.path().join("control");
    let _listener = UnixListener::bind(&path).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let mode = |mode| PermissionsExt::from_mode(mode);
    std::fs::set_permissions(home.directory.path(), mode(0o755)).unwrap();
    std::fs::set_permissions(&path, mode(0o660)).unwrap();
    // The program may lie where others cannot go.
    let program = home.directory.path().join("eximrbl");
    // By a process of its own: were this one to write the file, a fork of another test's thread
    // could hold it open for writing just when it is to be run ("text file busy").
    let copied = std::process::Command::new("cp").arg(support::PROGRAM).arg(&program).status();
    assert!(copied.unwrap().success());
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(program).args(["info", "--daemon", "--control"]).arg(&path);
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(
        (ran.status, ran.stderr),
        (
            2,
            format!(
                "eximrbl: {}: Permission denied (os error 13); run this as root, or as a member of \
                 the table's group (Debian-exim)\n",
                path.display()
            )
        )
    );
}

/// Caught: a wait without end.
#[test]
fn a_daemon_that_says_nothing_is_not_waited_for_for_ever() {
    let home = Home::empty();
    let path = home.directory.path().join("control");
    let _listener = UnixListener::bind(&path).unwrap();
    is_given_up(&path);
}

/// Caught: a time limit that begins after the connection.
#[test]
fn a_daemon_that_accepts_nobody_is_not_waited_for_for_ever() {
    let home = Home::empty();
    let path = home.directory.path().join("control");
    let stream = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(&path).unwrap();
    let listener = stream();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    let refusal = loop {
        let socket = stream();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&address) {
            Ok(()) => waiting.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(refusal.kind(), ErrorKind::WouldBlock, "no room for another");
    is_given_up(&path);
}

fn is_given_up(path: &Path) {
    let mut command = std::process::Command::new("timeout");
    command.args(["60", support::PROGRAM, "info", "--daemon", "--control"]).arg(path);
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.stderr.ends_with(": eximrbld did not answer within 5 s\n"), "{}", ran.stderr);
}

/// Caught: `--control` passed over in silence.
#[test]
fn the_control_socket_is_only_for_the_daemon() {
    let home = Home::new();
    let complaint = home.failed(&["info", "--control", "/run/eximrbl/control"]);
    assert!(complaint.contains("--daemon"), "{complaint}");
    assert!(home.done(&["info"]).starts_with("table "));
}
