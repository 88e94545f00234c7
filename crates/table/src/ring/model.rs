//! Events that are published and read at once, in every interleaving (loom; see `slots::model`).

#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;

use loom::sync::Arc;

use super::*;

const SEED: Seed = Seed(5, 6);

struct Heap {
    head: AtomicU64,
    words: Vec<AtomicU64>,
}

impl Heap {
    /// A ring of one event, so that every event overwrites the one before.
    fn new() -> Self {
        let words = (0..EVENT_WORDS).map(|_| AtomicU64::new(0)).collect();
        Self { head: AtomicU64::new(1), words }
    }

    fn ring(&self) -> Ring<'_> {
        Ring::new(&self.head, &self.words, SEED)
    }
}

/// Events that differ in every word.
fn event(i: u8) -> Event {
    let network = Network::host(Ipv4Addr::new(192, 0, 2, i).into());
    let (time, reporter, reason) = (1_000_000 + u32::from(i), i, i);
    let (weight, seconds) = (u32::from(i), u32::from(i));
    Event { sequence: 0, time, kind: EventKind::Added, reporter, reason, network, weight, seconds }
}

/// Two writers at one place, and a reader: he gets an event whole, as somebody published it, or is told
/// that there is none. Fails when the seal is not looked at.
#[test]
fn loom_no_event_is_torn() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(|| {
        let heap = Arc::new(Heap::new());
        let threads: Vec<_> = [1, 2]
            .map(|i| {
                let heap = Arc::clone(&heap);
                loom::thread::spawn(move || heap.ring().publish(&event(i)))
            })
            .into_iter()
            .collect();
        let ring = heap.ring();
        for sequence in 1..ring.head() {
            if let Read::Event(read) = ring.read(sequence) {
                let published = event(read.reason);
                assert_eq!(read, Event { sequence, ..published });
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(ring.head(), 3);
        // The later number may have been overwritten by a writer who was slow.
        assert!(matches!(ring.read(1), Read::Lost));
    });
}
