//! Every interleaving of a resize's steps with those of writers and a reader, explored by loom; see
//! `model`. Buckets have one slot, so a key has two places in each of the two tables.

#![allow(clippy::unwrap_used)]

use loom::sync::Arc;

use super::*;
use crate::decision::Entry;
use crate::refusal::Refusal;
use crate::word::EPOCH;

const NOW: u32 = EPOCH + 100_000;
const FLOOR: u32 = 60;

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
}

/// An old table and the one that replaces it.
struct Pair {
    old: Heap,
    new: Heap,
}

impl Pair {
    /// With key 1 in the old table.
    fn new() -> Self {
        let pair = Self { old: Heap::new(), new: Heap::new() };
        record(&pair.old.slots(), &REJECTION).unwrap();
        pair
    }

    fn slots(&self) -> Slots<'_> {
        self.new.slots().replacing(Some(self.old.slots()))
    }

    /// As who has the old table alone, and goes over to the new one when he has to.
    fn record_late(&self, change: &Change) {
        match record(&self.old.slots(), change) {
            Ok(applied) if !applied.marks_late => {}
            Ok(_) => {
                enter(&self.slots());
                let new = self.slots();
                new.remark(&new.place(key()), change);
            }
            Err(Refusal::Retired) => _ = record(&self.slots(), change).unwrap(),
            Err(refusal) => panic!("{refusal}"),
        }
    }

    fn lookup(&self) -> Option<Entry> {
        let slots = self.slots();
        slots.lookup(&slots.place(key())).map(|view| view.entry(NOW))
    }

    /// Entries of the key in the new table, once all is carried over.
    fn visible(&self) -> Vec<u32> {
        enter(&self.slots());
        let new = self.new.slots();
        let views = (0..2).filter_map(|slot| new.entry_at(slot));
        views.filter(|view| view.network == key()).map(|view| view.life.count()).collect()
    }
}

const ALIVE: Liveness = Liveness { namespace: 0, pid: |_| 100, is_gone: |_, _| false };

const REJECTION: Change = Change {
    kind: Kind::Rejections { weight: 1, seconds: 600, most: 604_800 },
    reason: 2,
    reporter: 0,
    now: NOW,
    floor: FLOOR,
};

fn key() -> Network {
    Network::host(std::net::Ipv4Addr::new(192, 0, 2, 1).into())
}

fn record(slots: &Slots<'_>, change: &Change) -> Result<Applied, Refusal> {
    slots.enter(key(), NOW, FLOOR, &ALIVE, &mut |_| ())?;
    slots.update(&slots.place(key()), change, &ALIVE, |_| ())
}

fn enter(slots: &Slots<'_>) {
    slots.enter(key(), NOW, FLOOR, &ALIVE, &mut |_| ()).unwrap();
}

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

fn together(work: Vec<fn(&Pair)>) -> Arc<Pair> {
    let pair = Arc::new(Pair::new());
    let mut work = work.into_iter();
    let first = work.next().unwrap();
    let threads: Vec<_> = work
        .map(|work| {
            let pair = Arc::clone(&pair);
            loom::thread::spawn(move || work(&pair))
        })
        .collect();
    first(&pair);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    pair
}

/// A report by way of the old table, beside a copier: counted once, whichever of them is faster, and
/// its reason is there. Fails when life is not frozen, and without the look after the marks.
#[test]
fn loom_record_against_carry() {
    explore(3, || {
        let pair =
            together(vec![|pair| pair.record_late(&Change { reason: 5, ..REJECTION }), |pair| {
                enter(&pair.slots())
            }]);
        assert_eq!(pair.visible(), [2]);
        assert_eq!(pair.lookup().unwrap().reasons, 1 << 2 | 1 << 5);
    });
}

/// Two who change the entry in the new table at once, each of whom carries it over first.
#[test]
fn loom_two_carry_and_count() {
    explore(2, || {
        let count: fn(&Pair) = |pair| _ = record(&pair.slots(), &REJECTION).unwrap();
        assert_eq!(together(vec![count, count]).visible(), [3]);
    });
}

/// One forgives in the new table, the other carries over: what was forgiven does not come back. Fails
/// without the look at MOVED after the claim.
#[test]
fn loom_forget_against_carry() {
    explore(3, || {
        let pair = together(vec![
            |pair| {
                let new = pair.slots();
                enter(&new);
                assert!(new.forget(&new.place(key()), NOW, FLOOR, |_| true).unwrap());
            },
            |pair| enter(&pair.slots()),
        ]);
        assert_eq!(pair.visible(), []);
    });
}

/// A reader never misses an entry that is being carried over. Fails without the second look at the
/// new table, and without the fence before it.
#[test]
fn loom_lookup_against_carry() {
    explore(3, || {
        together(vec![
            // The writer first: loom goes back to where a load may have come after a store, not
            // to where a store may come before a load.
            |pair| enter(&pair.slots()),
            |pair| {
                let entry = pair.lookup().unwrap();
                assert_eq!((entry.count, entry.reasons), (1, 1 << 2));
            },
        ]);
    });
}

/// A key that is new to the old table: inserted there by one, in the new table by the other.
#[test]
fn loom_insert_in_both_tables() {
    explore(3, || {
        let pair = Arc::new(Pair { old: Heap::new(), new: Heap::new() });
        let other = Arc::clone(&pair);
        let thread = loom::thread::spawn(move || other.record_late(&REJECTION));
        record(&pair.slots(), &REJECTION).unwrap();
        thread.join().unwrap();
        assert_eq!(pair.visible(), [2]);
    });
}
