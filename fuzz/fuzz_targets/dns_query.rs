//! DNS packets: whatever comes, silence or one well-formed response within its limits; and where the
//! quick way answers, it means the same as the complete one. Who has no cookie where one is required
//! gets nothing by UDP that is longer than what he sent, but for a cookie.
#![no_main]

#[path = "../../crates/dns/tests/meaning/mod.rs"]
mod meaning;
#[path = "support/sample.rs"]
mod sample;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use eximrbl_dns::{Content, Guard, RESPONSE_MAX, Secret, Service, Transport, quick, respond};
use eximrbl_table::{UnixSeconds, WritableTable, now};
use eximrbl_zone::{Config, Zones};
use hickory_server::proto::op::Message;
use libfuzzer_sys::fuzz_target;

use meaning::meaning;

const CONFIG: &str = r#"
version = 1
[dns]
cookies = "required"
nsid = "identifier"
version = "1"
rate_limit = { responses_per_second = 0 }
[policy]
threshold = 2
[[zone]]
name = "rbl.example"
codes = { auth = 4, rcpt = "127.0.0.9" }
txt = "{ip} {count} {reason} {ttl} {first} {last} {zone} {{x}}"
ns = ["ns1.example.net", "ns2.rbl.example"]
[[zone]]
name = "wl.example"
list = "white"
[[zone]]
name = "a1.b1.rbl.example"
reasons = ["auth"]
quorum = 1
"#;

/// Bytes of the cookie that the server adds to a client's.
const SERVER_COOKIE: usize = 16;

/// Zones over a table with an entry of every kind, for everybody, and guarded; and the time at which
/// all is asked.
static SERVICES: LazyLock<(Service, Service, UnixSeconds)> = LazyLock::new(|| {
    let config = Config::parse(CONFIG, Path::new("config")).unwrap();
    let table = WritableTable::on_heap(64).unwrap();
    let now = now();
    sample::fill(&table, now);
    let zones = Zones::resolve(&config, &table).unwrap();
    let table = Arc::new(table.into());
    let guard = Guard::new(&config.dns, &[Secret::new([7; 16])], [9; 16], None);
    let guarded = Service::new(&config, Arc::clone(&table), zones.clone(), Arc::new(guard));
    (Service::open(Content::new(table, zones)), guarded, now)
});

fuzz_target!(|data: &[u8]| {
    let client = "192.0.2.53:5353".parse().unwrap();
    let (service, guarded, now) = &*SERVICES;
    let mut out = [0; RESPONSE_MAX];
    let quick = quick(data, client, service, *now, &mut out);
    let quick = quick.map(|(length, _)| meaning(&out[..length]));
    for (transport, most) in [(Transport::Udp, 1232), (Transport::Tcp, 65_535)] {
        let response = respond(data, client, transport, service, *now);
        let is_query = data.len() >= 12 && data[2] & 0x80 == 0;
        assert_eq!(response.is_some(), is_query, "queries are answered, and nothing else is");
        let Some(response) = response else { continue };
        assert!((12..=most).contains(&response.len()), "{} bytes", response.len());
        assert_eq!(response[..2], data[..2], "the query's ID");
        assert_eq!(response[2] & 0x80, 0x80, "marked as a response");
        let is_truncated = response[2] & 2 != 0;
        assert!(!is_truncated || transport == Transport::Udp);
        let message = Message::from_vec(&response).expect("a response that can be read");
        if let Some(quick) = quick.as_ref().filter(|_| transport == Transport::Udp) {
            assert_eq!(*quick, meaning(&response));
        }
        if !message.answers.is_empty() {
            assert!(message.metadata.authoritative && message.queries.len() == 1);
        }
    }
    let Some(response) = respond(data, client, Transport::Udp, guarded, *now) else { return };
    assert!(response.len() <= data.len() + SERVER_COOKIE, "{} bytes", response.len());
    let message = Message::from_vec(&response).expect("a response that can be read");
    assert!(message.answers.is_empty() && message.authorities.is_empty());
    let response = respond(data, client, Transport::Tcp, guarded, *now).expect("by TCP always");
    Message::from_vec(&response).expect("a response that can be read");
});
