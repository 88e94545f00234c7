//! The traces that broke simpler protocols, step by step: a writer is stopped between two of his
//! steps, others go on, then he continues. Each test names the rule that it would catch the
//! absence of; each was seen to fail with that rule taken out.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicU32;

use super::claim::{Claimed, Settled};
use super::wait::{Patience, Waited};
use super::*;
use crate::sync::{AtomicU64, Ordering};
use crate::word::{EPOCH, Mark, State};

const NOW: u32 = EPOCH + 100_000;
const FLOOR: u32 = 60;
const SEED: Seed = Seed(7, 11);

/// Two buckets of eight: every key may live in every slot.
struct Heap {
    controls: Vec<AtomicU64>,
    bodies: Vec<[AtomicU64; BODY]>,
}

impl Heap {
    fn new() -> Self {
        let words = 2 * BUCKET;
        Self {
            controls: (0..words).map(|_| AtomicU64::new(0)).collect(),
            bodies: (0..words).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect(),
        }
    }

    fn slots(&self) -> Slots<'_> {
        Slots::new(&self.controls, &self.bodies, SEED)
    }
}

/// Nobody is ever proven dead.
const ALIVE: Liveness = Liveness { namespace: 0, pid: |_| 100, is_gone: |_, _| false };
/// Pid 666 is dead.
const KNOWS_THE_DEAD: Liveness =
    Liveness { namespace: 0, pid: |_| 100, is_gone: |_, pid| pid == 666 };
/// A writer with pid 666, who will be killed.
const DOOMED: Liveness = Liveness { namespace: 0, pid: |_| 666, is_gone: |_, _| false };

fn network(i: u8) -> Network {
    Network::host(std::net::Ipv4Addr::new(192, 0, 2, i).into())
}

fn rejection(now: u32) -> Change {
    let kind = Kind::Rejections { weight: 1, seconds: 600, most: 604_800 };
    Change { kind, reason: 2, reporter: 0, now, floor: FLOOR }
}

fn visible(slots: &Slots<'_>, network: Network) -> usize {
    let entries = (0..slots.len()).filter_map(|slot| slots.entry_at(slot));
    entries.filter(|view| view.network == network).count()
}

fn count(slots: &Slots<'_>, network: Network) -> Option<u32> {
    slots.lookup(&slots.place(network)).map(|view| view.life.count())
}

fn record(slots: &Slots<'_>, network: Network, now: u32) -> Applied {
    slots.update(&slots.place(network), &rejection(now), &ALIVE, |_| ()).unwrap()
}

fn slot_of(slots: &Slots<'_>, network: Network) -> (usize, Control, Life) {
    slots.find_ready(&slots.place(network)).unwrap()
}

/// Trace 1: W0 reads a live life and pauses; it expires; W1 records. W0's late CAS must not
/// leave two entries. Rule: an expired entry is ended by a
/// CAS of its life before a new one is made, never just taken for absent.
#[test]
fn an_expired_entry_is_never_absent() {
    let heap = Heap::new();
    let slots = heap.slots();
    record(&slots, network(1), NOW);
    let (slot, control, life) = slot_of(&slots, network(1)); // W0 has read, and pauses
    let later = NOW + 10_000;
    assert!(!life.is_alive(later, FLOOR));
    assert!(record(&slots, network(1), later).is_new); // W1
    assert_eq!(visible(&slots, network(1)), 1);
    // W0 goes on: his CAS fails, since the life is another one, and he starts over.
    assert!(!slots.swap_life(slot, life, Life::new(700, 2, false, control.generation())));
    record(&slots, network(1), later);
    assert_eq!((visible(&slots, network(1)), count(&slots, network(1))), (1, Some(2)));
}

/// Trace 1, the other way: W0 revives the expired entry just before W1 would have ended it.
#[test]
fn a_revived_entry_is_found_by_the_one_who_saw_it_expired() {
    let heap = Heap::new();
    let slots = heap.slots();
    record(&slots, network(1), NOW);
    record(&slots, network(1), NOW + 1); // W0 with a slow clock revives …
    record(&slots, network(1), NOW + 10_000); // … and W1 begins anew.
    assert_eq!((visible(&slots, network(1)), count(&slots, network(1))), (1, Some(1)));
}

