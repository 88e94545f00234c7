//! A writer is killed after every single instruction.

use std::time::Duration;

use eximrbl_table::{Counter, EventKind};

use crate::bench::{Bench, Left, Place, Played};
use crate::operations::{self, CLIENT, NOW, Operation, neighbour_address};
use crate::stage::{SLOTS, Seen, key, life};
use crate::tracee::Tracee;
use crate::writer::{Call, Took};
use crate::{figures, is_long, is_verified};

/// Processor time that the next writer may take beside a dead one's claim, the best of several
/// tries. Far more than he does (a look whether the process is there), and less than waiting for
/// a living one takes.
const DEAD_COST: Duration = Duration::from_micros(300);
/// What any claim may cost the next writer: of processor time, the best of several tries. (Waiting is
/// done by offering the processor to others, which takes long when they are many; so the time that
/// passes is shown, and not judged.)
const ANY_COST: Duration = Duration::from_millis(1);
const TRIES: usize = 25;

/// What the next writer does.
const REASON: &str = "next";
const WEIGHT: u32 = 7;

/// Sums for the line of figures.
#[derive(Default)]
struct Sums {
    operations: usize,
    kills: usize,
    slots: usize,
    longest: Duration,
}

impl Sums {
    fn show(&self, what: &str) {
        let Self { operations, kills, slots, longest } = self;
        figures(format_args!(
            "{what}: killed after {kills} different instructions of {operations} operations; \
             nothing acknowledged lost, no torn or double entry; {slots} slots left behind, all \
             taken back; the next writer took {} µs at most",
            longest.as_micros()
        ));
    }
}

/// Caught: an entry made READY before its life is stored; an expired entry that is given a new
/// life in place, with marks of the old one; a dead owner who is not recognised (his slot rests).
#[test]
fn killed_after_every_instruction_of_recording() {
    let mut bench = Bench::new();
    let mut sums = Sums::default();
    for (name, stride) in
        [("insert", 1), ("record", 1), ("evict", 31), ("intern", 31), ("restart", 31)]
    {
        let played = bench.play(&operations::named(name), Vec::new());
        kill_everywhere(&mut bench, &played, stride, &mut sums);
    }
    sums.show("rbl_record");
}

/// Caught: a prefix length that is noted after the entry, not before (the entry is hidden); an
/// entry made READY before its life is stored; a dead owner who is not recognised.
#[test]
fn killed_after_every_instruction_of_the_other_changes() {
    let mut bench = Bench::new();
    let mut sums = Sums::default();
    for operation in operations::all().iter().skip(5) {
        let played = bench.play(operation, Vec::new());
        kill_everywhere(&mut bench, &played, 31, &mut sums);
    }
    sums.show("IPv6, rbl_allow, rbl_forgive");
}

/// The first call of a process that finds the table not yet open: it opens and maps it as well.
///
/// Caught: a dead owner who is not recognised; an entry made READY before its life is stored.
#[test]
fn killed_during_a_first_call() {
    let mut bench = Bench::with_strangers();
    let mut sums = Sums::default();
    let played = bench.play(&operations::named("insert"), Vec::new());
    kill_everywhere(&mut bench, &played, 41, &mut sums);
    sums.show("first call");
}

/// Who finishes a dead writer's work, or takes his slot, is killed as well.
///
/// Caught: a name that is stored from its first word on, so that half of it is a name; a dead owner
/// who is not recognised; an entry made READY before its life is stored.
#[test]
fn killed_after_every_instruction_of_clearing_up_after_the_dead() {
    let mut bench = Bench::new();
    let mut sums = Sums::default();
    for (operation, left) in leftovers(&mut bench) {
        let played = bench.play(&operation, vec![left]);
        kill_everywhere(&mut bench, &played, 31, &mut sums);
    }
    sums.show("clearing up");
}

/// Operations that meet what a killed writer left.
fn leftovers(bench: &mut Bench) -> Vec<(Operation, Left)> {
    // Of an operation, so many instructions before it takes effect; and what comes then.
    let mut leave = |name: &str, back: usize, then: &Call, claims: u64| {
        let operation = operations::named(name);
        let played = bench.play(&operation, Vec::new());
        let instructions = bench.first_change(&played) - back;
        bench.stopped_after(&played, instructions).kill();
        assert_eq!(bench.stage.sweep(NOW), claims, "{name}, {back} before");
        let left = Left { call: operation.call.clone(), path: played.path, instructions };
        (operation.with_call(then), left)
    };
    let [same, other] = [CLIENT, "198.51.100.77"].map(|ip| Call::record(ip, "rcpt", 3));
    let mut found = vec![
        // A claim with the life stored, all but made READY; and one with less.
        leave("insert", 1, &same, 1),
        leave("insert", 20, &same, 1),
        // An end that has taken the entry's life, and not yet freed its slot.
        leave("evict", 0, &other, 0),
        leave("forgive", 0, &same, 0),
    ];
    found.push(half_a_name(bench));
    found
}

