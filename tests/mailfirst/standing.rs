//! Faults that are there when Exim's process starts.
//!
//! For each way to call the library and each fault, ten clients come, whose sessions have every
//! kind of acceptance and rejection in them. Transcripts, main log and reject log are compared
//! with those of the same configuration without the calls.
//!
//! Caught: `DEFER` returned where the table cannot be opened (451 with direct calls, log lines of
//! Exim's with the functions); `FAIL` returned unless the table can be written (451); `rbl_listed`
//! yields yes without a table; more than one line for a cause; a panic at words that no writer
//! makes.

use crate::configuration::Way;
use crate::faults::{FAULTS, Tellers};
use crate::harness::Lan;
use crate::server::{Circumstances, Server};
use crate::sessions::{SESSIONS, Seen, Session, play};
use crate::steady::{Teller, Told, assert_same, assert_told_once};
use crate::turns::among_others;

/// Fails unless mail went as it does without eximrbl.
#[track_caller]
pub fn assert_unaffected(what: &str, seen: &Seen, plain: &Seen) {
    assert_same(&format!("{what}: what clients saw"), &seen.replies, &plain.replies);
    assert_same(&format!("{what}: the main log"), &seen.main, &plain.main);
    assert_same(&format!("{what}: the reject log"), &seen.reject, &plain.reject);
    assert_eq!(seen.panic, "", "{what}: the panic log");
    assert_told_once(what, &seen.told);
}

/// Fails unless exactly those processes told the fault that have to.
#[track_caller]
fn assert_tellers(what: &str, way: Way, tellers: Tellers, sessions: &[Session], told: &[Told]) {
    let children = |pick: &dyn Fn(&Session) -> bool| -> Vec<Teller> {
        let picked = sessions.iter().filter(|session| pick(session));
        picked.map(|session| Teller::Child(session.client.to_owned())).collect()
    };
    let (mut expected, text) = match tellers {
        Tellers::Anybody => return,
        Tellers::Nobody => (Vec::new(), ""),
        // Its children have inherited that it was told.
        Tellers::Openers(text) if way == Way::Preloaded => (vec![Teller::Daemon], text),
        Tellers::Openers(text) => (children(&|_| true), text),
        Tellers::Changers(text) => (children(&|session| session.changes), text),
    };
    let mut found: Vec<Teller> = told.iter().map(|line| line.teller.clone()).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{what}: who told\n{told:#?}");
    for line in told {
        assert!(line.text.contains(text), "{what}: {line:?} has no {text:?}");
    }
}

/// Plays the sessions under every fault.
#[track_caller]
fn compare(way: Way) {
    let lan = Lan::new();
    let mut server = Server::new(&lan, 10);
    server.start(&Way::Plain.text(), Circumstances::default());
    let plain = play(&lan, &mut server, &SESSIONS, &mut |_, _| ());
    assert_eq!((plain.panic.as_str(), plain.told.len()), ("", 0), "the plain Exim");
    assert_plays_everything(&plain);

    let mut sessions = 0;
    for (number, fault) in FAULTS.iter().enumerate() {
        let what = format!("{way:?}, {}", fault.name);
        (fault.place)(&server);
        // The daemon keeps what it has opened and told; a child starts anew at each connection.
        if number == 0 || way == Way::Preloaded {
            server.start(&way.text(), Circumstances::default());
        }
        let seen = play(&lan, &mut server, &SESSIONS, &mut |_, _| ());
        assert_unaffected(&what, &seen, &plain);
        assert_tellers(&what, way, fault.tellers, &SESSIONS, &seen.told);
        sessions += SESSIONS.len();
    }
    eprintln!("{way:?}: {} faults, {sessions} SMTP sessions as without eximrbl", FAULTS.len());
}

/// Fails unless the sessions have in them what they are for: else all could be equal and nothing
/// shown.
#[track_caller]
fn assert_plays_everything(plain: &Seen) {
    for reply in [
        "S: 550 not at connect",
        "S: 550 not at helo",
        "S: 550 not at mail",
        "S: 550 unknown here",
        "S: 550-first line",
        "S: 553 5.1.3 a code of its own",
        "S: 550 called twice",
        "S: 451 try later",
        "S: 550 go away",
        "S: 550 a virus",
        "S: 535 Incorrect",
        "S: 235 ",
        "S: 250 OK id=",
    ] {
        assert!(plain.replies.contains(reply), "no {reply:?} in\n{}", plain.replies);
    }
    assert!(plain.main.contains("<= sender@client.example"), "{}", plain.main);
    assert!(plain.reject.contains("Subject: bad"), "{}", plain.reject);
}

#[test]
fn functions_fail_open() {
    let _turn = among_others();
    compare(Way::Functions);
}

#[test]
fn direct_calls_fail_open() {
    let _turn = among_others();
    compare(Way::Direct);
}

#[test]
fn preloaded_calls_fail_open() {
    let _turn = among_others();
    compare(Way::Preloaded);
}
