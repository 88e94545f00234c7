//! DNS cookies (RFC 7873, RFC 9018) through the real daemon.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{
    COOKIE, Daemon, PLAIN, Place, fails, framed, is_root, opt_with, option, query,
    query_with_cookie, query_with_options, wait_until,
};
use nix::sys::signal::Signal;
use nix::unistd::{User, chown};

const A: u16 = 1;
const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const BADCOOKIE: u16 = 23;
const LISTED: &str = "2.0.0.127.rbl.example";
const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715\n";
const NEW: &str = "445536bcd2513298075a5d379663c962\n";

/// Answered by UDP only with a valid cookie, so that the code tells what a cookie is worth.
fn required(rest: &str) -> String {
    format!("cookies = \"required\"\n{rest}{PLAIN}")
}

/// Writes a file of secrets that the daemon can read and others cannot.
fn write_secrets(place: &Place, text: &str) -> PathBuf {
    let path = place.path("secrets");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    if is_root() {
        let nobody = User::from_name("nobody").unwrap().unwrap();
        chown(&path, None, Some(nobody.gid)).unwrap();
    }
    path
}

fn code(daemon: &Daemon, client: &str, cookie: &[u8]) -> u16 {
    let response = daemon.exchange_from(client, &query_with_cookie(LISTED, A, cookie));
    let is_answered = response.code() == NOERROR;
    assert_eq!(response.addresses().len(), usize::from(is_answered), "records and their lack");
    assert!(!response.is_truncated());
    response.code()
}

fn dig(daemon: &Daemon, arguments: &[&str]) -> String {
    let Output { stdout, stderr, .. } = Command::new("dig")
        .args(["@127.0.0.1", "-p", &daemon.address.port().to_string()])
        .args(["+tries=3", "+time=10"])
        .args(arguments)
        .output()
        .expect("dig (package bind9-dnsutils) is needed");
    String::from_utf8(stdout).unwrap() + &String::from_utf8_lossy(&stderr)
}

/// What a query without any proof gets is the same as ever; what dig sends gets its cookie back, and
/// that is good for the next query. Caught: a cookie that is not sent back; one that is sent to who
/// sent none.
#[test]
fn dig_gets_a_cookie_and_brings_it_back() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &required(""));
    // dig itself asks again after BADCOOKIE, with the cookie that came with it.
    let first = dig(&daemon, &[LISTED, "A", "+cookie=0011223344556677"]);
    let cookie = first
        .lines()
        .find_map(|line| line.strip_prefix("; COOKIE: 0011223344556677"))
        .unwrap_or_else(|| panic!("no cookie: {first}"));
    let cookie = cookie.strip_suffix(" (good)").unwrap_or_else(|| panic!("not good: {first}"));
    assert_eq!(cookie.len(), 32, "{first}");
    assert!(first.contains("status: NOERROR") && first.contains("127.0.0.2"), "{first}");
    let whole = format!("+cookie=0011223344556677{cookie}");
    let second = dig(&daemon, &[LISTED, "A", &whole, "+nobadcookie"]);
    assert!(second.contains("status: NOERROR") && second.contains("127.0.0.2"), "{second}");
    let none = dig(&daemon, &[LISTED, "A", "+nocookie", "+ignore"]);
    assert!(!none.contains("COOKIE") && none.contains(" tc"), "{none}");
    let refused = dig(&daemon, &[LISTED, "A", "+cookie=0011223344556677", "+nobadcookie"]);
    assert!(refused.contains("status: BADCOOKIE"), "{refused}");
}

/// Caught: a cookie that is good for any address; one whose bytes are not all looked at.
#[test]
fn a_cookie_is_good_for_the_client_alone_that_it_was_made_for() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &required(""));
    let cookie = daemon.cookie_for("127.0.0.1", b"client-1");
    assert_eq!(code(&daemon, "127.0.0.1", &cookie), NOERROR);
    assert_eq!(code(&daemon, "127.0.0.2", &cookie), BADCOOKIE);
    let mut others = cookie.clone();
    others[..8].copy_from_slice(b"client-2");
    assert_eq!(code(&daemon, "127.0.0.1", &others), BADCOOKIE);
    for at in [8, 9, 12, 15, 16, 23] {
        let mut forged = cookie.clone();
        forged[at] ^= 0x80;
        assert_eq!(code(&daemon, "127.0.0.1", &forged), BADCOOKIE, "byte {at}");
    }
    // A cookie of another kind of server is no error.
    assert_eq!(code(&daemon, "127.0.0.1", b"client-1server--"), BADCOOKIE);
    // By TCP the address is proven anyhow; and the cookie is there for the next query by UDP.
    let by_tcp = &daemon.exchange_tcp(&framed(&query_with_cookie(LISTED, A, b"client-1")), 1)[0];
    assert_eq!(by_tcp.addresses(), [[127, 0, 0, 2]]);
    assert_eq!(code(&daemon, "127.0.0.1", &by_tcp.option(COOKIE).unwrap()), NOERROR);
}

