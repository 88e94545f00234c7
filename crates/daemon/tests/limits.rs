//! The response rate limit through the real daemon.
//!
//! How many queries fall into one second is not in a test's hand. So the limit is one response a second,
//! and a client asks until it is over the limit, which it is with the second query of a second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Daemon, PLAIN, Place, Response, framed, query, query_with_cookie, receive_patiently};
use nix::sys::signal::Signal;

const A: u16 = 1;
const ANY: u16 = 255;
const LISTED: &str = "2.0.0.127.rbl.example";
/// How many queries show that there is no limit.
const MANY: usize = 100;

/// One response a second for each network of loopback, whoever is exempt by default.
fn limited(rest: &str) -> String {
    format!(
        "rate_limit = {{ responses_per_second = 1, exempt = [\"127.0.9.0/24\"]{rest} }}\n{PLAIN}"
    )
}

/// Asks until the limit is met; the response that says so.
fn over_the_limit(daemon: &Daemon, client: &str, packet: &[u8]) -> Response {
    let started = Instant::now();
    loop {
        let response = daemon.exchange_from(client, packet);
        if response.is_truncated() {
            return response;
        }
        assert_eq!(response.addresses(), [[127, 0, 0, 2]], "whole, or cut");
        assert!(started.elapsed() < Duration::from_secs(30), "never limited");
    }
}

/// Asks many times; each must be answered.
fn is_never_limited(daemon: &Daemon, client: &str, packet: &[u8]) {
    for _ in 0..MANY {
        let response = daemon.exchange_from(client, packet);
        assert_eq!((response.is_truncated(), response.addresses().len()), (false, 1), "{client}");
    }
}

/// Caught: a limit that is never met; a cut response that holds records, or is longer than the query; TCP
/// that is limited.
#[test]
fn over_the_limit_a_client_is_told_to_use_tcp_and_gets_its_answer_there() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &limited(""));
    let plain = query(7, LISTED, A);
    let cut = over_the_limit(&daemon, "127.0.0.1", &plain);
    assert_eq!((cut.id(), cut.code(), cut.answers().len()), (7, 0, 0));
    assert_eq!(cut.question(), &plain[12..]);
    assert_eq!(cut.bytes.len(), plain.len(), "amplifies nothing");
    for _ in 0..MANY {
        assert_eq!(daemon.exchange_tcp(&framed(&plain), 1)[0].addresses(), [[127, 0, 0, 2]]);
    }
    // dig goes there by itself.
    for _ in 0..10 {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &daemon.address.port().to_string()])
            .args(["+short", "+tries=3", "+time=10", "+nocookie", LISTED, "A"])
            .output()
            .expect("dig (package bind9-dnsutils) is needed");
        assert!(String::from_utf8_lossy(&output.stdout).contains("127.0.0.2"), "{output:?}");
    }
}

/// Caught: a client that is limited though its cookie is good; one whose cookie is not, and is not.
#[test]
fn a_valid_cookie_and_an_exempt_network_are_not_limited() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &limited(""));
    let cut = over_the_limit(&daemon, "127.0.0.1", &query_with_cookie(LISTED, A, b"client-1"));
    // A client that is cut gets its cookie, and need not use TCP the next time.
    let cookie = cut.option(common::COOKIE).unwrap();
    is_never_limited(&daemon, "127.0.0.1", &query_with_cookie(LISTED, A, &cookie));
    // It is the client's own business: others of its network are still limited, and so is it without.
    over_the_limit(&daemon, "127.0.0.2", &query_with_cookie(LISTED, A, &cookie));
    over_the_limit(&daemon, "127.0.0.1", &query(7, LISTED, A));
    is_never_limited(&daemon, "127.0.9.1", &query(7, LISTED, A));
    over_the_limit(&daemon, "127.0.8.1", &query(7, LISTED, A));
}