/// A recording with a reason of which a killed writer entered a part.
fn half_a_name(bench: &mut Bench) -> (Operation, Left) {
    let operation = operations::named("intern");
    let played = bench.play(&operation, Vec::new());
    let mut unfinished = Vec::new();
    for n in played.path.stops(1000) {
        bench.stopped_after(&played, n).kill();
        let findings = bench.stage.reader.verify();
        if findings.iter().any(|finding| finding.text.contains("unfinished name")) {
            unfinished.push(n);
        } else if !unfinished.is_empty() {
            break;
        }
    }
    let instructions = unfinished[unfinished.len() / 2];
    let left = Left { call: operation.call.clone(), path: played.path, instructions };
    (operation, left)
}

/// Kills a writer after so many instructions of an operation, each time with the same table.
fn kill_everywhere(bench: &mut Bench, played: &Played, stride: usize, sums: &mut Sums) {
    let mut reached = 0;
    let mut slots = 0;
    let stops = played.path.stops(stride);
    let change = bench.first_change(played);
    for &n in &stops {
        // Just before and after the step that counts, or here and there.
        let is_verified = is_verified(n) || (n..n + 11).contains(&change) || n == change + 1;
        let _place = Place { played, n, beside: "nobody" };
        let mut best: Option<Took> = None;
        for _ in 0..TRIES {
            bench.stopped_after(played, n).kill();
            let seen = check_after_kill(bench, played, is_verified, &mut reached);
            let seen = check_half_name(bench, played, seen);
            let (took, was_claimed) = go_on(bench, played, is_verified, &seen);
            slots += usize::from(best.is_none() && was_claimed);
            best = best.filter(|best| best.processor < took.processor).or(Some(took));
            if best.is_some_and(|best| best.processor <= DEAD_COST) {
                break;
            }
        }
        let best = best.unwrap();
        assert!(best.processor <= DEAD_COST, "the next writer was held up: {best:?}");
        sums.longest = sums.longest.max(best.processor);
    }
    assert_eq!(reached, played.passage.len() - 1, "the operation never took effect");
    sums.operations += 1;
    sums.kills += stops.len();
    sums.slots += slots;
}

/// What must hold as soon as the writer is dead. `reached` is how far the operation got with
/// fewer instructions.
fn check_after_kill(
    bench: &Bench,
    played: &Played,
    is_verified: bool,
    reached: &mut usize,
) -> Seen {
    let stage = &bench.stage;
    let seen = stage.look(NOW);
    let position = played.position(&seen);
    assert!(position >= *reached, "taken back: {:?}", seen.lives());
    *reached = position;
    let is_done = position == played.passage.len() - 1;
    let own = played.key();
    for (network, entry) in &seen.entries {
        let (old, new) = (played.before.entries.get(network), played.after.entries.get(network));
        if *network != own {
            assert_eq!(Some(entry), old, "a neighbour");
            continue;
        }
        // A life of its own comes with all its marks; a longer life may lack the new ones.
        let is_new = is_done && old.is_none_or(|old| old.white != entry.white);
        let whole = is_new.then_some(new).flatten().into_iter();
        let marks: Vec<_> =
            if is_new { whole.collect() } else { old.into_iter().chain(new).collect() };
        assert!(marks.iter().any(|known| known.first == entry.first), "{entry:?}");
        assert!(marks.iter().any(|known| known.last == entry.last), "{entry:?}");
        assert!(marks.iter().any(|known| known.reasons == entry.reasons), "{entry:?}");
        assert!(marks.iter().any(|known| known.reporters == entry.reporters), "{entry:?}");
    }
    let records = stage.counter(Counter::Records) - played.records;
    let weighs = u64::from(played.operation.weight() > 0);
    assert!(records <= weighs && (is_done || records == 0), "counted {records} records");

    if is_verified {
        let left = stage.verify();
        assert!(left <= 1 + played.left.len(), "{left} slots left behind");
    }
    let (events, lost) = stage.events(played.serial, NOW);
    assert!(played.events.starts_with(&events) && lost <= 1, "{events:?}, {lost} lost");
    seen
}

/// What is stored of a name passes for no other one, least of all for its own beginning.
fn check_half_name(bench: &mut Bench, played: &Played, seen: Seen) -> Seen {
    const BEGINNING: &str = "a-name-o";
    if played.operation.name != "intern" {
        return seen;
    }
    assert!(played.operation.call.arguments[1].starts_with(BEGINNING));
    bench.peer.call(&Call::record(&neighbour_address(0), BEGINNING, 1));
    let bit = bench.stage.reader.reasons().bit(BEGINNING).expect("a name of its own");
    let seen = bench.stage.look(NOW);
    assert_ne!(seen.entries[&key(&neighbour_address(0))].reasons >> bit & 1, 0);
    seen
}

