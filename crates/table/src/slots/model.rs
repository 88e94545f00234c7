//! Every interleaving, and every reordering that the memory model allows, of two or three writers
//! and a reader, explored by loom: `RUSTFLAGS="--cfg loom" cargo test -p eximrbl-table --lib`.
//!
//! Buckets have one slot here, so every key has exactly two places; a steal, an eviction or a
//! second entry is never far. What is checked after each execution: one visible entry at most
//! for a key, the count is the sum of what was accepted, and no slot is lost.

#![allow(clippy::unwrap_used)]

use loom::sync::Arc;

use super::*;
use crate::refusal::Refusal;
use crate::word::{EPOCH, State};

const NOW: u32 = EPOCH + 100_000;
const LATER: u32 = NOW + 10_000;
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

    fn visible(&self, network: Network) -> Vec<u32> {
        let slots = self.slots();
        let views = (0..2).filter_map(|slot| slots.entry_at(slot));
        views.filter(|view| view.network == network).map(|view| view.life.count()).collect()
    }

    fn states(&self) -> Vec<Option<State>> {
        (0..2).map(|slot| self.slots().control(slot).state()).collect()
    }
}

const ALIVE: Liveness = Liveness { namespace: 0, pid: |_| 100, is_gone: |_, _| false };
const DOOMED: Liveness = Liveness { namespace: 0, pid: |_| 666, is_gone: |_, _| false };
const KNOWS_THE_DEAD: Liveness =
    Liveness { namespace: 0, pid: |_| 100, is_gone: |_, pid| pid == 666 };

fn network(i: u8) -> Network {
    Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into())
}

fn rejection(now: u32) -> Change {
    let kind = Kind::Rejections { weight: 1, seconds: 600, most: 604_800 };
    Change { kind, reason: 2, reporter: 0, now, floor: FLOOR }
}

fn record(heap: &Heap, i: u8, now: u32) -> Result<Applied, Refusal> {
    let slots = heap.slots();
    slots.update(&slots.place(network(i)), &rejection(now), &ALIVE, |_| ())
}

/// Explores with a bound on preemptions, which keeps a model at seconds; `LOOM_MAX_PREEMPTIONS`
/// sets another.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(model);
}

/// Runs two or more pieces of work at once, and waits for all of them.
fn together(heap: &Arc<Heap>, work: Vec<fn(&Heap)>) {
    let mut work = work.into_iter();
    let first = work.next().unwrap();
    let threads: Vec<_> = work
        .map(|work| {
            let heap = Arc::clone(heap);
            loom::thread::spawn(move || work(&heap))
        })
        .collect();
    first(heap);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Two first reports for one key, in two buckets: one entry, both counted. This is the model
/// that fails when the fence after the claim is taken out.
#[test]
fn loom_insert_race_for_one_key() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        let insert: fn(&Heap) = |heap| assert!(record(heap, 1, NOW).is_ok());
        together(&heap, vec![insert, insert]);
        assert_eq!(heap.visible(network(1)), [2]);
    });
}

/// The same in two slots: one writer finds the lower slot taken and claims the upper; the other
/// frees the lower one and claims that. Fails without the look after the claim.
#[test]
fn loom_insert_race_in_two_slots() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 2, NOW).unwrap();
        together(
            &heap,
            vec![|heap| assert!(record(heap, 1, NOW).is_ok()), |heap| {
                let slots = heap.slots();
                slots.forget(&slots.place(network(2)), NOW, FLOOR, |_| true).unwrap();
                assert!(record(heap, 1, NOW).is_ok());
            }],
        );
        assert_eq!(heap.visible(network(1)), [2]);
    });
}

/// The look alone, without the retries around it: of two claims at once, never both believe that
/// they are alone.
#[test]
fn loom_two_claims_see_each_other() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        let claim = |heap: &Heap, slot: usize| {
            let slots = heap.slots();
            let place = slots.place(network(1));
            let claim = slots.take(&place, slot, Control::empty(0), &ALIVE).unwrap();
            // Only the look itself: a waiting claim counts as "not alone" here.
            let other = slots.control(1 - slot);
            let alone = !other.is_claimed_with(place.tag) && !other.is_ready_with(place.tag);
            (claim, alone)
        };
        let shared = Arc::clone(&heap);
        let thread = loom::thread::spawn(move || claim(&shared, 1));
        let (_, first) = claim(&heap, 0);
        let (_, second) = thread.join().unwrap();
        assert!(!(first && second), "both would publish");
    });
}

