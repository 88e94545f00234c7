//! Lines of a reject log: any bytes are a line about somebody, or about nobody; and a client's words in
//! a line of Exim's never make another's address his.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use eximrbl_rejectlog::{Line, Peer, Reader, Rules};
use libfuzzer_sys::fuzz_target;

/// The true client's.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

thread_local! {
    static RULES: Rules = Rules::default();
}

fuzz_target!(|data: &[u8]| {
    RULES.with(|rules| {
        // A file of any bytes.
        for plain_helo in [false, true] {
            let mut reader = Reader::new(plain_helo);
            for line in data.split(|byte| *byte == b'\n') {
                if let Line::Entry(entry) = reader.read(line) {
                    rules.judge(entry.text);
                    assert!(entry.text.len() <= line.len() + 4, "no longer than it was");
                }
            }
        }
        // The same as what a client says. A line ends where he ends it, and NUL becomes `?`.
        let words: Vec<u8> =
            data.iter().map(|byte| if matches!(byte, b'\n' | 0) { b'?' } else { *byte }).collect();
        let half = words.len() / 2;
        let (one, two) = words.split_at(half);
        for [before, between, after] in [
            ["H=(", ") [203.0.113.9] F=<", "> rejected RCPT <x>: no"],
            ["H=a.example (", ") [203.0.113.9]:25 rejected EHLO or HELO ", ": no"],
            ["rejected EHLO from (", ") [203.0.113.9]: syntactically invalid argument(s): ", ""],
            ["unqualified sender rejected: <", "> H=(", ") [203.0.113.9]"],
            ["rejected \"EHLO ", "\" from (", ") [203.0.113.9]"],
            ["too many recipients: message rejected: sender=<", "> H=(", ") [203.0.113.9]"],
            ["plain authenticator failed for (", ") [203.0.113.9]: 535 no (set_id=", ")"],
            ["F=", " H=(", ") [203.0.113.9] P=smtp rejected by local_scan(): no"],
        ] {
            let line = [
                b"2026-11-22 05:43:10 ",
                before.as_bytes(),
                one,
                between.as_bytes(),
                two,
                after.as_bytes(),
            ]
            .concat();
            if let Line::Entry(entry) = Reader::new(false).read(&line)
                && let Peer::Is(found) = entry.peer
            {
                assert_eq!(found, PEER, "{}", String::from_utf8_lossy(&line));
            }
        }
    });
});
