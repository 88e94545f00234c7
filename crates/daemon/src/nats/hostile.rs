//! Messages that a hostile or broken site could publish: whatever they say, nothing ends but
//! their own effect.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::fmt::Write;

use eximrbl_table::dictionary::ADMIN;
use eximrbl_table::{Name, Network, UnixSeconds, WritableTable};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::history::Terms;
use super::merge::Merge;
use super::message::{Body, Message};

const NOW: UnixSeconds = 1_795_000_000;
/// Whitelisted by the administrator.
const HELD: &str = "192.0.2.1";

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// Numbers around all limits, and now and then one that is none of them.
fn number() -> impl Strategy<Value = u64> {
    let near = |at: u32| (u64::from(at.saturating_sub(2))..u64::from(at) + 3).boxed();
    prop_oneof![
        6 => near(2),
        40 => near(NOW),
        10 => near(NOW + 300),
        10 => near(NOW - 86_400),
        4 => near(10_000),
        4 => near(1 << 31),
        4 => (0..3_u64).prop_map(|below| u64::from(u32::MAX) - below),
        4 => 0..u64::from(u32::MAX),
        1 => Just(u64::MAX),
    ]
}

fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(HELD.to_owned()),
        8 => (0_u8..4).prop_map(|last| format!("192.0.2.{last}")),
        4 => Just("127.0.0.1".to_owned()),
        8 => (2_u8..=32).prop_map(|length| format!("192.0.0.0/{length}")),
        8 => (19_u8..=128).prop_map(|length| format!("2001::/{length}")),
        2 => Just("::ffff:192.0.2.1".to_owned()),
        // Hardly ever one.
        1 => "[0-9a-f.:/]{0,20}",
    ]
}

/// A line, with keys that belong together or not.
fn line() -> impl Strategy<Value = String> {
    let deed = prop_oneof![6 => Just("black"), 3 => Just("white"), 1 => Just("forgive")];
    let keys = ["time", "tick", "weight", "seconds", "count", "first", "last", "until"];
    let numbers = proptest::collection::vec(proptest::option::weighted(0.98, number()), keys.len());
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
    let lines = proptest::collection::vec(line(), 0..4);
    let cut = proptest::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()));
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

/// Plays messages on a table; how many of its entries they made.
fn play(messages: &[Vec<u8>]) -> Result<usize, TestCaseError> {
    let table = WritableTable::on_heap(256).unwrap();
    let held: Network = HELD.parse().unwrap();
    table.white(held, None, ADMIN, NOW).unwrap();
    let policy = table.policy();
    let mut merge = Merge::new(name("osaka"), Terms::from(&policy));
    for bytes in messages {
        let Ok(Message { site, body, .. }) = Message::parse(bytes) else { continue };
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
    let kept = table.entry(held, NOW).unwrap();
    prop_assert!(kept.white && kept.is_endless(), "{kept:?}");
    let loopback: Network = "127.0.0.1".parse().unwrap();
    let mut made = 0;
    for entry in table.entries(NOW) {
        let widest = if entry.network.is_ipv4() { 16 } else { 32 };
        prop_assert!(entry.network.length() >= widest, "{entry:?}");
        prop_assert!(entry.white || entry.network != loopback, "{entry:?}");
        // Of a change from as far ahead as clocks may be apart, its life begins then.
        prop_assert!(entry.white || entry.remaining <= policy.max_ttl + 300, "{entry:?}");
        made += usize::from(entry.network != held);
    }
    prop_assert_eq!(table.verify(), vec![]);
    Ok(made)
}

/// Caught: the Internet listed.
#[test]
fn no_message_does_more_than_it_may() {
    let any = proptest::collection::vec(any::<u8>(), 0..200);
    let messages = proptest::collection::vec(prop_oneof![20 => message(), 1 => any], 1..8);
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() };
    let made = Cell::new(0);
    let played = TestRunner::new(config).run(&messages, |messages| {
        made.set(made.get() + play(&messages)?);
        Ok(())
    });
    played.unwrap();
    // Else most of them were no messages, and nothing was shown.
    assert!(made.get() > cases() as usize / 2, "{} entries", made.get());
}
