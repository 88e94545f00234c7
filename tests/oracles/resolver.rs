//! eximrbld behind unbound, which minimises the names that it asks for, strictly (RFC 9156), and
//! takes NXDOMAIN for a name to mean all names below it (RFC 8020).

use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::asking::ask;
use crate::harness::{
    Daemon, Host, Lan, Process, Scratch, Unbound, finished, holds_soon, wait_until,
};
use crate::list::{Entry, POLICY, entries, fill, members};
use crate::names::{address_of, nibble_labels, octet_labels};
use crate::questions::{A, Question, TXT};
use crate::response::Response;
use crate::zones::{ZONES, configuration};

/// The resolver, asked on its own host.
const RESOLVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

/// How long it may answer none of the questions that it could not answer before.
const PATIENCE: Duration = Duration::from_secs(60);

/// A question about an address, and what is listed.
fn question(address: u128, zone: usize, kind: u16) -> Question {
    let octets = octet_labels(address_of(address));
    let labels = octets.unwrap_or_else(|| nibble_labels(address));
    let name = format!("{labels}.{}", ZONES[zone].name);
    Question { name, kind, recursion: true, edns: Some((1232, false)) }
}

/// Addresses in an order in which a resolver could come to wrong conclusions: first what is not
/// listed close to a listed one, at every distance, then that one.
fn addresses(entries: &[Entry]) -> Vec<u128> {
    let mut addresses = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.prefix.is_wide()) {
        let bits = entry.prefix.bits;
        let length = entry.prefix.length;
        // Not so far that an IPv4 address becomes another kind.
        let far = if address_of(bits).is_ipv4() { length - 96 } else { length };
        let strangers = (0..far.min(28)).step_by(4).map(|by| bits ^ 1 << (128 - length + by));
        addresses.extend(strangers);
        addresses.extend(members(entry).into_iter().take(2));
    }
    addresses
}

/// The resolver's responses. On a busy machine an answer can be too late for it; then it says
/// SERVFAIL, for some seconds, and is asked again.
fn resolved(host: &Host, questions: &[Question]) -> Vec<Response> {
    let mut responses = vec![None; questions.len()];
    let mut open: Vec<usize> = (0..questions.len()).collect();
    let mut better = Instant::now();
    while !open.is_empty() {
        let again: Vec<Question> = open.iter().map(|&at| questions[at].clone()).collect();
        for (&at, response) in open.iter().zip(ask(host, RESOLVER, &again)) {
            let response = Response::read(&response);
            assert!(matches!(response.code(), 0 | 2 | 3), "{:?}: {response:?}", questions[at]);
            responses[at] = Some(response).filter(|response| response.code() != 2);
        }
        let before = open.len();
        open.retain(|&at| responses[at].is_none());
        if open.len() < before {
            better = Instant::now();
        }
        let first = open.first().map(|&at| &questions[at]);
        assert!(better.elapsed() < PATIENCE, "the resolver cannot answer {first:?}");
        sleep(Duration::from_millis(5));
    }
    responses.into_iter().flatten().collect()
}

/// What the resolver says about every address is what the table says.
fn judge(host: &Host, entries: &[Entry]) {
    let (mut listed, mut others) = (0, 0);
    let addresses = addresses(entries);
    for (index, zone) in ZONES.iter().enumerate() {
        for kind in [A, TXT] {
            let questions: Vec<Question> =
                addresses.iter().map(|&address| question(address, index, kind)).collect();
            for ((address, question), response) in
                addresses.iter().zip(&questions).zip(resolved(host, &questions))
            {
                let verdict = zone.verdict(entries, *address);
                let expected = verdict.as_ref().map_or(0, |verdict| match kind {
                    A => verdict.codes.len(),
                    _ => 1,
                });
                assert_eq!(response.answer.len(), expected, "{question:?}: {response:?}");
                *(if verdict.is_some() { &mut listed } else { &mut others }) += 1;
            }
        }
    }
    assert!(listed > 500 && others > 2000, "{listed} listed, {others} others");
}

/// Caught: NXDOMAIN for the beginnings of addresses, which hides what is listed below them; nibbles
/// in the wrong order; white that lifts nothing; a code left out beside another.
#[test]
fn a_minimising_resolver_sees_every_listing() {
    let lan = Lan::new();
    let host = lan.host("list", 53);
    let asking = lan.host("resolver", 54);
    let daemon = Daemon::start_with(&host, POLICY, &configuration(), None);
    fill(&daemon.table());
    let stub = |zone| format!("stub-zone:\n name: \"{zone}\"\n stub-addr: {}\n", host.v4);
    let stubs = stub("rbl.example.org") + &stub("wl.example.org");
    let _resolver = Unbound::start_with(&asking, &stubs, None);
    judge(&asking, &entries(&daemon.table()));
}

/// The zone above, signed (by Knot), with delegations to eximrbld that have no DS record.
struct SignedParent {
    _process: Process,
    _scratch: Scratch,
    /// The key to trust, as a record's data.
    key: String,
}