/// The next writer comes to the same address, then the daemon's sweep. What the writer took, and
/// whether one of them found a slot left behind.
fn go_on(bench: &mut Bench, played: &Played, is_verified: bool, seen: &Seen) -> (Took, bool) {
    let ip = played.operation.call.ip();
    let is_intern = played.operation.name == "intern";
    let reason = if is_intern { &played.operation.call.arguments[1] } else { REASON };
    let serial = bench.stage.reader.serial();
    let rested = bench.stage.resting(NOW);
    let retries = bench.stage.counter(Counter::InsertRetries);
    let took = bench.peer.call(&Call::record(ip, reason, WEIGHT));

    let (stage, own) = (&bench.stage, key(ip));
    let now = stage.look(NOW);
    let old = seen.entries.get(&own);
    let entry = now.entries[&own];
    match old {
        Some(old) if old.white => assert_eq!(entry, *old, "recording stops"),
        _ => {
            assert_eq!(entry.count, old.map_or(0, |old| old.count) + WEIGHT);
            let bit = stage.reader.reasons().bit(reason).expect("entered by now");
            assert_ne!(entry.reasons >> bit & 1, 0, "the next one's reason");
        }
    }
    let others = now.entries.iter().filter(|(network, _)| **network != own);
    for (network, entry) in others.clone() {
        assert_eq!(seen.entries.get(network).map(life), Some(life(entry)), "{network}");
    }
    let others_before = seen.entries.keys().filter(|network| **network != own).count();
    assert_eq!(others.count(), others_before.min(SLOTS - 1), "evicted without need");
    let (events, lost) = stage.events(serial, NOW);
    let is_told = events
        .iter()
        .any(|event| event.1 == own && matches!(event.0, EventKind::Added | EventKind::Extended));
    assert!(is_told || entry.white, "{events:?}");
    assert_eq!(lost, 0, "a dead writer's event hides the next ones");

    // A claim for his key was in his way: of the dead he takes it at once, and the slot is free.
    assert!(stage.resting(NOW) <= rested, "he could not tell the dead from the living");
    let swept = stage.sweep(NOW);
    assert!(swept <= 1 + played.left.len() as u64, "{swept} slots left behind");
    assert_eq!((stage.resting(NOW), stage.sweep(NOW)), (0, 0), "all are swept");
    if is_verified {
        assert_eq!(stage.verify(), 0, "after the sweep");
    }
    assert_eq!(stage.look(NOW), now, "the sweep changes no entry");
    stage.assert_all_slots_usable(NOW);
    (took, swept > 0 || stage.counter(Counter::InsertRetries) > retries)
}

/// Exim's daemon reaps its children a moment later than they die; until then nobody can tell that
/// they are dead. The next writer waits a little, and then takes the claim.
///
/// Caught: a claim that is taken and freed at once, while its owner may still write.
#[test]
fn a_dead_writer_who_is_not_reaped_costs_a_moment_and_his_slot_comes_back() {
    let mut bench = Bench::new();
    let played = bench.play(&operations::named("insert"), Vec::new());
    let published = bench.first_change(&played);
    let (mut waits, mut held) = (Vec::new(), 0);
    let stride = if is_long() { 1 } else { 7 };
    for n in (0..played.path.len()).step_by(stride) {
        let mut best = Duration::MAX;
        for _ in 0..TRIES {
            let mut child: Tracee = bench.stopped_after(&played, n);
            child.kill_unreaped();
            let took = bench.peer.call(&Call::record(CLIENT, REASON, WEIGHT));
            best = best.min(took.processor);
            let count = if n < published { WEIGHT } else { 3 + WEIGHT };
            assert_eq!(bench.stage.look(NOW).life(CLIENT).map(|life| life.1), Some(count));
            let rests = bench.stage.resting(NOW);
            assert!(rests <= 1, "{rests} slots at rest");
            child.kill();
            assert_eq!(bench.stage.sweep(NOW), rests);
            assert_eq!(bench.stage.resting(NOW), 0);
            bench.stage.assert_all_slots_usable(NOW);
            if rests > 0 {
                waits.push(took.wall);
            }
            if best <= ANY_COST {
                held += rests;
                break;
            }
        }
        assert!(best <= ANY_COST, "after {n} instructions: held up for {best:?}");
    }
    waits.sort();
    assert!(held > 0, "no claim was met");
    figures(format_args!(
        "dead, but not reaped: {held} claims taken, a quarter of them within {} µs, all slots \
         back",
        waits[waits.len() / 4].as_micros()
    ));
}
