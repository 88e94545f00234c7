//! The collector and those who mean it harm, or are only slow. Whatever one does, others are
//! answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::{
    Daemon, PLAIN, Place, Statistics, Talk, answer, auth, connect, control_section, is_root,
    report_and_wait, report_to, reporters_of, send_datagram, signed, timeless, wait_until,
};
use eximrbl_table::{CreateOptions, WritableTable};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::User;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const A: u16 = 1;

/// A daemon whose collector has these settings, and a reporter `mx2`.
fn daemon(place: &Place, settings: &str) -> Daemon {
    Daemon::start(place, &configuration(place, settings))
}

fn configuration(place: &Place, settings: &str) -> String {
    let secret = place.path("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    format!(
        "{}[collector]\ntcp = [\"127.0.0.1:0\"]\nudp = [\"127.0.0.1:0\"]\n{settings}\n\
         [[reporter]]\nname = \"mx2\"\nsecret_file = {secret:?}\nrate = 0\n{PLAIN}",
        control_section(place)
    )
}

fn number(place: &Place, way: &[&str]) -> u64 {
    Statistics::of(place).number(&[&["collector"], way].concat())
}

/// Reports and DNS go on.
#[track_caller]
fn assert_serves(daemon: &Daemon) {
    assert!(daemon.report("black 192.0.2.99\n").starts_with("ok count "), "{}", daemon.log());
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

/// Caught: a half line forgotten at the end of input.
#[test]
fn lines_may_come_in_pieces() {
    let place = Place::new();
    let daemon = daemon(&place, "line_timeout = 60");
    let mut stream = connect(daemon.collecting("TCP"));
    stream.set_nodelay(true).unwrap();
    for byte in b"black 192.0.2.1 rcpt 2\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut stream), "ok count 2 seconds 1200\n");
    let mut stream = connect(daemon.collecting("TCP"));
    stream.write_all(b"black 192.0.2.1").unwrap();
    wait_until(|| number(&place, &["open"]) == 1, || daemon.log());
    stream.write_all(b" rcpt\nforgive 192.0.2.1\nblack 192").unwrap();
    stream.write_all(b".0.2.2").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(timeless(&answer(&mut stream)), "ok count 3\nok forgiven\nok count 1");
    wait_until(|| number(&place, &["open"]) == 0, || daemon.log());
}

/// Caught: a list that is cut off where its sender was slower than the collector.
#[test]
fn a_list_may_come_in_pieces_too() {
    let place = Place::new();
    let daemon = daemon(&place, "line_timeout = 60");
    let mut talk = Talk::with(daemon.collecting("TCP"));
    let list: String = (1..=250).map(|last| format!("black 192.0.2.{last} rcpt\n")).collect();
    assert!(list.len() > 4096);
    for count in 1..=3 {
        assert_eq!(timeless(&talk.say(&list)), format!("ok count {count}"));
        for _ in 2..=250 {
            assert_eq!(timeless(&talk.next()), format!("ok count {count}"));
        }
    }
    talk.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    assert_eq!(talk.next(), "");
    wait_until(|| number(&place, &["open"]) == 0, || daemon.log());
}

/// Caught: a limit that each further byte puts off; an idle connection that is kept.
#[test]
fn slow_senders_are_told_and_closed() {
    let place = Place::new();
    let daemon = daemon(&place, "idle_timeout = 1");
    let timed_out = || number(&place, &["events", "timed_out"]);
    let mut idle = connect(daemon.collecting("TCP"));
    assert_eq!(answer(&mut idle), "");
    assert_eq!(timed_out(), 1);
    // From now on, who is slow to begin is not idle yet.
    place.configure(&configuration(&place, "line_timeout = 1"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("collecting from 1 configured reporters");
    let slow = connect(daemon.collecting("TCP"));
    let mut sending = slow.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        while sending.write_all(b"b").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let mut slow = slow;
    let mut said = Vec::new();
    let _ = slow.read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said);
    assert!(said.starts_with("error line: the line's end did not come in time"), "{said:?}");
    drop(slow);
    sender.join().unwrap();
    assert_eq!(timed_out(), 2);
    assert_serves(&daemon);
}

/// Caught: the rest of a long line taken for another one.
#[test]
fn long_lines_are_refused_and_skipped() {
    let place = Place::new();
    let daemon = daemon(&place, "line_timeout = 60");
    let tcp = daemon.collecting("TCP");
    for length in [497, 513, 1000, 4096, 5000, 100_000, 3_000_000] {
        let line = format!("black 192.0.2.1 {}\nblack 192.0.2.2\n", "x".repeat(length));
        let answers = report_to(tcp, line.as_bytes());
        let answers: Vec<_> = answers.lines().collect();
        assert_eq!(answers.len(), 2, "{length}: {answers:?}");
        assert!(answers[0].starts_with("error long: a line has at most 512"), "{answers:?}");
        assert!(answers[1].starts_with("ok count "), "{answers:?}");
    }
    // Without an end.
    let answers = report_to(tcp, "x".repeat(70_000).as_bytes());
    assert_eq!(answers.lines().count(), 1);
    let answers = report_to(tcp, &[b'\n'; 10_000]);
    assert_eq!(
        answers.lines().filter(|line| line.starts_with("error line: an empty")).count(),
        10_000
    );
    send_datagram(daemon.collecting("UDP"), &[b'x'; 60_000]);
    assert_serves(&daemon);
}

/// Caught: an answer more, or less, than lines.
#[test]
fn whatever_the_bytes_each_line_has_one_answer() {
    let place = Place::new();
    let daemon = daemon(&place, "line_timeout = 60");
    let tcp = daemon.collecting("TCP");
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let words: [&[u8]; 12] = [
        b"black",
        b"white",
        b"forgive",
        b"by",
        b"auth",
        b" ",
        b"192.0.2.1",
        b"mx2",
        b"-",
        b"\r",
        b"1795326190",
        b"\xff\0",
    ];
    for round in 0..200 {
        let mut bytes = Vec::new();
        for _ in 0..next() % 400 {
            match next() % 8 {
                0 => bytes.push(b'\n'),
                1 => bytes.extend_from_slice(&next().to_le_bytes()),
                2..=4 => bytes.push(b' '),
                _ => bytes.extend_from_slice(words[(next() % words.len() as u64) as usize]),
            }
        }
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').count();
        let answers = report_to(tcp, &bytes);
        let is_answer = |line: &str| line.starts_with("ok ") || line.starts_with("error ");
        assert!(answers.lines().all(is_answer), "{round}: {answers}");
        assert_eq!(
            answers.lines().count(),
            lines,
            "{round}: {:?}",
            bytes.escape_ascii().to_string()
        );
        send_datagram(daemon.collecting("UDP"), &bytes);
    }
    assert_serves(&daemon);
}

/// Connections that say nothing, as many as may be and more. Caught: a session that gives way;
/// places that are not given back.
#[test]
fn idle_connections_keep_nobody_out() {
    let place = Place::new();
    let daemon =
        daemon(&place, "connections = 100\nconnections_per_client = 60000\nidle_timeout = 3600");
    let tcp = daemon.collecting("TCP");
    let mut session = Talk::with(tcp);
    assert_eq!(session.say(auth(SECRET, "mx2")), "ok mx2");
    let idle: Vec<TcpStream> = (0..300).map(|_| connect(tcp)).collect();
    wait_until(|| number(&place, &["events", "displaced"]) == 201, || daemon.log());
    wait_until(|| number(&place, &["open"]) == 100, || daemon.log());
    assert_eq!(session.say("black 192.0.2.1\n"), "ok count 1 seconds 600");
    // Who has a line ready needs no place; who is slower gets one.
    assert_serves(&daemon);
    let mut slower = connect(tcp);
    wait_until(|| number(&place, &["events", "accepted"]) == 303, || daemon.log());
    slower.write_all(b"black 192.0.2.1\n").unwrap();
    assert_eq!(timeless(&answer(&mut slower)), "ok count 2");
    drop(idle);
    wait_until(|| number(&place, &["open"]) == 1, || daemon.log());
}

/// `EXIMRBL_TORTURE=1`: five thousand of them. Caught: fewer places than are configured.
#[test]
fn idle_connections_are_nobodys_concern() {
    let is_long = std::env::var_os("EXIMRBL_TORTURE").is_some_and(|value| value == "1");
    let many = if is_long { 5000 } else { 500 };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let place = Place::new();
    let daemon = daemon(&place, "connections_per_client = 60000\nidle_timeout = 3600");
    let tcp = daemon.collecting("TCP");
    let mut idle: Vec<TcpStream> = (0..many).map(|_| connect(tcp)).collect();
    wait_until(|| number(&place, &["open"]) == many, || daemon.log());
    for count in 1..=1000 {
        let answer = timeless(&daemon.report("black 192.0.2.1\n"));
        assert_eq!(answer, format!("ok count {count}"));
    }
    for stream in &mut idle {
        stream.write_all(b"black 192.0.2.2\n").unwrap();
    }
    for stream in &mut idle {
        assert!(answer(stream).starts_with("ok count "));
    }
    assert_eq!(number(&place, &["events", "displaced"]), 0);
}

/// Caught: one client that takes all places.
#[test]
fn one_client_has_its_share() {
    let place = Place::new();
    let daemon = daemon(&place, "connections_per_client = 3\nidle_timeout = 3600");
    let tcp = daemon.collecting("TCP");
    let idle: Vec<TcpStream> = (0..3).map(|_| connect(tcp)).collect();
    wait_until(|| number(&place, &["open"]) == 3, || daemon.log());
    let refused = answer(&mut connect(tcp));
    assert!(refused.starts_with("error busy: too many connections"), "{refused}");
    assert_eq!(number(&place, &["events", "refused"]), 1);
    drop(idle);
    wait_until(|| number(&place, &["open"]) == 0, || daemon.log());
    assert_eq!(report_and_wait(tcp, b"black 192.0.2.1\n"), "ok count 1 seconds 600\n");
}

/// Caught: answers kept in memory for whoever does not read them.
#[test]
fn who_does_not_read_his_answers_is_closed() {
    let place = Place::new();
    let daemon = daemon(&place, "line_timeout = 1");
    let mut stream = connect(daemon.collecting("TCP"));
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(auth(SECRET, "mx2").as_bytes()).unwrap();
    let lines = "what\n".repeat(10_000);
    // More than both sides' buffers hold.
    for _ in 0..100_000 {
        if stream.write_all(lines.as_bytes()).is_err() {
            break;
        }
    }
    wait_until(|| number(&place, &["events", "timed_out"]) == 1, || daemon.log());
    wait_until(|| number(&place, &["open"]) == 0, || daemon.log());
    assert_serves(&daemon);
}

/// Caught: places that are not given back.
#[test]
fn who_goes_away_in_the_middle_leaves_nothing() {
    let place = Place::new();
    let daemon = daemon(&place, "");
    let tcp = daemon.collecting("TCP");
    for round in 0..200 {
        let mut stream = connect(tcp);
        match round % 4 {
            0 => {}
            1 => stream.write_all(b"black 192.0").unwrap(),
            2 => stream.write_all(b"black 192.0.2.1\nblack 192").unwrap(),
            _ => stream.write_all(b"black 192.0.2.1\n").unwrap(),
        }
        // Closed with bytes unread, it resets the connection.
        let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        linger.unwrap();
    }
    wait_until(|| number(&place, &["events", "accepted"]) == 200, || daemon.log());
    wait_until(|| number(&place, &["open"]) == 0, || daemon.log());
    assert_serves(&daemon);
}

/// Caught: a report that is lost silently; a collector that never tries again.
#[test]
fn a_table_that_cannot_be_written_is_told() {
    let place = Place::new();
    let options = CreateOptions { slots: 4096, mode: 0o644, ..CreateOptions::default() };
    drop(WritableTable::create(&place.table(), &options).unwrap());
    fs::set_permissions(place.table(), Permissions::from_mode(0o444)).unwrap();
    let daemon = daemon(&place, "");
    let line = signed(SECRET, "mx2", "black 192.0.2.1");
    assert!(daemon.report(&line).starts_with("error table: "));
    let refused = daemon.report("black 192.0.2.1\nblac\n");
    let refused: Vec<_> = refused.lines().collect();
    assert!(refused[0].starts_with("error table: the table cannot be written"), "{refused:?}");
    assert!(refused[1].starts_with("error verb: "), "{refused:?}");
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    daemon.wait_for("ERROR reports are refused, for the table cannot be written: ");
    let daemons = User::from_name("nobody").unwrap().filter(|_| is_root());
    std::os::unix::fs::chown(place.table(), daemons.map(|user| user.uid.as_raw()), None).unwrap();
    fs::set_permissions(place.table(), Permissions::from_mode(0o660)).unwrap();
    daemon.wait_for("INFO reports are taken again: the table can be written");
    // The very line, though signed: it came to nothing before.
    assert_eq!(daemon.report(&line), "ok count 1 seconds 600\n");
    assert!(daemon.report(&line).starts_with("error replay: "));
    assert_eq!(number(&place, &["refused", "table"]), 2);
}

/// Caught: a table that was replaced, and goes on being written.
#[test]
fn reports_go_into_the_table_that_is_served() {
    let place = Place::new();
    let daemon = daemon(&place, "");
    let mut talk = Talk::with(daemon.collecting("TCP"));
    assert_eq!(talk.say(auth(SECRET, "mx2")), "ok mx2");
    assert_eq!(talk.say("black 192.0.2.1\n"), "ok count 1 seconds 600");
    // Another size: not a report is lost, whichever of both it meets.
    let mut count = 1;
    let path = place.table();
    let resizing = std::thread::spawn(move || {
        for slots in [8192, 4096, 16_384] {
            WritableTable::open(&path).unwrap().resize(slots).unwrap();
        }
    });
    while !resizing.is_finished() || count < 100 {
        count += 1;
        assert!(
            talk.say("black 192.0.2.1\n").starts_with(&format!("ok count {count} ")),
            "{count}"
        );
    }
    resizing.join().unwrap();
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["mx2"]);
    // Gone: the daemon makes another one.
    fs::remove_file(place.table()).unwrap();
    daemon.wait_for("was gone; made an empty one");
    wait_until(
        || {
            talk.say("black 192.0.2.2\n");
            !daemon.ask("2.2.0.192.rbl.example", A).addresses().is_empty()
        },
        || daemon.log(),
    );
}
