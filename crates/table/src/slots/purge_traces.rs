//! A purge step by step: it stops between two of its steps, others go on, then it continues, or the other
//! way round. Each names the breakage that it was seen to catch.

#![allow(clippy::unwrap_used)]

use super::evict::Ended;
use super::purge::{Loss, Purged, Verdict};
use super::*;
use crate::decision::Entry;
use crate::sync::AtomicU64;
use crate::word::{EPOCH, deadline_after};

const NOW: u32 = EPOCH + 100_000;
const FLOOR: u32 = 60;
const A: u8 = 5;
const B: u8 = 60;
const ALIVE: Liveness = Liveness { namespace: 0, pid: |_| 100, is_gone: |_, _| false };

/// Two buckets of eight: every key may live in every slot.
fn with_slots(test: impl Fn(Slots<'_>)) {
    let controls: Vec<_> = (0..2 * BUCKET).map(|_| AtomicU64::new(0)).collect();
    let bodies: Vec<[AtomicU64; BODY]> =
        (0..2 * BUCKET).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect();
    test(Slots::new(&controls, &bodies, Seed(7, 11)));
}

fn network(i: u8) -> Network {
    Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into())
}

fn by(reporter: u8, reason: u8) -> Change {
    let kind = Kind::Rejections { weight: 1, seconds: 600, most: 604_800 };
    Change { kind, reason, reporter, now: NOW, floor: FLOOR }
}

fn record(slots: &Slots<'_>, i: u8, change: &Change) {
    slots.update(&slots.place(network(i)), change, &ALIVE, |_| ()).unwrap();
}

fn entry(slots: &Slots<'_>, i: u8) -> Option<Entry> {
    slots.lookup(&slots.place(network(i))).map(|view| view.entry(NOW))
}

/// What takes A's marks, and the reason that he alone gave.
const LOSS: Loss = Loss { reporters: 1 << A, reasons: 1 << 50, rest: None };

/// Another is stopped after he has noted himself, before he counts. Caught: marks of others that are taken, too.
/// (That reporters do note themselves first, `loom_purge_against_anothers_report` shows.)
#[test]
fn a_reporter_is_seen_before_he_counts() {
    with_slots(|slots| {
        record(&slots, 1, &by(A, 2));
        let place = slots.place(network(1));
        let (slot, control, life) = slots.find_ready(&place).unwrap();
        // The steps of `update`, up to its swap.
        slots.mark_reporters(slot, control.generation(), by(7, 3).reporter_bits());
        let next = by(7, 3).next(Some(life), control.generation()).unwrap();
        let judge = |entry: &Entry| match entry.reporters {
            alone if alone == 1 << A => Verdict::Ends,
            _ => Verdict::Loses(LOSS),
        };
        let purged = slots.purge(&place, NOW, FLOOR, judge).unwrap();
        assert_eq!(purged, Purged::Reduced { exactly: false });
        assert!(slots.swap_life(slot, life, next), "he goes on");
        let entry = entry(&slots, 1).unwrap();
        assert_eq!((entry.count, entry.reporters), (2, 1 << 7));
    });
}

/// The purge has judged an entry to be A's alone; B reports; the purge goes on. Caught: an end without
/// the life that was read.
#[test]
fn what_another_reports_meanwhile_is_not_ended() {
    with_slots(|slots| {
        record(&slots, 1, &by(A, 2));
        let (slot, control, life) = slots.find_ready(&slots.place(network(1))).unwrap();
        record(&slots, 1, &by(B, 3));
        assert_eq!(slots.end(slot, control, life), Ended::Changed);
        assert_eq!(entry(&slots, 1).unwrap().count, 2);
    });
}

/// A reports in the middle of a purge of his loss: all marks are there again, those in the upper words
/// too, and the purge looks again. Caught: marks that are not put back, of each of the four words.
#[test]
fn marks_are_put_back_when_life_has_changed() {
    for (reporter, reason) in [(A, 2), (B, 2), (A, 50), (B, 50)] {
        with_slots(|slots| {
            record(&slots, 1, &by(3, 4));
            record(&slots, 1, &by(reporter, reason));
            let (slot, control, life) = slots.find_ready(&slots.place(network(1))).unwrap();
            record(&slots, 1, &by(reporter, reason));
            let before = entry(&slots, 1).unwrap();
            let loss = Loss { reporters: 1 << reporter, reasons: 1 << reason, rest: None };
            assert!(!slots.take_out(slot, control, life, &loss));
            assert_eq!(entry(&slots, 1).unwrap(), before);
            let (_, _, life) = slots.find_ready(&slots.place(network(1))).unwrap();
            assert!(slots.take_out(slot, control, life, &loss));
            let after = entry(&slots, 1).unwrap();
            assert_eq!((after.reporters, after.reasons), (1 << 3, 1 << 4));
            assert_eq!((after.count, after.first, after.last), (3, before.first, before.last));
        });
    }
}

/// The slot passes to another key while a purge is stopped. Caught: a swap of whatever life is there.
#[test]
fn a_late_purge_takes_nothing_from_a_stranger() {
    with_slots(|slots| {
        (10..26).for_each(|i| record(&slots, i, &by(A, 50)));
        let (slot, control, life) = slots.find_ready(&slots.place(network(10))).unwrap();
        slots.forget(&slots.place(network(10)), NOW, FLOOR, |_| true).unwrap();
        record(&slots, 1, &by(A, 50));
        assert_eq!(slots.find_ready(&slots.place(network(1))).unwrap().0, slot);
        let rest = Some((Life::new(deadline_after(NOW, 60), 9, false, 0), NOW - 1));
        assert!(!slots.take_out(slot, control, life, &Loss { rest, ..LOSS }));
        let entry = entry(&slots, 1).unwrap();
        assert_eq!((entry.count, entry.first), (1, NOW));
        assert_eq!((entry.reporters, entry.reasons), (1 << A, 1 << 50));
    });
}

/// What is left is there in one step: count, end and beginning. Caught: a beginning that stays.
#[test]
fn an_exact_share_leaves_the_others_life() {
    with_slots(|slots| {
        record(&slots, 1, &by(A, 50));
        record(&slots, 1, &by(B, 2));
        let rest = Some((Life::new(deadline_after(NOW, 90), 1, false, 0), NOW + 7));
        let judge = |_: &Entry| Verdict::Loses(Loss { rest, ..LOSS });
        let purged = slots.purge(&slots.place(network(1)), NOW, FLOOR, judge).unwrap();
        assert_eq!(purged, Purged::Reduced { exactly: true });
        let entry = entry(&slots, 1).unwrap();
        assert_eq!((entry.count, entry.remaining, entry.first), (1, 90, NOW + 7));
        assert_eq!((entry.reporters, entry.reasons), (1 << B, 1 << 2));
    });
}
