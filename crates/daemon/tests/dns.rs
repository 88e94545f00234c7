//! DNS on the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use common::{Daemon, PLAIN, Place, framed, query, question, read_tcp, receive, record};
use eximrbl_table::{Network, WritableTable, dictionary, now};

const A: u16 = 1;
const TXT: u16 = 16;
const ANY: u16 = 255;
const NOERROR: u16 = 0;
const FORMERR: u16 = 1;
const NXDOMAIN: u16 = 3;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

/// A zone, with connections that wait for as long as a test takes.
const PATIENT: &str = "[dns.tcp]\nidle_timeout = 3600\nio_timeout = 3600\n\
    [[zone]]\nname = \"rbl.example\"\n";

/// A plain OPT record (RFC 6891): payload size, version, flags.
fn opt(payload: u16, version: u8, flags: u16) -> Vec<u8> {
    let mut bytes = vec![0, 0, 41];
    bytes.extend(payload.to_be_bytes());
    bytes.extend([0, version]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// A query with OPT records.
fn query_with(name: &str, query_type: u16, opts: &[Vec<u8>]) -> Vec<u8> {
    let mut packet = query(9, name, query_type);
    packet[11] = opts.len() as u8;
    opts.iter().for_each(|opt| packet.extend(opt));
    packet
}

#[test]
fn a_rejection_is_answered_at_once_and_until_it_is_forgiven() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let unlisted = daemon.ask("1.2.0.192.rbl.example", A);
    assert_eq!((unlisted.code(), unlisted.is_authoritative()), (NXDOMAIN, true));
    assert_eq!(unlisted.negative_ttl(), (60, 60));
    let serial = unlisted.serial();
    record(&place.table(), "192.0.2.1", "rcpt");
    let listed = daemon.ask("1.2.0.192.rbl.example", A);
    assert_eq!((listed.code(), listed.is_authoritative()), (NOERROR, true));
    assert_eq!(listed.addresses(), [[127, 0, 0, 2]]);
    assert_eq!((listed.answers()[0].ttl, listed.answers()[0].class), (300, 1));
    assert!(listed.authorities().is_empty());
    let table = WritableTable::open(&place.table()).unwrap();
    let network: Network = "192.0.2.1".parse().unwrap();
    assert!(table.forgive(network, dictionary::ADMIN, now()).unwrap());
    let unlisted = daemon.ask("1.2.0.192.rbl.example", A);
    assert_eq!(unlisted.code(), NXDOMAIN);
    assert_eq!(unlisted.serial(), serial + 2, "one change each");
}

#[test]
fn dig_sees_a_dnsbl_by_udp_and_tcp() {
    let place = Place::new();
    let zone = "[[zone]]\nname = \"rbl.example\"\ntxt = \"{ip}: {count}\"\n\
                ns = [\"a.example\", \"b.example\"]\ncontact = \"some.one@example.org\"\n";
    let daemon = Daemon::start(&place, zone);
    record(&place.table(), "192.0.2.1", "rcpt");
    for transport in ["+notcp", "+tcp"] {
        let dig = |name: &str, query_type: &str| {
            let output = Command::new("dig")
                .args([transport, "+short", "+tries=3", "+time=10", "@127.0.0.1", "-p"])
                .args([&daemon.address.port().to_string(), name, query_type])
                .output()
                .expect("dig (package bind9-dnsutils) is needed");
            let text = String::from_utf8(output.stdout).unwrap();
            // A try that was in vain is told in between.
            let lines = text.lines().filter(|line| !line.starts_with(";;"));
            lines.flat_map(|line| [line, "\n"]).collect::<String>()
        };
        assert_eq!(dig("1.2.0.192.rbl.example", "A"), "127.0.0.2\n");
        assert_eq!(dig("1.2.0.192.rbl.example", "TXT"), "\"192.0.2.1: 1\"\n");
        assert_eq!(dig("2.2.0.192.rbl.example", "A"), "");
        assert_eq!(dig("rbl.example", "NS"), "a.example.\nb.example.\n");
        let soa = dig("rbl.example", "SOA");
        assert!(soa.starts_with("a.example. some\\.one.example.org. "), "{soa}");
        assert!(soa.ends_with(" 3600 600 604800 60\n"), "{soa}");
        assert!(dig("rbl.example", "AXFR").contains("Transfer failed"));
    }
}

#[test]
fn any_gives_address_and_text() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let response = daemon.ask("2.0.0.127.rbl.example", ANY);
    let kinds: Vec<_> = response.answers().iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [A, TXT]);
    let text = &response.answers()[1].data;
    assert_eq!(usize::from(text[0]), text.len() - 1, "one string alone");
    assert!(!response.is_truncated());
}

