#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::denial::Code;
use crate::mac::Algorithm;
use crate::signing::{auth, signed};

const START: u64 = 1_795_326_000;
const ORDER: &str = "black 192.0.2.1 rcpt";

fn now(seconds: u64) -> Now {
    Now { unix: START + seconds, steady: Duration::from_secs(seconds) }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::read_all(text.as_bytes()).unwrap().remove(0)
}

const SECRET: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

fn enrolled(of: &str, secrets: &[&str]) -> Enrolled {
    let terms = Terms {
        name: name(of),
        networks: Vec::new(),
        verbs: vec![Verb::Black, Verb::Forgive],
        weight: 1,
        weight_max: 10,
        seconds_max: 86_400,
        rate: 100,
        entries: 1000,
    };
    let secrets = secrets.iter().copied().map(secret).collect();
    Enrolled { terms, secrets, certificate: None }
}

fn remote(address: &str) -> Origin {
    Origin { peer: Peer::Ip(address.parse().unwrap()), standing: Standing::Remote }
}

fn local(address: &str) -> Origin {
    Origin { standing: Standing::Local, ..remote(address) }
}

/// The name of the reporter that a line is counted to, or why it is refused.
fn judge(gate: &mut Gate, line: &str, origin: &Origin, at: Now) -> Result<String, Denial> {
    match gate.judge(&Line::parse(line.as_bytes()).unwrap(), origin, at)? {
        Judged::Report { terms, .. } => Ok(terms.name.to_string()),
        Judged::Session(session) => Ok(session.name.to_string()),
    }
}

fn session(gate: &mut Gate, line: &str, origin: &Origin, at: Now) -> Session {
    match gate.judge(&Line::parse(line.as_bytes()).unwrap(), origin, at).unwrap() {
        Judged::Session(session) => session,
        other => panic!("{other:?}"),
    }
}

fn by(secret_text: &str, who: &str, stamp: u64) -> String {
    signed(&secret(secret_text), Algorithm::Sha3, name(who), stamp, ORDER)
}

/// Caught: no look at where an unsigned line comes from.
#[test]
fn unsigned_reports_come_from_this_host_alone() {
    let mut gate = Gate::new(vec![enrolled("mx2", &[SECRET])], now(0));
    for origin in [local("127.0.0.1"), local("::1")] {
        assert_eq!(judge(&mut gate, ORDER, &origin, now(0)).unwrap(), "collector");
        assert_eq!(judge(&mut gate, "white 192.0.2.1", &origin, now(0)).unwrap(), "collector");
    }
    let unix = Origin { peer: Peer::Unix, standing: Standing::Local };
    assert_eq!(judge(&mut gate, ORDER, &unix, now(0)).unwrap(), "collector");
    assert_eq!(judge(&mut gate, ORDER, &remote("192.0.2.9"), now(0)), Err(Denial::Unsigned));
}