/// "On" answers everybody, and gives a cookie to who knows what that is; "off" knows of none.
#[test]
fn on_and_off_answer_without_a_cookie_too() {
    for (setting, is_on) in [("", true), ("cookies = \"off\"\n", false)] {
        let place = Place::new();
        let daemon = Daemon::start(&place, &format!("{setting}{PLAIN}"));
        for cookie in [&b"client-1"[..], b"client-1server--", &[7; 24], &[7; 40]] {
            let response = daemon.exchange_from("127.0.0.1", &query_with_cookie(LISTED, A, cookie));
            assert_eq!(response.addresses(), [[127, 0, 0, 2]], "{cookie:?}");
            assert_eq!(response.option(COOKIE).is_some(), is_on, "{cookie:?}");
        }
        let plain = daemon.exchange_from("127.0.0.1", &query_with_options(LISTED, A, b""));
        assert_eq!((plain.option(COOKIE), plain.addresses().len()), (None, 1));
        assert!(daemon.exchange_from("127.0.0.1", &query(7, LISTED, A)).opt().is_none());
    }
}

/// RFC 7873 section 5.2.2. Caught: lengths that are taken; a FORMERR without OPT record, after which
/// resolvers think that the server does not know EDNS.
#[test]
fn a_cookie_of_a_length_that_none_has_is_malformed() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    for length in 0..=48 {
        let packet = query_with_cookie(LISTED, A, &vec![7; length]);
        let response = daemon.exchange_from("127.0.0.1", &packet);
        let is_good = length == 8 || (16..=40).contains(&length);
        assert_eq!(response.code(), if is_good { NOERROR } else { FORMERR }, "{length}");
        assert!(response.opt().is_some(), "{length}");
        assert_eq!(response.addresses().len(), usize::from(is_good), "{length}");
    }
    let off = Place::new();
    let off = Daemon::start(&off, &format!("cookies = \"off\"\n{PLAIN}"));
    let response = off.exchange_from("127.0.0.1", &query_with_cookie(LISTED, A, b"x"));
    assert_eq!(response.code(), NOERROR, "an option that is not known has no length");
}

/// RFC 7873 section 5.4: a client may ask for a cookie alone.
#[test]
fn a_query_without_a_question_gets_a_cookie() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &required(""));
    let ask = |options: &[u8]| {
        let mut packet = vec![0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        packet.extend(opt_with(1232, 0, 0, options));
        daemon.exchange_from("127.0.0.1", &packet)
    };
    let new = ask(&option(COOKIE, b"client-1"));
    assert_eq!((new.code(), new.answers().len()), (NOERROR, 0));
    let cookie = new.option(COOKIE).unwrap();
    assert_eq!(code(&daemon, "127.0.0.1", &cookie), NOERROR);
    assert_eq!(ask(&option(COOKIE, &cookie)).code(), NOERROR);
    let bad = ask(&option(COOKIE, &[&b"client-1"[..], &[7; 16]].concat()));
    assert_eq!(bad.code(), BADCOOKIE);
    assert_eq!(code(&daemon, "127.0.0.1", &bad.option(COOKIE).unwrap()), NOERROR);
    assert_eq!(ask(b"").code(), FORMERR, "without a cookie there is nothing to ask for");
}

/// Caught: a secret that is drawn again at a reload.
#[test]
fn the_drawn_secret_outlives_a_reload_and_differs_between_daemons() {
    let (place, other) = (Place::new(), Place::new());
    let daemon = Daemon::start(&place, &required(""));
    let cookie = daemon.cookie_for("127.0.0.1", b"client-1");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("reloaded; zones: 1");
    assert_eq!(code(&daemon, "127.0.0.1", &cookie), NOERROR);
    let other = Daemon::start(&other, &required(""));
    assert_eq!(code(&other, "127.0.0.1", &cookie), BADCOOKIE);
}

