//! Whether what was done and what is there agree, in whatever order it was done.

use eximrbl_table::{Counter, EventKind, Network};

use crate::bench::{Bench, Played};
use crate::operations::NOW;
use crate::stage::{Happened, Seen, key};
use crate::writer::Call;

/// What holds in whatever order things were done: every accepted record has its event and is
/// counted in one entry, under its key, with no stranger's reason; and who is gone had to go.
pub fn check(bench: &Bench, played: &Played, others: &[Call], seen: &Seen) {
    let (events, lost) = bench.stage.events(played.serial, NOW);
    assert_eq!(lost, 0, "nobody was killed");
    let calls: Vec<&Call> = others.iter().chain([&played.operation.call]).collect();
    let of = |kind, network| {
        events.iter().filter(|event| event.0 == kind && event.1 == network).count() as u32
    };

    let records = calls.iter().filter(|call| call.function == "rbl_record").count() as u64;
    let accepted = events.iter().filter(|event| is_record(event)).count() as u64;
    let stage = &bench.stage;
    assert_eq!(stage.counter(Counter::Records) - played.records, accepted);
    assert_eq!(accepted + stage.counter(Counter::RefusedWhite), records, "a record was refused");

    let mut networks: Vec<Network> = played.before.entries.keys().copied().collect();
    networks.extend(calls.iter().map(|call| key(call.ip())));
    networks.sort();
    networks.dedup();
    let names = stage.reader.reasons();
    for &network in &networks {
        let before = played.before.entries.get(&network);
        let gone = [EventKind::Evicted, EventKind::Forgiven, EventKind::Whitened]
            .iter()
            .chain(&[EventKind::WhiteEnded])
            .any(|&kind| of(kind, network) > 0);
        let own: Vec<_> = calls.iter().filter(|call| key(call.ip()) == network).collect();
        let weights = own.iter().filter(|call| call.function == "rbl_record");
        let weights: Vec<u32> = weights.map(|call| call.arguments[2].parse().unwrap()).collect();
        let total = before.map_or(0, |entry| entry.count) + weights.iter().sum::<u32>();
        let Some(entry) = seen.entries.get(&network) else {
            assert!(gone || total == 0, "{network} is lost");
            continue;
        };
        if !entry.white && !gone {
            assert_eq!(entry.count, total, "{network} was never ended");
        }
        // Ended in between: some of the records, in the order of their coming.
        let parts = subsets(&weights, before.map_or(0, |entry| entry.count));
        assert!(entry.white || parts.contains(&entry.count), "{network}: {}", entry.count);
        let records = own.iter().filter(|call| call.function == "rbl_record");
        let bits = records.map(|call| names.bit(&call.arguments[1]).expect("entered"));
        let given = bits.fold(before.map_or(0, |entry| entry.reasons), |sum, bit| sum | 1 << bit);
        assert_eq!(entry.reasons & !given, 0, "{network} has a stranger's reason: {entry:?}");
        if !entry.white {
            assert!(gone || entry.reasons == given, "{network} lacks a reason: {entry:?}");
            assert!(entry.reasons != 0 && entry.first != 0 && entry.last != 0, "{entry:?}");
        }
    }
    assert!(seen.entries.keys().all(|network| networks.contains(network)), "who is this? {seen:?}");
    // A key is there once it was added, or whitelisted, until it is ended.
    let is_only_recorded = calls.iter().all(|call| call.function == "rbl_record");
    if is_only_recorded {
        let count = |kind| events.iter().filter(|event| event.0 == kind).count();
        let expected =
            played.before.entries.len() + count(EventKind::Added) - count(EventKind::Evicted);
        assert_eq!(seen.entries.len(), expected, "{events:?}");
    }
}

fn is_record(event: &Happened) -> bool {
    matches!(event.0, EventKind::Added | EventKind::Extended)
}

/// The sums of some of the weights, with or without what was there.
fn subsets(weights: &[u32], before: u32) -> Vec<u32> {
    let mut sums = vec![0, before];
    for weight in weights {
        sums.extend(sums.clone().iter().map(|sum| sum + weight));
    }
    sums.retain(|&sum| sum > 0);
    sums
}