/// Counting a live entry against evicting it for another key (two slots, three keys): what was
/// accepted is either counted or was evicted whole; nothing lands on a stranger.
#[test]
fn loom_record_against_evict() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        record(&heap, 2, NOW).unwrap();
        record(&heap, 2, NOW).unwrap(); // 2 lives longer, so 1 is the victim
        together(
            &heap,
            vec![|heap| assert!(record(heap, 1, NOW).is_ok()), |heap| {
                assert!(record(heap, 3, NOW).is_ok())
            }],
        );
        let (one, two, three) =
            (heap.visible(network(1)), heap.visible(network(2)), heap.visible(network(3)));
        assert!(one.len() <= 1 && two.len() <= 1 && three.len() <= 1);
        assert_eq!(one.len() + two.len() + three.len(), 2, "{one:?} {two:?} {three:?}");
        assert!(one.iter().all(|&n| n == 2 || n == 1) && two.iter().all(|&n| n == 2));
        assert!(three.iter().all(|&n| n == 1));
    });
}

/// Trace 1: an expired entry, begun anew by one and revived by another with a slow clock.
#[test]
fn loom_record_against_expiry() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        together(
            &heap,
            vec![|heap| assert!(record(heap, 1, NOW + 1).is_ok()), |heap| {
                assert!(record(heap, 1, LATER).is_ok())
            }],
        );
        let counts = heap.visible(network(1));
        // Slow clock first: revived (2), then begun anew (1), or the other way round (1, then 2).
        assert!(counts == [1] || counts == [2], "{counts:?}");
    });
}

/// Forgiving against recording: either the report is forgiven with the rest, or it starts afresh.
#[test]
fn loom_record_against_forgive() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        together(
            &heap,
            vec![|heap| assert!(record(heap, 1, NOW).is_ok()), |heap| {
                let slots = heap.slots();
                assert!(slots.forget(&slots.place(network(1)), NOW, FLOOR, |_| true).unwrap());
            }],
        );
        let counts = heap.visible(network(1));
        assert!(counts == [] as [u32; 0] || counts == [1], "{counts:?}");
    });
}

/// Whitelisting against recording: white wins, whichever comes first, and there is one entry.
#[test]
fn loom_record_against_white() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        together(
            &heap,
            vec![
                |heap| {
                    let recorded = record(heap, 1, NOW);
                    assert!(matches!(recorded, Ok(_) | Err(Refusal::White)));
                },
                |heap| {
                    let kind = Kind::White { seconds: Some(600) };
                    let slots = heap.slots();
                    let change = Change { kind, ..rejection(NOW) };
                    slots.update(&slots.place(network(1)), &change, &ALIVE, |_| ()).unwrap();
                },
            ],
        );
        assert_eq!(heap.visible(network(1)), [0], "one entry, white ones count nothing");
        let slots = heap.slots();
        assert!(slots.lookup(&slots.place(network(1))).unwrap().life.is_white());
    });
}

/// A reader beside an insertion, an eviction and a reuse of the slot: what he sees is whole, and
/// of the key that he asked for. Marks carry the reason of their own entry.
#[test]
fn loom_lookup_sees_whole_entries() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        together(
            &heap,
            vec![
                |heap| {
                    let slots = heap.slots();
                    slots.forget(&slots.place(network(1)), NOW, FLOOR, |_| true).unwrap();
                    let kind = Kind::Rejections { weight: 7, seconds: 600, most: 604_800 };
                    let change = Change { kind, reason: 5, ..rejection(NOW) };
                    slots.update(&slots.place(network(2)), &change, &ALIVE, |_| ()).unwrap();
                },
                |heap| {
                    let slots = heap.slots();
                    for (key, count, reason) in [(1, 1, 2), (2, 7, 5)] {
                        if let Some(view) = slots.lookup(&slots.place(network(key))) {
                            let entry = view.entry(NOW);
                            assert_eq!((entry.network, entry.count), (network(key), count));
                            assert_eq!(entry.reasons, 1 << reason);
                        }
                    }
                },
            ],
        );
    });
}

/// Trace 2 and 3: a dead writer's claim in the lower slot, and two writers who come by. Neither
/// waits without end; there is one entry with both counts; the slot is not lost.
#[test]
fn loom_dead_claim_stops_nobody() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        let slots = heap.slots();
        slots.take(&slots.place(network(1)), 0, Control::empty(0), &DOOMED).unwrap();
        let insert: fn(&Heap) = |heap| assert!(record(heap, 1, NOW).is_ok());
        together(&heap, vec![insert, insert]);
        assert_eq!(heap.visible(network(1)), [2]);
        heap.slots().sweep(0, Some((NOW, FLOOR)), &KNOWS_THE_DEAD);
        assert!(!heap.states().contains(&Some(State::Quarantined)));
        assert!(!heap.states().contains(&Some(State::Claimed)));
    });
}

