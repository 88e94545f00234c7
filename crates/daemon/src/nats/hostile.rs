//! Messages that a hostile or broken site could publish: whatever they say, nothing ends but
//! their own effect.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Name, Network, UnixSeconds, WritableTable};
use proptest::prelude::*;

use super::history::Terms;
use super::merge::Merge;
use super::message::{Body, Message};

const NOW: UnixSeconds = 1_795_000_000;
/// Whitelisted by the administrator.
const HELD: &str = "192.0.2.1";

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// Numbers around all limits.
fn number() -> impl Strategy<Value = u64> {
    let near = |at: u64| (at.saturating_sub(2)..at.saturating_add(3)).boxed();
    prop_oneof![
        near(0),
        near(NOW.into()),
        near((NOW + 300).into()),
        near((NOW - 86_400).into()),
        near(10_000),
        near(u32::MAX.into()),
        near(1 << 31),
        Just(u64::MAX),
        0..u64::from(u32::MAX),
    ]
}

fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(HELD.to_owned()),
        (0_u8..4).prop_map(|last| format!("192.0.2.{last}")),
        Just("127.0.0.1".to_owned()),
        (0_u8..=32).prop_map(|length| format!("192.0.0.0/{length}")),
        (0_u8..=128).prop_map(|length| format!("2001::/{length}")),
        Just("::ffff:192.0.2.1".to_owned()),
        "[0-9a-f.:/]{0,20}",
    ]
}

/// A line, with keys that belong together or not.
fn line() -> impl Strategy<Value = String> {
    let deed = prop_oneof![Just("black"), Just("white"), Just("forgive")];
    let keys = ["time", "tick", "weight", "seconds", "count", "first", "last", "until"];
    let numbers = proptest::collection::vec(proptest::option::weighted(0.8, number()), keys.len());
    (deed, network(), numbers).prop_map(move |(deed, network, numbers)| {
        let mut line = format!("\"{deed}\":{network:?}");
        for (key, number) in keys.iter().zip(numbers) {
            if let Some(number) = number {
                write!(line, ",\"{key}\":{number}").unwrap();
            }
        }
        line + ",\"reason\":\"rcpt\",\"reasons\":[\"rcpt\",\"x y\"]"
    })
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just("changes"), Just("state")];
    let lines = proptest::collection::vec(line(), 0..8);
    let cut = proptest::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    (kind, lines, cut).prop_map(|(kind, lines, cut)| {
        let mut text = format!(
            "{{\"eximrbl\":\"{kind}\",\"format\":1,\"site\":\"paris\",\"stream\":\"1\",\"from\":0,\
             \"next\":{}}}",
            lines.len()
        );
        for (index, line) in lines.iter().enumerate() {
            write!(text, "\n{{\"n\":{index},{line}}}").unwrap();
        }
        let mut bytes = text.into_bytes();
        if let Some((index, byte)) = cut {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Messages that are played; many with EXIMRBL_TORTURE set.
fn cases() -> u32 {
    if std::env::var_os("EXIMRBL_TORTURE").is_some() { 20_000 } else { 400 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Caught: sums of times that do not fit; the administrator's word taken back; loopback listed;
    /// what lives longer than the policy allows.
    #[test]
    fn no_message_does_more_than_it_may(
        messages in proptest::collection::vec(message(), 1..6),
        any in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let table = WritableTable::on_heap(256).unwrap();
        let held: Network = HELD.parse().unwrap();
        table.white(held, None, ADMIN, NOW).unwrap();
        let policy = table.policy();
        let mut merge = Merge::new(name("osaka"), Terms::from(&policy));
        let mut read = 0;
        for bytes in messages.iter().chain([&any]) {
            let Ok(Message { site, body, .. }) = Message::parse(bytes) else { continue };
            read += 1;
            match body {
                Body::Changes { changes, .. } => {
                    for change in changes {
                        merge.apply(&table, site, &change, NOW);
                    }
                }
                Body::State(known) => {
                    for known in known {
                        merge.join(&table, site, &known, NOW);
                    }
                }
            }
        }
        prop_assert!(read <= messages.len() + 1);
        let kept = table.entry(held, NOW).unwrap();
        prop_assert!(kept.white && kept.is_endless(), "{kept:?}");
        for entry in table.entries(NOW) {
            let widest = if entry.network.is_ipv4() { 16 } else { 32 };
            prop_assert!(entry.network.length() >= widest);
            prop_assert!(entry.white || entry.network != "127.0.0.1".parse().unwrap());
            prop_assert!(
                entry.white || entry.remaining <= policy.max_ttl + 300,
                "{entry:?}"
            );
        }
        prop_assert_eq!(table.verify(), vec![]);
    }
}
