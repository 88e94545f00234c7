//! Two writers are stopped at once.

use std::time::Duration;

use crate::bench::{Bench, Place};
use crate::operations::{self, CLIENT, NOW, neighbour_address};
use crate::scripts::stranger;
use crate::tracee::Tracee;
use crate::writer::Call;
use crate::{accounts, figures, is_long};

/// Processor time that a third one may take, the best of several tries: he may meet two claims.
const TWO_COST: Duration = Duration::from_millis(2);
const TRIES: usize = 25;

/// Two writers are stopped, each somewhere in a change, of one key or of two; a third gets on;
/// they go on in either order.
///
/// Caught: all that the tests of one who is stopped catch of recordings, but for half a name and
/// the marks' generation.
#[test]
fn two_stopped_at_once() {
    let mut bench = Bench::new();
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 33) as usize % below
    };
    let names = ["insert", "insert", "record", "evict", "restart"];
    let played: Vec<_> =
        names.iter().map(|name| bench.play(&operations::named(name), Vec::new())).collect();
    let stops: Vec<_> = played.iter().map(|played| played.path.stops(11)).collect();
    let own = || Call::record(CLIENT, "other-writer", 7);
    // The second one's way, had he been alone.
    let seconds = ["198.51.100.2", CLIENT].map(|ip| Call::record(ip, "second", 13));
    let ways: Vec<_> = played
        .iter()
        .map(|played| {
            seconds.clone().map(|call| {
                bench.reset(played);
                Tracee::start(&mut bench.parent, &call).record()
            })
        })
        .collect();
    let pairs = if is_long() { 20_000 } else { 600 };
    let mut longest = Duration::ZERO;
    for _ in 0..pairs {
        let which = draw(played.len());
        let played = &played[which];
        let n = stops[which][draw(stops[which].len())];
        let whom = usize::from(draw(3) > 0);
        let (second, way) = (&seconds[whom], &ways[which][whom]);
        let places = way.stops(11);
        let m = places[draw(places.len())];
        let third = match draw(4) {
            0 => vec![],
            1 => vec![own()],
            2 => vec![Call::forgive(&neighbour_address(draw(3))), own()],
            _ => vec![stranger(0), own(), stranger(1)],
        };
        let _place = Place { played, n, beside: "another one who is stopped" };
        let mut best = Duration::MAX;
        for _ in 0..TRIES {
            let mut one = bench.stopped_after(played, n);
            let mut two = Tracee::start(&mut bench.parent, second);
            let is_stopped = two.run_about(way, m);
            let took = third.iter().map(|call| bench.peer.call(call).processor).max();
            bench.stage.look(NOW);
            let resting = bench.stage.resting(NOW);
            assert!(resting <= 1 + u64::from(is_stopped), "{resting} slots at rest");
            if draw(2) == 0 {
                one.finish();
                two.finish();
            } else {
                two.finish();
                one.finish();
            }
            let seen = bench.stage.look(NOW);
            let calls: Vec<_> = third.iter().cloned().chain([second.clone()]).collect();
            accounts::check(&bench, played, &calls, &seen);
            assert_eq!((bench.stage.resting(NOW), bench.stage.sweep(NOW)), (0, 0));
            bench.stage.assert_all_slots_usable(NOW);
            best = best.min(took.unwrap_or_default());
            if best <= TWO_COST {
                break;
            }
        }
        assert!(best <= TWO_COST, "held up by two: {best:?}");
        longest = longest.max(best);
    }
    figures(format_args!(
        "{pairs} pairs of writers stopped at once; the third one's longest call took {} µs of \
         processor time; every record counted once, no double entry, all slots back",
        longest.as_micros()
    ));
}
