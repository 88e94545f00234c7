//! The collector: who may report what, and how that is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Instant;

use common::{
    Daemon, PLAIN, Place, Statistics, Talk, auth, control_section, is_root, report_to,
    reporters_of, send_datagram, signed, signed_at, stamp, timeless, wait_until,
};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
const ORDER: &str = "black 192.0.2.1 rcpt";

/// Writes a file of secrets that the daemon can read.
fn secret_file(place: &Place, name: &str, secrets: &[&str]) -> String {
    let path = place.path(name);
    fs::write(&path, secrets.join("\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The section of a reporter with a secret.
fn reporter(place: &Place, name: &str, secrets: &[&str], rest: &str) -> String {
    let file = secret_file(place, &format!("{name}.secret"), secrets);
    format!("[[reporter]]\nname = \"{name}\"\nsecret_file = {file:?}\n{rest}\n")
}

fn configuration(place: &Place, reporters: &str) -> String {
    // Lines whose end is the connection's may wait long for it.
    let collector =
        "[collector]\ntcp = [\"127.0.0.1:0\"]\nudp = [\"127.0.0.1:0\"]\nline_timeout = 60\n";
    format!("{}{collector}{reporters}{PLAIN}", control_section(place))
}

fn daemon(place: &Place, reporters: &str) -> Daemon {
    Daemon::start(place, &configuration(place, reporters))
}

/// Puts other reporters in force.
fn reload(place: &Place, daemon: &Daemon, reporters: &str) {
    place.configure(&configuration(place, reporters));
    let says = "collecting from";
    let before = daemon.log().matches(says).count();
    daemon.signal(Signal::SIGHUP);
    wait_until(|| daemon.log().matches(says).count() > before, || daemon.log());
}

/// The codes of answers, or `ok`.
fn codes(answers: &str) -> Vec<&str> {
    let code = |line| match str::strip_prefix(line, "error ") {
        Some(rest) => rest.split(':').next().unwrap(),
        None => line.split(' ').next().unwrap(),
    };
    answers.lines().map(code).collect()
}

/// Caught: signed lines that are not remembered.
#[test]
fn signed_lines_are_taken_once_and_in_time() {
    let place = Place::new();
    let reporters =
        reporter(&place, "mx2", &[SECRET], "") + &reporter(&place, "mx3", &[OTHER, SECRET], "");
    let daemon = daemon(&place, &reporters);
    let line = signed(SECRET, "mx2", ORDER);
    assert_eq!(daemon.report(&line), "ok count 1 seconds 600\n");
    assert_eq!(codes(&daemon.report(&line)), ["replay"]);
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["mx2"]);
    for secret in [SECRET, OTHER] {
        assert_eq!(codes(&daemon.report(&signed(secret, "mx3", ORDER))), ["ok"]);
    }
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["mx2", "mx3"]);
    assert_eq!(codes(&daemon.report(&signed(OTHER, "mx2", ORDER))), ["secret"]);
    assert_eq!(codes(&daemon.report(&signed(SECRET, "mx4", ORDER))), ["unknown-reporter"]);
    let hour = 3_600_000_000;
    let late = daemon.report(&signed_at(stamp() - hour, SECRET, "mx2", ORDER));
    assert!(late.starts_with("error clock: stamped 3") && late.contains(" s ago"), "{late}");
    let early = daemon.report(&signed_at(stamp() + hour, SECRET, "mx2", ORDER));
    assert!(early.starts_with("error clock: stamped 3") && early.contains(" s ahead"), "{early}");
    let wrong = daemon.report(&signed_at(stamp() - hour, OTHER, "mx2", ORDER));
    assert_eq!(codes(&wrong), ["secret"]);
    // Within the window, but of a time when another process may have taken it.
    let before = daemon.report(&signed_at(stamp() - 200_000_000, SECRET, "mx2", ORDER));
    assert_eq!(codes(&before), ["replay"]);
    let counts = Statistics::of(&place);
    let refused = |code| counts.number(&["collector", "refused", code]);
    assert_eq!(["secret", "clock", "replay", "unknown-reporter"].map(refused), [2, 2, 2, 1]);
    assert_eq!(counts.number(&["collector", "accepted", "mx3", "black"]), 2);
}

/// Caught: a session by datagram.
#[test]
fn datagrams_are_signed_line_by_line() {
    let place = Place::new();
    let daemon = daemon(&place, &reporter(&place, "mx2", &[SECRET], ""));
    let udp = daemon.collecting("UDP");
    send_datagram(udp, format!(" {}", signed(SECRET, "mx2", ORDER)).as_bytes());
    let both = auth(SECRET, "mx2") + "black 192.0.2.2\n";
    send_datagram(udp, both.as_bytes());
    let number = |way: &[&str]| Statistics::of(&place).number(&[&["collector"], way].concat());
    wait_until(|| number(&["events", "datagrams"]) == 2, || daemon.log());
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["mx2"]);
    assert_eq!(reporters_of(&place, "192.0.2.2"), ["collector"]);
    assert_eq!((number(&["events", "sessions"]), number(&["refused", "line"])), (0, 1));
}

