//! Lines of reports: any bytes are a report of somebody who may make it, or are refused with a code.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use eximrbl_report::{
    Algorithm, Code, Denial, Enrolled, Gate, Judged, LINE_MAX, Line, LineError, Now, Order, Origin,
    Peer, Secret, Standing, Terms, Verb, signed,
};
use eximrbl_table::{Name, WEIGHT_MAX};
use libfuzzer_sys::fuzz_target;

const START: u64 = 1_795_326_190;
const SECRET: &[u8] = b"0123456789abcdef";
const NOW: Now = Now { unix: START, steady: Duration::ZERO };

fuzz_target!(|data: &[u8]| {
    let name = Name::new(b"mx2").expect("a name");
    let secret = Secret::read_all(SECRET).expect("a secret").remove(0);
    let mut gate = gate(name, &secret);
    for (number, line) in data.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let parsed = match Line::parse(line) {
            Ok(parsed) => parsed,
            Err(error) => {
                assert_eq!(error == LineError::Long, line.len() > LINE_MAX);
                is_clear(&error.into());
                continue;
            }
        };
        for origin in [remote(), local(Peer::Unix), local(Peer::Ip(Ipv4Addr::LOCALHOST.into()))] {
            let taken = match gate.judge(&parsed, &origin, NOW) {
                Ok(Judged::Report { order, terms, .. }) => {
                    assert!(terms.verbs.contains(&order.verb()));
                    true
                }
                Ok(Judged::Session(session)) => session.name == name,
                Err(denial) => {
                    is_clear(&denial);
                    false
                }
            };
            // Nobody has the secret but this program: what others signed is theirs only if it is
            // the sample's line, which the fuzzer may have learnt.
            let is_unsigned = matches!(parsed, Line::Report { signature: None, .. });
            let is_local = origin.standing == Standing::Local;
            assert!(!(taken && is_unsigned && !is_local));
            assert!(taken || !is_unsigned || !is_local, "this host's are taken");
        }
        if let Line::Report { order, .. } = parsed {
            is_written_as_it_is_read(order);
            let stamp = (START + 1) * 1_000_000 + number as u64;
            is_taken_once(&mut gate, &signed(&secret, Algorithm::Sha3, name, stamp, order), order);
        }
    }
});

fn gate(name: Name, secret: &Secret) -> Gate {
    let terms = Terms {
        name,
        networks: Vec::new(),
        verbs: vec![Verb::Black, Verb::Forgive],
        weight: 2,
        weight_max: 10,
        seconds_max: 86_400,
        rate: 0,
        entries: 1,
    };
    let enrolled = Enrolled { terms, secrets: vec![secret.clone()], certificate: None };
    Gate::new(vec![enrolled], NOW)
}

fn remote() -> Origin {
    let address: IpAddr = Ipv4Addr::new(192, 0, 2, 9).into();
    Origin { peer: Peer::Ip(address), standing: Standing::Remote }
}

fn local(peer: Peer) -> Origin {
    Origin { peer, standing: Standing::Local }
}

/// An answer is one line of printable text with one of the known codes.
fn is_clear(denial: &Denial) {
    assert!(Code::ALL.contains(&denial.code()));
    let text = denial.to_string();
    assert!(!text.is_empty() && !text.contains(|c: char| c.is_control() || !c.is_ascii()));
}

fn is_written_as_it_is_read(order: Order) {
    if let Order::Black { weight, seconds, .. } = order {
        assert!(weight.is_none_or(|weight| (1..=WEIGHT_MAX).contains(&weight)));
        assert!(seconds.is_none_or(|seconds| seconds > 0));
    }
    let text = order.to_string();
    let Ok(Line::Report { order: again, signature: None }) = Line::parse(text.as_bytes()) else {
        panic!("{text}")
    };
    assert_eq!(again, order, "{text}");
}

fn is_taken_once(gate: &mut Gate, line: &str, order: Order) {
    let parsed = Line::parse(line.as_bytes()).expect("a signed line is shorter than the longest");
    let first = gate.judge(&parsed, &remote(), NOW).map(|_| ());
    match order.verb() {
        Verb::White => assert_eq!(first, Err(Denial::Verb(Verb::White))),
        _ => {
            assert_eq!(first, Ok(()));
            let second = gate.judge(&parsed, &remote(), NOW).map(|_| ());
            assert_eq!(second, Err(Denial::Replay));
        }
    }
}
