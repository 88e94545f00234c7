//! A writer is stopped after an instruction, others do what conflicts with it, it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use eximrbl_table::Network;

use crate::bench::{Bench, Place, Played};
use crate::operations::{self, NOW};
use crate::scripts::{Script, scripts};
use crate::stage::Life;
use crate::{accounts, figures, is_long, is_verified};

/// What any call may take beside a stopped writer: of processor time, the best of several tries.
/// (Waiting is done by offering the processor to others, which takes long when they are many; so the
/// time that passes is shown, and not judged.)
const ANY_COST: Duration = Duration::from_millis(1);
const TRIES: usize = 25;

#[derive(Default)]
struct Sums {
    stops: usize,
    calls: usize,
    /// Longest calls of the runs in which somebody waited.
    waits: Vec<Duration>,
}

impl Sums {
    fn show(&mut self, what: &str) {
        let Self { stops, calls, waits } = self;
        waits.sort();
        assert!(!waits.is_empty(), "no claim was met");
        figures(format_args!(
            "{what}: stopped {stops} times, others went on with {calls} calls, and met {} claims \
             which they took, a quarter of them within {} µs; every record counted once, no double \
             entry, all slots back",
            waits.len(),
            waits[waits.len() / 4].as_micros()
        ));
    }
}

/// Caught: no second look after a claim (two entries for one key); a plain store of life instead of
/// its CAS (lost records); a stolen slot freed at once (a late key hides a stranger); generations
/// that do not grow at an eviction, and marks whose generation is not looked at (a reason in a
/// stranger's entry, or none); an end that frees the slot before it takes the life; a former owner
/// who does not let go; half a name that passes for one.
#[test]
fn stopped_while_recording() {
    let mut sums = Sums::default();
    stop_everywhere(&["insert", "record", "evict", "intern", "restart"], &mut sums);
    sums.show("rbl_record");
}

/// Caught: no second look after a claim; a plain store of life; a stolen slot freed at once; an end
/// that frees the slot before it takes the life; a former owner who does not let go.
#[test]
fn stopped_during_the_other_changes() {
    let mut sums = Sums::default();
    let operations = operations::all();
    let names: Vec<_> = operations.iter().skip(5).map(|operation| operation.name).collect();
    stop_everywhere(&names, &mut sums);
    sums.show("IPv6, rbl_allow, rbl_forgive");
}

/// Stops after every place that [`crate::tracee::Path::stops`] names, with one script at each, in
/// turn; in the long form with a quarter of the scripts.
fn stop_everywhere(names: &[&str], sums: &mut Sums) {
    let mut bench = Bench::new();
    for name in names {
        let played = bench.play(&operations::named(name), Vec::new());
        let scripts = scripts(played.operation.call.ip());
        let outcomes: Vec<_> =
            scripts.iter().map(|script| outcomes(&mut bench, &played, script)).collect();
        for n in played.path.stops(61) {
            for (i, script) in scripts.iter().enumerate() {
                if n % scripts.len() == i || is_long() && n % 4 == i % 4 {
                    stop_at(&mut bench, &played, n, script, &outcomes[i], sums);
                }
            }
        }
    }
}

/// Lives when operation and script are done one after the other, in both orders.
fn outcomes(bench: &mut Bench, played: &Played, script: &Script) -> [BTreeMap<Network, Life>; 2] {
    [true, false].map(|is_first| {
        bench.reset(played);
        if is_first {
            bench.peer.call(&played.operation.call);
        }
        bench.peer.open_at(NOW + script.later);
        for call in &script.calls {
            bench.peer.call(call);
        }
        bench.peer.open_at(NOW);
        if !is_first {
            bench.peer.call(&played.operation.call);
        }
        bench.stage.look(NOW + script.later).lives()
    })
}

fn stop_at(
    bench: &mut Bench,
    played: &Played,
    n: usize,
    script: &Script,
    outcomes: &[BTreeMap<Network, Life>],
    sums: &mut Sums,
) {
    let _place = Place { played, n, beside: script.name };
    let now = NOW + script.later;
    if script.later > 0 {
        bench.peer.open_at(now);
    }
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let mut child = bench.stopped_after(played, n);
        let took: Vec<_> = script.calls.iter().map(|call| bench.peer.call(call)).collect();
        // He is still stopped.
        bench.stage.look(now);
        let resting = bench.stage.resting(now);
        assert!(resting <= 1, "{resting} slots at rest");
        child.finish();

        let seen = bench.stage.look(now);
        // An eviction makes room without need if his own claim was taken for a dead one's.
        if script.has_room && (script.later > 0 || played.operation.name != "evict") {
            assert!(outcomes.contains(&seen.lives()), "{:?}, of {outcomes:?}", seen.lives());
        }
        if script.later == 0 {
            accounts::check(bench, played, &script.calls, &seen);
        }
        // Without a sweep: the one who was stopped has let go.
        assert_eq!((bench.stage.resting(now), bench.stage.sweep(now)), (0, 0));
        if is_verified(n) {
            assert_eq!(bench.stage.verify(), 0);
        }
        bench.stage.assert_all_slots_usable(now);
        best = best.min(took.iter().map(|took| took.processor).max().unwrap());
        if resting > 0 {
            sums.waits.extend(took.iter().map(|took| took.wall).max());
        }
        if best <= ANY_COST {
            break;
        }
    }
    if script.later > 0 {
        bench.peer.open_at(NOW);
    }
    assert!(best <= ANY_COST, "others were held up: {best:?}");
    sums.stops += 1;
    sums.calls += script.calls.len();
}
