//! DNS packets: whatever comes, silence or one well-formed response within its limits.
//!
//! The daemon is a program, not a library, so the sources from the packet to the response are
//! taken in as they are.
#![no_main]

#[path = "../../crates/daemon/src/packet.rs"]
mod packet;
#[path = "../../crates/daemon/src/panics.rs"]
#[allow(dead_code, reason = "libFuzzer's own hook stays, and aborts at a panic that is caught")]
mod panics;
#[path = "../../crates/daemon/src/records.rs"]
mod records;
#[path = "../../crates/daemon/src/responder.rs"]
mod responder;
#[path = "support/sample.rs"]
mod sample;

/// What the daemon serves, without the keeper that changes it.
mod served {
    use std::sync::Arc;

    use eximrbl_table::WritableTable;
    use eximrbl_zone::Zones;

    use crate::records::Apex;

    pub(crate) struct Served {
        pub(crate) table: WritableTable,
        pub(crate) zones: Zones,
        pub(crate) apexes: Vec<Apex>,
    }

    pub(crate) struct Shared(pub(crate) Arc<Served>);

    impl Shared {
        pub(crate) fn served(&self) -> Arc<Served> {
            self.0.clone()
        }
    }
}

use std::path::Path;
use std::sync::{Arc, LazyLock};

use eximrbl_table::WritableTable;
use eximrbl_zone::{Config, Zones};
use hickory_server::proto::op::Message;
use libfuzzer_sys::fuzz_target;

use packet::{Transport, respond};
use records::Apex;
use responder::Responder;
use served::{Served, Shared};

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

/// Zones over a table with an entry of every kind.
static RESPONDER: LazyLock<Responder> = LazyLock::new(|| {
    let config = Config::parse(CONFIG, Path::new("config")).unwrap();
    let table = WritableTable::on_heap(64).unwrap();
    // The listings must outlive the run.
    sample::fill(&table, eximrbl_table::now() + 500_000);
    let zones = Zones::resolve(&config, &table).unwrap();
    let apexes = Apex::all(&zones);
    Responder::new(Arc::new(Shared(Arc::new(Served { table, zones, apexes }))))
});

fuzz_target!(|data: &[u8]| {
    let client = "192.0.2.53:5353".parse().unwrap();
    for (transport, most) in [(Transport::Udp, 1232), (Transport::Tcp, 65_535)] {
        let response = respond(data, client, transport, &RESPONDER);
        let is_query = data.len() >= 12 && data[2] & 0x80 == 0;
        assert_eq!(response.is_some(), is_query, "queries are answered, and nothing else is");
        let Some(response) = response else { continue };
        assert!((12..=most).contains(&response.len()), "{} bytes", response.len());
        assert_eq!(response[..2], data[..2], "the query's ID");
        assert_eq!(response[2] & 0x80, 0x80, "marked as a response");
        let is_truncated = response[2] & 2 != 0;
        assert!(!is_truncated || transport == Transport::Udp);
        // Not repaired yet: such a question is repeated as it came, and points into another header.
        if points_into_header(data) {
            continue;
        }
        let message = Message::from_vec(&response).expect("a response that can be read");
        if !message.answers.is_empty() {
            assert!(message.metadata.authoritative && message.queries.len() == 1);
        }
    }
});

/// Whether the first question's name holds a compression pointer: there is no name before it.
fn points_into_header(query: &[u8]) -> bool {
    let mut at = 12;
    while let Some(&length) = query.get(at).filter(|length| **length != 0) {
        if length >= 0xc0 {
            return true;
        }
        at += 1 + usize::from(length);
    }
    false
}