/// Trace 2: W0 claims the lower slot and is killed. W1 may not start over for ever.
/// Rule: a waiter takes a claim away that does not move.
#[test]
fn a_claim_of_a_dead_writer_stops_nobody() {
    for liveness in [ALIVE, KNOWS_THE_DEAD] {
        let heap = Heap::new();
        let slots = heap.slots();
        let place = slots.place(network(1));
        slots.take(&place, 0, Control::empty(0), &DOOMED).unwrap(); // W0 dies here
        let applied = slots.update(&place, &rejection(NOW), &liveness, |_| ()).unwrap();
        assert!(applied.is_new);
        assert_eq!(count(&slots, network(1)), Some(1));
        let proven = (liveness.is_gone)(0, 666);
        let state = slots.control(0).state();
        // Proven dead: free at once (and here used for the entry). Otherwise the slot rests.
        assert_eq!(state, Some(if proven { State::Ready } else { State::Quarantined }));
        // The sweep takes it back as soon as the death is proven.
        slots.sweep(0, Some((NOW, FLOOR)), &KNOWS_THE_DEAD);
        assert_ne!(slots.control(0).state(), Some(State::Quarantined));
    }
}

/// Trace 2, at every later step of the claim: filled, and given life but not yet READY.
#[test]
fn a_writer_may_die_at_any_step_of_a_claim() {
    for steps in 1..=3 {
        let heap = Heap::new();
        let slots = heap.slots();
        let place = slots.place(network(1));
        let claim = slots.take(&place, 5, Control::empty(0), &DOOMED).unwrap();
        if steps >= 2 {
            slots.fill(&place, 5, rejection(NOW).first_marks(claim.generation()));
        }
        if steps >= 3 {
            let life = Life::new(900, 1, false, claim.generation());
            assert!(slots.swap_life(5, slots.life(5), life));
        }
        assert_eq!(count(&slots, network(1)), None, "what was not acknowledged is not seen");
        slots.update(&place, &rejection(NOW), &KNOWS_THE_DEAD, |_| ()).unwrap();
        assert_eq!((visible(&slots, network(1)), count(&slots, network(1))), (1, Some(1)));
        let is_sound = |slot| matches!(slots.inspect(slot).holds, Holds::Nothing | Holds::Entry(_));
        assert!((0..slots.len()).all(is_sound));
    }
}

/// Trace 3: W0 waits, holding a claim; W2, who holds none, must not judge W0 stuck before W0 has
/// given up himself. Rule: patience without a claim is far longer than with one.
#[test]
fn a_waiter_without_a_claim_is_more_patient() {
    assert!(Patience::Free.time() >= 5 * Patience::Holding.time());
}

/// Two claims for one key: the lower one waits for the higher to vanish, and the higher gives
/// way. Rule: who sees a lower claim undoes his own.
#[test]
fn the_higher_of_two_claims_gives_way() {
    let heap = Heap::new();
    let slots = heap.slots();
    let place = slots.place(network(1));
    let low = slots.take(&place, 3, Control::empty(0), &ALIVE).unwrap();
    let high = slots.take(&place, 9, Control::empty(0), &ALIVE).unwrap();
    assert_eq!(slots.settle(&place, 9, &ALIVE), Settled::Behind(3, low));
    slots.undo(9, high);
    assert_eq!(slots.settle(&place, 3, &ALIVE), Settled::Alone);
    // A lower claim that appears while the holder waits on a higher one outranks him.
    let high = slots.take(&place, 9, slots.control(9), &ALIVE).unwrap();
    let lowest = slots.take(&place, 1, Control::empty(0), &ALIVE).unwrap();
    let watch = Some((&place, 3));
    assert_eq!(slots.wait(9, high, Patience::Holding, watch, &ALIVE), Waited::Outranked);
    assert_eq!(slots.lower_claim(&place, 3), Some((1, lowest)));
}

/// An entry that was published between the look and the claim: the claim gives way to it, even
/// if it has expired. Rule: settle looks at all other slots after claiming.
#[test]
fn a_claim_gives_way_to_an_entry() {
    for now in [NOW, NOW + 10_000] {
        let heap = Heap::new();
        let slots = heap.slots();
        let place = slots.place(network(1));
        record(&slots, network(1), NOW);
        let free = (0..slots.len()).find(|&slot| slots.control(slot).is(State::Empty)).unwrap();
        let outcome = slots.claim(&place, free, slots.control(free), &rejection(now), &ALIVE);
        assert_eq!(outcome, Ok(Claimed::Again));
        assert_eq!(visible(&slots, network(1)), 1);
    }
}

