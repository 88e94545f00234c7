//! A policy that is put in force while others read it, in every interleaving (loom; see
//! `slots::model`).

use loom::sync::Arc;

use super::*;

struct Heap {
    sequence: AtomicU64,
    words: Vec<AtomicU64>,
}

impl Heap {
    fn new() -> Self {
        // Room for the fixed part of the never-list, and no more.
        let copy = HEAD + 4 * Policy::default().never_ranges().len();
        let words = (0..2 * copy).map(|_| AtomicU64::new(0)).collect();
        Self { sequence: AtomicU64::new(0), words }
    }

    fn block(&self) -> PolicyBlock<'_> {
        PolicyBlock::new(&self.sequence, &self.words, Seed(3, 4))
    }
}

/// Policies whose settings all tell which one it is.
fn policy(i: u32) -> Policy {
    Policy { base_ttl: 600 + i, max_ttl: 6000 + i, threshold: 1 + i, ..Policy::default() }
}

/// Two policies come into force one after the other, so that both copies are written; a reader gets the
/// settings of one of the three, never a mixture. Fails without the writer's fence, and without the
/// reader's last look at the sequence.
#[test]
fn loom_a_policy_is_read_whole() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.max_branches = 20_000;
    builder.check(|| {
        let heap = Arc::new(Heap::new());
        heap.block().write(&policy(0), |_| None);
        let writer = Arc::clone(&heap);
        let thread = loom::thread::spawn(move || {
            let terms = writer.block().terms();
            let i = terms.base_ttl - 600;
            assert_eq!((terms.max_ttl, terms.threshold), (6000 + i, 1 + i));
        });
        heap.block().write(&policy(1), |_| None);
        heap.block().write(&policy(2), |_| None);
        assert!(thread.join().is_ok());
        assert_eq!(heap.block().terms().base_ttl, 602);
    });
}
