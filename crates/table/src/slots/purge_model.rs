//! Every interleaving of a purge's steps with those of reports, of an eviction and of a resize, explored
//! by loom; see `model`. Buckets have one slot, so a key has two places in each table.

#![allow(clippy::unwrap_used)]

use loom::sync::Arc;

use super::purge::{Loss, Purged, Verdict};
use super::*;
use crate::decision::Entry;
use crate::word::{EPOCH, deadline_after};

const NOW: u32 = EPOCH + 100_000;
const FLOOR: u32 = 60;
/// Whose work is undone, and another.
const A: u8 = 5;
const B: u8 = 50;
/// What the purge leaves of a count, to be told from what reports make.
const REST: u32 = 100;

const ALIVE: Liveness = Liveness { namespace: 0, pid: |_| 100, is_gone: |_, _| false };

struct Heap {
    controls: Vec<AtomicU64>,
    bodies: Vec<[AtomicU64; BODY]>,
}

impl Heap {
    fn new() -> Self {
        Self {
            controls: (0..2).map(|_| AtomicU64::new(0)).collect(),
            bodies: (0..2).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect(),
        }
    }

    fn slots(&self) -> Slots<'_> {
        Slots::new(&self.controls, &self.bodies, Seed(7, 11))
    }

    /// A key's entry, and there is but one.
    fn entry(&self, i: u8) -> Option<Entry> {
        let slots = self.slots();
        let views = (0..2).filter_map(|slot| slots.entry_at(slot));
        assert!(views.filter(|view| view.network == network(i)).count() <= 1);
        slots.lookup(&slots.place(network(i))).map(|view| view.entry(NOW))
    }
}

fn network(i: u8) -> Network {
    Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into())
}

fn by(reporter: u8, seconds: u32) -> Change {
    let kind = Kind::Rejections { weight: 1, seconds, most: 604_800 };
    Change { kind, reason: 2, reporter, now: NOW, floor: FLOOR }
}

fn record(slots: &Slots<'_>, i: u8, reporter: u8) {
    slots.update(&slots.place(network(i)), &by(reporter, 600), &ALIVE, |_| ()).unwrap();
}

/// As `crate::purge` judges of A's entries, if it can prove what is left.
fn judge(entry: &Entry) -> Verdict {
    let life = Life::new(deadline_after(NOW, 300), REST, false, 0);
    match entry.reporters {
        alone if alone == 1 << A => Verdict::Ends,
        other if other >> A & 1 == 0 => Verdict::Stays,
        _ => Verdict::Loses(Loss { reporters: 1 << A, reasons: 0, rest: Some((life, NOW)) }),
    }
}

