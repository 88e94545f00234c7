//! dig, kdig and delv ask eximrbld, and print what they should.

use std::collections::BTreeSet;

use crate::harness::{Daemon, Lan, finished, run};
use crate::list::{Entry, POLICY, entries, fill};
use crate::names::{address_of, bits_of, nibble_labels, octet_labels};
use crate::zones::{NEGATIVE_TTL, ZONES, Zone, configuration, with_address};

/// What a program tells about one question.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Records: type and data.
    Records(BTreeSet<(String, String)>),
    /// The name is there, the type is not.
    NoData,
    /// There is no such name.
    NoName,
}

/// How dig and kdig are asked: all questions in one process, options first.
const PROGRAMS: [&[&str]; 4] = [
    &["dig", "+noall", "+comments", "+answer"],
    &["dig", "+noall", "+comments", "+answer", "+tcp", "+dnssec", "+bufsize=512"],
    &["kdig", "+noall", "+header", "+answer"],
    &["kdig", "+noall", "+header", "+answer", "+tcp", "+edns", "+cookie=0102030405060708"],
];

/// How delv is asked, which takes one question. It would look for a chain of trust from the root;
/// `-i` is for servers that have none.
const DELV: [&[&str]; 2] = [&["-i"], &["-i", "+tcp"]];

/// What dig and kdig print: `status: NOERROR`, and lines of NAME TTL CLASS TYPE DATA.
fn told(text: &str) -> Told {
    let records = records(text);
    match () {
        () if !records.is_empty() => Told::Records(records),
        () if text.contains("status: NXDOMAIN") => Told::NoName,
        () if text.contains("status: NOERROR") => Told::NoData,
        () => panic!("{text}"),
    }
}

/// What delv prints: such lines, or why there are none.
fn resolved(text: &str) -> Told {
    match () {
        () if text.contains(";; resolution failed: ncache nxdomain") => Told::NoName,
        () if text.contains(";; resolution failed: ncache nxrrset") => Told::NoData,
        () if text.contains("; authoritative") => Told::Records(records(text)),
        () => panic!("{text}"),
    }
}

fn records(text: &str) -> BTreeSet<(String, String)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(';'));
    let record = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[3].to_owned(), fields[4..].join(" "))
    };
    lines.map(record).collect()
}

/// A question and what must be told.
fn questions(entries: &[Entry]) -> Vec<(String, &'static str, Told)> {
    let one = |kind: &str, data: String| (kind.to_owned(), data);
    let mut questions = Vec::new();
    let mut listed = |zone: &Zone, address: &str, by_nibbles: bool| {
        let bits = bits_of(address.parse().unwrap());
        let verdict = zone.verdict(entries, bits).unwrap_or_else(|| panic!("{address}"));
        let octets = octet_labels(address_of(bits)).filter(|_| !by_nibbles);
        let name = format!("{}.{}", octets.unwrap_or_else(|| nibble_labels(bits)), zone.name);
        let codes = verdict.codes.iter().map(|code| one("A", code.to_string())).collect();
        questions.push((name.clone(), "A", Told::Records(codes)));
        let text = format!("\"{}\"", with_address(&verdict.text, bits));
        questions.push((name.clone(), "TXT", Told::Records([one("TXT", text)].into())));
        questions.push((name.clone(), "AAAA", Told::NoData));
        questions.push((format!("0.{name}"), "A", Told::NoName));
    };
    let [rbl, auth, _, white] = &ZONES;
    listed(rbl, "100.101.102.103", false);
    listed(rbl, "45.46.47.5", true);
    listed(rbl, "2a0b:c0de::17", false);
    listed(rbl, "2001:db8::1234", false);
    listed(auth, "91.92.85.86", false);
    listed(white, "45.46.47.70", false);
    let name = |labels: &str| format!("{labels}.{}", rbl.name);
    let soa = |data: &str| Told::Records([one("SOA", data.to_owned())].into());
    let servers = ["ns1", "ns2"].map(|name| one("NS", format!("{name}.example.org.")));
    let serial = "SERIAL";
    questions.extend([
        (name("105.102.101.100"), "A", Told::NoName),
        (name("102.101.100"), "A", Told::NoData),
        (name("8.b.d.0.1.0.0.2"), "TXT", Told::NoData),
        (name("www"), "A", Told::NoName),
        (name("1.0.0.127"), "A", Told::NoName),
        (name("2.0.0.127"), "A", Told::Records([one("A", "127.0.0.2".to_owned())].into())),
        (name("4.0.0.127"), "A", Told::Records([one("A", "127.0.0.4".to_owned())].into())),
        (rbl.name.to_owned(), "NS", Told::Records(servers.into())),
        (
            rbl.name.to_owned(),
            "SOA",
            soa(&format!(
                "ns1.example.org. post\\.master.example.org. {serial} 3600 600 604800 {NEGATIVE_TTL}"
            )),
        ),
    ]);
    questions
}

#[test]
fn programs_print_what_is_listed() {
    let lan = Lan::new();
    let host = lan.host("list", 53);
    let daemon = Daemon::start_with(&host, POLICY, &configuration(), None);
    fill(&daemon.table());
    let entries = entries(&daemon.table());
    let serial = crate::list::serial(&daemon.table()).to_string();
    let questions = questions(&entries);
    for program in PROGRAMS {
        let mut command = host.command(program[0]);
        command.arg("@127.0.0.1").args(&program[1..]);
        for (name, kind, _) in &questions {
            command.arg(name).arg(kind);
        }
        let text = run(&mut command).replace(&serial, "SERIAL");
        // What stands before the first header is about all.
        let parts: Vec<&str> = text.split("->>HEADER<<-").skip(1).collect();
        assert_eq!(parts.len(), questions.len(), "{text}");
        for ((name, kind, expected), part) in questions.iter().zip(parts) {
            assert_eq!(told(&format!(";{part}")), *expected, "{program:?} {name} {kind}");
        }
    }
    for (number, (name, kind, expected)) in questions.iter().enumerate() {
        let options = DELV[number % DELV.len()];
        let mut command = host.command("delv");
        let output = finished(command.arg("@127.0.0.1").args(options).arg(name).arg(kind));
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).replace(&serial, "SERIAL");
        assert_eq!(resolved(&text), *expected, "delv {options:?} {name} {kind}");
    }
}