#[test]
fn other_names_classes_and_operations_are_turned_down() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let other = daemon.ask("www.example.org", A);
    assert_eq!((other.code(), other.is_authoritative()), (REFUSED, false));
    let mut chaos = query(7, "2.0.0.127.rbl.example", TXT);
    *chaos.last_mut().unwrap() = 3;
    assert_eq!(daemon.exchange(&chaos).unwrap().code(), REFUSED);
    for opcode in [1, 2, 3, 4, 5, 6, 15] {
        let mut packet = query(7, "rbl.example", 6);
        packet[2] |= opcode << 3;
        let response = daemon.exchange(&packet).unwrap();
        assert_eq!((response.code(), response.opcode()), (NOTIMP, opcode), "opcode {opcode}");
    }
}

#[test]
fn malformed_packets_get_formerr_or_silence() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let good = query(0x1234, "2.0.0.127.rbl.example", A);
    let mut two_questions = good.clone();
    two_questions[5] = 2;
    two_questions.extend(question("1.0.0.127.rbl.example", A, 1));
    let mut no_question = good[..12].to_vec();
    no_question[5] = 0;
    let mut missing_record = good.clone();
    missing_record[7] = 1;
    let looping = [&good[..12], b"\xc0\x0c\x00\x01\x00\x01"].concat();
    let mut long_label = good.clone();
    long_label[12] = 0x40;
    let two_opts = query_with("rbl.example", 6, &[opt(1232, 0, 0), opt(1232, 0, 0)]);
    let mut many_questions = good.clone();
    many_questions[4..6].fill(0xff);
    let mut many_records = good.clone();
    many_records[10..12].fill(0xff);
    let twelve_bytes = good[..12].to_vec();
    let cut = good[..good.len() - 3].to_vec();
    for (what, packet) in [
        ("two questions", two_questions),
        ("no question", no_question),
        ("missing record", missing_record),
        ("looping name", looping),
        ("long label", long_label),
        ("two OPT records", two_opts),
        ("65535 questions", many_questions),
        ("65535 records", many_records),
        ("header alone", twelve_bytes),
        ("cut short", cut),
    ] {
        let response = daemon.exchange(&packet).unwrap_or_else(|| panic!("{what}: silence"));
        assert_eq!(response.code(), FORMERR, "{what}");
        assert_eq!(response.id(), u16::from_be_bytes([packet[0], packet[1]]), "{what}");
        assert!(response.bytes.len() <= packet.len().max(12), "{what}: amplified");
    }
    let mut response = good.clone();
    response[2] |= 0x80;
    let mut malformed_response = good[..14].to_vec();
    malformed_response[2] |= 0x80;
    for (what, packet) in [
        ("a response", response),
        ("a malformed response", malformed_response),
        ("eleven bytes", good[..11].to_vec()),
        ("nothing", Vec::new()),
    ] {
        assert!(daemon.is_silent(&packet), "{what} was answered");
    }
    assert_eq!(daemon.exchange(&good).unwrap().addresses(), [[127, 0, 0, 2]]);
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

/// Nothing stands before the question that its name could point to, but the header, which is another one
/// in the response.
#[test]
fn a_compression_pointer_in_the_question_is_malformed() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    // The ID's zero byte would serve as the root that the pointer points to.
    let mut packet = query(0, "", A);
    packet.truncate(12);
    packet.extend(b"\x03rbl\x07example\xc0\x00\x00\x06\x00\x01");
    let response = daemon.exchange(&packet).unwrap();
    assert_eq!((response.code(), response.answers().len()), (FORMERR, 0));
}

#[test]
fn the_question_is_repeated_as_it_was_written() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    for query_type in [A, TXT, 6] {
        let response = daemon.ask("2.0.0.127.rBl.eXaMpLe", query_type);
        assert_eq!(response.code(), NOERROR);
        assert_eq!(response.question(), question("2.0.0.127.rBl.eXaMpLe", query_type, 1));
    }
}