fn purge(slots: &Slots<'_>, i: u8) -> Purged {
    slots.purge(&slots.place(network(i)), NOW, FLOOR, judge).unwrap()
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// One does this, the other that.
fn both<T: Send + Sync + 'static, R: Send + 'static>(
    shared: &Arc<T>,
    this: fn(&T) -> R,
    that: fn(&T),
) -> R {
    let other = Arc::clone(shared);
    let thread = loom::thread::spawn(move || that(&other));
    let result = this(shared);
    thread.join().unwrap();
    result
}

/// B reports what A alone had reported so far: B's report counts, whichever comes first. Fails when a
/// reporter is noted only after his report counts.
#[test]
fn loom_purge_against_anothers_report() {
    explore(3, || {
        let heap = Arc::new(Heap::new());
        record(&heap.slots(), 1, A);
        let purged =
            both(&heap, |heap| purge(&heap.slots(), 1), |heap| record(&heap.slots(), 1, B));
        let entry = heap.entry(1).unwrap();
        assert_eq!(entry.reporters, 1 << B);
        match purged {
            Purged::Ended { .. } => assert_eq!(entry.count, 1),
            Purged::Reduced { .. } => assert_eq!(entry.count, REST),
            Purged::Untouched => unreachable!("A was there from the first"),
        }
    });
}

/// A himself reports on: what he reports after the purge lists; what came before is gone.
#[test]
fn loom_purge_against_a_report_of_the_same() {
    explore(3, || {
        let heap = Arc::new(Heap::new());
        record(&heap.slots(), 1, A);
        both(&heap, |heap| purge(&heap.slots(), 1), |heap| record(&heap.slots(), 1, A));
        if let Some(entry) = heap.entry(1) {
            assert_eq!((entry.count, entry.reporters), (1, 1 << A));
        }
        record(&heap.slots(), 1, A);
        assert!(heap.entry(1).is_some());
    });
}

/// A reports on, of an entry that is B's too: a report that counts after the purge has A's mark. One that
/// came before does not count any more; its mark may still come. Fails without the marks that are put
/// back.
#[test]
fn loom_purge_of_a_share_against_a_report_of_the_same() {
    explore(3, || {
        let heap = Arc::new(Heap::new());
        record(&heap.slots(), 1, B);
        record(&heap.slots(), 1, A);
        let purged =
            both(&heap, |heap| purge(&heap.slots(), 1), |heap| record(&heap.slots(), 1, A));
        assert_eq!(purged, Purged::Reduced { exactly: true });
        let entry = heap.entry(1).unwrap();
        match entry.count {
            REST => assert_eq!(entry.reporters & !(1 << A), 1 << B, "the purge came last"),
            count => assert_eq!((count, entry.reporters), (REST + 1, 1 << A | 1 << B)),
        }
    });
}

/// The same where nothing can be proved, so that life stays as it is: a report that had not counted when
/// the purge was over has A's mark. Fails without the second look of who reports, after his swap of life,
/// and without the swap of life to itself.
#[test]
fn loom_purge_of_a_mark_against_a_report_of_the_same() {
    explore(3, || {
        let heap = Arc::new(Heap::new());
        record(&heap.slots(), 1, B);
        record(&heap.slots(), 1, A);
        let counted = both(
            &heap,
            |heap| {
                let slots = heap.slots();
                let loss = Loss { reporters: 1 << A, reasons: 0, rest: None };
                let judge = |_: &Entry| Verdict::Loses(loss);
                slots.purge(&slots.place(network(1)), NOW, FLOOR, judge).unwrap();
                heap.entry(1).unwrap().count
            },
            |heap| record(&heap.slots(), 1, A),
        );
        let entry = heap.entry(1).unwrap();
        assert_eq!(entry.count, 3);
        assert!(counted == 3 || entry.reporters == 1 << A | 1 << B);
    });
}

/// The slot passes to another key in the middle of it, whose entry is whole. Fails when a purge swaps
/// whatever life it finds.
#[test]
fn loom_purge_against_evict() {
    explore(3, || {
        let heap = Arc::new(Heap::new());
        record(&heap.slots(), 1, B);
        record(&heap.slots(), 1, A);
        record(&heap.slots(), 2, B);
        (0..3).for_each(|_| record(&heap.slots(), 2, B)); // 2 lives longer, so 1 is the victim
        both(&heap, |heap| _ = purge(&heap.slots(), 1), |heap| record(&heap.slots(), 3, A));
        let (one, two, three) = (heap.entry(1), heap.entry(2).unwrap(), heap.entry(3).unwrap());
        assert!(one.is_none());
        assert_eq!((two.count, two.reporters), (4, 1 << B));
        assert_eq!((three.count, three.reporters), (1, 1 << A));
    });
}

/// An old table with an entry of both, and the one that replaces it.
struct Pair {
    old: Heap,
    new: Heap,
}

impl Pair {
    fn of(reporters: &[u8]) -> Arc<Self> {
        let pair = Self { old: Heap::new(), new: Heap::new() };
        reporters.iter().for_each(|reporter| record(&pair.old.slots(), 1, *reporter));
        Arc::new(pair)
    }

    fn slots(&self) -> Slots<'_> {
        self.new.slots().replacing(Some(self.old.slots()))
    }

    fn enter(&self) {
        self.slots().enter(network(1), NOW, FLOOR, &ALIVE, &mut |_| ()).unwrap();
    }

    /// By way of the old table, as long as that goes.
    fn purge(&self) {
        let old = self.old.slots();
        if old.purge(&old.place(network(1)), NOW, FLOOR, judge).is_err() {
            self.enter();
            purge(&self.slots(), 1);
        }
    }
}

/// Beside a copier: what was undone stays undone, and B's share is in the new table.
#[test]
fn loom_purge_against_carry() {
    explore(3, || {
        let pair = Pair::of(&[B, A]);
        both(&pair, Pair::purge, Pair::enter);
        pair.enter();
        let entry = pair.new.entry(1).unwrap();
        assert_eq!(entry.reporters, 1 << B);
    });
    explore(3, || {
        let pair = Pair::of(&[A]);
        both(&pair, Pair::purge, Pair::enter);
        pair.enter();
        assert!(pair.new.entry(1).is_none());
    });
}