/// Trace 4: W0 counts K1 and pauses before noting his reason; K1 is evicted, K2 moves in.
/// Rule: marks change only while they carry the generation that was counted.
#[test]
fn a_late_reason_does_not_reach_the_next_entry() {
    let heap = Heap::new();
    let slots = heap.slots();
    record(&slots, network(1), NOW);
    let (slot, control, life) = slot_of(&slots, network(1)); // W0 has counted, and pauses
    slots.end(slot, control, life);
    record(&slots, network(2), NOW);
    assert_eq!(slot_of(&slots, network(2)).0, slot, "the first free slot is taken");
    let reasons =
        |slots: &Slots<'_>| slots.lookup(&slots.place(network(2))).unwrap().entry(NOW).reasons;
    let before = reasons(&slots);
    // W0 goes on with the generation that he knows.
    let word = &heap.bodies[slot][field::REASONS];
    let late = Mark(word.load(Ordering::Relaxed)).payload(control.generation());
    assert_eq!(late, None, "so he writes nothing");
    assert_eq!(reasons(&slots), before);
}

/// Trace 5: a claim is taken from its owner and its slot reused by K2; then the owner's stores of
/// life and key come. Rules: life by CAS under a check of the claim; no reuse before the owner is
/// gone; and should that be judged wrongly, the tag keeps a late key from naming a stranger.
#[test]
fn a_late_store_never_lists_a_stranger() {
    let heap = Heap::new();
    let slots = heap.slots();
    let (old, new) = (slots.place(network(1)), slots.place(network(2)));
    let claim = slots.take(&old, 0, Control::empty(0), &DOOMED).unwrap();
    // Somebody judges him dead, wrongly; the slot gets another entry.
    assert!(slots.steal(0, claim, &KNOWS_THE_DEAD));
    slots.update(&new, &rejection(NOW), &ALIVE, |_| ()).unwrap();
    assert_eq!(slot_of(&slots, network(2)).0, 0);
    // He goes on: life is refused, for the claim no longer stands …
    assert!(!slots.publish(&old, 0, claim, Life::new(900, 9, false, claim.generation())));
    assert_eq!(count(&slots, network(2)), Some(1));
    // … but his key was stored late.
    slots.fill(&old, 0, rejection(NOW).first_marks(claim.generation()));
    assert_eq!(count(&slots, network(1)), None, "the former key must not be listed");
    assert_eq!(count(&slots, network(2)), None, "the new one is invisible, which is accepted");
    assert_eq!(visible(&slots, network(1)) + visible(&slots, network(2)), 0);
    slots.let_go(0, claim);
    // The next report makes a new entry.
    record(&slots, network(2), NOW);
    assert_eq!(count(&slots, network(2)), Some(1));
}

/// Trace 5's other half: while the owner's death is not proven, the slot is not used again.
#[test]
fn a_stolen_slot_rests_until_its_owner_lets_go() {
    let heap = Heap::new();
    let slots = heap.slots();
    let place = slots.place(network(1));
    let claim = slots.take(&place, 0, Control::empty(0), &DOOMED).unwrap();
    assert!(slots.steal(0, claim, &ALIVE));
    for i in 2..40 {
        // Far more keys than slots: all others are used and evicted, this one is not.
        record(&slots, network(i), NOW + u32::from(i));
        assert_eq!(slots.control(0).state(), Some(State::Quarantined));
    }
    assert!(!slots.publish(&place, 0, claim, Life::new(900, 1, false, claim.generation())));
    slots.let_go(0, claim);
    assert_eq!(slots.control(0).state(), Some(State::Empty));
}

/// Trace 6: generations are wide enough that a late CAS of life hits no later entry.
#[test]
fn a_late_increment_does_not_hit_a_later_entry() {
    let heap = Heap::new();
    let slots = heap.slots();
    record(&slots, network(1), NOW);
    let (slot, control, life) = slot_of(&slots, network(1)); // W0 has read, and pauses
    let mut now = NOW;
    for round in 0..200 {
        let (s, c, l) = slot_of(&slots, network(1 + round % 2));
        slots.end(s, c, l);
        // The same count and, each time, a deadline that W0 knows: only generations tell.
        record(&slots, network(1 + (round + 1) % 2), now);
        now = NOW;
        let late = Life::new(life.deadline() + 600, 2, false, control.generation());
        assert!(!slots.swap_life(slot, life, late), "round {round}");
        // A late finish of the first entry's eviction hits nothing either.
        slots.finish_eviction(slot, control);
        assert_eq!(visible(&slots, network(1 + (round + 1) % 2)), 1);
    }
}