impl SignedParent {
    fn start(host: &Host, list: &Host) -> Self {
        let scratch = Scratch::new("knot-signed");
        let mut text = format!(
            "example.org. 600 IN SOA ns.example.org. hostmaster.example.org. 1 3600 600 604800 60\n\
             example.org. 600 IN NS ns.example.org.\nns.example.org. 600 IN A {}\n\
             ns1.example.org. 600 IN A {}\nns2.example.org. 600 IN AAAA {}\n",
            host.v4, list.v4, list.v6
        );
        for zone in ["rbl.example.org", "wl.example.org"] {
            text += &format!(
                "{zone}. 600 IN NS ns1.example.org.\n{zone}. 600 IN NS ns2.example.org.\n"
            );
        }
        scratch.write("example.org.zone", text);
        let folder = scratch.path().display();
        let configuration = scratch.write(
            "knot.conf",
            format!(
                "server:\n  rundir: \"{folder}\"\n  listen: {}@53\n  udp-workers: 1\n  \
                 tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{folder}\"\n\
                 log:\n  - target: stderr\n    any: info\n\
                 policy:\n  - id: one-key\n    single-type-signing: on\n\
                 zone:\n  - domain: example.org\n    storage: \"{folder}\"\n    \
                 file: example.org.zone\n    zonefile-load: difference\n    zonefile-sync: -1\n    \
                 journal-content: all\n    dnssec-signing: on\n    dnssec-policy: one-key\n",
                host.v4
            ),
        );
        let mut command = host.command("knotd");
        command.arg("-c").arg(configuration);
        let mut process = Process::start("knotd", command, scratch.join("output"));
        let at = format!("@{}", host.v4);
        let ask_for_key = || {
            let mut command = host.command("kdig");
            command.args([&at, "example.org", "DNSKEY", "+short", "+time=2", "+retry=0"]);
            String::from_utf8_lossy(&finished(&mut command).stdout).trim().to_owned()
        };
        let mut key = String::new();
        process.wait_until_ready(|_| {
            key = ask_for_key();
            key.starts_with("257 3 ")
        });
        Self { _process: process, _scratch: scratch, key }
    }
}

/// Caught: what the test above catches.
#[test]
fn lists_below_a_signed_zone_are_insecure_and_not_bogus() {
    let lan = Lan::new();
    let list = lan.host("list", 53);
    let above = lan.host("above", 54);
    let asking = lan.host("resolver", 55);
    let daemon = Daemon::start_with(&list, POLICY, &configuration(), None);
    fill(&daemon.table());
    let parent = SignedParent::start(&above, &list);
    // No stub for the lists: the delegation says where they are.
    let text = format!(
        "server:\n module-config: \"validator iterator\"\n \
         trust-anchor: \"example.org. DNSKEY {}\"\n\
         stub-zone:\n name: \"example.org\"\n stub-addr: {}\n",
        parent.key, above.v4
    );
    let _resolver = Unbound::start_with(&asking, &text, None);
    judge(&asking, &entries(&daemon.table()));
    // Validation is at work: the zone above is secure (the AD bit), and so is that rbl has no DS.
    let told = |name: &str, kind: &str| {
        let mut command = asking.command("dig");
        command.args(["@127.0.0.1", "+time=10", "+tries=3", "+dnssec", name, kind]);
        String::from_utf8(finished(&mut command).stdout).unwrap()
    };
    let is_secure = |text: &str| {
        text.split_once(";; flags: ").is_some_and(|(_, flags)| {
            flags.split(';').next().is_some_and(|flags| flags.contains(" ad"))
        })
    };
    wait_until("the zone above is secure", || is_secure(&told("example.org", "SOA")));
    wait_until("there is securely no DS record", || is_secure(&told("rbl.example.org", "DS")));
    let listed = told("103.102.101.100.rbl.example.org", "A");
    assert!(listed.contains("127.1.2.3") && !is_secure(&listed), "{listed}");
    // delv validates by itself, through the resolver.
    let scratch = Scratch::new("anchor");
    let mut words = parent.key.splitn(4, ' ');
    let mut word = || words.next().unwrap().to_owned();
    let (flags, protocol, algorithm, key) = (word(), word(), word(), word());
    let anchor = format!(
        "trust-anchors {{ \"example.org.\" static-key {flags} {protocol} {algorithm} \"{key}\"; }};\n"
    );
    let anchor = scratch.write("anchor", anchor);
    for (name, kind, expected) in [
        ("example.org", "SOA", "; fully validated\nexample.org."),
        ("103.102.101.100.rbl.example.org", "A", "; unsigned answer\n103.102.101.100.rbl"),
        ("103.102.101.100.rbl.example.org", "TXT", "; unsigned answer\n103.102.101.100.rbl"),
        ("105.102.101.100.wl.example.org", "A", "; unsigned answer\n105.102.101.100.wl"),
        ("105.102.101.100.rbl.example.org", "A", "ncache nxdomain"),
    ] {
        let mut text = String::new();
        let told = holds_soon(|| {
            let mut command: Command = asking.command("delv");
            command.args(["@127.0.0.1", "+root=example.org", "-a"]).arg(&anchor).args([name, kind]);
            let output = finished(&mut command);
            text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            text.contains(expected)
        });
        assert!(told, "{name} {kind}: {text}");
    }
}
