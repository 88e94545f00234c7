//! DNS packets: whatever comes, silence or one well-formed response within its limits; and where the
//! quick way answers, it means the same as the complete one.
#![no_main]

#[path = "../../crates/dns/tests/meaning/mod.rs"]
mod meaning;
#[path = "support/sample.rs"]
mod sample;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use eximrbl_dns::{Content, RESPONSE_MAX, Service, Transport, quick, respond};
use eximrbl_table::{UnixSeconds, WritableTable, now};
use eximrbl_zone::{Config, Zones};
use hickory_server::proto::op::Message;
use libfuzzer_sys::fuzz_target;

use meaning::meaning;

const CONFIG: &str = r#"
version = 1
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

/// Zones over a table with an entry of every kind, and the time at which all is asked.
static SERVICE: LazyLock<(Service, UnixSeconds)> = LazyLock::new(|| {
    let config = Config::parse(CONFIG, Path::new("config")).unwrap();
    let table = WritableTable::on_heap(64).unwrap();
    let now = now();
    sample::fill(&table, now);
    let zones = Zones::resolve(&config, &table).unwrap();
    (Service::open(Content::new(Arc::new(table.into()), zones)), now)
});

fuzz_target!(|data: &[u8]| {
    let client = "192.0.2.53:5353".parse().unwrap();
    let (service, now) = &*SERVICE;
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
});