/// Trace 3: three writers with one new key and two slots, so that two of them wait, one perhaps
/// with a claim in hand. Nobody is stolen from for good, and every report is counted.
#[test]
fn loom_three_writers_of_one_key() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 2, NOW).unwrap();
        // With no more than two slots, one at rest and one claimed are "no room": such a report
        // is refused, and counted as refused.
        let accepted = Arc::new(AtomicU64::new(0));
        let insert = |heap: &Heap, accepted: &AtomicU64| {
            if record(heap, 1, NOW).is_ok() {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (heap, accepted) = (Arc::clone(&heap), Arc::clone(&accepted));
                loom::thread::spawn(move || insert(&heap, &accepted))
            })
            .collect();
        let slots = heap.slots();
        slots.forget(&slots.place(network(2)), NOW, FLOOR, |_| true).unwrap();
        insert(&heap, &accepted);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let accepted = accepted.load(Ordering::Relaxed) as u32;
        assert!(accepted >= 1);
        assert_eq!(heap.visible(network(1)), [accepted]);
    });
}

/// Trace 4: a report is counted for one key; before its reason is noted, the slot passes to
/// another key, whose entry must not get it. Fails when marks are changed without a look at their
/// generation.
#[test]
fn loom_a_late_reason_reaches_nobody_else() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        together(
            &heap,
            vec![
                |heap| {
                    let slots = heap.slots();
                    let change = Change { reason: 9, reporter: 7, ..rejection(NOW + 1) };
                    slots.update(&slots.place(network(1)), &change, &ALIVE, |_| ()).unwrap();
                },
                |heap| {
                    let slots = heap.slots();
                    slots.forget(&slots.place(network(1)), NOW, FLOOR, |_| true).unwrap();
                    let change = Change { reason: 5, ..rejection(NOW) };
                    slots.update(&slots.place(network(2)), &change, &ALIVE, |_| ()).unwrap();
                },
            ],
        );
        let slots = heap.slots();
        let entry = slots.lookup(&slots.place(network(2))).unwrap().entry(NOW);
        assert_eq!((entry.reasons, entry.reporters, entry.last), (1 << 5, 1, NOW));
    });
}

/// Trace 5: the claim is taken from a writer who is alive, just while he publishes. Whoever wins,
/// the key has one entry and the slot comes back.
#[test]
fn loom_steal_against_publish() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        let slots = heap.slots();
        let claim = slots.take(&slots.place(network(1)), 0, Control::empty(0), &ALIVE).unwrap();
        let owner = Arc::clone(&heap);
        let thread = loom::thread::spawn(move || {
            let slots = owner.slots();
            let place = slots.place(network(1));
            slots.fill(&place, 0, rejection(NOW).first_marks(claim.generation()));
            let life = rejection(NOW).next(None, claim.generation()).unwrap();
            let published = slots.publish(&place, 0, claim, life);
            if !published {
                slots.let_go(0, claim);
            }
            published
        });
        let stolen = heap.slots().steal(0, claim, &ALIVE);
        let published = thread.join().unwrap();
        assert_ne!(stolen, published, "exactly one of them has the slot");
        assert_eq!(heap.visible(network(1)).len(), usize::from(published));
        let state = heap.states()[0];
        assert_eq!(state, Some(if published { State::Ready } else { State::Empty }));
    });
}

/// The sweep brings an entry's end forward while two report: both count. Caught: a plain store of the
/// shortened life.
#[test]
fn loom_shortening_against_reports() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, LATER).unwrap();
        let report: fn(&Heap) = |heap| assert!(record(heap, 1, NOW).is_ok());
        together(
            &heap,
            vec![report, report, |heap| {
                heap.slots().shorten(0, NOW, 5000);
                heap.slots().shorten(1, NOW, 5000);
            }],
        );
        assert_eq!(heap.visible(network(1)), [3]);
    });
}

/// The sweep ends an expired entry while a report begins it anew: the report is never lost.
#[test]
fn loom_sweep_against_restart() {
    explore(|| {
        let heap = Arc::new(Heap::new());
        record(&heap, 1, NOW).unwrap();
        together(
            &heap,
            vec![|heap| assert!(record(heap, 1, LATER).is_ok()), |heap| {
                heap.slots().sweep(0, Some((LATER, FLOOR)), &ALIVE);
                heap.slots().sweep(1, Some((LATER, FLOOR)), &ALIVE);
            }],
        );
        assert_eq!(heap.visible(network(1)), [1]);
    });
}
