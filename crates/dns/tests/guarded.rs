//! What a client can get that has not shown where it is: whatever it sends, not more than it sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use eximrbl_dns::{Guard, Secret, Service, Transport, respond};
use eximrbl_table::{Table, UnixSeconds, WritableTable};
use eximrbl_zone::{Config, Zones};
use proptest::prelude::*;

const NOW: UnixSeconds = 1_795_326_190;
/// Bytes that the answer to a client's cookie is longer than that.
const SERVER_COOKIE: usize = 16;

/// A service with these settings of `[dns]`.
fn service(settings: &str) -> Service {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let options = eximrbl_table::CreateOptions { slots: 64, ..Default::default() };
    let table = WritableTable::create(&path, &options).unwrap();
    let zones = "[[zone]]\nname = \"rbl.example\"\n\
        txt = \"a long text, so that the answer is longer than the question for it\"\n\
        [[zone]]\nname = \"own.example\"\nallow_query = [\"192.0.2.0/24\"]\n";
    let config = format!(
        "version = 1\n[dns]\nnsid = \"a server with a long identifier\"\nversion = \"1\"\n{settings}\n{zones}"
    );
    let config = Config::parse(&config, Path::new("test.toml")).unwrap();
    let zones = Zones::resolve(&config, &table).unwrap();
    let guard = Guard::new(&config.dns, &[Secret::new([7; 16])], [9; 16], None);
    drop(table);
    // The mapping outlives the file.
    Service::new(&config, Arc::new(Table::open(&path).unwrap()), zones, Arc::new(guard))
}

/// Services that have nothing but the least for who has shown nothing: by their settings, or since all
/// the clients of these tests are over the limit.
static GUARDED: LazyLock<[Service; 2]> = LazyLock::new(|| {
    let limit = "rate_limit = { responses_per_second = 1, ipv4_prefix = 1, ipv6_prefix = 1 }";
    [service("cookies = \"required\"\nrate_limit.responses_per_second = 0"), service(limit)]
});

fn ask(service: &Service, packet: &[u8], client: SocketAddr) -> Option<Vec<u8>> {
    respond(packet, client, Transport::Udp, service, NOW)
}

/// Packets that ask for much with little.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(&b"\x012\x010\x010\x03127\x03rbl\x07example\0"[..]),
        Just(&b"\x03rbl\x07example\0"[..]),
        Just(&b"\x03own\x07example\0"[..]),
        Just(&b"\x07version\x04bind\0"[..]),
        Just(&b"\x01x\0"[..]),
        Just(&b"\0"[..]),
    ];
    let option = prop_oneof![
        Just(&b"\0\x03\0\0"[..]),
        Just(&b"\0\x0a\0\x08client-1"[..]),
        Just(&b"\0\x0a\0\x18client-1server--server--"[..]),
        Just(&b"\0\x0a\0\x05clien"[..]),
        Just(&b"\xff\xff\0\x01x"[..]),
        Just(&b"\0"[..]),
    ];
    let opt = (any::<(u16, u8, u16)>(), prop::collection::vec(option, 0..3)).prop_map(
        |((payload, version, flags), options)| {
            let options = options.concat();
            let [high, low] = payload.to_be_bytes();
            let mut opt = vec![0, 0, 41, high, low, 0, version & (flags as u8 >> 7)];
            opt.extend(flags.to_be_bytes());
            opt.extend((options.len() as u16).to_be_bytes());
            opt.extend(options);
            opt
        },
    );
    let kind = prop_oneof![Just(1_u16), Just(6), Just(16), Just(252), Just(255), any::<u16>()];
    let class = prop_oneof![4 => Just(1_u16), 1 => Just(3), 1 => any::<u16>()];
    let head = (any::<[u8; 2]>(), prop_oneof![4 => Just(1_u8), 1 => 0..0x80_u8], 0..3_u8);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (head, name, kind, class, prop::collection::vec(opt, 0..3), changes).prop_map(
        |((id, flags, questions), name, kind, class, opts, changes)| {
            let question = [name, &kind.to_be_bytes(), &class.to_be_bytes()].concat();
            let mut packet = vec![id[0], id[1], flags, 0, 0, questions, 0, 0, 0, 0, 0];
            packet.push(opts.len() as u8);
            (0..questions).for_each(|_| packet.extend(&question));
            packet.extend(opts.concat());
            for (at, byte) in changes {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            packet
        },
    )
}

/// The packets' own worth: the first of them is answered in full where nothing guards.
#[test]
fn without_a_guard_there_is_more_to_get() {
    let open = service("cookies = \"off\"\nrate_limit.responses_per_second = 0");
    let packet =
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x012\x010\x010\x03127\x03rbl\x07example\0\0\x10\0\x01";
    let client = "198.51.100.1:53".parse().unwrap();
    assert!(ask(&open, packet, client).unwrap().len() > packet.len() + 60);
    for guarded in &*GUARDED {
        // Over the limit from now on.
        let _ = ask(guarded, packet, client);
        let response = ask(guarded, packet, client).unwrap();
        assert_eq!(response.len(), packet.len());
        assert_eq!(response[2] & 2, 2, "told to use TCP");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Caught: a refusal with its extended error, or a text of class CH, that goes out over the limit; an
    /// identifier that does.
    #[test]
    fn nothing_is_amplified(packet in packets(), client in any::<(u8, u16)>()) {
        let client = SocketAddr::from(([198, 51, 100, client.0], client.1.max(1)));
        for guarded in &*GUARDED {
            // The limit is met for all.
            let _ = ask(guarded, &packet, client);
            let Some(response) = ask(guarded, &packet, client) else { continue };
            let most = packet.len() + SERVER_COOKIE;
            prop_assert!(response.len() <= most, "{} of {most}: {packet:02x?}", response.len());
            prop_assert!(response.len() >= 12 && response[..2] == packet[..2]);
            prop_assert_eq!(response[7], 0, "no records");
            prop_assert_eq!(response[9], 0, "no authority");
        }
    }
}