/// Caught: a session that ends with its first line; one that goes on after a reload took its secret away.
#[test]
fn a_session_stays_open_until_its_secret_goes() {
    let place = Place::new();
    let reporters = |secret| reporter(&place, "mx2", &[secret], "");
    let daemon = daemon(&place, &reporters(SECRET));
    let mut talk = Talk::with(daemon.collecting("TCP"));
    assert_eq!(talk.say(auth(SECRET, "mx2")), "ok mx2");
    for count in 1..=3 {
        let answer = talk.say(format!("{ORDER}\n"));
        assert_eq!(timeless(&answer), format!("ok count {count}"));
    }
    assert_eq!(reporters_of(&place, "192.0.2.1"), ["mx2"]);
    assert!(talk.say("white 192.0.2.1\n").starts_with("error not-allowed: "));
    reload(&place, &daemon, &(reporters(SECRET) + &reporter(&place, "mx3", &[SECRET], "")));
    assert_eq!(talk.say("forgive 192.0.2.1\n"), "ok forgiven");
    reload(&place, &daemon, &reporters(OTHER));
    assert!(talk.say(format!("{ORDER}\n")).starts_with("error unknown-reporter: "));
    assert_eq!(talk.say(auth(OTHER, "mx2")), "ok mx2");
    assert_eq!(talk.say(format!("{ORDER}\n")), "ok count 1 seconds 600");
}

/// Caught: a line of the log for each.
#[test]
fn wrong_secrets_are_logged_once_a_minute() {
    let place = Place::new();
    let daemon = daemon(&place, &reporter(&place, "mx2", &[SECRET], ""));
    let started = Instant::now();
    for _ in 0..30 {
        assert_eq!(codes(&daemon.report(&signed(OTHER, "mx2", ORDER))), ["secret"]);
    }
    for name in 3..30 {
        let line = signed(OTHER, &format!("mx{name}"), ORDER);
        assert_eq!(codes(&daemon.report(&line)), ["unknown-reporter"]);
    }
    let line = "WARN collector: refused a report of 127.0.0.1 (mx2): secret: wrong signature";
    let other = "WARN collector: refused a report of 127.0.0.1 (mx3): unknown-reporter: ";
    daemon.wait_for(line);
    daemon.wait_for(other);
    let log = daemon.log();
    // However slow the machine.
    let most = 1 + started.elapsed().as_secs() as usize / 60;
    assert!((1..=most).contains(&log.matches(line).count()), "{log}");
    assert!(log.matches("unknown-reporter").count() <= most, "{log}");
    assert!(!log.contains(SECRET) && !log.contains(OTHER));
}

