//! What cookies, rate limit and access do, as the control socket counts it: by both ways of UDP, and
//! by TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{
    COOKIE, Daemon, PLAIN, Place, SILENCE, Statistics, control_section, framed, query,
    query_with_cookie, receive, wait_until,
};

const A: u16 = 1;
const SOA: u16 = 6;
const LISTED: &str = "2.0.0.127.rbl.example";
const ZONE: &str = "rbl.example";
const CLIENT: &str = "127.0.0.1";

/// Of the two names, the quick way answers the first, and leaves the second to the complete one.
const BOTH: [(&str, u16); 2] = [(LISTED, A), (ZONE, SOA)];

/// Caught: a cookie of the complete way counted as none; a valid one as bad.
#[test]
fn cookies_are_counted_by_what_they_are_worth() {
    let place = Place::new();
    let daemon = Daemon::start(&place, &format!("{}{PLAIN}", control_section(&place)));
    let cookie = daemon.cookie_for(CLIENT, b"client-1");
    let mut bad = cookie.clone();
    bad[23] ^= 1;
    for (name, query_type) in BOTH {
        let with = |cookie: &[u8]| query_with_cookie(name, query_type, cookie);
        (0..2).for_each(|_| _ = daemon.exchange_from(CLIENT, &with(b"client-1")));
        (0..3).for_each(|_| _ = daemon.exchange_from(CLIENT, &with(&cookie)));
        (0..4).for_each(|_| _ = daemon.exchange_from(CLIENT, &with(&bad)));
        (0..5).for_each(|_| _ = daemon.exchange_from(CLIENT, &query(1, name, query_type)));
        daemon.exchange_tcp(&framed(&with(&cookie)), 1);
    }
    let now = Statistics::of(&place);
    let counts = ["client_only", "valid", "bad", "none"].map(|name| now.number(&["cookies", name]));
    assert_eq!(counts, [1 + 4, 6 + 2, 8, 10]);
    let ways = ["udp_quick", "udp_complete", "tcp"].map(|name| now.number(&["queries", name]));
    assert_eq!(ways, [1 + 14, 14, 2]);
    assert_eq!(now.event("declined"), 14);
    assert_eq!(now.number(&["replies", "noerror"]), 31);
}

/// Caught: a demand for a cookie that is counted as an answer.
#[test]
fn demands_for_a_cookie_are_counted() {
    let place = Place::new();
    let rest = format!("cookies = \"required\"\n{}{PLAIN}", control_section(&place));
    let daemon = Daemon::start(&place, &rest);
    let cookie = daemon.cookie_for(CLIENT, b"client-1");
    for (name, query_type) in BOTH {
        let with = |cookie: &[u8]| query_with_cookie(name, query_type, cookie);
        assert_eq!(daemon.exchange_from(CLIENT, &with(b"client-1")).code(), 23);
        assert_eq!(daemon.exchange_from(CLIENT, &with(&cookie)).code(), 0);
        assert!(daemon.exchange_from(CLIENT, &with(b"client-1")).option(COOKIE).is_some());
    }
    let now = Statistics::of(&place);
    assert_eq!(now.number(&["replies", "badcookie"]), 1 + 4);
    assert_eq!(now.number(&["replies", "noerror"]), 2);
}

/// How many fall into one second is not in a test's hand; what the client sees is what is counted.
///
/// Caught: a slipped answer counted as a whole one; one of the complete way as one that was too long.
#[test]
fn slipped_answers_are_counted() {
    let place = Place::new();
    let limit = "rate_limit = { responses_per_second = 1, exempt = [] }\n";
    let daemon = Daemon::start(&place, &format!("{limit}{}{PLAIN}", control_section(&place)));
    let mut cut = 0;
    for (name, query_type) in BOTH {
        let before = cut;
        for _ in 0..10_000 {
            let response = daemon.exchange_from(CLIENT, &query(1, name, query_type));
            cut += u64::from(response.is_truncated());
            if cut == before + 10 {
                break;
            }
        }
        assert_eq!(cut, before + 10, "never limited");
    }
    let now = Statistics::of(&place);
    assert_eq!((now.number(&["replies", "slipped"]), now.event("truncated")), (cut, 0));
}

/// Caught: an answer that was dropped, and counted as one that was given.
#[test]
fn dropped_answers_are_counted() {
    let place = Place::new();
    let limit = "rate_limit = { responses_per_second = 1, slip = 0, exempt = [] }\n";
    let daemon = Daemon::start(&place, &format!("{limit}{}{PLAIN}", control_section(&place)));
    let socket = daemon.socket(CLIENT);
    for (name, query_type) in BOTH {
        (0..20).for_each(|_| _ = socket.send(&query(1, name, query_type)).unwrap());
    }
    let counts = || {
        let now = Statistics::of(&place);
        ["noerror", "dropped"].map(|reply| now.number(&["replies", reply]))
    };
    wait_until(|| counts().iter().sum::<u64>() == 40, || format!("{:?}", counts()));
    let [answered, dropped] = counts();
    // A response is counted before it leaves.
    for _ in 0..answered {
        assert!(receive(&socket, Duration::from_secs(30)).is_some());
    }
    assert!(receive(&socket, SILENCE).is_none(), "more responses than were counted");
    assert!(dropped > 0);
}

/// Caught: who may not ask counted among names that are in no zone.
#[test]
fn who_may_not_ask_is_counted_at_the_zone() {
    let place = Place::new();
    let zones = "[[zone]]\nname = \"rbl.example\"\nallow_query = [\"127.0.0.2\"]\n";
    let daemon = Daemon::start(&place, &format!("{}{zones}", control_section(&place)));
    for (name, query_type) in BOTH {
        assert_eq!(daemon.exchange_from(CLIENT, &query(1, name, query_type)).code(), 5);
        assert_eq!(daemon.exchange_from("127.0.0.2", &query(1, name, query_type)).code(), 0);
    }
    let now = Statistics::of(&place);
    let zone =
        |kind: &str, decided: &str| now.0["zones"][0]["queries"][kind][decided].as_u64().unwrap();
    assert_eq!((zone("a", "prohibited"), zone("other", "prohibited")), (1, 1));
    assert_eq!((zone("a", "listed"), zone("other", "apex")), (1, 1));
    assert_eq!(now.number(&["no_zone", "a", "refused"]), 0);
    assert_eq!(now.number(&["replies", "refused"]), 2);
}