/// By default loopback is exempt, and the limit is far away.
#[test]
fn loopback_is_exempt_by_default_and_nought_switches_the_limit_off() {
    for settings in [
        "rate_limit.responses_per_second = 1\n",
        "rate_limit = { responses_per_second = 0, exempt = [] }\n",
    ] {
        let place = Place::new();
        let daemon = Daemon::start(&place, &format!("{settings}{PLAIN}"));
        is_never_limited(&daemon, "127.0.0.1", &query(7, LISTED, A));
    }
}

/// Sends many queries at once; the responses to them.
///
/// When the answers to two more are there, which are never limited, the others have been dealt with: each of
/// the two goes one of the ways on which queries are answered.
fn flood(daemon: &Daemon, packet: &[u8]) -> Vec<Response> {
    // The first query of all is within the limit.
    let cookie = daemon.cookie_for("127.0.0.1", b"client-1");
    let socket = daemon.socket("127.0.0.1");
    (0..MANY).for_each(|_| _ = socket.send(packet).unwrap());
    for query_type in [ANY, A] {
        let mut last = query_with_cookie(LISTED, query_type, &cookie);
        last[..2].copy_from_slice(b"##");
        socket.send(&last).unwrap();
    }
    let (mut responses, mut last) = (Vec::new(), 0);
    while last < 2 {
        let response = receive_patiently(&socket);
        match &response.bytes[..2] {
            b"##" => last += 1,
            _ => responses.push(response),
        }
    }
    responses
}

/// Each query over the limit gets silence with a slip of 0, every second one with 2. Caught: a slip that
/// is always one.
#[test]
fn slip_decides_how_many_are_told() {
    for (slip, most_cut) in [(0, 0), (2, MANY / 2)] {
        let place = Place::new();
        let daemon = Daemon::start(&place, &limited(&format!(", slip = {slip}")));
        let responses = flood(&daemon, &query(7, LISTED, A));
        let cut = responses.iter().filter(|response| response.is_truncated()).count();
        assert!(cut <= most_cut, "slip {slip}: {cut} of {} cut", responses.len());
        assert!(responses.len() < MANY, "slip {slip}: none left out, {cut} cut");
    }
}

/// Caught: errors that anybody can have sent to anybody, as often as he likes.
#[test]
fn errors_and_refusals_are_limited_too() {
    let malformed = query(7, LISTED, A)[..20].to_vec();
    let mut update = query(7, LISTED, A);
    update[2] |= 5 << 3;
    for (what, packet) in [
        ("refused", query(7, "www.example.org", A)),
        ("malformed", malformed),
        ("another operation", update),
    ] {
        let place = Place::new();
        let daemon = Daemon::start(&place, &limited(", slip = 0"));
        let responses = flood(&daemon, &packet).len();
        assert!(responses < MANY, "{what}: {responses} responses");
    }
}

/// Cookies "required" leave nothing for who forges addresses, even within the limit.
#[test]
fn with_cookies_required_the_limit_holds_for_bad_ones() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &format!("cookies = \"required\"\n{}", limited("")));
    let socket = daemon.socket("127.0.0.1");
    for _ in 0..MANY {
        socket.send(&query_with_cookie(LISTED, A, b"client-1")).unwrap();
    }
    let first = receive_patiently(&socket);
    assert_eq!((first.code(), first.answers().len()), (23, 0));
    let cookie = first.option(common::COOKIE).unwrap();
    is_never_limited(&daemon, "127.0.0.1", &query_with_cookie(LISTED, A, &cookie));
    socket.set_nonblocking(true).unwrap();
    let mut responses = 1;
    while socket.recv(&mut [0; 512]).is_ok() {
        responses += 1;
    }
    assert!(responses < MANY, "{responses} responses");
}

/// Caught: limits that only a restart takes over.
#[test]
fn a_reload_takes_over_the_limits() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    is_never_limited(&daemon, "127.0.0.1", &query(7, LISTED, A));
    place.configure(&limited(""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("reloaded; zones: 1");
    over_the_limit(&daemon, "127.0.0.1", &query(7, LISTED, A));
}