/// Caught: guessing without end; one who guesses by datagrams, as somebody else, so that that one is
/// turned away.
#[test]
fn who_guesses_on_is_turned_away() {
    let place = Place::new();
    let daemon = daemon(&place, &reporter(&place, "mx2", &[SECRET], ""));
    let guesses: String = (0..110).map(|_| signed(OTHER, "mx2", ORDER)).collect();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..110 {
        socket.send_to(signed(OTHER, "mx2", ORDER).as_bytes(), daemon.collecting("UDP")).unwrap();
    }
    let wrong = || {
        let wrong = ["collector", "refused", "secret"];
        Statistics::of(&place).number(&wrong)
    };
    wait_until(|| wrong() == 110, || daemon.log());
    // The daemon may not look at its clock for a while; the minute may end once.
    let answers = daemon.report(&guesses);
    let answers = codes(&answers);
    assert_eq!(answers[..100], ["secret"; 100]);
    assert!(answers[100..].contains(&"busy"), "{answers:?}");
    let right = daemon.report(&signed(SECRET, "mx2", ORDER));
    assert!(
        right.starts_with("error busy: too many wrong signatures from this address"),
        "{right}"
    );
    // Unsigned lines of this host are no guesses.
    assert_eq!(codes(&daemon.report(&format!("{ORDER}\n"))), ["ok"]);
    // Nor are those from another address.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 9], 0)).into()).unwrap();
    socket.connect(&daemon.collecting("TCP").into()).unwrap();
    let mut talk = Talk { stream: std::io::BufReader::new(std::net::TcpStream::from(socket)) };
    assert!(talk.say(signed(SECRET, "mx2", ORDER)).starts_with("ok count"));
}

/// Caught: a rate that is not looked at.
#[test]
fn a_reporters_rate_is_his_own() {
    let place = Place::new();
    let reporters = reporter(&place, "mx2", &[SECRET], "rate = 1")
        + &reporter(&place, "mx3", &[SECRET], "rate = 1000");
    let daemon = daemon(&place, &reporters);
    let lines = |name| auth(SECRET, name) + &format!("{ORDER}\n").repeat(2000);
    let tcp = daemon.collecting("TCP");
    let answers = report_to(tcp, lines("mx2").as_bytes());
    let taken = codes(&answers).iter().filter(|code| **code == "ok").count();
    assert_eq!(codes(&answers).len(), 2001);
    assert!((11..2000).contains(&taken), "{taken}");
    assert!(codes(&answers).iter().all(|code| ["ok", "quota"].contains(code)), "{answers}");
    let answers = report_to(tcp, lines("mx3").as_bytes());
    assert!(codes(&answers).iter().all(|code| *code == "ok"), "{answers}");
    assert!(codes(&daemon.report(ORDER)).iter().all(|code| *code == "ok"));
}

/// Caught: a limit that counts reports; one that is never looked at again.
#[test]
fn a_reporter_has_room_for_his_entries_alone() {
    let place = Place::new();
    let reporters = reporter(&place, "mx2", &[SECRET], "entries = 3")
        + &reporter(&place, "mx3", &[SECRET], "entries = 3");
    let daemon = daemon(&place, &reporters);
    let mut talk = Talk::with(daemon.collecting("TCP"));
    assert_eq!(talk.say(auth(SECRET, "mx2")), "ok mx2");
    let mut code = |line: &str| codes(&(talk.say(format!("{line}\n")) + "\n")).join("");
    for _ in 0..5 {
        for last in 1..=3 {
            assert_eq!(code(&format!("black 192.0.2.{last}")), "ok");
        }
    }
    for last in 4..=6 {
        assert_eq!(code(&format!("black 192.0.2.{last}")), "entries");
    }
    let mut other = Talk::with(daemon.collecting("TCP"));
    assert_eq!(other.say(auth(SECRET, "mx3")), "ok mx3");
    assert_eq!(other.say("black 192.0.2.4\n"), "ok count 1 seconds 600");
    assert_eq!(code("forgive 192.0.2.1"), "ok");
    wait_until(|| code("black 192.0.2.5") == "ok", || "no room came back".to_owned());
    assert_eq!(code("black 192.0.2.6"), "entries");
}

/// Caught: weights and seconds that are taken as they are asked for; a policy's weight that is not
/// multiplied.
#[test]
fn reports_count_for_what_the_reporter_is_worth() {
    let place = Place::new();
    let terms = "weight = 2\nweight_max = 5\nseconds_max = 1300\nverbs = [\"black\", \"white\"]";
    let policy = "[policy]\nweights = { auth = 2 }\n";
    let reporters = policy.to_owned() + &reporter(&place, "mx2", &[SECRET], terms);
    let daemon = daemon(&place, &reporters);
    let mut talk = Talk::with(daemon.collecting("TCP"));
    assert_eq!(talk.say(auth(SECRET, "mx2")), "ok mx2");
    for (order, answer) in [
        ("black 192.0.2.1", "ok count 2 seconds 1200"),
        ("black 192.0.2.2 auth", "ok count 4 seconds 1300"),
        ("black 192.0.2.3 - 9", "ok count 5 seconds 1300"),
        ("black 192.0.2.4 - 1 60", "ok count 2 seconds 60"),
        ("black 192.0.2.5 - 1 86400", "ok count 2 seconds 1300"),
        ("white 192.0.2.6", "ok white seconds 1300"),
        ("white 192.0.2.7 86400", "ok white seconds 1300"),
        ("white 192.0.2.8 300", "ok white seconds 300"),
    ] {
        assert_eq!(talk.say(format!("{order}\n")), answer, "{order}");
    }
    assert!(talk.say("forgive 192.0.2.1\n").starts_with("error not-allowed: "));
}