/// Caught: one who has a secret told by his address.
#[test]
fn a_reporter_without_a_secret_is_told_by_his_address_on_this_host_alone() {
    let networks = vec!["127.0.0.2".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
    let mut plain = enrolled("program", &[]);
    plain.terms.networks.clone_from(&networks);
    let mut signing = enrolled("mx2", &[SECRET]);
    signing.terms.networks = vec!["127.0.0.3".parse().unwrap()];
    let mut gate = Gate::new(vec![plain, signing], now(0));
    let mut of = |origin| judge(&mut gate, ORDER, &origin, now(0));
    assert_eq!(of(local("127.0.0.2")).unwrap(), "program");
    assert_eq!(of(local("127.0.0.3")).unwrap(), "collector");
    assert_eq!(of(remote("192.0.2.9")), Err(Denial::Unsigned));
    assert_eq!(
        judge(&mut gate, &by(SECRET, "program", START), &local("127.0.0.2"), now(0)),
        Err(Denial::NoSecret)
    );
}

/// Caught: the second secret of a file left out; a name that is not part of what is signed.
#[test]
fn signed_reports_are_taken_by_either_secret() {
    let reporters = vec![enrolled("mx2", &[SECRET, OTHER]), enrolled("mx3", &[SECRET])];
    let mut gate = Gate::new(reporters, now(0));
    let from = remote("192.0.2.9");
    for (number, text) in [SECRET, OTHER].into_iter().enumerate() {
        let stamp = START + number as u64;
        assert_eq!(judge(&mut gate, &by(text, "mx2", stamp), &from, now(1)).unwrap(), "mx2");
        let hmac = signed(&secret(text), Algorithm::HmacSha1, name("mx2"), stamp, ORDER);
        assert_eq!(judge(&mut gate, &hmac, &from, now(1)).unwrap(), "mx2");
    }
    let wrong = by("0123456789abcdeF", "mx2", START);
    assert_eq!(judge(&mut gate, &wrong, &from, now(1)), Err(Denial::Secret));
    // By what mx2 signed, mx3 did not sign; and not with another time or order.
    let line = by(SECRET, "mx2", START + 1);
    for other in [
        line.replace("mx2", "mx3"),
        line.replace(&(START + 1).to_string(), &START.to_string()),
        line.replace("rcpt", "auth"),
        line.clone() + " 9",
    ] {
        assert_eq!(judge(&mut gate, &other, &from, now(1)), Err(Denial::Secret), "{other}");
    }
    assert_eq!(
        judge(&mut gate, &by(SECRET, "mx4", START), &from, now(1)),
        Err(Denial::UnknownReporter)
    );
}

/// Caught: the clock looked at before the signature, which tells it to everybody.
#[test]
fn a_wrong_clock_is_told_apart_from_a_wrong_secret() {
    let mut gate = Gate::new(vec![enrolled("mx2", &[SECRET])], now(0));
    let from = remote("192.0.2.9");
    let mut at = |line: &str, seconds| judge(&mut gate, line, &from, now(seconds));
    let late = by(SECRET, "mx2", START + 1);
    assert_eq!(at(&late, 302), Err(Denial::Late(301)));
    assert_eq!(at(&late, 301).unwrap(), "mx2");
    let early = by(SECRET, "mx2", START + 1000);
    assert_eq!(at(&early, 699), Err(Denial::Early(301)));
    assert_eq!(at(&early, 700).unwrap(), "mx2");
    assert_eq!(at(&by(OTHER, "mx2", START), 1000), Err(Denial::Secret));
    // In microseconds it is the same time.
    let micro = by(SECRET, "mx2", (START + 1000) * 1_000_000 + 999_999);
    assert_eq!(at(&micro, 1000).unwrap(), "mx2");
    assert_eq!(at(&micro, 1000), Err(Denial::Replay));
}

/// Caught: a line remembered though it was refused; a reload that forgets.
#[test]
fn a_signed_line_is_taken_once() {
    let mut reporter = enrolled("mx2", &[SECRET]);
    reporter.terms.rate = 1;
    let mut gate = Gate::new(vec![reporter.clone()], now(0));
    let from = remote("192.0.2.9");
    let line = by(SECRET, "mx2", START);
    assert_eq!(judge(&mut gate, &line, &from, now(0)).unwrap(), "mx2");
    assert_eq!(judge(&mut gate, &line, &from, now(0)), Err(Denial::Replay));
    let mac = line.split(' ').nth(3).unwrap();
    let small = line.replace(mac, &mac.to_lowercase());
    assert_eq!(judge(&mut gate, &small, &from, now(0)), Err(Denial::Replay));
    for stamp in 1..10 {
        assert!(judge(&mut gate, &by(SECRET, "mx2", START + stamp), &from, now(0)).is_ok());
    }
    let refused = by(SECRET, "mx2", START + 10);
    assert_eq!(judge(&mut gate, &refused, &from, now(0)), Err(Denial::Rate));
    assert_eq!(judge(&mut gate, &refused, &from, now(1)).unwrap(), "mx2");
    gate.renew(vec![reporter], now(2));
    assert_eq!(judge(&mut gate, &line, &from, now(2)), Err(Denial::Replay));
    // What a collector before this one may have taken.
    let before = by(SECRET, "mx2", START - 1);
    assert_eq!(judge(&mut gate, &before, &from, now(3)), Err(Denial::Forgotten));
}

/// Caught: a line that stays remembered; its room that is not given back.
#[test]
fn a_line_that_came_to_nothing_may_be_sent_again() {
    let mut gate = Gate::new(vec![enrolled("mx2", &[SECRET])], now(0));
    gate.reporters[1].replays.change(1);
    let from = remote("192.0.2.9");
    let line = by(SECRET, "mx2", START);
    assert_eq!(judge(&mut gate, &line, &from, now(0)).unwrap(), "mx2");
    gate.take_back(&Line::parse(line.as_bytes()).unwrap());
    gate.take_back(&Line::parse(line.as_bytes()).unwrap());
    assert_eq!(judge(&mut gate, &line, &from, now(0)).unwrap(), "mx2");
    assert_eq!(judge(&mut gate, &line, &from, now(0)), Err(Denial::Replay));
}

/// Caught: a memory without an end.
#[test]
fn a_flood_of_one_reporter_is_his_alone() {
    let mut reporters = ["mx2", "mx3"].map(|name| enrolled(name, &[SECRET]));
    reporters[0].terms.rate = 0;
    let mut gate = Gate::new(reporters.to_vec(), now(0));
    for reporter in &mut gate.reporters {
        reporter.replays.change(3);
    }
    let from = remote("192.0.2.9");
    for stamp in 0..3 {
        assert!(judge(&mut gate, &by(SECRET, "mx2", START + stamp), &from, now(0)).is_ok());
    }
    let more = by(SECRET, "mx2", START + 3);
    assert_eq!(judge(&mut gate, &more, &from, now(0)), Err(Denial::Memory));
    assert_eq!(Denial::Memory.code(), Code::Busy);
    assert!(judge(&mut gate, &by(SECRET, "mx3", START), &from, now(0)).is_ok());
    // What has grown too old makes room.
    assert!(judge(&mut gate, &by(SECRET, "mx2", START + 420), &from, now(420)).is_ok());
}

/// Caught: verbs and networks that are looked at for signed lines alone, or not for them.
#[test]
fn verbs_and_networks_hold_for_lines_and_sessions() {
    let mut reporter = enrolled("mx2", &[SECRET]);
    reporter.terms.networks = vec!["192.0.2.0/24".parse().unwrap()];
    let mut gate = Gate::new(vec![reporter], now(0));
    let here = remote("192.0.2.9");
    let elsewhere = remote("198.51.100.1");
    let key = secret(SECRET);
    let white = signed(&key, Algorithm::Sha3, name("mx2"), START, "white 192.0.2.1");
    assert_eq!(judge(&mut gate, &white, &here, now(0)), Err(Denial::Verb(Verb::White)));
    assert_eq!(
        judge(&mut gate, &by(SECRET, "mx2", START), &elsewhere, now(0)),
        Err(Denial::Elsewhere)
    );
    let opening = |stamp| auth(&key, Algorithm::HmacSha1, name("mx2"), stamp);
    assert_eq!(judge(&mut gate, &opening(START), &elsewhere, now(0)), Err(Denial::Elsewhere));
    let session = session(&mut gate, &opening(START), &here, now(0));
    let within = |origin| Origin { standing: Standing::Shown(session), ..origin };
    assert_eq!(judge(&mut gate, ORDER, &within(here), now(0)).unwrap(), "mx2");
    assert_eq!(
        judge(&mut gate, "white 192.0.2.1", &within(here), now(0)),
        Err(Denial::Verb(Verb::White))
    );
    assert_eq!(judge(&mut gate, ORDER, &within(elsewhere), now(0)), Err(Denial::Elsewhere));
    assert_eq!(judge(&mut gate, &opening(START), &here, now(0)), Err(Denial::Replay));
}

/// Caught: sessions that outlive their secret; sessions that end at each reload.
#[test]
fn a_session_lasts_as_long_as_what_has_shown_it() {
    let both = enrolled("mx2", &[SECRET, OTHER]);
    let mut gate = Gate::new(vec![both], now(0));
    let from = remote("192.0.2.9");
    let opening = auth(&secret(SECRET), Algorithm::Sha3, name("mx2"), START);
    let session = session(&mut gate, &opening, &from, now(0));
    let within = Origin { standing: Standing::Shown(session), ..from };
    gate.renew(vec![enrolled("other", &[OTHER]), enrolled("mx2", &[SECRET])], now(1));
    assert_eq!(judge(&mut gate, ORDER, &within, now(1)).unwrap(), "mx2");
    gate.renew(vec![enrolled("mx2", &[OTHER])], now(2));
    assert_eq!(judge(&mut gate, ORDER, &within, now(2)), Err(Denial::Ended));
    gate.renew(vec![], now(3));
    assert_eq!(judge(&mut gate, ORDER, &within, now(3)), Err(Denial::Ended));
    gate.renew(vec![enrolled("mx2", &[SECRET])], now(4));
    assert_eq!(judge(&mut gate, ORDER, &within, now(4)), Err(Denial::Ended));
}

/// Caught: any certificate of the CA taken for any reporter.
#[test]
fn a_certificate_is_a_reporters_by_its_name() {
    let mut reporter = enrolled("mx2", &[]);
    reporter.certificate = Some("mx2.example.org".to_owned());
    let mut gate = Gate::new(vec![reporter], now(0));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(gate.session_by_certificate(&names(&["mx3.example.org"])), None);
    assert_eq!(gate.session_by_certificate(&[]), None);
    let session =
        gate.session_by_certificate(&names(&["a.example.org", "MX2.example.org"])).unwrap();
    let within = Origin { standing: Standing::Shown(session), ..remote("192.0.2.9") };
    assert_eq!(judge(&mut gate, ORDER, &within, now(0)).unwrap(), "mx2");
}

/// Caught: one whose certificate is nobody's taken for this host's own programs.
#[test]
fn a_certificate_that_is_nobodys_is_worth_no_more_on_this_host() {
    let mut gate = Gate::new(vec![enrolled("mx2", &[SECRET])], now(0));
    for from in [local("127.0.0.1"), remote("192.0.2.9")] {
        let stranger = Origin { standing: Standing::Stranger, ..from };
        assert_eq!(judge(&mut gate, ORDER, &stranger, now(0)), Err(Denial::UnknownReporter));
    }
    let stranger = Origin { standing: Standing::Stranger, ..remote("192.0.2.9") };
    assert_eq!(judge(&mut gate, &by(SECRET, "mx2", START), &stranger, now(0)).unwrap(), "mx2");
}

/// Caught: a weight that is multiplied after the cut.
#[test]
fn weights_are_multiplied_and_then_cut() {
    let mut terms = enrolled("mx2", &[]).terms;
    terms.weight = 3;
    assert_eq!([0, 1, 3, 4, u32::MAX].map(|asked| terms.weight_of(asked)), [1, 3, 9, 10, 10]);
}
