//! A writer is stopped in the event ring.

use crate::bench::{Bench, Place};
use crate::operations::{self, NOW};
use crate::stage::key;
use crate::writer::Call;
use crate::{figures, is_long};

/// A writer is stopped while he publishes his event, until the ring has come round and his place
/// belongs to another event. That one may be spoilt, but then it is seen to be.
///
/// Caught: a sequence number taken by a load and a store (the head falls back by a round).
#[test]
fn stopped_in_the_event_ring_for_a_whole_round() {
    const ROUND: u32 = 1 << 16;
    let mut bench = Bench::new();
    let played = bench.play(&operations::named("insert"), Vec::new());
    let published = bench.first_change(&played);
    let busy = Call::record("192.0.2.200", "busy", 1);
    let network = key("192.0.2.200");
    let (mut rounds, mut spoilt) = (0, 0);
    let stride = if is_long() { 1 } else { 3 };
    // From where the event takes its number, to the end.
    let mut first = played.path.len();
    while first > published {
        bench.stopped_after(&played, first).kill();
        if bench.stage.reader.serial() == played.serial {
            break;
        }
        first -= 1;
    }
    for n in (first..=played.path.len()).step_by(stride) {
        let _place = Place { played: &played, n, beside: "a round of events" };
        let mut child = bench.stopped_after(&played, n);
        bench.peer.repeat(ROUND, &busy);
        child.finish();
        let head = bench.stage.reader.serial();
        assert_eq!(head, played.serial + 1 + u64::from(ROUND));
        let (events, lost) = bench.stage.events(head - u64::from(ROUND), NOW);
        assert!(lost <= 1, "{lost} lost");
        // His own event is the last of all if he took its number after the round.
        let own = events.iter().position(|event| event.1 != network);
        assert!(own.is_none_or(|place| place + 1 == events.len() && n == first), "{own:?}");
        spoilt += lost;
        rounds += 1;
    }
    assert!(spoilt > 0, "no store came late");
    figures(format_args!(
        "event ring: {rounds} writers stopped for a round of {ROUND} events, {spoilt} events \
         spoilt, each seen to be"
    ));
}