/// Caught: unsigned lines of other hosts taken, by connections or by datagrams.
#[test]
fn other_hosts_have_to_sign_and_to_be_where_they_should() {
    if !is_root() {
        eprintln!("not run: needs root, for a network of its own");
        return;
    }
    // The network is that thread's and its children's, and goes with them.
    std::thread::spawn(other_hosts).join().unwrap();
}

fn other_hosts() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let setup = "ip link set lo up; ip address add 192.0.2.1/32 dev lo; \
        ip address add 198.51.100.1/32 dev lo";
    assert!(Command::new("sh").args(["-ec", setup]).status().unwrap().success());
    let place = Place::new();
    let reporters = reporter(&place, "mx2", &[SECRET], "networks = [\"192.0.2.0/24\"]");
    let listen = ["192.0.2.1:4444", "198.51.100.1:4444", "127.0.0.1:4444"];
    let collector = format!("[collector]\ntcp = {listen:?}\nudp = {listen:?}\nline_timeout = 60\n");
    let rest = format!("{}{collector}{reporters}{PLAIN}", control_section(&place));
    let daemon = Daemon::start(&place, &rest);
    // A connection to an address of this host comes from that address.
    let ask = |place: usize, line: &str| {
        let answer = report_to(listen[place].parse().unwrap(), line.as_bytes());
        codes(&answer).join(" ")
    };
    let line = || signed(SECRET, "mx2", ORDER);
    assert_eq!(ask(0, ORDER), "unknown-reporter");
    assert_eq!(ask(0, &line()), "ok");
    assert_eq!(ask(1, ORDER), "unknown-reporter");
    assert_eq!(ask(1, &line()), "not-allowed");
    assert_eq!(ask(2, ORDER), "ok");
    assert_eq!(ask(2, &line()), "not-allowed");
    // Datagrams, whose sender may be forged: unsigned ones are taken by loopback's socket alone.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = |code| Statistics::of(&place).number(&["collector", "refused", code]);
    let before = refused("unknown-reporter");
    let _ = socket.send_to(b"black 192.0.2.9", listen[0]);
    wait_until(|| refused("unknown-reporter") == before + 1, || daemon.log());
    socket.send_to(b"black 192.0.2.9", listen[2]).unwrap();
    let taken = || Statistics::of(&place).number(&["collector", "accepted", "collector", "black"]);
    wait_until(|| taken() == 2, || daemon.log());
}

/// Caught: a secret that cannot be read takes the place of one that can; a start without it.
#[test]
fn secrets_that_cannot_be_read_are_told() {
    let place = Place::new();
    let good = reporter(&place, "mx2", &[SECRET], "");
    let daemon = daemon(&place, &good);
    assert_eq!(codes(&daemon.report(&signed(SECRET, "mx2", ORDER))), ["ok"]);
    assert!(daemon.log().contains("mx2.secret: others may read or change it (mode 0644): whoever"));
    secret_file(&place, "mx2.secret", &["short"]);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("not reloaded, the old configuration stays: ");
    let expected = format!("{}:1: shorter than 16 bytes", place.path("mx2.secret").display());
    assert!(daemon.log().contains(&expected), "{}", daemon.log());
    assert_eq!(codes(&daemon.report(&signed(SECRET, "mx2", ORDER))), ["ok"]);
    let config = place.path("eximrbl.toml");
    for arguments in [&["--check-config", "--config"][..], &["--config"]] {
        let arguments = [arguments, &[config.to_str().unwrap()]].concat();
        let (status, error) = common::fails(&arguments);
        assert_eq!(status, Some(1));
        assert!(error.contains(&expected) && !error.contains("short\n"), "{error}");
    }
}