#[test]
fn edns_is_answered_when_asked_and_only_then() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let name = "2.0.0.127.rbl.example";
    assert!(daemon.ask(name, A).opt().is_none());
    let plain = daemon.exchange(&query_with(name, A, &[opt(4096, 0, 0)])).unwrap();
    let answered = plain.opt().unwrap();
    assert_eq!((answered.class, answered.ttl), (1232, 0));
    assert_eq!(plain.addresses(), [[127, 0, 0, 2]]);
    let dnssec = daemon.exchange(&query_with(name, A, &[opt(4096, 0, 0x8000)])).unwrap();
    assert_eq!(dnssec.opt().unwrap().ttl, 0x8000);
    let newer = daemon.exchange(&query_with(name, A, &[opt(4096, 1, 0)])).unwrap();
    assert_eq!((newer.code(), newer.answers().len()), (BADVERS, 0));
    assert_eq!(newer.opt().unwrap().ttl.to_be_bytes()[1], 0, "our version");
    // An option that nobody knows, and a cookie.
    let mut unknown = opt(4096, 0, 0);
    *unknown.last_mut().unwrap() = 18;
    unknown.extend(b"\xff\x00\x00\x02hi\x00\x0a\x00\x08cookie!!");
    let response = daemon.exchange(&query_with(name, A, &[unknown])).unwrap();
    assert_eq!(response.addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn responses_keep_to_the_size_that_the_client_can_take() {
    let place = Place::new();
    let reasons: Vec<_> = (0..60).map(|n| format!("reason-{n}")).collect();
    let codes: Vec<_> = (0..60).map(|n| format!("reason-{n} = {}", n + 100)).collect();
    let text = "x".repeat(255);
    let zone = format!("{PLAIN}txt = \"{text}\"\ncodes = {{ {} }}\n", codes.join(", "));
    let daemon = Daemon::start(&place, &zone);
    reasons.iter().for_each(|reason| record(&place.table(), "192.0.2.1", reason));
    let name = "1.2.0.192.rbl.example";
    for (opts, limit, whole) in [
        (vec![], 512, false),
        (vec![opt(100, 0, 0)], 512, false),
        (vec![opt(700, 0, 0)], 700, false),
        (vec![opt(1232, 0, 0)], 1232, true),
        (vec![opt(65_535, 0, 0)], 1232, true),
    ] {
        let response = daemon.exchange(&query_with(name, A, &opts)).unwrap();
        assert!(response.bytes.len() <= limit, "{} bytes of {limit}", response.bytes.len());
        assert_eq!(response.is_truncated(), !whole, "{limit}");
        assert_eq!(response.opt().is_some(), !opts.is_empty(), "{limit}");
        assert_eq!(response.addresses().len(), if whole { 60 } else { 0 }, "{limit}");
    }
    // With a long text beside them it is too much for any datagram, whatever the client says.
    let response = daemon.exchange(&query_with(name, ANY, &[opt(65_535, 0, 0)])).unwrap();
    assert!(response.is_truncated() && response.bytes.len() <= 1232);
    let both = &daemon.exchange_tcp(&framed(&query_with(name, ANY, &[opt(512, 0, 0)])), 1)[0];
    assert_eq!((both.answers().len(), both.is_truncated()), (61, false));
    let all = &daemon.exchange_tcp(&framed(&query(1, name, A)), 1)[0];
    assert_eq!((all.addresses().len(), all.is_truncated()), (60, false));
}

#[test]
fn a_socket_bound_to_all_addresses_answers_from_the_one_that_was_asked() {
    let place = Place::new();
    let table = place.table();
    for (listen, asked) in [("0.0.0.0:0", "127.0.0.77"), ("[::]:0", "::1")] {
        let mut arguments = vec!["--zone", "rbl.example", "--listen", listen];
        arguments.extend(["--table", table.to_str().unwrap(), "--user", "nobody"]);
        let daemon = Daemon::run(&arguments);
        let asked: std::net::IpAddr = asked.parse().unwrap();
        let local = if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        // A connected socket takes responses from the address alone that it asked.
        let socket = UdpSocket::bind(local).unwrap();
        socket.connect((asked, daemon.address.port())).unwrap();
        socket.send(&query(7, "2.0.0.127.rbl.example", A)).unwrap();
        let response = receive(&socket, Duration::from_secs(30))
            .unwrap_or_else(|| panic!("{listen}: no response"));
        assert_eq!(response.addresses(), [[127, 0, 0, 2]]);
    }
}

#[test]
fn all_of_ipv4_and_all_of_ipv6_stand_side_by_side() {
    let place = Place::new();
    let table = place.table();
    let port = common::free_port();
    let (v4, v6) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let mut arguments = vec!["--zone", "rbl.example", "--listen", &v4, "--listen", &v6];
    arguments.extend(["--table", table.to_str().unwrap(), "--user", "nobody"]);
    let daemon = Daemon::run(&arguments);
    daemon.wait_for(&format!("listening on {v6}, UDP and TCP"));
    for asked in ["127.0.0.1", "::1"] {
        let asked: std::net::IpAddr = asked.parse().unwrap();
        let mut stream = std::net::TcpStream::connect((asked, port)).unwrap();
        stream.write_all(&framed(&query(1, "2.0.0.127.rbl.example", A))).unwrap();
        assert_eq!(read_tcp(&mut stream).addresses(), [[127, 0, 0, 2]]);
    }
}

#[test]
fn tcp_takes_queries_in_one_segment_and_in_single_bytes() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PATIENT);
    let names = ["2.0.0.127.rbl.example", "1.0.0.127.rbl.example", "127.rbl.example", "other"];
    let packets = names.iter().enumerate().map(|(id, name)| framed(&query(id as u16, name, A)));
    let all: Vec<u8> = packets.flatten().collect();
    let mut responses = daemon.exchange_tcp(&all, names.len());
    responses.sort_by_key(common::Response::id);
    let codes: Vec<_> = responses.iter().map(common::Response::code).collect();
    assert_eq!(codes, [NOERROR, NXDOMAIN, NOERROR, REFUSED]);

    let mut stream = daemon.connect_tcp();
    for byte in framed(&query(5, names[0], A)) {
        stream.write_all(&[byte]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(read_tcp(&mut stream).addresses(), [[127, 0, 0, 2]]);
    // The connection stays open for more.
    stream.write_all(&framed(&query(6, names[0], A))).unwrap();
    assert_eq!(read_tcp(&mut stream).id(), 6);
}

#[test]
fn malformed_tcp_ends_one_connection_at_most() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PATIENT);
    let mut open = daemon.connect_tcp();
    for bytes in [&b"\x00\x00"[..], b"\x00\x0cshort", b"\xff\xff", &[0xff; 3000]] {
        let mut stream = daemon.connect_tcp();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    let mut response = query(1, "2.0.0.127.rbl.example", A);
    response[2] |= 0x80;
    let mut stream = daemon.connect_tcp();
    stream.write_all(&framed(&response)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "a response was answered");
    let malformed = &query(2, "2.0.0.127.rbl.example", A)[..14];
    assert_eq!(daemon.exchange_tcp(&framed(malformed), 1)[0].code(), FORMERR);
    open.write_all(&framed(&query(1, "2.0.0.127.rbl.example", A))).unwrap();
    assert_eq!(read_tcp(&mut open).addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn one_client_cannot_take_all_connections() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PATIENT);
    let ask = |stream: &mut std::net::TcpStream| {
        let sent = stream.write_all(&framed(&query(1, "2.0.0.127.rbl.example", A)));
        let mut byte = [0];
        sent.and_then(|()| stream.read_exact(&mut byte)).is_ok()
    };
    let mut all: Vec<_> = (0..40).map(|_| daemon.connect_tcp()).collect();
    let served = all.iter_mut().map(ask).filter(|served| *served).count();
    assert_eq!(served, 32);
    // Who goes makes room.
    all.clear();
    common::wait_until(|| ask(&mut daemon.connect_tcp()), || "no room came back".to_owned());
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
}

#[test]
fn thousands_of_broken_packets_do_no_harm() {
    let place = Place::new();
    let daemon = Daemon::start(&place, PLAIN);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(daemon.address).unwrap();
    let originals = [
        query(1, "2.0.0.127.rbl.example", A),
        query_with("2.0.0.127.rbl.example", ANY, &[opt(1232, 0, 0)]),
        query(3, "rbl.example", 6),
    ];
    // A fixed sequence of pseudo-random numbers (xorshift), so that a failure repeats.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..5000 {
        let mut packet = originals[random(originals.len())].clone();
        for _ in 0..=random(4) {
            match random(3) {
                0 => packet.truncate(random(packet.len() + 1)),
                1 => packet.push(random(256) as u8),
                _ if packet.is_empty() => {}
                _ => {
                    let at = random(packet.len());
                    packet[at] = random(256) as u8;
                }
            }
        }
        socket.send(&packet).unwrap();
        // Keep pace, so that the packets are read and not dropped.
        if round % 50 == 0 {
            assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
        }
    }
    assert_eq!(daemon.ask("2.0.0.127.rbl.example", A).addresses(), [[127, 0, 0, 2]]);
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}