/// Two servers with the same file take each other's cookies, and at no step of a roll-over (RFC 9018
/// section 5) a client is turned down; after it the old secret is worth nothing. Caught: a file that is
/// not read again; cookies that are made with the last secret instead of the first.
#[test]
fn servers_share_secrets_and_roll_them_over() {
    let places = [Place::new(), Place::new()];
    let daemons = places.each_ref().map(|place| {
        let secrets = write_secrets(place, OLD);
        Daemon::start(place, &required(&format!("cookie_secret_file = {secrets:?}\n")))
    });
    let reload = |at: usize, secrets: &[&str]| {
        write_secrets(&places[at], &secrets.concat());
        let reloads = || daemons[at].log().matches("reloaded; zones: 1").count();
        let before = reloads();
        daemons[at].signal(Signal::SIGHUP);
        wait_until(|| reloads() > before, || daemons[at].log());
    };
    let all_take = |cookie: &[u8]| {
        for daemon in &daemons {
            assert_eq!(code(daemon, "127.0.0.1", cookie), NOERROR);
        }
    };
    let old = daemons[0].cookie_for("127.0.0.1", b"client-1");
    for secrets in [&[OLD, NEW][..], &[NEW, OLD]] {
        for at in 0..daemons.len() {
            reload(at, secrets);
            all_take(&old);
            daemons
                .iter()
                .for_each(|daemon| all_take(&daemon.cookie_for("127.0.0.1", b"client-2")));
        }
    }
    let new = daemons[1].cookie_for("127.0.0.1", b"client-1");
    (0..daemons.len()).for_each(|at| reload(at, &[NEW]));
    all_take(&new);
    for daemon in &daemons {
        assert_eq!(code(daemon, "127.0.0.1", &old), BADCOOKIE);
    }
}

/// Caught: a mode that is not looked at; a reload that goes on without secrets.
#[test]
fn a_bad_file_of_secrets_is_refused_with_its_line_and_what_to_do() {
    let place = Place::new();
    let path = write_secrets(&place, OLD);
    let rest = required(&format!("cookie_secret_file = {path:?}\n"));
    let daemon = Daemon::start(&place, &rest);
    let cookie = daemon.cookie_for("127.0.0.1", b"client-1");
    let config = place.configure(&rest);
    let config = config.to_str().unwrap();
    let shown = path.display();
    write_secrets(&place, &format!("{OLD}secret\n"));
    let not_a_secret = format!("{shown}:2: not a secret: 32 hexadecimal digits");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for(&format!("ERROR not reloaded, the old configuration stays: {not_a_secret}"));
    assert_eq!(code(&daemon, "127.0.0.1", &cookie), NOERROR);
    let (status, error) = fails(&["--check-config", "--config", config]);
    assert_eq!((status, error.starts_with(&not_a_secret)), (Some(1), true), "{error}");

    write_secrets(&place, OLD);
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let open =
        format!("{shown}: others may read or change it (mode 0644), and forge cookies by it");
    for arguments in [&["--check-config", "--config", config][..], &["--config", config]] {
        let (status, error) = fails(arguments);
        assert_eq!((status, error.contains(&open)), (Some(1), true), "{error}");
    }
    fs::remove_file(&path).unwrap();
    let (status, error) = fails(&["--config", config]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains(&format!("{shown}: cannot read the cookie secrets: No such")),
        "{error}"
    );
}

/// A file that only root can read would be lost at the first reload, so it is refused at the start.
#[test]
fn a_file_that_the_daemons_user_cannot_read_is_refused_at_the_start() {
    if !is_root() {
        eprintln!("not run: this needs root, who becomes another user");
        return;
    }
    let place = Place::new();
    let path = write_secrets(&place, OLD);
    chown(&path, Some(0.into()), Some(0.into())).unwrap();
    let rest = required(&format!("cookie_secret_file = {path:?}\n"));
    let (status, error) = fails(&["--config", place.configure(&rest).to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(error.contains("Permission denied") && error.contains("mode 0640"), "{error}");
}