/// An eviction whose writer died between its two steps is finished by the next who comes by, and
/// the entry is gone for readers from the first step on.
#[test]
fn a_half_done_eviction_is_finished_by_others() {
    let heap = Heap::new();
    let slots = heap.slots();
    record(&slots, network(1), NOW);
    let (slot, control, life) = slot_of(&slots, network(1));
    assert!(slots.swap_life(slot, life, Life::dead(control.generation() + 1))); // dies here
    assert_eq!(count(&slots, network(1)), None);
    assert!(matches!(slots.inspect(slot).holds, Holds::Ending));
    assert!(record(&slots, network(1), NOW).is_new);
    assert_eq!((visible(&slots, network(1)), count(&slots, network(1))), (1, Some(1)));
}

/// With every slot taken, the expired go first, then the one with the least life; white and
/// endless entries stay, and when there is nothing else the report is refused.
#[test]
fn eviction_takes_the_expired_then_the_shortest_and_never_the_white() {
    let heap = Heap::new();
    let slots = heap.slots();
    // What the change of an entry evicted.
    let change = |i: u8, kind, now| {
        let change = Change { kind, ..rejection(now) };
        let mut evicted = Vec::new();
        let place = slots.place(network(i));
        slots.update(&place, &change, &ALIVE, |victim| evicted.push(victim)).unwrap();
        evicted
    };
    for i in 0..16 {
        let kind = match i {
            0..4 => Kind::White { seconds: Some(10_000) },
            4..8 => Kind::Endless { weight: 1 },
            _ => Kind::Rejections { weight: 1, seconds: 600 + u32::from(i), most: 604_800 },
        };
        change(i, kind, NOW);
    }
    let rejections = |seconds| Kind::Rejections { weight: 1, seconds, most: 604_800 };
    assert_eq!(change(100, rejections(5000), NOW), [network(8)], "the least life");
    // At this time 9, 10 and 11 have expired; to end one of them is no loss.
    assert_eq!(change(101, rejections(5000), NOW + 552), []);
    let left = (9..16).filter(|&i| visible(&slots, network(i)) == 1).collect::<Vec<_>>();
    assert!(left.len() == 6 && left.ends_with(&[12, 13, 14, 15]), "an expired one: {left:?}");
    for i in 0..200 {
        change(i % 50 + 110, rejections(700), NOW + 553);
    }
    for i in 0..8 {
        assert_eq!(visible(&slots, network(i)), 1, "white and endless stay: {i}");
    }
    let heap = Heap::new();
    let slots = heap.slots();
    for i in 0..16 {
        let change = Change { kind: Kind::Endless { weight: 1 }, ..rejection(NOW) };
        slots.update(&slots.place(network(i)), &change, &ALIVE, |_| ()).unwrap();
    }
    let refused = slots.update(&slots.place(network(99)), &rejection(NOW), &ALIVE, |_| ());
    assert_eq!(refused.unwrap_err(), crate::Refusal::Full);
}

/// The hash's tag, not chance, keeps keys apart: a slot that carries another key's tag is no
/// entry, whatever its body says.
#[test]
fn a_key_in_a_strange_slot_is_no_entry() {
    let heap = Heap::new();
    let slots = heap.slots();
    record(&slots, network(1), NOW);
    let (slot, ..) = slot_of(&slots, network(1));
    let (_, low) = network(9).words();
    heap.bodies[slot][field::KEY_LOW].store(low, Ordering::Relaxed);
    assert_eq!(count(&slots, network(9)), None);
    assert!(slots.entry_at(slot).is_none());
    assert!(matches!(slots.inspect(slot).holds, Holds::Stray));
}

/// A new life has marks of its own from its first instant: those of the old one, the
/// administrator's among them, can neither stay nor come back.
#[test]
fn a_new_life_begins_with_its_own_marks() {
    let heap = Heap::new();
    let slots = heap.slots();
    let place = slots.place(network(1));
    let by_admin = Change { reason: 9, reporter: 1, ..rejection(NOW) };
    slots.update(&place, &by_admin, &ALIVE, |_| ()).unwrap();
    let (slot, old, _) = slot_of(&slots, network(1));
    record(&slots, network(1), NOW + 10_000);
    let (new_slot, new, _) = slot_of(&slots, network(1));
    assert!(new_slot != slot || new.generation() != old.generation());
    let entry = slots.lookup(&place).unwrap().entry(NOW + 10_000);
    assert_eq!((entry.reasons, entry.reporters, entry.first), (1 << 2, 1, NOW + 10_000));
    // The same when a living black entry turns white.
    let white =
        Change { kind: Kind::White { seconds: None }, reporter: 1, ..rejection(NOW + 10_001) };
    slots.update(&place, &white, &ALIVE, |_| ()).unwrap();
    let entry = slots.lookup(&place).unwrap().entry(NOW + 10_001);
    assert_eq!((entry.white, entry.reasons, entry.reporters), (true, 0, 1 << 1));
}

/// Two entries for one key, as a power loss could leave them: forgiving ends both.
#[test]
fn forgiving_ends_a_second_entry_as_well() {
    let heap = Heap::new();
    let slots = heap.slots();
    let place = slots.place(network(1));
    for slot in [3, 11] {
        let claim = slots.take(&place, slot, Control::empty(0), &ALIVE).unwrap();
        slots.fill(&place, slot, rejection(NOW).first_marks(claim.generation()));
        let life = rejection(NOW).next(None, claim.generation()).unwrap();
        assert!(slots.publish(&place, slot, claim, life));
    }
    assert_eq!(visible(&slots, network(1)), 2);
    assert!(slots.forget(&place, NOW, FLOOR, |_| true).unwrap());
    assert_eq!(visible(&slots, network(1)), 0);
}

/// A damaged file: the life of a free slot is frozen. It is overwritten, and costs nothing. Caught: a
/// publication by way of `swap_life`, which tried a thousand times a thousand, and gave up.
#[test]
fn a_frozen_life_in_a_free_slot_is_overwritten() {
    let heap = Heap::new();
    let slots = heap.slots();
    for body in &heap.bodies {
        body[field::LIFE].store(crate::word::FROZEN_LIFE, Ordering::Relaxed);
    }
    assert_eq!(record(&slots, network(1), NOW).retries, 0);
    assert_eq!(count(&slots, network(1)), Some(1));
}

/// How long a claim is waited for is a matter of time alone: by turns of the scheduler, each of
/// them milliseconds on a busy machine, a report could take seconds.
#[test]
fn waiting_is_bounded_in_time() {
    let now = std::time::Instant::now();
    for patience in [Patience::Holding, Patience::Free] {
        let begun = now.checked_sub(patience.time()).unwrap();
        assert!(patience.is_over(0, Some(begun)), "after its time, whatever the turns");
        assert!(!patience.is_over(u32::MAX, Some(now + patience.time())), "not before");
        assert!(patience.time() < std::time::Duration::from_millis(1));
    }
}

/// Sixteen claims that do not move, all the places of a key: the report is refused, not stuck.
#[test]
fn stuck_claims_everywhere_end_in_a_refusal() {
    let heap = Heap::new();
    let slots = heap.slots();
    let place = slots.place(network(1));
    for slot in 0..16 {
        slots.take(&place, slot, slots.control(slot), &DOOMED).unwrap();
    }
    let refused = slots.update(&place, &rejection(NOW), &ALIVE, |_| ());
    assert_eq!(refused.unwrap_err(), crate::Refusal::Full, "all sixteen are at rest now");
    // As soon as their owner's death is proven, the places are there again.
    slots.update(&place, &rejection(NOW), &KNOWS_THE_DEAD, |_| ()).unwrap();
    assert_eq!(count(&slots, network(1)), Some(1));
}

/// Real threads: the sum of what was accepted is the sum of what is counted.
#[test]
fn no_count_is_lost_between_threads() {
    let heap = Heap::new();
    let accepted: Vec<AtomicU32> = (0..4).map(|_| AtomicU32::new(0)).collect();
    let rounds: u32 = if cfg!(miri) { 20 } else { 20_000 };
    std::thread::scope(|scope| {
        for seed in 0..4_u32 {
            let (heap, accepted) = (&heap, &accepted);
            scope.spawn(move || {
                let slots = heap.slots();
                for i in 0..rounds {
                    let key = (i.wrapping_mul(2_654_435_761) ^ seed) as u8 % 4;
                    record(&slots, network(key), NOW);
                    accepted[usize::from(key)].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let slots = heap.slots();
    for key in 0..4 {
        let expected = accepted[usize::from(key)].load(Ordering::Relaxed);
        assert_eq!(visible(&slots, network(key)), 1);
        assert_eq!(count(&slots, network(key)), Some(expected), "key {key}");
    }
}
